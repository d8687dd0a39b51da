"""`RequestBuilder`: the request form, as a widget.

Python has the request and all rules (`Draft`, `Submission`); the front end in ``static`` shows the
state and sends the user's acts.

Protocol. Python sends ``_schema`` once, and ``_view`` (the request) and ``_progress`` (the
submission) after each change. The front end sets no trait. It sends messages
``{"client": id, "acts": [{"seq", "act", "args"}, ...]}`` with all acts that ``_view["acks"]`` has
not acknowledged yet. So no act is lost or applied twice, acts are applied in order (a click on
Submit after the text typed before it), and the front end can show an act at once while the kernel
is busy.

Threads. JupyterLab's messages arrive in the main thread or, while a cell runs, in the thread of a
subshell; an export is followed in a third thread. ``_lock`` is held while the draft changes and
while the traits are set, so that observers see a consistent state. It may be acquired while the
submission's lock is held, never the other way round.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from mytracker_nb.client.export import Export
from mytracker_nb.display.live_output import take_clicks_beside_cells
from mytracker_nb.form.draft import Draft
from mytracker_nb.form.picture import FormPicture
from mytracker_nb.form.schema import schema
from mytracker_nb.form.snapshot import Snapshot
from mytracker_nb.form.submission import Submission
from mytracker_nb.request.parameters import PARAMETERS
from mytracker_nb.request.python_signature import ExportParameters, with_parameters
from mytracker_nb.request.request import ExportRequest

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Field", "RequestBuilder"]

_log = logging.getLogger(__name__)
_STATIC = Path(__file__).parent / "static"


class Field:
    """One parameter of a form.

    Attributes
    ----------
    value : object
        The parameter's value: in its normal form if it is valid, None if it is not set. It can be
        set to any value that `ExportRequest` accepts.
    """

    def __init__(self, form: RequestBuilder, name: str) -> None:
        self._form, self.parameter = form, PARAMETERS[name]

    @property
    def value(self) -> Any:
        """The parameter's value."""
        return self._form._draft.value(self.parameter.name)

    @value.setter
    def value(self, value: Any) -> None:
        with self._form._changes() as draft:
            draft.set(self.parameter.name, value)

    def __repr__(self) -> str:
        return f"<Field {self.parameter.name}: {self.value!r}>"


