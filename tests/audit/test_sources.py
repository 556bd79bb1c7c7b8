import numpy as np

from sdnet_lib.audit import probes, sources
from sdnet_lib.audit.findings import AMBER, GREEN, UNKNOWN
from tests.audit import made


def ask(features, cohort):
    trial = probes.trial(cohort)
    return sources.held_out(features, cohort, probes.probe(features, trial))


def test_what_turns_round_in_another_source_is_named():
    cohort = made.table(120, source=["one"] * 60 + ["two"] * 60)
    label = (cohort["label"] == "P").to_numpy(float)
    rng = np.random.default_rng(0)
    here = (cohort["source"] == "one").to_numpy()
    disease = label + 0.8 * rng.normal(size=120)
    assert ask(disease[:, None], cohort).level == GREEN
    turned = np.where(here, label, -label)
    known = np.column_stack([turned * here, turned * ~here, here]) + 0.1 * rng.normal(size=(120, 3))
    finding = ask(known, cohort)
    assert finding.level == AMBER
    assert finding.numbers["sources"]["one"]["known"] > finding.numbers["sources"]["one"]["held_out"] + 0.1


def test_where_source_and_label_are_one_nothing_can_be_said():
    cohort = made.table(60)
    features = np.random.default_rng(0).normal(size=(60, 2))
    assert ask(features, cohort).evidence.startswith("one source")
    finding = ask(features, cohort.assign(source=cohort["label"]))
    assert finding.level == UNKNOWN and "cannot be separated" in finding.evidence
