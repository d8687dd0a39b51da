"""The code that runs a magic: a cell, or a function that a cell calls."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

__all__ = ["Caller", "find_caller"]

_RUNNERS = {"run_line_magic", "run_cell_magic"}


@dataclass(frozen=True)
class Caller:
    """The code that runs a magic.

    Attributes
    ----------
    names : mapping
        The variables that it sees.
    is_function : bool
        Whether it is a function, whose variables a magic can't assign.
    """

    names: Mapping[str, Any]
    is_function: bool = False


def find_caller(shell: InteractiveShell) -> Caller:
    """The code that runs the magic from which this is called.

    IPython gives a line magic the variables of its function, but a cell magic those of the
    notebook, whoever runs it. So the frame is looked for here, for both.
    """
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_code.co_name not in _RUNNERS:
        frame = frame.f_back
    caller = frame.f_back
    if caller is None:  # the magic was called as a plain method
        return Caller(shell.user_ns)
    names = {**shell.user_ns, **caller.f_globals, **caller.f_locals}
    return Caller(names, bool(caller.f_code.co_flags & inspect.CO_OPTIMIZED))
