"""Validation of create requests as the service does it, written from its documentation.

It shares no code with the validation before a request is sent, so that tests show a mistake on
either side. If the documentation has no text for an error, the text is in its style. Source: page
``export-api/raw/create``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from mytracker_nb.request.dictionaries import dictionary

__all__ = ["BadRequest", "Query", "parse_query"]

_PAYMENTS = {"payments", "userPayments", "testPayments", "trialPayments", "userTrialPayments"}
_CUSTOM = {"customEvents", "userCustomEvents"}
_ONLY_FOR = {
    "isVerified": _PAYMENTS,
    "idPurchaseType": _PAYMENTS,
    "eventName": _CUSTOM,
    "eventNameInvert": _CUSTOM,
    "idAdMediator": {"adMonetization", "userAdMonetization"},
    "idSegment": {"hits", "installs"},
}
_IDS = ["idApp", "idAccount", "idAd", "idCampaign", "idCountry", "idProject", "idPartner"]
_CLOSED = ["isVerified", "idPurchaseType", "eventNameInvert", "rooted", "idAdMediator"]
_TIMES = ["tsFrom", "tsTo", "availabilityTsFrom", "availabilityTsTo"]
_KNOWN = {
    *["event", "selectors", "dateFrom", "dateTo", "timezone", "SDKKey", "eventName", "idSegment"],
    *_IDS,
    *_CLOSED,
    *_TIMES,
}
_MAX_VALUES = 1000
_AVAILABILITY_DELAY = 3 * 3600

_NAME = re.compile(r"([^\[\]]+)(\[\d*\])?")
_SELECTOR = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_NUMBER = re.compile(r"\d{1,20}", re.ASCII)
_SDK_KEY = re.compile(r"\d{20}", re.ASCII)


class BadRequest(Exception):
    """The service does not accept the parameters; the text is the service's ``detail``."""


@dataclass(frozen=True)
class Query:
    """An export that the service accepts.

    Attributes
    ----------
    event : str
        The event to export.
    selectors : tuple of str
        The columns, in order.
    ts_from, ts_to : int
        The first and the last second (Unix) of event time.
    inserted_from, inserted_to : int
        The same for the time the event appeared in the system.
    timezone : str
        The time zone of the days.
    filters : mapping of str to frozenset of str
        The values that rows can have, by parameter.
    inverted : bool
        Whether the event names are excluded.
    """

    event: str
    selectors: tuple[str, ...]
    ts_from: int
    ts_to: int
    inserted_from: int
    inserted_to: int
    timezone: str
    filters: Mapping[str, frozenset[str]]
    inverted: bool


class _Form:
    """The parameters as they were sent: plain ones, of which the last counts, and arrays."""

    def __init__(self, fields: Iterable[tuple[str, str]]) -> None:
        self.plain: dict[str, str] = {}
        self.arrays: dict[str, list[str]] = {}
        for field, value in fields:
            match = _NAME.fullmatch(field)
            name, bracket = match.groups() if match else (field, None)
            if name not in _KNOWN:
                continue  # public scripts send unknown parameters, and the service ignores them
            if bracket is None:
                self.plain[name] = value
            else:
                self.arrays.setdefault(name, []).append(value)

    def one(self, name: str) -> str:
        if name in self.arrays:
            raise BadRequest(f"Argument '{name}' must be a scalar")
        return self.plain.get(name, "")

    def many(self, name: str) -> list[str]:
        if name in self.arrays:
            return self.arrays[name]
        text = self.plain.get(name, "")
        return text.split(",") if text else []

    def has(self, name: str) -> bool:
        return bool(self.plain.get(name) or self.arrays.get(name))


def _pair(form: _Form, first: str, last: str) -> bool:
    """Whether both are set; one alone is an error."""
    given = [name for name in (first, last) if form.has(name)]
    if len(given) == 1:
        missing = last if given == [first] else first
        raise BadRequest(f"Argument '{missing}' is expected but not set")
    return bool(given)


def _day(form: _Form, name: str) -> date:
    text = form.one(name)
    try:
        if not _DATE.fullmatch(text):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"Argument '{name}' is invalid") from None


def _seconds(form: _Form, name: str) -> int | None:
    text = form.one(name)
    if not text:
        return None
    if not _NUMBER.fullmatch(text):
        raise BadRequest(f"Argument '{name}' is invalid")
    return int(text)


def _in_order(first: str, last: str, given: tuple[int | date | None, int | date | None]) -> None:
    if None not in given and given[0] > given[1]:  # type: ignore[operator]
        raise BadRequest(f"Argument '{first}' must be less than or equal to '{last}'")


def _days(form: _Form, zone: ZoneInfo, now: float) -> tuple[int, int]:
    """The first and the last second of the requested days."""
    first, last = _day(form, "dateFrom"), _day(form, "dateTo")
    if first < date(1970, 1, 1):
        raise BadRequest("Argument 'dateFrom' must be greater than or equal to 1970-01-01")
    today = datetime.fromtimestamp(now, zone).date()
    for name, day in (("dateFrom", first), ("dateTo", last)):
        if day > today:
            raise BadRequest(f"Argument '{name}' must be less than or equal to {today}")
    _in_order("dateFrom", "dateTo", (first, last))

    def midnight(day: date) -> int:
        return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())

    return midnight(first), midnight(last + timedelta(days=1)) - 1


