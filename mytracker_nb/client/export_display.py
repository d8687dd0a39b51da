"""`ExportDisplay`: where an export is shown, its current wait and the progress of its download."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakMethod

from mytracker_nb import clock
from mytracker_nb.display.card_buttons import LEFTOVER, CardButtons
from mytracker_nb.display.export_card import Card, Download
from mytracker_nb.display.live_output import CardDisplay, keep_alive
from mytracker_nb.errors import MyTrackerError
from mytracker_nb.service.retry import WaitEvent

__all__ = ["ExportDisplay"]

_CHECK_AGAIN = 5.0  # seconds between two checks whether a cell still waits for the export
_SHOW_AFTER = 1.0  # seconds of downloading before a card appears for its progress


class ExportDisplay(CardDisplay):
    """Where an export is shown, its current wait and the progress of its download.

    Several threads change it: the one that waits for the export, those that download its files, and
    the one that updates cards. Each replaces whole values, and the card is drawn from the values of
    that moment.

    Parameters
    ----------
    draw : callable
        Returns the current card.
    cancel : callable, optional
        Asks the service to cancel the export; for the button below the card.

    Attributes
    ----------
    download : Download or None
        The progress, while files are downloaded.
    """

    def __init__(
        self, draw: Callable[[], Card], cancel: Callable[[], object] | None = None
    ) -> None:
        super().__init__(draw)
        self._draw_card, self._cancel = draw, cancel
        self._buttons: CardButtons | None = None
        self._is_cancelling = False
        self._refusal = ""
        self.download: Download | None = None
        self._download_began = 0.0
        self._waiting: tuple[float, WaitEvent] | None = None
        self._error = ""
        self._waiters = 0
        self._steps: Iterator[WaitEvent] = iter(())
        self._is_finished: Callable[[], bool] = lambda: True

    @property
    def waiting_for(self) -> str:
        """What delays the export now; ``""`` if nothing does."""
        return self._error or (self.waiting.text if self.waiting else "")

    @property
    def waiting(self) -> WaitEvent | None:
        """The current wait; None if it is over, or if nothing delays the export."""
        if self._waiting is None:
            return None
        end, event = self._waiting
        # use the clock, because threads that download files do not report the end of a wait
        return event if event.text and clock.monotonic() < end else None

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the card: what delays the export, and why it was not cancelled."""
        return tuple(filter(None, (self.waiting_for, self._refusal)))

    def show_wait(self, event: WaitEvent | None) -> None:
        """Show a wait; None ends it."""
        self._error = ""
        self._waiting = None if event is None else (clock.monotonic() + event.seconds, event)
        self.update()

    def show_progress(
        self, bytes_done: int, bytes_total: int | None, files_done: int, files_total: int
    ) -> None:
        """Show the progress of the download."""
        now = clock.monotonic()
        if self.download is None:
            self._download_began = now
        self.download = Download(files_done, files_total, bytes_done, bytes_total)
        if files_done == files_total:
            self.download = self._waiting = None
        elif now - self._download_began > _SHOW_AFTER and _is_main_thread():
            self.show()
            return
        self.update()

    @contextmanager
    def waited_for(self, is_finished: bool) -> Iterator[None]:
        """Show the export while a cell waits for it; the card's own thread does not poll then."""
        if not is_finished:
            self.show()
        self._waiters += 1
        try:
            yield
        finally:
            self._waiters -= 1
            self.show_wait(None)

    # The buttons.

    def below(self) -> dict[str, Any]:
        """The buttons."""
        if self._buttons is None:
            # widgets live as long as the kernel; a strong reference would keep the export alive
            clicked = WeakMethod(self._cancel_clicked)
            self._buttons = CardButtons(lambda: (call := clicked()) and call())
        # redraw the card, which now hides what a saved notebook shows in place of the buttons
        self.update()
        return self._buttons.bundle()

    def update(self) -> None:
        """Update the card and its buttons wherever they are shown."""
        super().update()
        if (buttons := self._buttons) is not None:
            buttons.show(self._draw_card(), is_cancelling=self._is_cancelling)

    def drop(self, cell: str | None, execution: int) -> None:
        """Note that `cell` no longer shows the card."""
        super().drop(cell, execution)
        if not self.is_shown and self._buttons is not None:
            self._buttons.close()
            self._buttons = None

    def _bundle(self) -> dict[str, str]:
        bundle = super()._bundle()
        if self._buttons is not None:
            bundle["text/html"] += LEFTOVER
        return bundle

    def _cancel_clicked(self) -> None:
        """Cancel on a thread of its own: the call can take seconds, and the kernel stays free."""
        if self._is_cancelling or self._cancel is None:
            return
        self._is_cancelling, self._refusal = True, ""
        self.update()
        threading.Thread(target=self._cancel_now, name="mytracker-cancel", daemon=True).start()

    def _cancel_now(self) -> None:
        assert self._cancel is not None
        try:
            self._cancel()
        except MyTrackerError as error:
            self._refusal = f"not cancelled: {error}"
        finally:
            self._is_cancelling = False
            self.update()

    def live(self, steps: Iterator[WaitEvent], is_finished: Callable[[], bool]) -> None:
        """Update the card in the background until `steps` end."""
        self._steps, self._is_finished = steps, is_finished
        keep_alive(self, self._step)

    def _step(self) -> float | None:
        """Poll once for the card; return the seconds until the next poll, None at the end."""
        if self._waiters and not self._is_finished():
            return _CHECK_AGAIN  # the cell that waits polls, and updates the card
        try:
            event = next(self._steps, None)
        except MyTrackerError as error:
            self._error = f"no longer updated: {error}"
            self.update()
            return None
        return event.seconds if event else None


def _is_main_thread() -> bool:
    """Whether this is the thread that runs cells: only its output belongs to a cell."""
    return threading.current_thread() is threading.main_thread()
