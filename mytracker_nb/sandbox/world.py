"""The data of the sandbox: apps, advertising, countries, and devices for every day since 1970.

A device has a key, which is derived from the seed, the day of its install and its number in that
day. All its properties are derived from the key.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mytracker_nb.request.dictionaries import dictionary
from mytracker_nb.sandbox.draws import Array, draw, pick, series, uniform

__all__ = ["APPS", "COUNTRIES", "LINKS", "PARTNERS", "App", "Country", "Devices", "Link", "Partner"]

DAY = 86_400


@dataclass(frozen=True)
class App:
    """An app or a site that sends its events to the sandbox."""

    id: int
    title: str
    sdk_key: str
    platform: str
    account: int
    project: int
    project_title: str
    weight: float


APPS = (
    App(5001, "Песочница: Рыцари, драконы и ключи", "00384917502846193750", "Android",
        7001, 6001, "Sandbox «Рыцари»", 40),
    App(5002, "Песочница: Рыцари, драконы и ключи (iOS)", "00384917502846193768", "iOS",
        7001, 6001, "Sandbox «Рыцари»", 25),
    App(5003, 'Sandbox Shop: "Deals", & more', "98472615039184726150", "Android",
        7001, 6002, 'Sandbox "Shop"', 20),
    App(5004, "Sandbox: сайт магазина", "00000000000000005004", "Web",
        7002, 6002, 'Sandbox "Shop"', 10),
    App(5005, "Sandbox Notes", "00000000000000000007", "Windows",
        7002, 6003, "Sandbox Notes", 5),
)  # fmt: skip
WEB = 3


@dataclass(frozen=True)
class Country:
    """A country of the dictionary, with properties that the dictionary does not have."""

    alpha2: str
    numeric: str
    zone: str
    language: str
    region: str
    town: str
    operator: str
    weight: float

    @property
    def id(self) -> int:
        """The service's id of the country."""
        return int(dictionary("country").find(self.alpha2 or "Abkhazia").value)  # type: ignore[union-attr]

    @property
    def title(self) -> str:
        """The service's title of the country."""
        return dictionary("country")[str(self.id)].title


COUNTRIES = (
    Country("RU", "643", "Europe/Moscow", "ru", "Москва", "Москва", "Оператор «Север»", 44),
    Country("KZ", "398", "Asia/Almaty", "kk", "Алматы", "Алматы", "Қазақ Байланыс", 9),
    Country("BY", "112", "Europe/Minsk", "be", "Минск", "Минск", "Сувязь", 7),
    Country("US", "840", "America/New_York", "en", "New York", "Albany, NY", "Blue Cell", 7),
    Country("DE", "276", "Europe/Berlin", "de", "Bayern", "Nürnberg", "Funknetz", 5),
    Country("TR", "792", "Europe/Istanbul", "tr", "İstanbul", "Şişli", "Anadolu", 5),
    Country("IN", "356", "Asia/Calcutta", "hi", "Goa", "Panaji", "Tara", 5),
    Country("BR", "76", "America/Sao_Paulo", "pt", "São Paulo", "Santos", "Onda", 4),
    Country("GB", "826", "Europe/London", "en", "Wales", "Cardiff", "Dragon Mobile", 3),
    Country("RS", "688", "Europe/Belgrade", "sr", "Београд", "Земун", "Веза", 3),
    Country("AM", "51", "Asia/Tbilisi", "hy", "Երևան", "Երևան", "Արարատ", 2),
    Country("NA", "516", "Africa/Johannesburg", "en", "Khomas", "Windhoek", "NA", 3),
    Country("CN", "156", "Asia/Hong_Kong", "zh", "广东", "深圳", "云", 2),
    Country("", "", "Europe/Moscow", "ab", "", "", "", 1),
)


@dataclass(frozen=True)
class Partner:
    """A source of installs, and how often its devices are used compared to others."""

    id: int
    title: str
    loyalty: float


# the first is for organic installs, without a partner: its id is an empty cell
PARTNERS = (
    Partner(0, "Organic", 1.25),
    Partner(31, "Партнёр «Север»", 1.1),
    Partner(32, 'Blue "Network", Inc.', 0.9),
    Partner(33, "Реклама\\Сервис", 0.65),
    Partner(34, "null", 0.45),
)


@dataclass(frozen=True)
class Link:
    """A tracking link of a partner's campaign."""

    id: int
    title: str
    campaign: int
    campaign_title: str
    partner: int
    weight: float


_CAMPAIGNS = (
    ("Осень 2026: всё по 99, спешите", "=1+1", "007"),
    ('Brand "A"', "NA", "Лето; море & солнце"),
    ("it's a test", "4.10", "Возврат\tигроков"),
    ("null", "Ёлка", "-5%"),
)
LINKS = (
    Link(0, "", 0, "", 0, 40),
    *(
        Link(
            id=PARTNERS[index].id * 1000 + number * 10 + place,
            title=("баннер, 320x50", "видео 15\"", "push")[(number + place) % 3],
            campaign=PARTNERS[index].id * 100 + number,
            campaign_title=title,
            partner=index,
            weight=(18, 6, 3)[number] / (place + 1) / index**0.3,
        )
        for index, titles in enumerate(_CAMPAIGNS, start=1)
        for number, title in enumerate(titles)
        for place in range(2)
    ),
)  # fmt: skip

