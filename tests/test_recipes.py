"""The recipes: every piece of code of the page is run, from the top."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

ROOT = Path(__file__).parents[1]
PIECES = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_every_recipe_works(shell: InteractiveShell) -> None:
    mpl.use("agg")
    pieces = PIECES.findall((ROOT / "docs" / "recipes.md").read_text(encoding="utf-8"))
    assert len(pieces) > 10
    try:
        for piece in pieces:
            shell.run_cell(piece).raise_error()
    finally:
        shell.run_line_magic("mytracker_sandbox", "--stop")
