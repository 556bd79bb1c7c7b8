"""Text from outside: any text gives a file name, a cell and a line that do no harm, and none is lost."""

import os
import re
import unicodedata

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdnet_lib.files import readable
from sdnet_lib.names import (
    FORMULA,
    NUMBER,
    RESERVED,
    cell,
    csv_text,
    file_names,
    portable,
    shown,
    uncell,
)

HARD = [
    "",
    ".",
    "..",
    "a/b",
    "CON",
    "nul.txt",
    "x" * 300,
    "胸部" * 60,
    "$\\bad$",
    "a\x1b[2J",
    "\u202eb",
    "\udcff",
    "A",
    "a",
]
# what a file system may hand over: any letters, and bytes that are no UTF-8
TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\udc80\udcff"), max_size=300)


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXT | st.sampled_from(HARD), max_size=8))
def test_file_names_are_safe_and_as_many_as_texts(texts):
    names = file_names(texts)
    assert len({unicodedata.normalize("NFC", name).casefold() for name in names}) == len(set(texts))
    assert names == file_names(texts)
    for name in names:
        assert 1 <= len(name.encode()) <= 200
        assert not re.search(r"[\x00-\x1f/\\:*?\"<>|$]", name)
        assert name[0] not in ". " and name[-1] not in ". "
        assert name.split(".")[0].upper() not in ("CON", "NUL", "AUX", "PRN", "COM1", "LPT1")


def test_ordinary_names_stay_as_they_are():
    names = ["N-00012", "case_7 (2).v1", "胸部 3", "Peña"]
    assert file_names(names) == names


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(["a", "A", "é", "e\u0301", "aux", "b.", "a-2", "a.png"]), min_size=1),
        max_size=8,
    )
)
def test_portable_paths_are_different_files_everywhere(parts):
    paths = ["/".join(path) for path in parts]
    made = portable(paths)
    assert len({unicodedata.normalize("NFC", path).casefold() for path in made}) == len(paths)
    assert not any(RESERVED.match(part) or part[-1] in " ." for path in made for part in path.split("/"))


def test_most_paths_stay_as_they_are():
    paths = ["images/a (1).PNG", "masks/a (1).png", ".git/config", "x/1%&#[].jpg"]
    assert portable(paths) == paths


def test_a_name_that_must_be_made_safe(tmp_path):
    for name in file_names(HARD):
        (tmp_path / f"{name}.png").touch()
    assert len(list(tmp_path.iterdir())) == len(set(HARD))


@settings(max_examples=100, deadline=None)
@given(TEXT | st.sampled_from(["=1+1", "'=1", "@x", "-", "-5", "+3.5", "\t=1"]))
def test_cells_compute_nothing_and_come_back(text):
    safe = cell(text)
    assert uncell(safe) == text
    assert safe[:1] not in tuple("=+-@\t\r") or NUMBER.fullmatch(safe)


def test_a_table_keeps_its_numbers():
    table = pd.DataFrame({"file": ["=HYPERLINK(1)", "a"], "p": [-0.5, 0.25]})
    assert csv_text(table) == "file,p\n'=HYPERLINK(1),-0.5\na,0.25\n"
    assert FORMULA.match("=1")


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\u202eb", "a\x07", "\udcff", "a\rb"])
def test_nothing_reaches_the_terminal(text):
    assert shown(text).isprintable() and shown(text) != text
    shown(text).encode()


@settings(max_examples=100, deadline=None)
@given(TEXT | st.text(st.characters(categories=["Cs", "Lu"])))
def test_any_text_becomes_one_that_can_be_written(text):
    readable(text).encode()
    assert readable(text) == text or any(unicodedata.category(letter) == "Cs" for letter in text)


def test_bytes_of_file_names_are_read_as_what_they_most_likely_are():
    assert readable(os.fsdecode(b"pe\xf1a.png")) == "pe\\xf1a.png"
    assert readable("peña.png".encode().decode("ascii", "surrogateescape")) == "peña.png"


def test_lines_and_letters_are_shown_as_they_are():
    assert shown("胸部\nPeña") == "胸部\nPeña"
