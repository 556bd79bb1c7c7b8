"""Each check says in a sentence what is wrong with a typical mistake, and passes what is right.

That the solutions in the notebooks pass their checks is seen whenever the notebooks run (`course.confirm`).
"""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from sdnet_lib.audit import shortcuts
from sdnet_lib.data import release, severity
from sdnet_lib.data.splits import splits
from sdnet_lib.exercises import checking
from sdnet_lib.files import InputError
from sdnet_lib.lungs import crop
from sdnet_lib.models import fusion
from sdnet_lib.models.fucitnet import losses
from sdnet_lib.phantom import hospital


def said(number, answer, *given):
    """Return what is said of a wrong answer, without the number of the exercise."""
    right, sentence = checking.judge(number, answer, *given)
    assert not right and sentence.startswith(f"Exercise {number}: not yet. "), sentence
    return sentence.split("not yet. ")[1]


def passes(number, answer, *given):
    assert checking.judge(number, answer, *given) == (True, f"Exercise {number}: right.")


def test_an_exercise_that_does_not_exist_is_refused():
    for number in ("19.1", "1.9", "four"):
        with pytest.raises(InputError, match="there is no exercise"):
            checking.judge(number, 1)


@pytest.mark.parametrize("blank", [None, ..., (..., ...), (95.4, None), (1, 2, ...)])
def test_a_blank_is_no_mistake(blank):
    assert checking.judge("1.1", blank) == (False, "Exercise 1.1: not answered yet.")


def test_a_function_that_returns_nothing_or_stops_is_told_so():
    nothing = checking.judge("3.1", lambda mask, truth: ...)
    assert nothing == (False, "Exercise 3.1: not answered yet: your function returns nothing.")
    assert said("3.1", lambda mask: 1).startswith("Your function stopped with TypeError: ")
    assert "ZeroDivisionError" in said("3.1", lambda mask, truth: 1 / 0)


@pytest.mark.parametrize(
    "number",
    ["1.1", "2.2", "3.1", "4.1", "5.1", "6.1", "6.2", "7.1", "7.2", "8.1", "8.2", "9.1", "10.1", "10.2"],
)
@pytest.mark.parametrize("answer", ["?", [], {}, "a b", (1, 2), np.ones(3), float("nan"), lambda *_: "?"])
def test_whatever_is_handed_in_gets_one_sentence(number, answer):
    sentence = said(number, answer)
    assert sentence and "\n" not in sentence


NUMBERS = {
    "1.1": [
        ((0.954, 0.0), "percent"),
        ((100 * 1583 / 5932, 0.0), "not those with pneumonia"),
        ((100 * 5856 / 5932, 0.0), "not those with pneumonia"),
        ((4.58, 0.0), "wrong answers"),
        ((100.0, 0.0), "out of how many"),
        ((95.42, 100.0), "how many of the sick"),
    ],
    "2.2": [
        (0.5575, "In percent"),
        (44.25, "wrong"),
        (55.40, "sensitivity"),
        (56.10, "specificity"),
        (50.0, "both rows"),
    ],
    "4.1": [
        (387_913, "not to be counted"),
        (9 * 9 * 3 * 64 + 5 * 9 * 64 * 64 + 9 * 64 * 3, "two convolutions"),
        (10 * 9 * 64 * 64 + 9 * 64 * 3, "head"),
        (9 * 9 * 3 * 64 + 10 * 9 * 64 * 64, "tail"),
        (385_920 * 224**2, "one pixel"),
        (42, "window x window"),
    ],
    "7.1": [
        ((26.3, 73.7, 31.0, 69.0, "accuracy"), "whole numbers"),
        ((112, 300, 132, 294, "accuracy"), "all negatives"),
        ((112, 314, 100, 294, "accuracy"), "all positives"),
        ((113, 313, 132, 294, "accuracy"), "specificity"),
        ((112, 314, 131, 295, "accuracy"), "sensitivity"),
        ((112, 314, 132, 294, "F1"), "by its column"),
        ((112, 314, 132, 294, "accuracy"), "just this number"),
    ],
}
RIGHT = {
    "1.1": (100 * 1583 / 1659, 0),
    "2.2": 100 * 475 / 852,
    "4.1": 385_920,
    "7.1": (112, 314, 132, 294, "precision_N"),
}


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers(number):
    passes(number, RIGHT[number])
    for wrong, hint in NUMBERS[number]:
        assert hint in said(number, wrong), wrong


