"""`Submission`: creates the export of a form, and follows it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum
from functools import partial
from typing import Any

from mytracker_nb import clock
from mytracker_nb.client import client
from mytracker_nb.client.export import Export, display_of, has_files
from mytracker_nb.client.polling import poll_until_final
from mytracker_nb.display.export_card import Card
from mytracker_nb.errors import BadRequest, MyTrackerError, printable
from mytracker_nb.request.request import ExportRequest
from mytracker_nb.request.reuse import is_reusable
from mytracker_nb.service.retry import WaitEvent
from mytracker_nb.snippets import load_code
from mytracker_nb.statuses import SUCCESS

__all__ = ["Phase", "Submission"]

_PREVIEW_ROWS = 20


class Phase(Enum):
    """The phase of a submission."""

    NOT_SENT = "not sent"
    SENDING = "sending"
    QUEUED = "waiting to send"
    FOLLOWING = "following"
    DETACHED = "no longer followed"
    FINISHED = "finished"


class Submission:
    """Creates the exports of a form, one at a time, and follows the last one.

    Threads: `submit` runs in the caller's thread or, if called by `start`, in a new one; an export
    is followed in another. `_making` is the lock for creating; the other threads only read.
    `on_change` can be called from any thread.

    Parameters
    ----------
    on_change : callable
        Called after each change of what `view` shows.

    Attributes
    ----------
    export : Export or None
        The last export.
    card : Card or None
        The card of the export.
    preview : str
        The HTML of its first rows, once they are loaded.
    trouble : str
        The last error, or the reason for a wait; ``""`` if there is none.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._making = threading.RLock()
        self._create: Phase | None = None  # the phase of a create in progress
        self._is_cancelled = False
        self._made_for: ExportRequest | None = None
        self._made_by: client.Client | None = None
        self._followed: Export | None = None
        self.export: Export | None = None
        self.card: Card | None = None
        self.preview = ""
        self.rows_shown = ""
        self.trouble = ""

    @property
    def phase(self) -> Phase:
        """The phase, derived from a create in progress and the last export."""
        if self._create is not None:
            return self._create
        if self.export is None:
            return Phase.NOT_SENT
        if self.export.is_finished:
            return Phase.FINISHED
        return Phase.FOLLOWING if self._followed is self.export else Phase.DETACHED

    # The view.

    def view(
        self, request: ExportRequest, pending: Mapping[str, str], frame: str = ""
    ) -> dict[str, Any]:
        """The state as JSON for the front end.

        Parameters
        ----------
        request : ExportRequest
            The present request of the form.
        pending : mapping of str to str
            Text that was typed but not added, by parameter.
        frame : str
            The name of the DataFrame in the code.
        """
        export, card = self.export, self.card
        text, tone, is_made = self._verdict(request, pending)
        can_cancel = self.phase is Phase.QUEUED or (
            export is not None
            and self.phase in (Phase.FOLLOWING, Phase.DETACHED)
            and export.is_cancellable is not False
        )
        return {
            "phase": self.phase.value,
            "verdict": text,
            "tone": tone,
            "canSubmit": request.is_valid and not is_made and self._create is None,
            "canCancel": can_cancel,
            "trouble": self.trouble,
            "card": card.html() if card else "",
            "preview": self.preview,
            "rows": self.rows_shown,
            "load": self._load_line(frame),
        }

    def _load_line(self, frame: str) -> str:
        """The code that loads the rows of the last export; ``""`` without one."""
        if self.export is None:
            return ""
        return load_code(self.export.id_raw_export, frame or "df", "\n")

    def _verdict(self, request: ExportRequest, pending: Mapping[str, str]) -> tuple[str, str, bool]:
        """A line on the state of the request, its tone, and whether its export already exists."""
        if self.phase is Phase.SENDING:
            return "Sending", "running", False
        if self.phase is Phase.QUEUED:
            return "Waiting to send", "running", False
        errors = [problem for problem in request.problems if problem.severity == "error"]
        notes = len(request.problems) - len(errors)
        more = f" ({notes} note{'s' * (notes != 1)})" if notes else ""
        if errors:
            given = {error.parameter: error.parameter in request.parameters for error in errors}
            missing = [name for name, is_given in given.items() if not is_given]
            invalid = [name for name, is_given in given.items() if is_given]
            reasons = [f"{', '.join(missing)} missing"] * bool(missing)
            reasons += [f"{', '.join(invalid)} invalid"] * bool(invalid)
            tone = "error" if invalid else "missing"
            return printable(f"Can't submit: {', '.join(reasons)}{more}"), tone, False
        if (made := self._made(request)) is not None:
            return made
        if pending:
            words = ", ".join(f"{word!r} in {name}" for name, word in pending.items())
            return printable(f"Ready to submit{more}; not added: {words}"), "warning", False
        return f"Ready to submit{more}", "good", False

    def _made(self, request: ExportRequest) -> tuple[str, str, bool] | None:
        """The verdict on a request that has an export; None if it has none."""
        export = self.export
        if export is None or self._made_for != request:
            return None
        name = f"Export {export.id_raw_export}"
        if self.phase is Phase.DETACHED:
            return f"{name} is no longer followed; Submit follows it again", "warning", False
        if not export.is_finished:
            return f"Submitted as export {export.id_raw_export}", "running", True
        if export.status != SUCCESS:
            return f"{name}: {export.status}; Submit creates a new one", "warning", False
        if self._is_reusable(export, request):
            return f"{name}: {export.status}", "good", True
        return f"{name} may lack late rows; Submit creates a new one", "good", False

    def _is_reusable(self, export: Export, request: ExportRequest) -> bool:
        """Whether Submit would reuse an export that succeeded."""
        made, account = export.created_at, self._made_by
        if made is None or account is None:
            return False
        # by the settle time of its client, which the user can change at any time
        return is_reusable(request, made, clock.now(), account.settle) and has_files(export)

    # The actions.

    def start(self, request: ExportRequest) -> None:
        """Call `submit` in a background thread; errors are shown in the form."""
        self._in_background(self.submit, request)

    def submit(self, request: ExportRequest) -> Export:
        """Create the export of `request`, or reuse an earlier one, and follow it.

        Returns
        -------
        Export
            The export, still in progress.

        Raises
        ------
        MyTrackerError
            As `mytracker_nb.export`; the message is shown in the form too.
        """
        before = self.export
        with self._making:
            export = self.export
            # the second click of a double click finds the export of the first one
            is_at_hand = export is not before or (export is not None and not export.is_finished)
            if export is not None and is_at_hand and self._made_for == request:
                self._follow_again(export)
                return export
            self._is_cancelled = False
            self._create_is(Phase.SENDING)
            try:
                account = client.default_client()
                export = account.export(request, on_wait=self._wait)
            except BaseException as error:
                self._create_is(None, _words(error))
                raise
            display_of(export).on_update = partial(self._show, export)
            self._made_for, self._made_by = request, account
            self.preview, self.rows_shown = "", ""
            self.card, self.export, self._create = _card_of(export), export, None
            self._follow_again(export)
            return export

    def _wait(self, event: WaitEvent) -> None:
        if self._is_cancelled:
            raise MyTrackerError("cancelled before it was sent: no export was created")
        self._create_is(Phase.QUEUED, f"Not sent yet; {event.text}")

    def _create_is(self, phase: Phase | None, trouble: str = "") -> None:
        self._create = phase
        self._say(trouble)

    def cancel(self) -> None:
        """Cancel the export, or a create that waits for the queue; in a background thread."""
        if self.phase is Phase.QUEUED:
            self._is_cancelled = True
            self._say("Cancelled: it will not be sent")
        elif self.export is not None:
            self._in_background(self.export.cancel)

    def _follow_again(self, export: Export) -> None:
        if self._followed is not export:
            self._followed = export
            self._say("")
            self._in_background(self._follow, export)

    def _follow(self, export: Export) -> None:
        try:
            text = ""
            for event in poll_until_final(export):
                if export is not self.export:
                    return  # the form shows another export meanwhile
                if event.text != text:
                    text = event.text
                    self._say(f"Export {export.id_raw_export}: {text}" if text else "")
                clock.sleep(event.seconds)
            if text:
                self._say("")
        finally:
            if self._followed is export:
                self._followed = None
            self._on_change()
        if export.status == SUCCESS:
            self._load_rows(export)

    def _show(self, export: Export) -> None:
        if export is self.export:
            self.card = _card_of(export)
            self._on_change()

    def _load_rows(self, export: Export) -> None:
        frame = export.data().head(_PREVIEW_ROWS)
        # not with na_rep, which pandas does not apply to the missing values of all types
        frame = frame.astype(object).where(frame.notna(), "")
        table = frame.to_html(index=False, border=0, max_rows=None)
        if export is self.export:
            self.preview = table
            self.rows_shown = _count_in_words(len(frame))
            self._on_change()

    def _say(self, trouble: str) -> None:
        self.trouble = printable(trouble)
        self._on_change()

    def _in_background(self, act: Callable[..., object], *given: Any) -> None:
        """Run a call in a background thread, so that the kernel stays free."""

        def run() -> None:
            try:
                act(*given)
            except Exception as error:  # nothing else shows the errors of a thread
                self._say(_words(error))

        threading.Thread(target=run, name="mytracker-builder", daemon=True).start()


def _card_of(export: Export) -> Card:
    """The export as a card that leaves its request to the form above it."""
    return replace(export.card(), is_folded=True)


def _count_in_words(rows: int) -> str:
    if rows == _PREVIEW_ROWS:
        return f"First {rows} rows"
    return {0: "No rows", 1: "The only row"}.get(rows, f"All {rows} rows")


def _words(error: BaseException) -> str:
    words = str(error)
    if isinstance(error, BadRequest) and error.problems:
        words = words.partition("\n")[0]  # the form shows its problems already
    return f"{type(error).__name__}: {words}"
