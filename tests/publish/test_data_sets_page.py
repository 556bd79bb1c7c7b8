"""The page of public data sets says what the registry and the stored record hold."""

import re

from data_scripts import registry
from sdnet_lib.publish import data_sets_page
from sdnet_lib.studies import published

NEVER = "Never run on real files: not at hand."


def sections():
    """Return the page's section of each set."""
    parts = re.split(r"\n\(set-(.+)\)=\n", data_sets_page.write())
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_set_has_its_section_and_says_what_it_is():
    found = sections()
    assert list(found) == list(registry.PUBLIC)
    for name, data_set in registry.PUBLIC.items():
        for said in (data_set.labels, data_set.source, data_set.licence, data_set.cite, data_set.access):
            assert said[1:] in found[name], (name, said)


def test_what_was_run_is_what_is_stored():
    table, _ = published.load("data-sets")
    lines = {name: list(lines) for name, lines in table.groupby("data_set")["line"]}
    for name, section in sections().items():
        assert (NEVER in section) == (name not in lines)
        words = " ".join(section.split())
        for line in lines.get(name, ()):
            assert line in words, (name, line)
    whole = {"chestxray8-full", "shenzhen-full", "montgomery-full"}
    assert (whole | {"covidgr", "rsna-pneumonia", "mimic-cxr", "padchest"}).isdisjoint(lines)


def test_no_path_of_the_machine_that_ran_it_is_shown():
    assert not re.search(r"(?<![\w.:/-])/\w+/", data_sets_page.write().replace("](/", ""))


def test_no_line_of_a_run_is_cut():
    for block in re.findall(r"```text\n(.*?)```", data_sets_page.write(), re.DOTALL):
        assert max(map(len, block.splitlines())) <= data_sets_page.WIDTH


def test_covidx_stands_beside_table_1():
    page = data_sets_page.write()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if "|" in line
    ]
    _, origin = published.load("data-sets")
    for name, paper in (("covidx1", "COVIDx 1.0"), ("covidx2", "COVIDx 2.0")):
        for key, what in (("paper", "Table 1 of the paper"), ("listed", "its lists")):
            numbers = [f"{count:,}" for count in origin["covidx"][name][key].values()]
            assert [f"{paper}, {what}", *numbers] in rows
