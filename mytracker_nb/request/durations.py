"""Durations as they are written: ``30m``, ``6h``, ``7d``, ``2w``."""

from __future__ import annotations

import re
from datetime import timedelta

__all__ = ["UNITS", "parse_duration"]

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
"""The units by their letter, under the names that `datetime.timedelta` has for them."""

_DURATION = re.compile(rf"(\d{{1,9}})\s*([{''.join(UNITS)}])", re.ASCII)


def parse_duration(text: str, units: str = "smhdw") -> timedelta | None:
    """The duration that `text` is, a whole number and the letter of a unit; None if it is not one.

    Parameters
    ----------
    text : str
        Such as ``6h``.
    units : str
        The letters of the units that are allowed.
    """
    match = _DURATION.fullmatch(text)
    if match is None or match[2] not in units:
        return None
    try:
        return timedelta(**{UNITS[match[2]]: int(match[1])})
    except OverflowError:
        return None
