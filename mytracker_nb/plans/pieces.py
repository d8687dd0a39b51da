"""The pieces of a plan: in which state each is, and what can become of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from mytracker_nb.client.export import Export
from mytracker_nb.display.plan_card import PieceState
from mytracker_nb.plans.splitting import Piece

__all__ = ["TRANSITIONS", "PieceEvent", "Task"]


class PieceEvent(Enum):
    """What happens to a piece."""

    IN_PROGRESS = "its export is in progress"
    COMPLETED = "its export has completed"
    FETCHED = "its rows are here"
    FAILED = "the service refused it or gave it up, or its files can't be had"
    UNCONFIRMED = "the answer to its create was lost"
    RETRY = "the user asks for it again"
    REFETCH = "its rows are needed once more, elsewhere"


TRANSITIONS: Mapping[tuple[PieceState, PieceEvent], PieceState] = MappingProxyType(
    {
        # A reused export can be finished from the start, so a piece may skip RUNNING.
        (PieceState.WAITING, PieceEvent.IN_PROGRESS): PieceState.RUNNING,
        (PieceState.WAITING, PieceEvent.COMPLETED): PieceState.FETCHING,
        (PieceState.WAITING, PieceEvent.FAILED): PieceState.FAILED,
        (PieceState.WAITING, PieceEvent.UNCONFIRMED): PieceState.UNCONFIRMED,
        (PieceState.RUNNING, PieceEvent.IN_PROGRESS): PieceState.RUNNING,
        (PieceState.RUNNING, PieceEvent.COMPLETED): PieceState.FETCHING,
        (PieceState.RUNNING, PieceEvent.FAILED): PieceState.FAILED,
        (PieceState.FETCHING, PieceEvent.FETCHED): PieceState.DONE,
        (PieceState.FETCHING, PieceEvent.FAILED): PieceState.FAILED,
        (PieceState.DONE, PieceEvent.REFETCH): PieceState.FETCHING,
        # Nothing happens by itself to what failed; KEPT pieces are never touched at all.
        (PieceState.FAILED, PieceEvent.RETRY): PieceState.WAITING,
        (PieceState.FAILED, PieceEvent.REFETCH): PieceState.FETCHING,
        (PieceState.UNCONFIRMED, PieceEvent.RETRY): PieceState.WAITING,
    }
)
"""What a piece is after an event; what is not here cannot happen.

A piece that proves too large leaves the table: `Task.halves` replace it, and wait.
"""


@dataclass(eq=False)
class Task:
    """One piece, and how far it is.

    Attributes
    ----------
    piece : Piece
        What of the request.
    state : PieceState
        Its state; changed by `apply` alone.
    export : Export or None
        The export that was made or reused for it.
    error : Exception or None
        Why it failed; of a waiting piece, why it was not sent yet.
    adoption_checked : bool
        Whether an earlier export was looked for, to be reused.
    is_adopted : bool
        Whether `export` is an earlier one of the same request.
    force_new : bool
        Whether to make a new export whatever there is.
    halves : tuple of Task
        What replaces it, where it proved too large.
    """

    piece: Piece
    state: PieceState = PieceState.WAITING
    export: Export | None = None
    error: Exception | None = None
    adoption_checked: bool = False
    is_adopted: bool = False
    force_new: bool = False
    halves: tuple[Task, ...] = ()

    def leaves(self) -> Iterator[Task]:
        """It, or what replaces it, in order."""
        if not self.halves:
            yield self
        for half in self.halves:
            yield from half.leaves()

    def apply(self, event: PieceEvent, error: Exception | None = None) -> None:
        """Go into the next state.

        Raises
        ------
        KeyError
            If `event` can't happen in this state.
        """
        self.state, self.error = TRANSITIONS[self.state, event], error

    def start_over(self) -> None:
        """Submit it again, as a new export."""
        self.apply(PieceEvent.RETRY)
        self.export, self.adoption_checked, self.force_new = None, False, True
