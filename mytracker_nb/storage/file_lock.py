"""`locked`: a file lock that processes and threads wait for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["locked"]

_TRY = 0.3  # seconds between two reports of a wait


@contextmanager
def locked(path: Path, on_wait: Callable[[float], None]) -> Iterator[None]:
    """Hold a file lock; the system releases it if the process is killed.

    Parameters
    ----------
    path : Path
        The lock file; it is created if missing.
    on_wait : callable
        Called while another process or thread holds it, with the seconds until the next try.
    """
    from filelock import FileLock, Timeout  # slow: a tenth of the package's import time

    lock = FileLock(path)
    while True:
        try:
            lock.acquire(timeout=_TRY, poll_interval=0.05)
            break
        except Timeout:
            on_wait(_TRY)
        except NotImplementedError:
            # some network drives do not support locks
            yield
            return
    try:
        yield
    finally:
        lock.release()
