"""Stopping work on other threads, including a request that waits for the service.

A `Stop` is an event with callbacks. When it is set, a waiting request is aborted
(`mytracker_nb.service.transport`) and a pause ends (`pause_or_stop`). The `Stop` of a thread is in
a context variable (`current`), so that it need not be passed through every call.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from mytracker_nb import clock
from mytracker_nb.errors import MyTrackerError
from mytracker_nb.locks import fork_safe

__all__ = ["Stop", "Stopped", "current", "pause_or_stop"]


class Stopped(MyTrackerError):
    """Work ended because other work failed, was interrupted, or ran out of time."""


class Stop(threading.Event):
    """An event that stops the work on threads where it is current."""

    def __init__(self) -> None:
        super().__init__()
        self._callbacks: list[Callable[[], object]] = []
        self._list_lock = fork_safe(threading.Lock())

    def set(self) -> None:
        """Stop the work; may be called more than once, on any thread."""
        super().set()
        with self._list_lock:
            callbacks = list(self._callbacks)
        for callback in callbacks:
            callback()

    @contextmanager
    def calling(self, callback: Callable[[], object]) -> Iterator[None]:
        """Call `callback` if this is set during the ``with`` block.

        Parameters
        ----------
        callback : callable
            Called on the thread that sets it, perhaps more than once; it must not wait.
        """
        with self._list_lock:
            self._callbacks.append(callback)
        try:
            if self.is_set():  # it may have been set before the callback was added
                callback()
            yield
        finally:
            with self._list_lock:
                self._callbacks.remove(callback)

    @contextmanager
    def linked(self) -> Iterator[Stop]:
        """Set this too if the thread's current `Stop` is set during the ``with`` block."""
        outer = current()
        with outer.calling(self.set) if outer is not None else nullcontext():
            yield self

    @contextmanager
    def governing(self) -> Iterator[Stop]:
        """Make this the thread's current `Stop` during the ``with`` block."""
        token = _current.set(self)
        try:
            yield self
        finally:
            _current.reset(token)


_current: contextvars.ContextVar[Stop | None] = contextvars.ContextVar("stop", default=None)


def current() -> Stop | None:
    """The `Stop` of this thread; None if it has none."""
    return _current.get()


def pause_or_stop(seconds: float) -> None:
    """Wait for `seconds`, or until the thread's current `Stop` is set.

    Raises
    ------
    Stopped
        If it is set.
    """
    stop = current()
    if stop is None:
        clock.sleep(seconds)
    elif clock.wait(stop, seconds):
        raise Stopped("stopped")
