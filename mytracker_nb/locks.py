"""Locks and `os.fork`, which copies the memory but no thread except the one that forks.

`multiprocessing` forks on Linux up to Python 3.13, while the thread of the cards polls, say.
"""

from __future__ import annotations

import os
import weakref
from typing import Any, TypeVar

__all__ = ["fork_safe", "holding_back_forks"]

_Lock = TypeVar("_Lock")

_LONGEST_WAIT = 10.0  # seconds for which a fork is held back


def fork_safe(lock: _Lock) -> _Lock:
    """Let a lock be free in a process that is forked.

    One that another thread held at that moment would be held there for ever. What it guards must be
    usable half way through a change, and nobody may fork who holds it.

    Parameters
    ----------
    lock : threading.Lock or threading.RLock
        A new one. It stays a plain lock: an interrupt never comes between taking it and the
        ``with`` block, as it could if it were taken by code in Python.

    Returns
    -------
    threading.Lock or threading.RLock
        The same.
    """
    _all.add(lock)
    return lock


def holding_back_forks(lock: _Lock) -> _Lock:
    """`fork_safe`, for a lock that guards what must not be copied half way: a fork waits for it.

    Parameters
    ----------
    lock : threading.Lock
        A new one, of a module. It is to be held for moments.
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