def test_no_sentence_tells_the_answer():
    told = " ".join(said(number, wrong) for number, cases in NUMBERS.items() for wrong, _ in cases)
    for answer in ("95.4", "55.7", "385920", "385,920", "112", "314", "132", "294"):
        assert answer not in told


def dice(mask, truth):
    total = mask.sum() + truth.sum()
    return 2 * (mask & truth).sum() / total if total else 1.0


def margin(mask, fraction=0.025):
    height, width = mask.shape
    dx, dy = round(fraction * width), round(fraction * height)
    left, top, right, bottom = crop.rectangle(mask)
    return max(0, left - dx), max(0, top - dy), min(width, right + dx), min(height, bottom + dy)


def unclipped(mask, fraction):
    left, top, right, bottom = crop.rectangle(mask)
    dx, dy = round(fraction * mask.shape[1]), round(fraction * mask.shape[0])
    return left - dx, top - dy, right + dx, bottom + dy


def turned(mask, fraction):
    left, top, right, bottom = crop.rectangle(mask)
    dy, dx = round(fraction * mask.shape[1]), round(fraction * mask.shape[0])
    return left - dx, top - dy, right + dx, bottom + dy


def areas(mask):
    from scipy import ndimage

    parts, _ = ndimage.label(mask)
    return sorted(np.bincount(parts.ravel())[1:], reverse=True)


def p_value(sd, variance=1 / 25 + 1 / 4, gap=76.18 - 74.60):
    return 2 * stats.t.sf(gap / (np.sqrt(variance) * sd), df=24)


def fused(theta, psi):
    return fusion.rule(theta, psi)[0]


def break_even(specificity, sensitivity):
    return (1 - specificity) / (sensitivity + 1 - specificity)


def folds_of(patients, fold):
    return pd.Series(fold).groupby(patients).transform("nunique")


def on_both_sides(patients, fold):
    return (folds_of(patients, fold) > 1).mean()


def positives(specificity, sensitivity, accuracy):
    apart = sensitivity - specificity
    return (accuracy - specificity) / apart if apart else float("nan")


def net_benefit(ill, acts, threshold):
    return (acts & ill).mean() - threshold / (1 - threshold) * (acts & ~ill).mean()


def energy(heat, region):
    return heat[region].sum() / heat.sum() if heat.any() else float("nan")


def torn(table):
    parts = table.groupby("patient_id")["split"].nunique()
    return sorted(parts[parts > 1].index)


