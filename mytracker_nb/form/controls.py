"""The controls of the form, one class for each kind of parameter.

A `Field` shows one parameter: its title, its control and what is to be said of its value. What it
is made of follows from the table of parameters alone. The control's label is the parameter's name,
which is what a screen reader says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from html import escape
from textwrap import shorten
from typing import Any

import ipywidgets as widgets
import traitlets

from mytracker_nb.errors import Problem, printable
from mytracker_nb.form.buttons import Button
from mytracker_nb.form.lookup import entry_of, title
from mytracker_nb.form.pasted import join_column, split_column
from mytracker_nb.request.coercion import Unreadable, split_values
from mytracker_nb.request.parameters import Parameter, ValueType

__all__ = [
    "ChoiceField",
    "DayField",
    "Field",
    "ListField",
    "TextField",
    "WordField",
    "problems_html",
    "text_of",
]

_NOT_SET = object()  # of a value of None a Dropdown may show nothing at all
_SEVERITIES = ("error", "warning", "note")


def problems_html(problems: Iterable[Problem], *, given: bool = True, name: bool = False) -> str:
    """Problems as HTML, a line each.

    Parameters
    ----------
    problems : iterable of Problem
        What is to be said.
    given : bool
        Whether there is a value that they are about; what is only missing is said more quietly.
    name : bool
        Whether each line begins with its parameter.
    """
    lines = []
    for problem in problems:
        kind = problem.severity if problem.severity in _SEVERITIES else "error"
        css = kind if given or kind != "error" else "missing"
        start = f"<b>{escape(problem.parameter)}</b> " if name else ""
        mark = "" if kind == "error" else f"{kind.capitalize()}: "
        text = start + escape(mark + printable(problem.message))
        hint = f" ({escape(printable(problem.hint))})" if problem.hint else ""
        lines.append(f'<p class="mytracker-{css}" role="status">{text}{hint}</p>')
    return "".join(lines)


def text_of(item: Any) -> str:
    """A single value as it was written."""
    return item.text if isinstance(item, Unreadable) else str(item)


class Field(widgets.VBox):  # type: ignore[misc]
    """The control of one parameter.

    Parameters
    ----------
    parameter : Parameter
        The row of the table that it is built from.
    plain : ipywidgets.Layout
        The layout of all that is laid out by the style sheet alone. It is shared: a layout for each
        of a hundred widgets would be most of what opening a form costs.

    Attributes
    ----------
    value : object
        The parameter's value, in its normal form where it has one; may be set to whatever
        `ExportRequest` takes. None or empty where it is not given.
    given : object
        The value as it was typed or set, which is what is to be judged.
    pending : str
        What stands in the control and is no part of the value yet.
    """

    value = traitlets.Any(None, allow_none=True)
    pending = traitlets.Unicode()

    def __init__(self, parameter: Parameter, plain: widgets.Layout) -> None:
        self.parameter = parameter
        self._plain = plain
        self._quiet = self._settling = False
        self.given: Any = None
        self._said = ""
        self._notes = widgets.HTML(layout=plain)
        super().__init__([*self._controls(), self._notes])
        self.add_class("mytracker-field")
        self.tell(())

    def _controls(self) -> Sequence[widgets.Widget]:
        """What the person handles; the first carries the parameter's name."""
        raise NotImplementedError

    def _show(self) -> None:
        """Bring the control to the value."""
        raise NotImplementedError

    @property
    def _values(self) -> list[Any]:
        """The single values, as they would be sent."""
        return split_values(self.parameter, self.value)

    @property
    def _words(self) -> str:
        """The value as text."""
        return self.value if isinstance(self.value, str) else ", ".join(map(text_of, self._values))

    @traitlets.observe("value")
    def _on_value(self, change: Any) -> None:
        if not self._settling:
            self.given = change.new
        if not self._quiet:
            with self._silence():
                self._show()

    @contextmanager
    def _silence(self) -> Iterator[None]:
        """Let value and control differ for a while: what is being typed is not written over."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    def _answer(self, read: Callable[[Any], Any]) -> Callable[[Any], None]:
        """An observer that takes the value that `read` makes of what a control now holds."""

        def observer(change: Any) -> None:
            if not self._quiet:
                with self._silence():
                    self.value = read(change.new)

        return observer

    def settle(self, value: Any) -> None:
        """Take the normal form of the value; what was typed stays as it was typed."""
        self._settling = True
        try:
            with self._silence():
                self.value = value
        finally:
            self._settling = False

    def finish(self) -> None:
        """Take what is pending into the value, if it is clear what is meant."""

    def tell(self, problems: Sequence[Problem], *, given: bool = True) -> None:
        """Show what is to be said of the value, or the help where that is nothing."""
        self._said = problems_html(problems, given=given)
        self._tell()

    @traitlets.observe("pending")
    def _tell(self, change: Any = None) -> None:
        text = self._said
        if self.pending:
            message, hint = f"{self.pending!r} is not added yet", "Enter or Add adds it"
            text += problems_html(
                [Problem(self.parameter.name, "pending", "warning", message, hint)]
            )
        about = text or f'<p class="mytracker-help">{escape(self.parameter.help)}</p>'
        title = f'<span class="mytracker-title">{escape(self.parameter.title)}</span>'
        self._notes.value = title + about


class TextField(Field):
    """A text of one line."""

    def _controls(self) -> Sequence[widgets.Widget]:
        is_time = self.parameter.value_type is ValueType.TIME
        self._text = widgets.Text(
            description=self.parameter.name,
            layout=self._plain,
            placeholder="2026-11-01T10:00, now-6h, Unix s" if is_time else "",
        )
        self._text.observe(self._answer(lambda text: text.strip() or None), "value")
        return [self._text]

    def _show(self) -> None:
        self._text.value = self._words


class WordField(TextField):
    """A name out of a long list that needs no titles."""

    def _controls(self) -> Sequence[widgets.Widget]:
        names = self.parameter.dictionary
        self._text = widgets.Combobox(
            description=self.parameter.name,
            layout=self._plain,
            options=list(names or ()),
            placeholder="type to search",
        )
        self._text.observe(self._answer(lambda text: text.strip() or None), "value")
        return [self._text]


class DayField(Field):
    """A date; what is none can be cleared."""

    def _controls(self) -> Sequence[widgets.Widget]:
        self._picker = widgets.DatePicker(
            description=self.parameter.name, layout=self._plain, tooltip=self.parameter.help
        )
        self._picker.observe(self._answer(lambda day: day and day.isoformat()), "value")
        # a picker that shows no day can't be emptied
        self._clear = Button(
            self._forget,
            tooltip=f"Empty {self.parameter.name}",
            layout=widgets.Layout(display="none"),
        )
        return [self._picker, self._clear]

    def _forget(self) -> None:
        self.value = None

    def _show(self) -> None:
        try:
            self._picker.value = date.fromisoformat(self.value)
        except (TypeError, ValueError):
            self._picker.value = None
        is_other = bool(self._values) and self._picker.value is None
        self._clear.layout.display = None if is_other else "none"
        self._clear.description = f"Clear {shorten(self._words, 40)!r}" if is_other else ""

    def settle(self, value: Any) -> None:
        """Take the normal form of the value and show it."""
        super().settle(value)
        with self._silence():
            self._show()


class ChoiceField(Field):
    """One value of a small closed list, by its title."""

    def _controls(self) -> Sequence[widgets.Widget]:
        names = self.parameter.dictionary
        assert names is not None
        self._names = names
        self._list = widgets.Dropdown(
            description=self.parameter.name, layout=self._plain, options=self._options()
        )
        self._list.observe(
            self._answer(lambda value: None if value is _NOT_SET else value), "value"
        )
        return [self._list]

    def _options(self) -> list[tuple[str, Any]]:
        entries = self._names.values()
        return [("not set", _NOT_SET), *((title(entry), int(entry.value)) for entry in entries)]

    def _show(self) -> None:
        entry = entry_of(self._names, self.value)
        options = self._options()
        if self._values and entry is None:
            options.append((self._words, self.value))  # it is none of the list; the request says so
        place = [value for _, value in options].index(int(entry.value)) if entry else 0
        with self._list.hold_sync():
            if list(self._list.options) != options:
                self._list.options = options
            self._list.index = place if entry or not self._values else len(options) - 1

    def settle(self, value: Any) -> None:
        """Take the normal form of the value and show it."""
        super().settle(value)
        with self._silence():
            self._show()


class ListField(Field):
    """Ids or names as text; a pasted column will do."""

    def _controls(self) -> Sequence[widgets.Widget]:
        # names can hold commas and read better one a line
        self._separator = "\n" if self.parameter.repeats_field else ", "
        self._text = widgets.Textarea(
            description=self.parameter.name,
            layout=self._plain,
            placeholder="one a line, or with commas",
            rows=1,
        )
        self._text.observe(self._answer(split_column), "value")
        return [self._text]

    def _show(self) -> None:
        self._text.value = join_column(map(text_of, self._values), self._separator)
