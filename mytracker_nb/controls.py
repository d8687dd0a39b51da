"""The controls of the form, one class for each kind of parameter.

A `Field` shows one parameter: its title, its control and what is to be said of its value. What it
is made of follows from the table of parameters alone. The control's label is the parameter's name,
which is what a screen reader says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from html import escape
from typing import Any

import ipywidgets as widgets
import traitlets

from mytracker_nb.dictionaries import Dictionary, Entry, Selector
from mytracker_nb.errors import Problem, printable
from mytracker_nb.parameters import Holds, Parameter
from mytracker_nb.presets import by_group
from mytracker_nb.values import Unreadable, parts

__all__ = ["Field", "ManyOf", "field_for", "problems_html"]

# a line of a list may be broken here: the widgets make all its spaces unbreakable
_PART = " \u00b7\u200b "
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


class Field(widgets.VBox):  # type: ignore[misc]
    """The control of one parameter.

    Parameters
    ----------
    parameter : Parameter
        The row of the table that it is built from.

    Attributes
    ----------
    value : object
        The parameter's value, in its normal form where it has one; may be set to whatever
        `ExportRequest` takes. None or empty where it is not given.
    """

    value = traitlets.Any(None, allow_none=True)

    def __init__(self, parameter: Parameter) -> None:
        self.parameter = parameter
        self._quiet = False
        self._notes = widgets.HTML()
        title = widgets.HTML(f'<span class="mytracker-title">{escape(parameter.title)}</span>')
        super().__init__([title, *self._controls(), self._notes])
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
        return parts(self.parameter, self.value)

    @property
    def _words(self) -> str:
        """The value as text."""
        return self.value if isinstance(self.value, str) else ", ".join(map(_text, self._values))

    @traitlets.observe("value")
    def _on_value(self, change: Any) -> None:
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
        with self._silence():
            self.value = value

    def tell(self, problems: Sequence[Problem], *, given: bool = True) -> None:
        """Show what is to be said of the value, or the help where that is nothing."""
        parameter = self.parameter
        text = problems_html(problems, given=given)
        self._notes.value = text or f'<p class="mytracker-help">{escape(parameter.help)}</p>'


class _Text(Field):
    """A text of one line."""

    def _controls(self) -> Sequence[widgets.Widget]:
        is_time = self.parameter.holds is Holds.TIME
        self._text = widgets.Text(
            description=self.parameter.name,
            placeholder="2026-11-01T10:00, now-6h, Unix s" if is_time else "",
        )
        self._text.observe(self._answer(lambda text: text.strip() or None), "value")
        return [self._text]

    def _show(self) -> None:
        self._text.value = self._words


class _Word(_Text):
    """A name out of a long list that needs no titles."""

    def _controls(self) -> Sequence[widgets.Widget]:
        names = self.parameter.dictionary
        self._text = widgets.Combobox(
            description=self.parameter.name, options=list(names or ()), placeholder="type to search"
        )
        self._text.observe(self._answer(lambda text: text.strip() or None), "value")
        return [self._text]


class _Day(Field):
    """A date."""

    def _controls(self) -> Sequence[widgets.Widget]:
        self._picker = widgets.DatePicker(description=self.parameter.name)
        self._picker.observe(self._answer(lambda day: day and day.isoformat()), "value")
        return [self._picker]

    def _show(self) -> None:
        try:
            self._picker.value = date.fromisoformat(self.value)
        except (TypeError, ValueError):
            self._picker.value = None

    def settle(self, value: Any) -> None:
        super().settle(value)
        with self._silence():
            self._show()


class _Choice(Field):
    """One value of a small closed list, by its title."""

    def _controls(self) -> Sequence[widgets.Widget]:
        self._list = widgets.Dropdown(description=self.parameter.name, options=self._options())
        self._list.observe(self._answer(lambda value: value), "value")
        return [self._list]

    def _options(self) -> list[tuple[str, Any]]:
        entries = (self.parameter.dictionary or {}).values()
        return [("not set", None), *((_titled(entry), int(entry.value)) for entry in entries)]

    def _show(self) -> None:
        entry = _found(self.parameter.dictionary, self.value)
        options = self._options()
        if self._values and entry is None:
            options.append((self._words, self.value))  # it is none of the list; the request says so
        place = [value for _, value in options].index(int(entry.value)) if entry else 0
        with self._list.hold_sync():
            if list(self._list.options) != options:
                self._list.options = options
            self._list.index = place if entry or not self._values else len(options) - 1

    def settle(self, value: Any) -> None:
        super().settle(value)
        with self._silence():
            self._show()


class _List(Field):
    """Ids or names as text; a pasted column will do."""

    def _controls(self) -> Sequence[widgets.Widget]:
        # names can hold commas and read better one a line
        self._separator = "\n" if self.parameter.array else ", "
        self._text = widgets.Textarea(
            description=self.parameter.name,
            placeholder="one a line, or with commas",
            rows=1,
        )
        self._text.observe(self._answer(split_column), "value")
        return [self._text]

    def _show(self) -> None:
        self._text.value = join_column(map(_text, self._values), self._separator)


_CELL = re.compile(r'\s*"((?:[^"]|"")*)"[^\S\n\t]*(?=[,\t\n]|$)|([^,\t\r\n]+)')
_NEEDS_QUOTES = re.compile(r'[,\t\r\n"]|^\s|\s$|^$')


def split_column(text: str) -> list[str]:
    """The values of a pasted column or list, parted by lines, tabs or commas.

    What holds one of these stands in double quotes, as spreadsheets have it; empty cells are left
    out.
    """
    cells = (
        plain.strip() if plain else quoted.replace('""', '"')
        for quoted, plain in _CELL.findall(text)
    )
    return [cell for cell in cells if cell]


def join_column(values: Iterable[str], separator: str) -> str:
    """`values` as text that `split_column` reads back."""
    return separator.join(
        '"{}"'.format(text.replace('"', '""')) if _NEEDS_QUOTES.search(text) else text
        for text in values
    )


class _OneOf(Field):
    """One entry of a dictionary whose entries have titles: a search, and a list for each group."""

    def _controls(self) -> Sequence[widgets.Widget]:
        names = self.parameter.dictionary
        assert names is not None
        self._text = widgets.Text(
            description=self.parameter.name, placeholder="search by name or title"
        )
        self._text.observe(self._answer(self._typed), "value")
        _on_enter(self._text, self._take_first)
        self._lists: dict[str, widgets.Select] = {}
        for group in by_group(names.values()):
            self._lists[group] = listing = widgets.Select(description=group.capitalize(), rows=6)
            listing.observe(self._answer(self._picked), "value")
        self._search("")
        lists = widgets.HBox(list(self._lists.values()))
        lists.add_class("mytracker-lists")
        return [self._text, lists]

    def _typed(self, text: str) -> str | None:
        self._search(text.strip())
        return text.strip() or None

    def _picked(self, value: str | None) -> str | None:
        if value is None:
            return None if self.value is None else str(self.value)
        self._text.value = value
        self._search(value)
        return value

    def _take_first(self) -> None:
        names = self.parameter.dictionary
        assert names is not None
        text = self._text.value.strip()
        first = next(iter(_matches(names, text)), None)
        if text and text not in names and first is not None:
            self.value = first.value

    def _show(self) -> None:
        self._text.value = self._words
        self._search(self._text.value)

    def _search(self, text: str) -> None:
        """List what `text` finds: everything, once it is itself an entry."""
        names = self.parameter.dictionary
        assert names is not None
        found = by_group(_matches(names, "" if text in names else text))
        for group, listing in self._lists.items():
            options = [(_titled(entry), entry.value) for entry in found.get(group, ())]
            with listing.hold_sync():
                listing.index = None
                if list(listing.options) != options:
                    listing.options = options
                if any(value == text for _, value in options):
                    listing.value = text


class ManyOf(Field):
    """Several entries of a dictionary: a search, what it finds, and what is chosen, in order."""

    def _controls(self) -> Sequence[widgets.Widget]:
        names, title = self.parameter.dictionary, self.parameter.title
        assert names is not None
        self._names = names
        # several lines: a pasted column keeps its line breaks, and Enter makes one
        self._text = widgets.Textarea(
            description=self.parameter.name, rows=1, placeholder="search, or paste; Enter adds"
        )
        self._text.add_class("mytracker-search")
        self._text.observe(self._on_text, "value")
        self.add_class("mytracker-wide")
        self._found = widgets.SelectMultiple(description=f"{title} to add", rows=9)
        self._chosen = widgets.SelectMultiple(description=f"{title} chosen", rows=9)
        self._sets = widgets.HBox()
        self._sets.add_class("mytracker-buttons")
        self._search()
        chosen_buttons = [_button("Remove", f"Remove from {title}", self._remove)]
        if not self.parameter.filters:  # in a filter the order means nothing
            chosen_buttons += [
                _button("Up", "Move up", lambda: self._move(-1)),
                _button("Down", "Move down", lambda: self._move(1)),
            ]
        add = _button("Add", f"Add to {title}", self._add)
        lists = widgets.HBox(
            [_column(self._found, add), _column(self._chosen, *chosen_buttons)],
        )
        lists.add_class("mytracker-lists")
        return [self._text, self._sets, lists]

    def suggest(self, sets: Mapping[str, Sequence[str]]) -> None:
        """Offer `sets` of entries, by title, to start with."""
        while len(self._sets.children) < len(sets):
            button = widgets.Button()
            button.on_click(lambda button: self._extend(self._suggested[button.description]))
            self._sets.children += (button,)
        self._suggested = dict(sets)
        titles = list(sets)
        for place, button in enumerate(self._sets.children):
            used = place < len(titles)
            button.layout.display = None if used else "none"
            if used:
                button.description = titles[place]
                button.tooltip = "Add " + ", ".join(sets[titles[place]])

    def _on_text(self, change: Any) -> None:
        if self._quiet:
            return
        *ended, last = re.split(r"(?<=[,\t\n])", change.new)
        pieces = split_column("".join(ended))
        if len(pieces) == 1 and not last:
            self._extend([self._best(pieces[0])])
        elif ended:
            # a pasted column, or keys struck faster than they were read: nothing is guessed
            is_entry = self._names.find(last.strip()) is not None
            self._extend([*map(self._only, pieces), *([last.strip()] if is_entry else [])])
            last = "" if is_entry else last
        if ended:
            with self._silence():
                self._text.value = last
        self._search()

    def _best(self, text: str) -> str:
        """What is meant by `text`: an entry of that name, else the first that it finds."""
        if self._names.find(text) is not None:
            return text
        return next((entry.value for entry in _matches(self._names, text)), text)

    def _only(self, text: str) -> str:
        """The same, if but one entry has a name that begins so."""
        begun = [entry for entry in _matches(self._names, text) if _rank(entry, text) < 2]
        return begun[0].value if len(begun) == 1 and self._names.find(text) is None else text

    def _add(self) -> None:
        text = self._text.value.strip()
        picked = [value for value in self._found.value if value is not None]
        if picked:
            self._extend(picked)
        elif text:
            self._extend([self._best(text)])
            with self._silence():
                self._text.value = ""
            self._search()

    def _extend(self, values: Iterable[Any]) -> None:
        present = {_identity(self._names, value) for value in self._values}
        new = [value for value in values if _identity(self._names, value) not in present]
        self.value = [*self._values, *new]

    def _remove(self) -> None:
        picked = set(self._chosen.index)
        self.value = [value for place, value in enumerate(self._values) if place not in picked]

    def _move(self, step: int) -> None:
        values, picked = self._values, list(self._chosen.index)
        places = picked if step < 0 else picked[::-1]
        moved = []
        for place in places:
            target = place + step
            if not 0 <= target < len(values) or target in moved:
                target = place
            values[place], values[target] = values[target], values[place]
            moved.append(target)
        self.value = values
        self._chosen.index = tuple(sorted(moved))

    def _show(self) -> None:
        values = self._values
        labels = _unique(_label(_found(self._names, value), value) for value in values)
        # the same label must be told from another: options are found by it
        self._chosen.index = ()
        self._chosen.options = list(zip(labels, range(len(values)), strict=True))
        self._search()

    def settle(self, value: Any) -> None:
        changed = self.value != value
        super().settle(value)
        if changed:
            with self._silence():
                self._show()

    def _search(self) -> None:
        """List what the text finds and is not chosen yet, under the headings of the groups."""
        chosen = {_identity(self._names, value) for value in self._values}
        found = [
            entry
            for entry in _matches(self._names, self._text.value.strip())
            if entry.value not in chosen
        ]
        options: list[tuple[str, str | None]] = []
        for group, entries in by_group(found).items():
            if group:
                options.append((f"\u2500\u2500 {group.capitalize()}", None))
            options += [(_label(entry), entry.value) for entry in entries]
        if list(self._found.options) != options:
            self._found.index = ()
            self._found.options = options


def field_for(parameter: Parameter) -> Field:
    """The control that suits a row of the table of parameters."""
    names = parameter.dictionary
    kind: type[Field]
    if names is None:
        kind = _List if parameter.many else _Day if parameter.holds is Holds.DATE else _Text
    elif parameter.many:
        kind = ManyOf
    elif names.numeric:
        kind = _Choice
    else:
        kind = _OneOf if any(entry.title for entry in names.values()) else _Word
    return kind(parameter)


def _text(item: Any) -> str:
    return item.text if isinstance(item, Unreadable) else str(item)


def _found(names: Dictionary | None, value: Any) -> Entry | None:
    is_plain = isinstance(value, (str, int)) and not isinstance(value, bool)
    return names.find(str(value)) if names is not None and is_plain else None


def _identity(names: Dictionary, value: Any) -> str:
    entry = _found(names, value)
    return entry.value if entry else str(value)


def _titled(entry: Entry) -> str:
    return _PART.join([entry.title, entry.value])


def _label(entry: Entry | None, value: Any = None) -> str:
    if entry is None:
        return _text(value)
    if isinstance(entry, Selector):
        return _PART.join([entry.value, entry.title, entry.kind])
    return _PART.join(filter(None, [entry.title, *entry.aliases, entry.value]))


def _unique(labels: Iterable[str]) -> list[str]:
    result: list[str] = []
    for label in labels:
        while label in result:
            label += "\u200b"
        result.append(label)
    return result


def _matches(names: Dictionary, text: str) -> list[Entry]:
    """The entries that hold all words of `text` in their names, those that begin with it first."""
    words = text.casefold().split()

    def holds(entry: Entry) -> bool:
        names = " ".join([*_names(entry), entry.group]).casefold()
        return all(word in names for word in words)

    return sorted(filter(holds, names.values()), key=lambda entry: _rank(entry, text))


def _names(entry: Entry) -> tuple[str, ...]:
    return (entry.value, *entry.aliases, entry.title)


def _rank(entry: Entry, text: str) -> int:
    """How well `text` names the entry: 0 wholly, 1 by the beginning of a name, 2 otherwise."""
    whole = " ".join(text.casefold().split())
    names = [name.casefold() for name in _names(entry)]
    return 0 if whole in names else 1 if any(name.startswith(whole) for name in names) else 2


def _button(title: str, tooltip: str, act: Callable[[], None]) -> widgets.Button:
    button = widgets.Button(description=title, tooltip=tooltip)
    button.on_click(lambda _: act())
    return button


def _column(listing: widgets.Widget, *buttons: widgets.Widget) -> widgets.VBox:
    row = widgets.HBox(buttons)
    row.add_class("mytracker-buttons")
    return widgets.VBox([listing, row])


def _on_enter(text: widgets.Text, act: Callable[[], None]) -> None:
    def receive(_: Any, content: dict[str, Any], buffers: Any) -> None:
        if content.get("event") == "submit":
            act()

    text.on_msg(receive)
