"""Ending work on other threads, what blocks in the system included.

A `Stop` is an event that also calls back: a request that waits for the service ends when it is set
(`mytracker_nb.service.transport`), and so does a pause (`rest`). Work on a thread finds the one
that governs it by itself, so that it need not be handed through every call.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from mytracker_nb import clock
from mytracker_nb.errors import MyTrackerError
from mytracker_nb.locks import fork_safe

__all__ = ["Stop", "Stopped", "current", "rest"]


class Stopped(MyTrackerError):
    """Work ended because other work failed, was interrupted, or ran out of time."""


class Stop(threading.Event):
    """An event that ends the work that it governs."""

    def __init__(self) -> None:
        super().__init__()
        self._callbacks: list[Callable[[], object]] = []
        self._list_lock = fork_safe(threading.Lock())

    def set(self) -> None:
        """End the work; may be called more than once, on any thread."""
        super().set()
        with self._list_lock:
            callbacks = list(self._callbacks)
        for callback in callbacks:
            callback()

    @contextmanager
    def calling(self, callback: Callable[[], object]) -> Iterator[None]:
        """Call back when this is set, for the length of a ``with`` block.

        Parameters
        ----------
        callback : callable
            Called on the thread that sets it, perhaps more than once; it must not wait.
        """
        with self._list_lock:
            self._callbacks.append(callback)
        try:
            if self.is_set():  # perhaps before the callback was on the list
                callback()
            yield
        finally:
            with self._list_lock:
                self._callbacks.remove(callback)

    @contextmanager
    def linked(self) -> Iterator[Stop]:
        """Be set by what governs this thread, too, for the length of a ``with`` block."""
        outer = current()
        with outer.calling(self.set) if outer is not None else nullcontext():
            yield self

    @contextmanager
    def governing(self) -> Iterator[Stop]:
        """Govern what this thread does in a ``with`` block."""
        token = _current.set(self)
        try:
            yield self
        finally:
            _current.reset(token)


_current: contextvars.ContextVar[Stop | None] = contextvars.ContextVar("stop", default=None)


def current() -> Stop | None:
    """What governs the work of this thread, if anything does."""
    return _current.get()


def rest(seconds: float) -> None:
    """Wait, but no longer than the work goes on that this belongs to.

    Raises
    ------
    Stopped
        Once the work is to end.
    """
    stop = current()
    if stop is None:
        clock.sleep(seconds)
    elif clock.wait(stop, seconds):
        raise Stopped("stopped")
