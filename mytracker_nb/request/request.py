"""`ExportRequest`: an immutable, normalized request.

`mytracker_nb.request.coercion` reads its values, `mytracker_nb.request.validation` validates it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
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
    coerce,
    presentable,
    split_values,
)
from mytracker_nb.request.parameters import (
    DEFAULT_TIMEZONE,
    PARAMETERS,
    POSITIONS,
    ValueType,
    find_parameter,
)
from mytracker_nb.request.python_signature import ExportParameters, with_parameters
from mytracker_nb.request.validation import Validator, no_filter

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["ExportRequest"]


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
        problems = [no_filter(name) for name in empty if name not in given]
        normal: dict[str, Any] = {}
        shown: dict[str, Any] = {}
        # the zone first: the days and times of the other parameters depend on it
        for name in sorted(given, key=lambda name: (name != "timezone", POSITIONS[name])):
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
        self._value_problems = tuple(problems)
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
        validator = Validator(
            self._parameters, self._normal, self._unknown, self._value_problems, self._zone
        )
        return validator.problems(now)

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


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _has_errors(problems: tuple[Problem, ...]) -> bool:
    return any(problem.severity == "error" for problem in problems)
