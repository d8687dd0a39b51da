"""Cards in a notebook that are updated in place.

Outside a notebook's kernel nothing is shown: the output of a script, or of IPython in a terminal,
can't be updated.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import sys
import threading
import uuid
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias
from weakref import WeakSet

from mytracker_nb import clock

__all__ = [
    "CardDisplay",
    "Drawable",
    "cards_can_change",
    "keep_alive",
    "take_clicks_beside_cells",
]

_log = logging.getLogger(__name__)

Step: TypeAlias = "Callable[[], float | None]"


class Drawable(Protocol):
    """An object that can be shown as a card."""

    def html(self) -> str:
        """The card for a notebook."""

    def text(self) -> str:
        """The card for a terminal."""


def _shell() -> Any:
    """The shell of the notebook's kernel that runs this code; None outside a kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return None
    # a process forked from the kernel, as by multiprocessing, has no notebook of its own: its
    # outputs would appear in the cell of its parent
    owner = getattr(getattr(kernel, "session", None), "pid", None)
    return shell if owner in (None, os.getpid()) else None


def _captured_by(shell: Any) -> list[dict[str, Any]] | None:
    """The list that collects outputs, while ``%%capture`` or `capture_output` is active."""
    outputs = getattr(shell.display_pub, "outputs", None)
    return outputs if isinstance(outputs, list) else None


def _may_not_update(shell: Any) -> bool:
    """Whether the front end may be unable to update an output, like jupyter console.

    The protocol has no way to ask. Front ends known to update outputs either send the id of the
    cell (JupyterLab, Notebook, VS Code), allow no input (papermill, nbconvert) or are Colab.
    """
    content = (shell.get_parent() or {}).get("content", {})
    is_asked = content.get("allow_stdin", False)
    return _cell(shell) is None and is_asked and "google.colab" not in sys.modules


def cards_can_change() -> bool:
    """Whether a card that is shown now changes in place, as far as is known."""
    shell = _shell()
    return shell is not None and not _may_not_update(shell)


def _cell(shell: Any) -> str | None:
    """The id of the cell that is running, if the front end sends it."""
    parent = shell.get_parent() or {}
    cell = parent.get("metadata", {}).get("cellId")
    return str(cell) if cell else None


def _can_click(shell: Any) -> bool:
    """Whether a person is there, at a front end that shows widgets."""
    content = (shell.get_parent() or {}).get("content", {})
    return _cell(shell) is not None and content.get("allow_stdin", False)


def take_clicks_beside_cells(widget: Any) -> None:
    """Let the clicks on a widget be handled while a cell runs; call it after each change of it.

    The front end sends them to a subshell of the kernel. But ipykernel 7.4 takes each message for
    the reply to what the widget sent last, and handles it where that came from: after a change by a
    cell, when the cells that run have ended.
    """
    comm = getattr(widget, "comm", None)
    if comm is not None:
        vars(comm).pop("_reply_subshell_id", None)


class CardDisplay:
    """The outputs that show one card; they share a display id, so all are updated together.

    Attributes
    ----------
    draw : callable
        Returns the card in its current state.
    on_update : callable or None
        Called after each update, on the thread that updates; the form shows the card this way.
    """

    def __init__(self, draw: Callable[[], Drawable]) -> None:
        self.draw = draw
        self.on_update: Callable[[], object] | None = None
        self._captured: dict[str, Any] | None = None
        self._display_id = uuid.uuid4().hex
        self._execution: int | None = None
        self._below: int | None = None  # the execution that has what is below the card
        self._cells: set[str | None] = set()
        self._last_shown = ""  # where outputs do not change, it is what a person sees

    @property
    def is_shown(self) -> bool:
        """Whether some cell may still show the card: it was neither cleared nor run again."""
        return bool(self._cells)

    def show(self, *, as_result: bool = False) -> bool:
        """Show the card in the cell that is running.

        If this run of the cell already shows the card, it is updated instead of shown twice.

        Parameters
        ----------
        as_result : bool
            Whether the card is the result of the cell. A front end that may be unable to update
            outputs then gets the card a second time, in its last state.

        Returns
        -------
        bool
            False if there is no notebook.
        """
        shell = _shell()
        if shell is None:
            return False
        outputs = _captured_by(shell)
        if outputs is not None:
            self._capture(outputs)
            return True
        _shown.listen(shell)
        again = self._execution == shell.execution_count
        if again and as_result and _may_not_update(shell):
            again = self._bundle()["text/plain"] == self._last_shown
        self._execution = shell.execution_count
        self._cells.add(_cell(shell))
        _shown.displays.add(self)
        self._publish(shell, update=again)
        if self._below != shell.execution_count and _can_click(shell):
            self._below = shell.execution_count
            if bundle := self.below():
                shell.display_pub.publish(bundle)
        return True

    def below(self) -> dict[str, Any] | None:
        """A MIME bundle for an output below the card, where a person can click; None for none."""
        return None

    def update(self) -> None:
        """Update the card wherever it is shown."""
        if self._captured is not None:
            self._captured["data"] = self._bundle()
        shell = _shell()
        if shell is not None and self.is_shown and _captured_by(shell) is None:
            self._publish(shell, update=True)
        if self.on_update:
            self.on_update()

    def replace(self, other: CardDisplay) -> None:
        """Show this card in the outputs of `other`, in place of its card."""
        self._display_id, self._execution = other._display_id, other._execution
        self._cells, other._cells = other._cells, set()
        if self.is_shown:
            _shown.displays.add(self)

    def drop(self, cell: str | None, execution: int) -> None:
        """Note that `cell` no longer shows the card.

        Parameters
        ----------
        cell : str or None
            The cell's id; None if the front end sends none.
        execution : int
            The execution count, by which a cell without an id is recognized.
        """
        if cell in self._cells and (cell is not None or execution == self._execution):
            self._cells.discard(cell)
            self._execution = self._below = None

    def _capture(self, outputs: list[dict[str, Any]]) -> None:
        """Add the card to the captured outputs, once; `update` changes it there."""
        if self._captured is None or not any(each is self._captured for each in outputs):
            transient = {"display_id": self._display_id}
            self._captured = {"metadata": None, "transient": transient, "update": False}
            outputs.append(self._captured)
        self._captured["data"] = self._bundle()

    def _bundle(self) -> dict[str, str]:
        card = self.draw()
        return {"text/html": card.html(), "text/plain": card.text()}

    def _publish(self, shell: Any, *, update: bool) -> None:
        transient = {"display_id": self._display_id}
        bundle = self._bundle()
        if not update:
            self._last_shown = bundle["text/plain"]
        shell.display_pub.publish(bundle, transient=transient, update=update)


