"""A few things at once: files side by side, and the next piece while this one is worked on."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from contextlib import closing
from typing import Any, TypeVar

from mytracker_nb.service.stopping import Stop, Stopped

__all__ = ["ahead", "run_all", "until"]

_T = TypeVar("_T")
_TICK = 0.1  # seconds between two looks at how far things are
_GRACE = 2.0  # seconds that work has to end in, once it is stopped; it is left alone afterwards


def ahead(items: Iterable[_T], depth: int = 1) -> Generator[_T, None, None]:
    """The same items in order; up to `depth` of them are made ahead, on another thread."""
    ready: queue.Queue[tuple[bool, Any]] = queue.Queue(depth)
    closed = Stop()

    def work() -> None:
        last: tuple[bool, Any] = (False, None)
        try:
            with closed.governing():
                for item in items:
                    ready.put((True, item))
                    if closed.is_set():
                        break
        except BaseException as error:
            last = (False, error)
        finally:
            if isinstance(items, Generator):
                items.close()
            if not closed.is_set():
                ready.put(last)

    run = contextvars.copy_context().run
    thread = threading.Thread(target=run, args=[work], name="mytracker-ahead", daemon=True)
    with closed.linked():
        thread.start()
        try:
            while True:
                good, item = _next_of(ready, thread)
                if good:
                    yield item
                elif item is None:
                    return
                else:
                    raise item
        finally:
            closed.set()
            _end(thread, ready)


def _next_of(ready: queue.Queue[tuple[bool, Any]], thread: threading.Thread) -> tuple[bool, Any]:
    while True:
        try:
            return ready.get(timeout=1.0)
        except queue.Empty:
            # stopped from outside it ends without a word
            if not thread.is_alive() and ready.empty():
                return False, Stopped("stopped")


def _end(thread: threading.Thread, ready: queue.Queue[Any]) -> None:
    """Wait for a thread that was stopped; it may be waiting for a place in the queue."""
    for _ in range(int(_GRACE / 0.01)):
        if not thread.is_alive():
            return
        try:
            ready.get(timeout=0.01)
        except queue.Empty:
            continue


def until(stop: Stop, items: Generator[_T, None, None]) -> Generator[_T, None, None]:
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


def run_all(
    work: Callable[[int], _T],
    count: int,
    *,
    threads: int,
    stop: Stop,
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
    stop : Stop
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
    numbers = iter(range(count))  # of which each is taken once
    futures: list[Future[_T]] = [Future() for _ in range(count)]

    def run() -> None:
        with stop.governing():
            for number in numbers:
                if stop.is_set():
                    futures[number].cancel()
                # a cancelled future counts as done only once its end was announced like this
                if not futures[number].set_running_or_notify_cancel():
                    continue
                try:
                    futures[number].set_result(work(number))
                except BaseException as error:
                    futures[number].set_exception(error)

    # Threads that do not keep the process from ending, unlike those of an executor: one that waits
    # where nothing can end it, as for the name of a host, is left alone.
    workers = [
        threading.Thread(target=run, name=f"mytracker-{number}", daemon=True)
        for number in range(max(1, min(threads, count)))
    ]
    with stop.linked():
        for worker in workers:
            worker.start()
        waiting = set(futures)
        try:
            while waiting:
                done, waiting = wait(waiting, _TICK, FIRST_EXCEPTION)
                if tick:
                    tick()
                if not go_on and any(_failed(future) for future in done):
                    break
        finally:
            if waiting:
                stop.set()
                wait(waiting, _GRACE)
    return _results(futures)


def _failed(future: Future[Any]) -> bool:
    return future.cancelled() or future.exception() is not None


def _results(futures: Sequence[Any]) -> list[Any]:
    errors = [
        error
        for future in futures
        if future.done() and not future.cancelled() and (error := future.exception()) is not None
    ]
    for error in sorted(errors, key=lambda error: isinstance(error, Stopped)):
        raise error
    if not all(future.done() and not future.cancelled() for future in futures):
        raise Stopped("stopped")
    return [future.result() for future in futures]
