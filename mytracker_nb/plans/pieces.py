"""What a plan keeps in mind while it runs: its pieces on their way, and the service's queue."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mytracker_nb import clock
from mytracker_nb.client.export import Export
from mytracker_nb.display.plan_card import PieceState
from mytracker_nb.plans.splitting import Piece
from mytracker_nb.service.retry import backoff

__all__ = ["QueueEstimate", "Task"]


@dataclass(eq=False)
class Task:
    """One piece on its way.

    Attributes
    ----------
    piece : Piece
        What of the request.
    state : PieceState
        Where it stands.
    export : Export or None
        The export that was made or adopted for it.
    error : Exception or None
        Why it is held.
    adoption_checked : bool
        Whether an earlier export was looked for, to be adopted.
    is_adopted : bool
        Whether `export` is an earlier one of the same request.
    force_new : bool
        Whether it shall be made anew whatever there is.
    halves : tuple of Task
        What stands in its place, where it proved too large.
    next_poll_at : float
        When to look at its export next, or to ask for one (of the monotonic clock).
    pauses : iterator of float
        Seconds to leave after each look.
    """

    piece: Piece
    state: PieceState = PieceState.WAITING
    export: Export | None = None
    error: Exception | None = None
    adoption_checked: bool = False
    is_adopted: bool = False
    force_new: bool = False
    halves: tuple[Task, ...] = ()
    next_poll_at: float = 0.0
    pauses: Iterator[float] = field(default_factory=backoff)

    def leaves(self) -> Iterator[Task]:
        """It, or what stands in its place, in order."""
        if not self.halves:
            yield self
        for half in self.halves:
            yield from half.leaves()

    def fail(self, state: PieceState, error: Exception) -> None:
        """Do nothing more for it until the user says so."""
        self.state, self.error = state, error


@dataclass
class QueueEstimate:
    """What is known of the service's queue of exports.

    Attributes
    ----------
    places : int or None
        How many exports of the plan may be in progress; None while nothing is known against more.
    retry_at : float
        When to try beyond `places` (of the monotonic clock), where exports of others take places:
        they come to an end unseen.
    pauses : iterator of float
        Seconds between two such tries.
    """

    places: int | None = None
    retry_at: float = math.inf
    pauses: Iterator[float] = field(default_factory=backoff)

    def has_place(self, running: int) -> bool:
        """Whether to ask for one more beside `running` of the plan's own."""
        return self.places is None or running < self.places or clock.monotonic() >= self.retry_at

    def on_accepted(self, running: int) -> None:
        """One more was let in, with which `running` are in progress."""
        if self.places is not None and running > self.places:
            self.places, self.retry_at = None, math.inf
        self.pauses = backoff()

    def on_rejected(self, running: Sequence[int], filling: Sequence[int]) -> None:
        """There was no place beside `running`; the service says that `filling` fill it."""
        self.places = len(running)
        # where the service does not say who fills it, it may be anyone
        by_others = not running or not set(running).issuperset(filling) or not filling
        self.retry_at = clock.monotonic() + next(self.pauses) if by_others else math.inf
