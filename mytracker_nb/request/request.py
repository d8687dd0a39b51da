"""`ExportRequest`: an immutable, normalized request, and its validation.

The rules are those of page ``export-api/raw/create`` of the service's documentation; the rules of
single parameters are in `mytracker_nb.request.parameters`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from mytracker_nb import clock
from mytracker_nb.endpoints import SERVICE_URL
from mytracker_nb.errors import InvalidRequest, Problem
from mytracker_nb.request import syntax
from mytracker_nb.request.coercion import (
    Moment,
    Unreadable,
    coerce,
    foreign_letters,
    presentable,
    split_values,
)
from mytracker_nb.request.dictionaries import Selector, dictionary
from mytracker_nb.request.known_columns import caveat_of
from mytracker_nb.request.parameters import (
    DEFAULT_TIMEZONE,
    INTERVALS,
    PARAMETERS,
    Interval,
    Parameter,
    ValueType,
    find_parameter,
)
from mytracker_nb.request.python_signature import ExportParameters, with_parameters
from mytracker_nb.request.suggestions import closest, did_you_mean, either, join_hints

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["ExportRequest"]

_ORDER = {name: position for position, name in enumerate(PARAMETERS)}
# A greater Unix time is assumed to be in milliseconds: in seconds it is after the year 5000.
_FAR = 10**11
_FRACTIONS = {"nanoseconds": 10**9, "microseconds": 10**6, "milliseconds": 10**3}


@with_parameters
class ExportRequest:
    """A request for raw events, validated before it is sent.

    No value makes it raise: `problems` lists everything that is wrong, at once.

    Parameters
    ----------
    **parameters
        The parameters of the create call, under the service's own names (``dateFrom``, ``idApp``;
        ``idApp[]`` works too). Lists can be text with commas, lists, tuples, sets, Series or
        arrays. Dates can be ``date``, ``datetime``, ISO text, ``today``, ``yesterday``,
        ``today-7d``, or a period such as ``last-month`` (its first day in `dateFrom`, its last in
        `dateTo`). Unix times can also be ``datetime`` (without a zone: in that of `timezone`),
        ISO text, ``now`` or ``now-6h``. Countries are ids, codes or names, English or Russian;
        values of closed lists are ids or titles. Empty text and empty lists count as not given;
        an empty list is a warning, since its filter is off.

    Examples
    --------
    >>> request = mt.ExportRequest(event="installs", selectors="idDevice", dateFrom="2026-11-01")
    >>> [(problem.parameter, problem.code) for problem in request.problems]
    [('dateTo', 'interval_half')]
    """

    def __init__(self, /, **parameters: Unpack[ExportParameters]) -> None:
        self._read(parameters, clock.now())

    def _read(self, parameters: Mapping[str, Any], now: datetime) -> None:
        """Normalize the parameters; relative dates are those as of `now`."""
        given: dict[str, list[Any]] = {}
        unknown: dict[str, Any] = {}
        empty: list[str] = []
        for name, value in parameters.items():
            parameter = find_parameter(name)
            if parameter is None:
                unknown[name] = presentable(value)
            elif pieces := split_values(parameter, value):
                # a list may be given under both of its names
                given.setdefault(parameter.name, []).extend(pieces)
            elif parameter.is_filter and value is not None and not isinstance(value, str):
                empty.append(parameter.name)

        self._unknown = unknown
        moment = Moment(now, ZoneInfo(DEFAULT_TIMEZONE))
        problems = [_no_filter(name) for name in empty if name not in given]
        normal: dict[str, Any] = {}
        shown: dict[str, Any] = {}
        # the zone first: the days and times of the other parameters depend on it
        for name in sorted(given, key=lambda name: (name != "timezone", _ORDER[name])):
            reading = coerce(PARAMETERS[name], given[name], moment)
            problems.extend(reading.problems)
            if reading.value is not None:
                normal[name] = shown[name] = reading.value
            else:
                shown[name] = given[name] if len(given[name]) > 1 else given[name][0]
            if name == "timezone" and reading.value is not None:
                moment = moment._replace(zone=ZoneInfo(str(reading.value)))
        self._normal = normal
        self._parameters = {name: shown[name] for name in PARAMETERS if name in shown} | unknown
        self._reading_problems = tuple(problems)
        self._zone = moment.zone
        self._read_at = now
        self._written = {
            name: tuple(given[name])
            for name in given
            if PARAMETERS[name].value_type in (ValueType.DATE, ValueType.TIME)
        }

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The given parameters, by name, in the order of the documentation.

        Values are in their normal form (lists as tuples, ids and Unix times as int, days as
        ``YYYY-MM-DD``); invalid values are as they were given.
        """
        return MappingProxyType(self._parameters)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of the request's days."""
        return self._zone

    @property
    def read_at(self) -> datetime:
        """The moment to which relative dates (``today-7d``) refer."""
        return self._read_at

    @property
    def written(self) -> Mapping[str, str]:
        """The dates and times as they were given, such as ``today-7d``, by parameter."""
        return {name: ",".join(map(str, pieces)) for name, pieces in self._written.items()}

    def replace(self, /, **parameters: Unpack[ExportParameters]) -> ExportRequest:
        """A copy of this request with some parameters changed.

        Parameters
        ----------
        **parameters
            As `ExportRequest` takes them; None or an empty text removes a parameter. Relative
            dates, old and new ones, refer to the same moment as those of this request (`read_at`).

        Returns
        -------
        ExportRequest
            A new request; this one does not change.

        Examples
        --------
        >>> request = mt.ExportRequest(event="installs", selectors="idDevice",
        ...                            dateFrom="2026-11-01", dateTo="2026-11-07", idApp=1)
        >>> request.replace(idApp=[2, 3]).parameters["idApp"]
        (2, 3)
        """
        given = self._as_given()
        for name, value in parameters.items():
            parameter = find_parameter(name)
            given[parameter.name if parameter else name] = value
        return self._copy(given, self._read_at)

    def as_of(self, moment: datetime) -> ExportRequest:
        """The same request, with its relative dates as of another moment.

        Parameters
        ----------
        moment : datetime.datetime
            The moment, with its zone.

        Returns
        -------
        ExportRequest
            A new request; absolute dates are those of this one.
        """
        return self._copy(self._as_given(), moment)

    def _as_given(self) -> dict[str, Any]:
        """The parameters, with dates and times as they were written."""
        dates = {
            name: given[0] if len(given) == 1 else given for name, given in self._written.items()
        }
        return {**self._parameters, **dates}

    @staticmethod
    def _copy(parameters: Mapping[str, Any], moment: datetime) -> ExportRequest:
        request = ExportRequest.__new__(ExportRequest)
        request._read(parameters, moment)
        return request

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All errors, warnings and notes as of now, in the order of the documentation."""
        return self.check(clock.now())

    @property
    def is_valid(self) -> bool:
        """Whether the request can be sent: none of its problems is an error."""
        return not _has_errors(self.problems)

    def check(self, now: datetime) -> tuple[Problem, ...]:
        """Validate the request as of another moment.

        Parameters
        ----------
        now : datetime.datetime
            The moment, with its zone.

        Returns
        -------
        tuple of Problem
            As `problems`. Relative dates stay those of the time when the request was created.

        Raises
        ------
        ValueError
            If `now` has no zone.
        """
        if now.tzinfo is None:
            raise ValueError("check() needs a moment with a time zone, such as datetime.now(UTC)")
        problems = [
            *map(self._with_caveat, self._reading_problems),
            *self._missing(),
            *self._misplaced(),
            *self._notes(),
        ]
        for interval in INTERVALS:
            problems.extend(self._bounds(interval, Moment(now, self._zone)))
        # the sort is stable: problems of one value stay before those of several values
        problems.sort(key=lambda problem: _ORDER.get(problem.parameter, len(_ORDER)))
        unknown = [_unknown_parameter(name, value) for name, value in self._unknown.items()]
        return (*problems, *unknown)

    def wire(self) -> list[tuple[str, str]]:
        """The form fields as they are sent.

        Returns
        -------
        list of tuple of str
            Names and values: lists comma-separated in one field, names of events as repeated
            ``eventName[]``; ids, never titles.

        Raises
        ------
        InvalidRequest
            If the request has errors.
        """
        problems = self.problems
        if _has_errors(problems):
            raise InvalidRequest(problems)
        fields: list[tuple[str, str]] = []
        for name, value in self._parameters.items():
            if PARAMETERS[name].repeats_field:
                fields.extend((f"{name}[]", str(item)) for item in value)
            else:
                fields.append((name, ",".join(map(str, _as_tuple(value)))))
        return fields

    def to_magic(self, magic: str = "mytracker_export", *, line: bool = False) -> str:
        """The request as a notebook cell: ``%%mytracker_export``, one parameter per line.

        Parameters
        ----------
        magic : str
            The magic's name.
        line : bool
            Whether to write a line magic.

        Returns
        -------
        str
            Text that `from_magic` reads.
        """
        write = syntax.to_line_magic if line else syntax.to_cell_magic
        return write(magic, self._parameters)

    def to_python(self) -> str:
        """The request as Python code that creates the export.

        Returns
        -------
        str
            Code with its import, which runs as it is.
        """
        return syntax.to_python(self._parameters)

    def to_curl(self, base_url: str = SERVICE_URL) -> str:
        """The request as a curl command, with a placeholder for the signature.

        Parameters
        ----------
        base_url : str
            The service's address.

        Returns
        -------
        str
            The command.

        Raises
        ------
        InvalidRequest
            If the request has errors.
        """
        return syntax.to_curl(self.wire(), base_url)

    @classmethod
    def from_magic(
        cls, text: str, evaluate: Callable[[str], Any] = syntax.literal
    ) -> ExportRequest:
        """Read the line or cell form of the magic, with or without its first word and options.

        Parameters
        ----------
        text : str
            The text of the cell. No text raises; what can't be parsed is a problem.
        evaluate : callable
            Evaluates an expression in ``{braces}`` or a ``$name``. By default only literals are
            allowed.

        Returns
        -------
        ExportRequest
            The request, with a problem for each part that can't be parsed.
        """
        return cls(**syntax.parse_magic(text, evaluate).parameters)

    @classmethod
    def from_url(cls, text: str) -> ExportRequest:
        """Read the service's own URL, a query string or a curl command.

        Parameters
        ----------
        text : str
            The text.

        Returns
        -------
        ExportRequest
            The request; without parameters if the text has none.
        """
        return cls(**syntax.parse_url(text))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ExportRequest):
            return NotImplemented
        return self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @cached_property
    def _identity(self) -> tuple[tuple[str, str], ...]:
        # compare by repr: an invalid value can be of any type, also an unhashable one
        return tuple((name, repr(value)) for name, value in self._parameters.items())

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self._parameters.items())
        return f"ExportRequest({values})"

    @property
    def _event(self) -> str | None:
        return self._normal.get("event")

    def _with_caveat(self, problem: Problem) -> Problem:
        """The problem; for an unknown column, with what is known of those of the event."""
        caveat = caveat_of(self._event)
        if not caveat or (problem.parameter, problem.code) != ("selectors", "not_in_dictionary"):
            return problem
        return replace(problem, hint=join_hints([caveat, problem.hint]))

    def _missing(self) -> Iterator[Problem]:
        for parameter in PARAMETERS.values():
            if parameter.required and parameter.name not in self._parameters:
                yield _error(parameter.name, "required", "required", parameter.help)

        selecting = [interval for interval in INTERVALS if interval.satisfies_required_interval]
        pairs = " or ".join(" and ".join(interval.names) for interval in selecting)
        if not any(name in self._parameters for pair in selecting for name in pair.names):
            yield _error(
                selecting[0].start, "interval_missing", "an interval is required", f"set {pairs}"
            )
        for interval in selecting:
            absent = [name for name in interval.names if name not in self._parameters]
            if len(absent) == 1:
                (present,) = set(interval.names) - set(absent)
                yield _error(absent[0], "interval_half", f"required when {present} is set")

    def _misplaced(self) -> Iterator[Problem]:
        for name in self._parameters:
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
        values = {name: self._normal[name] for name in interval.names if name in self._normal}
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
        parameters = self._parameters
        if "idApp" in parameters and "SDKKey" in parameters:
            yield Problem(
                "SDKKey",
                "or_filter",
                "note",
                "combined with idApp by OR: rows that match either filter are exported",
            )
        inverts = self._normal.get("eventNameInvert") == 1 and "eventName" not in parameters
        # for other events, `_misplaced` reports that the parameter does not apply
        if inverts and self._event and PARAMETERS["eventNameInvert"].applies_to(self._event):
            yield Problem(
                "eventNameInvert",
                "no_effect",
                "warning",
                "has no effect without eventName",
                "set eventName to the names to exclude",
            )
        slow = [name for name in self._normal.get("selectors", ()) if self._is_slow(name)]
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
        if "dateFrom" in self._normal:
            starts.append(self._normal["dateFrom"])
        if "tsFrom" in self._normal:
            starts.append(_day(self._normal["tsFrom"], self._zone))
        # rows match both intervals, so the later start decides
        return bool(starts) and max(starts) < when.removeprefix("before ")


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _has_errors(problems: tuple[Problem, ...]) -> bool:
    return any(problem.severity == "error" for problem in problems)


def _error(parameter: str, code: str, message: str, hint: str = "") -> Problem:
    return Problem(parameter, code, "error", message, hint)


def _unknown_parameter(name: str, value: Any) -> Problem:
    if isinstance(value, Unreadable) and value.text == name:
        return _error(name, "unknown_parameter", value.why)
    hint = did_you_mean(closest(name, PARAMETERS)) or "%mytracker_export? lists the parameters"
    hint = join_hints([hint, foreign_letters(name)])
    return _error(name, "unknown_parameter", "unknown parameter", hint)


def _no_filter(name: str) -> Problem:
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
