import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdnet_lib.evaluation import verdicts

FRACTION = st.floats(-1, 1, allow_nan=False)


@pytest.mark.parametrize(
    "low, high, word",
    [
        (0.01, 0.3, verdicts.HELPED),
        (-0.3, -0.01, verdicts.HURT),
        (-0.01, 0.3, verdicts.UNDECIDED),
        (0.0, 0.3, verdicts.UNDECIDED),
        (0.0, 0.0, verdicts.SAME),
        (np.nan, np.nan, verdicts.UNKNOWN),
    ],
)
def test_the_interval_chooses_the_word(low, high, word):
    assert verdicts.verdict(low, high) == word


@given(FRACTION, FRACTION, FRACTION)
def test_no_sentence_contradicts_its_interval(one, other, third):
    low, estimate, high = sorted((one, other, third))
    said = verdicts.effect("the idea", estimate, low, high)
    if low <= 0 <= high:
        assert "undecided" in said or said == "The idea made no difference in any run."
    else:
        assert said.startswith("The idea helped" if low > 0 else "The idea hurt")


def test_a_sentence_has_the_numbers_of_its_table():
    said = verdicts.effect("fusion", 0.021, -0.004, 0.046)
    assert said == "Whether fusion helped is undecided: +2.1 points [\u22120.4 to +4.6]."
    assert verdicts.effect("fusion", 0.021, np.nan, np.nan).endswith("nothing can be said.")


@pytest.mark.parametrize(
    "low, high, words",
    [
        (0.51, 0.67, "still gives the label away: 0.60 [0.51 to 0.67]"),
        (0.45, 0.67, "does not differ clearly from a coin"),
        (0.2, 0.4, "points to the wrong label"),
        (np.nan, np.nan, "was not measured."),
    ],
)
def test_what_is_left_of_an_image_beats_a_coin_or_not(low, high, words):
    said = verdicts.beats_a_coin("the image without lungs", 0.603, low, high)
    assert said.startswith("The image without lungs ") and words in said
