import numpy as np
import pandas as pd
import pytest

from sdnet_lib.evaluation import metrics, tables
from sdnet_lib.evaluation import table_audit as audit
from tests.evaluation.made_predictions import study


def found_in(number: int, negatives: int, positives: int) -> set[tuple[str, str]]:
    findings = audit.audit(tables.printed(number), negatives, positives)
    return set(findings[["approach", "measure"]].itertuples(index=False, name=None))


def test_table_4_has_lost_digits_and_foreign_images_in_its_denominators():
    assert found_in(4, 426, 426) == {
        ("covidnet-published", "precision_N"),
        ("covidnet-published", "precision_P"),
        ("covidnet", "precision_N"),
        ("covidnet", "accuracy_sd"),
        ("covid-caps-published", "precision_N"),
    }


def test_table_5():
    assert found_in(5, 426, 426) == {
        ("covidnet", "precision_N"),
        ("covidnet", "f1_N"),
        ("covidnet", "accuracy_sd"),
        ("resnet50", "f1_P"),
        ("covid-sdnet", "f1_P"),
    }


def test_what_the_impossible_numbers_should_be():
    findings = audit.audit(tables.printed(5), 426, 426).set_index(["approach", "measure"])
    lost = findings.loc[("covidnet", "precision_N")]
    assert lost["printed"] == "3.36" and lost["expected"] == pytest.approx(62.5, abs=0.1)
    assert findings.loc[("resnet50", "f1_P"), ["printed", "expected"]].tolist() == ["72.689", 72.69]
    assert findings.at[("covid-sdnet", "f1_P"), "expected"] == pytest.approx(75.51, abs=0.005)
    # sd 0.90 and 17.59 of the recalls leave the accuracy at least half their difference.
    assert findings.at[("covidnet", "accuracy_sd"), "expected"] == pytest.approx((17.59 - 0.90) / 2)


def test_table_7_is_of_350_negatives_not_426():
    assert found_in(7, 350, 350) == {("covid-sdnet", "f1_P_sd")}
    rows = tables.printed(7).index
    assert found_in(7, 426, 350) == {(approach, "accuracy") for approach in rows}


def test_tables_6_and_8_are_pooled_not_folds():
    for number in (6, 8):
        for row in tables.printed(number).itertuples():
            assert float(row.Severe_sd) < audit.smallest_sd(float(row.Severe), [15, 16], 25)
            assert float(row.Severe_sd) + audit.HALF >= audit.smallest_sd(float(row.Severe), [79], 5)


def test_implied_precision_by_hand():
    # 80 of 100 negatives and 30 of 50 positives are right.
    assert audit.implied_precision(80, 60, 100, 50) == pytest.approx(100 * 80 / 100)
    assert audit.implied_precision(60, 80, 50, 100) == pytest.approx(100 * 30 / 50)
    assert np.isnan(audit.implied_precision(0, 100, 5, 5))


def test_the_smallest_sd_by_hand():
    # Of ten images 9 or 10 are right; to make 97 %, 9 in three runs and 10 in seven.
    values = [90] * 3 + [100] * 7
    assert audit.smallest_sd(97, [10], 10) == pytest.approx(np.std(values, ddof=1), rel=1e-3)
    assert audit.smallest_sd(90, [10], 10) == 0


@pytest.mark.parametrize("seed", range(10))
def test_no_sd_is_smaller_than_the_smallest(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.choice([15, 16], 25)
    values = 100 * rng.binomial(sizes, 0.97) / sizes
    assert audit.smallest_sd(round(values.mean(), 2), [15, 16], 25) <= values.std(ddof=1) + 1e-9


def test_a_mean_f1_is_at_most_the_harmonic_mean_of_the_means():
    runs = metrics.per_run(study(repeats=4))
    mean = runs.groupby("approach").mean()
    assert (mean["f1_P"] < metrics.harmonic_mean(mean["precision_P"], mean["sensitivity"])).all()


def test_the_least_sd_of_f1_to_first_order():
    rng = np.random.default_rng(0)
    recall, other = 0.77 + 0.005 * rng.normal(size=5000), 0.85 + 0.001 * rng.normal(size=5000)
    f1 = 2 * recall / (2 + recall - other)
    least = audit.f1_sd_at_least(77, 85, 0.5, 0.1)
    # Independent recalls lie between the two extremes: sd subtracted and sd added.
    assert least < 100 * f1.std() < audit.f1_sd_at_least(77, 85, 0.5, -0.1)
    assert least == pytest.approx(100 * f1.std(), rel=0.2)


def test_our_own_table_passes_its_audit():
    predictions = study(n=200, repeats=3)
    ours, rows = tables.table_5(predictions), {}
    for approach in ours.index:
        cells = {"model": approach}
        for measure in metrics.METRICS:
            cells[measure] = f"{100 * ours.at[approach, (measure, 'mean')]:.2f}"
            cells[f"{measure}_sd"] = f"{100 * ours.at[approach, (measure, 'sd')]:.2f}"
        rows[approach] = cells
    found = audit.audit(pd.DataFrame.from_dict(rows, orient="index"), 100, 100)
    assert set(found["measure"]) <= {"accuracy"}  # folds by chance, so not of equal classes
