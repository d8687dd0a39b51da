"""Checks of a cell's ``%mytracker_`` magics before it runs: names, position, a final ``;``.

IPython turns a magic into a call, ``get_ipython().run_line_magic(name, text)``, before it parses a
cell. `MagicCalls` checks these calls. `refuse_text_above` checks the text, since the lines below a
misplaced ``%%mytracker_export`` are not Python and can't be parsed.
"""

from __future__ import annotations

import ast
import re

from IPython.core.error import InputRejected
from IPython.core.interactiveshell import InteractiveShell

from mytracker_nb.errors import MyTrackerError
from mytracker_nb.request.suggestions import closest, did_you_mean, either

__all__ = ["MagicCalls", "MisplacedMagic", "UnknownMagic", "refuse_text_above"]

_PREFIX = "mytracker_"
_CALLS = {"run_line_magic": ("%", "line"), "run_cell_magic": ("%%", "cell")}
_CELL_MAGIC = re.compile(rf"\s*%%({_PREFIX}\w+)")


class UnknownMagic(MyTrackerError, InputRejected):
    """A cell has an unknown magic of ours; nothing of the cell was run."""


class MisplacedMagic(MyTrackerError, InputRejected):
    """A cell magic of ours is not on the first line; nothing of the cell was run."""


def refuse_text_above(lines: list[str]) -> list[str]:
    """Reject a cell with comments above a cell magic of ours; IPython runs it on a cell's lines.

    Raises
    ------
    MisplacedMagic
        If only comments are above the magic. Below other code such a line can be a part of a text.
    """
    comments = False
    for line in lines:
        if magic := _CELL_MAGIC.match(line):
            if comments:
                raise _misplaced(magic[1])
            break
        if not line.lstrip().startswith("#") and line.strip():
            break
        comments = comments or bool(line.strip())
    return lines


# IPython also transforms text to check whether a cell is complete; then nothing may be raised
refuse_text_above.has_side_effects = True  # type: ignore[attr-defined]


def _misplaced(name: str) -> MisplacedMagic:
    return MisplacedMagic(
        f"%%{name} must be on the first line of its cell; move comments below it, and other code "
        "to another cell"
    )


class MagicCalls(ast.NodeTransformer):
    """Checks the calls of ``%mytracker_`` magics in a cell; IPython runs it on the parsed code.

    Parameters
    ----------
    shell : InteractiveShell
        The shell that has the magics.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell

    def visit_Expr(self, node: ast.Expr) -> ast.AST | list[ast.AST]:
        """Hide the result of a line magic that ends with ``;``.

        IPython itself looks for a ``;`` at the end of the cell, but there the call has a bracket.
        """
        visited = self.generic_visit(node)
        if _name(node.value) and _ends_with_semicolon(node.value):
            # only the last expression of a cell is shown, so add a statement after it
            return [visited, ast.copy_location(ast.Pass(), node)]
        return visited

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Check the name of a magic.

        Raises
        ------
        UnknownMagic
            If it is an unknown magic of ours.
        MisplacedMagic
            If it is a cell magic that is not on the first line.
        """
        if name := _name(node):
            if name.endswith(";"):  # IPython adds it to the name of a magic without arguments
                name = name.removesuffix(";")
                node.args[:2] = [ast.Constant(name), ast.Constant(";")]
                ast.fix_missing_locations(node)
            sign, kind = _CALLS[node.func.attr]  # type: ignore[attr-defined]
            known = self._shell.magics_manager.magics[kind]
            if name.startswith("%"):
                raise _misplaced(name[1:])
            if name not in known:
                ours = [f"{sign}{magic}" for magic in known if magic.startswith(_PREFIX)]
                near = did_you_mean(closest(f"{sign}{name}", ours, 1))
                hint = near or f"expected {either(ours)}"
                raise UnknownMagic(f"unknown magic {sign}{name}; {hint}")
        return self.generic_visit(node)


def _name(node: ast.AST) -> str:
    """The name of the ``mytracker_`` magic that `node` calls; ``""`` if it calls none."""
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in _CALLS
        and isinstance(node.func.value, ast.Call)
        and getattr(node.func.value.func, "id", "") == "get_ipython"
        and node.args
    ):
        name = getattr(node.args[0], "value", None)
        if isinstance(name, str) and name.removeprefix("%").startswith(_PREFIX):
            return name
    return ""


def _ends_with_semicolon(node: ast.AST) -> bool:
    text = getattr(node.args[-1], "value", "")  # type: ignore[attr-defined]
    return isinstance(text, str) and text.rstrip().endswith(";")
