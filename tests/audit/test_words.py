import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdnet_lib.audit import words


@given(st.floats(-1e9, 1e9))
def test_a_number_has_three_digits_or_those_before_the_point(value):
    said = words.number(value)
    assert re.fullmatch(r"-?\d+(\.\d{1,6})?(e-\d+)?", said) and float(said) == pytest.approx(value, rel=0.005)
    assert len(said.replace("-", "").replace(".", "").split("e")[0].lstrip("0")) <= max(
        3, len(f"{abs(value):.0f}")
    )


@pytest.mark.parametrize(
    "text, said",
    [
        ("0.010000000000000002", "0.01"),
        (0.1 + 0.2, "0.3"),
        ("1.2.840.10008", "1.2.840.10008"),
        ("007", "007"),
        ("20200301", "20200301"),
        ("2.5", "2.5"),
        ("v1.00001", "v1.00001"),
        ("", ""),
    ],
)
def test_only_what_is_a_long_fraction_is_shortened(text, said):
    assert words.shown(text) == said


def test_days_are_dates():
    assert [words.day(value) for value in (0, 18322.9, -1)] == ["1970-01-01", "2020-03-01", "1969-12-31"]
