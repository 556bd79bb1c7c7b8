import numpy as np
import pandas as pd
import pytest

from sdnet_lib.evaluation import gains, metrics, statistics, verdicts
from sdnet_lib.models import fusion, registry
from tests.evaluation.made_predictions import study

CONTROLS = ("resnet50-crop", "twins-tinted")


@pytest.fixture
def predictions() -> pd.DataFrame:
    return study((*CONTROLS, "covid-sdnet"), n=200)  # later ones are better


def test_differences_are_those_of_the_corrected_test(predictions):
    found = gains.differences(predictions).set_index("control")
    assert list(found.index) == list(CONTROLS)
    pairs = statistics.pairwise(predictions).set_index(["first", "second"])
    for control in CONTROLS:
        row = found.loc[control]
        mean, low, high = -pairs.loc[(control, "covid-sdnet"), ["mean", "high", "low"]]
        assert row[["accuracy", "accuracy_low", "accuracy_high"]].tolist() == pytest.approx([mean, low, high])
        assert row["runs"] == 10 and row["verdict"] == verdicts.verdict(low, high)
        assert row["value"] == pytest.approx(metrics.per_run(predictions)["accuracy"][control].mean())
    assert found.loc["resnet50-crop", "verdict"] == verdicts.HELPED and (found["auc"] > 0).all()


def test_runs_that_have_not_learned_take_no_part(predictions):
    lost = (predictions["approach"] == "twins-tinted") & (predictions["fold"] < 2)
    found = gains.differences(predictions.assign(learned=~lost)).set_index("control")
    assert found["runs"].to_dict() == {"resnet50-crop": 10, "twins-tinted": 6}


def test_other_decisions_of_the_same_networks_need_no_training(predictions):
    whole = predictions["approach"] == "covid-sdnet"
    answers = np.random.default_rng(0).dirichlet(np.ones(4), (2, int(whole.sum())))
    columns = {name: values for name, values in fusion.columns(*answers).items()}
    twins = predictions.copy()
    for name, values in columns.items():
        twins.loc[whole, name] = values
    added = gains.with_decisions(twins)
    assert set(added["approach"]) - set(twins["approach"]) == {"sdnet-plus", "sdnet-minus", "sdnet-mean"}
    mean = added[added["approach"] == "sdnet-mean"]["prob_P"]
    assert np.allclose(mean, fusion.decide(*answers, "mean")[:, 1])
    assert gains.with_decisions(added) is added or len(gains.with_decisions(added)) == len(added)
    assert gains.with_decisions(predictions) is predictions  # without answers to twins nothing is added


def test_table_and_sentences_say_the_same(predictions):
    found = gains.differences(predictions)
    table, said = gains.table(found), gains.sentences(found)
    for row, cells, sentence in zip(found.to_dict("records"), table.rows, said, strict=True):
        assert cells[0] == registry.title(row["control"]) and cells[-1] == row["verdict"]
        assert f"{100 * row['accuracy']:+.1f}".replace("-", "\u2212") in sentence
        assert row["verdict"] in sentence
    assert gains.table(gains.differences(predictions[predictions["approach"] != "covid-sdnet"])).rows == []


def test_every_control_has_words():
    assert set(gains.WORDS) == {*registry.CONTROLS, "lite0-probe"}


def test_of_one_test_the_patients_are_drawn():
    labels = ["N", "P"] * 20
    test = pd.DataFrame({"patient_id": [f"p{n}" for n in range(40)], "label": labels})
    right = np.array([0.1, 0.9] * 20)
    wrong = right.copy()
    wrong[:10] = 1 - wrong[:10]  # ten of forty
    found = gains.of_one_test(test, {"covid-sdnet": right, "twins-tinted": wrong, "sdnet-plus": right})
    tinted, plus = found.set_index("control").loc[["twins-tinted", "sdnet-plus"]].to_dict("records")
    assert tinted["accuracy"] == 0.25 and 0.1 < tinted["accuracy_low"] < 0.25 < tinted["accuracy_high"] < 0.45
    assert (tinted["verdict"], plus["verdict"]) == (verdicts.HELPED, verdicts.SAME)
    assert gains.TESTED_ONCE in gains.table(found).notes
