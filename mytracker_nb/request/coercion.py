"""Conversion of a parameter's value, in any form that a user gives, to its normal form.

A normal value is immutable: a name or a date (``YYYY-MM-DD``) is a str, an id or a Unix time an
int, a list a tuple of these.
"""

from __future__ import annotations

import math
import re
import unicodedata
import zoneinfo
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo
from functools import cache
from typing import Any, NamedTuple, TypeAlias

from mytracker_nb.errors import Problem
from mytracker_nb.request.dictionaries import Dictionary, dictionary
from mytracker_nb.request.durations import parse_duration
from mytracker_nb.request.parameters import INTERVALS, MAX_VALUES, Parameter, ValueType
from mytracker_nb.request.periods import find_period, relative_day, why_impossible
from mytracker_nb.request.suggestions import did_you_mean, join_hints

__all__ = [
    "CoercedValue",
    "Item",
    "Moment",
    "Placeholder",
    "Unreadable",
    "Value",
    "coerce",
    "foreign_letters",
    "is_single",
    "iter_values",
    "presentable",
    "split_values",
]

Item: TypeAlias = "str | int"
Value: TypeAlias = "Item | tuple[Item, ...]"

_MAX_ID = 2**64 - 1
_MAX_TIME = 2**63 - 1  # nanoseconds fit in
_SHOWN = 5  # values named in one message, suggestions in one hint
_SELECTOR = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)*", re.ASCII)
_SDK_KEY = re.compile(r"\d{20}", re.ASCII)
_BRACKET = re.compile(r"^[\[(]|\]$")  # names of countries end in a round one
# a text that consists of a placeholder of a template language
_PLACEHOLDER = re.compile(r"\$[A-Za-z_]\w*|\$?\{[A-Za-z_]\w*\}|%\([A-Za-z_]\w*\)s", re.ASCII)
_INTEGER = re.compile(r"-?\d+", re.ASCII)
_ISO_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_RELATIVE_TIME = re.compile(r"now(?:\s*([+-])\s*(\d.*))?", re.ASCII | re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Unreadable:
    """A value that could not be parsed or read.

    Attributes
    ----------
    text : str
        The value as it was written.
    why : str
        The reason.
    """

    text: str
    why: str


class Placeholder(str):
    """A text with a placeholder that is not evaluated as it is written.

    Attributes
    ----------
    evaluated_as : str
        What to write so that it is evaluated.
    """

    __slots__ = ("evaluated_as",)

    evaluated_as: str

    def __new__(cls, text: str, evaluated_as: str) -> Placeholder:
        """Create it from `text`."""
        self = super().__new__(cls, text)
        self.evaluated_as = evaluated_as
        return self


class Moment(NamedTuple):
    """The present moment, and the time zone for dates and for times without a zone."""

    now: datetime
    zone: zoneinfo.ZoneInfo

    @property
    def today(self) -> date:
        """The current day in the zone."""
        try:
            return self.now.astimezone(self.zone).date()
        except OverflowError:  # at the first or last day that a date can have
            return self.now.date()


class CoercedValue(NamedTuple):
    """The normal form of a value, None if it is invalid, and its problems."""

    value: Value | None
    problems: tuple[Problem, ...]


class _Flawed(Exception):
    """An item is invalid (an error), or probably a mistake (a warning)."""

    def __init__(
        self,
        code: str = "bad_value",
        hint: str = "",
        *,
        message: str = "",
        keep: Item | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.hint = hint
        self.message = message  # replaces the usual message of the code
        self.keep = keep  # the normal item, if the flaw is only a warning


def _plain(item: Any) -> Any:
    """`item`, converted to Python's own type if it is a scalar of numpy or Arrow."""
    if type(item).__module__ == "numpy" and item.ndim == 0 and item.dtype.kind != "m":
        # item() converts datetime64 in nanoseconds to an integer, so change the unit first
        return (item.astype("datetime64[us]") if item.dtype.kind == "M" else item).item()
    return item.as_py() if hasattr(item, "as_py") else item


def presentable(item: Any) -> Any:
    """`item`, or an `Unreadable` if its repr raises."""
    try:
        repr(item)
    except Exception as error:
        return Unreadable(type(item).__name__, f"can't be shown ({type(error).__name__})")
    return item


def iter_values(given: Any) -> list[Any]:
    """The single values of a collection, or the one value as a list.

    No value raises: one that can't be read gives an `Unreadable`.
    """
    try:
        return [presentable(item) for item in _items(given)]
    except Exception as error:  # iterating over a user's object can raise anything
        return [Unreadable(type(given).__name__, f"can't be read ({type(error).__name__})")]


def is_single(given: Any) -> bool:
    """Whether `given` is one value, not a collection of values."""
    is_scalar = isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable)
    return is_scalar or _dimensions(given) == 0


def _dimensions(given: Any) -> int:
    shape = getattr(given, "shape", None)
    return len(shape) if isinstance(shape, tuple) else 1


def _items(given: Any) -> Iterator[Any]:
    if _dimensions(given) > 1:
        yield Unreadable(type(given).__name__, "is a table; use one of its columns")
    elif is_single(given):
        yield _plain(given)
    elif isinstance(given, (set, frozenset)):
        yield from sorted((_plain(item) for item in given), key=str)  # sets have no order
    else:
        yield from map(_plain, given)


def split_values(parameter: Parameter, given: Any) -> list[Any]:
    """Split `given` into single values, and text at its commas; [] if it is empty.

    None, blank text and an empty collection are empty. A text in a list of event names
    (`repeats_field`) is one name, even if it has commas.
    """
    if given is None:
        return []
    keeps_commas = parameter.repeats_field and not isinstance(given, str)
    result: list[Any] = []
    for item in iter_values(given):
        if isinstance(item, str) and not keeps_commas and not isinstance(item, Placeholder):
            result.extend(part.strip() for part in item.split(","))
        else:
            result.append(item)
    return [] if len(result) == 1 and _is_blank(result[0]) else result


def _is_blank(item: Any) -> bool:
    return isinstance(item, str) and not item.strip()


def _timestamp(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(seconds=1)


def _iso_datetime(text: str) -> datetime | None:
    if not _ISO_DAY.match(text):
        return None  # Python 3.11 also accepts week dates and dates without dashes
    try:
        # Python 3.10 accepts neither the Z nor all fractions of seconds, which are dropped anyway
        text = re.sub(r"(:\d\d)\.\d+", r"\1", text)
        return datetime.fromisoformat(re.sub("[Zz]$", "+00:00", text))
    except ValueError:
        return None


def _read_date(parameter: Parameter, item: Any, moment: Moment) -> str:
    why = ""
    if isinstance(item, str):
        if day := _day_in_words(parameter, item, moment):
            return day.isoformat()
        why = why_impossible(item)
        item = _iso_datetime(item)
    if isinstance(item, datetime) and item == item:  # pandas' NaT does not equal itself
        item = (item.astimezone(moment.zone) if item.tzinfo else item).date()
    if isinstance(item, date) and not isinstance(item, datetime):
        return item.isoformat()
    hint = why or "expected YYYY-MM-DD, today, yesterday, today-7d, last-7-days or last-month"
    raise _Flawed(hint=f"{hint}; for Unix times use tsFrom and tsTo" if _is_number(item) else hint)


def _day_in_words(parameter: Parameter, text: str, moment: Moment) -> date | None:
    """The day of a text such as ``today-7d``; of a period, its first or last day."""
    if period := find_period(text):
        first, last = period.days(moment.today)
        return first if parameter.name in _STARTS else last
    return relative_day(text, moment.today)


_STARTS = frozenset(interval.start for interval in INTERVALS)


def _read_time(parameter: Parameter, item: Any, moment: Moment) -> int:
    if isinstance(item, str):
        if _INTEGER.fullmatch(item):
            return _checked_time(int(item))
        if relative := _RELATIVE_TIME.fullmatch(item):
            sign, length = relative.groups()
            offset = parse_duration(length) if length else timedelta(0)
            if offset is None:
                raise _Flawed(hint=_TIMES)
            return _timestamp(moment.now - offset if sign == "-" else moment.now + offset)
        item = None if _ISO_DAY.fullmatch(item) else _iso_datetime(item)
    if isinstance(item, datetime) and item == item:
        return _timestamp(item if item.tzinfo else item.replace(tzinfo=moment.zone))
    if _is_number(item) and math.isfinite(item):
        return _checked_time(math.floor(item))
    raise _Flawed(hint=_TIMES)


_TIMES = (
    "expected seconds since 1970, a date with a time such as 2026-11-01T10:00, now or now-6h; "
    "for days use dateFrom and dateTo"
)


def _checked_time(seconds: int) -> int:
    if abs(seconds) > _MAX_TIME:
        raise _Flawed(hint="expected seconds since 1970")
    return seconds


def _is_number(item: Any) -> bool:
    return isinstance(item, (int, float)) and not isinstance(item, bool)


def _an_id(names: Dictionary | None) -> str:
    """The accepted ids, as a hint."""
    return "expected a whole number, 0 or greater" if names is None else names.accepted()


def _read_id(parameter: Parameter, item: Any, moment: Moment) -> int:
    names = parameter.dictionary
    if isinstance(item, str) and item.isascii() and item.isdigit():
        item = int(item) if len(item) <= 20 else -1
    if isinstance(item, float) and item.is_integer() and abs(item) < 2**53:
        item = int(item)  # pandas converts a column of ids with missing cells to floats
    if isinstance(item, int) and not isinstance(item, bool):
        if not 0 <= item <= _MAX_ID:
            raise _Flawed(hint=_an_id(names))
        if names is None or str(item) in names:
            return item
        raise _Flawed("not_in_dictionary", keep=None if names.complete else item)
    if isinstance(item, str) and names is not None:
        entry = names.find(item)
        if entry is None:
            raise _Flawed("not_in_dictionary")
        return int(entry.value)
    if isinstance(item, bool):
        raise _Flawed(message="True/False is not an id; use the number")
    raise _Flawed(hint=_an_id(names))


@cache
def _all_timezones() -> dict[str, str]:
    """Python's time zones, by their name in lower case."""
    zones = zoneinfo.available_timezones() - {"localtime"}  # on some systems; not a zone
    return {zone.casefold(): zone for zone in zones}


@cache
def _listed_zones_like(zone: str, year: int) -> list[str]:
    """The zones in the dictionary that have the same local time as `zone` all year."""
    days = [datetime(year, 1, 1, 12) + timedelta(days=day) for day in range(365)]
    offsets = {
        name: [zoneinfo.ZoneInfo(name).utcoffset(day) for day in days]
        for name in (zone, *dictionary("timezone"))
    }
    return [name for name in offsets if name != zone and offsets[name] == offsets[zone]]


def _read_word(parameter: Parameter, item: Any, moment: Moment) -> str:
    names = parameter.dictionary
    assert names is not None
    if isinstance(item, tzinfo):
        item = getattr(item, "key", None) or str(item)
    if not isinstance(item, str):
        raise _Flawed(hint="expected its name as text")
    if item in names:
        return item
    if names.any_case and (entry := names.find(item)):
        return entry.value
    if parameter.dictionary_name == "timezone":
        zone = _all_timezones().get(item.casefold())
        if zone is None:
            raise _Flawed("not_in_dictionary")
        alike = ", ".join(_listed_zones_like(zone, moment.now.year)[:_SHOWN])
        hint = f"the same time as {alike}" if alike else "no listed zone has the same time"
        raise _Flawed("not_in_dictionary", hint, keep=zone)
    if parameter.dictionary_name == "selector":
        if not _SELECTOR.fullmatch(item):
            raise _Flawed(
                hint="a column name has letters, digits and dots; separate columns with commas"
            )
        raise _Flawed("not_in_dictionary", keep=item)
    raise _Flawed("not_in_dictionary")


def _read_sdk_key(parameter: Parameter, item: Any, moment: Moment) -> str:
    if isinstance(item, str):
        if _SDK_KEY.fullmatch(item):
            return item
        if not (item.isascii() and item.isdigit()) or len(item) > 20:
            raise _Flawed
    raise _Flawed(
        hint="numbers and shorter texts have lost the key's leading zeros; "
        "load the keys as text (dtype=str)"
    )


def _read_text(parameter: Parameter, item: Any, moment: Moment) -> str:
    if isinstance(item, str):
        item.encode()  # raises for a lone surrogate, which can't be sent
        if isinstance(item, Placeholder) or _PLACEHOLDER.fullmatch(item):
            raise _Flawed("placeholder", keep=str(item))
        return item
    raise _Flawed(hint="expected text, in quotes")


_READERS: Mapping[ValueType, Callable[[Parameter, Any, Moment], Item]] = {
    ValueType.WORD: _read_word,
    ValueType.ID: _read_id,
    ValueType.SDK_KEY: _read_sdk_key,
    ValueType.TEXT: _read_text,
    ValueType.DATE: _read_date,
    ValueType.TIME: _read_time,
}


def _some(texts: list[str]) -> str:
    more = len(texts) - _SHOWN
    return ", ".join(texts[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _show(item: Any) -> str:
    if _is_blank(item):
        return "empty value"
    return repr(_short(item)) if isinstance(item, str) else _short(" ".join(repr(item).split()))


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def foreign_letters(text: str) -> str:
    """The letters of other alphabets, and the marks, among Latin letters in `text`.

    A reader can't see them, and pasted text often has some. ``""`` if there are none.
    """
    if not re.search("[A-Za-z0-9]", text):
        return ""
    names = {letter: unicodedata.name(letter, "") for letter in text if not letter.isascii()}
    found = [f"{letter!r} is {name}" for letter, name in names.items() if name[:5] != "LATIN"]
    return f"it contains {_some(found)}" if found else ""


def _suggestion(names: Dictionary, items: list[Any], severity: str) -> str:
    near = [entry for item in items[:_SHOWN] for entry in names.nearest(str(item))]
    labels = [entry.label if names.numeric else entry.value for entry in near]
    accepted = names.accepted() if severity == "error" else ""
    return did_you_mean(dict.fromkeys(labels)) or accepted


def _not(what: str, items: list[Any]) -> str:
    shown = list(dict.fromkeys(map(_show, items)))
    return f"{shown[0]} is not {what}" if len(shown) == 1 else f"none of {_some(shown)} is {what}"


class _Flaws:
    """Collects the flaws of one parameter's items, to report one problem per code, not per item."""

    def __init__(self, parameter: Parameter) -> None:
        self.parameter = parameter
        self.items: dict[tuple[str, str, str], list[Any]] = {}
        self.hints: dict[tuple[str, str, str], dict[str, None]] = {}

    def add(self, item: Any, flaw: _Flawed) -> None:
        key = flaw.code, "error" if flaw.keep is None else "warning", flaw.message
        self.items.setdefault(key, []).append(item)
        if flaw.hint:
            self.hints.setdefault(key, {})[flaw.hint] = None

    def problems(self) -> Iterator[Problem]:
        names = self.parameter.dictionary
        for key, items in self.items.items():
            code, severity, message = key
            hints = list(self.hints.get(key, ()))
            if message:
                pass
            elif code == "placeholder":
                some = _some(list(dict.fromkeys(map(_show, items))))
                message = f"the placeholder {some} is sent as text, not as its value"
                if not any(isinstance(item, Placeholder) for item in items):
                    hints.append("to send its value, use it without quotes")
            elif code == "not_in_dictionary" and names is not None:
                sent = "" if severity == "error" else "; sent unchanged"
                message = _not(f"a known {names.name}", items) + sent
                hints = hints or [_suggestion(names, items, severity), names.caveat]
            else:
                what = self.parameter.value_type.value if names is None else f"a valid {names.name}"
                message = _not(what, items)
            texts = [item for item in items if isinstance(item, str)]
            if any(map(_BRACKET.search, texts)):
                hints.append("remove the brackets: commas make a list")
            marked = [item.evaluated_as for item in texts if isinstance(item, Placeholder)]
            if marked:
                hints.append(f"to send its value, write {_some(marked)} without quotes")
            if self.parameter.value_type is not ValueType.TEXT:
                hints.append(foreign_letters("".join(texts)))
            yield Problem(self.parameter.name, code, severity, message, join_hints(hints))


def _error(parameter: Parameter, code: str, message: str, hint: str = "") -> Problem:
    return Problem(parameter.name, code, "error", message, hint)


def coerce(parameter: Parameter, items: list[Any], moment: Moment) -> CoercedValue:
    """Convert the `items` of a value to the normal form of `parameter`, and validate them.

    Parameters
    ----------
    parameter : Parameter
        The parameter.
    items : list
        The value, split by `split_values`; not empty.
    moment : Moment
        The current time, and the zone for ``today`` and for times without a zone.

    Returns
    -------
    CoercedValue
        With the problems of this parameter alone: ``bad_value``, ``not_in_dictionary``,
        ``duplicate``, ``too_many``. No value raises.
    """
    unreadable = [item for item in items if isinstance(item, Unreadable)]
    if unreadable:
        reasons = dict.fromkeys(f"{_short(item.text)} {item.why}" for item in unreadable)
        return CoercedValue(None, (_error(parameter, "bad_value", _some(list(reasons))),))
    if len(items) != 1 and not parameter.is_list:
        message = f"takes one value, not {len(items)}"
        hint = "remove the comma"
        return CoercedValue(None, (_error(parameter, "bad_value", message, hint),))

    reader = _READERS[parameter.value_type]
    flaws = _Flaws(parameter)
    values: list[Item] = []
    for item in items:
        try:
            if _is_blank(item):
                raise _Flawed(message="empty value: remove the extra comma")
            values.append(reader(parameter, item, moment))
        except _Flawed as flaw:
            flaws.add(item, flaw)
            if flaw.keep is not None:
                values.append(flaw.keep)
        except Exception:  # a year after 9999, a text that can't be sent, any object
            flaws.add(item, _Flawed())

    problems = list(flaws.problems())
    counts = Counter(values)
    distinct = tuple(counts)
    if len(distinct) < len(values):
        twice = [_show(value) for value, count in counts.items() if count > 1]
        message = f"{_some(twice)}: repeated"
        problems.append(
            Problem(parameter.name, "duplicate", "warning", message, "each value is sent once")
        )
    if parameter.is_filter and len(distinct) > MAX_VALUES:
        message = (
            f"{len(distinct)} different values; the service accepts {MAX_VALUES} in one filter"
        )
        hint = f"split the request into exports of at most {MAX_VALUES} values with mt.plan(...)"
        problems.append(_error(parameter, "too_many", message, hint))

    if len(values) < len(items):
        return CoercedValue(None, tuple(problems))
    return CoercedValue(distinct if parameter.is_list else distinct[0], tuple(problems))
