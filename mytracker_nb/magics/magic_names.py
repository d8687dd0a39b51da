"""Unknown ``%mytracker_`` magics: an error with the name that was probably meant."""

from __future__ import annotations

import ast

from IPython.core.error import InputRejected
from IPython.core.interactiveshell import InteractiveShell

from mytracker_nb.errors import MyTrackerError
from mytracker_nb.request.suggestions import closest, did_you_mean, either

__all__ = ["MagicNames", "UnknownMagic"]

_PREFIX = "mytracker_"
_CALLS = {"run_line_magic": ("%", "line"), "run_cell_magic": ("%%", "cell")}


class UnknownMagic(MyTrackerError, InputRejected):
    """A cell has an unknown magic of ours; nothing of the cell was run."""


class MagicNames(ast.NodeTransformer):
    """Rejects cells with an unknown ``%mytracker_`` magic: a transformer for a shell's code.

    Parameters
    ----------
    shell : InteractiveShell
        The shell that has the magics.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Check a call: IPython turns a magic into a call before it parses the cell.

        Raises
        ------
        UnknownMagic
            If it calls an unknown magic of ours.
        """
        if isinstance(node.func, ast.Attribute) and node.func.attr in _CALLS and node.args:
            sign, kind = _CALLS[node.func.attr]
            name = getattr(node.args[0], "value", None)
            known = self._shell.magics_manager.magics[kind]
            if isinstance(name, str) and name.startswith(_PREFIX) and name not in known:
                ours = [f"{sign}{magic}" for magic in known if magic.startswith(_PREFIX)]
                near = did_you_mean(closest(f"{sign}{name}", ours, 1))
                raise UnknownMagic(
                    f"unknown magic {sign}{name}; {near or f'expected {either(ours)}'}"
                )
        return self.generic_visit(node)
