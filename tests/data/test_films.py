"""Any film in any of many hundred forms comes back, or is refused for a true reason that is named."""

import base64
import itertools
import struct
import zlib

import imagecodecs
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

from sdnet_lib.data.images import ImageError, read

CHOICES = {
    "bits": [(8, 8), (10, 16), (12, 16), (16, 16), (12, 32)],  # stored, allocated
    "high": ["as stored", "at the top", "wrong"],
    "signed": [False, True],
    "photometric": ["MONOCHROME2", "MONOCHROME1"],
    "window": [
        None,
        "good",
        "zero",
        "empty",
        "negative",
        "off",
        "one",
        "wide",
        "sigmoid",
        "unknown",
        "exact",
    ],
    "rescale": [None, "good", "empty", "zero", "negative", "text"],
    "modality": [None, "12 of 16 bits", "empty"],
    "voi": [None, "12 of 16 bits", "8 bits in bytes", "empty", "short", "bits wrong"],
    "padding": [None, "low", "high", "range", "nonsense"],
    "marker": [False, True],
    "overlay": [False, True],
    "syntax": [
        "explicit",
        "implicit",
        "big",
        "deflated",
        "RLE",
        "JPEG-LS",
        "JPEG 2000",
        "JPEG, lossless",
        "no meta",
    ],
}
FORMS = 700


def film(height=96, width=80):
    """A chest, roughly: bright body, dark lungs, some noise; from 0 to 1."""
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    body = 0.8 * np.exp(-(((columns - 0.5) / 0.42) ** 6))
    for centre in (0.3, 0.7):
        body -= 0.55 * (((columns - centre) / 0.14) ** 2 + ((rows - 0.45) / 0.3) ** 2 < 1)
    noise = 0.03 * np.random.default_rng(0).standard_normal((height, width))
    return np.clip(body + noise + 0.1 * rows + 0.1 * columns, 0.01, 0.99)


def forms():
    """Draw forms so that each value of each choice is drawn often, most other tags being ordinary."""
    rng = np.random.default_rng(7)
    for number in range(FORMS):
        form = {name: values[0] for name, values in CHOICES.items()}
        for name in rng.choice(list(CHOICES), 4 + number % 3, replace=False):
            form[name] = CHOICES[name][rng.integers(len(CHOICES[name]))]
        yield form


