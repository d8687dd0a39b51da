"""What is publicly known of the columns of an event, and what is not.

The dictionary of selectors is known in full for customEvents only. Of other events there are
columns that real requests, published by the service and its users, had.
"""

from __future__ import annotations

from functools import cache

from mytracker_nb.endpoints import CREATE_PAGE
from mytracker_nb.request.dictionaries import Selector, dictionary, selectors
from mytracker_nb.request.parameters import PARAMETERS

__all__ = [
    "caveat_of",
    "columns_seen_with",
    "event_of_devices",
    "known_in_brief",
    "probably_applies",
    "usual_columns",
    "what_is_known",
]

COMPLETE_FOR = "customEvents"
_ENOUGH = 6
"""Fewer columns than this are those of a single example, not the usual ones."""

_USER = "customUserId"
# what describes an event or a user; the other columns describe a device, an app or an install
_WITHOUT_DEVICE = ("times", "event")

_PAYMENTS = PARAMETERS["isVerified"].events or frozenset()

_NO_REVENUE = "no column with the amount or the currency of a payment is publicly known"
_LOOK_IT_UP = (
    "Look its name up in the dictionary of selectors, linked from "
    f"{CREATE_PAGE}, and use it: a name that is not in this list is sent with a warning, and its "
    "values come as text."
)
_COUNTED_BY_USER = (
    f"Events of users count by user, so select {_USER}: no public request for them has a column "
    "of devices, such as idDevice, so these may not apply."
)


def event_of_devices(event: str | None) -> str | None:
    """The event of devices that an event of users counts by user, if `event` is one."""
    folded = {name.casefold(): name for name in dictionary("event")}
    return folded.get((event or "").casefold().removeprefix("user"))


def _is_of_users(event: str | None) -> bool:
    entry = dictionary("event").get(event or "")
    return entry is not None and entry.group == "users"


@cache
def columns_seen_with(event: str | None) -> tuple[Selector, ...]:
    """The columns that a real request is known to have had with `event`.

    All public requests for events of users have ``customUserId``.
    """
    of_users = _is_of_users(event)
    return tuple(
        column
        for column in selectors().values()
        if event in column.seen_with or (of_users and column.value == _USER)
    )


def probably_applies(column: Selector, event: str | None) -> bool:
    """Whether a column that other events have probably applies to `event` too.

    Columns that describe a device do not apply to events of users.
    """
    if not _is_of_users(event):
        return True
    return column in columns_seen_with(event) or column.group in _WITHOUT_DEVICE


def usual_columns(event: str | None) -> tuple[Selector, ...]:
    """Those of `columns_seen_with` that do not slow the export, if they are many enough."""
    usual = tuple(column for column in columns_seen_with(event) if not column.slows_export)
    return usual if len(usual) >= _ENOUGH else ()


def caveat_of(event: str | None) -> str:
    """What to know about an unknown column of `event`, besides what holds for all events."""
    return _NO_REVENUE if event in _PAYMENTS else ""


def what_is_known(event: str | None) -> tuple[str, ...]:
    """What the list of columns covers, in sentences; for an event or, with None, in general."""
    if event is None:
        return (
            f"The list is complete for {COMPLETE_FOR} only. Other events can have other columns: "
            f"look them up in the dictionary of selectors, linked from {CREATE_PAGE}.",
        )
    if event == COMPLETE_FOR:
        return (f"The list is complete for {event}, as of 2024.",)
    count = len(columns_seen_with(event))
    if count:
        columns = "1 column was" if count == 1 else f"{count} columns were"
        coverage = f"{columns} seen with {event} in public requests"
    else:
        coverage = f"No public request for {event} is known"
    sentence = (
        f"{coverage}; the other columns are those of other events, and may not apply. "
        f"The complete list for {event} is not public."
    )
    special = []
    if event in _PAYMENTS:
        special.append(f"{_NO_REVENUE[:1].upper()}{_NO_REVENUE[1:]}. {_LOOK_IT_UP}")
    if _is_of_users(event):
        special.append(_COUNTED_BY_USER)
    return (sentence, *special)


def known_in_brief(event: str) -> str:
    """What the list of columns covers, for an event, where there is little room."""
    if event == COMPLETE_FOR:
        return f"All columns of {event} are known."
    count = len(columns_seen_with(event))
    known = "No column is" if not count else "1 column is" if count == 1 else f"{count} columns are"
    sentences = [f"{known} known from public requests for {event}."]
    if event in _PAYMENTS:
        sentences.append("None is known to hold an amount or a currency.")
    sentences.append("Others can be typed: MyTracker's documentation lists them.")
    if _is_of_users(event):
        sentences.append(f"{event} counts by user: select {_USER}.")
    return " ".join(sentences)
