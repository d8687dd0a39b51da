"""When rows appear in the system, and which rows an export therefore has.

Rows come late: events sent by servers within hours, purchases of months ago at any time, events of
a phone that was off when the app is next opened. ``availabilityTsFrom`` and ``availabilityTsTo``
bound an export by the second in which its rows appeared in the system; so a row is exported exactly
once, however late it comes, where each export begins in the second after the last one's end.

This module is the one place for what that needs and the documentation does not say:

- both ends are included: an export up to ``T`` and one from ``T + 1`` share no row and miss none;
- a row never changes its availability;
- the rows up to a second that create accepts (before 3 hours ago) are all known.

`mytracker_nb.plans.manifest` checks the first two where ``tsInsert`` is among the columns. Source:
page ``export-api/raw/create`` of the service's documentation.
"""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta, timezone
from datetime import time as clock_time
from typing import Any, NamedTuple

from mytracker_nb.errors import InvalidRequest, Problem
from mytracker_nb.request.durations import parse_duration
from mytracker_nb.request.parameters import INTERVALS, PARAMETERS, ValueType
from mytracker_nb.request.request import ExportRequest

__all__ = [
    "ALL_ROWS",
    "DEFAULT_SETTLE",
    "DELAY",
    "Availability",
    "closes_at",
    "is_bounded",
    "is_reusable",
    "known_until",
    "of_request",
    "read_settle",
    "since",
]

_STEP = 3600

_BOUNDS = next(interval for interval in INTERVALS if interval.availability_delay)

DELAY = _BOUNDS.availability_delay
"""How long before now an export by availability must end."""

DEFAULT_SETTLE = timedelta(hours=3)
"""How long after a window's end an export of it must have been requested to be reused."""


class Availability(NamedTuple):
    """The rows that appeared in the system after one second, up to another.

    Attributes
    ----------
    after : int or None
        The last second (Unix time) whose rows are not meant; None for all rows from the start.
    until : int or None
        The last second whose rows are meant; None where that is not known.
    """

    after: int | None = None
    until: int | None = None

    def parameters(self) -> dict[str, int]:
        """The parameters of the create call that select these rows."""
        # from the second after: both ends are included
        start = {} if self.after is None else {_BOUNDS.start: self.after + 1}
        end = {} if self.until is None else {_BOUNDS.end: self.until}
        return {**start, **end}

    def overlaps(self, other: Availability) -> bool:
        """Whether a row could be in both; where an end is not known, it could."""
        return _is_before(self.after, other.until) and _is_before(other.after, self.until)

    def is_outside(self, first: int, last: int) -> bool:
        """Whether rows that appeared from `first` to `last` can't all be among these."""
        return (self.after is not None and first <= self.after) or (
            self.until is not None and last > self.until
        )


ALL_ROWS = Availability()
"""No bound: whatever there is."""


def _is_before(after: int | None, until: int | None) -> bool:
    return after is None or until is None or after < until


def known_until(now: float) -> int:
    """The last second whose rows are all known at a moment, in Unix seconds.

    Parameters
    ----------
    now : float
        The moment, in Unix seconds.
    """
    # it has to be less than now minus the delay
    return math.floor(now) - int(DELAY.total_seconds()) - 1


def of_request(request: ExportRequest) -> Availability:
    """The rows that a valid request selects by their availability."""
    start = request.parameters.get(_BOUNDS.start)
    return Availability(None if start is None else start - 1, request.parameters.get(_BOUNDS.end))


def is_bounded(request: ExportRequest) -> bool:
    """Whether the same rows come whenever the request is sent."""
    return _BOUNDS.end in request.parameters


def since(request: ExportRequest, now: float) -> ExportRequest | None:
    """The request for the rows of the same window that have appeared since.

    It ends with the last full hour whose rows are all known, so that it is the same request, and
    its export can be reused, within an hour.

    Parameters
    ----------
    request : ExportRequest
        A valid one with ``availabilityTsTo``: what appeared until then is known.
    now : float
        The present moment, in Unix seconds.

    Returns
    -------
    ExportRequest or None
        It shares no row with `request`, and misses none; None while no such hour has passed.
    """
    after = of_request(request).until
    assert after is not None
    until = (known_until(now) + 1) // _STEP * _STEP - 1
    if until <= after:
        return None
    return ExportRequest(**{**request.parameters, **Availability(after, until).parameters()})


def closes_at(request: ExportRequest) -> datetime:
    """The first moment after the interval of a valid request (UTC); after it no event is in it."""
    ends = [
        _end(request, interval.end)
        for interval in INTERVALS
        if interval is not _BOUNDS and interval.end in request.parameters
    ]
    return min(ends)


def is_reusable(
    request: ExportRequest, requested_at: datetime, now: datetime, settle: timedelta
) -> bool:
    """Whether an export that succeeded may be reused for the same request.

    Rows can come at any time. An export that was requested before its window had closed surely
    lacks some; one that was requested `settle` later has those that came until then. Where
    ``availabilityTsTo`` bounds it, it has the rows that a new one would have.

    Parameters
    ----------
    request : ExportRequest
        One without errors.
    requested_at, now : datetime.datetime
        When the export was requested, and the present moment.
    settle : datetime.timedelta
        How long after the end of the window it must have been requested.
    """
    if requested_at > now:  # by a clock that was wrong: nothing is known of it
        return False
    return is_bounded(request) or requested_at >= closes_at(request) + settle


def read_settle(settle: str | timedelta | None) -> timedelta | None:
    """How long after a window an export must have been requested to be reused; None if not given.

    Parameters
    ----------
    settle : str or datetime.timedelta, optional
        Such as ``"3h"`` or ``"2d"``; ``"0h"`` and more.

    Raises
    ------
    InvalidRequest
        If it is no such duration.
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
