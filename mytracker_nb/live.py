"""Cards in a notebook that change in place.

Nothing is shown outside a notebook's kernel: a script, or IPython in a terminal, has no place that
could change.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from typing import Any

from mytracker_nb.card import Card

__all__ = ["CardDisplay"]


def _shell() -> Any:
    """The shell of the notebook's kernel that this code runs in, or None."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell if getattr(shell, "kernel", None) is not None else None


class CardDisplay:
    """The place of one card in a notebook.

    Parameters
    ----------
    draw : callable
        Gives the card as it is now.
    """

    def __init__(self, draw: Callable[[], Card]) -> None:
        self._draw = draw
        self._display_id: str | None = None
        self._execution: int | None = None

    def show(self) -> bool:
        """Show the card in the cell that runs now, once; whether there is a notebook to show it in.

        A card that this run of the cell shows already is brought up to date.
        """
        shell = _shell()
        if shell is None:
            return False
        if self._display_id is None or self._execution != shell.execution_count:
            self._display_id, self._execution = uuid.uuid4().hex, shell.execution_count
            self._publish(shell, update=False)
        else:
            self._publish(shell, update=True)
        return True

    def update(self) -> None:
        """Bring the card up to date wherever it was last shown."""
        shell = _shell()
        if shell is not None and self._display_id is not None:
            self._publish(shell, update=True)

    def _publish(self, shell: Any, *, update: bool) -> None:
        card = self._draw()
        shell.display_pub.publish(
            {"text/html": card.html(), "text/plain": card.text()},
            transient={"display_id": self._display_id},
            update=update,
        )
