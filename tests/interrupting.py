"""Interrupts, as by the stop button of a notebook, once something has happened."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interrupted_when(happens: Callable[[], bool]) -> Iterator[None]:
    """Interrupt the main thread, as the stop button does, once something happens."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            if happens():
                _thread.interrupt_main()
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
