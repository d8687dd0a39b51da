"""A button whose click takes effect in its turn.

A browser holds back the later changes of a control until the kernel has answered its first, but it
does not hold back a click: where the kernel is busy, the click overtakes what was typed before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import traitlets

__all__ = ["Button"]


class Button(widgets.Button):  # type: ignore[misc]
    """A button that acts once all has arrived that was changed before it was clicked.

    A click in the browser is answered with a number, which the browser hands back. By then it has
    been told that the kernel is through with what came before the click, and has sent what it held
    back. The click of a program acts at once.

    Parameters
    ----------
    act : callable
        What it does.
    **traits
        Those of `ipywidgets.Button`.

    Attributes
    ----------
    asked, answered : int
        How many clicks the browser was asked about, and for how many it has answered.
    """

    asked = traitlets.Int().tag(sync=True)
    answered = traitlets.Int().tag(sync=True)

    def __init__(self, act: Callable[[], object], **traits: Any) -> None:
        super().__init__(**traits)
        self.on_click(lambda _: act())
        widgets.jsdlink((self, "asked"), (self, "answered"))

    def _handle_button_msg(self, _: Any, content: Any, buffers: Any) -> None:
        if content.get("event") == "click":
            self.asked += 1

    @traitlets.observe("answered")
    def _on_answer(self, change: Any) -> None:
        # one answer may stand for several: of a number that it holds back it sends the last
        for _ in range(change.new - change.old):
            self.click()
