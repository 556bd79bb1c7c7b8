"""Draw the pictures of the method: ``python book/images/draw.py`` writes the SVG files beside it anew."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from sdnet_lib.lungs import crop
from sdnet_lib.phantom import radiograph

HERE = Path(__file__).parent
INK, QUIET, BLUE, RED, SEED = "#12444f", "#e9f3f2", "#0072b2", "#d55e00", 20
# each step lights up in turn; whoever asked for less motion sees all of them lit
STYLE = """text{font:14px sans-serif;fill:#222;text-anchor:middle}.big{font-size:16px;font-weight:700}
path.arrow{stroke:#555;stroke-width:2;fill:none;marker-end:url(#end)}
@media(prefers-reduced-motion:no-preference){.step{animation:light 12s infinite}
@keyframes light{0%,60%,100%{opacity:1}75%{opacity:.55}}}"""
TIP = '<path d="M0 0L6 3L0 6z"/>'
END = f'<marker id="end" markerWidth="8" markerHeight="8" refX="6" refY="3" orient="auto">{TIP}</marker>'


def svg(name: str, width: int, height: int, title: str, *parts: str) -> None:
    """Write a picture with a white ground, readable in a dark page too."""
    start = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
    style = f"<title>{title}</title><style>{STYLE}</style><defs>{END}</defs>"
    ground = '<rect width="100%" height="100%" fill="#fff"/>'
    text = f"{start}{style}{ground}{''.join(parts)}</svg>\n"
    (HERE / f"{name}.svg").write_text(text, encoding="utf-8")


def box(
    x: float, y: float, width: float, height: float, text: str, fill: str = QUIET, edge: str = INK
) -> str:
    """Return a rectangle with lines of text in its middle."""
    lines = text.split("\n")
    first = y + height / 2 + 5 - 8.5 * (len(lines) - 1)
    words = "".join(label(x + width / 2, first + 17 * i, line) for i, line in enumerate(lines))
    place = f'x="{x}" y="{y}" width="{width}" height="{height}" rx="6"'
    return f'<rect {place} fill="{fill}" stroke="{edge}"/>{words}'


def arrow(*points: tuple[float, float]) -> str:
    """Return an arrow through points."""
    return '<path class="arrow" d="M' + "L".join(f"{x} {y}" for x, y in points) + '"/>'


def label(x: float, y: float, text: str, kind: str = "") -> str:
    """Return a line of text around `x`."""
    return f'<text x="{x}" y="{y}" class="{kind}">{text}</text>'


def film(values: np.ndarray, x: float, y: float, side: float, edge: str = INK) -> str:
    """Return a picture with values in [0, 1] and a frame."""
    file = io.BytesIO()
    Image.fromarray((255 * values).clip(0, 255).astype(np.uint8)).resize((180, 180)).save(
        file, "JPEG", quality=80
    )
    data = base64.b64encode(file.getvalue()).decode()
    return (
        f'<image href="data:image/jpeg;base64,{data}" x="{x}" y="{y}" width="{side}" height="{side}"/>'
        f'<rect x="{x}" y="{y}" width="{side}" height="{side}" fill="none" stroke="{edge}" stroke-width="3"/>'
    )


def step(number: int, *parts: str) -> str:
    """Return a group that lights up as the `number`-th."""
    return f'<g class="step" style="animation-delay:{1.5 * number - 9}s">{"".join(parts)}</g>'


def pipeline() -> None:
    """Draw how COVID-SDNet reads one synthetic patient."""
    made = radiograph.radiograph(SEED, size=360, label="P", severity="Moderate")
    left, top, right, bottom = crop.bounding_box(made.lung_mask)
    lungs = made.image * np.where(made.lung_mask, 1, 0.35)
    inside = made.image[top:bottom, left:right]
    y, side, twin = 60, 150, 110
    svg(
        "pipeline",
        1040,
        300,
        "From film to decision",
        step(
            0, film(made.image, 10, y, side), label(85, 40, "1  film", "big"), label(85, 232, "chapters 1, 2")
        ),
        arrow((164, 135), (192, 135)),
        step(
            1,
            film(lungs, 198, y, side),
            label(273, 40, "2  lungs found", "big"),
            label(273, 232, "chapter 3"),
        ),
        arrow((352, 135), (380, 135)),
        step(2, film(inside, 386, y, side), label(461, 40, "3  crop", "big"), label(461, 232, "chapter 3")),
        arrow((540, 120), (590, 80)),
        arrow((540, 150), (590, 205)),
        step(
            3,
            film(inside, 600, 22, twin, RED),
            film(inside, 600, 156, twin, BLUE),
            label(655, 16, "4  twins", "big"),
            label(655, 150, "x+, towards P"),
            label(655, 284, "x-, towards N; chapter 4"),
        ),
        arrow((716, 80), (768, 120)),
        arrow((716, 205), (768, 155)),
        step(
            4,
            box(776, 105, 100, 62, "fusion"),
            label(826, 40, "5  one answer", "big"),
            label(826, 232, "chapter 5"),
        ),
        arrow((880, 135), (908, 135)),
        step(
            5,
            box(916, 105, 110, 62, "P or N,\nand why"),
            label(971, 40, "6  checked", "big"),
            label(971, 232, "chapters 6 to 9"),
        ),
    )


def unet() -> None:
    """Draw the U-Net of chapter 3: an encoder down to stride 16 and a decoder up to stride 2."""
    sizes = [256, 128, 64, 32, 16]
    parts = []
    for i, size in enumerate(sizes):
        y = 30 + 62 * i
        parts.append(box(30 + 70 * i, y, 110, 38, f"{size} x {size}"))
        if i:
            parts.append(arrow((85 + 70 * (i - 1), y - 22), (85 + 70 * i, y - 3)))
        if i < 4:
            parts.append(box(690 - 70 * i, y, 110, 38, f"{size} x {size}", "#fdf0e2"))
            parts.append(
                arrow(
                    (745 - 70 * (i + 1) if i < 3 else 424, y + 62 if i < 3 else y + 81),
                    (745 - 70 * i, y + 41),
                )
            )
        if 0 < i < 4:
            parts.append(arrow((145 + 70 * i, y + 19), (684 - 70 * i, y + 19)))
    words = [label(85, 20, "film"), label(745, 20, "mask"), label(415, 105, "details skip the valley")]
    svg("unet", 830, 330, "U-Net", *parts, *words)


def residual() -> None:
    """Draw a residual block and the generator made of such blocks (chapter 4)."""
    names = ["convolution\n3 x 3", "batch norm,\nPReLU", "convolution\n3 x 3", "batch norm"]
    parts = [box(70 + 150 * i, 50, 120, 54, name) for i, name in enumerate(names)]
    parts += [arrow((190 + 150 * i, 77), (217 + 150 * i, 77)) for i in range(3)]
    parts += [arrow((10, 77), (67, 77)), box(680, 55, 44, 44, "+", "#fdf0e2"), arrow((640, 77), (677, 77))]
    parts += [arrow((30, 77), (30, 135), (702, 135), (702, 102)), arrow((724, 77), (790, 77))]
    words = [label(360, 28, "what the block learns: a change"), label(360, 155, "what came in, untouched")]
    svg("residual", 810, 175, "A residual block", *parts, *words)


def twins() -> None:
    """Draw generators and classifier of chapter 4 as they learn together."""
    svg(
        "twins",
        830,
        230,
        "Two generators and the classifier that judges them",
        box(20, 92, 110, 46, "image x"),
        arrow((134, 105), (196, 62)),
        arrow((134, 125), (196, 168)),
        box(200, 34, 170, 54, "generator of P", "#fbe3d6", RED),
        box(200, 142, 170, 54, "generator of N", "#dcecf7", BLUE),
        arrow((374, 61), (426, 61)),
        arrow((374, 169), (426, 169)),
        box(430, 38, 90, 46, "x+"),
        box(430, 146, 90, 46, "x-"),
        arrow((524, 61), (596, 102)),
        arrow((524, 169), (596, 128)),
        box(600, 88, 210, 54, "classifier: does it read\nwhat it should?"),
        label(475, 118, "near x?"),
    )


def fusion() -> None:
    """Draw the decision from two twins (chapter 5)."""
    rows = [
        box(20, 40, 90, 46, "x+"),
        box(20, 134, 90, 46, "x-"),
        box(170, 74, 150, 70, "one network,\nfour classes"),
    ]
    rows += [arrow((114, 63), (167, 95)), arrow((114, 157), (167, 125))]
    rows += [
        box(380, 20, 170, 66, "P+  P-  N+  N-\nof x+: theta"),
        box(380, 132, 170, 66, "P+  P-  N+  N-\nof x-: psi"),
    ]
    rows += [arrow((324, 95), (377, 60)), arrow((324, 125), (377, 160))]
    rows += [box(610, 72, 200, 74, "the largest of all eight\nsays P or N;\na tie says P", "#fdf0e2")]
    rows += [arrow((554, 53), (607, 90)), arrow((554, 165), (607, 128))]
    svg("fusion", 830, 220, "The fusion of two answers", *rows)


def folds() -> None:
    """Draw five-fold cross-validation (chapter 6)."""
    parts = []
    for run in range(5):
        y = 40 + 36 * run
        for fold in range(5):
            test = fold == run
            parts.append(
                box(110 + 120 * fold, y, 114, 28, "test" if test else "train", "#fbe3d6" if test else QUIET)
            )
        parts.append(label(55, y + 19, f"run {run + 1}"))
    parts += [label(167 + 120 * fold, 28, f"fold {fold + 1}") for fold in range(5)]
    svg(
        "folds",
        730,
        262,
        "Cross-validation",
        *parts,
        label(410, 246, "every patient is tested once; then new folds, five times"),
    )


if __name__ == "__main__":
    for draw in (pipeline, unet, residual, twins, fusion, folds):
        draw()
