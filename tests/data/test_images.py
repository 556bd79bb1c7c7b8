"""Every kind of chest X-ray file gives the same grey picture; every bad one gives one line."""

import io
import pickle
import struct
import warnings
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence

from sdnet_lib.data.images import (
    MAX_PIXELS,
    ImageError,
    eight_bits,
    find_images,
    read_gray,
    resize,
    write_gray,
)
from sdnet_lib.files import InputError

HEIGHT, WIDTH = 24, 32


@pytest.fixture
def ramp():
    """A picture that no flip or turn leaves as it is, from 0 to 1."""
    rows, columns = np.mgrid[0 : 1 : HEIGHT * 1j, 0 : 1 : WIDTH * 1j]
    return (0.75 * rows + 0.25 * columns**2).astype(np.float32)


def eight(ramp):
    return np.rint(ramp * 255).astype(np.uint8)


def save(path, array, mode=None, **options):
    picture = Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


def dicom(path, pixels, *, bits=12, photometric="MONOCHROME2", **tags):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    data = Dataset()
    data.file_meta = meta
    data.Rows, data.Columns = pixels.shape[-2:] if pixels.shape[-1] > 3 else pixels.shape[:2]
    data.SamplesPerPixel = 3 if pixels.shape[-1] == 3 else 1
    if data.SamplesPerPixel == 3:
        data.PlanarConfiguration = 0
    data.PhotometricInterpretation = photometric
    data.BitsAllocated = 8 * pixels.dtype.itemsize
    data.BitsStored = min(bits, data.BitsAllocated)
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    for name, value in tags.items():
        setattr(data, name, value)
    data.PixelData = pixels.tobytes()
    data.save_as(path, enforce_file_format=True)
    return path


PICTURES = {
    "grey PNG": ("a.png", None, {}),
    "RGB PNG": ("a.png", "RGB", {}),
    "RGBA PNG": ("a.png", "RGBA", {}),
    "grey and alpha PNG": ("a.png", "LA", {}),
    "palette PNG": ("a.png", "P", {}),
    "JPEG": ("a.jpg", None, {"quality": 95}),
    "colour JPEG": ("a.jpeg", "RGB", {"quality": 95}),
    "CMYK JPEG": ("a.jpg", "CMYK", {"quality": 95}),
    "progressive JPEG": ("a.jpg", None, {"progressive": True, "quality": 95}),
    "WebP": ("a.webp", "RGB", {"lossless": True}),
    "BMP": ("a.bmp", None, {}),
    "TIFF": ("a.tif", None, {}),
    "LZW TIFF": ("a.tif", None, {"compression": "tiff_lzw"}),
    "CMYK TIFF": ("a.tif", "CMYK", {}),
    "a PNG called .jpg": ("a.jpg", None, {"format": "PNG"}),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_every_8_bit_format_gives_the_same_picture(kind, ramp, tmp_path):
    name, mode, options = PICTURES[kind]
    image = read_gray(save(tmp_path / name, eight(ramp), mode, **options))
    assert image.dtype == np.float32 and image.shape == (HEIGHT, WIDTH)
    assert np.abs(image - ramp).max() < (0.03 if name.startswith("a.j") else 0.004)


def test_bilevel_is_0_and_1(ramp, tmp_path):
    image = read_gray(save(tmp_path / "a.png", ramp > 0.5))
    np.testing.assert_array_equal(image, ramp > 0.5)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("suffix", ["png", "tif", "lzw.tif"])
def test_16_bit_files_are_scaled_by_the_detector_depth(bits, suffix, ramp, tmp_path):
    values = np.rint(ramp * (2**bits - 1)).astype(np.uint16)
    options = {"compression": "tiff_lzw"} if "lzw" in suffix else {}
    assert np.abs(read_gray(save(tmp_path / f"a.{suffix}", values, **options)) - ramp).max() < 0.001


TIFFS = {
    "32-bit": lambda r: ((r.astype(np.float64) * (2**32 - 1)).astype(np.uint32), {}),
    "float32": lambda r: (r, {}),
    "float64": lambda r: (r.astype(np.float64), {}),
    "float in Hounsfield-like units": lambda r: (r * 3000 - 1000, {}),
    "signed": lambda r: (np.rint(r * 3000 - 1000).astype(np.int16), {}),
    "white is zero": lambda r: (255 - eight(r), {"photometric": "miniswhite"}),
    "white is zero, 16 bits": lambda r: (
        65535 - np.rint(r * 65535).astype(np.uint16),
        {"photometric": "miniswhite"},
    ),
    "16-bit colour": lambda r: (
        np.rint(np.dstack([r] * 3) * 65535).astype(np.uint16),
        {"photometric": "rgb"},
    ),
    "colour planes": lambda r: (np.stack([eight(r)] * 3), {"photometric": "rgb", "planarconfig": "separate"}),
    "float colour": lambda r: (np.dstack([r] * 3), {"photometric": "rgb"}),
    "white is zero, 1 bit": lambda r: (r < 0.5, {"photometric": "miniswhite"}),
    "deflate": lambda r: (eight(r), {"compression": "zlib"}),
    "tiled": lambda r: (eight(r), {"tile": (16, 16)}),
    "big-endian": lambda r: (np.rint(r * 65535).astype(">u2"), {"byteorder": ">"}),
    "BigTIFF": lambda r: (eight(r), {"bigtiff": True}),
}


@pytest.mark.parametrize("kind", TIFFS)
def test_tiffs_of_every_number_type(kind, ramp, tmp_path):
    array, options = TIFFS[kind](ramp)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, **({"photometric": "minisblack"} | options))
    expected = ramp >= 0.5 if array.dtype == bool else ramp
    assert np.abs(read_gray(path) - expected).max() < 0.004


