"""Threads for reading files: several files at the same time, and the next block in advance."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from contextlib import closing
from typing import Any, TypeVar

from mytracker_nb.service.stopping import Stop, Stopped

__all__ = ["prefetch", "run_all", "until_stopped"]

_T = TypeVar("_T")
_TICK = 0.1  # seconds between two reports of progress
_GRACE = 2.0  # seconds to wait for threads that were stopped; after that they are left to end alone


def prefetch(items: Iterable[_T], depth: int = 1) -> Generator[_T, None, None]:
    """The same items in order, up to `depth` of them computed in advance on another thread."""
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
    thread = threading.Thread(target=run, args=[work], name="mytracker-prefetch", daemon=True)
    with closed.linked():
        thread.start()
        try:
            while True:
                is_item, item = _next_of(ready, thread)
                if is_item:
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
            # a thread that another `Stop` has ended puts nothing into the queue
            if not thread.is_alive() and ready.empty():
                return False, Stopped("stopped")


def _end(thread: threading.Thread, ready: queue.Queue[Any]) -> None:
    """Wait for a stopped thread to end; it may be blocked by the full queue, so empty that."""
    for _ in range(int(_GRACE / 0.01)):
        if not thread.is_alive():
            return
        try:
            ready.get(timeout=0.01)
        except queue.Empty:
            continue


def until_stopped(stop: Stop, items: Generator[_T, None, None]) -> Generator[_T, None, None]:
    """Iterate over the items until `stop` is set.

    Raises
    ------
    Stopped
        Once it is set.
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
    continue_on_error: bool = False,
) -> list[_T]:
    """Run ``work(0)`` to ``work(count - 1)`` on a few threads.

    Parameters
    ----------
    work : callable
        Takes the number of the item; must end soon after `stop` is set.
    count : int
        How many items there are.
    threads : int
        How many items are worked on at the same time, at most.
    stop : Stop
        Set if an item fails, or this call is interrupted.
    tick : callable, optional
        Called on the caller's thread ten times a second, and at the end.
    continue_on_error : bool
        Whether to work on the other items after one has failed.

    Returns
    -------
    list
        The results, in order.

    Raises
    ------
    Exception
        The error of the first item that failed, in order.
    """
    numbers = iter(range(count))  # shared by the threads: each number is taken once
    futures: list[Future[_T]] = [Future() for _ in range(count)]

    def run() -> None:
        with stop.governing():
            for number in numbers:
                if stop.is_set():
                    futures[number].cancel()
                # `wait` takes a cancelled future as done only after this call
                if not futures[number].set_running_or_notify_cancel():
                    continue
                try:
                    futures[number].set_result(work(number))
                except BaseException as error:
                    futures[number].set_exception(error)

    # daemon threads, unlike those of an executor, do not keep the process from ending: a thread
    # can block where nothing can stop it, as in a look-up of a host's name
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
                if not continue_on_error and any(_failed(future) for future in done):
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
