"""The code that runs a magic: a cell, or a function that a cell calls."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import FrameType
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
        The variables that are visible to it.
    outer : mapping
        Variables of the functions that called it whose name another visible variable has, too, with
        the name of the function.
    is_function : bool
        Whether it is a function, a class or a module, whose variables a magic can't assign.
    """

    names: Mapping[str, Any]
    outer: Mapping[str, str] = field(default_factory=dict)
    is_function: bool = False

    def evaluate(self, expression: str) -> Any:
        """Evaluate an expression, which is the user's own code.

        Raises
        ------
        Exception
            Any exception of the expression; a NameError for a name in `outer`, which is ambiguous.
        """
        return eval(expression, dict(self.names), _Ambiguous(self.outer))  # noqa: S307


class _Ambiguous(dict[str, str]):
    """Names that are ambiguous, so that using one raises; other names are looked up elsewhere."""

    def __getitem__(self, name: str) -> Any:
        function = super().__getitem__(name)
        raise NameError(
            f"{name} is a variable of {function}() and another one here; hand over its value"
        )


def find_caller(shell: InteractiveShell) -> Caller:
    """Find the code that runs the magic from which this is called.

    IPython passes a line magic the variables of the calling function, but a cell magic only those
    of the notebook. So the frame of the caller is looked up here, for both.
    """
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_code.co_name not in _RUNNERS:
        frame = frame.f_back
    caller = frame.f_back
    if caller is None:  # the magic was called as a plain method
        return Caller(shell.user_ns)
    names = {**shell.user_ns, **caller.f_globals, **caller.f_locals}
    if caller.f_locals is shell.user_ns:
        return Caller(names)
    return Caller(names, _outer(caller, names, shell.user_ns), is_function=True)


def _outer(caller: FrameType, names: Mapping[str, Any], cell: Mapping[str, Any]) -> dict[str, str]:
    """The variables of the functions between a cell and the caller that hide behind others."""
    found: dict[str, str] = {}
    frame = caller.f_back
    while frame is not None and frame.f_locals is not cell:
        for name, value in frame.f_locals.items():
            if name not in caller.f_locals and names.get(name, value) is not value:
                found.setdefault(name, frame.f_code.co_name)
        frame = frame.f_back
    return found if frame is not None else {}  # no cell is running
