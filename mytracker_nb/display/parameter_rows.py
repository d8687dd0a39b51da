"""The parameters of a request as rows of a table, each value with its meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import Any

from mytracker_nb.display.rendering import moment_text, short_text
from mytracker_nb.request.parameters import INTERVALS, PARAMETERS, Parameter, ValueType
from mytracker_nb.request.request import ExportRequest

__all__ = ["Row", "parameter_rows"]

_SHOWN_IN_TEXT = 6
_STARTS = {interval.end: interval.start for interval in INTERVALS}


@dataclass(frozen=True)
class Row:
    """One row of the card's table.

    Only the values that are shown are formatted: a list can have thousands.
    """

    label: str
    help: str
    values: Sequence[Any]
    title: Callable[[Any], str] | None = None

    def first(self, count: int) -> list[tuple[str, str]]:
        """The first `count` values, each with its meaning (``""`` if it needs none)."""
        title = self.title or (lambda value: "")
        return [(short_text(value), title(value)) for value in self.values[:count]]

    def texts(self, start: int = 0, stop: int | None = None) -> list[str]:
        """The values from `start` up to `stop`, each with its meaning in brackets."""
        values = self.values[start:stop]
        words = [repr(word) if "," in word else word for word in map(short_text, values)]
        if self.title is None:
            return words
        titles = map(self.title, values)
        return [
            f"{word} ({title})" if title else word
            for word, title in zip(words, titles, strict=True)
        ]

    def shortened(self) -> list[str]:
        """The first values as `texts`, and how many more there are."""
        more = len(self.values) - _SHOWN_IN_TEXT
        texts = self.texts(stop=_SHOWN_IN_TEXT)
        return [*texts, f"and {more} more"] if more > 0 else texts


def parameter_rows(request: ExportRequest) -> Iterator[Row]:
    """The parameters of a request as rows: its name, its values and their meanings."""
    for name, value in request.parameters.items():
        parameter = PARAMETERS.get(name)
        values = value if isinstance(value, (list, tuple)) else (value,)
        if parameter is None:
            yield Row(short_text(name), "", values)
        else:
            yield Row(name, parameter.help, values, _title(parameter, request))


def _title(parameter: Parameter, request: ExportRequest) -> Callable[[Any], str] | None:
    """A function that returns the meaning of a value of `parameter`; None if values need none."""
    if parameter.value_type is ValueType.DATE:
        return lambda value: ", ".join(_days(parameter, request))
    if parameter.value_type is ValueType.TIME:
        return lambda value: _unix_moment(value, request.zone)
    names = parameter.dictionary
    if names is None or (parameter.is_list and not names.numeric):
        return None
    titles = {
        value: entry.title
        for value, entry in names.items()
        if entry.title.casefold() != value.casefold()
    }
    return lambda value: titles.get(str(value), "")


def _days(parameter: Parameter, request: ExportRequest) -> Iterator[str]:
    """The number of days of an interval, shown at its end; nothing if a date is invalid."""
    start = _STARTS.get(parameter.name, "")
    try:
        first, last = (
            date.fromisoformat(request.parameters[name]) for name in (start, parameter.name)
        )
    except (KeyError, TypeError, ValueError):
        return
    days = (last - first).days + 1
    yield f"{days} day{'s' * (days != 1)}"


def _unix_moment(seconds: Any, zone: tzinfo) -> str:
    try:
        return moment_text(datetime.fromtimestamp(seconds, zone), zone)
    except (TypeError, ValueError, OverflowError, OSError):  # an invalid value of the request
        return ""
