"""The closed vocabularies of the Export API: events, selectors, countries, time zones, small lists.

The facts are the CSV files in ``mytracker_nb/data``; each is read once, when it is first asked for.
Source: pages ``dictionary/*`` of the service's documentation.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

__all__ = ["Dictionary", "Entry", "Selector", "dictionary", "events", "nearest", "selectors"]

_LONG = 100  # characters past which a text is like no name


@dataclass(frozen=True)
class Entry:
    """One value of a dictionary.

    Attributes
    ----------
    value : str
        The value as the service knows it (a name, or an id in digits).
    title : str
        What a person calls it; ``""`` where the name says it all.
    group : str
        The heading that it stands under in a list; ``""`` without headings.
    aliases : tuple of str
        Other names it is known by (a country's ISO 3166-1 alpha-2 code).
    """

    value: str
    title: str = ""
    group: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The value with its other names, for a message or a list."""
        names = ", ".join(filter(None, (*self.aliases, self.title)))
        return f"{self.value} ({names})" if names else self.value


@dataclass(frozen=True)
class Selector(Entry):
    """A column of an export.

    Attributes
    ----------
    kind : str
        What the column holds: ``key`` (opaque text), ``id``, ``title``, ``timestamp`` (Unix
        seconds), ``date``, ``integer``, ``number``, ``flag`` or ``list`` (array text).
    seen_with : frozenset of str
        The events that a real request is known to have used it with; more may allow it.
    slows_export : str
        When the documentation warns that it slows the export: ``""`` (never), ``"always"`` or
        ``"before YYYY-MM-DD"``.
    """

    kind: str = "title"
    seen_with: frozenset[str] = frozenset()
    slows_export: str = ""


@dataclass(frozen=True)
class Dictionary(Mapping[str, Entry]):
    """Entries by their value, in the service's order.

    Parameters
    ----------
    name : str
        What the values are, in the singular (``"country"``), for messages.
    entries : dict of str to Entry
        The entries by value.
    complete : bool
        Whether the service is known to refuse every other value.
    numeric : bool
        Whether the values are ids; such entries are found by title and alias as well.
    """

    name: str
    entries: Mapping[str, Entry]
    complete: bool = True
    numeric: bool = False
    _names: dict[str, Entry] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        for entry in self.entries.values() if self.numeric else ():
            for name in (*entry.aliases, entry.title):
                self._names.setdefault(name.casefold(), entry)

    def __getitem__(self, value: str) -> Entry:
        return self.entries[value]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __hash__(self) -> int:
        return hash(self.name)

    def find(self, text: str) -> Entry | None:
        """The entry that a person means by `text`: its value, or (for ids) a title or alias."""
        return self.entries.get(text) or self._names.get(text.casefold())

    def nearest(self, text: str, count: int = 3) -> list[Entry]:
        """The entries whose names look most like `text`, best first."""
        names = dict(self._names)
        for entry in self.entries.values():
            names.setdefault(entry.value.casefold(), entry)
        close = nearest(text, names, 2 * count)
        return list(dict.fromkeys(names[name] for name in close))[:count]


def nearest(text: str, names: Iterable[str], count: int) -> list[str]:
    """The casefolded `names` that look most like `text`, best first; never none of them."""
    word = text.casefold()[:_LONG]
    # something near is worth more than nothing: the cutoff only keeps the far away out of the
    # company of the close
    close = difflib.get_close_matches(word, names, n=count, cutoff=0.6)
    return close or difflib.get_close_matches(word, names, n=count, cutoff=0.0)


def _rows(name: str) -> Iterator[dict[str, str]]:
    path = resources.files("mytracker_nb.request") / "data" / f"{name}.csv"
    yield from csv.DictReader(path.read_text(encoding="utf-8").splitlines())


def _by_value(entries: Iterable[Entry]) -> Mapping[str, Entry]:
    return {entry.value: entry for entry in entries}


def _events() -> Dictionary:
    rows = _rows("events")
    return Dictionary(
        "event", _by_value(Entry(row["event"], row["title"], row["group"]) for row in rows)
    )


def _selectors() -> Dictionary:
    return Dictionary(
        "selector",
        _by_value(
            Selector(
                value=row["selector"],
                title=row["title"],
                group=row["group"],
                kind=row["kind"],
                seen_with=frozenset(row["seen_with"].split()),
                slows_export=row["slows_export"],
            )
            for row in _rows("selectors")
        ),
        complete=False,
    )


def _countries() -> Dictionary:
    return Dictionary(
        "country",
        _by_value(
            Entry(row["idCountry"], row["title"], aliases=tuple(filter(None, [row["alpha2"]])))
            for row in _rows("countries")
        ),
        complete=False,
        numeric=True,
    )


def _timezones() -> Dictionary:
    return Dictionary(
        "time zone",
        _by_value(
            Entry(row["timezone"], group=row["timezone"].partition("/")[0])
            for row in _rows("timezones")
        ),
        complete=False,
    )


_LARGE = {
    "event": _events,
    "selector": _selectors,
    "country": _countries,
    "timezone": _timezones,
}


@cache
def dictionary(name: str) -> Dictionary:
    """The dictionary called `name`.

    Parameters
    ----------
    name : str
        ``event``, ``selector``, ``country``, ``timezone`` or the name of a small closed list
        (``rooted``, ``isVerified``, ``idAdMediator`` ...).

    Raises
    ------
    KeyError
        If there is none of that name.
    """
    if name in _LARGE:
        return _LARGE[name]()
    small = list(_rows("dictionaries"))
    entries = [Entry(row["id"], row["title"]) for row in small if row["dictionary"] == name]
    if not entries:
        known = dict.fromkeys([*_LARGE, *(row["dictionary"] for row in small)])
        raise KeyError(f"there is no dictionary {name!r}; there are {', '.join(known)}")
    return Dictionary("value", _by_value(entries), numeric=True)


def events() -> Dictionary:
    """The events that can be exported, grouped into ``devices`` and ``users``."""
    return dictionary("event")


def selectors() -> dict[str, Selector]:
    """The columns known by name; the service has more than these."""
    entries = dictionary("selector").values()
    return {entry.value: entry for entry in entries if isinstance(entry, Selector)}
