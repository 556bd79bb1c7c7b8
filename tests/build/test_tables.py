"""Tables of a hospital: times in any zone, results in any usual word, and one line for what cannot be."""

import pandas as pd
import pytest

from sdnet_lib.build import tables, times
from sdnet_lib.files import InputError

MADRID = times.zone("Europe/Madrid")


def at(text, zone=MADRID):
    return times.moment(text, zone)


@pytest.mark.parametrize(
    "text",
    [
        "2020-03-14 10:05",
        "20200314100500.123",
        "2020-03-14T09:05:00Z",
        "20200314040500-0500",
        "2020.03.14 10:05",
    ],
)
def test_one_moment_in_five_ways_of_writing(text):
    assert at(text) == pd.Timestamp("2020-03-14 09:05")


def test_hours_are_counted_across_a_change_of_clocks():
    assert at("2020-03-29 03:30") - at("2020-03-29 01:30") == pd.Timedelta(hours=1)


@pytest.mark.parametrize("text", ["2020-03-14", "1900-01-01 00:00", "2999-01-01 10:00"])
def test_a_day_alone_and_a_clock_that_was_never_set_are_no_time(text):
    assert at(text) is None


@pytest.mark.parametrize("text", ["14/03/2020 10:05", "2020-13-01 10:05", "2020-03-14 25:00", "noon"])
def test_what_may_be_read_in_two_ways_or_none_is_refused(text):
    with pytest.raises(ValueError):
        at(text)


def test_an_unknown_zone_is_refused():
    with pytest.raises(InputError, match="--time-zone Madrid"):
        times.zone("Madrid")


def table(folder, text):
    (folder / "t.csv").write_text(text, encoding="utf-8")
    return folder / "t.csv"


def test_pcr_words_and_blanks(tmp_path):
    file = table(
        tmp_path,
        "patient;time;result\n007;2020-03-14 10:05;POS\n008;2020-03-14;not detected\n009;2020-03-14 10:05;\n",
    )
    read = tables.read_pcr(file, MADRID)
    assert list(read.rows["patient_id"]) == ["007", "008", "009"]
    assert list(read.rows["result"]) == ["positive", "negative", None]
    assert read.without_time == 1


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ("parts\nA,T,r,R3 L4\nB,T,r,none\nC,T,r,", [2, 0, None]),
        ("right,left\nA,T,r,1,3\nB,T,r,0,0\nC,T,r,,", [4, 0, None]),
        ("score\nA,T,r,8\nB,T,r,0\nC,T,r,", [8, 0, None]),
    ],
)
def test_three_ways_to_score(tmp_path, scores, expected):
    file = table(tmp_path, "study,time,reader," + scores.replace("T", "2020-03-14 10:05"))
    found = tables.read_readings(file, MADRID).rows["score"]
    assert [None if pd.isna(value) else value for value in found] == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "patient,time,reader,score\n1,2020-03-14 10:05,r,9\n",
            "row 2, column score: '9': not a whole number",
        ),
        ("patient,time,reader,parts\n1,2020-03-14 10:05,r,R9\n", "row 2, column parts.*R9"),
        ("patient,time,reader,parts\n1,14/3/20,r,R1\n", "row 2, column time.*2020-03-14 10:05"),
        ("patient,time,reader,parts\n1,2020-03-14 10:05,,R1\n", "row 2, column reader: '': empty"),
        ("patient,time,reader\n1,2020-03-14 10:05,r\n", "parts, right and left, or score"),
        ("time,reader,score\n2020-03-14 10:05,r,1\n", "no column patient or study"),
        ("patient,study,time,reader,score\n,,2020-03-14 10:05,r,1\n", "row 2: neither patient nor study"),
    ],
)
def test_an_error_names_file_row_and_column(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as error:
        tables.read_readings(table(tmp_path, text), MADRID)
    assert "t.csv" in str(error.value) and "\n" not in str(error.value)
