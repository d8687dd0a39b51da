"""Forked processes in tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

__all__ = ["forks", "in_child"]


def forks(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that forks, from a process of several threads."""
    skip = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
    quiet = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
    return skip(quiet(test))


def in_child(work: Callable[[], object], seconds: int = 60) -> int:
    """The exit code of a forked process that does `work`; one that hangs is killed."""
    child = os.fork()
    if not child:
        code = 1
        try:
            signal.alarm(seconds)
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
