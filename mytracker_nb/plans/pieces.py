"""The pieces of a plan: their states, and the transitions between these."""

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
    FETCHED = "its rows are downloaded"
    FAILED = "the service refused it, its export failed, or its files can't be downloaded"
    UNCONFIRMED = "its create got no response"
    RETRY = "the user retries it"
    REFETCH = "its rows are needed again, for another target"


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
        # A failed piece changes only when the user retries it; a KEPT one never changes.
        (PieceState.FAILED, PieceEvent.RETRY): PieceState.WAITING,
        (PieceState.FAILED, PieceEvent.REFETCH): PieceState.FETCHING,
        (PieceState.UNCONFIRMED, PieceEvent.RETRY): PieceState.WAITING,
    }
)
"""The state of a piece after an event; other transitions are not possible.

A piece that is too large has no further state: its `Task.halves` replace it, and start as WAITING.
"""


@dataclass(eq=False)
class Task:
    """A piece and its progress.

    Attributes
    ----------
    piece : Piece
        The part of the request.
    state : PieceState
        Its state; only `apply` changes it.
    export : Export or None
        The export that was created or reused for it.
    error : Exception or None
        Why it failed, or why a waiting piece was not submitted yet.
    adoption_checked : bool
        Whether an earlier export was searched for.
    is_reused : bool
        Whether `export` is an earlier one.
    force_new : bool
        Whether to create a new export even if an earlier one could be reused.
    halves : tuple of Task
        The pieces that replace it if it was too large.
    """

    piece: Piece
    state: PieceState = PieceState.WAITING
    export: Export | None = None
    error: Exception | None = None
    adoption_checked: bool = False
    is_reused: bool = False
    force_new: bool = False
    halves: tuple[Task, ...] = ()

    def leaves(self) -> Iterator[Task]:
        """The task itself, or the halves that replace it, in order."""
        if not self.halves:
            yield self
        for half in self.halves:
            yield from half.leaves()

    def apply(self, event: PieceEvent, error: Exception | None = None) -> None:
        """Change to the next state.

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
