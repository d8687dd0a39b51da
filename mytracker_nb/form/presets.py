"""Presets of the form: usual intervals, starting columns; and intervals as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from mytracker_nb import wording
from mytracker_nb.request.dictionaries import Entry, selectors
from mytracker_nb.request.known_columns import (
    columns_seen_with,
    event_of_devices,
    probably_applies,
    usual_columns,
)
from mytracker_nb.request.parameters import INTERVALS, PARAMETERS, Interval, ValueType
from mytracker_nb.request.periods import PERIODS, Period

__all__ = ["CUSTOM", "PRESETS", "by_group", "in_words", "preset_of", "starting_sets"]

_MANY_EVENTS = 3  # a column seen with so many events is assumed to apply to all
_FEW_COLUMNS = 30  # the most columns of a starting set
# the order of the groups: first the columns that most requests need
_GROUPS = ("ids", "times", "event", "geography", "attribution", "device")


CUSTOM = "Custom"
"""The title for days that are not a preset."""

_OFFERED = ("Yesterday", "Last 7 days", "Last 28 days", "This month", "Last month")

PRESETS = tuple(period for period in PERIODS if period.title in _OFFERED)
"""The periods that the form offers."""


def preset_of(first: str, last: str, today: date) -> Period | None:
    """The preset with the days from `first` to `last` (``YYYY-MM-DD``); None if there is none."""
    for preset in PRESETS:
        if tuple(day.isoformat() for day in preset.days(today)) == (first, last):
            return preset
    return None


def in_words(parameters: Mapping[str, Any], zone: ZoneInfo) -> str:
    """The intervals of a request as text; ``""`` if none is complete.

    Parameters
    ----------
    parameters : mapping
        The parameters of an `ExportRequest`.
    zone : zoneinfo.ZoneInfo
        The time zone of the request.
    """
    spans = (_span(interval, parameters, zone) for interval in INTERVALS)
    words = "; ".join(span for span in spans if span)
    return f"{words}, {zone}" if words else ""


def _span(interval: Interval, parameters: Mapping[str, Any], zone: ZoneInfo) -> str:
    start, end = (parameters.get(name) for name in interval.names)
    parameter = PARAMETERS[interval.start]
    try:
        if parameter.value_type is ValueType.DATE:
            words = _days(date.fromisoformat(start or ""), date.fromisoformat(end or ""))
        elif isinstance(start, int) and isinstance(end, int):
            words = _times(datetime.fromtimestamp(start, zone), datetime.fromtimestamp(end, zone))
        else:
            return ""
    except (ValueError, TypeError, OverflowError, OSError):
        return ""  # the request reports an invalid value as a problem
    return words if interval.satisfies_required_interval else f"{parameter.title.lower()} {words}"


def _days(first: date, last: date) -> str:
    count = (last - first).days + 1
    if count < 1:
        return ""
    if count == 1:
        return f"1 day: {_day(first)}"
    return f"{count} days: {_first_day(first, last)} to {_day(last)}"


def _first_day(first: date, last: date) -> str:
    """`first` without the month and the year that `last` will say."""
    if first.year != last.year:
        return _day(first)
    month = "" if first.month == last.month else f" {first:%b}"
    return f"{first:%a} {first.day}{month}"


def _times(start: datetime, end: datetime) -> str:
    # from Unix times: summer time can begin or end in between
    seconds = int(end.timestamp() - start.timestamp()) + 1
    if seconds < 1:
        return ""
    return (
        f"{wording.duration(seconds)}: {_day(start)} {start:%H:%M:%S} to {_day(end)} {end:%H:%M:%S}"
    )


def _day(day: date) -> str:
    return f"{day:%a} {day.day} {day:%b %Y}"


@cache
def starting_sets(event: str | None) -> Mapping[str, tuple[str, ...]]:
    """Sets of columns to start an export of `event` with, by a title.

    They are columns that public requests used, without those that slow an export. Columns for an
    event of devices are also used for the same event of users, except those that describe a device:
    events of users are counted by ``customUserId``.
    """
    known = [
        selector
        for selector in selectors().values()
        if not selector.slows_export and probably_applies(selector, event)
    ]
    common = [selector for selector in known if len(selector.seen_with) >= _MANY_EVENTS]
    seen = {*columns_seen_with(event), *columns_seen_with(event_of_devices(event))}
    own = [selector for selector in known if selector in seen and selector.group == "event"]
    sets = {
        "Who and when": common,
        "The event itself": [*common, *own],
        "Usual with this event": usual_columns(event),
    }
    result: dict[str, tuple[str, ...]] = {}
    for title, columns in sets.items():
        groups = by_group(dict.fromkeys(columns)).values()
        names = tuple(entry.value for group in groups for entry in group)
        if 0 < len(names) <= _FEW_COLUMNS and names not in result.values():
            result[title] = names
    return result


def by_group(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Entries by their group, in the order in which a list shows the groups."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.group, []).append(entry)
    order = {group: position for position, group in enumerate(_GROUPS)}
    return dict(sorted(groups.items(), key=lambda item: order.get(item[0], len(order))))
