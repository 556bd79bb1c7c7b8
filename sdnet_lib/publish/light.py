"""Pages that load little: what a theme brings and nobody sees is left out, and figures are stored small."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from sdnet_lib.files import write_bytes

QUALITY = 85  # of WebP, for figures that hold a film
SHADES = 0.1  # fraction of a drawing that may be neither light, dark nor a strong colour; a film has far more
COLOURS = 256  # of a figure that is lines and letters; then nothing but rare shades is lost
DRAWN_BY_A_CELL = re.compile(r"[0-9a-f]{64}")  # the names that MyST-NB gives; others are linked by name, too
ICON_SCRIPT = re.compile(r"<script[^>]*fontawesome[^>]*>\s*</script>")
FONT_IN_ADVANCE = re.compile(r'<link rel="preload" as="font"[^>]*>\s*')
ICON_RULE = re.compile(r"(?P<names>(?:\.fa-[\w-]+(?:::?before)?,?)+)\{(?:--fa:|content:)[^}]*\}")


def lighten(html: Path) -> None:
    """Make the pages in the folder `html` light.

    Font Awesome's script of 1.4 MB goes, for its style sheet shows the same icons from a font, and keeps only
    those that a page shows. Fonts are loaded when they are used, not in advance. Figures become WebP. What is
    drawn is called ``.lines.webp``: the style sheet inverts it on a dark page, as it must not do with a film.
    """
    pages = {file: file.read_text(encoding="utf-8") for file in html.rglob("*.html")}
    smaller = _figures(html / "_images", "".join(pages.values()))
    for file, text in pages.items():
        text = FONT_IN_ADVANCE.sub("", ICON_SCRIPT.sub("", text))
        text = re.sub(r"(?<=_images/)[^\"/]+\.png", lambda name: smaller.get(name[0], name[0]), text)
        pages[file] = text
        file.write_text(text, encoding="utf-8")
    scripts = [file.read_text(encoding="utf-8") for file in html.glob("_static/*.js")]
    used = set(re.findall(r"\bfa-[\w-]+", "\n".join([*pages.values(), *scripts])))
    for sheet in html.glob("_static/vendor/fontawesome/*/css/all.min.css"):
        sheet.write_text(_only(used, sheet.read_text(encoding="utf-8")), encoding="utf-8")


def small(figure: Image.Image) -> bytes:
    """Return a figure as WebP: lines and letters with `COLOURS` exact colours, films with `QUALITY`.

    Whichever is smaller: a film has too many shades to be stored exactly.
    """
    flat = figure.convert("RGBA" if "A" in figure.getbands() or "transparency" in figure.info else "RGB")
    few = flat.quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    kinds = []
    for image, options in (
        (few.convert(flat.mode), {"lossless": True, "quality": 60}),
        (flat, {"quality": QUALITY}),
    ):
        file = io.BytesIO()
        image.save(file, "WEBP", method=4, **options)
        kinds.append(file.getvalue())
    return min(kinds, key=len)


def is_drawn(figure: Image.Image) -> bool:
    """Say whether a figure is lines, letters and areas of colour, and no film is in it."""
    pixels = np.asarray(figure.convert("RGB")).astype(int)
    low, high = pixels.min(-1), pixels.max(-1)
    return bool(((low > 40) & (high < 215) & (high - low < 90)).mean() < SHADES)


def _figures(folder: Path, pages: str) -> dict[str, str]:
    """Write a WebP for each PNG that a page shows, unless that is larger; return new names by old ones."""
    smaller = {}
    for file in sorted(folder.glob("*.png")):
        if f"_images/{file.name}" not in pages:
            continue
        with Image.open(file) as figure:
            stored = small(figure)
            ending = ".lines.webp" if is_drawn(figure) else ".webp"
        if len(stored) >= file.stat().st_size:
            continue
        smaller[file.name] = file.stem + ending
        write_bytes(folder / smaller[file.name], stored)
        if DRAWN_BY_A_CELL.fullmatch(file.stem):
            file.unlink()
    return smaller


def _only(used: set[str], sheet: str) -> str:
    """Return Font Awesome's style sheet with the rules of those icons alone that are `used`."""

    def keep(rule: re.Match) -> str:
        names = set(re.findall(r"fa-[\w-]+", rule["names"]))
        return rule[0] if names & used else ""

    return ICON_RULE.sub(keep, sheet)
