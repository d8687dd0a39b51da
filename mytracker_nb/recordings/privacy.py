"""What keeps rows safe to give away: pseudonyms, a sample of people, a look for what is left."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mytracker_nb.errors import MyTrackerError
from mytracker_nb.request.dictionaries import Selector, dictionary

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["NIL", "PEOPLE", "Pseudonyms", "key_columns", "person_column", "sample", "scan"]

PEOPLE = {"idDevice": "devices", "idProfile": "profiles", "customUserId": "users"}
"""The columns by which a sample takes people, in this order, and what they are then called."""

NIL = re.compile(r"[0-]*")
"""An id that stands for none: all zeros where tracking is off, or no text."""

# No digit and no letter of a hexadecimal number: a pseudonym is never taken for an id.
_ALPHABET = "ghijklmnopqrstuvwxyz"
_LENGTH = 18  # 77 bits: two of a billion ids get the same one with a chance of 1 in 200,000
_START = "anon-"


def key_columns(columns: Collection[str]) -> tuple[str, ...]:
    """Those of the columns that hold ids of devices, users and installs."""
    entries = dictionary("selector")

    def is_key(name: str) -> bool:
        entry = entries.get(name)
        # the name of an event is a key as well, but no id
        return isinstance(entry, Selector) and entry.kind == "key" and entry.group == "ids"

    return tuple(filter(is_key, columns))


@dataclass
class Pseudonyms:
    """Stable other names for ids, which nobody can undo without the key.

    Attributes
    ----------
    key : bytes
        The recording's key.
    """

    key: bytes = field(repr=False)
    _known: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def fingerprint(self) -> str:
        """What tells the key from others, and says nothing of it."""
        return hashlib.sha256(b"mytracker-nb recording " + self.key).hexdigest()[:12]

    def of(self, value: str) -> str:
        """The pseudonym of an id; a nil id stays what it is."""
        if NIL.fullmatch(value):
            return value
        found = self._known.get(value)
        if found is None:
            found = self._known[value] = self._make(value)
        return found

    def _make(self, value: str) -> str:
        number = int.from_bytes(hmac.digest(self.key, value.encode(), "sha256"), "big")
        letters = []
        for _ in range(_LENGTH):
            number, place = divmod(number, len(_ALPHABET))
            letters.append(_ALPHABET[place])
        return _START + "".join(letters)

    def column(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """A column of text with each id replaced; missing cells stay missing."""
        import pyarrow as pa

        coded = column.combine_chunks().dictionary_encode()
        names = pa.array([self.of(value) for value in coded.dictionary.to_pylist()], pa.string())
        return pa.chunked_array([names.take(coded.indices)], pa.string())

    def share(self, value: str) -> float:
        """A number from 0 to 1 for a person, which says nothing of the pseudonym."""
        digest = hmac.digest(self.key, b"sample " + value.encode(), "sha256")
        return int.from_bytes(digest[:8], "big") / 2.0**64


def person_column(columns: Collection[str]) -> str:
    """The column by which a sample of the rows takes people.

    Raises
    ------
    MyTrackerError
        If there is none.
    """
    for name in PEOPLE:
        if name in columns:
            return name
    raise MyTrackerError(
        f"a sample takes whole people, so the request needs one of {', '.join(PEOPLE)} among its "
        "selectors. Add it (--drop leaves it out of the recording), or record without --sample"
    )


def sample(table: pa.Table, share: float, pseudonyms: Pseudonyms) -> pa.Table:
    """All rows of a share of the people; rows of nobody (a nil id) are left out.

    Parameters
    ----------
    table : pyarrow.Table
        The rows, with their ids.
    share : float
        Above 0 and at most 1.
    pseudonyms : Pseudonyms
        Whose key decides who belongs to it: the same people in all exports of a recording.
    """
    import pyarrow as pa

    coded = table.column(person_column(table.column_names)).combine_chunks().dictionary_encode()
    chosen = [
        not NIL.fullmatch(value) and pseudonyms.share(value) < share
        for value in coded.dictionary.to_pylist()
    ]
    mask = pa.array(chosen, pa.bool_()).take(coded.indices)
    return table.filter(mask)


_SCANS = {
    "e-mail addresses": r"[\w.+-]+@[\w-]+\.[A-Za-z]{2,}",
    "IP addresses": r"\b(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}\b",
    "telephone numbers": r"\+\d[\d ()-]{8,}\d|\b8[ (-]\d{3}[ )-]{1,2}\d{3}-?\d\d-?\d\d\b",
    "device ids": r"\b[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[1-9A-Fa-f][0-9A-Fa-f]{3}-[0-9A-Fa-f]{4}-"
    r"[0-9A-Fa-f]{12}\b",
}


def scan(table: pa.Table, passed: Sequence[str] = ()) -> Iterator[tuple[str, str, int]]:
    """Look for what may identify a person, in text and in the values of parameters.

    Parameters
    ----------
    table : pyarrow.Table
        The rows.
    passed : sequence of str
        Columns not to look at.

    Yields
    ------
    tuple of (str, str, int)
        The column, what was found in it, and in how many cells (of lists: values).
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    for name in table.column_names:
        column = table.column(name)
        if pa.types.is_list(column.type):
            column = pc.list_flatten(column)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if name in passed or not pa.types.is_string(column.type):
            continue
        counts = column.value_counts()
        texts, numbers = counts.field("values"), counts.field("counts")
        for what, pattern in _SCANS.items():
            found = pc.match_substring_regex(texts, pattern)
            if count := pc.sum(numbers.filter(found.fill_null(False))).as_py():
                yield name, what, count
