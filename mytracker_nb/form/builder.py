"""`RequestBuilder`: a form that writes the request.

Which fields there are, what they are made of and when they show follows from the table of
parameters; what is right and what is wrong is for `ExportRequest` to say.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from html import escape
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

import ipywidgets as widgets
import traitlets

from mytracker_nb import clock
from mytracker_nb.client.export import Export
from mytracker_nb.display.export_card import Card
from mytracker_nb.errors import CredentialsMissing, InvalidRequest, Problem
from mytracker_nb.form.controls import (
    ChoiceField,
    DayField,
    Field,
    ListField,
    TextField,
    WordField,
    problems_html,
)
from mytracker_nb.form.pasted import find_query, inserted
from mytracker_nb.form.pickers import ManyOf, OneOf
from mytracker_nb.form.presets import PRESETS, in_words, preset_of, starting_sets
from mytracker_nb.form.snapshot import Snapshot
from mytracker_nb.form.submission import Submission
from mytracker_nb.request import syntax
from mytracker_nb.request.coercion import Unreadable
from mytracker_nb.request.parameters import (
    INTERVALS,
    PARAMETERS,
    Interval,
    Parameter,
    ValueType,
    find_parameter,
)
from mytracker_nb.request.request import ExportRequest
from mytracker_nb.request.signature import ExportParameters, with_parameters
from mytracker_nb.service import credentials

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["RequestBuilder"]

_CUSTOM = "Custom"
# Where no text is edited, JupyterLab takes arrows, Enter and letters for its own: D struck twice in
# a list would delete the cell. An attribute tells it to leave them to the control. And for what a
# screen reader is to be told of the state of a control ipywidgets has no traits.
_IN_THE_BROWSER = """
const form = this.closest('.mytracker-builder');
form.addEventListener('focusin', ({ target }) => {
  if (target.matches('select, button')) target.dataset.lmSuppressShortcuts = 'true';
});
const tell = () => {
  for (const button of form.querySelectorAll('.widget-toggle-button')) {
    const state = button.matches('.mytracker-fold') ? 'aria-expanded' : 'aria-pressed';
    button.setAttribute(state, button.matches('.mod-active'));
  }
  for (const field of form.querySelectorAll('.mytracker-field')) {
    const control = field.querySelector('input, select, textarea');
    const notes = field.querySelector(':scope > .widget-html');
    notes.id ||= `mytracker-${Math.random().toString(36).slice(2)}`;
    control.setAttribute('aria-describedby', notes.id);
    control.setAttribute('aria-invalid', notes.querySelector('.mytracker-error') !== null);
  }
};
const changes = { subtree: true, childList: true, attributeFilter: ['class'] };
new MutationObserver(tell).observe(form, changes);
tell();
"""


class _State(NamedTuple):
    """What the form holds now; the traits of the same names tell of it."""

    request: ExportRequest
    problems: tuple[Problem, ...]
    magic: str
    parameters: dict[str, Any]


@with_parameters
class RequestBuilder(widgets.VBox):  # type: ignore[misc]
    """A form for the request of an export; it judges, writes code and submits.

    Every change is applied at once, by whomever it is made: in the form, in the text of the magic,
    or by setting `parameters` or `magic`.

    Parameters
    ----------
    **parameters
        What to open with, as `ExportRequest` takes it.

    Attributes
    ----------
    parameters : dict
        The parameters as they would be sent: lists as lists, values of closed lists as ids, days
        as ``YYYY-MM-DD``, times as Unix seconds. Set it to fill the form anew; filters that do not
        apply to the event are kept for when they do, and not sent.
    magic : str
        The request as a cell. Set it to move the form; the service's own URL or query string, or a
        curl command, will do too.
    request : ExportRequest
        What would be sent.
    problems : tuple of Problem
        What is to be said of it.
    export : Export or None
        What was submitted last.

    Examples
    --------
    >>> form = mt.RequestBuilder(event="installs", selectors=["idDevice", "tsEvent"],
    ...                          dateFrom="2026-10-01", dateTo="2026-10-07")
    >>> form.request.is_valid
    True
    >>> print(form.magic.splitlines()[0])
    %%mytracker_export
    """

    parameters = traitlets.Dict()
    magic = traitlets.Unicode()
    request = traitlets.Instance(ExportRequest)
    problems = traitlets.Tuple()
    export = traitlets.Instance(Export, allow_none=True)

    def __init__(self, /, **parameters: Unpack[ExportParameters]) -> None:
        self._applying = False
        self._snapshot = Snapshot(self._static)
        self._options: list[str] = []  # those of the magic, such as --frame df
        self._loose: dict[str, Any] = {}  # what was given and has no field
        plain = widgets.Layout()
        self._fields = {name: _field_for(row, plain) for name, row in PARAMETERS.items()}
        self.request = ExportRequest()
        self._now = _State(self.request, (), "", {})
        self._submission = Submission(self.request, self._finish)
        traitlets.dlink((self._submission, "export"), (self, "export"))
        self._submission.observe(lambda _: self._snapshot.refresh(), "changed")
        super().__init__(self._layout())
        self.add_class("mytracker-builder")
        self.add_class(self._snapshot.live)
        for field in self._fields.values():
            field.observe(self._on_field, "value")
            field.observe(self._on_pending, "pending")
        self.parameters = dict(parameters)

    @property
    def visible(self) -> tuple[str, ...]:
        """The names of the parameters that are shown now, in the order of the documentation."""
        return tuple(name for name, field in self._fields.items() if field.layout.display != "none")

    def field(self, name: str) -> Field:
        """The control of the parameter called `name`; its ``.value`` is the parameter's.

        Raises
        ------
        KeyError
            If there is no such parameter.
        """
        return self._fields[name]

    def submit(self) -> Export:
        """Make the export, or adopt an earlier one; the form follows it from then on.

        Returns
        -------
        Export
            Also to be found in `export`.

        Raises
        ------
        InvalidRequest
            If the request has errors; nothing was sent.
        MyTrackerError
            As `mytracker_nb.export`.
        """
        return self._submission.submit()

    # The layout.

    def _layout(self) -> list[widgets.Widget]:
        inside: dict[str, list[Field]] = {}
        for name, field in self._fields.items():
            inside.setdefault(_section(PARAMETERS[name]), []).append(field)
        # days and what belongs to them in one row, exact times in the next
        rows = [
            _grid(
                field
                for field in inside["when"]
                if (field.parameter.value_type is ValueType.TIME) is exact
            )
            for exact in (False, True)
        ]
        self._presets = widgets.ToggleButtons(
            options=[*(preset.title for preset in PRESETS), _CUSTOM],
            value=None,
            description="Days",
            tooltip="Days that end about today",
        )
        self._presets.observe(self._on_preset, "value")
        self._words = widgets.HTML()
        self._fold = widgets.ToggleButton(icon="caret-right", tooltip="Filters that few need")
        self._folded = _grid(inside["rare"])
        self._folded.layout.display = "none"
        self._fold.observe(self._on_fold, "value")
        self._fold.add_class("mytracker-fold")
        return [
            widgets.HTML(f'<style onload="{_IN_THE_BROWSER}">{_css()}</style>'),
            _part("", *inside["what"]),
            _part(
                "Interval", self._presets, rows[0], self._words, _caption("Or exact times"), rows[1]
            ),
            _part("", *inside["columns"]),
            _part("Filters", _grid(inside["filters"]), self._fold, self._folded),
            _part("Code", *self._code()),
            _part("Export", self._submission),
        ]

    def _code(self) -> list[widgets.Widget]:
        self._language = widgets.ToggleButtons(
            options=["Magic", "Python", "curl"],
            description="Code as",
            tooltip="How the request is written below",
        )
        self._language.observe(lambda _: self._show_code(), "value")
        self._text = widgets.Textarea(description="magic", rows=8)
        self._text.add_class("mytracker-magic")
        self._text.observe(self._on_text, "value")
        self._listing = widgets.HTML()
        self._others = widgets.HTML()
        return [self._language, self._text, self._listing, self._others]

    # What is changed, by whom.

    @contextmanager
    def _applied(self) -> Iterator[None]:
        """Apply one change; what it changes in turn is no change of its own."""
        self._applying = True
        try:
            yield
        finally:
            self._applying = False

    def _on_field(self, change: Any) -> None:
        if not self._applying:
            with self._applied():
                self._from_fields()
            self._publish()

    def _on_pending(self, change: Any) -> None:
        pending = {name: field.pending for name, field in self._fields.items() if field.pending}
        self._submission.pending = pending

    def _finish(self) -> None:
        for field in self._fields.values():
            field.finish()

    @traitlets.validate("parameters")
    def _take_parameters(self, proposal: Any) -> dict[str, Any]:
        if proposal.value is not self._now.parameters:
            with self._applied():
                self._set_fields(proposal.value)
                self._from_fields()
            self._publish()
        return self._now.parameters

    @traitlets.validate("magic")
    def _take_magic(self, proposal: Any) -> str:
        if proposal.value != self._now.magic:
            with self._applied():
                self._from_text(proposal.value)
            self._publish()
        return self._now.magic

    def _publish(self) -> None:
        """Let all traits tell of the same state before anyone hears of a change."""
        now = self._now
        with self.hold_trait_notifications():
            self.request, self.problems = now.request, now.problems
            self.magic, self.parameters = now.magic, now.parameters

    def _on_text(self, change: Any) -> None:
        if not self._applying:
            with self._applied():
                self._from_text(change.new, change.old)
            self._publish()

    def _on_preset(self, change: Any) -> None:
        if self._applying or change.new in (None, _CUSTOM):
            return
        preset = next(preset for preset in PRESETS if preset.title == change.new)
        days = preset.days(clock.now().astimezone(self.request.zone).date())
        with self._applied():
            for name, day in zip(_days().names, days, strict=True):
                self._fields[name].value = day.isoformat()
            self._from_fields()
        self._publish()

    def _on_fold(self, change: Any) -> None:
        self._folded.layout.display = None if change.new else "none"
        self._fold.icon = "caret-down" if change.new else "caret-right"

    # How it is applied.

    def _set_fields(self, given: Mapping[str, Any], keep: Collection[str] = ()) -> None:
        """Bring the fields to what is given; those to `keep` lose nothing where it is silent."""
        values: dict[str, Any] = {}
        self._loose = {}
        for name, value in given.items():
            parameter = find_parameter(name)
            if parameter is None:
                if not _is_stray(name, value):
                    self._loose[name] = value
            elif parameter.name in values:  # a list under both of its names
                values[parameter.name] = [values[parameter.name], value]
            else:
                values[parameter.name] = _plain(value)
        for name, field in self._fields.items():
            if name in values or name not in keep:
                field.value = values.get(name)

    def _from_fields(self) -> None:
        """Make the request out of the fields that apply to the event."""
        event = ExportRequest(event=self._fields["event"].given).parameters.get("event")
        given = {name: field.given for name, field in self._shown(event)}
        request = ExportRequest(**given, **self._loose)
        text = request.to_magic()
        if self._options:
            first, newline, rest = text.partition("\n")
            text = f"{' '.join([first, *self._options])}{newline}{rest}"
        self._apply(request, text, text)

    def _from_text(self, text: str, before: str = "") -> None:
        """Take the request out of the text, in which `before` stood until now."""
        pasted, query = find_query(inserted(before, text)), find_query(text)
        request = ExportRequest.from_url(query or pasted or "")
        if request.parameters:
            self._options = []
            magic = request.to_magic()
            written = magic if pasted else text  # what is being typed is not written over
        else:
            request = ExportRequest.from_magic(text, _known)
            self._options = syntax.parse_magic(text, _known).options
            magic = written = text
        # the text can't speak of the filters that its event does not allow
        shown = dict(self._shown(request.parameters.get("event")))
        self._set_fields(request.parameters, keep=self._fields.keys() - shown.keys())
        self._apply(request, magic, written)

    def _shown(self, event: Any) -> Iterator[tuple[str, Field]]:
        event = event if isinstance(event, str) else None
        for name, field in self._fields.items():
            if PARAMETERS[name].applies_to(event):
                yield name, field

    def _apply(self, request: ExportRequest, magic: str, written: str) -> None:
        """Show `request` and the judgement of it all over the form, and as text what is written."""
        given, problems = request.parameters, request.problems
        shown = dict(self._shown(given.get("event")))
        for name, field in self._fields.items():
            display = None if name in shown else "none"
            if field.layout.display != display:
                field.layout.display = display
            if name in given:
                field.settle(_plain(given[name]))
            about = [problem for problem in problems if problem.parameter == name]
            field.tell(about, given=name in given)
        self._suggest(given.get("event"))
        self._words.value = _quoted(in_words(given, request.zone))
        self._show_preset(request)
        self._show_fold(request, shown)
        self._others.value = problems_html(
            [problem for problem in problems if problem.parameter not in shown], name=True
        )
        self._text.value = written
        plain = {name: _plain(value) for name, value in given.items()}
        self._now = _State(request, problems, magic, plain)
        self._submission.request = request
        self._show_code()
        self._snapshot.refresh()

    def _suggest(self, event: Any) -> None:
        sets = starting_sets(event if isinstance(event, str) else None)
        for field in self._fields.values():
            if isinstance(field, ManyOf) and field.parameter.dictionary_name == "selector":
                field.suggest(sets)

    def _show_preset(self, request: ExportRequest) -> None:
        first, last = (request.parameters.get(name) for name in _days().names)
        if first is None and last is None:
            self._presets.value = None
        else:
            preset = preset_of(str(first), str(last), clock.now().astimezone(request.zone).date())
            self._presets.value = preset.title if preset else _CUSTOM

    def _show_fold(self, request: ExportRequest, shown: Mapping[str, Field]) -> None:
        rare = [name for name in shown if _section(PARAMETERS[name]) == "rare"]
        used = [name for name in rare if name in request.parameters]
        self._fold.layout.display = None if rare else "none"
        self._fold.description = f"More filters ({len(rare)}{f', {len(used)} set' * bool(used)})"
        if used:
            self._fold.value = True

    def _show_code(self) -> None:
        language = self._language.value
        is_magic = language == "Magic"
        self._text.layout.display = None if is_magic else "none"
        self._listing.layout.display = "none" if is_magic else None
        if is_magic:
            return
        try:
            request = self._now.request
            code = request.to_python() if language == "Python" else request.to_curl(_service())
            self._listing.value = f'<pre tabindex="0"><code>{escape(code)}</code></pre>'
        except InvalidRequest:
            self._listing.value = _quoted("There is nothing to send yet: the request has errors.")

    # What is kept in a notebook.

    def __repr__(self) -> str:
        errors = sum(problem.severity == "error" for problem in self.problems)
        state = repr(self.export) if self.export is not None else f"{errors} errors"
        return f"<RequestBuilder: {state}>"

    def _static(self) -> dict[str, str]:
        """What is shown where there is no kernel: the request, and what came of it."""
        card = self._submission.card or Card(request=self.request, code=self.magic)
        html = card.html() + self._submission.preview
        return {"text/html": html, "text/plain": card.text()}

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        view: dict[str, Any] = super()._repr_mimebundle_(**options)
        return view | self._static()

    def _ipython_display_(self) -> None:
        self._snapshot.show(super()._repr_mimebundle_())


def _field_for(parameter: Parameter, plain: widgets.Layout) -> Field:
    """The control that suits a row of the table."""
    names = parameter.dictionary
    kind: type[Field]
    if names is None and parameter.is_list:
        kind = ListField
    elif names is None:
        kind = DayField if parameter.value_type is ValueType.DATE else TextField
    elif parameter.is_list:
        kind = ManyOf
    elif names.numeric:
        kind = ChoiceField
    else:
        kind = OneOf if any(entry.title for entry in names.values()) else WordField
    return kind(parameter, plain)


def _section(parameter: Parameter) -> str:
    """Which part of the form a parameter stands in."""
    if parameter.is_advanced:
        return "rare"
    if parameter.required:
        return "columns" if parameter.is_list else "what"
    in_interval = any(parameter.name in interval.names for interval in INTERVALS)
    return "when" if in_interval or not parameter.is_filter else "filters"


def _days() -> Interval:
    """The interval of days."""
    return next(pair for pair in INTERVALS if PARAMETERS[pair.start].value_type is ValueType.DATE)


def _is_stray(name: str, value: Any) -> bool:
    """Whether it is text that made no sense in a magic, and nothing to write into another."""
    pieces = value if isinstance(value, (list, tuple)) else [value]
    return all(isinstance(piece, Unreadable) and piece.text == name for piece in pieces)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _quoted(text: str) -> str:
    return f'<p class="mytracker-words" role="status">{escape(text)}</p>' if text else ""


def _part(title: str, *children: widgets.Widget) -> widgets.VBox:
    part = widgets.VBox([_caption(title, "heading"), *children] if title else children)
    part.add_class("mytracker-part")
    return part


def _caption(text: str, kind: str = "caption") -> widgets.HTML:
    return widgets.HTML(f'<div class="mytracker-{kind}" role="heading" aria-level="3">{text}</div>')


def _grid(children: Iterable[Field]) -> widgets.Box:
    # a list takes a row of its own: it would leave a gap before it
    grid = widgets.Box(sorted(children, key=lambda child: isinstance(child, ManyOf)))
    grid.add_class("mytracker-grid")
    return grid


@cache
def _css() -> str:
    path = resources.files("mytracker_nb.form") / "builder.css"
    return path.read_text(encoding="utf-8")


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def _service() -> str:
    """The address of the service that a request would go to."""
    try:
        return credentials.find().base_url
    except CredentialsMissing:
        return credentials.SERVICE_URL


def _known(expression: str) -> Any:
    """The object of a name in the notebook, or a literal.

    Other expressions are not evaluated: the text is read with every key that is struck.
    """
    names = getattr(_shell(), "user_ns", {})
    return names[expression] if expression in names else syntax.literal(expression)
