"""The dictionaries of the Export API: events, columns, countries, time zones, small closed lists.

The facts are the CSV files in ``mytracker_nb/request/data``; each is read when it is first needed.
Source: pages ``dictionary/*`` of the service's documentation; the names of countries beside the
service's own are those of the Unicode CLDR (`tools/countries.py`).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from mytracker_nb.endpoints import CREATE_PAGE
from mytracker_nb.request.suggestions import closest, either

__all__ = ["Dictionary", "Entry", "Selector", "dictionary", "events", "selectors"]

_FEW = 6  # a dictionary of no more values is listed in full


@dataclass(frozen=True)
class Entry:
    """One value of a dictionary.

    Attributes
    ----------
    value : str
        The service's value (a name, or an id in digits).
    title : str
        The name for people; ``""`` if the value is its own title.
    group : str
        Its heading in a list; ``""`` without headings.
    aliases : tuple of str
        Other names, shown beside the title (a country's ISO 3166-1 alpha-2 code).
    other_names : tuple of str
        Further names that are accepted and not shown (``Россия``, ``USA``).
    """

    value: str
    title: str = ""
    group: str = ""
    aliases: tuple[str, ...] = ()
    other_names: tuple[str, ...] = ()

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
        The kind of its values: ``key`` (opaque text), ``id``, ``title``, ``timestamp`` (Unix
        seconds), ``date``, ``integer``, ``number``, ``flag`` or ``list`` (array text).
    seen_with : frozenset of str
        The events with which public requests used it; others may have it, too.
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
        The word for one value in messages (``"country"``).
    entries : dict of str to Entry
        The entries by value.
    complete : bool
        Whether the service refuses all other values.
    numeric : bool
        Whether the values are ids; such entries are also found by title and alias.
    any_case : bool
        Whether letter case is ignored.
    expected : str
        The accepted values, for a message about a value that is similar to none.
    caveat : str
        A limit of the list, for a message about a value that it lacks.

    Examples
    --------
    >>> country = mt.dictionary("country").find("Россия")
    >>> country.value, country.title
    ('188', 'Russia')
    """

    name: str
    entries: Mapping[str, Entry]
    complete: bool = True
    numeric: bool = False
    any_case: bool = False
    expected: str = ""
    caveat: str = ""
    _names: dict[str, Entry] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        # two entries can have the same name: titles come first, then the order of the service
        for names in (_shown_names, _other_names):
            for entry in self.entries.values() if self.numeric else ():
                for name in names(entry):
                    self._names.setdefault(_folded(name), entry)
        for entry in self.entries.values() if self.any_case else ():
            self._names.setdefault(_folded(entry.value), entry)

    def __getitem__(self, value: str) -> Entry:
        return self.entries[value]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __hash__(self) -> int:
        return hash(self.name)

    def find(self, text: str) -> Entry | None:
        """Find an entry by its value or, for ids, by a title or another name.

        Returns
        -------
        Entry or None
            The entry; None if there is none.
        """
        return self.entries.get(text) or self._names.get(_folded(text))

    def nearest(self, text: str, count: int = 3) -> list[Entry]:
        """The entries similar to `text`, the most similar first; none if none is similar enough.

        Parameters
        ----------
        text : str
            A misspelt value or name.
        count : int
            How many entries to return at most.
        """
        names = dict(self._names)
        for entry in self.entries.values():
            # of a time zone, compare the city alone, too
            for name in (entry.value, entry.value.rpartition("/")[2]):
                names.setdefault(_folded(name) if self.numeric else name, entry)
        return list(dict.fromkeys(names[name] for name in closest(text, names, 2 * count)))[:count]

    def accepted(self) -> str:
        """The accepted values as a hint: all values of a short list, examples of a long one."""
        if len(self) <= _FEW:
            return f"expected {either(entry.label for entry in self.values())}"
        return f"expected {self.expected}" if self.expected else ""


def _shown_names(entry: Entry) -> tuple[str, ...]:
    return *entry.aliases, entry.title


def _other_names(entry: Entry) -> tuple[str, ...]:
    return entry.other_names


def _folded(name: str) -> str:
    """`name` as it is compared: in lower case, with one kind of apostrophe, hyphen and space."""
    return " ".join(name.casefold().translate(_SAME).split())


_SAME = str.maketrans({"\u2019": "'", "\u2010": "-", "\u2011": "-", "\u0451": "\u0435"})  # ё as е


def _rows(name: str) -> Iterator[dict[str, str]]:
    path = resources.files("mytracker_nb.request") / "data" / f"{name}.csv"
    yield from csv.DictReader(path.read_text(encoding="utf-8").splitlines())


def _by_value(entries: Iterable[Entry]) -> Mapping[str, Entry]:
    return {entry.value: entry for entry in entries}


def _events() -> Dictionary:
    rows = _rows("events")
    return Dictionary(
        "event",
        _by_value(Entry(row["event"], row["title"], row["group"]) for row in rows),
        expected="an event such as installs, sessions or customEvents; "
        "mt.dictionary('event') has all of them",
    )


def _selectors() -> Dictionary:
    return Dictionary(
        "column",
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
        caveat="the public list is complete for customEvents only; look the name up in the "
        f"dictionary of selectors, linked from {CREATE_PAGE}",
    )


def _countries() -> Dictionary:
    return Dictionary(
        "country",
        _by_value(
            Entry(
                row["idCountry"],
                row["title"],
                aliases=tuple(filter(None, [row["alpha2"]])),
                other_names=tuple(filter(None, row["names"].split("|"))),
            )
            for row in _rows("countries")
        ),
        complete=False,
        numeric=True,
        expected="an id, a two-letter code or a name, such as 188 (RU, Russia)",
    )


def _timezones() -> Dictionary:
    return Dictionary(
        "time zone",
        _by_value(
            Entry(row["timezone"], group=row["timezone"].partition("/")[0])
            for row in _rows("timezones")
        ),
        complete=False,
        any_case=True,
        expected="a zone such as Europe/Moscow; mt.dictionary('timezone') has those of the service",
    )


_LARGE = {
    "event": _events,
    "selector": _selectors,
    "country": _countries,
    "timezone": _timezones,
}


@cache
def dictionary(name: str) -> Dictionary:
    """A dictionary of the Export API: the accepted values of a parameter, with their titles.

    Parameters
    ----------
    name : str
        ``event``, ``selector``, ``country``, ``timezone`` or the name of a parameter with a small
        closed list (``rooted``, ``isVerified``, ``idAdMediator`` ...).

    Returns
    -------
    Dictionary
        The entries by value, in the service's order.

    Raises
    ------
    KeyError
        If the name is unknown.

    Examples
    --------
    >>> mt.dictionary("rooted")["1"].title
    'Rooted'
    >>> mt.dictionary("country").find("RU").value
    '188'
    """
    if name in _LARGE:
        return _LARGE[name]()
    small = list(_rows("dictionaries"))
    entries = [Entry(row["id"], row["title"]) for row in small if row["dictionary"] == name]
    if not entries:
        known = dict.fromkeys([*_LARGE, *(row["dictionary"] for row in small)])
        raise KeyError(f"unknown dictionary {name!r}; expected {either(known)}")
    return Dictionary("value", _by_value(entries), numeric=True)


def events() -> Dictionary:
    """The events that can be exported, grouped into ``devices`` and ``users``."""
    return dictionary("event")


def selectors() -> dict[str, Selector]:
    """The known columns by name; the service has more than these."""
    entries = dictionary("selector").values()
    return {entry.value: entry for entry in entries if isinstance(entry, Selector)}
