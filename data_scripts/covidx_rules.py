"""The published rules of COVIDx, and the paper's count of it, beside what its lists say."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd

import sdnet_lib
from data_scripts import cxr_collection, figure1, rsna_pneumonia

CLASSES = ("normal", "pneumonia", "COVID-19")
OTHER_PNEUMONIA = ("SARS", "MERS", "Streptococcus", "Klebsiella", "Chlamydophila", "Legionella")
# the class of the first finding; the collection's No Finding has none
RULE = {
    "COVID-19": "COVID-19",
    **dict.fromkeys(OTHER_PNEUMONIA, "pneumonia"),
    rsna_pneumonia.NORMAL: "normal",
    rsna_pneumonia.OPACITY: "pneumonia",
}
MARCH = ("8", "31", "19", "20", "36", "42", "86")  # patients of the collection who are tested
APRIL = ("94", "97", "117", "132", "138", "144", "150", "163", "169")
PAPER = Path(sdnet_lib.__file__).parent / "results" / "paper_table_1.csv"


class Version(NamedTuple):
    """A release of COVIDx.

    Attributes
    ----------
    lists : str
        What its lists are called.
    parts, views, tested : tuple of str
        What its rules take: sources, the views of the COVID-19 Image Data Collection, and the patients of the
        latter who are tested.
    paper : str
        Its row in Table 1 of the paper.
    why : str
        Why that row has other numbers.
    """

    lists: str
    parts: tuple[str, ...]
    views: tuple[str, ...]
    tested: tuple[str, ...]
    paper: str
    why: str


VERSIONS = {
    "covidx1": Version(
        lists="COVIDx",
        parts=(cxr_collection.SOURCE, rsna_pneumonia.SOURCE),
        views=("PA",),
        tested=MARCH,
        paper="COVIDx 1.0",
        why="the paper counts the lists of 21 March 2020, with normal and pneumonia images of children, less "
        "the 17 pneumonia images of the collection; these lists are of 28 March",
    ),
    "covidx2": Version(
        lists="COVIDx2",
        parts=(cxr_collection.SOURCE, figure1.SOURCE, rsna_pneumonia.SOURCE),
        views=("PA", "AP", "AP Supine", "AP semi erect", "AP erect", "AP Erect"),
        tested=MARCH + APRIL,
        paper="COVIDx 2.0",
        why="the paper counts the normal and pneumonia lines of the lists of 28 March, repeated ones too; "
        "these lists are of 14 April and repeat none; where its other COVID-19 images are from is not known",
    ),
}


def by_rules(images: pd.DataFrame, here: pd.DataFrame, version: Version, tested: set[str]) -> str:
    """Apply the rules to the parts, and say how far they come to what the lists say.

    Parameters
    ----------
    images : pandas.DataFrame
        The listed images: `name`, `class`, `split`.
    here : pandas.DataFrame
        The images of all parts that are here, from `covidx.parts`.
    version : Version
    tested : set of str
        RSNA's patients who are tested.
    """
    seen = (here["source"] != cxr_collection.SOURCE) | here["view"].isin(version.views)
    known = here["finding"].str.split(",").str[0].str.strip().map(RULE)
    side = here["patient"].isin(tested | {*version.tested}).map({True: "test", False: "train"})
    ours = here.assign(seen=seen, known=known, side=side)
    taken = ours["known"].notna() & ours["seen"] & ours["source"].isin(version.parts)
    both = images.merge(ours.assign(taken=taken), on="name")
    same = both["taken"] & (both["class"] == both["known"]) & (both["split"] == both["side"])
    more = int((taken & ~ours["name"].isin(images["name"])).sum())
    lines = [
        f"{same.sum():,} of the {len(both):,} listed images that are here get the listed class and side",
        f"{(both['taken'] & ~same).sum():,} another",
        f"{(~both['taken']).sum():,} none ({(~both['seen']).sum():,} for their view in this copy)",
        f"{more:,} that are not listed would be taken",
    ]
    return f"by the published rules: {', '.join(lines)}"


def table_1(images: pd.DataFrame, name: str) -> tuple[dict[str, int], dict[str, int]]:
    """Return how many images of each class the lists have, and how many Table 1 of the paper says.

    Parameters
    ----------
    images : pandas.DataFrame
        The listed images, each once.
    name : str
        One of `VERSIONS`.
    """
    paper = pd.read_csv(PAPER).set_index("version").loc[VERSIONS[name].paper]
    counts = images["class"].value_counts()
    return {one: int(counts.get(one, 0)) for one in CLASSES}, dict(
        zip(CLASSES, paper.astype(int), strict=True)
    )


def beside_table_1(images: pd.DataFrame, name: str) -> str:
    """Set `table_1` into one line, and say why the two differ."""
    ours, theirs = (
        ", ".join(f"{count:,} {one}" for one, count in counts.items()) for counts in table_1(images, name)
    )
    version = VERSIONS[name]
    return f"listed: {ours}; Table 1 of the paper, {version.paper}: {theirs}; {version.why}"
