"""`Draft`: the request that a user edits in the form, and the changes to it.

It is independent of widgets and threads. Each change is a method, which updates the request, its
problems and its code.
"""

from __future__ import annotations

import keyword
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date
from typing import Any

from mytracker_nb import clock
from mytracker_nb.endpoints import is_local
from mytracker_nb.errors import CredentialsMissing, InvalidRequest, Problem, printable
from mytracker_nb.form.lookup import key_of, only_match
from mytracker_nb.form.pasted import find_query, join_column, split_column
from mytracker_nb.form.presets import CUSTOM, PRESETS, in_words, preset_of, starting_sets
from mytracker_nb.form.schema import editor_of, is_on_demand, label_of
from mytracker_nb.request import syntax
from mytracker_nb.request.coercion import Unreadable, split_values
from mytracker_nb.request.dictionaries import dictionary
from mytracker_nb.request.known_columns import known_in_brief
from mytracker_nb.request.parameters import INTERVALS, PARAMETERS, ValueType, find_parameter
from mytracker_nb.request.request import ExportRequest
from mytracker_nb.service import credentials

__all__ = ["Draft"]

_FRAME = "--frame"
_LINE_WIDTH = 52  # of the code; more is not in view beside the request
_BOTH_ENDS = "the last day is included"
_SEVERITIES = ("error", "warning", "note")