FUNCTIONS = {
    "10.1": (
        lambda p, q: (1 + p - q) / 2,
        [
            (lambda p, q: p * (1 - q), "two kinds of them"),
            (lambda p, q: (1 + q - p) / 2, "more suspect"),
            (lambda p, q: p - q, "one half"),
            (lambda p, q: 0.7, "Four cases"),
        ],
    ),
    "10.2": (
        torn,
        [
            (lambda t: t, "A list is wanted"),
            (lambda t: sorted(t["patient_id"][t["patient_id"].duplicated()].unique()), "count parts"),
            (lambda t: [*torn(t), *torn(t)], "once"),
            (lambda t: torn(t)[:1], "more than one different"),
            (lambda t: torn(t)[::-1], "Sorted"),
            (lambda t: ["a", "c"], "an empty list"),
        ],
    ),
    "3.1": (
        dice,
        [
            (lambda a, b: (a & b).sum() / (a | b).sum(), "intersection over union"),
            (lambda a, b: (a & b).sum() / (a.sum() + b.sum()), "counts twice"),
            (lambda a, b: 2 * (a & b).sum() / (a | b).sum(), "not by the area of the union"),
            (lambda a, b: 2 * (a & b).sum() / (a.sum() + b.sum()), "Both masks empty: zero divided by zero"),
            (lambda a, b: dice(a, b) if a.any() else 0.0, "Is that a bad result?"),
            (lambda a, b: 0.4, "best value"),
            (lambda a, b: 0.9, "compare with the formula"),
            (lambda a, b: a & b, "A number is wanted"),
        ],
    ),
    "3.2": (
        margin,
        [
            (lambda mask, fraction: crop.rectangle(mask), "nothing was added"),
            (crop.rectangle, "of the rectangle's sides"),
            (turned, "mixed up"),
            (unclipped, "where the image ends"),
            (lambda mask, fraction: crop.rectangle(mask)[:2], "four numbers"),
            (lambda mask, fraction: (0, 0, 80, 40), "should be another one"),
        ],
    ),
    "3.3": (
        lambda mask: len(areas(mask)) < 2 or areas(mask)[1] < areas(mask)[0] / 3,
        [
            (lambda mask: False, "should be odd"),
            (lambda mask: True, "of the same area"),
            (lambda mask: areas(mask)[1] < areas(mask)[0] / 3, "IndexError"),
            (lambda mask: areas(mask)[0] != areas(mask)[1], "differ a little"),
            (lambda mask: len(areas(mask)) > 1 and areas(mask)[1] < areas(mask)[0] / 3, "has lost a lung"),
        ],
    ),
    "5.1": (
        fused,
        [
            (lambda theta, psi: fused(theta, theta), "first twin alone"),
            (lambda theta, psi: fused(psi, psi), "second twin alone"),
            (lambda theta, psi: fused(theta + psi, theta + psi), "averages over the twins"),
            (lambda t, p: np.where((t + p)[:, 2:].sum(1) > (t + p)[:, :2].sum(1), "N", "P"), "adds up"),
            (lambda theta, psi: np.where(fused(theta, psi) == "P", "N", "P"), "exchanged"),
            (lambda t, p: np.where(fusion.fuse(t, p)[:, 0] >= 0.5, "N", "P"), "A tie"),
            (lambda theta, psi: "N", "The shape"),
            (lambda theta, psi: np.full(len(theta), "P"), "in another way"),
        ],
    ),
    "6.1": (
        p_value,
        [
            (lambda sd: p_value(sd, 1 / 25), "plain t-test"),
            (lambda sd: p_value(sd, 1 / 4), "falls with the number of runs"),
            (lambda sd: p_value(sd, 1 / 25 + 1 / 5), "training* part"),
            (lambda sd: p_value(sd) / 2, "one side"),
            (lambda sd: 1 - p_value(sd) / 2, "other side"),
            (lambda sd: p_value(sd, gap=0.0158), "in points"),
            (lambda sd: p_value(3), "sd of 1"),
            (lambda sd: 0.5, "error of the mean"),
        ],
    ),
    "6.2": (
        on_both_sides,
        [
            (lambda patients, fold: 100 * on_both_sides(patients, fold), "percent"),
            (lambda patients, fold: len(fold) * on_both_sides(patients, fold), "how many"),
            (lambda patients, fold: 1 - on_both_sides(patients, fold), "are safe"),
            (
                lambda patients, fold: (folds_of(patients, fold) > 1).groupby(patients).any().mean(),
                "of patients",
            ),
            (lambda patients, fold: pd.Series(patients).duplicated(keep=False).mean(), "no harm"),
            (lambda patients, fold: 0.5, "in another fold"),
            (lambda patients, fold: 5 / 9, "With one fold"),
        ],
    ),
    "7.2": (
        positives,
        [
            (lambda n, p, accuracy: 1 - positives(n, p, accuracy), "of negatives"),
            (lambda n, p, accuracy: 100 * positives(n, p, accuracy), "percent"),
            (lambda n, p, accuracy: 0.4, "solve that"),
            (lambda n, p, accuracy: positives(n, p, accuracy) if n != p else 0.5, "so NaN"),
            (lambda n, p, accuracy: (accuracy - n) / (p - n), "ZeroDivisionError"),
        ],
    ),
    "8.2": (
        net_benefit,
        [
            (lambda ill, acts, t: (acts & ill).mean() - (acts & ~ill).mean(), "has a price"),
            (lambda ill, acts, t: net_benefit(ill, acts, 1 - t), "upside down"),
            (lambda ill, acts, t: (acts & ill).mean() - t * (acts & ~ill).mean(), "its odds"),
            (lambda ill, acts, t: 10 * net_benefit(ill, acts, t), "how many there are"),
            (lambda ill, acts, t: net_benefit(ill, acts, t) / max(acts.mean(), 0.1), "by all patients"),
            (lambda ill, acts, t: acts[ill].mean() - t / (1 - t) * acts[~ill].mean(), "of the healthy"),
            (lambda ill, acts, t: (acts & ill).mean(), "Nothing is paid"),
            (lambda ill, acts, t: 0.45, "Count the ill"),
            (lambda ill, acts, t: net_benefit(ill, acts, t) if acts.any() else 1.0, "neither good nor harm"),
        ],
    ),
    "8.1": (
        break_even,
        [
            (lambda specificity, sensitivity: 100 * break_even(specificity, sensitivity), "percent"),
            (lambda specificity, sensitivity: 1 - break_even(specificity, sensitivity), "the healthy"),
            (lambda specificity, sensitivity: break_even(sensitivity, specificity), "The order"),
            (lambda specificity, sensitivity: specificity / (sensitivity + specificity), "by mistake"),
            (lambda specificity, sensitivity: 0.5, "right in 86 of 100"),
            (lambda specificity, sensitivity: 7.0, "between 0 and 1"),
        ],
    ),
    "9.1": (
        energy,
        [
            (lambda heat, region: heat[region].sum(), "fraction of what"),
            (lambda heat, region: heat[region].mean(), "mean inside"),
            (lambda heat, region: region.mean(), "of the area"),
            (lambda heat, region: 1 - energy(heat, region), "outside"),
            (lambda heat, region: 0.1, "says otherwise"),
            (lambda heat, region: energy(heat, region) if heat.any() else 0.0, "looks nowhere"),
        ],
    ),
}


