"""When an earlier export of the same request may be reused: it lacks no row, or few late ones."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from datetime import time as clock_time
from typing import Any

from mytracker_nb.errors import InvalidRequest, Problem
from mytracker_nb.request.availability import is_bounded
from mytracker_nb.request.durations import parse_duration
from mytracker_nb.request.parameters import INTERVALS, PARAMETERS, ValueType
from mytracker_nb.request.request import ExportRequest

__all__ = ["DEFAULT_SETTLE", "closes_at", "is_reusable", "read_settle"]

DEFAULT_SETTLE = timedelta(hours=3)
"""How long after a window's end an export of it must have been requested to be reused."""


def closes_at(request: ExportRequest) -> datetime:
    """The first moment after the interval of a valid request (UTC); after it no event is in it."""
    ends = [
        _end(request, interval.end)
        for interval in INTERVALS
        if not interval.availability_delay and interval.end in request.parameters
    ]
    return min(ends)


def is_reusable(
    request: ExportRequest, requested_at: datetime, now: datetime, settle: timedelta
) -> bool:
    """Whether an export that succeeded can be reused for the same request.

    Rows can be late. An export that was requested before its window closed certainly lacks some;
    one requested `settle` after the end has the rows that were available by then. With
    ``availabilityTsTo``, an export has the same rows whenever it is requested.

    Parameters
    ----------
    request : ExportRequest
        A valid request.
    requested_at, now : datetime.datetime
        When the export was requested, and the present moment.
    settle : datetime.timedelta
        How long after the end of the window it must have been requested.
    """
    if requested_at > now:  # one of the clocks was wrong, so the age is not known
        return False
    return is_bounded(request) or requested_at >= closes_at(request) + settle


def read_settle(settle: str | timedelta | None) -> timedelta | None:
    """Convert a `settle` option to a duration; None if it was not given.

    Parameters
    ----------
    settle : str or datetime.timedelta, optional
        A duration of 0 or more, such as ``"3h"`` or ``"2d"``.

    Raises
    ------
    InvalidRequest
        If it is not such a duration.
    """
    if settle is None:
        return None
    length = parse_duration(settle.strip()) if isinstance(settle, str) else settle
    if not isinstance(length, timedelta) or length < timedelta(0):
        problem = f"{settle!r} is not a duration"
        raise InvalidRequest([Problem("settle", "bad_value", "error", problem, "such as 3h or 2d")])
    return length


def _end(request: ExportRequest, name: str) -> datetime:
    value: Any = request.parameters[name]
    if PARAMETERS[name].value_type is ValueType.DATE:
        day = date.fromisoformat(value) + timedelta(days=1)
        return datetime.combine(day, clock_time(), request.zone).astimezone(timezone.utc)
    return datetime.fromtimestamp(value + 1, timezone.utc)
