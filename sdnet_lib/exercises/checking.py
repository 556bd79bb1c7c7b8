"""Say of an answer to an exercise whether it is right, or in one sentence what is wrong with it.

The check of exercise 4.3 is the function `exercise_4_3` of `chapter_4`. It yields steps, each a condition
with the sentence to say if it does not hold; the first that fails is the verdict. A sentence never names the
answer.
"""

from __future__ import annotations

import importlib
import numbers
import warnings
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from sdnet_lib.files import InputError

Step = tuple[bool, str]
BLANK = (None, ...)  # what stands in the notebooks where an answer belongs


class _NotAnswered(Exception):
    """The answer, or what a student's function returns, is still blank."""


class _Stopped(Exception):
    """A student's function raised an error."""


def judge(exercise: str, answer: object, *given: object) -> tuple[bool, str]:
    """Return whether an answer is right, and the sentence to print.

    Parameters
    ----------
    exercise : str
        Such as ``"4.3"``.
    answer : object
        What the exercise asks for: a value, a tuple of values, or a function.
    *given
        What of the notebook the check needs to know the answer itself.

    Raises
    ------
    InputError
        For an exercise that does not exist.
    """
    steps = _steps(exercise)
    try:
        for holds, sentence in steps(_asked(answer), *given):
            if not holds:
                return False, f"Exercise {exercise}: not yet. {sentence}"
    except _NotAnswered as blank:
        return False, f"Exercise {exercise}: {blank}"
    except _Stopped as error:
        return False, f"Exercise {exercise}: not yet. Your function stopped with {error}"
    except Exception as error:  # an answer may be anything
        kind = type(answer).__name__
        return False, f"Exercise {exercise}: not yet. A {kind} like this cannot be the answer ({error})."
    return True, f"Exercise {exercise}: right."


def _steps(exercise: str) -> Callable[..., Iterator[Step]]:
    chapter, _, number = exercise.partition(".")
    try:
        module = importlib.import_module(f"sdnet_lib.exercises.chapter_{chapter}")
        return getattr(module, f"exercise_{chapter}_{number}")
    except (ImportError, AttributeError):
        raise InputError(f"there is no exercise {exercise!r}") from None


def _asked(answer: object) -> object:
    """Return an answer to work with; a function comes back in a coat that tells its errors from ours."""
    parts = answer if isinstance(answer, tuple) else (answer,)
    if any(part is blank for part in parts for blank in BLANK):
        raise _NotAnswered("not answered yet.")
    if not callable(answer):
        return answer

    def asked(*arguments: object) -> object:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                returned = answer(*arguments)
        except Exception as error:
            raise _Stopped(f"{type(error).__name__}: {error}") from error
        if any(returned is blank for blank in BLANK):
            raise _NotAnswered("not answered yet: your function returns nothing.")
        return returned

    return asked


def number(
    answer: object, value: float, hint: str, mistakes: Mapping[float, str] | None = None, within: float = 1e-6
) -> Iterator[Step]:
    """Yield the steps for a number: known mistakes with a sentence each, then the hint for any other.

    A mistake that happens to give the right value is none.
    """
    yield isinstance(answer, numbers.Real), f"A number is wanted here, not a {type(answer).__name__}."
    for wrong, sentence in (mistakes or {}).items():
        yield abs(answer - wrong) > within or abs(value - wrong) <= within, sentence
    yield abs(answer - value) <= within, hint


def array(
    answer: object, value: np.ndarray, hint: str, mistakes: Mapping[str, np.ndarray] | None = None
) -> Iterator[Step]:
    """Yield the steps for an array, as `number` does; `mistakes` are from a sentence to the wrong array."""
    given, value = np.asarray(answer), np.asarray(value)
    yield given.shape == value.shape, f"The shape should be {value.shape} and is {given.shape}."
    for sentence, wrong in (mistakes or {}).items():
        yield not _same(given, np.asarray(wrong)) or _same(value, np.asarray(wrong)), sentence
    yield _same(given, value), hint


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    if one.dtype.kind in "fc" and other.dtype.kind in "fc":
        return bool(np.allclose(one, other, atol=1e-5, equal_nan=True))
    return bool((one == other).all())
