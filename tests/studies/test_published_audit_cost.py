"""What an audit costs is what the command took, its child processes included."""

import pytest

from sdnet_lib.studies import published_audit_cost


@pytest.mark.long
def test_each_cohort_is_audited_by_the_command_and_measured_once(tmp_path, monkeypatch):
    monkeypatch.setenv("SDNET_CACHE", str(tmp_path))
    runs = [(16, 64, "found"), (20, 64, "known")]
    tables, origin = published_audit_cost.compute(runs)
    table = tables[""]
    assert [*table[["films", "size", "lungs"]].itertuples(index=False, name=None)] == runs
    assert (table[["seconds", "cpu_seconds", "megabytes"]] > 0).all(axis=None) and origin["cores"] >= 1
    assert len([*(tmp_path / "audit-cost").glob("20-films-64/images/*")]) == 20  # the larger one, drawn once
    assert published_audit_cost.compute(runs)[0][""].equals(table)