class Draft:
    """A request that is being edited.

    Attributes
    ----------
    request : ExportRequest
        The request to send, with the values that apply to the event.
    problems : tuple of Problem
        The problems of `request`.
    magic : str
        The request as a cell, with the options and comments that the user wrote.
    filters : list of str
        The names of the filters that are shown, in the order in which they were added.
    pending : dict of str to str
        By parameter, text typed into a search that is not the name of an entry.
    frame : str
        The name of the DataFrame in the code; ``""`` without one.
    """

    def __init__(self) -> None:
        self._given: dict[str, Any] = {}  # the values as typed or set, before normalization
        self._unknown: dict[str, Any] = {}  # the values of unknown parameters
        self._options: list[str] = []  # the options of the magic without --frame
        self.frame = ""
        self.filters: list[str] = []
        self.pending: dict[str, str] = {}
        self._read()

    # The state.

    @property
    def event(self) -> str | None:
        """The event; None if none is set."""
        event = ExportRequest(event=self._given.get("event")).parameters.get("event")
        return event if isinstance(event, str) else None

    @property
    def applicable(self) -> tuple[str, ...]:
        """The parameters that apply to the event, in the order of the documentation."""
        event = self.event
        return tuple(name for name, row in PARAMETERS.items() if row.applies_to(event))

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the request as plain values: lists as lists."""
        return {name: _plain(value) for name, value in self.request.parameters.items()}

    @property
    def frame_name(self) -> str:
        """`frame`, if it is a valid variable name; otherwise ``""``."""
        return "" if self._frame_problem() else self.frame

    @property
    def cell(self) -> str:
        """`magic` as a cell that runs; rewritten if its text lacks the name of the magic."""
        return self.magic if self.magic.lstrip().startswith("%") else self._written()

    def value(self, name: str) -> Any:
        """The value of a parameter: in its normal form if it is valid, None if it is not set."""
        # the request does not have values that do not apply to the event
        value = self.request.parameters.get(name, self._given.get(name))
        return _plain(value)

    # The changes.

    def fill(self, given: Mapping[str, Any], keep: Collection[str] = ()) -> None:
        """Replace all values; the parameters in `keep` stay if `given` does not have them."""
        kept = {name: value for name, value in self._given.items() if name in keep}
        values, unknown = _sorted_out(given)
        self._given = {
            name: value for name, value in (kept | values).items() if not _is_empty(name, value)
        }
        self._unknown = unknown
        self.pending = {}
        on_demand = [name for name in PARAMETERS if is_on_demand(PARAMETERS[name])]
        shown = [name for name in self.filters if name in self._given]
        self.filters = [
            *shown,
            *(name for name in on_demand if name in self._given and name not in shown),
        ]
        self._read()

    def set(self, name: str, value: Any) -> None:
        """Set one value; an empty one removes it."""
        if _is_empty(name, value):
            self._given.pop(name, None)
        else:
            self._given[name] = value
            self._show(name)
        self._read()

    def type(self, name: str, text: str) -> None:
        """Set a value from the text of its control; for a list, the text can be a pasted column."""
        parameter = PARAMETERS[name]
        if parameter.is_list:
            self.set(name, split_column(text))
            return
        word = text.strip()
        if parameter.dictionary is not None and word not in parameter.dictionary:
            titled = [
                entry.value
                for entry in parameter.dictionary.values()
                if word.casefold() in (entry.title.casefold(), entry.value.casefold())
            ]
            word = titled[0] if len(titled) == 1 else word  # a title can belong to two entries
        self.set(name, word)

    def add(self, name: str, text: str, *, only_exact: bool = False) -> None:
        """Add entries to a list, by text that was typed or pasted.

        Parameters
        ----------
        name : str
            The parameter.
        text : str
            Names, codes or ids, or unambiguous beginnings of names. Other text is added as it is,
            and reported as a problem.
        only_exact : bool
            Whether to add complete names only; other text then becomes `pending`.
        """
        names = PARAMETERS[name].dictionary
        assert names is not None
        words = split_column(text)
        self.pending.pop(name, None)
        if only_exact:
            unknown = [word for word in words if names.find(word) is None]
            words = [word for word in words if names.find(word) is not None]
            if unknown:
                self.pending[name] = join_column(unknown, ", ")
        values = split_values(PARAMETERS[name], self.value(name))
        present = {key_of(names, value) for value in values}
        for word in words:
            entry = None if names.find(word) else only_match(names, word)
            value = entry.value if entry else word
            if (key := key_of(names, value)) not in present:
                present.add(key)
                values.append(value)
        self.set(name, values)

    def remove(self, name: str, key: str) -> None:
        """Remove an entry from a list."""
        self.set(name, [value for value in self._values(name) if self._key(name, value) != key])

    def move(self, name: str, key: str, to: int) -> None:
        """Move an entry of a list to the position `to`."""
        values = self._values(name)
        moved = [value for value in values if self._key(name, value) == key]
        rest = [value for value in values if self._key(name, value) != key]
        self.set(name, [*rest[:to], *moved, *rest[to:]])

    def add_filter(self, name: str) -> None:
        """Show a filter that has no value yet."""
        self._show(name)

    def remove_filter(self, name: str) -> None:
        """Remove a filter and its value."""
        self.filters = [shown for shown in self.filters if shown != name]
        self.pending.pop(name, None)
        self.set(name, None)

    def apply_preset(self, title: str) -> None:
        """Set the days of a preset, as of today."""
        preset = next((preset for preset in PRESETS if preset.title == title), None)
        if preset is None:
            return
        days = preset.days(_today(self.request))
        for name, day in zip(_days(), days, strict=True):
            self._given[name] = day.isoformat()
        self._read()

    def write(self, text: str) -> None:
        """Read the request from a magic, or from the service's own URL, query or a curl command."""
        query = ExportRequest.from_url(find_query(text) or "")
        if query.parameters:
            self._options = []
            self.fill(query.parameters, keep=self._inapplicable(query))
            return
        parsed = syntax.parse_magic(text, _from_notebook)
        request = ExportRequest(**parsed.parameters)
        self.frame, self._options = _without_frame(parsed.options)
        # the text of a magic does not have the filters that do not apply to its event; keep them
        self.fill(request.parameters, keep=self._inapplicable(request))
        self.request, self.problems, self.magic = request, request.problems, text

    def paste(self, text: str, name: str, whole: str) -> None:
        """Read the request from pasted text; if it is none, set the control `name` to the text.

        Parameters
        ----------
        text : str
            The pasted text.
        name : str
            The parameter of the control; ``""`` for the magic.
        whole : str
            The text of the control after the paste.
        """
        if ExportRequest.from_url(find_query(text) or "").parameters:
            self.write(text)
        elif not name:
            self.write(whole)
        elif editor_of(PARAMETERS[name]) == "chips":
            self.add(name, whole)
        else:
            self.type(name, whole)

    def set_frame(self, name: str) -> None:
        """Set the name of the DataFrame in the code."""
        self.frame = name.strip()
        self._read()

    # The view of the front end.

    def view(self) -> dict[str, Any]:
        """The state as JSON for the front end."""
        applicable = self.applicable
        first, last = (self.request.parameters.get(name) for name in _days())
        return {
            "values": {name: self._shown_value(name) for name in self._given},
            "filters": list(self.filters),
            "offers": [
                name
                for name in applicable
                if is_on_demand(PARAMETERS[name]) and name not in self.filters
            ],
            "notSent": {
                name: f"not sent: only for {', '.join(sorted(PARAMETERS[name].events or ()))}"
                for name in self.filters
                if name not in applicable
            },
            "problems": self._shown_problems(),
            "code": self._code(),
            "frame": self.frame,
            "frameProblem": self._frame_problem(),
            "words": in_words(self.request.parameters, self.request.zone) or _BOTH_ENDS,
            "preset": _preset(first, last, self.request),
            "startingSets": {
                title: list(columns) for title, columns in starting_sets(self.event).items()
            },
            "columnsKnown": _columns_known(self.event),
            "pending": dict(self.pending),
            "account": _account(),
        }

    def _shown_value(self, name: str) -> str | list[str]:
        parameter, values = PARAMETERS[name], self._values(name)
        editor = editor_of(parameter)
        if editor == "chips":
            return list(dict.fromkeys(self._key(name, value) for value in values))
        if editor == "lines":
            # names can have commas, and are easier to read one per line
            separator = "\n" if parameter.repeats_field else ", "
            return join_column(map(_text, values), separator)
        given = self._given[name]
        if editor == "text" and isinstance(given, str):
            return given  # as typed: 2026-11-01T10:00 is easier to read than a Unix time
        if editor == "choice" and len(values) == 1:
            return self._key(name, values[0])
        return given if isinstance(given, str) and len(values) != 1 else _joined(values)

    def _shown_problems(self) -> list[dict[str, Any]]:
        """The problems: what is wrong, what is missing, warnings, notes."""
        problems = [self._problem(problem) for problem in self.problems]
        return sorted(
            problems, key=lambda shown: (_SEVERITIES.index(shown["severity"]), shown["isMissing"])
        )

    def _problem(self, problem: Problem) -> dict[str, Any]:
        row = PARAMETERS.get(problem.parameter)
        return {
            "parameter": problem.parameter,
            "title": label_of(row) if row else problem.parameter,
            "severity": problem.severity,
            # the front end shows a missing parameter as a next step, not as an error
            "isMissing": problem.severity == "error"
            and problem.parameter not in self.request.parameters,
            "text": printable(problem.message),
            "hint": printable(problem.hint),
        }

    def _code(self) -> dict[str, str]:
        python = syntax.to_python(self.request.parameters, _LINE_WIDTH)
        if self.frame_name:
            python += f"\n{self.frame_name} = export.to_pandas()"
        try:
            curl = self.request.to_curl(_service())
        except InvalidRequest:
            curl = "# the request has errors: there is nothing to send"
        return {"magic": self.magic, "cell": self.cell, "python": python, "curl": curl}

    def _frame_problem(self) -> str:
        name = self.frame
        if not name or (name.isidentifier() and not keyword.iskeyword(name)):
            return ""
        return f"{name!r} is not a valid variable name"

    # Building the request.

    def _read(self) -> None:
        """Build the request from the values that apply to the event."""
        given = {name: self._given[name] for name in self.applicable if name in self._given}
        self.request = ExportRequest(**given, **self._unknown)
        self.problems = self.request.problems
        self.magic = self._written()

    def _written(self) -> str:
        """The request as a cell, with the options that it has."""
        text = syntax.to_cell_magic("mytracker_export", self.request.parameters, _LINE_WIDTH)
        options = list(self._options)
        if self.frame_name:
            options += [_FRAME, self.frame_name]
        if options:
            first, newline, rest = text.partition("\n")
            text = f"{' '.join([first, *options])}{newline}{rest}"
        return text

    def _show(self, name: str) -> None:
        if is_on_demand(PARAMETERS[name]) and name not in self.filters:
            self.filters = [*self.filters, name]

    def _values(self, name: str) -> list[Any]:
        return split_values(PARAMETERS[name], self.value(name))

    def _key(self, name: str, value: Any) -> str:
        names = PARAMETERS[name].dictionary
        return _text(value) if names is None else key_of(names, _text(value))

    def _inapplicable(self, request: ExportRequest) -> list[str]:
        event = request.parameters.get("event")
        known = event if isinstance(event, str) else None
        return [name for name, row in PARAMETERS.items() if not row.applies_to(known)]


