"""How a request is split into pieces, so that each row is in exactly one of them.

A request is split along its interval, by days of its zone or by seconds of event time. A filter is
split if it has more values than the service accepts. Nothing here sends a request; the limits are
from page ``export-api/raw/create`` of the service's documentation.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

from mytracker_nb.errors import InvalidRequest, Problem
from mytracker_nb.request.availability import ALL_ROWS, Availability
from mytracker_nb.request.durations import parse_duration
from mytracker_nb.request.parameters import INTERVALS, MAX_VALUES, PARAMETERS, Interval
from mytracker_nb.request.request import ExportRequest

__all__ = [
    "Axis",
    "FilterParts",
    "Piece",
    "Window",
    "bisect",
    "every_text",
    "filter_groups",
    "full_window",
    "parse_every",
    "problems",
    "split_axis",
    "split_request",
    "uncovered",
]

MAX_PIECES = 10_000
"""The most exports in one plan. More would take days, so they are likely a mistake."""

FilterParts: TypeAlias = "tuple[tuple[str, int, tuple[Any, ...]], ...]"


class Window(NamedTuple):
    """An interval from `first` to `last`, both included, in the units of an axis."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """The number of units."""
        return self.last - self.first + 1

    def overlaps(self, other: Window) -> bool:
        """Whether the two have a unit in common."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Axis:
    """What a request is split along.

    Attributes
    ----------
    interval : Interval
        The two parameters for its bounds.
    unit : datetime.timedelta
        The length of one unit: a day or a second.
    smallest : int
        The smallest window that `bisect` makes, in units.
    read : callable
        Converts a parameter's value to a number: the ordinal of a day, or Unix seconds.
    write : callable
        Converts that number back to a value.
    """

    interval: Interval
    unit: timedelta
    smallest: int
    read: Callable[[Any], int]
    write: Callable[[int], str | int]

    def moments(self, window: Window, request: ExportRequest) -> tuple[datetime, datetime]:
        """The start of a window, and its end (excluded), in the zone of `request`."""
        bounds = window.first, window.last + 1
        if self is _DAYS:
            return _midnight(bounds[0], request), _midnight(bounds[1], request)
        return (
            datetime.fromtimestamp(bounds[0], request.zone),
            datetime.fromtimestamp(bounds[1], request.zone),
        )


_DAYS = Axis(
    INTERVALS[0],
    timedelta(days=1),
    1,
    lambda day: date.fromisoformat(day).toordinal(),
    lambda day: date.fromordinal(day).isoformat(),
)
_SECONDS = Axis(INTERVALS[1], timedelta(seconds=1), 900, int, int)


def _midnight(day: int, request: ExportRequest) -> datetime:
    return datetime.fromordinal(day).replace(tzinfo=request.zone)


def split_axis(request: ExportRequest) -> Axis:
    """What a valid request is split along.

    It is event time if the request has it, since that can be split finer. If the request has days
    too, each piece keeps these, since rows have to satisfy both.
    """
    return _SECONDS if _SECONDS.interval.start in request.parameters else _DAYS


def full_window(request: ExportRequest) -> Window:
    """The window of a valid request; empty if its days and its times have no second in common."""
    axis = split_axis(request)
    window = Window(*(axis.read(request.parameters[name]) for name in axis.interval.names))
    if axis is _SECONDS and _DAYS.interval.start in request.parameters:
        # times outside of the days have no rows to export
        days = [_DAYS.read(request.parameters[name]) for name in _DAYS.interval.names]
        start, end = _midnight(days[0], request), _midnight(days[1] + 1, request)
        return Window(
            max(window.first, int(start.timestamp())), min(window.last, int(end.timestamp()) - 1)
        )
    return window