@pytest.mark.parametrize("number", FUNCTIONS)
def test_functions(number):
    right, mistakes = FUNCTIONS[number]
    passes(number, right)
    for wrong, hint in mistakes:
        assert hint in said(number, wrong)


def test_1_2_thumbnails(toy_cohort):
    pixels = np.random.default_rng(0).integers(0, 255, (len(toy_cohort), 32, 32))
    parts = splits(toy_cohort, 1, 3, 0)

    def scored(size, seen=pixels):
        return shortcuts.scores(shortcuts.cross_validate(toy_cohort, shortcuts.thumbnails(seen, size), parts))

    given = toy_cohort, pixels, parts
    passes("1.2", lambda size: scored(size)["auc"], *given)
    assert "All scores" in said("1.2", scored, *given)
    assert "accuracy" in said("1.2", lambda size: scored(size)["accuracy"], *given)
    assert "2 x 2" in said("1.2", lambda size: scored(8)["auc"], *given)
    assert "`parts`" in said("1.2", lambda size: 0.123, *given)


def test_2_1_two_readers():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 4, 200)
    second = np.clip(first + rng.integers(-1, 2, 200), 0, 3)
    levels = np.array(severity.LEVELS)
    both = pd.DataFrame({"reader A": levels[first], "reader B": levels[second]})
    passes("2.1", cohen_kappa_score(first, second, weights="quadratic"), both)
    alphabet = [both[name].astype("category").cat.codes for name in both]
    for wrong, hint in [
        (cohen_kappa_score(first, second), "Without weights"),
        (cohen_kappa_score(first, second, weights="linear"), "linear"),
        (cohen_kappa_score(*alphabet, weights="quadratic"), "alphabet"),
        ((first == second).mean(), "chance included"),
        (0.1234, "order of `severity.LEVELS`"),
    ]:
        assert hint in said("2.1", wrong, both)


