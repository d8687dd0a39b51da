"""The progress of an export or a plan as lines of text, where no card can change in place."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mytracker_nb.service.retry import WaitEvent, WaitKind

__all__ = ["ProgressLines"]


class ProgressLines:
    """Prints how far something is, when that changes, and each reason for a wait once.

    In a terminal each line of progress replaces the one before; in a file or a log each has a place
    of its own.

    Parameters
    ----------
    state : callable
        Returns how far it is, on one line.
    in_place : bool, optional
        Whether a line can be replaced; None: in a terminal.
    """

    def __init__(self, state: Callable[[], str], in_place: bool | None = None) -> None:
        self._state = state
        self._in_place = sys.stdout.isatty() if in_place is None else in_place
        self._waits: set[tuple[WaitKind, type | None]] = set()
        self._last = ""
        self._width = 0  # of the line that the next one replaces
        self._lock = threading.Lock()  # a plan reports from several threads

    @contextmanager
    def shown(self) -> Iterator[ProgressLines]:
        """Take the last line away at the end, as what follows shows how it ended."""
        try:
            yield self
        finally:
            with self._lock:
                self._replace("", end="")

    def show_wait(self, event: WaitEvent) -> None:
        """Print the reason for a wait; without a reason, the state."""
        if not event.text:
            self.show()
            return
        with self._lock:
            if (reason := (event.kind, type(event.error))) not in self._waits:
                self._waits.add(reason)
                self._replace(f"MyTracker: {event.text}", end="\n")

    def show(self) -> None:
        """Print the state, if it is another than the last."""
        with self._lock:
            line = f"MyTracker: {self._state()}"
            if line != self._last:
                self._last = line
                self._replace(line, end="" if self._in_place else "\n")

    def _replace(self, line: str, end: str) -> None:
        if self._width:
            # overwritten with spaces: not every console knows the code that clears a line
            print(f"\r{' ' * self._width}\r", end="")
        self._width = 0 if end else len(line)
        print(line, end=end, flush=True)
