"""What is stored of an audit is what the audit said, a row a question, asked once."""

from pathlib import Path

from sdnet_lib.audit import questions
from sdnet_lib.phantom.cohorts import biased, homogeneous
from sdnet_lib.studies import published_audit_public


def test_each_cohort_is_audited_once_and_each_question_is_a_row(tmp_path, monkeypatch):
    cohorts = {
        "one": homogeneous(24, 0, tmp_path / "one", size=64),
        "pooled": biased(24, 0, tmp_path / "pooled", size=64),
    }
    monkeypatch.setenv("SDNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(published_audit_public, "COHORTS", tuple(cohorts))
    monkeypatch.setattr(published_audit_public, "load_cohort", lambda name, data: cohorts[name])
    tables, origin = published_audit_public.compute(Path("anywhere"))
    table = tables[""]
    for name, cohort in cohorts.items():
        found = questions.audit(cohort).findings
        rows = table[table["cohort"] == name]
        assert [*rows["name"]] == [one.name for one in found] and [*rows["level"]] == [
            one.level for one in found
        ]
        guessed = [one.numbers["auc"] for one in found if "auc" in one.numbers]
        assert [*rows["auc"].dropna()] == guessed and len(guessed) > 3
    assert set(origin["fingerprints"]) == {"one", "pooled"}
    monkeypatch.setattr(questions, "audit", None)
    assert published_audit_public.compute(Path("anywhere"))[0][""].equals(table)