def test_the_first_of_several_pages(ramp, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([eight(ramp), eight(1 - ramp)]), photometric="minisblack")
    assert np.abs(read_gray(tmp_path / "a.tif") - ramp).max() < 0.004


def test_a_dark_8_bit_image_stays_dark(ramp, tmp_path):
    assert read_gray(save(tmp_path / "a.png", eight(ramp / 4))).max() == pytest.approx(64 / 255)


def test_colour_is_weighted_as_the_eye_sees_it(tmp_path):
    colours = np.zeros((1, 3, 3), np.uint8)
    colours[0, [0, 1, 2], [0, 1, 2]] = 255
    np.testing.assert_allclose(
        read_gray(save(tmp_path / "a.png", colours))[0], [0.299, 0.587, 0.114], atol=0.001
    )


def test_what_is_transparent_is_black(ramp, tmp_path):
    pixels = np.dstack([eight(ramp)] * 3 + [np.full((HEIGHT, WIDTH), 255, np.uint8)])
    pixels[:, :5, 3] = 0
    image = read_gray(save(tmp_path / "a.png", pixels))
    assert image[:, :5].max() == 0
    assert np.abs(image - ramp)[:, 5:].max() < 0.004


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_orientation_is_undone(orientation, suffix, ramp, tmp_path):
    upright = Image.fromarray(eight(ramp)).convert("RGB")
    turn = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # how a camera so turned stores the picture
    stored = upright.transpose(Image.Transpose(turn[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    stored.save(path, exif=exif, **({"quality": 95} if suffix in ("jpg", "webp") else {}))
    assert np.abs(read_gray(path) - ramp).mean() < 0.02


def test_orientation_behind_the_pixels_of_a_png_is_undone(ramp, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3
    content = io.BytesIO()
    Image.fromarray(eight(ramp)[::-1, ::-1]).save(content, "PNG", exif=exif)
    content = content.getvalue()
    start = content.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(content[start : start + 4], "big")
    last = content.index(b"IEND") - 4
    path = tmp_path / "a.png"
    path.write_bytes(content[:start] + content[end:last] + content[start:end] + content[last:])
    assert np.abs(read_gray(path) - ramp).mean() < 0.02


def test_dicom_without_a_window_spans_0_to_1(ramp, tmp_path):
    pixels = np.rint(500 + ramp * 2000).astype(np.uint16)
    assert np.abs(read_gray(dicom(tmp_path / "a.dcm", pixels)) - ramp).max() < 0.001


def test_dicom_is_recognised_by_what_it_holds(ramp, tmp_path):
    path = dicom(tmp_path / "IM00001", np.rint(ramp * 4095).astype(np.uint16))
    assert np.abs(read_gray(path) - ramp).max() < 0.001


def test_monochrome1_is_inverted(ramp, tmp_path):
    pixels = np.rint((1 - ramp) * 4095).astype(np.uint16)
    assert (
        np.abs(read_gray(dicom(tmp_path / "a.dcm", pixels, photometric="MONOCHROME1")) - ramp).max() < 0.001
    )


def test_the_window_decides_what_is_black_and_white(ramp, tmp_path):
    pixels = np.rint(ramp * 4095).astype(np.uint16)
    image = read_gray(dicom(tmp_path / "a.dcm", pixels, WindowCenter=2048, WindowWidth=2048))
    np.testing.assert_allclose(image, np.clip((pixels - 1024.0) / 2047, 0, 1), atol=0.001)


def test_the_first_of_several_windows(ramp, tmp_path):
    pixels = np.rint(ramp * 4095).astype(np.uint16)
    one = read_gray(dicom(tmp_path / "a.dcm", pixels, WindowCenter=2048, WindowWidth=2048))
    two = read_gray(dicom(tmp_path / "b.dcm", pixels, WindowCenter=[2048, 100], WindowWidth=[2048, 10]))
    np.testing.assert_array_equal(one, two)


def test_the_window_is_in_rescaled_units(ramp, tmp_path):
    pixels = np.rint(ramp * 4095).astype(np.uint16)
    scale = {"RescaleSlope": 2, "RescaleIntercept": -1000}
    image = read_gray(dicom(tmp_path / "a.dcm", pixels, **scale, WindowCenter=3096, WindowWidth=4096))
    np.testing.assert_allclose(image, np.clip((2.0 * pixels - 1000 - 1048) / 4095, 0, 1), atol=0.001)


def test_a_negative_slope_inverts(ramp, tmp_path):
    pixels = np.rint((1 - ramp) * 4095).astype(np.uint16)
    image = read_gray(dicom(tmp_path / "a.dcm", pixels, RescaleSlope=-1, RescaleIntercept=0))
    assert np.abs(image - ramp).max() < 0.001


def test_a_window_on_monochrome1(ramp, tmp_path):
    pixels = np.rint((1 - ramp) * 4095).astype(np.uint16)
    path = dicom(tmp_path / "a.dcm", pixels, photometric="MONOCHROME1", WindowCenter=2048, WindowWidth=4096)
    assert np.abs(read_gray(path) - ramp).max() < 0.001


def test_signed_pixels(ramp, tmp_path):
    pixels = np.rint(ramp * 4095 - 2048).astype(np.int16)
    assert np.abs(read_gray(dicom(tmp_path / "a.dcm", pixels)) - ramp).max() < 0.001


def test_a_voi_table_beats_the_window(ramp, tmp_path):
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [4096, 0, 12])
    table.add_new("LUTData", "US", list(range(4095, -1, -1)))
    pixels = np.rint((1 - ramp) * 4095).astype(np.uint16)
    tags = {"VOILUTSequence": Sequence([table]), "WindowCenter": 1, "WindowWidth": 2}
    assert np.abs(read_gray(dicom(tmp_path / "a.dcm", pixels, **tags)) - ramp).max() < 0.001


def test_colour_dicom(ramp, tmp_path):
    pixels = np.dstack([eight(ramp)] * 3)
    image = read_gray(dicom(tmp_path / "a.dcm", pixels, bits=8, photometric="RGB"))
    assert np.abs(image - ramp).max() < 0.004


def test_the_first_of_several_frames(ramp, tmp_path):
    pixels = np.rint(np.stack([ramp, 1 - ramp]) * 4095).astype(np.uint16)
    path = dicom(tmp_path / "a.dcm", pixels, NumberOfFrames=2)
    assert np.abs(read_gray(path) - ramp).max() < 0.001


def test_run_length_encoded_dicom(ramp, tmp_path):
    data = pydicom.dcmread(dicom(tmp_path / "a.dcm", np.rint(ramp * 4095).astype(np.uint16)))
    data.compress(pydicom.uid.RLELossless)
    data.save_as(tmp_path / "b.dcm")
    assert np.abs(read_gray(tmp_path / "b.dcm") - ramp).max() < 0.001


def compressed(path, pixels, kind, **tags):
    """Write a DICOM file whose frame is compressed as archives do it."""
    encode, syntax = {
        "JPEG": (lambda p: imagecodecs.jpeg8_encode(p, level=95), pydicom.uid.JPEGBaseline8Bit),
        "JPEG, 12 bits": (
            lambda p: imagecodecs.jpeg8_encode(p, level=95, bitspersample=12),
            pydicom.uid.JPEGExtended12Bit,
        ),
        "JPEG, lossless": (
            lambda p: imagecodecs.ljpeg_encode(p, bitspersample=16),
            pydicom.uid.JPEGLosslessSV1,
        ),
        "JPEG-LS": (imagecodecs.jpegls_encode, pydicom.uid.JPEGLSLossless),
        "JPEG 2000": (
            lambda p: imagecodecs.jpeg2k_encode(p, reversible=True, codecformat="J2K"),
            pydicom.uid.JPEG2000Lossless,
        ),
    }[kind]
    data = pydicom.dcmread(dicom(path, pixels, **tags))
    data.PixelData = pydicom.encaps.encapsulate([encode(np.ascontiguousarray(pixels))])
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = syntax
    data.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("kind", ["JPEG, 12 bits", "JPEG, lossless", "JPEG-LS", "JPEG 2000"])
def test_compressed_dicom_as_archives_hold_it(kind, ramp, tmp_path):
    path = compressed(tmp_path / "a.dcm", np.rint(ramp * 4095).astype(np.uint16), kind)
    assert np.abs(read_gray(path) - ramp).max() < (0.02 if "12" in kind else 0.001)


def png_bomb(path):
    """A well-formed header that promises 60,000 x 60,000 pixels."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 9999)) + chunk(b"IEND", b"")
    )
    return path


def truncated(path, fraction=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    return path


def noise(size=64):
    return np.random.default_rng(0).integers(0, 255, (size, size), np.uint8)


def text(path):
    path.write_text("image_id,file,label\n")
    return path


def nothing(path):
    path.touch()
    return path


def not_finite(path, value):
    pixels = noise().astype(np.float32)
    pixels[3, 3] = value
    tifffile.imwrite(path, pixels)
    return path


def shrunk_dicom(path):
    data = pydicom.dcmread(dicom(path, np.ones((8, 8), np.uint16)))
    data.Rows = data.Columns = 30000
    data.save_as(path)
    return path


def no_pixels(path):
    data = pydicom.dcmread(dicom(path, np.ones((8, 8), np.uint16)))
    del data.PixelData
    data.save_as(path)
    return path


BAD = {
    "missing": (lambda d: d / "a.png", "no such file"),
    "folder": (lambda d: d, "a folder"),
    "empty": (lambda d: nothing(d / "a.png"), "empty file"),
    "empty DICOM": (lambda d: nothing(d / "a.dcm"), "empty file"),
    "text": (lambda d: text(d / "a.png"), "not an image"),
    "text called DICOM": (lambda d: text(d / "a.dcm"), "not an image"),
    "truncated PNG": (lambda d: truncated(save(d / "a.png", noise())), "cannot be decoded"),
    "truncated JPEG": (lambda d: truncated(save(d / "a.jpg", noise())), "truncated"),
    "JPEG without its last bytes": (lambda d: truncated(save(d / "a.jpg", noise()), 0.9), "truncated"),
    "truncated TIFF": (lambda d: truncated(save(d / "a.tif", noise())), "a.tif"),
    "truncated WebP": (lambda d: truncated(save(d / "a.webp", noise(), "RGB")), "a.webp"),
    "truncated BMP": (lambda d: truncated(save(d / "a.bmp", noise())), "truncated"),
    "truncated DICOM": (
        lambda d: truncated(dicom(d / "a.dcm", noise().astype(np.uint16))),
        "cannot be decoded",
    ),
    "first bytes of a PNG": (lambda d: truncated(save(d / "a.png", noise()), 0.005), "a.png"),
    "first bytes of a DICOM": (
        lambda d: truncated(dicom(d / "a.dcm", noise().astype(np.uint16)), 0.02),
        "a.dcm",
    ),
    "PNG bomb": (lambda d: png_bomb(d / "a.png"), f"over {MAX_PIXELS:,} pixels"),
    "DICOM bomb": (lambda d: shrunk_dicom(d / "a.dcm"), f"over {MAX_PIXELS:,}"),
    "DICOM without pixels": (lambda d: no_pixels(d / "a.dcm"), "without an image"),
    "black": (lambda d: save(d / "a.png", np.zeros((9, 9), np.uint8)), "constant"),
    "white DICOM": (lambda d: dicom(d / "a.dcm", np.full((9, 9), 4095, np.uint16)), "constant"),
    "fully transparent": (lambda d: save(d / "a.png", np.dstack([noise()] * 3 + [noise() * 0])), "constant"),
    "one pixel": (lambda d: save(d / "a.png", np.full((1, 1), 7, np.uint8)), "constant"),
    "NaN": (lambda d: not_finite(d / "a.tif", np.nan), "NaN or infinite"),
    "infinite": (lambda d: not_finite(d / "a.tif", np.inf), "NaN or infinite"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_one_line_with_path_and_reason(kind, tmp_path):
    make, reason = BAD[kind]
    path = make(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nor a warning beside the error
        with pytest.raises(ImageError) as caught:
            read_gray(path)
    assert isinstance(caught.value, InputError)
    assert caught.value.path == path and str(path) in str(caught.value)
    assert reason in str(caught.value) and "\n" not in str(caught.value)


def test_a_tiff_bomb_is_seen_before_it_is_decoded(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((9000, 9000, 3), np.float32), photometric="rgb", compression="zlib")
    assert path.stat().st_size < 2_000_000
    with pytest.raises(ImageError, match="9000 x 9000 pixels: over"):
        read_gray(path)


def test_the_error_survives_the_way_back_from_a_worker_process(tmp_path):
    error = pickle.loads(pickle.dumps(ImageError(tmp_path / "a.png", "empty file")))
    assert (error.path, error.reason) == (tmp_path / "a.png", "empty file")


@pytest.mark.parametrize("name", ["a.png", "b/a.jpg", "a.JPEG"])
def test_written_images_are_read_back(name, ramp, tmp_path):
    write_gray(tmp_path / name, ramp)
    assert np.abs(read_gray(tmp_path / name) - ramp).max() < 0.03
    assert [file.name for file in (tmp_path / name).parent.iterdir() if file.is_file()] == [
        name.split("/")[-1]
    ]


def test_masks_are_written_black_and_white(ramp, tmp_path):
    write_gray(tmp_path / "a.png", ramp > 0.5)
    np.testing.assert_array_equal(read_gray(tmp_path / "a.png"), ramp > 0.5)


def test_an_unknown_suffix_is_refused(ramp, tmp_path):
    with pytest.raises(ImageError, match=r"a\.gif: images are written as"):
        write_gray(tmp_path / "a.gif", ramp)


def test_a_failed_write_leaves_the_old_file(ramp, tmp_path, monkeypatch):
    write_gray(tmp_path / "a.png", ramp)
    old = (tmp_path / "a.png").read_bytes()

    def interrupted(path, content):
        write_half(path, content[: len(content) // 2])
        raise KeyboardInterrupt

    write_half = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_gray(tmp_path / "a.png", 1 - ramp)
    assert (tmp_path / "a.png").read_bytes() == old
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("size", [(12, 16), (24, 32), (50, 20), (1, 1)])
def test_resize_keeps_range_and_mean(size, ramp):
    small = resize(ramp, size)
    assert small.shape == size and small.dtype == np.float32
    assert small.min() >= 0 and small.max() <= 1
    assert small.mean() == pytest.approx(ramp.mean(), abs=0.02)


def test_shrinking_averages_instead_of_picking():
    stripes = np.tile([0.0, 1.0], (64, 32))
    assert np.abs(resize(stripes, (8, 8)) - 0.5).max() < 0.1


def test_the_callers_array_is_left_alone(ramp, tmp_path):
    before = ramp.copy()
    resize(ramp, (5, 5))
    write_gray(tmp_path / "a.png", ramp)
    np.testing.assert_array_equal(ramp, before)


def test_images_are_found_by_what_they_hold(ramp, tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / ".git").mkdir()
    for name in ("b.PNG", "c.jfif", "notes.png.bak", "below/d.jpeg", "._b.PNG", ".git/d.png"):
        save(tmp_path / name, eight(ramp), format="PNG")
    dicom(tmp_path / "IM000001", eight(ramp), bits=8)
    dicom(tmp_path / "DICOMDIR", eight(ramp), bits=8)
    (tmp_path / "notes.txt").write_text("BMW, not a bitmap")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")

    found = find_images(tmp_path)
    assert [file.name for file in found.images] == [
        "IM000001",
        "b.PNG",
        "c.jfif",
        "empty.png",
        "notes.png.bak",
    ]
    assert str(found) == "1 .txt, 1 broken link or pipe, 1 hidden, 1 without suffix"
    assert str(find_images(tmp_path / "below")) == ""
    below = find_images(tmp_path, "**/*")
    assert tmp_path / "below/d.jpeg" in below.images and below.left_out["hidden"] == 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (33, 50)])
@pytest.mark.parametrize("view", ["whole", "transposed", "every other row", "upside down", "mask"])
def test_what_is_written_as_png_is_read_again_whatever_its_layout(tmp_path, shape, view):
    values = np.random.default_rng(0).integers(0, 256, shape) / 255
    views = {
        "whole": values,
        "transposed": values.T,
        "every other row": values[::2],
        "upside down": values[::-1, ::-1],
        "mask": values > 0.5,
    }
    write_gray(tmp_path / "film.png", views[view])
    again = np.asarray(Image.open(tmp_path / "film.png"))
    assert np.array_equal(again, eight_bits(views[view]))
