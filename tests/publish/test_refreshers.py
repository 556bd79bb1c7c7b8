"""The refreshers are one page each, and their numbers come out again when they are computed another way."""

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from scipy import stats
from sklearn.neighbors import KNeighborsClassifier
from torch.nn import functional as F

from sdnet_lib.evaluation.curves import area_under_roc
from sdnet_lib.models.batches import training_loader
from sdnet_lib.models.training_config import UNCHANGED, TrainingConfig
from sdnet_lib.phantom.radiograph import radiograph
from sdnet_lib.publish import refreshers

ROOT = Path(__file__).parents[2]
NAMES = list(refreshers.PAGES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("pages") / "refreshers"
    refreshers.write(made)
    return made


@pytest.fixture(scope="module")
def pages(folder):
    return {name: re.sub(r"\s+", " ", (folder / f"{name}.md").read_text()) for name in NAMES}


@pytest.fixture(scope="module")
def values():
    return {name: page().values for name, page in refreshers.PAGES.items()}


@pytest.mark.parametrize("name", NAMES)
def test_each_is_one_page_with_all_that_belongs_on_it(folder, name):
    text = (folder / f"{name}.md").read_text()
    assert 250 <= len(re.sub(r"^(:.*|\$\$|```.*)$", "", text, flags=re.M).split()) <= 400
    assert text.startswith("# ") and "{{" not in text and "{%" not in text
    assert text.count("```{figure}") == text.count("{admonition} A trap") == text.count("{dropdown}") == 1
    assert "## What it is for here" in text and "## A question for you" in text
    alt = re.search(r":alt: (.*)", text)[1]
    assert len(alt.split()) >= 10 and "/" not in alt
    _, onwards = text.split("**On to**")
    chapters = re.findall(r"\(\.\./\.\./notebooks/(\S+\.ipynb)\)", onwards)
    assert chapters and all((ROOT / "notebooks" / chapter).is_file() for chapter in chapters)


@pytest.mark.parametrize("name", NAMES)
def test_the_figure_is_small_and_not_empty(folder, name):
    file = folder / f"{name}.png"
    assert file.stat().st_size < 300_000
    with Image.open(file) as figure:
        assert figure.width == 675 and len(set(figure.convert("L").tobytes())) > 20


@pytest.mark.parametrize("name", NAMES)
def test_contents_overview_and_glossary_lead_to_it(name):
    assert f"book/refreshers/{name}\n" in (ROOT / "_toc.yml").read_text()
    for page in ("refreshers", "glossary"):
        assert f"(refreshers/{name}.md)" in (ROOT / "book" / f"{page}.md").read_text()


def test_the_kernel_answers_as_torch_does(pages, values):
    made, found = radiograph(refreshers.SEED, size=128), values["convolution"]
    grey = torch.tensor(np.rint(255 * made.image))[None, None].double()
    answers = F.conv2d(grey, torch.tensor(found["kernel"])[None, None].double())
    assert found["answer"] in answers and found["answer"] > 100
    assert sum(found["below"]) - sum(found["above"]) == found["answer"]
    sums = " + ".join(map(str, found["below"])), " + ".join(map(str, found["above"]))
    assert f"$({sums[0]}) - ({sums[1]}) = {found['answer']}$" in pages["convolution"]
    assert (
        "\\begin{pmatrix} -1 & -1 & -1 \\\\ 0 & 0 & 0 \\\\ 1 & 1 & 1 \\end{pmatrix}" in pages["convolution"]
    )
    joined = torch.nn.Linear(128 * 128, 128 * 128, bias=False, device="meta").weight.numel()
    assert f"{joined:,}" in pages["convolution"]


def test_torchvision_counts_the_same_parameters(pages, values):
    network = torchvision.models.resnet50()
    network.fc = torch.nn.Identity()
    brought = sum(tensor.numel() for tensor in network.parameters())
    new = torch.nn.Linear(2048, 512), torch.nn.Linear(512, 2)
    counts = [sum(tensor.numel() for tensor in layer.parameters()) for layer in new]
    assert (values["transfer_learning"]["first"], values["transfer_learning"]["second"]) == tuple(counts)
    for count in (brought, *counts, sum(counts)):
        assert f"{count:,}" in pages["transfer_learning"]
    assert f"only {100 * sum(counts) / (sum(counts) + brought):.1f} %" in pages["transfer_learning"]


def test_torch_loses_as_much_as_judge_and_forger(pages):
    def loss(answers, truth):
        return F.binary_cross_entropy(torch.tensor(answers), torch.tensor(truth), reduction="sum").item()

    assert f"= {loss([0.8, 0.3], [1.0, 0.0]):.2f}$; the generator" in pages["gan"]
    assert f"-\\ln(0.3) = {loss([0.3], [1.0]):.2f}$" in pages["gan"]
    after = f"generator loses {loss([0.6], [1.0]):.2f} and the judge {loss([0.8, 0.6], [1.0, 0.0]):.2f}"
    assert after in pages["gan"]
    assert f"one half loses {loss([0.5, 0.5], [1.0, 0.0]):.2f}" in pages["gan"]


def test_as_few_films_stay_unchanged_as_the_page_says(pages, values):
    images = np.random.default_rng(0).integers(1, 255, (1, 8, 8), np.uint8).repeat(20_000, 0)
    torch.manual_seed(0)
    config = TrainingConfig(batch=len(images))
    served = training_loader(images, np.zeros(len(images), int), UNCHANGED, config).one_batch()[0]
    same = np.isclose(served[:, 0].cpu() * 255, images[0], atol=0.1).all((1, 2)).mean()
    assert same == pytest.approx(values["augmentation"]["untouched"], abs=0.001)
    assert "= **0.00243**, once in 412 images" in pages["augmentation"]


def test_scikit_learn_finds_the_same_nearest_films(pages, values):
    first, second = ([refreshers._patient(number, shot) for number in range(40)] for shot in (0, 1))
    known, asked = (np.array([one.image.ravel() for one in films]) for films in (first, second))
    labels = np.array([one.label for one in first])
    leaking = KNeighborsClassifier(1).fit(known, labels).score(asked, labels) * 40
    apart = sum(
        KNeighborsClassifier(1).fit(np.delete(known, i, 0), np.delete(labels, i)).predict(asked[i : i + 1])
        == labels[i]
        for i in range(40)
    )[0]
    assert (values["leakage"]["leaking"], values["leakage"]["apart"]) == (leaking, apart)
    assert f"right for {leaking:.0f} of 40, {leaking / 0.4:.1f} %" in pages["leakage"]
    assert f"right for {apart} of 40, {apart / 0.4:.1f} %" in pages["leakage"]
    assert leaking > 1.5 * apart  # what the page is there to show


def test_every_patient_is_dealt_once_in_each_repetition(pages, values):
    figure = refreshers.cross_validation().figure
    fold = np.asarray(figure.axes[0].collections[0].get_array()).reshape(5, 10)
    for row in fold:
        assert sorted(row[:5]) == sorted(row[5:]) == [1, 2, 3, 4, 5]  # a P and an N in each
        rest = [set(np.flatnonzero(row != number)) for number in range(1, 6)]
        assert {len(a & b) for a, b in combinations(rest, 2)} == {values["cross_validation"]["shared"]}
    first = ", ".join(str(number) for number in fold[:4, 0])
    assert f"tested in fold {first} and {fold[4, 0]}, once" in pages["cross_validation"]
    together = (fold[:, 0] == fold[:, 9]).sum()
    assert f"A and J meet in one fold in {together} of the 5 rows" in pages["cross_validation"]
    assert "shares 6, which is 75 %" in pages["cross_validation"]


def test_scikit_learn_has_the_same_area(pages, values):
    truth = np.repeat([True, False], 5)
    area = area_under_roc(truth, [*refreshers.ILL, *refreshers.HEALTHY])
    assert f"= **{area:.2f}**" in pages["roc"] and values["roc"]["auc"] == area
    better = area_under_roc(truth, [*refreshers.ILL[:-1], refreshers.RAISED, *refreshers.HEALTHY])
    assert f"= {better:.2f}." in pages["roc"] and better > area
    halved = area_under_roc(truth, np.array([*refreshers.ILL, *refreshers.HEALTHY]) / 2)
    assert halved == area and max(refreshers.ILL) / 2 < 0.5
    assert "a sensitivity of 60 %" in pages["roc"] and "a specificity of 80 %" in pages["roc"]


def test_scipy_has_the_same_p_values(pages, values):
    found = values["p_value"]
    groups = found["ill"], found["healthy"]
    test = stats.permutation_test(groups, _difference, n_resamples=np.inf, vectorized=True)
    assert test.pvalue == pytest.approx(found["p"]) and test.statistic == found["difference"]
    healthy, ill = refreshers._brightness(0)
    other = stats.permutation_test((ill, healthy), _difference, n_resamples=np.inf, vectorized=True)
    assert other.pvalue == pytest.approx(found["other_p"]) and other.statistic == found["other"]
    assert f"/ 12,870 = **{test.pvalue:.3f}**" in pages["p_value"]
    assert f"p = {other.pvalue:.2f}" in pages["p_value"]
    assert f"a chance of {100 * stats.binom.sf(0, 20, 0.05):.0f} %" in pages["p_value"]
    assert test.pvalue < 0.05 < other.pvalue  # what the page is there to show


def _difference(ill, healthy, axis):
    return np.mean(ill, axis=axis) - np.mean(healthy, axis=axis)