def test_2_3_the_window():
    records = hospital.simulate(patients=150, seed=0)
    archive = records.studies, records.pcr, records.readings
    given = *archive, records.truth

    def row(hours, **rules):
        made, _ = release.release(*archive, pcr_hours=hours, **rules)
        return hours, len(made), hospital.wrong_labels(made, records.truth)

    hours = (6, 24, 72, 720, np.inf)
    right = [row(one, balanced=False) for one in hours]
    passes("2.3", right, *given)
    percent = [(one, images, 100 * wrong) for one, images, wrong in right]
    for wrong, hint in [
        (right[:4], "4 rows"),
        ([one[:2] for one in right], "three entries"),
        (right[::-1], "in its order"),
        ([row(one) for one in hours], "left out for balance"),
        (percent, "not percent"),
        ([(one, 7, 0.0) for one in hours], "another number of images"),
        ([(one, images, 0.5) for one, images, _ in right], "another fraction"),
    ]:
        assert hint in said("2.3", wrong, *given)


def test_4_2_gradients():
    logits = torch.randn(2, 6, 2, generator=torch.manual_seed(0), requires_grad=True)
    targets = torch.tensor([0, 1, 0, 1, 1, 0])

    def gradient(variant):
        return torch.autograd.grad(losses.cross_entropies(logits, targets, variant).sum(), logits)

    (paper,), (code,) = gradient("paper"), gradient("code")
    passes("4.2", (paper, code), logits, targets)
    for wrong, hint in [
        ((code, paper), "of the other variant"),
        ((paper, paper), "`of_code` is the gradient of the other"),
        ((gradient("paper"), code), "should be a tensor"),
        ((2 * paper, code), "twice"),
        ((paper[0], code), "The shape"),
        ((paper, torch.zeros_like(code)), "Another gradient"),
    ]:
        assert hint in said("4.2", wrong, logits, targets)


def test_4_3_whiter_than_white():
    images = torch.linspace(-0.5, 2, 101)[None, None, None]
    above, below = (images > 1).float().mean().item(), (images < 0).float().mean().item()
    given = torch.nn.Identity(), images
    passes("4.3", (above + below, 4), *given)
    for wrong, hint in [
        ((above, 4), "below black"),
        ((below, 4), "above white"),
        ((1 - above - below, 4), "inside"),
        ((100 * (above + below), 4), "not percent"),
        ((0.0, 4), "before `transform`"),
        ((above + below, 260), "0 to 255"),
        ((above + below, 255), "does not clamp"),
        ((above + below, 5), "last 8 bits"),
    ]:
        assert hint in said("4.3", wrong, *given)


def test_4_3_hands_a_generator_a_batch_at_a_time():
    """At full size a whole test part at once would need 16 GB."""
    sizes, images = [], torch.rand(40, 3, 4, 4)
    network = torch.nn.Identity()
    network.register_forward_hook(lambda _, given, made: sizes.append(len(made)))
    passes("4.3", (0.0, 4), network, images)
    assert sum(sizes) == len(images) and max(sizes) <= 16


def test_5_2_twins_in_the_wrong_order(monkeypatch):
    """A learner whose answers depend on the twin that it sees; both halves of a pair are read alike."""
    answers = np.random.default_rng(2).dirichlet(np.ones(4), (40, 2))
    monkeypatch.setattr(fusion, "predict", lambda learner, twins: (twins[:, 0], twins[:, 1]))
    label, case = fusion.rule(answers[:, 1], answers[:, 0])
    _, straight = fusion.rule(answers[:, 0], answers[:, 1])
    passes("5.2", (label, case), None, answers)
    assert "right order" in said("5.2", (label, straight), None, answers)
    assert "Other cases" in said("5.2", (label, np.full(40, "c")), None, answers)
    assert "Other decisions" in said("5.2", (np.full(40, "P"), case), None, answers)


