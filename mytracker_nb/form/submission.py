"""The part of the form that makes the export and shows what becomes of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from html import escape
from typing import Any

import ipywidgets as widgets
import traitlets

from mytracker_nb import clock
from mytracker_nb.client import client
from mytracker_nb.client.export import Export, display_of, has_files
from mytracker_nb.client.follow import follow
from mytracker_nb.display.export_card import Card
from mytracker_nb.errors import MyTrackerError, printable
from mytracker_nb.form.buttons import Button
from mytracker_nb.request.request import ExportRequest
from mytracker_nb.service.retry import WaitEvent
from mytracker_nb.statuses import SUCCESS
from mytracker_nb.storage.journal import complete_after

__all__ = ["Submission"]

_PREVIEW_ROWS = 20


class Submission(widgets.VBox):  # type: ignore[misc]
    """A button that makes the export of a request, and the export as it goes on.

    Parameters
    ----------
    request : ExportRequest
        What to make.
    finish : callable
        Called before a request is sent: it may complete it.

    Attributes
    ----------
    request : ExportRequest
        What to make.
    pending : dict of str to str
        What the form holds beside the request, by parameter.
    export : Export or None
        What was made last.
    changed : int
        Counts what is new to be seen of the export.
    card : Card or None
        The export as it is shown.
    preview : str
        The HTML of its first rows, once they are shown.
    """

    request = traitlets.Instance(ExportRequest)
    pending = traitlets.Dict()
    export = traitlets.Instance(Export, allow_none=True)
    changed = traitlets.Int()

    def __init__(self, request: ExportRequest, finish: Callable[[], None]) -> None:
        self._finish = finish
        self._making, self._drawing = threading.RLock(), threading.RLock()
        self._made_for: ExportRequest | None = None
        self._followed: Export | None = None
        self._is_waiting = self._is_given_up = False
        self.card: Card | None = None
        self.preview = ""
        self._summary = widgets.HTML()
        self._submit = Button(
            lambda: self._in_background(self._make, self._finished()),
            description="Submit",
            button_style="primary",
        )
        self._cancel = Button(
            lambda: self._in_background(self._cancel_export), description="Cancel", disabled=True
        )
        self._trouble = widgets.HTML()
        self._picture = widgets.HTML()
        self._rows = widgets.HTML()
        bar = widgets.HBox([self._submit, self._cancel, self._summary])
        bar.add_class("mytracker-bar")
        super().__init__([bar, self._trouble, self._picture, self._rows])
        self.request = request

    @traitlets.observe("request", "pending", "export")
    def _judge(self, change: Any = None) -> None:
        made = again = ""
        export = self.export
        if export is not None and self._made_for == self.request:
            number = export.id_raw_export
            if not export.is_finished and self._followed is not export:
                again = f"Export {number} is not followed any more; Submit follows it again."
            elif not export.is_finished or _is_as_good_as_new(export, self.request):
                made = f"This request was submitted as export {number}."
            elif export.status == SUCCESS:
                again = f"Export {number} was of this request; Submit asks for what it lacks."
        self._submit.disabled = bool(made) or not self.request.is_valid
        self._summary.value = _summary(self.request, self.pending, made or again)

    def submit(self) -> Export:
        """Make the export, or adopt an earlier one; the same request is not made twice.

        Returns
        -------
        Export
            As it was made; it is followed from now on.

        Raises
        ------
        MyTrackerError
            As `mytracker_nb.export`; the message is shown in the form too.
        """
        return self._make(self._finished())

    def _finished(self) -> ExportRequest:
        self._finish()
        return self.request

    def _make(self, request: ExportRequest) -> Export:
        before = self.export
        with self._making:
            export = self.export
            # whoever comes second, as by a double click, finds what the first has made
            is_at_hand = export is not before or (export is not None and not export.is_finished)
            if export is not None and is_at_hand and self._made_for == request:
                self._keep_following(export)
                return export
            try:
                self._submit.disabled, self._is_waiting, self._is_given_up = True, True, False
                export = client.default_client().export(request, on_wait=self._wait)
            except MyTrackerError as error:
                self._judge()
                self._complain(error)
                raise
            finally:
                self._cancel.disabled, self._is_waiting = True, False
            display_of(export).on_update = partial(self._show, export)
            self._made_for, self._followed, self.export = request, export, export
            self._complain(None)
            self._rows.value = self.preview = ""
            self._show(export)
            self._in_background(self._follow, export)
            return export

    def _wait(self, event: WaitEvent) -> None:
        if self._is_given_up:
            raise MyTrackerError("not waited for any longer: no export was made")
        self._cancel.disabled = False
        self._complain(f"Not sent yet; {event.text}")

    def _in_background(self, act: Callable[..., object], *given: Any) -> None:
        """Do what may take its time, and leave the kernel free meanwhile."""

        def run() -> None:
            try:
                act(*given)
            except Exception as error:  # in a thread, nobody else would see it
                self._complain(error)

        threading.Thread(target=run, name="mytracker-builder", daemon=True).start()

    def _keep_following(self, export: Export) -> None:
        if self._followed is not export and not export.is_finished:
            self._followed = export
            self._complain(None)
            self._judge()
            self._in_background(self._follow, export)

    def _follow(self, export: Export) -> None:
        try:
            text = ""
            for event in follow(export):
                if export is not self.export:
                    return  # the form shows another export by now
                if event.text != text:
                    text = event.text
                    self._complain(f"Export {export.id_raw_export}: {text}" if text else None)
                clock.sleep(event.seconds)
            if text:
                self._complain(None)
        finally:
            if self._followed is export:
                self._followed = None
            self._judge()
        if export.status == SUCCESS:
            self._show_rows(export)

    def _cancel_export(self) -> None:
        if self._is_waiting:
            self._is_given_up = True
            self._complain("Not sent, and not asked for again.")
        elif self.export is not None:
            self._complain(None)
            self.export.cancel()

    def _show(self, export: Export) -> None:
        with self._drawing:
            if export is self.export:
                self.card = export.card()
                self._picture.value = self.card.html()
                self._cancel.disabled = export.is_finished or export.is_cancellable is False
                self._judge()
                self.changed += 1

    def _show_rows(self, export: Export) -> None:
        frame = export.data().head(_PREVIEW_ROWS)
        # na_rep is not for the missing values of all types
        frame = frame.astype(object).where(frame.notna(), "")
        table = frame.to_html(index=False, border=0, max_rows=None)
        load = f"df = mt.Client().attach({export.id_raw_export}).to_pandas()"
        count = (
            f"the first {len(frame)} rows"
            if len(frame) == _PREVIEW_ROWS
            else ("the only row" if len(frame) == 1 else f"all {len(frame)} rows")
        )
        with self._drawing:
            if export is self.export:
                self.preview = self._rows.value = (
                    f'<div class="mytracker-preview"><p>A look at {count}. All of them:</p>'
                    f"<pre><code>import mytracker_nb as mt\n{escape(load)}</code></pre>"
                    f'<div class="mytracker-rows">{table}</div></div>'
                )
                self.changed += 1

    def _complain(self, trouble: Exception | str | None) -> None:
        is_error = isinstance(trouble, Exception)
        text = printable(f"{type(trouble).__name__}: {trouble}" if is_error else trouble or "")
        paragraph = f'<p class="mytracker-error mytracker-trouble" role="alert">{escape(text)}</p>'
        self._trouble.value = paragraph if text else ""


def _is_as_good_as_new(export: Export, request: ExportRequest) -> bool:
    """Whether a finished export has all rows that there will be, and its files are to be had."""
    made = export.created_at
    is_final = made is not None and made >= complete_after(request)
    return export.status == SUCCESS and is_final and has_files(export)


def _summary(request: ExportRequest, pending: Mapping[str, str], made: str) -> str:
    """One line on where the request stands, and why it can't be sent if so."""
    errors = [problem for problem in request.problems if problem.severity == "error"]
    others = len(request.problems) - len(errors)
    more = f"; {others} more to know" if others else ""
    if not errors:
        words = ", ".join(f"{word!r} in {name}" for name, word in pending.items())
        left = f"; not added yet: {words}" if words else ""
        css = "mytracker-warning" if left and not made else "mytracker-good"
        state = escape(printable(made or f"Ready to submit{more}{left}."))
        return f'<p class="{css}" role="status">{state}</p>'
    names = {problem.parameter: problem.parameter in request.parameters for problem in errors}
    missing = [name for name, given in names.items() if not given]
    wrong = [name for name, given in names.items() if given]
    reasons = [f"still needed: {', '.join(missing)}"] if missing else []
    reasons += [f"to be corrected: {', '.join(wrong)}"] if wrong else []
    css = "mytracker-error" if wrong else "mytracker-missing"
    text = escape(printable(f"Submit is off; {'; '.join(reasons)}{more}."))
    return f'<p class="{css}" role="status">{text}</p>'
