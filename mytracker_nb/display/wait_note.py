"""`waits_shown`: says in a notebook what a call waits for that shows no card."""

from __future__ import annotations

import html
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mytracker_nb import clock, wording
from mytracker_nb.display.live_output import CardDisplay
from mytracker_nb.service.retry import WaitEvent, waits_reported

__all__ = ["waits_shown"]

_LONG = 3.0  # seconds; a shorter wait needs no explanation


@contextmanager
def waits_shown() -> Iterator[None]:
    """Show the long waits of a ``with`` block in the cell that is running, in one line.

    The line changes with each wait, and in the end says how long it took. Other threads have no
    cell, and outside of a notebook the log has the waits.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    note = _WaitNote()
    with waits_reported(note.show):
        try:
            yield
        finally:
            note.end()


class _WaitNote:
    """The line, and where it is shown."""

    def __init__(self) -> None:
        self._display = CardDisplay(lambda: self)
        self._began = clock.monotonic()
        self._text = ""
        self._waited_for = ""

    def show(self, event: WaitEvent) -> None:
        """Show a wait, if it is long or follows others."""
        waited = clock.monotonic() - self._began
        if event.text and waited + event.seconds >= _LONG:
            self._text = f"MyTracker: {event.text}"
            reason = event.text.removeprefix("waiting")
            self._waited_for = reason if event.error is None else f": {event.error}"
            self._display.show()

    def end(self) -> None:
        """Say how long it took."""
        if self._text:
            waited = wording.duration(clock.monotonic() - self._began)
            self._text = f"MyTracker: waited {waited}{self._waited_for}"
            self._display.update()

    def html(self) -> str:
        """The line for a notebook."""
        return f"<div>{html.escape(self._text)}</div>"

    def text(self) -> str:
        """The line as text."""
        return self._text
