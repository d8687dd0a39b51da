"""The rules of a request as a whole, and the problems of one that breaks them.

They are those of page ``export-api/raw/create`` of the service's documentation. Which values a
single parameter accepts is in `mytracker_nb.request.parameters` and
`mytracker_nb.request.coercion`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from mytracker_nb.errors import Problem
from mytracker_nb.request.coercion import Moment, Unreadable, foreign_letters
from mytracker_nb.request.dictionaries import Selector, dictionary
from mytracker_nb.request.known_columns import caveat_of
from mytracker_nb.request.parameters import (
    INTERVALS,
    PARAMETERS,
    POSITIONS,
    Interval,
    Parameter,
    ValueType,
)
from mytracker_nb.request.suggestions import closest, did_you_mean, either, join_hints

__all__ = ["Validator", "no_filter"]

# A greater Unix time is assumed to be in milliseconds: in seconds it is after the year 5000.
_FAR = 10**11
_FRACTIONS = {"nanoseconds": 10**9, "microseconds": 10**6, "milliseconds": 10**3}


@dataclass(frozen=True)
class Validator:
    """The rules, applied to the parameters of one request.

    Attributes
    ----------
    parameters : mapping
        The parameters as `ExportRequest.parameters` has them.
    normal : mapping
        Those of them that are valid.
    unknown : mapping
        Those that do not exist.
    value_problems : sequence of Problem
        The problems of single values.
    zone : ZoneInfo
        The time zone of the request's days.
    """

    parameters: Mapping[str, Any]
    normal: Mapping[str, Any]
    unknown: Mapping[str, Any]
    value_problems: Sequence[Problem]
    zone: ZoneInfo

    def problems(self, now: datetime) -> tuple[Problem, ...]:
        """All errors, warnings and notes as of a moment, in the order of the documentation."""
        problems = [
            *map(self._with_caveat, self.value_problems),
            *self._missing(),
            *self._misplaced(),
            *self._notes(),
        ]
        for interval in INTERVALS:
            problems.extend(self._bounds(interval, Moment(now, self.zone)))
        # the sort is stable: problems of one value stay before those of several values
        problems.sort(key=lambda problem: POSITIONS.get(problem.parameter, len(POSITIONS)))
        unknown = [_unknown_parameter(name, value) for name, value in self.unknown.items()]
        return (*problems, *unknown)

    @property
    def _event(self) -> str | None:
        return self.normal.get("event")

    def _with_caveat(self, problem: Problem) -> Problem:
        """The problem; for an unknown column, with what is known of those of the event."""
        caveat = caveat_of(self._event)
        if not caveat or (problem.parameter, problem.code) != ("selectors", "not_in_dictionary"):
            return problem
        return replace(problem, hint=join_hints([caveat, problem.hint]))

    def _missing(self) -> Iterator[Problem]:
        for parameter in PARAMETERS.values():
            if parameter.required and parameter.name not in self.parameters:
                yield _error(parameter.name, "required", "required", parameter.help)

        selecting = [interval for interval in INTERVALS if interval.satisfies_required_interval]
        pairs = " or ".join(" and ".join(interval.names) for interval in selecting)
        if not any(name in self.parameters for pair in selecting for name in pair.names):
            yield _error(
                selecting[0].start, "interval_missing", "an interval is required", f"set {pairs}"
            )
        for interval in selecting:
            absent = [name for name in interval.names if name not in self.parameters]
            if len(absent) == 1:
                (present,) = set(interval.names) - set(absent)
                yield _error(absent[0], "interval_half", f"required when {present} is set")

    def _misplaced(self) -> Iterator[Problem]:
        for name in self.parameters:
            parameter = PARAMETERS.get(name)
            if parameter is not None and not parameter.applies_to(self._event):
                allowed = [event for event in dictionary("event") if parameter.applies_to(event)]
                yield _error(
                    name,
                    "not_for_event",
                    f"does not apply to {self._event}",
                    f"only with {either(allowed)}",
                )

    def _bounds(self, interval: Interval, moment: Moment) -> Iterator[Problem]:
        values = {name: self.normal[name] for name in interval.names if name in self.normal}
        start, end = values.get(interval.start), values.get(interval.end)
        earliest = interval.earliest or 0
        # for dates only the start has a lower bound; for Unix times both must be 0 or more
        for name in (interval.start,) if interval.earliest else interval.names:
            if name in values and values[name] < earliest:
                yield _error(
                    name, "too_early", f"{values[name]} is before 1970", f"use {earliest} or later"
                )
        for name, value in values.items():
            yield from _too_late(PARAMETERS[name], value, interval, moment)
        if start is not None and end is not None and start > end:
            yield _error(
                interval.start, "order", f"{start} is after {interval.end} {end}", "swap the two"
            )

    def _notes(self) -> Iterator[Problem]:
        parameters = self.parameters
        if "idApp" in parameters and "SDKKey" in parameters:
            yield Problem(
                "SDKKey",
                "or_filter",
                "note",
                "combined with idApp by OR: rows that match either filter are exported",
            )
        inverts = self.normal.get("eventNameInvert") == 1 and "eventName" not in parameters
        # for other events, `_misplaced` reports that the parameter does not apply
        if inverts and self._event and PARAMETERS["eventNameInvert"].applies_to(self._event):
            yield Problem(
                "eventNameInvert",
                "no_effect",
                "warning",
                "has no effect without eventName",
                "set eventName to the names to exclude",
            )
        slow = [name for name in self.normal.get("selectors", ()) if self._is_slow(name)]
        if slow:
            yield Problem(
                "selectors",
                "slow_selector",
                "note",
                f"the service warns of slower exports with {', '.join(slow)}",
                "remove the columns that you do not need",
            )

    def _is_slow(self, name: str) -> bool:
        selector = dictionary("selector").get(name)
        when = selector.slows_export if isinstance(selector, Selector) else ""
        if not when.startswith("before "):
            return bool(when)
        starts = []
        if "dateFrom" in self.normal:
            starts.append(self.normal["dateFrom"])
        if "tsFrom" in self.normal:
            starts.append(_day(self.normal["tsFrom"], self.zone))
        # rows match both intervals, so the later start decides
        return bool(starts) and max(starts) < when.removeprefix("before ")


def _error(parameter: str, code: str, message: str, hint: str = "") -> Problem:
    return Problem(parameter, code, "error", message, hint)


def _unknown_parameter(name: str, value: Any) -> Problem:
    if isinstance(value, Unreadable) and value.text == name:
        return _error(name, "unknown_parameter", value.why)
    hint = did_you_mean(closest(name, PARAMETERS)) or "%mytracker_export? lists the parameters"
    hint = join_hints([hint, foreign_letters(name)])
    return _error(name, "unknown_parameter", "unknown parameter", hint)


def no_filter(name: str) -> Problem:
    """The warning about a filter that is an empty list."""
    return Problem(
        name,
        "empty_list",
        "warning",
        "the list is empty, so the export is not filtered by it",
        "check the variable, or leave the parameter out",
    )


def _day(seconds: int, zone: ZoneInfo) -> str:
    try:
        return date.isoformat(datetime.fromtimestamp(seconds, zone).date())
    except (OverflowError, ValueError, OSError):
        return "9999-12-31" if seconds > 0 else "0001-01-01"


def _too_late(
    parameter: Parameter, value: Any, interval: Interval, moment: Moment
) -> Iterator[Problem]:
    if parameter.value_type is ValueType.DATE:
        today = moment.today.isoformat()
        if value > today:
            yield _error(
                parameter.name,
                "too_late",
                f"{value} is after today, which is {today} in {moment.zone}",
                f"use {today} or earlier",
            )
        return
    limit = math.floor(moment.now.timestamp() - interval.availability_delay.total_seconds())
    # now itself is allowed; a delay must have passed
    if value > limit or (interval.availability_delay and value == limit):
        hours = interval.availability_delay.total_seconds() / 3600
        last = f"{hours:g} hours ago" if hours else "now"
        message = (
            f"{value} is less than {hours:g} hours ago" if hours else f"{value} is in the future"
        )
        unit, per_second = _unit(value)
        if per_second > 1:
            hint = f"this looks like {unit}; in seconds it is {value // per_second}"
        else:
            hint = f"use a Unix time in seconds before {limit}, {last}"
        yield _error(parameter.name, "too_late", message, hint)


def _unit(time: int) -> tuple[str, int]:
    """The probable unit of a Unix time, and how many of it make a second."""
    for unit, per_second in _FRACTIONS.items():
        if time > _FAR * per_second // 1000:
            return unit, per_second
    return "seconds", 1