class _Shown:
    """The cards that are shown; watches for cells that run again or clear their output."""

    def __init__(self) -> None:
        self.displays: WeakSet[CardDisplay] = WeakSet()
        self._shell: Any = None

    def listen(self, shell: Any) -> None:
        if self._shell is not shell:
            self._shell = shell
            shell.events.register("pre_run_cell", self._cell_runs)
        if threading.current_thread() is threading.main_thread():
            # IPython stores hooks by thread, and a cell clears its output from the main thread
            hook = self._message_goes
            shell.display_pub.unregister_hook(hook)
            shell.display_pub.register_hook(hook)

    def _cell_runs(self, info: Any) -> None:
        cell = _cell(self._shell)
        if cell is not None:  # without an id, it can be any cell
            self._clear(cell)

    def _message_goes(self, message: dict[str, Any]) -> dict[str, Any]:
        if message["header"]["msg_type"] == "clear_output":
            self._clear(_cell(self._shell))
        return message

    def _clear(self, cell: str | None) -> None:
        for display in list(self.displays):
            display.drop(cell, self._shell.execution_count)


_shown = _Shown()


class _Follower:
    """One thread that updates all live cards, one step of one card at a time.

    A heap orders the cards by the time of their next step. A card whose cells are gone leaves the
    heap; the thread ends once the heap is empty, and the next `add` starts another.
    """

    def __init__(self) -> None:
        self._due: list[tuple[float, int, CardDisplay, Step]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._running = False

    def add(self, display: CardDisplay, step: Step) -> None:
        with self._changed:
            if any(followed is display for _, _, followed, _ in self._due):
                return
            self._push(0.0, display, step)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="mytracker-cards", daemon=True).start()
            self._changed.notify()

    def _push(self, delay: float, display: CardDisplay, step: Step) -> None:
        heapq.heappush(self._due, (clock.monotonic() + delay, next(self._numbers), display, step))

    def _run(self) -> None:
        while True:
            with self._changed:
                self._due = [entry for entry in self._due if entry[2].is_shown]
                heapq.heapify(self._due)
                if not self._due:
                    self._running = False
                    return
                due, _, display, step = self._due[0]
                if due > clock.monotonic():
                    clock.wait(self._changed, due - clock.monotonic())
                    continue
            # the entry stays in the heap during the step, so that `add` does not add the card twice
            try:
                delay = step()
            except Exception:  # the other cards are still updated
                _log.exception("a card is no longer updated")
                delay = None
            with self._changed:
                self._due = [entry for entry in self._due if entry[2] is not display]
                heapq.heapify(self._due)
                if delay is not None:
                    self._push(delay, display, step)


_follower = _Follower()


def keep_alive(display: CardDisplay, step: Step) -> None:
    """Update a card from a background thread.

    Parameters
    ----------
    display : CardDisplay
        The card.
    step : callable
        Polls what the card shows and updates it; returns the seconds until its next call, or None
        once nothing can change any more. Must not raise.
    """
    _follower.add(display, step)