def _sorted_out(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values of known and of unknown parameters."""
    values: dict[str, Any] = {}
    unknown: dict[str, Any] = {}
    for name, value in given.items():
        parameter = find_parameter(name)
        if parameter is None:
            if not _is_stray(name, value):
                unknown[name] = value
        elif parameter.name in values:  # a list under both of its names
            values[parameter.name] = [values[parameter.name], value]
        else:
            values[parameter.name] = _plain(value)
    return values, unknown


def _is_stray(name: str, value: Any) -> bool:
    """Whether it is text of a magic that could not be parsed, which belongs to no parameter."""
    pieces = value if isinstance(value, (list, tuple)) else [value]
    return all(isinstance(piece, Unreadable) and piece.text == name for piece in pieces)


def _is_empty(name: str, value: Any) -> bool:
    return not split_values(PARAMETERS[name], value)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _text(item: Any) -> str:
    """A single value as it was written."""
    return item.text if isinstance(item, Unreadable) else str(item)


def _joined(values: Iterable[Any]) -> str:
    return ", ".join(map(_text, values))


def _columns_known(event: str | None) -> str:
    """What the list of columns covers, once an event is set."""
    return known_in_brief(event) if event and event in dictionary("event") else ""


def _days() -> tuple[str, str]:
    """The names of the parameters for the first and the last day."""
    return next(
        pair.names for pair in INTERVALS if PARAMETERS[pair.start].value_type is ValueType.DATE
    )


def _today(request: ExportRequest) -> date:
    return clock.now().astimezone(request.zone).date()


def _preset(first: Any, last: Any, request: ExportRequest) -> str:
    """The title of the preset with these days; ``""`` if no day is set."""
    if first is None and last is None:
        return ""
    preset = preset_of(str(first), str(last), _today(request))
    return preset.title if preset else CUSTOM


def _without_frame(options: list[str]) -> tuple[str, list[str]]:
    """The value of ``--frame``, and the other options."""
    frame, others = "", []
    words: Iterator[str] = iter(options)
    for word in words:
        if word == _FRAME:
            frame = next(words, "")
        elif word.startswith(f"{_FRAME}="):
            frame = word.partition("=")[2]
        else:
            others.append(word)
    return frame, others


def _account() -> dict[str, Any]:
    """The service that a request would go to, and whether its data is made up."""
    service = _service()
    return {"service": service, "isSandbox": is_local(service)}


def _service() -> str:
    # of the account: a keyring, which can be locked, is opened by Submit and not by each change
    try:
        return credentials.service_in_use()
    except CredentialsMissing:  # what is wrong with it is said once something is submitted
        return credentials.SERVICE_URL


def _from_notebook(expression: str) -> Any:
    """The value of a variable of the notebook, or of a literal.

    Other expressions are not evaluated, since the text is parsed again with every keystroke.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    names = getattr(shell, "user_ns", {})
    return names[expression] if expression in names else syntax.literal(expression)
