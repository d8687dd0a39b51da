"""When rows become available in MyTracker, and which rows an export therefore has.

Rows can be late: servers send events hours later, purchases of months ago can come at any time, and
a phone that was off sends its events when the app is next opened. ``availabilityTsFrom`` and
``availabilityTsTo`` limit an export to the rows that became available between two seconds. If each
export begins in the second after the end of the one before, every row is exported exactly once.

This needs three properties that the documentation does not state, and that only this module relies
on:

- both ends are included: an export up to ``T`` and one from ``T + 1`` share no row and miss none;
- a row never changes its availability;
- the rows up to a second that create accepts (before 3 hours ago) are all known.

`mytracker_nb.plans.manifest` checks the first two where ``tsInsert`` is among the columns, and
`mytracker_nb.plans.shared_rows` that no two exports share a row. Source:
page ``export-api/raw/create`` of the service's documentation.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from mytracker_nb.request.parameters import INTERVALS
from mytracker_nb.request.request import ExportRequest

__all__ = [
    "ALL_ROWS",
    "DELAY",
    "Availability",
    "is_bounded",
    "known_until",
    "of_request",
    "since",
]

_STEP = 3600

_BOUNDS = next(interval for interval in INTERVALS if interval.availability_delay)

DELAY = _BOUNDS.availability_delay
"""How long before now ``availabilityTsTo`` must be."""


class Availability(NamedTuple):
    """The rows that became available after one second, up to another.

    Attributes
    ----------
    after : int or None
        The last second (Unix time) before them; None if there is no lower bound.
    until : int or None
        Their last second; None if it is not known.
    """

    after: int | None = None
    until: int | None = None

    def parameters(self) -> dict[str, int]:
        """The parameters of the create call that select these rows."""
        # + 1 since both ends of the service's interval are included
        start = {} if self.after is None else {_BOUNDS.start: self.after + 1}
        end = {} if self.until is None else {_BOUNDS.end: self.until}
        return {**start, **end}

    def overlaps(self, other: Availability) -> bool:
        """Whether a row can be in both; if an end is not known, it can."""
        return _is_before(self.after, other.until) and _is_before(other.after, self.until)

    def is_outside(self, first: int, last: int) -> bool:
        """Whether some of the rows that became available from `first` to `last` are not in this."""
        return (self.after is not None and first <= self.after) or (
            self.until is not None and last > self.until
        )


ALL_ROWS = Availability()
"""No bounds."""


def _is_before(after: int | None, until: int | None) -> bool:
    return after is None or until is None or after < until


def known_until(now: float) -> int:
    """The last second whose rows are all available at a moment, in Unix seconds.

    Parameters
    ----------
    now : float
        The moment, in Unix seconds.
    """
    # the service accepts ends before now minus the delay
    return math.floor(now) - int(DELAY.total_seconds()) - 1


def of_request(request: ExportRequest) -> Availability:
    """The rows that a valid request selects by their availability."""
    start = request.parameters.get(_BOUNDS.start)
    return Availability(None if start is None else start - 1, request.parameters.get(_BOUNDS.end))


def is_bounded(request: ExportRequest) -> bool:
    """Whether the request has an upper bound, so that it always returns the same rows."""
    return _BOUNDS.end in request.parameters


def since(request: ExportRequest, now: float) -> ExportRequest | None:
    """The request for the rows of the same window that became available after those of `request`.

    It ends with the last full hour whose rows are all available. So within an hour the request is
    the same, and its export can be reused.

    Parameters
    ----------
    request : ExportRequest
        A valid request with ``availabilityTsTo``.
    now : float
        The present moment, in Unix seconds.

    Returns
    -------
    ExportRequest or None
        A request that has no row of `request` and skips none; None before the next full hour.
    """
    after = of_request(request).until
    assert after is not None
    until = (known_until(now) + 1) // _STEP * _STEP - 1
    if until <= after:
        return None
    return ExportRequest(**{**request.parameters, **Availability(after, until).parameters()})