def test_5_3_a_cautious_ward():
    theta, psi = np.random.default_rng(3).dirichlet(np.ones(4), (2, 60))
    truth = np.where(np.arange(60) % 3 == 0, "N", "P")
    first, second = fused(theta, theta) == "P", fused(psi, psi) == "P"
    either = np.where(first | second, "P", "N")
    found, spared = (either[truth == "P"] == "P").mean(), (either[truth == "N"] == "N").mean()
    given = theta, psi, truth
    passes("5.3", (either, found, spared), *given)
    for wrong, hint in [
        ((np.where(first & second, "P", "N"), found, spared), "both twins"),
        ((fused(theta, psi), found, spared), "fusion's decision"),
        ((fused(theta, theta), found, spared), "first twin"),
        ((fused(psi, psi), found, spared), "second twin"),
        ((np.full(60, "P"), found, spared), "largest value"),
        ((either, spared, found), "exchanged"),
        ((either, 0.0, spared), "Sensitivity"),
        ((either, found, 0.999), "Specificity"),
    ]:
        assert hint in said("5.3", wrong, *given)


@pytest.fixture(scope="module")
def predictor():
    from sdnet_lib.studies import model_file

    return model_file.read("synthetic").predictor


def test_7_2_a_finer_layer(predictor, toy_cohort):
    from sdnet_lib.explain import layers, localisation

    cohort = toy_cohort.iloc[:3]
    pixels = np.random.default_rng(0).integers(0, 255, (3, 64, 64)).astype(np.uint8)
    lungs = np.zeros((3, 64, 64), bool)
    lungs[:, 10:50, 10:50] = True
    given = predictor, cohort, pixels, {"lungs": lungs}
    cells = layers.cells(predictor, 64)
    finer = [name for name, row in cells.items() if row > cells[layers.fine(predictor, 64)]][-1]
    worth, chapters = (
        localisation.table(*given, ["grad-cam"], layer=one)["energy_lungs"].mean() for one in (finer, None)
    )
    passes("9.2", (finer, worth), *given, "energy_lungs")
    assert "no layer" in said("9.2", ("the first", worth), *given, "energy_lungs")
    assert "no smaller" in said("9.2", (layers.last(predictor, 64), worth), *given, "energy_lungs")
    assert "chapter's layer" in said("9.2", (finer, chapters), *given, "energy_lungs")
    assert "Another mean" in said("9.2", (finer, 2.0), *given, "energy_lungs")


def test_7_3_why_N_and_why_P(predictor):
    from sdnet_lib.explain import faithfulness, saliency

    pixels = np.random.default_rng(0).integers(0, 255, (3, 64, 64)).astype(np.uint8)
    maps = saliency.pair(predictor, pixels)
    passes("9.3", faithfulness.likeness(maps[:, 0], maps[:, 1]), predictor, pixels)
    assert "with itself" in said("9.3", faithfulness.likeness(maps[:, 1], maps[:, 1]), predictor, pixels)
    assert "The shape" in said("9.3", np.zeros(2), predictor, pixels)
    assert "N first" in said("9.3", np.zeros(3), predictor, pixels)


def test_every_exercise_of_the_notebooks_has_a_test_of_mistakes(request):
    import nbformat

    tested = {*NUMBERS, *FUNCTIONS, *re.findall(r'said\("(\d+\.\d+)"', request.path.read_text())}
    notebooks = (request.config.rootpath / "notebooks").glob("*.ipynb")
    text = "\n".join(cell.source for notebook in notebooks for cell in nbformat.read(notebook, 4).cells)
    assert set(re.findall(r"\{admonition\} Exercise (\d+\.\d+)", text)) == tested