def _moments(form: _Form, first: str, last: str, limit: int) -> tuple[int | None, int | None]:
    moments = _seconds(form, first), _seconds(form, last)
    for name, moment in zip((first, last), moments, strict=True):
        if moment is not None and moment > limit:
            raise BadRequest(f"Argument '{name}' must be less than or equal to {limit}")
    _in_order(first, last, moments)
    return moments


def _filter(form: _Form, name: str, pattern: re.Pattern[str]) -> frozenset[str]:
    values = form.many(name)
    # ids are numbers: 7 and 007 are the same one
    ids = {
        str(int(value)) if pattern is _NUMBER else value
        for value in values
        if pattern.fullmatch(value)
    }
    if not all(pattern.fullmatch(value) for value in values):
        raise BadRequest(f"Argument '{name}' is invalid")
    if len(ids) > _MAX_VALUES:
        raise BadRequest(f"Argument '{name}' set size expected to be below {_MAX_VALUES}")
    return frozenset(ids)


def _event(form: _Form) -> str:
    if not form.has("event"):
        raise BadRequest("Argument 'event' is expected but not set")
    events = dictionary("event")
    event = form.one("event")
    if event not in events:
        raise BadRequest(
            "Argument 'event' must be in set of allowed tables. "
            f"Allowed values are: {', '.join(events)}."
        )
    return event


def _selectors(form: _Form, *, unknown: bool) -> tuple[str, ...]:
    if not form.has("selectors"):
        raise BadRequest("Argument 'selectors' is expected but not set")
    names = form.many("selectors")
    known = dictionary("selector")
    if not all(_SELECTOR.fullmatch(name) and (unknown or name in known) for name in names):
        raise BadRequest("Argument 'selectors' is invalid")
    return tuple(dict.fromkeys(names))


def _filters(form: _Form, event: str) -> dict[str, frozenset[str]]:
    for name, events in _ONLY_FOR.items():
        if form.has(name) and event not in events:
            raise BadRequest(f"Argument '{name}' is not allowed for event '{event}'")
    filters = {name: _filter(form, name, _NUMBER) for name in _IDS}
    filters["SDKKey"] = _filter(form, "SDKKey", _SDK_KEY)
    for name in _CLOSED:
        value = form.one(name)
        if value and value not in dictionary(name):
            raise BadRequest(
                f"Argument '{name}' must be in set of allowed values. "
                f"Allowed values are: {', '.join(dictionary(name))}."
            )
        filters[name] = frozenset([value] if value else [])
    segment = _seconds(form, "idSegment")
    filters["idSegment"] = frozenset() if segment is None else frozenset([str(segment)])
    if form.plain.get("eventName"):
        raise BadRequest("Argument 'eventName' must be an array")
    names = frozenset(form.arrays.get("eventName", []))
    if len(names) > _MAX_VALUES:
        raise BadRequest(f"Argument 'eventName' set size expected to be below {_MAX_VALUES}")
    filters["eventName"] = names
    return {name: values for name, values in filters.items() if values}


def parse_query(
    fields: Iterable[tuple[str, str]], now: float, *, unknown_selectors: bool = False
) -> Query:
    """Validate and parse the parameters of a create request.

    Parameters
    ----------
    fields : iterable of (str, str)
        The names and values of the query string and the form, as they were sent.
    now : float
        The time of the request, in Unix seconds.
    unknown_selectors : bool
        Whether to accept columns that are not in the dictionary.

    Raises
    ------
    BadRequest
        If the service would respond with HTTP 400.
    """
    form = _Form(fields)
    event = _event(form)
    selectors = _selectors(form, unknown=unknown_selectors)
    timezone = form.one("timezone") or "Europe/Moscow"
    if timezone not in dictionary("timezone"):
        raise BadRequest("Argument 'timezone' must be in set of allowed values")
    # events of the future and rows that are not available yet can't be exported
    starts, ends = [0], [int(now)]
    by_days = _pair(form, "dateFrom", "dateTo")
    by_seconds = _pair(form, "tsFrom", "tsTo")
    if not by_days and not by_seconds:
        raise BadRequest("Argument 'dateFrom' is expected but not set")
    if by_days:
        first, last = _days(form, ZoneInfo(timezone), now)
        starts.append(first)
        ends.append(last)
    ts_from, ts_to = _moments(form, "tsFrom", "tsTo", int(now))
    starts.append(ts_from or 0)
    ends.append(int(now) if ts_to is None else ts_to)
    available_from, available_to = _moments(
        form, "availabilityTsFrom", "availabilityTsTo", int(now) - _AVAILABILITY_DELAY - 1
    )
    filters = _filters(form, event)
    inverted = "1" in filters.pop("eventNameInvert", ())
    return Query(
        event=event,
        selectors=selectors,
        ts_from=max(starts),
        ts_to=min(ends),
        inserted_from=available_from or 0,
        inserted_to=int(now) if available_to is None else available_to,
        timezone=timezone,
        filters=filters,
        inverted=inverted,
    )
