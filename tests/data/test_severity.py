from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from sdnet_lib import plots
from sdnet_lib.data import severity
from sdnet_lib.files import InputError

LEVEL_OF_SCORE = ["Normal", "Mild", "Mild", "Moderate", "Moderate", "Moderate", "Severe", "Severe", "Severe"]


def test_every_set_of_parts_scores_its_size():
    subsets = [chosen for size in range(9) for chosen in combinations(severity.PARTS, size)]
    assert len(subsets) == 256
    assert all(
        severity.score(chosen) == len(chosen) == severity.score(" ".join(chosen)) for chosen in subsets
    )


@pytest.mark.parametrize(("total", "level"), list(enumerate(LEVEL_OF_SCORE)))
def test_levels_follow_section_1(total, level):
    assert (
        severity.severity(total)
        == severity.severity(float(total))
        == severity.severity(np.int64(total))
        == level
    )
    assert severity.positive_severity(total) == ("Normal-PCR+" if total == 0 else level)


@pytest.mark.parametrize(
    ("extent", "level"),
    [
        (0.0, "Normal"),
        (0.3, "Normal"),  # one rater of three saw one part
        (0.5, "Mild"),  # a half goes up
        (0.7, "Mild"),
        (2.3, "Mild"),
        (2.5, "Moderate"),  # half to even would say Mild
        (2.7, "Moderate"),
        (5.3, "Moderate"),
        (5.7, "Severe"),
        (8.0, "Severe"),
    ],
)
def test_extents_round_halves_up(extent, level):
    assert severity.from_extent(extent) == level


def test_severity_never_falls_as_the_extent_grows():
    levels = severity.extent_severities(pd.Series(np.linspace(0, 8, 801)))
    assert levels.is_monotonic_increasing
    assert set(levels) == set(severity.LEVELS)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: severity.score(["R5"]), "R5"),
        (lambda: severity.score("R1 l4"), "l4"),
        (lambda: severity.score(["R1", "L2", "R1"]), "R1"),
        (lambda: severity.score(["R1", float("nan")]), "nan"),
        (lambda: severity.score(float("nan")), "nan"),
        (lambda: severity.severity(9), "9"),
        (lambda: severity.severity(float("nan")), "nan"),
        (lambda: severity.severity("3"), "'3'"),
        (lambda: severity.severity(True), "True"),
        (lambda: severity.from_extent(8.1), "8.1"),
        (lambda: severity.from_extent(-0.1), "-0.1"),
        (lambda: severity.from_extent(None), "None"),
        (lambda: severity.severities(pd.Series([1, np.nan])), "nan"),
    ],
)
def test_bad_values_are_named(call, named):
    with pytest.raises(InputError, match=named) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_series_keep_their_index():
    parts = pd.Series({"a": "", "b": "R1 L4", "c": " ".join(severity.PARTS)})
    totals = severity.scores(parts)
    assert totals.to_dict() == {"a": 0, "b": 2, "c": 8}
    assert severity.severities(totals).astype(str).to_dict() == {"a": "Normal", "b": "Mild", "c": "Severe"}


def test_parts_tile_the_two_lungs():
    mask = np.zeros((40, 30), bool)
    mask[4:36, 3:12] = mask[8:32, 18:27] = True
    mask[0, 0] = True  # a speck is no lung
    parts = severity.part_masks(mask)
    assert tuple(parts) == severity.PARTS
    assert np.array_equal(sum(part.astype(int) for part in parts.values()), mask & (mask.sum(1) > 1)[:, None])
    assert parts["R1"][4:12, 3:12].all() and parts["R1"].sum() == 8 * 9  # the apex, left in the picture
    assert parts["L4"][26:32, 18:27].all() and parts["L4"].sum() == 6 * 9


def test_one_lung_cannot_be_cut():
    with pytest.raises(InputError, match="two separate lungs, not 1"):
        severity.part_masks(np.ones((8, 8), bool))


def test_opacities_are_placed_in_their_parts_only():
    mask = np.zeros((80, 60), bool)
    mask[8:72, 6:24] = mask[16:64, 36:54] = True
    image = np.where(mask, 0.2, 0.8).astype(np.float32)
    parts = severity.part_masks(mask)
    one = severity.place_opacities(image, mask, "R2", seed=3) - image
    two = severity.place_opacities(image, mask, ["L4", "R2"], seed=3) - image
    assert (one[parts["R2"]] > 0).mean() > 0.8 and one.max() < 0.6  # brighter, never as dense as the tissue
    assert not one[~parts["R2"]].any() and not two[~(parts["R2"] | parts["L4"])].any()
    assert np.array_equal(one[parts["R2"]], two[parts["R2"]])
    assert np.array_equal(severity.place_opacities(image, mask, "", seed=3), image)
    with pytest.raises(InputError, match="R9"):
        severity.place_opacities(image, mask, "R9")


def test_the_figure_names_and_colours_the_parts():
    mask = np.zeros((40, 30), bool)
    mask[4:36, 3:12] = mask[8:32, 18:27] = True
    figure = plots.lung_parts([mask / 2], [severity.part_masks(mask)], [["R2", "L4"]], ["two parts"])
    colours = {text.get_text(): text.get_color() for text in figure.axes[0].texts}
    assert set(colours) == set(severity.PARTS)
    assert {name for name in colours if colours[name] != "white"} == {"R2", "L4"}
