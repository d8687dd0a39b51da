"""Misspelt magics and options, met with the nearest that there is."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable

from IPython.core.error import InputRejected
from IPython.core.interactiveshell import InteractiveShell

from mytracker_nb.errors import MyTrackerError

__all__ = ["MagicNames", "UnknownMagic", "nearest"]

_PREFIX = "mytracker_"
_CALLS = {"run_line_magic": ("%", "line"), "run_cell_magic": ("%%", "cell")}


class UnknownMagic(MyTrackerError, InputRejected):
    """A cell names a magic of ours that there is not; nothing of the cell was run."""


class MagicNames(ast.NodeTransformer):
    """Refuses cells with a misspelt ``%mytracker_`` magic: a transformer for a shell's code.

    Parameters
    ----------
    shell : InteractiveShell
        Whose magics are known.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Look at a call: IPython turns a magic into one of its own before it reads the cell.

        Raises
        ------
        UnknownMagic
            If it is a magic of ours that there is not.
        """
        if isinstance(node.func, ast.Attribute) and node.func.attr in _CALLS and node.args:
            sign, kind = _CALLS[node.func.attr]
            name = getattr(node.args[0], "value", None)
            known = self._shell.magics_manager.magics[kind]
            if isinstance(name, str) and name.startswith(_PREFIX) and name not in known:
                ours = [f"{sign}{magic}" for magic in known if magic.startswith(_PREFIX)]
                near = ", ".join(nearest(f"{sign}{name}", ours))
                raise UnknownMagic(f"there is no {sign}{name}; the nearest known: {near}")
        return self.generic_visit(node)


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """The one of `known` that `word` was meant to be, or all where none is near."""
    known = list(known)
    return difflib.get_close_matches(word, known, n=1, cutoff=0.7) or known