@dataclass(frozen=True)
class Piece:
    """A part of a request, with an export of its own.

    Attributes
    ----------
    full_request : ExportRequest
        The request that it is a part of.
    window : Window
        The part of its interval.
    filters : tuple of (str, int, tuple)
        For each split filter: its name, the number of this part and its values.
    availability : Availability
        When its rows appeared in the system; by default without a bound other than the request's.
    """

    full_request: ExportRequest
    window: Window
    filters: FilterParts = ()
    availability: Availability = ALL_ROWS

    @cached_property
    def request(self) -> ExportRequest:
        """The request of this piece; `full_request` itself if it was not split."""
        changes: dict[str, Any] = {name: values for name, _, values in self.filters}
        changes |= self.availability.parameters()
        if self.window != full_window(self.full_request):
            axis = split_axis(self.full_request)
            changes |= zip(axis.interval.names, map(axis.write, self.window), strict=True)
        if not changes:
            return self.full_request
        return ExportRequest(**{**self.full_request.parameters, **changes})

    @property
    def bounds(self) -> tuple[str | int, str | int]:
        """The values of the window's two parameters."""
        write = split_axis(self.full_request).write
        return write(self.window.first), write(self.window.last)

    @property
    def moments(self) -> tuple[datetime, datetime]:
        """The start of the window, and its end (excluded), in the zone of the request."""
        return split_axis(self.full_request).moments(self.window, self.full_request)

    @property
    def filter_label(self) -> str:
        """The parts of split filters (``idApp 2``); ``""`` if none was split."""
        return ", ".join(f"{name} {number}" for name, number, _ in self.filters)

    @property
    def label(self) -> str:
        """A short text: the window and the parts of split filters."""
        first, last = self.bounds
        window = str(first) if first == last else f"{first} to {last}"
        return ", ".join(filter(None, [window, self.filter_label, self.late_label]))

    @property
    def late_label(self) -> str:
        """Since when its rows appeared, if it has late rows of a window exported before."""
        if self.availability.after is None:
            return ""
        since = datetime.fromtimestamp(self.availability.after, timezone.utc)
        return f"late rows since {since:%Y-%m-%d %H:%M} UTC"


def parse_every(every: object, request: ExportRequest) -> int | None:
    """The length of a plan's windows, in units of the request's axis.

    Parameters
    ----------
    every : None, str or datetime.timedelta
        ``"1d"``, ``"2w"``; for event time also ``"6h"`` and ``"90m"``. None and ``"auto"`` split
        only what is too large.
    request : ExportRequest
        The valid request to split.

    Returns
    -------
    int or None
        Days or seconds; None to split nothing in advance.

    Raises
    ------
    InvalidRequest
        If it is not a duration, or not a number of whole days while the request has only days.
    """
    axis = split_axis(request)
    if every is None or every == "auto":
        return None
    length = parse_duration(every.strip(), "mhdw") if isinstance(every, str) else every
    if not isinstance(length, timedelta) or length <= timedelta(0):
        raise _refused("every", "bad_value", f"{every!r} is not a duration", _EVERY_HINT)
    units, rest = divmod(length, axis.unit)
    if rest:
        whole_units = "whole days, as the request has days" if axis is _DAYS else "whole seconds"
        raise _refused(
            "every",
            "bad_value",
            f"{every!r} is not a number of {whole_units}",
            "set tsFrom and tsTo for windows of hours" if axis is _DAYS else _EVERY_HINT,
        )
    return units


def every_text(length: int, request: ExportRequest) -> str:
    """The length of a plan's windows as text: ``7d``, ``90m``; ``""`` for odd seconds."""
    seconds = int(split_axis(request).unit.total_seconds()) * length
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return ""


_EVERY_HINT = (
    "1d, 7d or 2w; with tsFrom and tsTo also 6h or 90m; auto splits only what is too large"
)


def problems(request: ExportRequest, now: datetime) -> tuple[Problem, ...]:
    """The problems of a request that can be split.

    Parameters
    ----------
    request : ExportRequest
        The request to split.
    now : datetime.datetime
        The current time, with its zone.

    Returns
    -------
    tuple of Problem
        Those of the request; filters with too many values are a problem only if splitting them
        would change the result.
    """
    found = (
        problem if problem.code != "too_many" else _unsplittable(request, problem)
        for problem in request.check(now)
    )
    return tuple(problem for problem in found if problem is not None)


