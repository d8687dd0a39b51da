"""`QueueEstimate`: how many exports of a plan fit in the service's export queue."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mytracker_nb import clock
from mytracker_nb.service.retry import backoff

__all__ = ["QueueEstimate"]


@dataclass
class QueueEstimate:
    """An estimate of the free places in the service's export queue, whose length is unknown.

    Attributes
    ----------
    places : int or None
        How many exports of the plan fit; None until the service has rejected one.
    retry_at : float
        When to try one more than `places`, by `clock.monotonic`; finite if exports of others are in
        the queue, since the service does not report when these end.
    pauses : iterator of float
        Seconds between two such tries.

    Examples
    --------
    A plan has 3 exports in progress, and its 4th create is rejected because "7, 8, 9" fill the
    queue. If these are its own three, a place becomes free only when one of them ends: ``places``
    is 3 and ``retry_at`` is infinite. If one of them belongs to someone else, it can end at any
    moment: ``places`` is 3, but after a pause a 4th create is tried.
    """

    places: int | None = None
    retry_at: float = math.inf
    pauses: Iterator[float] = field(default_factory=backoff)

    def has_place(self, running: int) -> bool:
        """Whether to submit one more beside `running` of the plan's own."""
        return self.places is None or running < self.places or clock.monotonic() >= self.retry_at

    def on_accepted(self, running: int) -> None:
        """Record an accepted create; `running` exports are now in progress, this one included."""
        if self.places is not None and running > self.places:
            self.places, self.retry_at = None, math.inf
        self.pauses = backoff()

    def on_rejected(self, running: Sequence[int], filling: Sequence[int]) -> None:
        """Record a rejected create beside `running`; the service says `filling` fill the queue."""
        self.places = len(running)
        # if the service does not say which exports fill it, assume others
        by_others = not running or not set(running).issuperset(filling) or not filling
        self.retry_at = clock.monotonic() + next(self.pauses) if by_others else math.inf