def stored(form, truth):
    """Return the numbers of the file, and which pixels show the film."""
    depth, allocated = form["bits"]
    seen = np.ones(truth.shape, bool)
    values = 1 - truth if form["photometric"] == "MONOCHROME1" else truth
    if form["rescale"] == "negative" and form["modality"] is None:
        values = 1 - values
    top = 2**depth - 1
    numbers = np.rint(values * top).astype(np.int64) - (2 ** (depth - 1) if form["signed"] else 0)
    if form["padding"]:
        seen[:20] = False
        numbers[:20] = padding_value(form)
    if form["marker"] and depth > 8:
        rest = np.flatnonzero(seen)[:12]
        seen.ravel()[rest] = False
        numbers.ravel()[rest] = 2 ** (depth - 1) - 1 if form["signed"] else top
        numbers = np.where(seen, numbers // 4, numbers)
    numbers &= 2**depth - 1
    if form["high"] == "at the top" and form["syntax"] in NATIVE:
        numbers <<= allocated - depth
    elif form["overlay"] and allocated > depth:
        numbers |= (np.indices(truth.shape).sum(0) % 7 == 0).astype(np.int64) << depth
    kind = "i" if form["signed"] else "u"
    pixels = numbers.astype(f"u{allocated // 8}")
    if form["signed"] and not form["overlay"] and form["high"] != "at the top":  # sign in all bits, as usual
        wide = numbers - ((numbers >> (depth - 1)) << depth)
        pixels = wide.astype(f"i{allocated // 8}")
    return pixels.view(f"{kind}{allocated // 8}"), seen


NATIVE = ("explicit", "implicit", "big", "deflated", "no meta")


def padding_value(form):
    depth = form["bits"][0]
    low, high = (-(2 ** (depth - 1)), 2 ** (depth - 1) - 1) if form["signed"] else (0, 2**depth - 1)
    return low if form["padding"] in ("low", "range", "nonsense") else high


def table(entries, bits, values, order="<"):
    item = Dataset()
    item.LUTDescriptor = [entries, 0, bits]
    item.LUTData = np.asarray(values, "u1" if bits == 8 else order + "u2").tobytes()
    item["LUTData"].VR = "OW"
    return item


def write(path, form, pixels):
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = uid.DigitalXRayImageStorageForPresentation, uid.generate_uid()
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, form["photometric"]
    data.BitsStored, data.BitsAllocated = form["bits"]
    data.HighBit = {
        "as stored": data.BitsStored - 1,
        "at the top": data.BitsAllocated - 1 if form["syntax"] in NATIVE else data.BitsStored - 1,
        "wrong": data.BitsAllocated - 1 if not form["overlay"] else data.BitsStored - 1,
    }[form["high"]]
    data.PixelRepresentation = int(form["signed"])
    middle, width = (
        (0, 2**data.BitsStored) if form["signed"] else (2 ** (data.BitsStored - 1), 2**data.BitsStored)
    )
    windows = {
        "good": (middle, width),
        "zero": (middle, 0),
        "empty": (None, None),
        "negative": (middle, -width),
        "off": (50 * width, 9),
        "one": (middle, 1),
        "wide": (middle, 100 * width),
        "sigmoid": (middle, width),
        "unknown": (middle, width),
        "exact": (middle, width),
    }
    if form["window"]:
        data.WindowCenter, data.WindowWidth = windows[form["window"]]
        functions = {"sigmoid": "SIGMOID", "unknown": "FANCY", "exact": "LINEAR_EXACT"}
        if form["window"] in functions:
            data.VOILUTFunction = functions[form["window"]]
    rescale = {"good": (1, 0), "empty": (None, None), "zero": (0, 0), "negative": (-1, 0)}
    if form["rescale"] == "text":
        data.add_new("RescaleSlope", "LO", "steep")
        data.RescaleIntercept = 0
    elif form["rescale"] and form["modality"] is None:
        data.RescaleSlope, data.RescaleIntercept = rescale[form["rescale"]]
        if form["rescale"] == "negative" and form["window"] and not form["signed"]:
            data.WindowCenter = (
                -middle if form["window"] in ("good", "sigmoid", "unknown", "exact") else middle
            )
    order = ">" if form["syntax"] == "big" else "<"
    steps = 2 ** min(data.BitsStored, 12)
    if form["modality"]:
        data.ModalityLUTSequence = [
            table(steps, 16, np.arange(steps), order) if "12" in form["modality"] else Dataset()
        ]
        data.ModalityLUTSequence[0].ModalityLUTType = "US"
    if form["voi"]:
        data.VOILUTSequence = [
            {
                "12 of 16 bits": lambda: table(steps, 16, np.arange(steps), order),
                "8 bits in bytes": lambda: table(steps, 8, np.arange(steps) * 255 // (steps - 1)),
                "empty": Dataset,
                "short": lambda: table(steps, 16, np.arange(steps // 3), order),
                "bits wrong": lambda: table(steps, 9, np.arange(steps), order),
            }[form["voi"]]()
        ]
    if form["padding"]:
        value = padding_value(form)
        data.add_new("PixelPaddingValue", "SS" if form["signed"] else "US", value)
        if form["padding"] == "range":
            data.add_new("PixelPaddingRangeLimit", "SS" if form["signed"] else "US", value)
        if form["padding"] == "nonsense":
            data.add_new("PixelPaddingValue", "LO", "none")
    save(path, data, form["syntax"], pixels)


def save(path, data, syntax, pixels):
    data.file_meta = FileMetaDataset()
    data.PixelData = pixels.astype(pixels.dtype.newbyteorder(">" if syntax == "big" else "<")).tobytes()
    data["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    codecs = {
        "JPEG-LS": (imagecodecs.jpegls_encode, uid.JPEGLSLossless),
        "JPEG 2000": (
            lambda p: imagecodecs.jpeg2k_encode(p, reversible=True, codecformat="J2K"),
            uid.JPEG2000Lossless,
        ),
        "JPEG, lossless": (imagecodecs.ljpeg_encode, uid.JPEGLosslessSV1),
    }
    if syntax == "no meta":
        del data.file_meta
        data.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)
        return
    native = {
        "implicit": uid.ImplicitVRLittleEndian,
        "big": uid.ExplicitVRBigEndian,
        "deflated": uid.DeflatedExplicitVRLittleEndian,
    }
    data.file_meta.TransferSyntaxUID = native.get(syntax, uid.ExplicitVRLittleEndian)
    if syntax == "RLE":
        data.compress(uid.RLELossless, pixels)
    elif syntax in codecs:
        encode, data.file_meta.TransferSyntaxUID = codecs[syntax]
        unsigned = np.ascontiguousarray(pixels.view(pixels.dtype.str.replace("i", "u")))
        data.PixelData = pydicom.encaps.encapsulate([encode(unsigned)])
        data["PixelData"].is_undefined_length = True
    data.save_as(path, enforce_file_format=True)


def possible(form):
    """Say whether a form can be written, and means something."""
    if form["bits"][1] == 32 and form["syntax"] in ("JPEG-LS", "JPEG, lossless", "JPEG 2000"):
        return False
    tables = form["modality"] == "12 of 16 bits" or form["voi"] not in (None, "empty", "short")
    if tables and (form["signed"] or form["rescale"] == "negative" or form["bits"][0] > 12):
        return False  # the table would not be made for these numbers
    return not (form["marker"] and (form["window"] or form["voi"]))  # a window says itself what is bright


def test_every_form_of_a_dicom_film_comes_back(tmp_path):
    truth, tried, wrong = film(), 0, []
    path = tmp_path / "film"
    for form in forms():
        if not possible(form):
            continue
        pixels, seen = stored(form, truth)
        tried += 1
        write(path, form, pixels)
        try:
            image = read(path).pixels
        except ImageError as error:
            wrong.append((form, str(error)))
            continue
        if unlike(image, truth, seen):
            changed = {name: value for name, value in form.items() if value != CHOICES[name][0]}
            wrong.append((changed, unlike(image, truth, seen), read(path).warnings))
    assert tried >= 500
    assert not wrong, f"{len(wrong)} of {tried}: {wrong[:10]}"


def unlike(image, truth, seen=True):
    """Say how an image differs from the film; nothing if it is the film, in half of the grey range."""
    seen = np.broadcast_to(seen, truth.shape)
    if image.shape != truth.shape or not 0 <= image.min() <= image.max() <= 1:
        return f"shape {image.shape}, {image.min()} to {image.max()}"
    close = np.corrcoef(image[seen], truth[seen])[0, 1]
    spread = np.ptp(np.percentile(image[seen], [1, 99]))
    return "" if close >= 0.97 and spread >= 0.5 else f"correlation {close:.3f}, range {spread:.2f}"


def png(path, pixels):
    """Write a PNG of 16 bits with grey, grey and alpha, or colours; Pillow cannot."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width = pixels.shape[:2]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[pixels.shape[2] if pixels.ndim == 3 else 1]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels.reshape(height, -1))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def channels(values, colours, dtype, full):
    parts = [values] * (3 if colours in ("RGB", "RGBA") else 1)
    parts += [np.full_like(values, full)] if colours.endswith("A") else []
    return (np.stack(parts, -1) if len(parts) > 1 else parts[0]).astype(dtype)


def pictures():
    """Yield a name and a function that writes the film in that form."""
    for bits, colours, marker in itertools.product((8, 10, 12, 16), ("L", "LA", "RGB", "RGBA"), (0, 1)):

        def deep_png(path, values, bits=bits, colours=colours, marker=marker):
            numbers = marked(np.rint(values * (2**bits - 1)), marker * 65535)
            png(path, channels(numbers, colours, "u2", 65535))

        yield f"PNG, {bits} of 16 bits, {colours}, marker {marker}", deep_png
    kinds = ("u1", "u2", "u4", "i2", "i4", "f4", "f8")
    for kind, order, planes, packed in itertools.product(kinds, "<>", (0, 1), (None, "zlib", "lzw")):
        for bits in {"u1": (8,), "u2": (8, 12, 16), "u4": (12, 32)}.get(kind, (12,)):

            def tiff(path, values, kind=kind, order=order, planes=planes, packed=packed, bits=bits):
                numbers = values if kind[0] == "f" else np.rint(values * (2.0**bits - 1))
                numbers = numbers - 1000 if kind[0] == "i" else numbers
                colours = [numbers] * 3 if planes else numbers
                options = {"photometric": "rgb", "planarconfig": "separate"} if planes else {}
                options = options or {"photometric": "minisblack"}
                tifffile.imwrite(
                    path, np.array(colours, kind), byteorder=order, compression=packed, **options
                )

            yield f"TIFF, {kind}, {order}, {bits} bits, planes {planes}, {packed}", tiff
    for kind, mode in itertools.product(
        ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "JPEG2000"), ("L", "RGB", "RGBA")
    ):
        if (kind, mode) != ("JPEG", "RGBA"):

            def pillow(path, values, kind=kind, mode=mode):
                Image.fromarray(np.rint(values * 255).astype("u1")).convert(mode).save(path, kind)

            yield f"{kind}, {mode}", pillow
    for planar, kind, space in itertools.product((0, 1), ("u1", "u2"), ("RGB", "YBR_FULL")):

        def colour(path, values, planar=planar, kind=kind, space=space):
            top = 255 if kind == "u1" else 4095
            three = (
                [values, values, values] if space == "RGB" else [values, values * 0 + 0.5, values * 0 + 0.5]
            )
            pixels = np.rint(np.stack(three, 0 if planar else -1) * top).astype(kind)
            data = Dataset()
            data.SOPClassUID, data.SOPInstanceUID = uid.SecondaryCaptureImageStorage, uid.generate_uid()
            data.Rows, data.Columns = values.shape
            data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, space, planar
            data.BitsAllocated = 8 * pixels.dtype.itemsize
            data.BitsStored, data.PixelRepresentation = 8 if kind == "u1" else 12, 0
            data.HighBit = data.BitsStored - 1
            save(path, data, "explicit", pixels)

        if (kind, space) != ("u2", "YBR_FULL"):  # DICOM has it with eight bits only
            yield f"DICOM, {space}, {kind}, planes {planar}", colour


def marked(numbers, value):
    if value:
        numbers[3:6, 3:6] = value
    return numbers


def test_every_form_of_a_picture_comes_back(tmp_path):
    truth, wrong, tried = film(), [], 0
    seen = np.ones(truth.shape, bool)
    seen[3:6, 3:6] = False
    for name, write_picture in pictures():
        tried += 1
        write_picture(tmp_path / "film", truth)
        try:
            said = unlike(read(tmp_path / "film").pixels, truth, seen)
        except ImageError as error:
            said = str(error)
        if said:
            wrong.append((name, said))
    assert tried >= 150
    assert not wrong, f"{len(wrong)} of {tried}: {wrong[:10]}"


@pytest.mark.parametrize("kind", ["FloatPixelData", "DoubleFloatPixelData"])
def test_floating_point_dicom(kind, tmp_path):
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = uid.ParametricMapStorage, uid.generate_uid()
    data.Rows, data.Columns = film().shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = 32 if kind.startswith("Float") else 64
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    setattr(data, kind, (film() * 1e4 - 500).astype("f4" if kind.startswith("Float") else "f8").tobytes())
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert not unlike(read(tmp_path / "a.dcm").pixels, film())


def test_more_pixels_than_the_header_says_are_not_cut_off_in_silence(tmp_path):
    form = {name: values[0] for name, values in CHOICES.items()}
    pixels, _ = stored(form, film())
    write(tmp_path / "a.dcm", form, pixels)
    data = pydicom.dcmread(tmp_path / "a.dcm")
    data.Rows = 40
    data.save_as(tmp_path / "a.dcm")
    with pytest.raises(ImageError, match="Rows, Columns or NumberOfFrames is wrong"):
        read(tmp_path / "a.dcm")


def test_what_could_not_be_used_is_said(tmp_path):
    form = {name: values[0] for name, values in CHOICES.items()} | {"window": "zero", "rescale": "empty"}
    pixels, _ = stored(form, film())
    write(tmp_path / "a.dcm", form, pixels)
    said = read(tmp_path / "a.dcm").warnings
    assert said == ["rescale slope or intercept cannot be used", "window center or width cannot be used"]


def ordinary(truth, bits=12, **changes):
    """Return an ordinary film as a data set, with other elements as given; one that is None is missing."""
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = uid.DigitalXRayImageStorageForPresentation, uid.generate_uid()
    data.Rows, data.Columns = truth.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, bits, bits - 1, 0
    for name, value in changes.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    return data


def numbers(truth, bits=12):
    return np.rint(truth * (2**bits - 1)).astype("u2")


def encapsulated(path, frame, syntax, data):
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.PixelData = pydicom.encaps.encapsulate([frame])
    data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
    data.save_as(path, enforce_file_format=True)


def lut(entries, values):
    return [table(entries, 12, values)]


def grouped(**elements):
    item, group = Dataset(), Dataset()
    for name, value in elements.items():
        setattr(item, name, value)
    name = "FrameVOILUTSequence" if "WindowWidth" in elements else "PixelValueTransformationSequence"
    setattr(group, name, [item])
    return [group]


LINE = np.arange(4096)
NATIVE_SIBLINGS = {
    "a descriptor that is one too long": {"VOILUTSequence": lut(4097, LINE)},
    "a VOI table in the wrong byte order": {"VOILUTSequence": lut(4096, LINE.astype("u2").byteswap())},
    "a modality table of noise": {
        "ModalityLUTSequence": lut(4096, np.random.default_rng(0).permutation(LINE))
    },
    "a modality table for other values": {"ModalityLUTSequence": lut(256, np.arange(256))},
    "a slope without end": {"RescaleSlope": "1e300", "RescaleIntercept": 0},
    "a slope of nothing": {"RescaleSlope": "1e-300", "RescaleIntercept": 0},
    "an intercept that swallows the film": {"RescaleSlope": 1, "RescaleIntercept": "1e15"},
    "fewer bits stored than are used": {"BitsStored": 8, "HighBit": 7},
    "no pixel representation": {"PixelRepresentation": None},
    "less than no frames": {"NumberOfFrames": "-1"},
    "more frames than there are": {"NumberOfFrames": 2},
    "a window of an enhanced film": {
        "SharedFunctionalGroupsSequence": grouped(WindowCenter=2048, WindowWidth=4096)
    },
}


@pytest.mark.parametrize("kind", NATIVE_SIBLINGS)
def test_a_film_with_a_header_that_is_wrong_in_one_place(kind, tmp_path):
    save(tmp_path / "film", ordinary(film(), **NATIVE_SIBLINGS[kind]), "explicit", numbers(film()))
    assert not unlike(read(tmp_path / "film").pixels, film())


def test_what_an_enhanced_film_says_in_its_groups_counts(tmp_path):
    groups = grouped(RescaleSlope=-1, RescaleIntercept=4095, RescaleType="US")
    data = ordinary(film(), SharedFunctionalGroupsSequence=groups)
    save(tmp_path / "film", data, "explicit", 4095 - numbers(film()))
    assert not unlike(read(tmp_path / "film").pixels, film())


def test_bytes_after_the_last_element_take_no_memory(tmp_path):
    save(tmp_path / "film", ordinary(film()), "explicit", numbers(film()))
    with open(tmp_path / "film", "ab") as file:
        file.write(b"garbage" * 100)
    assert not unlike(read(tmp_path / "film").pixels, film())


def luminance(truth):
    grey = np.rint(truth * 255).astype("u1")
    return np.stack([grey, np.full_like(grey, 128), np.full_like(grey, 128)], -1)


def test_colours_that_no_codec_has_turned_to_red_green_and_blue(tmp_path):
    pixels, options = luminance(film()), {"reversible": True, "mct": False, "codecformat": "J2K"}
    kinds = {
        uid.JPEGLSLossless: imagecodecs.jpegls_encode(pixels),
        uid.JPEG2000Lossless: imagecodecs.jpeg2k_encode(pixels, **options),
        uid.JPEGLosslessSV1: imagecodecs.jpeg8_encode(pixels, lossless=True),
    }
    for syntax, frame in kinds.items():
        data = ordinary(film(), 8, BitsAllocated=8, SamplesPerPixel=3, PhotometricInterpretation="YBR_FULL")
        encapsulated(tmp_path / "film", frame, syntax, data)
        assert not unlike(read(tmp_path / "film").pixels, film()), syntax


def test_a_jpeg_that_says_its_colours_is_believed(tmp_path):
    frame = imagecodecs.jpeg8_encode(np.stack([numbers(film(), 8).astype("u1")] * 3, -1), level=95)
    data = ordinary(film(), 8, BitsAllocated=8, SamplesPerPixel=3, PhotometricInterpretation="RGB")
    encapsulated(tmp_path / "film", frame, uid.JPEGBaseline8Bit, data)
    assert not unlike(read(tmp_path / "film").pixels, film())


def test_monochrome1_of_three_colours_is_inverted(tmp_path):
    data = ordinary(film(), 8, BitsAllocated=8, SamplesPerPixel=3, PhotometricInterpretation="MONOCHROME1")
    pixels = np.stack([255 - numbers(film(), 8).astype("u1")] * 3, -1)
    save(tmp_path / "film", data, "explicit", pixels)
    assert not unlike(read(tmp_path / "film").pixels, film())


def test_rows_that_are_fewer_than_a_run_length_encoded_film_has(tmp_path):
    save(tmp_path / "film", ordinary(film()), "RLE", numbers(film()))
    data = pydicom.dcmread(tmp_path / "film")
    data.Rows = 40
    data.save_as(tmp_path / "film")
    with pytest.raises(ImageError, match="the frame holds 7680 numbers, Rows and Columns say 3200"):
        read(tmp_path / "film")


# what OpenJPH makes of columns times nine and rows times three
HIGH_THROUGHPUT = (
    "/0//UQApQAAAAAAUAAAAGAAAAAAAAAAAAAAAFAAAABgAAAAAAAAAAAABBwEB/1AACAACAAAAAv9SAAwAAgABAAUEBEAB/1wA"
    "EyBIUFBQUFBQUFBQUFBQSEhI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAHkAAf+TwCX7AAd0AMASwBKAJgGH"
    "dADmAId0AMARwBGAG3MABjMAwBJAE4AMcnQAWuvByf61AMAVcAVIpjGmMdgv1+ALdwBMkvQCRknstwDALQgFYAAAAAAAAO/4"
    "p6enp6fCegAEAOD/UL3Xv3XsuQD/2Q=="
)


def test_high_throughput_jpeg_2000(tmp_path):
    truth = np.add.outer(np.arange(24) * 3, np.arange(20) * 9) / 255
    data = ordinary(truth, 8, BitsAllocated=8)
    encapsulated(tmp_path / "film", base64.b64decode(HIGH_THROUGHPUT), uid.HTJ2KLossless, data)
    assert not unlike(read(tmp_path / "film").pixels, truth)


def border(values, value):
    values = values.copy()
    values[:4] = value
    return values


def writers():
    """Yield a name, and a function that writes the film as a picture in a way that readers mistake."""
    grey, deep = numbers(film(), 8).astype("u1"), numbers(film(), 16)
    none = np.zeros_like(deep)

    def tiff(pixels, **options):
        return lambda path: tifffile.imwrite(path, pixels, **options)

    ramp = np.stack([np.arange(65535, -1, -1).astype("u2")] * 3)
    yield "signed bytes", tiff((grey.astype(int) - 128).astype("i1"))
    yield "64 bits", tiff((film() * 1e12).astype("u8"))
    yield "four inks", tiff(np.stack([none, none, none, 65535 - deep], -1), photometric="separated")
    yield "a palette of 16 bits", tiff(65535 - deep, photometric="palette", colormap=ramp)
    yield "lightness of 16 bits", tiff(np.stack([deep, none, none], -1), photometric="cielab")
    extra = {"extrasamples": ["unspecified"], "photometric": "minisblack", "planarconfig": "contig"}
    yield "a channel that is no transparency", tiff(np.stack([deep, none], -1), **extra)

    def thumbnail(path):
        with tifffile.TiffWriter(path) as writer:
            writer.write(grey[::8, ::8], subfiletype=1)
            writer.write(grey)

    yield "a small copy first", thumbnail
    colours = np.stack([numbers(film())] * 3, -1)
    signed = numbers(film()).astype("i2") - 2048
    for name, pixels in (("12-bit colours", colours), ("signed numbers", signed)):
        yield (
            f"JPEG 2000 of {name}",
            lambda path, pixels=pixels: path.write_bytes(imagecodecs.jpeg2k_encode(pixels, reversible=True)),
        )

    def empty_alpha(path):
        masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
        rows = np.stack([grey[::-1]] * 3 + [np.zeros_like(grey)], -1).tobytes()
        height, width = grey.shape
        header = struct.pack("<IiiHHIIiiII", 56, width, height, 1, 32, 3, len(rows), 0, 0, 0, 0) + masks
        path.write_bytes(b"BM" + struct.pack("<IHHI", 70 + len(rows), 0, 0, 70) + header + rows)

    yield "a BMP whose fourth byte is empty", empty_alpha


@pytest.mark.parametrize("name", dict(writers()))
def test_a_picture_that_readers_take_for_another(name, tmp_path):
    dict(writers())[name](tmp_path / "film")
    assert not unlike(read(tmp_path / "film").pixels, film())


def test_a_border_that_nobody_declared_does_not_set_the_range(tmp_path):
    seen = border(np.ones(film().shape, bool), False)
    png(tmp_path / "film", border(numbers(film()), 65535))
    assert not unlike(read(tmp_path / "film").pixels, film(), seen)
    tifffile.imwrite(tmp_path / "film", border(film() * 4000, -9999).astype("f4"))
    assert not unlike(read(tmp_path / "film").pixels, film(), seen)
    save(tmp_path / "film", ordinary(film(), 16), "explicit", border(numbers(film()), 65535))
    assert not unlike(read(tmp_path / "film").pixels, film(), seen)


def zeros_at_the_end(content):
    return content[: len(content) // 2] + bytes(len(content) - len(content) // 2)


def missing_strip(path):
    tifffile.imwrite(path, numbers(film(), 16), rowsperstrip=16)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        sizes = tiff.pages[0].tags["StripByteCounts"]
        sizes.overwrite([*sizes.value[:2], 0, *sizes.value[3:]])


def half_a_png(path):
    rows = b"".join(b"\0" + row.tobytes() for row in numbers(film(), 8).astype("u1")[:48])
    header = struct.pack(">IIBBBBB", 80, 96, 8, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        content += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    path.write_bytes(content)


def interrupted(kind):
    def write(path):
        Image.fromarray(numbers(film(), 8).astype("u1")).save(path, kind)
        path.write_bytes(zeros_at_the_end(path.read_bytes()))

    return write


LOST = {
    "JPEG": (interrupted("JPEG"), "truncated"),
    "JPEG 2000": (interrupted("JPEG2000"), "truncated"),
    "PNG": (half_a_png, "Not enough image data"),
    "TIFF": (missing_strip, "strips or tiles of it are missing"),
}


@pytest.mark.parametrize("kind", LOST)
def test_a_picture_that_has_lost_a_part_is_refused(kind, tmp_path):
    damage, reason = LOST[kind]
    damage(tmp_path / "film")
    with pytest.raises(ImageError, match=reason):
        read(tmp_path / "film")
