"""How much burnt-in text is found: words of many sizes, fonts, greys and places, planted in phantoms.

``python -m sdnet_lib.build.text_trial --films 60`` prints the table.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from sdnet_lib.build import burnt_in
from sdnet_lib.phantom.acquisition import SITES
from sdnet_lib.phantom.radiograph import radiograph

SIZE = 1024  # pixels of a film
HEIGHTS = (12, 16, 24, 40)  # of the letters, in pixels
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono")
GREYS = (1.0, 0.8, 0.0)
PLACES = ((0.03, 0.03), (0.6, 0.03), (0.03, 0.92), (0.6, 0.92), (0.35, 0.5))
WORDS = ("ZYLINSKI AGNIESZKA", "12345678", "14/03/2020", "Sanatorio Villaverde")
CONTRASTS = (0, 0.1, 0.3, 1.01)  # between the letters and what is usual around them
COVERED = 0.9  # of a planted word's pixels that must lie in what would be masked
COLUMNS = ["height", "font", "grey", "place", "contrast", "found"]
LONG = 4  # letters of a find that count as false on a film without text


def run(films: int, seed: int = 0) -> tuple[pd.DataFrame, int]:
    """Plant one word in each film and search; search each without it too.

    Returns
    -------
    finds : DataFrame
        ``height, font, grey, place, contrast, found`` (whether `COVERED` of the word would be masked).
    false : int
        Films without planted text on which `LONG` letters or more were found.
    """
    rng = np.random.default_rng(seed)
    ways = list(product(HEIGHTS, FONTS, GREYS, range(len(PLACES))))
    plain = [name for name, site in SITES.items() if len(site.text) < LONG]  # others burn words in themselves
    rows, false = [], 0
    for number in tqdm(range(films), disable=None, delay=2):
        height, font, grey, place = ways[rng.integers(len(ways))]
        clean = radiograph(int(rng.integers(2**31)), size=SIZE, site=plain[number % len(plain)]).image
        false += any(len(text.words) >= LONG for text in burnt_in.find(clean))
        image, word = planted(clean, WORDS[number % len(WORDS)], height, font, grey, PLACES[place])
        masked = np.zeros(image.shape, bool)
        for text in burnt_in.find(image):
            masked[text.top : text.bottom, text.left : text.right] = True
        contrast = abs(grey - float(np.median(clean[word])))
        rows.append((height, font, grey, place, contrast, bool(masked[word].mean() >= COVERED)))
    return pd.DataFrame(rows, columns=COLUMNS), false


def planted(
    image: np.ndarray, word: str, height: int, font: str, grey: float, place: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a word into a film; return the film and where the word's pixels are."""
    file = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{font}.ttf")
    mask = Image.new("L", image.shape[::-1])
    corner = (place[0] * image.shape[1], place[1] * image.shape[0])
    ImageDraw.Draw(mask).text(corner, word, fill=255, font=ImageFont.truetype(file, height))
    weight = np.asarray(mask, np.float32) / 255
    return image * (1 - weight) + grey * weight, weight > 0.5


def main() -> None:
    """Print recall by height, font, grey and place, and the false finds."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--films", type=int, default=60)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    finds, false = run(given.films, given.seed)
    finds["contrast"] = pd.cut(finds["contrast"], CONTRASTS, right=False).astype(str)
    for column in finds.columns.drop("found"):
        print(finds.groupby(column)["found"].agg(["sum", "size"]).to_string())
    print(
        f"found {finds['found'].sum()} of {len(finds)}; false finds on {false} of {given.films} films without"
    )


if __name__ == "__main__":
    main()
