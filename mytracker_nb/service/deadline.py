"""`Deadline`: ends a request that takes too long, and reports before that it takes long.

It counts real seconds, not those of `mytracker_nb.clock`: it is there for what another machine
does, which no test can speed up. One thread for each request waits for both moments.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Deadline"]


class Deadline:
    """When a request has to end; it can be moved at any time.

    Parameters
    ----------
    seconds : float
        The time from now on that the request may take.
    slow_after : float
        The time in seconds after which it is slow.
    on_slow : callable, optional
        Called once if it is slow and may still take longer, on another thread.
    """

    def __init__(
        self,
        seconds: float,
        *,
        slow_after: float = 0.0,
        on_slow: Callable[[], object] | None = None,
    ) -> None:
        self._changed = threading.Condition()
        self._is_over = False
        self._wakes_at = 0.0
        self._slow_at = time.monotonic() + slow_after
        self._on_slow = on_slow if slow_after < seconds else None
        self.move(seconds, f"no complete response within {seconds:.0f} s")

    def move(self, seconds: float, reason: str = "") -> None:
        """Set another deadline.

        Parameters
        ----------
        seconds : float
            The time from now on; infinity for none.
        reason : str
            What the request is ended with.
        """
        with self._changed:
            self._end, self._reason = time.monotonic() + seconds, reason
            # the thread that waits for an earlier moment finds out by itself: waking it for each
            # block of a file would take longer than some blocks
            if self._end < self._wakes_at:
                self._changed.notify()

    @contextmanager
    def watching(self, end: Callable[[str], object]) -> Iterator[None]:
        """Call `end` with the reason, once the deadline is over during the ``with`` block.

        Parameters
        ----------
        end : callable
            Called on another thread; it must not wait.
        """
        thread = threading.Thread(
            target=self._watch, args=[end], name="mytracker-deadline", daemon=True
        )
        try:
            thread.start()
            yield
        finally:
            with self._changed:
                self._is_over = True
                self._changed.notify()
            if thread.is_alive():  # not if its start was interrupted
                thread.join()  # what it reports later would be shown for good

    def _watch(self, end: Callable[[str], object]) -> None:
        try:
            if self._on_slow and self._lasts_until(lambda: self._slow_at):
                self._on_slow()
        finally:
            if self._lasts_until(lambda: self._end):
                end(self._reason)

    def _lasts_until(self, moment: Callable[[], float]) -> bool:
        """Wait for a moment, which may be moved; False if the request ends before."""
        with self._changed:
            while not self._is_over:
                self._wakes_at = moment()
                left = self._wakes_at - time.monotonic()
                if left <= 0:
                    return True
                self._changed.wait(min(left, threading.TIMEOUT_MAX))
            return False
