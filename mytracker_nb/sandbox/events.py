"""The rows of each of the service's events, generated from the devices of the sandbox.

A device is used on the day of its install and, less and less often, on later days. Each day of use
has sessions, and sessions have custom events, payments and so on. All rows of a visit are in its
UTC day, so the rows of a day can be computed from the devices installed up to that day.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mytracker_nb.sandbox.config import Config
from mytracker_nb.sandbox.custom_events import CUSTOM_EVENTS, TUTORIAL
from mytracker_nb.sandbox.draws import Array, draw, pick, series, uniform
from mytracker_nb.sandbox.query import Query
from mytracker_nb.sandbox.world import APPS, COUNTRIES, DAY, LINKS, PARTNERS, WEB, Devices

__all__ = ["ALL_CUSTOM_EVENTS", "RELEASE_DAYS", "Rows", "day_ranges", "rows_of_days"]

# for how many days after its install a device can be used
LIFE = 90
# days between two versions of an app, and within how many days devices get a new one
RELEASE_DAYS = 21
_UPDATE_DAYS = 5
# Rows that appear late in the system: their share, and the least and most seconds after the event.
# Most rows appear within minutes. The servers of an app send events within 4 hours; a phone that
# was off sends its events when the app is next opened.
_LATE_BY_HOURS = (0.08, 900, 4 * 3600)
_LATE_BY_DAYS = (0.03, 4 * 3600, 2 * DAY)
# The share of rows imported long after the event, and the length of the imported periods in days.
_IMPORTED, _IMPORT_DAYS = 0.004, 30
# The installs of a usual day, and how many devices are generated at a time.
_INSTALLS, _CROWD = 26, 12_000

ALL_CUSTOM_EVENTS = (*CUSTOM_EVENTS, *dict.fromkeys(story for story, _, _ in TUTORIAL))
_LEVEL_UP, _SHOP, _PURCHASE = range(3)

_Source = Callable[["Devices", int, int], "Rows"]


@dataclass(frozen=True, eq=False)
class Rows:
    """Events of one kind; each array has one item per event.

    Attributes
    ----------
    devices : Devices
        The devices, of which some have events here.
    device : array of int
        The device of each event, as an index into `devices`.
    ts : array of int
        The time of each event, in Unix seconds.
    key : array of int
        The key of each event, from which its other properties are drawn.
    facts : dict of str to array
        Properties that only this kind of event has.
    """

    devices: Devices
    device: Array
    ts: Array
    key: Array
    facts: dict[str, Array]

    def __len__(self) -> int:
        return len(self.ts)

    def take(self, which: Array | slice) -> Rows:
        """The rows selected by `which` (indices, a slice or a mask)."""
        facts = {name: values[which] for name, values in self.facts.items()}
        return Rows(self.devices, self.device[which], self.ts[which], self.key[which], facts)

    def by_time(self) -> Rows:
        """The same rows by time."""
        return self.take(np.lexsort((self.key, self.ts)))

    @cached_property
    def age(self) -> Array:
        """Days since the install."""
        return self.ts // DAY - self.devices.day[self.device]

    @cached_property
    def ts_insert(self) -> Array:
        """The time the event appeared in the system, in Unix seconds."""
        luck, spread = uniform(self.key, "lateness"), uniform(self.key, "delay")

        def between(least: float, most: float) -> Array:
            return self.ts + (least * (most / least) ** spread).astype(np.int64)

        period = self.ts // (_IMPORT_DAYS * DAY)
        lateness = self.devices.lateness
        days = _IMPORTED + _LATE_BY_DAYS[0]
        return np.select(
            [
                luck < _IMPORTED * lateness,
                luck < days * lateness,
                luck < (days + _LATE_BY_HOURS[0]) * lateness,
            ],
            [
                (period + 3) * _IMPORT_DAYS * DAY + 10 * 3600,
                between(*_LATE_BY_DAYS[1:]),
                between(*_LATE_BY_HOURS[1:]),
            ],
            between(20, 900),
        )

    @cached_property
    def release(self) -> Array:
        """The number of the device's app version; -1 on a device that never updates."""
        return self._release(self.ts // DAY)

    @cached_property
    def is_update(self) -> Array:
        """Whether the device got a new version on this day."""
        today = self.ts // DAY
        return (self.age > 0) & (self._release(today) > self._release(today - 1))

    def _release(self, day: Array) -> Array:
        born = self.devices.day[self.device] // RELEASE_DAYS
        lag = draw(self.devices.key, "update lag") % np.uint64(_UPDATE_DAYS)
        release = np.maximum(born, (day - lag.astype(np.int64)[self.device]) // RELEASE_DAYS)
        return np.where(self.devices.holds_back[self.device], -1, release)

    @cached_property
    def purchase_type(self) -> Array:
        """The idPurchaseType of a payment."""
        return np.array([1, 2, 6])[pick(self.key, "purchase type", [6, 3, 1])]

    @cached_property
    def is_verified(self) -> Array:
        """The isVerified of a payment."""
        return (uniform(self.key, "verified") < 0.85).astype(np.int64)

    @cached_property
    def mediator(self) -> Array:
        """The idAdMediator of an ad that was shown."""
        return np.array([2, 6, 3, 13, 44, 0])[pick(self.key, "mediator", [6, 4, 4, 2, 2, 1])]


def _after_install(devices: Devices, first: int, last: int, name: str, days: int = 0) -> Rows:
    """One event per device, some days after its install."""
    low, high = np.searchsorted(devices.day, [first - days, last - days + 1])
    device = np.arange(low, high)
    ts = devices.ts[device] + days * DAY
    return Rows(devices, device, ts, draw(devices.key[device], name), {})


def _visits(devices: Devices, first: int, last: int) -> Rows:
    """The days on which each device was used; the time is the install's, or early that day."""
    found = []
    for age in range(LIFE + 1):
        low, high = np.searchsorted(devices.day, [first - age, last - age + 1])
        device = np.arange(low, high)
        day = devices.day[device] + age
        key = series(devices.key[device], "visit", np.full(device.shape, age))
        if age:
            weekend = 1 + 0.15 * ((day + 3) % 7 >= 5)
            chance = 0.42 * age**-0.6 * weekend * devices.loyalty[device]
            back = uniform(key, "comes back") < np.minimum(chance, 0.95)
            device, day, key = device[back], day[back], key[back]
        found.append((device, day, key))
    device, day, key = (np.concatenate(parts) for parts in zip(*found, strict=True))
    born = day == devices.day[device]
    second = np.where(born, devices.second[device] + 5, 4 * 3600)
    return Rows(devices, device, day * DAY + second, key, {})


def _several(rows: Rows, counts: Array, name: str) -> tuple[Rows, Array, Array]:
    """Repeat each row `counts` times with new keys; return these, their sources and numbers."""
    source = np.repeat(np.arange(len(rows)), counts)
    number = np.arange(len(source)) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = rows.take(source)
    key = series(rows.key, name, number)
    return Rows(rows.devices, rows.device, rows.ts, key, rows.facts), source, number


def _sessions(devices: Devices, first: int, last: int) -> Rows:
    visits = _visits(devices, first, last)
    chance = uniform(visits.key, "sessions")
    counts = 1 + (chance < 0.5).astype(np.int64) + (chance < 0.22) + (chance < 0.08)
    rows, source, number = _several(visits, counts, "session")
    # divide the rest of the day into equal parts with one session each, so that none overlap
    part = (DAY - rows.ts % DAY) // counts[source]
    opening = (number == 0) & (rows.age == 0)
    wait = np.where(opening, 0.01, 0.5) * uniform(rows.key, "start") * part
    duration = np.minimum(15 * np.exp(5 * uniform(rows.key, "duration")), 0.4 * part)
    facts = {"duration": duration.astype(np.int64), "number": number, "opening": opening}
    start = rows.ts + number * part + wait.astype(np.int64)
    return Rows(rows.devices, rows.device, start, rows.key, facts)


def _tutorial_length(sessions: Rows) -> Array:
    """How many events of the tutorial each session has."""
    reached = np.sort([share for _, _, share in TUTORIAL])
    luck = uniform(sessions.devices.key, "tutorial")
    length = len(TUTORIAL) - np.searchsorted(reached, luck, side="right")
    length = np.where(sessions.devices.app == WEB, 0, length)
    return np.where(sessions.facts["opening"], length[sessions.device], 0)


def _custom_events(devices: Devices, first: int, last: int) -> Rows:
    sessions = _sessions(devices, first, last)
    tutorial = _tutorial_length(sessions)
    counts = tutorial + 1 + (draw(sessions.key, "custom events") % np.uint64(4)).astype(np.int64)
    rows, source, number = _several(sessions, counts, "custom event")
    later = number - tutorial[source]
    story = pick(rows.key, "story", [story.weight for story in CUSTOM_EVENTS])
    # at most one new level per session, each higher than the one before
    story = np.where((story == _LEVEL_UP) & (later > 0), _SHOP, story)
    level = np.where(story == _LEVEL_UP, 2 + rows.age * 4 + rows.facts["number"], 0)
    places = np.array([ALL_CUSTOM_EVENTS.index(story) for story, _, _ in TUTORIAL])
    steps = np.array([number for _, number, _ in TUTORIAL])
    step = np.minimum(number, len(TUTORIAL) - 1)
    facts = {
        "custom_event": np.where(later < 0, places[step], story),
        "number": np.where(later < 0, steps[step], level),
        "item": (draw(rows.key, "item") % np.uint64(16)).astype(np.int64),
    }
    passed = rows.facts["duration"] * (number + 1) // (counts[source] + 1)
    return Rows(rows.devices, rows.device, rows.ts + passed, rows.key, facts)


def _views(devices: Devices, first: int, last: int) -> Rows:
    sessions = _sessions(devices, first, last)
    counts = 1 + (draw(sessions.key, "views") % np.uint64(5)).astype(np.int64)
    counts = np.where(devices.app[sessions.device] == WEB, counts, 0)
    rows, source, number = _several(sessions, counts, "view")
    passed = rows.facts["duration"] * number // np.maximum(counts[source], 1)
    return Rows(rows.devices, rows.device, rows.ts + passed, rows.key, {})


def _some(rows: Rows, name: str, share: float, seconds: int = 0) -> Rows:
    """Events that follow a share of other events, some seconds later."""
    rows = rows.take(uniform(rows.key, name) < share)
    return Rows(rows.devices, rows.device, rows.ts + seconds, draw(rows.key, f"{name} row"), {})


def _first_sessions(devices: Devices, first: int, last: int) -> Rows:
    """The first session of the day of each device that was used."""
    sessions = _sessions(devices, first, last)
    return sessions.take(sessions.facts["number"] == 0)


def _payments(devices: Devices, first: int, last: int) -> Rows:
    clicks = _custom_events(devices, first, last)
    clicks = clicks.take(clicks.facts["custom_event"] == _PURCHASE)
    return _some(clicks, "payment", 0.3, seconds=2)


def _trial_payments(devices: Devices, first: int, last: int) -> Rows:
    return _some(_first_sessions(devices, first, last), "trial payment", 0.04, seconds=1)


def _ads(devices: Devices, first: int, last: int) -> Rows:
    return _some(_sessions(devices, first, last), "ad", 0.5)


def _deeplinks(devices: Devices, first: int, last: int) -> Rows:
    return _some(_sessions(devices, first, last), "deep link", 0.06)


def _test_payments(devices: Devices, first: int, last: int) -> Rows:
    return _some(_first_sessions(devices, first, last), "test payment", 0.03, seconds=1)


def _reinstalls(devices: Devices, first: int, last: int) -> Rows:
    rows = _first_sessions(devices, first, last)
    return _some(rows.take(rows.age >= 2), "reinstall", 0.03)


def _reengagements(devices: Devices, first: int, last: int) -> Rows:
    rows = _first_sessions(devices, first, last)
    return _some(rows.take(rows.age >= 7), "re-engagement", 0.06)


def _updates(devices: Devices, first: int, last: int) -> Rows:
    rows = _first_sessions(devices, first, last)
    return _some(rows.take(rows.is_update), "update", 1)


def _registrations(devices: Devices, first: int, last: int) -> Rows:
    rows = _first_sessions(devices, first, last)
    return _some(rows.take(rows.facts["opening"] & devices.is_registered[rows.device]), "join", 1)


def _authorisations(devices: Devices, first: int, last: int) -> Rows:
    rows = _first_sessions(devices, first, last)
    known = devices.is_registered[rows.device] & (rows.age > 0)
    return _some(rows.take(known), "login", 0.3, seconds=1)


def _installs(devices: Devices, first: int, last: int) -> Rows:
    return _after_install(devices, first, last, "install")


def _new_devices(devices: Devices, first: int, last: int) -> Rows:
    return _some(_after_install(devices, first, last, "new device"), "is new", 0.93)


def _apple_postbacks(devices: Devices, first: int, last: int) -> Rows:
    rows = _after_install(devices, first, last, "Apple's postback", days=2)
    return rows.take(_is_ios(rows) & (devices.link[rows.device] > 0))


def _partner_postbacks(devices: Devices, first: int, last: int) -> Rows:
    rows = _after_install(devices, first, last, "partner's postback", days=3)
    return rows.take(_is_ios(rows) & (devices.link[rows.device] > 0))


def _is_ios(rows: Rows) -> Array:
    ios = np.array([app.platform == "iOS" for app in APPS])
    return ios[rows.devices.app[rows.device]]


def _of_users(source: _Source, *, once: bool = False) -> _Source:
    """The same events of known users only; with `once`, only those of a user's first device."""

    def events(devices: Devices, first: int, last: int) -> Rows:
        rows = source(devices, first, last)
        known = devices.is_registered & ~(devices.is_second & once)
        return rows.take(known[rows.device])

    return events


_SOURCES: dict[str, _Source] = {
    "activities": _first_sessions,
    "adMonetization": _ads,
    "appUpdates": _updates,
    "appleSKANpostbacks": _apple_postbacks,
    "customEvents": _custom_events,
    "deeplinks": _deeplinks,
    "deviceAuthorisations": _authorisations,
    "deviceRegistrations": _registrations,
    "hits": _views,
    "installs": _installs,
    "newDevices": _new_devices,
    "partnerSKANpostbacks": _partner_postbacks,
    "payments": _payments,
    "reengagements": _reengagements,
    "reinstalls": _reinstalls,
    "sessions": _sessions,
    "testPayments": _test_payments,
    "trialPayments": _trial_payments,
    "newUsers": _of_users(_installs, once=True),
    "userActivities": _of_users(_first_sessions, once=True),
    "userAdMonetization": _of_users(_ads),
    "userAuthorisations": _of_users(_authorisations),
    "userCustomEvents": _of_users(_custom_events),
    "userDeeplinks": _of_users(_deeplinks),
    "userHits": _of_users(_views),
    "userPayments": _of_users(_payments),
    "userReengagements": _of_users(_reengagements),
    "userRegistrations": _of_users(_registrations, once=True),
    "userSessions": _of_users(_sessions),
    "userTrialPayments": _of_users(_trial_payments),
}


# the most days between install and event, for events with fewer than `LIFE`
_LOOK_BACK = {
    **dict.fromkeys(["installs", "newDevices", "newUsers"], 0),
    **dict.fromkeys(["deviceRegistrations", "userRegistrations"], 0),
    "appleSKANpostbacks": 2,
    "partnerSKANpostbacks": 3,
}


def _matching_devices(devices: Devices, query: Query) -> Devices:
    wanted = np.ones(len(devices), dtype=bool)
    filters = query.filters
    app_ids, keys = filters.get("idApp"), filters.get("SDKKey")
    if app_ids or keys:
        chosen = [str(app.id) in (app_ids or ()) or app.sdk_key in (keys or ()) for app in APPS]
        wanted &= np.array(chosen)[devices.app]
    for name, places, ids in (
        ("idAccount", devices.app, [app.account for app in APPS]),
        ("idProject", devices.app, [app.project for app in APPS]),
        ("idAd", devices.link, [link.id for link in LINKS]),
        ("idCampaign", devices.link, [link.campaign for link in LINKS]),
        ("idPartner", devices.partner, [partner.id for partner in PARTNERS]),
        ("idCountry", devices.country, [country.id for country in COUNTRIES]),
        ("rooted", devices.rooted, [0, 1, 2]),
    ):
        if name in filters:
            wanted &= np.array([str(id_) in filters[name] for id_ in ids])[places]
    for segment in filters.get("idSegment", ()):
        wanted &= devices.in_segment(segment)
    return devices.take(wanted)


_DRAWN = {
    "idPurchaseType": "purchase_type",
    "isVerified": "is_verified",
    "idAdMediator": "mediator",
}


def _matching_rows(rows: Rows, query: Query) -> Rows:
    filters = query.filters
    wanted = (rows.ts >= query.ts_from) & (rows.ts <= query.ts_to)
    wanted &= (rows.ts_insert >= query.inserted_from) & (rows.ts_insert <= query.inserted_to)
    if "eventName" in filters:
        named = np.array([story.name in filters["eventName"] for story in ALL_CUSTOM_EVENTS])
        wanted &= named[rows.facts["custom_event"]] != query.inverted
    for name in ("idPurchaseType", "isVerified", "idAdMediator"):
        if name in filters:
            wanted &= np.isin(getattr(rows, _DRAWN[name]), [int(value) for value in filters[name]])
    return rows.take(wanted)


def day_ranges(query: Query, scale: float) -> list[tuple[int, int]]:
    """The UTC days of a query, as the first and last day of ranges that fit into memory."""
    step = int(min(max(_CROWD / (_INSTALLS * scale), 1), 512))
    first, last = query.ts_from // DAY, query.ts_to // DAY
    return [(day, min(day + step - 1, last)) for day in range(max(first, 0), last + 1, step)]


def rows_of_days(query: Query, config: Config, first: int, last: int) -> Rows:
    """The rows of a query in the UTC days from `first` to `last`, unordered."""
    born = first - _LOOK_BACK.get(query.event, LIFE)
    devices = Devices.of_days(config.seed, config.scale, born, last, config.lateness)
    return _matching_rows(
        _SOURCES[query.event](_matching_devices(devices, query), first, last), query
    )