def _unsplittable(request: ExportRequest, problem: Problem) -> Problem | None:
    """The problem of a filter that has too many values; None if splitting it solves it."""
    parameters = request.parameters
    if problem.parameter in _EITHER and all(name in parameters for name in _EITHER):
        return replace(
            problem,
            message=f"{problem.message}, and it can't be split beside "
            f"{' and '.join(name for name in _EITHER if name != problem.parameter)}: "
            "rows that match both would be exported more than once",
            hint="use either idApp or SDKKey",
        )
    if problem.parameter == "eventName" and parameters.get("eventNameInvert") == 1:
        return replace(
            problem,
            message=f"{problem.message}, and it can't be split with eventNameInvert=1: each piece "
            "would have the events that the others exclude",
            hint=f"exclude at most {MAX_VALUES} names, or name the events to include",
        )
    return None


_EITHER = ("idApp", "SDKKey")  # rows that match either are exported


def split_request(
    request: ExportRequest, every: int | None = None, covered: Iterable[Piece] = ()
) -> list[Piece]:
    """Split a request that has no `problems`.

    Parameters
    ----------
    request : ExportRequest
        The request to split.
    every : int or None
        The length of the windows, from `parse_every`.
    covered : iterable of Piece
        Pieces that already exist, to leave out.

    Returns
    -------
    list of Piece
        In the order of their windows. Filters with too many values are split in parts of 1000, and
        all parts of several filters are combined.

    Raises
    ------
    InvalidRequest
        If there would be more than `MAX_PIECES`.
    """
    existing: dict[FilterParts, list[Window]] = {}
    for piece in covered:
        existing.setdefault(piece.filters, []).append(piece.window)
    wanted = [
        (window, filters)
        for filters in filter_groups(request)
        for window in uncovered(full_window(request), existing.get(filters, ()))
    ]
    count = sum(-(-window.length // (every or window.length or 1)) for window, _ in wanted)
    if count > MAX_PIECES:
        message = f"needs {count} exports, more than the {MAX_PIECES} of a plan"
        raise _refused("every", "too_many", message, "use longer windows or a shorter interval")
    pieces = [
        Piece(request, part, filters)
        for window, filters in wanted
        for part in _windows(window, every)
    ]
    return sorted(pieces, key=lambda piece: piece.window)


def filter_groups(request: ExportRequest) -> list[FilterParts]:
    """All combinations of the parts of split filters; one empty combination if none is split."""
    cut_filters = []
    for name, values in request.parameters.items():
        if PARAMETERS[name].is_filter and isinstance(values, tuple) and len(values) > MAX_VALUES:
            # sorted, so that the parts do not depend on the order in which values are given
            values = sorted(values)
            starts = range(0, len(values), MAX_VALUES)
            cut_filters.append(
                [
                    (name, number, tuple(values[start : start + MAX_VALUES]))
                    for number, start in enumerate(starts, 1)
                ]
            )
    return list(itertools.product(*cut_filters))


def _windows(window: Window, every: int | None) -> Iterator[Window]:
    if every is None or window.length <= every:
        yield window
        return
    for first in range(window.first, window.last + 1, every):
        yield Window(first, min(first + every - 1, window.last))


def bisect(piece: Piece) -> tuple[Piece, Piece] | None:
    """Split a piece that is too large in two; None if its window is already the smallest.

    The smallest window is a day, or 15 minutes of event time.
    """
    window = piece.window
    smallest = split_axis(piece.full_request).smallest
    if window.length <= smallest:
        return None
    # a multiple of the smallest window, so that repeated halving ends at these
    middle = window.first + -(-window.length // (2 * smallest)) * smallest
    return (
        replace(piece, window=Window(window.first, middle - 1)),
        replace(piece, window=Window(middle, window.last)),
    )


def uncovered(window: Window, covered: Iterable[Window]) -> list[Window]:
    """The parts of `window` that none of `covered` covers, in order."""
    missing: list[Window] = []
    first = window.first
    for other in sorted(covered):
        if other.first > first:
            missing.append(Window(first, min(other.first - 1, window.last)))
        first = max(first, other.last + 1)
        if first > window.last:
            return missing
    return [*missing, Window(first, window.last)]


def _refused(parameter: str, code: str, message: str, hint: str) -> InvalidRequest:
    return InvalidRequest([Problem(parameter, code, "error", message, hint)])