_LINK_PARTNER = np.array([link.partner for link in LINKS])
_LOYALTY = np.array([partner.loyalty for partner in PARTNERS])
_WEEK = np.array([0.92, 0.88, 0.87, 0.9, 1.05, 1.25, 1.2])  # from Monday


class Devices:
    """Devices; each array has one item per device.

    Parameters
    ----------
    seed : int
        The world's seed.
    day : array of int
        The day of the install, in days since 1970-01-01 (UTC); does not decrease.
    index : array of int
        The device's number in its day.
    lateness : float
        The share of their events that appear late in the system, relative to the usual share.
    """

    def __init__(self, seed: int, day: Array, index: Array, lateness: float = 1.0) -> None:
        self.seed = seed
        self.day = day
        self.index = index
        self.lateness = lateness

    @classmethod
    def of_days(
        cls, seed: int, scale: float, first: int, last: int, lateness: float = 1.0
    ) -> Devices:
        """All devices installed from the `first` to the `last` day (since 1970-01-01)."""
        days = np.arange(max(first, 0), max(last + 1, 0))
        jitter = 0.85 + 0.3 * uniform(_day_keys(seed, days), "installs")
        # 1970-01-01 was a Thursday
        counts = np.round(26 * scale * _WEEK[(days + 3) % 7] * jitter).astype(np.int64)
        counts = np.maximum(counts, 1)
        starts = np.cumsum(counts) - counts
        index = np.arange(counts.sum()) - np.repeat(starts, counts)
        return cls(seed, np.repeat(days, counts), index, lateness)

    def __len__(self) -> int:
        return len(self.day)

    def take(self, which: Array) -> Devices:
        """The devices selected by `which` (indices or a mask)."""
        return Devices(self.seed, self.day[which], self.index[which], self.lateness)

    def keys(self, index: Array) -> Array:
        """The keys of the devices with these numbers in the same days."""
        return series(_day_keys(self.seed, self.day), "device", index)

    @cached_property
    def key(self) -> Array:
        """The key of each device, which is also its idDevice."""
        return self.keys(self.index)

    @cached_property
    def is_second(self) -> Array:
        """Whether it is the second device of a user."""
        lucky: Array = uniform(self.key, "second device") < 0.2
        found: Array = lucky & (self.index % 2 == 1)
        return found

    @cached_property
    def user(self) -> Array:
        """The key of its user."""
        return np.where(self.is_second, self.keys(self.index - 1), self.key)

    @cached_property
    def is_registered(self) -> Array:
        """Whether the app knows its user."""
        return uniform(self.user, "registered") < 0.55

    @cached_property
    def second(self) -> Array:
        """The second of the day at which it was installed; leaves time for a first session."""
        return (draw(self.key, "second") % np.uint64(DAY - 400)).astype(np.int64)

    @property
    def ts(self) -> Array:
        """The time of the install, in Unix seconds."""
        ts: Array = self.day * DAY + self.second
        return ts

    @cached_property
    def app(self) -> Array:
        """Its app, an index into `APPS`."""
        return pick(self.key, "app", [app.weight for app in APPS])

    @cached_property
    def country(self) -> Array:
        """Its country, an index into `COUNTRIES`."""
        return pick(self.user, "country", [country.weight for country in COUNTRIES])

    @cached_property
    def link(self) -> Array:
        """The tracking link it came by, an index into `LINKS`."""
        return pick(self.key, "link", [link.weight for link in LINKS])

    @cached_property
    def link_now(self) -> Array:
        """The tracking link of the current attribution, mostly the same one."""
        other = pick(self.key, "other link", [link.weight for link in LINKS])
        return np.where(uniform(self.key, "attributed anew") < 0.08, other, self.link)

    @cached_property
    def attribution(self) -> Array:
        """Its idAdEventType; 0 for an organic install."""
        kind = pick(self.key, "attribution", [12, 4, 2, 1])
        return np.where(self.link > 0, kind + 1, 0)

    @cached_property
    def partner(self) -> Array:
        """The partner it came by, an index into `PARTNERS`."""
        return _LINK_PARTNER[self.link]

    @cached_property
    def loyalty(self) -> Array:
        """How often it is used, relative to others."""
        return _LOYALTY[self.partner] * (0.4 + 1.2 * uniform(self.user, "loyalty"))

    @cached_property
    def rooted(self) -> Array:
        """Its id in the dictionary ``rooted``."""
        return pick(self.key, "rooted", [0.15, 0.05, 0.8])

    @cached_property
    def holds_back(self) -> Array:
        """Whether it never updates its app."""
        return uniform(self.key, "holds back") < 0.15

    def in_segment(self, segment: str) -> Array:
        """Whether it is in a segment; every segment has a third of the devices."""
        return uniform(self.key, f"segment {segment}") < 1 / 3


def _day_keys(seed: int, days: Array) -> Array:
    return series(np.full(days.shape, seed % 2**64, dtype=np.uint64), "day", days)
