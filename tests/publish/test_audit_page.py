"""The report of `sdnet audit`: what comes from files is escaped, and nothing comes from elsewhere."""

import json
import re
import subprocess
import unicodedata

import pytest
from bs4 import BeautifulSoup

from sdnet_lib import children, names
from sdnet_lib.data.cohort import write_cohort
from sdnet_lib.files import InputError
from sdnet_lib.phantom import cohorts
from sdnet_lib.publish import audit_page
from tests.cli.test_main import run

EVIL = "<script>alert(1)</script>&\"'"
UNSEEN = "\u202e\x1b[31m"  # turns the writing round, colours a terminal


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    made = cohorts.biased(40, 1, tmp_path_factory.mktemp("biased") / "made", size=64, workers=1)
    return made.assign(image_id=[f"{EVIL}{number}" for number in range(40)], source=EVIL + UNSEEN)


@pytest.fixture(scope="module")
def out(cohort, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    audit_page.write(cohort, EVIL, folder / "first")
    audit_page.write(cohort, EVIL, folder / "second", before=folder / "first" / "audit.json", pictures=False)
    return folder


def page(folder):
    return BeautifulSoup((folder / audit_page.PAGE).read_text(), "html.parser")


@pytest.mark.parametrize("which", ["first", "second"])
def test_what_comes_from_files_is_escaped(out, which):
    found = page(out / which)
    assert not found.select("script") and EVIL in found.get_text()


@pytest.mark.parametrize("which", ["first", "second"])
def test_nothing_is_there_that_cannot_be_seen(out, which):
    text = (out / which / audit_page.PAGE).read_text()
    assert not [letter for letter in text if letter != "\n" and unicodedata.category(letter) in names.UNSEEN]


@pytest.mark.parametrize("which", ["first", "second"])
def test_nothing_is_loaded_and_everything_is_described(out, which):
    found = page(out / which)
    assert found.html["lang"] == "en" and found.title.get_text()
    for tag in found.select("[src], [href]"):
        assert tag.get("src", "").startswith("data:image/jpeg;base64,")
    assert not re.search(r"@import|url\(", found.style.get_text())
    assert all(len(image["alt"].split()) > 4 for image in found.select("img"))
    assert all(table.caption for table in found.select("table"))
    assert all(head.get("scope") for head in found.select("th"))
    assert "@media print" in found.style.get_text()


def test_every_level_is_said_in_words_and_what_to_do_about_it(out):
    found = page(out / "first")
    rows = found.select("table")[0].select("tbody tr")
    levels = {row.th.get_text(): row.select_one(".level").get_text(strip=True) for row in rows}
    report = json.loads((out / "first" / "audit.json").read_text())
    assert set(levels) == {one["name"] for one in report["findings"]}
    for row, one in zip(rows, report["findings"], strict=True):
        assert levels[one["name"]].endswith(one["level"])
        assert bool(row.select("td")[-1].get_text(strip=True)) == (one["level"] in ("red", "amber"))


def test_pictures_only_where_they_are_wanted(out):
    assert len(page(out / "first").select("img")) == audit_page.PICTURES
    assert not page(out / "second").select("img")


def test_two_audits_stand_side_by_side(out):
    table = next(one for one in page(out / "second").select("table") if "beside this audit" in one.get_text())
    assert {len(row.select("td")) for row in table.select("tbody tr")} == {2}


def test_the_numbers_are_strict_json_and_say_where_they_come_from(out):
    text = (out / "first" / "audit.json").read_text()
    report = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert report["verdict"] == "red" and report["word"] == "confounded"
    assert report["cohort"]["images"] == 40 and len(report["cohort"]["fingerprint"]) == 16
    assert {"name", "level", "evidence", "numbers"} <= set(report["findings"][0])


@pytest.mark.parametrize(
    "text, reason",
    [
        ("{", "not JSON"),
        ("[]", "not the audit.json"),
        ('{"findings": [3]}', "not the audit.json"),
        (None, "No such"),
    ],
)
def test_an_earlier_audit_that_is_none_is_refused_before_any_work(text, reason, cohort, tmp_path):
    file = tmp_path / "before.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError, match=f"--before .*before.json: {reason}"):
        audit_page.write(cohort, "x", tmp_path / "out", before=file)
    assert not (tmp_path / "out").exists()


def test_the_command_ends_with_1_on_red_with_0_else_and_with_2_on_bad_input(
    monkeypatch, capsys, tmp_path, cohort
):
    write_cohort(cohort, tmp_path)
    code, said, _ = run(monkeypatch, capsys, "audit", tmp_path, "-o", tmp_path / "r", "--no-pictures")
    assert code == 1 and "verdict: red (confounded)" in said
    honest = cohorts.homogeneous(40, 1, tmp_path / "honest", size=64, workers=1)
    code, said, _ = run(monkeypatch, capsys, "audit", tmp_path / "honest", "-o", tmp_path / "h")
    assert code == 0 and "verdict: " in said
    code, _, complaint = run(
        monkeypatch, capsys, "audit", tmp_path / "honest", "-o", tmp_path / "h", "--before", "no"
    )
    assert code == 2 and complaint == "sdnet: --before no: No such file or directory\n"
    few = honest.groupby("label").head(2)
    write_cohort(few, tmp_path / "few")
    code, _, complaint = run(monkeypatch, capsys, "audit", tmp_path / "few", "-o", tmp_path / "f")
    assert code == 2 and complaint.count("\n") == 1 and "5 folds need" in complaint


@pytest.mark.long
def test_an_audit_of_any_cohort_trains_no_network_and_loads_nothing_for_it(cohort, tmp_path):
    """fastai and what it brings take a quarter of a gigabyte, and seconds to load."""
    bare = cohort.drop(columns=["lung_mask", "lesion_mask"]).assign(image_id=range(40))
    asked = ["sdnet", "audit", str(write_cohort(bare, tmp_path)), "-o", str(tmp_path / "out")]
    program = (
        f"import sys\nfrom sdnet_lib.cli.main import main\nsys.argv = {asked!r}\n"
        "try: main()\n"
        "finally: print('loaded:', *sorted({'fastai', 'IPython', 'spacy'} & set(sys.modules)))"
    )
    done = subprocess.run(children.python(program), capture_output=True, text=True)
    assert (tmp_path / "out" / audit_page.PAGE).exists(), done.stderr
    assert done.stdout.splitlines()[-1] == "loaded:"
