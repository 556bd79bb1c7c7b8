"""The page about the audit says what the stored calibration holds."""

from sdnet_lib.publish import calibration_page
from sdnet_lib.studies import published, published_audit


def test_the_table_is_computed_from_what_is_stored():
    table, origin = published.load("audit")
    page = calibration_page.write()
    assert f"{len(table)} of {len(published_audit.CELLS) * published_audit.SEEDS} planned cohorts" in page
    summary = published_audit.summary(table)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines()]
    for row in summary.itertuples():
        start = [row.shortcut, f"{row.strength:.1f}", str(row.images), str(row.cohorts)]
        assert any(cells[:4] == start for cells in rows)
    assert origin["command"] in page and f"by code {origin['code']}" in page
    assert ("The audit's code is another today" in page) == (origin["code"] != published_audit.code())


def test_what_is_missing_is_what_the_table_lacks():
    table, origin = published.load("audit")
    missing = sum(one["cohorts"] for one in origin["missing"])
    assert len(table) + missing == len(published_audit.CELLS) * published_audit.SEEDS


def test_every_question_has_its_threshold():
    page = calibration_page.write()
    assert "| thumbnail | 0.95 | never |" in page and "| every other question | 0.60 | 0.75 |" in page


def test_a_public_set_has_a_row_with_its_verdict_and_what_is_red():
    table, origin = published.load("audit-public")
    page = calibration_page.write()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines()]
    for name, found in table.groupby("cohort"):
        (row,) = (cells for cells in rows if cells[0] == name)
        assert row[2] == f"{found['verdict'].iloc[0]}, {found['word'].iloc[0]}"
        for level, cell in zip(("red", "amber"), row[3:], strict=True):
            named = found.loc[found["level"] == level, "name"]
            assert all(one in cell for one in named) and (len(named) > 0) == (cell != "–")
    assert origin["command"] in page


def test_what_audits_cost_is_what_was_measured():
    table, origin = published.load("audit-cost")
    page = calibration_page.write()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines()]
    for row in table.itertuples():
        start = [f"{row.films:,}", str(row.size), row.lungs, f"{row.seconds:,.0f}", f"{row.cpu_seconds:,.0f}"]
        assert any(cells[:5] == start for cells in rows)
    assert origin["command"] in page
