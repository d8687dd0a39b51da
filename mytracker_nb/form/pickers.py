"""The controls that search a large dictionary: for one of its entries, or for several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import ipywidgets as widgets

from mytracker_nb.form.buttons import Button
from mytracker_nb.form.controls import Field, text_of
from mytracker_nb.form.lookup import entry_of, key_of, label, matches, only_match, title
from mytracker_nb.form.pasted import split_unended
from mytracker_nb.form.presets import by_group
from mytracker_nb.request.dictionaries import Entry

__all__ = ["ManyOf", "OneOf"]


class OneOf(Field):
    """One entry of a dictionary whose entries have titles: a search, and a list for each group."""

    def _controls(self) -> Sequence[widgets.Widget]:
        names = self.parameter.dictionary
        assert names is not None
        # several lines: Enter makes one, and comes in order with the keys before it
        self._text = widgets.Textarea(
            description=self.parameter.name,
            layout=self._plain,
            rows=1,
            placeholder="search by name or title; Enter takes the first",
        )
        self._text.add_class("mytracker-search")
        self._text.observe(self._answer(self._typed), "value")
        self._lists: dict[str, widgets.Select] = {}
        for group in by_group(names.values()):
            self._lists[group] = listing = widgets.Select(
                description=group.capitalize(), rows=6, layout=self._plain
            )
            listing.observe(self._answer(self._picked), "value")
        self._search("")
        lists = widgets.HBox(list(self._lists.values()), layout=self._plain)
        lists.add_class("mytracker-lists")
        return [self._text, lists]

    def _typed(self, text: str) -> str | None:
        word = text.strip()
        names = self.parameter.dictionary
        assert names is not None
        if "\n" in text:
            found = matches(names, word)
            word = found[0].value if word and word not in names and found else word
            self._text.value = word
        self._search(word)
        return word or None

    def _picked(self, value: str | None) -> str | None:
        if value is None:
            return None if self.value is None else str(self.value)
        self._text.value = value
        self._search(value)
        return value

    def _show(self) -> None:
        self._text.value = self._words
        self._search(self._text.value)

    def _search(self, text: str) -> None:
        """List what `text` finds: everything, once it is itself an entry."""
        names = self.parameter.dictionary
        assert names is not None
        found = by_group(matches(names, "" if text in names else text))
        for group, listing in self._lists.items():
            options = [(title(entry), entry.value) for entry in found.get(group, ())]
            with listing.hold_sync():
                listing.index = None
                if list(listing.options) != options:
                    listing.options = options
                if any(value == text for _, value in options):
                    listing.value = text


class ManyOf(Field):
    """Several entries of a dictionary: a search, what it finds, and what is chosen, in order."""

    def _controls(self) -> Sequence[widgets.Widget]:
        names, what = self.parameter.dictionary, self.parameter.title
        assert names is not None
        self._names = names
        self._ended: list[str] = []
        self._is_adding = False
        self._suggested: Mapping[str, Sequence[str]] = {}
        # several lines: a pasted column keeps its line breaks, and Enter makes one
        self._text = widgets.Textarea(
            description=self.parameter.name,
            layout=self._plain,
            rows=1,
            placeholder="search, or paste; Enter adds",
        )
        self._text.add_class("mytracker-search")
        self._text.observe(self._on_text, "value")
        self._found = widgets.SelectMultiple(
            description=f"{what} to add", rows=9, layout=self._plain
        )
        self._chosen = widgets.SelectMultiple(
            description=f"{what} chosen", rows=9, layout=self._plain
        )
        self._sets = widgets.HBox(layout=self._plain)
        self._sets.add_class("mytracker-buttons")
        self._search()
        add = self._button(f"Add to {what}", "Add what is picked above", self._add)
        change = [self._button(f"Remove from {what}", "Remove what is picked above", self._remove)]
        if not self.parameter.is_filter:  # in a filter the order means nothing
            change += [
                self._button("Up", "Move up", lambda: self._move(-1)),
                self._button("Down", "Move down", lambda: self._move(1)),
            ]
        columns = [self._column(self._found, add), self._column(self._chosen, *change)]
        lists = widgets.HBox(columns, layout=self._plain)
        lists.add_class("mytracker-lists")
        self.add_class("mytracker-wide")
        return [self._text, self._sets, lists]

    def _button(self, title: str, tooltip: str, act: Callable[[], None]) -> Button:
        return Button(act, description=title, tooltip=tooltip, layout=self._plain)

    def _column(self, listing: widgets.Widget, *buttons: widgets.Widget) -> widgets.VBox:
        row = widgets.HBox(buttons, layout=self._plain)
        row.add_class("mytracker-buttons")
        return widgets.VBox([listing, row], layout=self._plain)

    def suggest(self, sets: Mapping[str, Sequence[str]]) -> None:
        """Offer `sets` of entries, by title, to start with."""
        if sets == self._suggested:
            return
        self._suggested = sets
        while len(self._sets.children) < len(sets):
            place = len(self._sets.children)
            self._sets.children += (Button(partial(self._start_with, place)),)
        for place, button in enumerate(self._sets.children):
            title = list(sets)[place] if place < len(sets) else ""
            button.layout.display = None if title else "none"
            button.description = title
            button.tooltip = f"Add {', '.join(sets.get(title, ()))}"

    def _start_with(self, place: int) -> None:
        self._extend(list(self._suggested.values())[place])

    def _on_text(self, change: Any) -> None:
        """Add each value that has been ended since.

        The text stays as it is: to take out of it what has been added would lose keys that are
        struck meanwhile.
        """
        if self._quiet:
            return
        ended, word = split_unended(change.new)
        new = list((Counter(ended) - Counter(self._ended)).elements())
        self._ended = ended
        if len(new) == 1 and not word:
            self._extend([self._best(new[0])])
        elif new:
            # a pasted column, or keys struck faster than they are read: nothing is guessed, and
            # what comes last is whole only where nothing was being typed before
            is_pasted = not split_unended(change.old)[1]
            whole = [word] if is_pasted and self._names.find(word) else []
            self._extend([*map(self._only, new), *whole])
        self._search()

    def _add(self) -> None:
        picked = [value for value in self._found.value if value is not None]
        _, word = split_unended(self._text.value)
        self._is_adding = True
        try:
            if picked or word:
                self._extend(picked or [self._best(word)])
        finally:
            self._is_adding = False
        self._clear()

    def _clear(self) -> None:
        """Empty the search."""
        self._ended = []
        if self._text.value:
            with self._silence():
                self._text.value = ""
            self._search()

    def finish(self) -> None:
        """Add the word in the search, if it names an entry."""
        if self.pending and self._names.find(self.pending):
            self._extend([self.pending])
            self._clear()

    def _best(self, text: str) -> str:
        """What is meant by `text`: an entry of that name, else the first that it finds."""
        found = [entry.value for entry in self._matches(text)]
        return text if self._names.find(text) or not found else found[0]

    def _only(self, text: str) -> str:
        """The same, if it is clear."""
        entry = None if self._names.find(text) else only_match(self._names, text)
        return entry.value if entry else text

    def _matches(self, text: str) -> list[Entry]:
        """What `text` finds and is not chosen yet."""
        chosen = {key_of(self._names, value) for value in self._values}
        return [entry for entry in matches(self._names, text) if entry.value not in chosen]

    def _extend(self, values: Iterable[Any]) -> None:
        present = {key_of(self._names, value) for value in self._values}
        new = [value for value in values if key_of(self._names, value) not in present]
        self.value = [*self._values, *new]

    def _remove(self) -> None:
        picked = set(self._chosen.index)
        self._clear()  # it may hold what is now removed
        self.value = [value for place, value in enumerate(self._values) if place not in picked]

    def _move(self, step: int) -> None:
        values, picked = self._values, sorted(self._chosen.index, reverse=step > 0)
        moved: list[int] = []
        for place in picked:
            target = place + step
            if not 0 <= target < len(values) or target in moved:
                target = place
            values[place], values[target] = values[target], values[place]
            moved.append(target)
        self.value = values
        self._chosen.index = tuple(sorted(moved))

    def _show(self) -> None:
        options: dict[str, int] = {}
        for place, value in enumerate(self._values):
            entry = entry_of(self._names, value)
            line = label(entry) if entry else text_of(value)
            while line in options:
                line += "\u200b"  # options are told apart by their text
            options[line] = place
        if list(self._chosen.options) != list(options.items()):
            self._chosen.index = ()
            self._chosen.options = list(options.items())
            # a pick is told by its place: a list that moved under the hand would give another entry
            if not self._is_adding:
                self._search()

    def settle(self, value: Any) -> None:
        """Take the normal form of the value and show it."""
        super().settle(value)
        with self._silence():
            self._show()

    def _search(self) -> None:
        """List what the text finds, the best first; where there is none, all under headings."""
        _, word = split_unended(self._text.value)
        options: list[tuple[str, str | None]] = []
        present = {key_of(self._names, value) for value in self._values}
        self.pending = "" if key_of(self._names, word) in present else word
        found = self._matches(word)
        for group, entries in ({"": found} if word else by_group(found)).items():
            if group:
                options.append((f"\u2500\u2500 {group.capitalize()}", None))
            options += [(label(entry), entry.value) for entry in entries]
        if list(self._found.options) != options:
            self._found.index = ()
            self._found.options = options
