"""Damaged picture files: each gives an image or an `ImageError`, and the process lives.

``python -m tests.data.fuzz 100000`` (``make fuzz``) tries more than the tests do.
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image
from pydicom.data import get_testdata_file

from sdnet_lib.data.images import ImageError, read

OF_PYDICOM = (  # small ones; each is another syntax
    "CT_small.dcm",
    "ExplVR_BigEnd.dcm",
    "JPEG2000.dcm",
    "JPGExtended.dcm",
    "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "SC_rgb_jls_lossy_line.dcm",
    "SC_rgb_jls_lossy_sample.dcm",
    "SC_rgb_jpeg_app14_dcmd.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "SC_rgb_rle_16bit.dcm",
    "examples_palette.dcm",
    "image_dfl.dcm",
    "liver_1frame.dcm",
    "rtdose.dcm",
)


def originals(folder: Path) -> list[bytes]:
    """Return sound files of all kinds."""
    pixels = np.random.default_rng(0).integers(0, 255, (48, 40), np.uint8)
    for kind in ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "JPEG2000"):
        Image.fromarray(pixels).convert("RGB").save(folder / kind, kind)
        Image.fromarray(pixels).save(folder / f"{kind} grey", kind)
    Image.fromarray(pixels).convert("P").save(folder / "palette.png")
    Image.fromarray(pixels.astype(np.uint16) * 16).save(folder / "16.png")
    for number, packed in enumerate((None, "zlib", "lzw", "packbits")):
        deep = np.stack([pixels.astype(np.uint16)] * (3 if number % 2 else 1), -1).squeeze()
        tifffile.imwrite(folder / f"{number}.tif", deep, compression=packed)
    (folder / "ljpeg").write_bytes(imagecodecs.ljpeg_encode(pixels.astype(np.uint16)))
    found = [file.read_bytes() for file in sorted(folder.iterdir())]
    return found + [Path(get_testdata_file(name, download=False)).read_bytes() for name in OF_PYDICOM]


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Change a few bytes, cut, repeat or blank a part; more often near the start, where the header is."""
    data = bytearray(content)
    reach = len(data) if rng.random() < 0.5 else min(len(data), 1024)
    for _ in range(rng.integers(1, 8)):
        start = int(rng.integers(reach))
        match rng.integers(6):
            case 0 | 1:
                data[start % len(data)] = rng.integers(256)
            case 2:
                data[start % len(data)] ^= 1 << rng.integers(8)
            case 3:
                data[start : start + 4] = rng.choice(
                    [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\x7f", b"\0\x80\0\0"]
                )
            case 4:
                data[start:start] = data[start : start + int(rng.integers(1, 64))]
            case _:
                del data[start : start + int(rng.integers(1, max(2, len(data) // 4)))]
        if not data:
            return b"\0"
    return bytes(data)


def run(count: int, seed: int) -> Counter:
    """Read so many damaged files; count those that were read, and those refused by kind of reason."""
    rng, results = np.random.default_rng(seed), Counter()
    with tempfile.TemporaryDirectory() as folder:
        sound = originals(Path(tempfile.mkdtemp(dir=folder)))
        path = Path(folder) / "film"
        for _ in range(count):
            path.write_bytes(damaged(sound[rng.integers(len(sound))], rng))
            try:
                image = read(path).pixels
            except ImageError as error:
                ended = [why for why in ("ends the decoder", "s of computing", "GB") if why in error.reason]
                results[(ended or ["refused"])[0]] += 1
                if "\n" in str(error):
                    raise AssertionError(f"more than one line: {error}") from error
            else:
                if not (np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1):
                    raise AssertionError(f"grey levels from {image.min()} to {image.max()}")
                results["read"] += 1
    return results


if __name__ == "__main__":
    tried, done, step = int(sys.argv[1]), Counter(), 1000
    for start in range(0, tried, step):
        done += run(min(step, tried - start), seed=start)
        print(f"{min(start + step, tried):,} damaged files: {dict(done)}", flush=True)
