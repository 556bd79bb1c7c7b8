"""The font of the formulas: the browser sets MathML with the tables that only a mathematical font has.

Many machines have none; indices would then stand on the line. STIX Two Math comes with ziamath, and pages
load no more of it than formulas need.
"""

from __future__ import annotations

import html as entities
import io
import re
from importlib.util import find_spec
from pathlib import Path

from sdnet_lib.files import write_bytes

FONT = "fonts/STIXTwoMath-Regular.ttf"  # in the package ziamath, under the SIL Open Font License
WOFF = "_static/math.woff"
FORMULA = re.compile(r"<math\b.*?</math>", re.DOTALL)
# slanted letters, Latin and Greek, which a browser takes for a single letter; h has an older place of its own
SLANTED = [*range(0x1D434, 0x1D468), *range(0x1D6E2, 0x1D71C), 0x210E]


def write(html: Path) -> None:
    """Write the font of all formulas in the pages of the folder `html`, for ``course.css`` to name."""
    pages = [file.read_text(encoding="utf-8") for file in sorted(html.rglob("*.html"))]
    letters = {ord(letter) for page in pages for letter in in_formulas(page)}
    if letters:
        write_bytes(html / WOFF, subset({*letters, *SLANTED}))


def in_formulas(page: str) -> set[str]:
    """Return the letters that the formulas of a page show."""
    shown = (re.sub(r"<[^>]*>", "", formula) for formula in FORMULA.findall(page))
    return set(entities.unescape("".join(shown)))


def subset(letters: set[int]) -> bytes:
    """Return a web font with these letters, with their large forms, and the tables that place them."""
    from fontTools import subset as tools

    font = Path(find_spec("ziamath").origin).parent / FONT
    options = tools.Options(flavor="woff", layout_features=["*"], name_IDs=["*"], notdef_outline=True)
    opened = tools.load_font(str(font), options)
    cut = tools.Subsetter(options)
    cut.populate(unicodes=letters)
    cut.subset(opened)
    written = io.BytesIO()
    tools.save_font(opened, written, options)
    return written.getvalue()
