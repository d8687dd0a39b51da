"""A few things at once: files side by side, and the next piece while this one is worked on."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import closing
from typing import Any, TypeVar

from mytracker_nb import clock
from mytracker_nb.errors import MyTrackerError

__all__ = ["Stopped", "ahead", "rest", "run_all", "until"]

_T = TypeVar("_T")
_TICK = 0.1  # seconds between two looks at how far things are
_stop: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar("stop", default=None)


class Stopped(MyTrackerError):
    """Work was given up because other work failed or was interrupted."""


def ahead(items: Iterable[_T], depth: int = 1) -> Generator[_T, None, None]:
    """The same items in order; up to `depth` of them are made ahead, on another thread."""
    ready: queue.Queue[tuple[bool, Any]] = queue.Queue(depth)
    closed = threading.Event()

    def work() -> None:
        try:
            for item in items:
                ready.put((True, item))
                if closed.is_set():
                    break
            ready.put((False, None))
        except BaseException as error:
            ready.put((False, error))
        finally:
            if isinstance(items, Generator):
                items.close()

    run = contextvars.copy_context().run
    thread = threading.Thread(target=run, args=[work], name="mytracker-ahead", daemon=True)
    thread.start()
    try:
        while True:
            good, item = ready.get()
            if good:
                yield item
            elif item is None:
                return
            else:
                raise item
    finally:
        closed.set()
        while thread.is_alive():
            # It may be waiting for a place in the queue.
            try:
                ready.get(timeout=0.01)
            except queue.Empty:
                continue


def until(stop: threading.Event, items: Generator[_T, None, None]) -> Generator[_T, None, None]:
    """The items, until `stop` is set.

    Raises
    ------
    Stopped
        Once it is.
    """
    with closing(items):
        for item in items:
            if stop.is_set():
                raise Stopped("stopped")
            yield item


def rest(seconds: float) -> None:
    """Sleep; within the work of `run_all` no longer than that goes on.

    Raises
    ------
    Stopped
        Once the work is given up.
    """
    stop = _stop.get()
    if stop is None:
        clock.sleep(seconds)
    elif clock.wait(stop, seconds):
        raise Stopped("stopped")


def run_all(
    work: Callable[[int], _T],
    count: int,
    *,
    threads: int,
    stop: threading.Event,
    tick: Callable[[], None] | None = None,
    go_on: bool = False,
) -> list[_T]:
    """Do ``work(0)`` to ``work(count - 1)`` on a few threads.

    Parameters
    ----------
    work : callable
        Takes its number; has to end soon after `stop` is set.
    count : int
        How many there are.
    threads : int
        The most that run at once.
    stop : threading.Event
        Set when one has failed, or when this call is interrupted.
    tick : callable, optional
        Called on the caller's own thread ten times a second, and at the end.
    go_on : bool
        Whether the others are still done after one has failed.

    Returns
    -------
    list
        What each returned, in order.

    Raises
    ------
    Exception
        What the first of them, in order, raised.
    """

    def begin() -> None:
        _stop.set(stop)

    with ThreadPoolExecutor(max(1, min(threads, count)), "mytracker", begin) as pool:
        futures = [pool.submit(work, number) for number in range(count)]
        try:
            waiting = set(futures)
            while waiting:
                done, waiting = wait(waiting, _TICK, FIRST_EXCEPTION)
                if tick:
                    tick()
                if not go_on and any(future.exception() for future in done):
                    break
        finally:
            if waiting:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
    return _results(futures)


def _results(futures: Sequence[Any]) -> list[Any]:
    errors = [
        error
        for future in futures
        if not future.cancelled() and (error := future.exception()) is not None
    ]
    for error in sorted(errors, key=lambda error: isinstance(error, Stopped)):
        raise error
    return [future.result() for future in futures]
