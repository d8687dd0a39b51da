"""A request as a short text: its window and its filters, as lists and plans show them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from mytracker_nb.display.parameter_rows import parameter_rows
from mytracker_nb.display.rendering import moment_text
from mytracker_nb.request.parameters import DEFAULT_TIMEZONE, INTERVALS, PARAMETERS, ValueType
from mytracker_nb.request.request import ExportRequest

__all__ = ["filter_words", "window_words"]

_SHOWN = 3  # values of one filter
_NOT_FILTERS = {"event", "selectors", "timezone"}
_BOUNDS = {name for interval in INTERVALS for name in interval.names}


def window_words(request: ExportRequest) -> str:
    """The window of a request: ``2026-11-01 to 2026-11-07``, with the zone if not the default."""
    windows = (
        _interval_words(request, *interval.names)
        for interval in INTERVALS
        if interval.satisfies_required_interval
    )
    words = ", ".join(filter(None, windows))
    zone = request.parameters.get("timezone", DEFAULT_TIMEZONE)
    return words if not words or zone == DEFAULT_TIMEZONE else f"{words} {zone}"


def _interval_words(request: ExportRequest, start: str, end: str) -> str:
    bounds = [
        _bound(request, name) for name in (start, end) if request.parameters.get(name) is not None
    ]
    return " to ".join(dict.fromkeys(bounds))


def _bound(request: ExportRequest, name: str) -> str:
    value = request.parameters[name]
    if PARAMETERS[name].value_type is ValueType.DATE:
        return str(value)
    return moment_text(datetime.fromtimestamp(value, request.zone), request.zone)


def filter_words(request: ExportRequest) -> str:
    """The filters of a request: ``Countries: Russia, Kazakhstan; Verification: verified``."""
    return "; ".join(_filters(request))


def _filters(request: ExportRequest) -> Iterator[str]:
    for interval in INTERVALS:
        if not interval.satisfies_required_interval:
            words = _interval_words(request, *interval.names)
            if words:
                yield f"available {words}"
    for row in parameter_rows(request):
        parameter = PARAMETERS.get(row.label)
        if row.label in _BOUNDS or row.label in _NOT_FILTERS:
            continue
        texts = [title or word for word, title in row.first(_SHOWN)]
        more = len(row.values) - _SHOWN
        label = parameter.title if parameter else row.label
        yield f"{label}: {', '.join(texts)}" + (f" and {more} more" if more > 0 else "")
