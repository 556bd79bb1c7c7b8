import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sdnet_lib import plots
from sdnet_lib.explain import faithfulness, localisation, saliency, uncertainty
from sdnet_lib.files import InputError
from sdnet_lib.models import predictors
from sdnet_lib.models.classifier import network
from sdnet_lib.phantom import radiograph
from sdnet_lib.studies import published, published_pointing

IMAGE_SIZE = 32
LITE0 = "tf_efficientnet_lite0"


class Brightness(nn.Module):
    """Says P as far as the upper half is bright."""

    def __init__(self):
        super().__init__()
        self.picture, self.linear = nn.Identity(), nn.Linear(2, 2)
        with torch.no_grad():
            self.linear.weight.copy_(torch.tensor([[0.0, 0], [0, 8]]))
            self.linear.bias.copy_(torch.tensor([0.0, -2]))

    def forward(self, x):
        x = self.picture(x)
        upper, lower = x[:, 0, : IMAGE_SIZE // 2].mean((1, 2)), x[:, 0, IMAGE_SIZE // 2 :].mean((1, 2))
        return self.linear(torch.stack([lower, upper], 1))


@pytest.fixture(scope="module")
def predictor() -> predictors.Single:
    return predictors.Single(Brightness())


@pytest.fixture(scope="module")
def real() -> predictors.Single:
    torch.manual_seed(0)
    return predictors.Single(*network(LITE0, "imagenet", 2, IMAGE_SIZE))


def test_energy_and_hits_by_hand():
    maps = np.zeros((3, 2, 2))
    maps[0] = [[3, 1], [0, 0]]
    maps[1] = [[0, 0], [1, 1]]
    region = np.zeros((3, 2, 2), bool)
    region[0, 0, 0] = region[1, 1, 0] = region[2, 0, 0] = True
    found = localisation.measure(maps, {"lesions": region, "nothing": np.zeros_like(region)})
    assert found["energy_lesions"].tolist()[:2] == [0.75, 0.5] and found["hit_lesions"].tolist()[:2] == [
        1,
        0.5,
    ]
    assert found.iloc[2].isna().all() and found["energy_nothing"].isna().all()


def test_a_uniform_map_s_energy_is_the_share_of_the_area():
    pixels = np.zeros((2, 8, 8), np.uint8)
    region = np.random.default_rng(0).random((2, 8, 8)) > 0.7
    found = localisation.measure(localisation.baseline("uniform", pixels), {"lungs": region})
    assert np.allclose(found["energy_lungs"], region.mean((1, 2)))
    assert np.allclose(found["hit_lungs"], region.mean((1, 2)))  # all its pixels are highest: chance decides
    noise = np.random.default_rng(1).integers(0, 256, (2, 8, 8), np.uint8)
    assert np.allclose(localisation.baseline("edges", noise).max((1, 2)), 1)
    with pytest.raises(InputError, match="unknown baseline 'random': choose from uniform, edges"):
        localisation.baseline("random", pixels)


def test_intervals_draw_patients_not_images():
    one = pd.DataFrame({"patient_id": list("abcdefgh"), "kind": "x", "value": [0, 1] * 4})
    many = pd.concat([one] * 50)  # the same patients many times over know nothing more
    first, second = (localisation.summarise(table, ["kind"], ["value"]).iloc[0] for table in (one, many))
    assert first["mean"] == second["mean"] == 0.5 and first["low"] == second["low"] < 0.3
    assert second["images"] == 400
    unknown = localisation.summarise(one.assign(value=np.nan), ["kind"], ["value"]).iloc[0]
    assert unknown["images"] == 0 and np.isnan(unknown["mean"])


def test_the_body_is_what_is_not_air():
    for site in ("A", "B"):
        drawn = radiograph.radiograph(3, size=128, site=site)
        pixels = np.round(255 * drawn.image).astype(np.uint8)[None]
        found = localisation.body(pixels)[0]
        assert found[drawn.lung_mask].mean() > 0.98
    outside = np.zeros((1, 64, 64), np.uint8)
    outside[0, 10:54, 10:54] = 180
    outside[0, 2:5, 2:5] = 255  # a marker beside the patient
    assert (
        not localisation.body(outside)[0, 2:5, 2:5].any()
        and localisation.body(outside)[0, 12:52, 12:52].all()
    )


def test_maps_of_crops_are_put_back_before_they_are_measured(predictor):
    pixels = np.full((1, IMAGE_SIZE, IMAGE_SIZE), 200, np.uint8)
    whole = np.zeros((1, 64, 64), bool)
    whole[:, 10:26, 20:52] = True
    facts = {"image_id": ["a"], "patient_id": ["a"], "label": ["P"], "severity": [""]}
    box = [(20, 10, 52, 42)]
    found = localisation.table(
        predictor, pd.DataFrame(facts), pixels, {"upper": whole}, ["uniform", "gradient"], boxes=box
    )
    assert found["energy_upper"].tolist() == pytest.approx([0.5, 1], abs=0.05)


def test_a_map_of_random_weights_is_another_map(real):
    pixels = np.random.default_rng(0).integers(0, 256, (3, IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    before = saliency.pair(real, pixels, "gradient")[:, 1]
    last, all_ = (faithfulness.randomised(real, fraction) for fraction in (0.01, 1))
    assert [torch.equal(a, b) for a, b in zip(real.parameters(), last.parameters(), strict=True)].count(
        False
    ) == 2
    same = faithfulness.likeness(before, saliency.pair(real, pixels, "gradient")[:, 1])
    other = faithfulness.likeness(before, saliency.pair(all_, pixels, "gradient")[:, 1])
    assert np.allclose(same, 1) and other.max() < 0.8
    assert np.isnan(faithfulness.likeness(np.zeros((1, 4, 4)), np.ones((1, 4, 4)))).all()


def test_the_answer_falls_first_where_the_map_is_right(predictor):
    pixels = np.zeros((2, IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    pixels[:, : IMAGE_SIZE // 2, ::2] = 250
    right = np.zeros((2, IMAGE_SIZE, IMAGE_SIZE))
    right[:, : IMAGE_SIZE // 2] = 1
    curves = {
        (kind, sign): faithfulness.curve(predictor, pixels, sign * right, "P", kind)
        for kind in ("deletion", "insertion")
        for sign in (1, -1)
    }
    for (kind, _), values in curves.items():
        first, last = predictor.predict(pixels)["prob_P"], values[:, -1]
        assert np.allclose(values[:, 0] if kind == "deletion" else last, first)
    areas = {key: faithfulness.area(values).mean() for key, values in curves.items()}
    assert areas["insertion", 1] >= areas["insertion", -1] and areas["deletion", 1] <= areas["deletion", -1]
    assert np.allclose(faithfulness.area(np.ones((2, 11))), 1)
    with pytest.raises(InputError, match="unknown kind of curve"):
        faithfulness.curve(predictor, pixels, right, "P", "erasure")


def test_checks_beside_an_order_that_knows_nothing(real):
    pixels = np.random.default_rng(0).integers(0, 256, (3, IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    facts = pd.DataFrame({"image_id": list("abc"), "patient_id": list("abc"), "label": "P", "severity": ""})
    found = faithfulness.checks(real, facts, pixels, ["gradient", "lrp"])
    assert list(found["method"].unique()) == ["gradient", "lrp", "edges", faithfulness.RANDOM]
    by_method = found.set_index("method")
    assert by_method.loc[["edges", faithfulness.RANDOM], "alike_all"].isna().all()
    assert by_method.loc[["gradient", "lrp"], "alike_all"].between(-1, 0.9).all()
    maps = saliency.pair(real, pixels, "lrp")[:, 1]
    falls = faithfulness.area(faithfulness.curve(real, pixels, maps, "P", "deletion"))
    assert by_method.loc["lrp", "deletion"].tolist() == pytest.approx(falls.tolist(), abs=1e-4)


def test_dropout_doubts_more_where_the_answer_hangs_on_few_units(real):
    pixels = np.random.default_rng(0).integers(0, 256, (20, IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    state = torch.get_rng_state()
    first, again = (uncertainty.by_dropout(real, pixels, passes=9, seed=1) for _ in range(2))
    assert torch.equal(state, torch.get_rng_state()) and np.array_equal(first.entropy, again.entropy)
    assert np.allclose(first.probabilities.sum(1), 1) and (first.information > 0).all()
    alone = uncertainty.by_dropout(real, pixels[18:19], passes=9, seed=1)
    assert np.allclose(alone.entropy, first.entropy[18], atol=1e-4)
    plain = real.predict(pixels)["prob_P"]
    assert np.corrcoef(plain, first.probabilities[:, 1])[0, 1] > 0.5
    with pytest.raises(InputError, match="at least one pass"):
        uncertainty.by_dropout(real, pixels, passes=0)
    with pytest.raises(InputError, match="no last linear layer"):
        uncertainty.by_dropout(predictors.Single(nn.Conv2d(3, 2, 1)), pixels)


def test_figures_show_decision_and_counterfactual(tmp_path):
    rng = np.random.default_rng(0)
    films, maps = (
        [rng.random((20, 16)), rng.random((16, 16))],
        [rng.random((2, 20, 16)), rng.random((2, 16, 16))],
    )
    outlines = [np.zeros((20, 16), bool), np.eye(16, dtype=bool)]
    figure = plots.explanation_rows(films, maps, ["one", "two"], ["P", "N"], outlines=outlines)
    figure.savefig(tmp_path / "rows.png", dpi=40)
    titles = [[axis.get_title(loc="left") for axis in figure.axes[row : row + 3]] for row in (0, 3)]
    assert titles[0] == ["one", "why positive", "why negative (counterfactual)"]
    assert titles[1] == ["two", "why positive (counterfactual)", "why negative"]
    assert np.allclose(figure.axes[1].images[1].get_array(), maps[0][1])
    assert figure.axes[-1].get_xlabel() == "fraction of the map's own maximum"
    figure = plots.method_maps(
        films, {"a": [m[0] for m in maps], "b": [m[1] for m in maps]}, ["x", "y"], outlines
    )
    figure.savefig(tmp_path / "methods.png", dpi=40)
    assert [axis.get_title(loc="left") for axis in figure.axes[:3]] == ["", "a", "b"]
    curves = {"deletion": {"map": np.array([[1, 0.5, 0], [1, 0.7, 0]])}}
    figure = plots.change_curves(curves)
    assert figure.axes[0].lines[0].get_ydata() == pytest.approx([1, 0.6, 0])


def test_the_stored_measurements():
    table, origin = published.load("pointing")
    assert list(table.columns) == list(published_pointing.COLUMNS) and origin["command"].endswith(
        "--data DIR"
    )
    known = table.dropna(subset=["mean"])
    fractions = known[~known["value"].str.startswith("alike_")]
    assert set(table["cohort"]) == set(published_pointing.COHORTS) and fractions["mean"].between(0, 1).all()
    assert set(table["value"]) == {*published_pointing.VALUES, *published_pointing.CHECKS}
    assert ((known["low"] <= known["mean"]) & (known["mean"] <= known["high"])).all()
