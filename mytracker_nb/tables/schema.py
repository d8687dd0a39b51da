"""The Arrow type of each column, by its kind in the dictionary of selectors.

No type is guessed from the data, so all files of an export, and all exports with the same
selectors, have the same types. A column that is not in the dictionary is text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from datetime import date
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from mytracker_nb.request.dictionaries import selectors as known_selectors
from mytracker_nb.tables.clickhouse_arrays import parse_array

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["descriptions", "field", "fits", "keeps_empty_text", "kind", "schema"]

# Text that the app sends: it can be empty, which is not the same as missing.
_SENT_BY_APP = frozenset({"customUserId", "eventName"})
# Sub ids have what a partner writes into its links, often a different value for each click, so
# that dictionary encoding would take more memory, not less.
_FREE_TITLE = re.compile(r"idSub\d(Attr)?Title")

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_NUMBER = re.compile(r"-?([0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?|inf)|nan")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# The first day of year 1 and the last second of year 9999, in days and seconds of Unix time: the
# limits of Python's datetime.
FIRST_DAY = -719_162
LAST_SECOND = 253_402_300_799


_known = cache(known_selectors)


def kind(selector: str) -> str:
    """The kind of a column's values (`Selector.kind`); ``"unknown"`` for an unknown column."""
    entry = _known().get(selector)
    return entry.kind if entry else "unknown"


def keeps_empty_text(selector: str) -> bool:
    """Whether an empty text in quotes (``""``) is a value of the column, not a missing one."""
    return selector in _SENT_BY_APP or kind(selector) == "unknown"


@cache
def _types() -> dict[str, Any]:
    import pyarrow as pa

    text = pa.string()
    return {
        "date": pa.date32(),
        "flag": pa.int64(),
        "id": pa.int64(),
        "integer": pa.int64(),
        "key": text,
        "list": pa.list_(text),
        "number": pa.float64(),
        "text": text,
        "timestamp": pa.timestamp("us", tz="UTC"),
        "title": pa.dictionary(pa.int32(), text),
        "unknown": text,
    }


@cache
def field(selector: str, *, as_text: bool = False) -> pa.Field:
    """The Arrow field of a column.

    Parameters
    ----------
    selector : str
        The column's name.
    as_text : bool
        Whether the column is loaded as text, since a cell does not fit its type.

    Returns
    -------
    pyarrow.Field
        Keys and unknown columns are ``string``; titles dictionary-encoded ``string``; ids, counts
        and flags ``int64``; numbers ``double``; times ``timestamp[us, tz=UTC]``; dates
        ``date32``; array text ``list<string>``. The metadata has the column's ``title`` and
        ``kind`` from the dictionary.
    """
    import pyarrow as pa

    entry = _known().get(selector)
    role = "text" if as_text else kind(selector)
    if _FREE_TITLE.fullmatch(selector):
        role = "text"
    metadata = {"kind": entry.kind, "title": entry.title} if entry else {"kind": "unknown"}
    return pa.field(selector, _types()[role], metadata=metadata)


def schema(selectors: Iterable[str], *, as_text: Collection[str] = ()) -> pa.Schema:
    """The Arrow schema of an export with these columns (see `field`)."""
    import pyarrow as pa

    return pa.schema([field(name, as_text=name in as_text) for name in selectors])


def descriptions(selectors: Iterable[str]) -> dict[str, str]:
    """The titles of the columns that are in the dictionary."""
    known = _known()
    return {name: known[name].title for name in selectors if name in known}


def fits(selector: str, text: str) -> bool:
    """Whether a cell can be converted to its column's type and back without a change.

    Parameters
    ----------
    selector : str
        The column's name.
    text : str
        The text of a cell that is not empty.
    """
    role = kind(selector)
    if role in ("flag", "id", "integer", "timestamp"):
        if not _INTEGER.fullmatch(text):
            return False
        low, high = (0, LAST_SECOND) if role == "timestamp" else (-(2**63), 2**63 - 1)
        return low <= int(text) <= high
    if role == "number":
        return bool(_NUMBER.fullmatch(text)) and _is_exact(text)
    if role == "date":
        return bool(_DATE.fullmatch(text)) and _is_day(text)
    if role == "list":
        return parse_array(text) is not None
    return True


def _is_exact(text: str) -> bool:
    """Whether the number can be stored as a double without loss of digits."""
    return text.endswith(("inf", "nan")) or Decimal(repr(float(text))) == Decimal(text)


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
