"""Protection of people in a recording: pseudonyms, a sample, a search for personal data."""

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
"""The columns that identify people for a sample, in order of preference, and the plural to show."""

NIL = re.compile(r"[0-]*")
"""An id that is not one: all zeros (if tracking is off) or an empty text."""

# Without hexadecimal digits, so that a pseudonym can't be mistaken for an id.
_ALPHABET = "ghijklmnopqrstuvwxyz"
_LENGTH = 18  # 77 bits: among a billion ids, two get the same one with a probability of 1/200,000
_START = "anon-"


def key_columns(columns: Collection[str]) -> tuple[str, ...]:
    """The columns with ids of devices, users and installs, among `columns`."""
    entries = dictionary("selector")

    def is_key(name: str) -> bool:
        entry = entries.get(name)
        # the name of an event is of kind key as well, but not an id
        return isinstance(entry, Selector) and entry.kind == "key" and entry.group == "ids"

    return tuple(filter(is_key, columns))


@dataclass
class Pseudonyms:
    """Stable pseudonyms for ids, which can't be reversed without the key.

    Attributes
    ----------
    key : bytes
        The recording's key.
    """

    key: bytes = field(repr=False)
    _known: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def fingerprint(self) -> str:
        """A short digest by which the key is recognized; the key can't be derived from it."""
        return hashlib.sha256(b"mytracker-nb recording " + self.key).hexdigest()[:12]

    def of(self, value: str) -> str:
        """The pseudonym of an id; a nil id stays."""
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
            number, digit = divmod(number, len(_ALPHABET))
            letters.append(_ALPHABET[digit])
        return _START + "".join(letters)

    def column(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Replace the ids of a text column by their pseudonyms; missing cells stay missing."""
        import pyarrow as pa

        coded = column.combine_chunks().dictionary_encode()
        names = pa.array([self.of(value) for value in coded.dictionary.to_pylist()], pa.string())
        return pa.chunked_array([names.take(coded.indices)], pa.string())

    def share(self, value: str) -> float:
        """A number from 0 to 1 for a person; the pseudonym can't be derived from it."""
        digest = hmac.digest(self.key, b"sample " + value.encode(), "sha256")
        return int.from_bytes(digest[:8], "big") / 2.0**64


def person_column(columns: Collection[str]) -> str:
    """The column that identifies people for a sample.

    Raises
    ------
    MyTrackerError
        If there is none.
    """
    for name in PEOPLE:
        if name in columns:
            return name
    raise MyTrackerError(
        f"a sample has all rows of each person, so the selectors need one of {', '.join(PEOPLE)}. "
        "Add it (--drop leaves it out of the recording), or record without --sample"
    )


def sample(table: pa.Table, share: float, pseudonyms: Pseudonyms) -> pa.Table:
    """All rows of a share of the people; rows without a person (a nil id) are dropped.

    Parameters
    ----------
    table : pyarrow.Table
        The rows, with their ids.
    share : float
        More than 0 and at most 1.
    pseudonyms : Pseudonyms
        Its key selects the people: the same ones in all exports of a recording.
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
    """Search text and the values of parameters for data that may identify a person.

    Parameters
    ----------
    table : pyarrow.Table
        The rows.
    passed : sequence of str
        Columns to skip.

    Yields
    ------
    tuple of (str, str, int)
        The column, the kind of data, and in how many cells it is (in lists: in how many values).
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
