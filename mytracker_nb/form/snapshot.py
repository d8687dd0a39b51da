"""`Snapshot`: a static picture of a widget, which a saved notebook shows without a kernel.

Of an output with a widget's view JupyterLab shows the view alone, and in a saved notebook only the
text "model not found". So there are two outputs: the view, and a static one. The static output is
hidden by CSS as long as the live view is on the page; otherwise it hides that text.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

__all__ = ["Snapshot"]

_PAUSE_SECONDS = 1.0  # between a change and the update of the static output


class Snapshot:
    """The static output beside a widget.

    Parameters
    ----------
    draw : callable
        Returns the MIME bundle that shows the widget's current state.

    Attributes
    ----------
    live : str
        The CSS class that the widget must have.
    """

    def __init__(self, draw: Callable[[], dict[str, str]]) -> None:
        self._draw = draw
        self._id = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._shown = False
        self._is_due = False
        self.live = f"mytracker-live-{self._id}"

    def show(self, view: dict[str, Any], metadata: dict[str, Any]) -> None:
        """Show the live `view`, a MIME bundle, and the static output below it."""
        self._publish(view | {"text/plain": ""}, metadata=metadata)
        self._publish(self._static(), display_id=self._id)
        self._shown = True

    def refresh(self) -> None:
        """Update the static output after a pause, once for all changes until then."""
        with self._lock:
            if not self._shown or self._is_due:
                return
            self._is_due = True
        timer = threading.Timer(_PAUSE_SECONDS, self._update)
        timer.daemon = True
        timer.start()

    def _update(self) -> None:
        with self._lock:
            self._is_due = False  # a change from here on needs another update
        self._publish(self._static(), display_id=self._id, update=True)

    def _static(self) -> dict[str, str]:
        data = self._draw()
        name = f"mytracker-static-{self._id}"
        style = (
            f"body:has(.{self.live}) .{name} {{ display: none }}\n"
            # the text that JupyterLab shows for a view without its model has no element
            f".jp-OutputArea:has(.{name}) .jp-OutputArea-output:not(:has(*)) {{ display: none }}"
        )
        html = f'<style>{style}</style><div class="{name}">{data["text/html"]}</div>'
        return data | {"text/html": html}

    @staticmethod
    def _publish(data: dict[str, Any], **options: Any) -> None:
        from IPython.display import display

        display(data, raw=True, **options)  # type: ignore[no-untyped-call]
