"""The buttons below a live card: what its lines of code do, by a click.

They are a widget below the card, in an output of its own, since JupyterLab shows nothing else of an
output that has a widget. A saved notebook has no model of it: `LEFTOVER` hides what is left then.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from mytracker_nb.display.export_card import Card
from mytracker_nb.display.live_output import take_clicks_beside_cells

__all__ = ["LEFTOVER", "CardButtons"]

_log = logging.getLogger(__name__)
_STATIC = Path(__file__).parent / "static"

LEFTOVER = (
    "<style>.jp-OutputArea:has(.mytracker-card) .jp-OutputArea-output:not(:has(*)) "
    "{ display: none }</style>"
)
"""Hides a widget without its model: it is text where other outputs have elements."""


class CardButtons:
    """Buttons that open the request in a form, cancel the export, and copy the code for its rows.

    Clicks arrive on the thread of the cells, or beside a running cell on that of a subshell.

    Parameters
    ----------
    on_cancel : callable
        Called by a click on *cancel*; it must return at once.
    """

    def __init__(self, on_cancel: Callable[[], None]) -> None:
        from ipywidgets import VBox

        self._on_cancel = on_cancel
        self._parameters: dict[str, Any] = {}
        self._bar = _bar_type()()
        self._bar.on_msg(self._receive)
        self._box = VBox([self._bar])

    def show(self, card: Card, *, is_cancelling: bool) -> None:
        """Show the buttons that make sense for a card."""
        request = card.request
        self._parameters = dict(request.parameters) if request is not None else {}
        codes = card.codes
        self._bar.set_trait("canEdit", bool(self._parameters))
        self._bar.set_trait("canCancel", any(name == "cancel" for name, _ in codes))
        self._bar.set_trait("isCancelling", is_cancelling)
        # the first line is the next step
        self._bar.set_trait("code", codes[0][1] if codes else "")
        take_clicks_beside_cells(self._bar)

    def close(self) -> None:
        """Remove them, and the form that they opened."""
        for widget in (*self._box.children, self._box):
            widget.close()

    def bundle(self) -> dict[str, Any]:
        """The MIME bundle that shows them; without a text, which would be their repr."""
        return {**self._box._repr_mimebundle_(), "text/plain": ""}

    def _receive(self, _: Any, content: Any, buffers: Any) -> None:
        act = content.get("act")
        if act == "cancel":
            self._on_cancel()
        elif act == "edit":
            try:
                self._toggle_form()
            except Exception:  # nobody else would see it
                _log.exception("the form can't be opened")

    def _toggle_form(self) -> None:
        """Open the form below the buttons, or close it."""
        (_, *forms) = self._box.children
        if not forms:
            # the public name, as in the code on the card: the form is on a floor above
            forms_of = sys.modules[__package__.partition(".")[0]]
            self._box.children = (self._bar, forms_of.RequestBuilder(**self._parameters))
        else:
            self._box.children = (self._bar,)
            for form in forms:
                form.close()
        self._bar.set_trait("hasForm", not forms)
        take_clicks_beside_cells(self._bar)


@cache
def _bar_type() -> Any:
    """The widget; its class is made where it is needed, so that widgets are imported no earlier."""
    import anywidget
    from traitlets import Bool, Unicode

    class ButtonBar(anywidget.AnyWidget):
        _esm = _STATIC / "buttons.js"
        _css = _STATIC / "buttons.css"
        canEdit = Bool(False).tag(sync=True)
        canCancel = Bool(False).tag(sync=True)
        isCancelling = Bool(False).tag(sync=True)
        hasForm = Bool(False).tag(sync=True)
        code = Unicode("").tag(sync=True)

    return ButtonBar
