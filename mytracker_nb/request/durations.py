"""Durations as they are written: ``30m``, ``6h``, ``7d``, ``2w``."""

from __future__ import annotations

import re
from datetime import timedelta

__all__ = ["UNITS", "parse_duration"]

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
"""The units by their letter, with the names of the arguments of `datetime.timedelta`."""

_DURATION = re.compile(rf"(\d{{1,9}})\s*([{''.join(UNITS)}])", re.ASCII)


def parse_duration(text: str, units: str = "smhdw") -> timedelta | None:
    """Parse a duration: a whole number and the letter of a unit; None if `text` is not one.

    Parameters
    ----------
    text : str
        A duration such as ``6h``.
    units : str
        The letters of the accepted units.
    """
    match = _DURATION.fullmatch(text)
    if match is None or match[2] not in units:
        return None
    try:
        return timedelta(**{UNITS[match[2]]: int(match[1])})
    except OverflowError:
        return None
