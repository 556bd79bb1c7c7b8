import pytest
from scipy.stats import spearmanr

from sdnet_lib import plots
from sdnet_lib.data import extents, severity
from sdnet_lib.files import InputError


def as_metadata(scores):
    return scores.rename(columns={"extent": "geographic_extent"}).sample(frac=1, random_state=0)


def test_shipped_scores_are_on_their_scales():
    scores = extents.load()
    assert len(scores) == 93  # the data README: 93 of the 94 scored images are at hand
    assert scores["extent"].between(0, 8).all() and scores["opacity"].between(0, 6).all()
    thirds = (scores["extent"] * 3).round() / 3
    assert (thirds - scores["extent"]).abs().max() < 0.05  # means of three raters, to one decimal
    assert set(severity.extent_severities(scores["extent"])) == set(severity.LEVELS)


def test_more_extent_goes_with_more_density():
    scores = extents.load()
    assert spearmanr(scores["extent"], scores["opacity"]).statistic > 0.9


def test_no_rounding_rule_for_halves_matters_here():
    parts = extents.load()["extent"] % 1
    assert not (parts == 0.5).any()


def test_comparison_with_the_collection():
    scores = extents.load()
    collection = as_metadata(scores).reindex([*scores.index, 999])  # one image without scores
    assert extents.compare(collection) == "counted again in 93 images: equal to the shipped numbers"
    with pytest.raises(InputError, match="scores of cxr-collection differ"):
        extents.compare(as_metadata(scores.assign(opacity=1.0)))
    without = as_metadata(scores).drop(columns="geographic_extent")
    assert "not counted again" in extents.compare(without)
    assert "not at hand" in extents.compare(None)


def test_what_is_stored_is_what_is_shipped(tmp_path):
    extents.store(extents.measure(as_metadata(extents.load())), tmp_path / extents.STORED.name)
    for suffix in (".csv", ".json"):
        stored = (tmp_path / extents.STORED.name).with_suffix(suffix)
        assert stored.read_bytes() == extents.STORED.with_suffix(suffix).read_bytes()


def test_the_figure_counts_every_image_once():
    scores = extents.load()
    bars, dots = plots.extents(scores, severity.extent_severities(scores["extent"])).axes
    assert sum(patch.get_height() for patch in bars.patches) == 93
    assert dots.collections[0].get_sizes().sum() == 14 * 93
