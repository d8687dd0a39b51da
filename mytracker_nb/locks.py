"""Locks that survive `os.fork`, which copies the memory, but only the thread that forks.

`multiprocessing` forks on Linux up to Python 3.13, for example while the thread of the cards polls.
"""

from __future__ import annotations

import os
import weakref
from typing import Any, TypeVar

__all__ = ["fork_safe", "holding_back_forks"]

_Lock = TypeVar("_Lock")

_LONGEST_WAIT = 10.0  # seconds for which a fork is held back


def fork_safe(lock: _Lock) -> _Lock:
    """Let a lock be free in a forked process.

    If another thread held it at the fork, it would stay locked there forever. The guarded data must
    be usable in the middle of a change, and the thread that forks must not hold the lock.

    Parameters
    ----------
    lock : threading.Lock or threading.RLock
        A new lock. It stays a plain lock: an interrupt can't come between acquiring it and the
        ``with`` block, as it could if Python code acquired it.

    Returns
    -------
    threading.Lock or threading.RLock
        The same.
    """
    _all.add(lock)
    return lock


def holding_back_forks(lock: _Lock) -> _Lock:
    """Like `fork_safe`, but a fork waits for the lock: its data must not be copied during a change.

    Parameters
    ----------
    lock : threading.Lock
        A new lock of a module, which is held briefly.
    """
    held: Any = fork_safe(lock)
    taken: list[bool] = []

    def after_in_parent() -> None:
        if taken.pop():
            held.release()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=lambda: taken.append(held.acquire(timeout=_LONGEST_WAIT)),
            after_in_parent=after_in_parent,
            after_in_child=taken.clear,
        )
    return lock


_all: weakref.WeakSet[Any] = weakref.WeakSet()


def _after_fork() -> None:
    for lock in list(_all):
        lock._at_fork_reinit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
