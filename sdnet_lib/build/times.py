"""When something happened: what tables and DICOM headers write, as one clock.

All times become UTC without a zone, so that hours between them can be counted across a change of clocks.
"""

from __future__ import annotations

import datetime
import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd

from sdnet_lib.files import InputError

YEARS = range(1990, 2100)  # others are what a clock shows that was never set, or a slip
_DAY = r"(?P<year>\d{4})[-./]?(?P<month>\d{2})[-./]?(?P<day>\d{2})"
_CLOCK = r"(?P<hour>\d{2}):?(?P<minute>\d{2})?:?(?P<second>\d{2})?(?:\.\d*)?"
_ZONE = r"(?P<zone>Z|[+-]\d{2}:?\d{2})"
WRITTEN = re.compile(rf"{_DAY}(?:[T ]?{_CLOCK}\s*{_ZONE}?)?")


def zone(name: str) -> ZoneInfo:
    """Return a time zone by its name, such as ``Europe/Madrid``; raise `InputError` for any other."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError(f"--time-zone {name}: unknown; write it as in Europe/Madrid") from None


def moment(text: str, local: datetime.tzinfo) -> pd.Timestamp | None:
    """Return a time in UTC, without a zone.

    Parameters
    ----------
    text : str
        ``2020-03-14 10:05:07`` or DICOM's ``20200314100507``, with or without ``Z`` or ``+01:00`` at its end.
    local : tzinfo
        The zone of a time that names none.

    Returns
    -------
    Timestamp or None
        None for a day without an hour, which cannot be within 24 hours of anything, and for a year out of
        `YEARS`.

    Raises
    ------
    ValueError
        If it is no time; the message says how to write one.
    """
    found = WRITTEN.fullmatch(text.strip())
    if not found:
        raise ValueError("no time that can be read: write it as 2020-03-14 10:05")
    if found["hour"] is None:
        return None
    parts = [int(found[name] or 0) for name in ("year", "month", "day", "hour", "minute", "second")]
    parts[-1] = min(parts[-1], 59)  # a leap second
    where = _offset(found["zone"]) if found["zone"] else local
    when = datetime.datetime(*parts, tzinfo=where)
    if when.year not in YEARS:
        return None
    return pd.Timestamp(when.astimezone(datetime.timezone.utc).replace(tzinfo=None))


def _offset(written: str) -> datetime.tzinfo:
    if written == "Z":
        return datetime.timezone.utc
    hours, minutes = int(written[:3]), int(written[-2:])
    return datetime.timezone(datetime.timedelta(hours=hours, minutes=-minutes if hours < 0 else minutes))
