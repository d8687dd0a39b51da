"""Acting, such as interrupting, when a condition becomes true."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def acting_when(happens: Callable[[], bool], act: Callable[[], object]) -> Iterator[None]:
    """Act on another thread, once, as soon as something happens within the block."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            if happens():
                act()
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


@contextmanager
def interrupted_when(happens: Callable[[], bool]) -> Iterator[None]:
    """Interrupt the main thread, as the stop button does, once something happens."""
    with acting_when(happens, _thread.interrupt_main):
        yield
