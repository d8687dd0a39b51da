"""Until when each part of a dataset is known, and what brings it up to date.

A dataset is a set of exports. Each covers a window of event time and, of the rows in it, those that
appeared in the system after one second, up to another: a rectangle. Together the rectangles of a
window begin without a bound and follow one another, so that each row is in exactly one:

    availability
      T2 |  [ late rows since T1 of 1 to 31 ]  [ 32 ]
      T1 |  [   1 to 30    ]  [ 31 ]
         +------------------------------------------- event time

A day later, one export of what appeared after T2 in days 1 to 32 brings all of it to T3. Nothing
here talks to the service or to a disk.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from mytracker_nb.plans.splitting import FilterParts, Piece, Window, cut, uncovered
from mytracker_nb.request.availability import Availability
from mytracker_nb.request.request import ExportRequest

__all__ = ["Known", "Work", "continues", "known", "overlap", "replaces", "work"]


class Known(NamedTuple):
    """A window whose rows are known until one second.

    Attributes
    ----------
    filters : tuple
        The part of the filters that were cut.
    window : Window
        Of event time.
    until : int
        The last second (Unix time) of availability.
    """

    filters: FilterParts
    window: Window
    until: int


class Work(NamedTuple):
    """What brings a dataset up to date.

    Attributes
    ----------
    fetch : list of Piece
        What to export: windows that are missing, late rows of the others.
    keep : list of Piece
        What is up to date, for the card.
    """

    fetch: list[Piece]
    keep: list[Piece]


def known(pieces: Iterable[Piece]) -> list[Known]:
    """Until when each window is known, neighbours that are known until the same second in one.

    Parameters
    ----------
    pieces : iterable of Piece
        What the exports of a dataset cover; all have an ``availability.until``.
    """
    painted: dict[FilterParts, list[tuple[Window, int]]] = {}
    # the later ones paint over the earlier ones, which they continue
    for piece in sorted(pieces, key=lambda piece: piece.availability.until or 0):
        regions = painted.setdefault(piece.filters, [])
        rest = [
            (left, until) for window, until in regions for left in uncovered(window, [piece.window])
        ]
        painted[piece.filters] = [*rest, (piece.window, piece.availability.until or 0)]
    return [
        Known(filters, window, until)
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


def work(
    request: ExportRequest,
    every: int | None,
    sound: Iterable[Piece],
    lost: Iterable[Piece],
    until: int,
) -> Work:
    """What to export so that everything is known until one second.

    Parameters
    ----------
    request : ExportRequest
        What is wanted; the dataset may hold other windows of it, which are brought up to date too.
    every : int or None
        The length of windows that are missing, as for `cut`. Late rows of neighbouring windows
        that are known until the same second are one export, however long they are together.
    sound : iterable of Piece
        What the dataset has.
    lost : iterable of Piece
        What it has to fetch once more, as a file is damaged or nobody knows until when it is known.
    until : int
        The second.
    """
    lost = [
        piece
        if piece.availability.until
        else replace(piece, availability=Availability(None, until))
        for piece in lost
    ]
    regions = known([*sound, *lost])
    there = [Piece(request, region.window, region.filters) for region in regions]
    missing = [
        replace(piece, availability=Availability(None, until))
        for piece in cut(request, every, covered=there)
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
    return Work(fetch, keep)


def overlap(one: Piece, other: Piece) -> bool:
    """Whether a row could be in both."""
    return (
        one.filters == other.filters
        and one.window.overlaps(other.window)
        and one.availability.overlaps(other.availability)
    )


def replaces(pieces: Iterable[Piece], old: Piece) -> bool:
    """Whether `pieces` together have all rows of `old`, where they overlap it."""
    return not uncovered(old.window, [piece.window for piece in pieces if overlap(piece, old)])


def continues(piece: Piece, pieces: Iterable[Piece]) -> bool:
    """Whether a piece that overlaps none of `pieces` begins where what they know ends."""
    if piece.availability.after is None:
        return True
    begun = [
        region.window
        for region in known(other for other in pieces if other.filters == piece.filters)
        if region.until == piece.availability.after
    ]
    return not uncovered(piece.window, begun)
