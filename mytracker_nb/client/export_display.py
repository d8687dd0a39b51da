"""`ExportDisplay`: where an export is shown, and what is shown beside its facts.

These are what it waits for at the moment, and how far its files have been fetched.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mytracker_nb import clock
from mytracker_nb.display.export_card import Card, Download
from mytracker_nb.display.live_output import CardDisplay, keep_alive
from mytracker_nb.errors import MyTrackerError
from mytracker_nb.service.retry import WaitEvent

__all__ = ["ExportDisplay"]

_ASIDE = 5.0  # seconds after which a card sees whether its export is still waited for
_SHOW_AFTER = 1.0  # seconds of fetching after which a card shows how far it is


class ExportDisplay(CardDisplay):
    """Where an export is shown, how far its download is, and what it waits for.

    It is changed from several threads: the one that waits for the export, those that fetch its
    files, the one that keeps cards alive. Each of them replaces whole values, and the card is drawn
    from what is there at that moment.

    Parameters
    ----------
    draw : callable
        Gives the card as it is now.

    Attributes
    ----------
    download : Download or None
        How far the files are, while they are fetched.
    """

    def __init__(self, draw: Callable[[], Card]) -> None:
        super().__init__(draw)
        self.download: Download | None = None
        self._download_began = 0.0
        self._waiting: tuple[float, WaitEvent] | None = None
        self._error = ""
        self._waiters = 0
        self._steps: Iterator[WaitEvent] = iter(())
        self._is_finished: Callable[[], bool] = lambda: True

    @property
    def waiting_for(self) -> str:
        """What is waited for at the moment; ``""`` if nothing but the end of the export."""
        return self._error or (self.waiting.text if self.waiting else "")

    @property
    def waiting(self) -> WaitEvent | None:
        """The wait at the moment; None if it is over, or for nothing but the end of the export."""
        if self._waiting is None:
            return None
        end, event = self._waiting
        # by the clock, as threads that fetch files do not say when they go on
        return event if event.text and clock.monotonic() < end else None

    def show_wait(self, event: WaitEvent | None) -> None:
        """Show what is waited for, or that it is over."""
        self._error = ""
        self._waiting = None if event is None else (clock.monotonic() + event.seconds, event)
        self.update()

    def show_progress(
        self, bytes_done: int, bytes_total: int | None, files_done: int, files_total: int
    ) -> None:
        """Show how far the files are."""
        now = clock.monotonic()
        if self.download is None:
            self._download_began = now
        self.download = Download(files_done, files_total, bytes_done, bytes_total)
        if files_done == files_total:
            self.download = None
        elif now - self._download_began > _SHOW_AFTER and _is_main_thread():
            self.show()
            return
        self.update()

    @contextmanager
    def waited_for(self, is_finished: bool) -> Iterator[None]:
        """Show the export while it is waited for; meanwhile the card's own thread stands aside."""
        if not is_finished:
            self.show()
        self._waiters += 1
        try:
            yield
        finally:
            self._waiters -= 1
            self.show_wait(None)

    def live(self, steps: Iterator[WaitEvent], is_finished: Callable[[], bool]) -> None:
        """Keep the card up to date from the background, until `steps` end."""
        self._steps, self._is_finished = steps, is_finished
        keep_alive(self, self._step)

    def _step(self) -> float | None:
        """Look once, for the card; the seconds until the next look, None if it is over."""
        if self._waiters and not self._is_finished():
            return _ASIDE  # whoever waits for it looks, and updates the card
        try:
            event = next(self._steps, None)
        except MyTrackerError as error:
            self._error = f"no longer followed: {error}"
            self.update()
            return None
        return event.seconds if event else None


def _is_main_thread() -> bool:
    """Whether this is the thread of the notebook's cells: what it shows has a place."""
    return threading.current_thread() is threading.main_thread()
