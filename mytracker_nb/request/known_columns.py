"""What is publicly known of the columns of an event, and what is not.

The dictionary of selectors is known in full for customEvents only. Of other events there are
columns that real requests, published by the service and its users, had.
"""

from __future__ import annotations

from functools import cache

from mytracker_nb.endpoints import CREATE_PAGE
from mytracker_nb.request.dictionaries import Selector, dictionary, selectors
from mytracker_nb.request.parameters import PARAMETERS

__all__ = ["columns_seen_with", "event_of_devices", "usual_columns", "what_is_known"]

COMPLETE_FOR = "customEvents"
_ENOUGH = 6
"""Fewer columns than this are those of a single example, not the usual ones."""

_PAYMENTS = PARAMETERS["isVerified"].events or frozenset()

_NO_REVENUE = (
    "No column with the amount or the currency of a payment is publicly known. Look its name up in "
    f"the dictionary of selectors, linked from {CREATE_PAGE}, and use it: a name that is not in "
    "this list is sent with a warning, and its values come as text."
)


def event_of_devices(event: str | None) -> str | None:
    """The event of devices that an event of users counts by user, if `event` is one."""
    folded = {name.casefold(): name for name in dictionary("event")}
    return folded.get((event or "").casefold().removeprefix("user"))


@cache
def columns_seen_with(event: str | None) -> tuple[Selector, ...]:
    """The columns that a real request is known to have had with `event`.

    An event of users (``userSessions``) has those of the same event of devices as well.
    """
    events = {event, event_of_devices(event)}
    return tuple(column for column in selectors().values() if events & column.seen_with)


def usual_columns(event: str | None) -> tuple[Selector, ...]:
    """Those of `columns_seen_with`, if they are enough to be called usual."""
    seen = columns_seen_with(event)
    return seen if len(seen) >= _ENOUGH else ()


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
    return (sentence, _NO_REVENUE) if event in _PAYMENTS else (sentence,)
