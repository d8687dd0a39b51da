"""The progress of an export as lines of text, for terminals and logs."""

from __future__ import annotations

import sys

from mytracker_nb.client.export import Export
from mytracker_nb.client.follow import state_of
from mytracker_nb.service.retry import WaitEvent

__all__ = ["ProgressLines"]


class ProgressLines:
    """Prints the state of an export when it changes.

    In a terminal each line replaces the one before; in a file or a log all lines stay.

    Parameters
    ----------
    export : Export
        The export.
    """

    def __init__(self, export: Export) -> None:
        self._export = export
        self._last = ""
        self._is_open = False

    def show(self, event: WaitEvent) -> None:
        """Print the state, if it has changed."""
        state = event.text or state_of(self._export)
        line = f"MyTracker: export {self._export.id_raw_export}: {state}"
        if line == self._last:
            return
        # \r goes to the beginning of the line, the code after it clears it
        start = "\r\x1b[K" if self._is_open else ""
        self._is_open = sys.stdout.isatty() and not event.text
        print(f"{start}{line}", end="" if self._is_open else "\n", flush=True)
        self._last = line

    def end(self) -> None:
        """Remove the last line from a terminal; the result follows instead."""
        if self._is_open:
            print("\r\x1b[K", end="", flush=True)
            self._is_open = False
