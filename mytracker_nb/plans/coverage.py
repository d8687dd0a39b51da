"""As of when each part of a dataset is complete, and what an update has to export.

A dataset is a set of exports. Each covers a rectangle: a window of event time, and the rows in it
that appeared in the system after one second, up to another. The rectangles of a window follow one
another without a gap, and the first has no lower bound, so that each row is in exactly one:

    availability
      T2 |  [ late rows since T1 of 1 to 31 ]  [ 32 ]
      T1 |  [   1 to 30    ]  [ 31 ]
         +------------------------------------------- event time

A day later, one export of the rows of days 1 to 32 that appeared after T2 makes all of it complete
as of T3. Nothing here sends requests or reads files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from mytracker_nb.plans.splitting import FilterParts, Piece, Window, split_request, uncovered
from mytracker_nb.request.availability import Availability
from mytracker_nb.request.request import ExportRequest

__all__ = [
    "CompleteWindow",
    "Update",
    "complete_windows",
    "continues",
    "overlap",
    "plan_update",
    "replaces",
]


class CompleteWindow(NamedTuple):
    """A window that is complete as of one second.

    Attributes
    ----------
    filters : tuple
        The part of the split filters.
    window : Window
        Of event time.
    until : int
        The last second (Unix time) of availability.
    """

    filters: FilterParts
    window: Window
    until: int


class Update(NamedTuple):
    """What an update of a dataset exports and keeps.

    Attributes
    ----------
    fetch : list of Piece
        What to export: missing windows, and late rows of the others.
    keep : list of Piece
        What is already up to date, for the card.
    """

    fetch: list[Piece]
    keep: list[Piece]


def complete_windows(pieces: Iterable[Piece]) -> list[CompleteWindow]:
    """As of when each window is complete; adjacent windows of the same second are joined.

    Parameters
    ----------
    pieces : iterable of Piece
        The pieces of a dataset; all have an ``availability.until``.
    """
    painted: dict[FilterParts, list[tuple[Window, int]]] = {}
    # in the order of availability: a later piece replaces what it overlaps, which it continues
    for piece in sorted(pieces, key=lambda piece: piece.availability.until or 0):
        regions = painted.setdefault(piece.filters, [])
        rest = [
            (left, until) for window, until in regions for left in uncovered(window, [piece.window])
        ]
        painted[piece.filters] = [*rest, (piece.window, piece.availability.until or 0)]
    return [
        CompleteWindow(filters, window, until)
        for filters, regions in painted.items()
        for window, until in _joined(sorted(regions))
    ]


def _joined(regions: list[tuple[Window, int]]) -> list[tuple[Window, int]]:
    joined: list[tuple[Window, int]] = []
    for window, until in regions:
        if joined and joined[-1][1] == until and joined[-1][0].last + 1 == window.first:
            window = Window(joined.pop()[0].first, window.last)
        joined.append((window, until))
    return joined


def plan_update(
    request: ExportRequest,
    every: int | None,
    intact: Iterable[Piece],
    lost: Iterable[Piece],
    until: int,
) -> Update:
    """What to export so that all windows are complete as of one second.

    Parameters
    ----------
    request : ExportRequest
        The request; other windows of it that the dataset has are updated too.
    every : int or None
        The length of missing windows, as for `split_request`. Late rows of adjacent windows that
        are complete as of the same second are one export, however long these are together.
    intact : iterable of Piece
        The pieces that the dataset has.
    lost : iterable of Piece
        The pieces to export again: a file is damaged, or their availability is not known.
    until : int
        The second.
    """
    lost = [
        piece
        if piece.availability.until
        else replace(piece, availability=Availability(None, until))
        for piece in lost
    ]
    regions = complete_windows([*intact, *lost])
    existing = [Piece(request, region.window, region.filters) for region in regions]
    missing = [
        replace(piece, availability=Availability(None, until))
        for piece in split_request(request, every, covered=existing)
    ]
    late = [
        Piece(request, window, filters, Availability(last, until))
        for filters, window, last in regions
        if last < until
    ]
    fetch = [*missing, *late, *lost]
    keep = [
        Piece(request, window, filters, Availability(None, last))
        for filters, region, last in regions
        if last >= until
        for window in uncovered(region, [p.window for p in lost if p.filters == filters])
    ]
    return Update(fetch, keep)


def overlap(one: Piece, other: Piece) -> bool:
    """Whether a row can be in both pieces."""
    return (
        one.filters == other.filters
        and one.window.overlaps(other.window)
        and one.availability.overlaps(other.availability)
    )


def replaces(pieces: Iterable[Piece], old: Piece) -> bool:
    """Whether the `pieces` that overlap `old` cover its whole window."""
    return not uncovered(old.window, [piece.window for piece in pieces if overlap(piece, old)])


def continues(piece: Piece, pieces: Iterable[Piece]) -> bool:
    """Whether a piece continues `pieces` in availability: without a gap, or without a bound."""
    if piece.availability.after is None:
        return True
    before = [
        region.window
        for region in complete_windows(other for other in pieces if other.filters == piece.filters)
        if region.until == piece.availability.after
    ]
    return not uncovered(piece.window, before)