@with_parameters
class RequestBuilder(anywidget.AnyWidget):
    """A form that builds, validates and submits the request of an export.

    Each change is applied at once, whether it is made in the form, in the text of the magic, or by
    setting `parameters` or `magic` in Python.

    Parameters
    ----------
    **parameters
        The initial parameters, as for `ExportRequest`.

    Attributes
    ----------
    parameters : dict
        The parameters to send: lists as lists, values of closed lists as ids, days as
        ``YYYY-MM-DD``, times as Unix seconds. Set it to replace the request. Filters that do not
        apply to the event stay in the form, but are not sent.
    magic : str
        The request as a cell. Set it to replace the request, also to the service's own URL, a query
        string or a curl command.
    request : ExportRequest
        The request to send.
    problems : tuple of Problem
        The problems of `request`.
    export : Export or None
        The last export that was submitted.

    Examples
    --------
    >>> form = mt.RequestBuilder(event="installs", selectors=["idDevice", "tsEvent"],
    ...                          dateFrom="2026-10-01", dateTo="2026-10-07")
    >>> form.request.is_valid
    True
    >>> print(form.magic.splitlines()[0])
    %%mytracker_export
    """

    _esm = _STATIC / "form.js"
    _css = _STATIC / "form.css"

    parameters = traitlets.Dict()
    magic = traitlets.Unicode()
    request = traitlets.Instance(ExportRequest)
    problems = traitlets.Tuple()
    export = traitlets.Instance(Export, allow_none=True)

    _schema = traitlets.Dict().tag(sync=True)
    _view = traitlets.Dict().tag(sync=True)
    _progress = traitlets.Dict().tag(sync=True)

    def __init__(self, /, **parameters: Unpack[ExportParameters]) -> None:
        self._lock = threading.RLock()
        self._draft = Draft()
        self._acks: dict[str, int] = {}  # the number of the last act applied, by client
        self._rewrites = 0
        self._submission = Submission(self._publish)
        self._snapshot = Snapshot(self._static)
        self._draft.fill(dict(parameters))
        now = self._draft
        super().__init__(
            _schema=schema(),
            _view=self._view_now(),
            _progress=self._progress_now(),
            request=now.request,
            problems=now.problems,
            magic=now.magic,
            parameters=self._same_parameters(),
        )
        self.add_class(self._snapshot.live)
        self.on_msg(self._receive)

    @property
    def visible(self) -> tuple[str, ...]:
        """The names of the parameters that apply to the event, in the documentation's order."""
        return self._draft.applicable

    def field(self, name: str) -> Field:
        """A parameter of the form.

        Parameters
        ----------
        name : str
            The service's name of the parameter, such as ``"idApp"``.

        Returns
        -------
        Field
            Its ``.value`` can be read and set.

        Raises
        ------
        KeyError
            If the parameter is unknown.
        """
        return Field(self, name)

    def submit(self) -> Export:
        """Submit the request, or reuse an earlier export of it; the form then follows the export.

        Returns
        -------
        Export
            The export, which is also the value of `export`.

        Raises
        ------
        InvalidRequest
            If the request has errors; nothing was sent.
        MyTrackerError
            As `mytracker_nb.export`.
        """
        return self._submission.submit(self._draft.request)

    # Changes, and how they are published.

    @contextmanager
    def _changes(self) -> Iterator[Draft]:
        """Change the draft and publish the result."""
        with self._lock:
            try:
                yield self._draft
            finally:
                self._publish()

    def _publish(self) -> None:
        """Set all traits; notify observers and the front end once all are set.

        An observer may change the form again; that change is published separately, after this one.
        """
        with self._lock:
            now = self._draft
            with self.hold_sync(), self.hold_trait_notifications():
                self.request, self.problems = now.request, now.problems
                self.magic, self.parameters = now.magic, self._same_parameters()
                self.export = self._submission.export
                self._view = self._view_now()
                self._progress = self._progress_now()
        take_clicks_beside_cells(self)
        self._snapshot.refresh()

    def _view_now(self) -> dict[str, Any]:
        return self._draft.view() | {"acks": dict(self._acks), "rewrites": self._rewrites}

    def _progress_now(self) -> dict[str, Any]:
        draft = self._draft
        return self._submission.view(draft.request, draft.pending, draft.frame_name)

    def _same_parameters(self) -> dict[str, Any]:
        """The draft's parameters; `_accept_parameters` recognizes them by identity."""
        self._published = self._draft.parameters
        return self._published

    @traitlets.validate("parameters")
    def _accept_parameters(self, proposal: Any) -> dict[str, Any]:
        with self._lock:
            if proposal.value is not self._published:
                with self._changes() as draft:
                    draft.fill(proposal.value)
            return self._published

    @traitlets.validate("magic")
    def _accept_magic(self, proposal: Any) -> str:
        with self._lock:
            if proposal.value != self._draft.magic:
                with self._changes() as draft:
                    draft.write(proposal.value)
            return self._draft.magic

    # Acts of the front end.

    def _receive(self, _: Any, content: Any, buffers: Any) -> None:
        client = str(content.get("client"))
        with self._lock:
            done = self._acks.get(client, 0)
            acts = [act for act in content.get("acts", ()) if act["seq"] > done]
            for act in acts:
                # if one act fails, the acts after it are still applied
                try:
                    self._do(act["act"], act.get("args") or {})
                except Exception:
                    _log.exception("an act of the form failed: %s", act["act"])
                self._acks[client] = act["seq"]
            if acts:
                self._publish()

    def _do(self, act: str, args: dict[str, Any]) -> None:
        draft = self._draft
        if act == "submit":
            if draft.request.is_valid:
                self._submission.start(draft.request)
        elif act == "cancel":
            self._submission.cancel()
        elif act == "paste":
            draft.paste(**args)
            # tells the front end to update all controls, also the one with the focus
            self._rewrites += 1
        else:
            _ACTS[act](draft, **args)

    # Representations, also for a saved notebook.

    def __repr__(self) -> str:
        errors = sum(problem.severity == "error" for problem in self.problems)
        state = repr(self.export) if self.export is not None else f"{errors} errors"
        return f"<RequestBuilder: {state}>"

    def _static(self) -> dict[str, str]:
        """The MIME bundle to show without a kernel: the request, its export and first rows."""
        with self._lock:
            view, progress, request = self._view, self._progress, self._draft.request
            export = self._submission.card
        picture = FormPicture(
            request=request,
            magic=view["code"]["cell"],
            verdict=progress["verdict"],
            tone=progress["tone"],
            is_sandbox=view["account"]["isSandbox"],
            export=export,
            preview=progress["preview"],
            rows_shown=progress["rows"],
            load=progress["load"],
        )
        return {"text/html": picture.html(), "text/plain": picture.text()}

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = self._live_view()
        return data | self._static(), metadata

    def _live_view(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The MIME bundle of the live form alone, and its metadata, which Colab draws it by."""
        data, metadata = super()._repr_mimebundle_() or ({}, {})
        return dict(data), dict(metadata)

    def _ipython_display_(self) -> None:
        take_clicks_beside_cells(self)
        self._snapshot.show(*self._live_view())


_ACTS: dict[str, Any] = {
    "add": Draft.add,
    "addFilter": Draft.add_filter,
    "applyPreset": Draft.apply_preset,
    "move": Draft.move,
    "remove": Draft.remove,
    "removeFilter": Draft.remove_filter,
    "setFrame": Draft.set_frame,
    "type": Draft.type,
    "write": Draft.write,
}
