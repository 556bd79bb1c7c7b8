"""Numbers and dates as a report says them."""

from __future__ import annotations

import re

import pandas as pd

LONGEST = 60  # characters of a name
LONG = re.compile(r"[+-]?\d*\.\d{4,}(e[+-]?\d+)?", re.IGNORECASE)  # what a computer makes of a tenth


def number(value: float) -> str:
    """Write a number with three digits, or all of those before the point."""
    value = value + 0  # no minus before a nought
    return f"{value:.0f}" if value == round(value) or abs(value) >= 100 else f"{value:.3g}"


def shown(value: object) -> str:
    """Write whatever a table or a header holds: a fraction as `number`, else the text, cut if need be."""
    text = str(value)
    if LONG.fullmatch(text):
        return number(float(text))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def day(value: float) -> str:
    """Write days since 1970 as a date."""
    return (pd.Timestamp(0) + pd.Timedelta(days=value)).strftime("%Y-%m-%d")
