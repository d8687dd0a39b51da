"""Finding the entries of a dictionary by what a person types, and how they read in a list."""

from __future__ import annotations

from typing import Any

from mytracker_nb.request.dictionaries import Dictionary, Entry, Selector

__all__ = ["entry_of", "key_of", "label", "matches", "only_match", "title"]

# a line of a list may be broken here: the widgets make all its spaces unbreakable
_BETWEEN = " \u00b7\u200b "


def entry_of(names: Dictionary, value: Any) -> Entry | None:
    """The entry that `value`, of any type, stands for."""
    is_name = isinstance(value, (str, int)) and not isinstance(value, bool)
    return names.find(str(value)) if is_name else None


def key_of(names: Dictionary, value: Any) -> str:
    """The same text for all values that mean the same."""
    entry = entry_of(names, value)
    return entry.value if entry else str(value)


def title(entry: Entry) -> str:
    """The entry as a line of a list that is read by titles."""
    return _BETWEEN.join([entry.title, entry.value])


def label(entry: Entry) -> str:
    """The entry as a line of a list, with all that it is known by."""
    if isinstance(entry, Selector):
        return _BETWEEN.join([entry.value, entry.title, entry.kind])
    return _BETWEEN.join(filter(None, [entry.title, *entry.aliases, entry.value]))


def matches(names: Dictionary, text: str) -> list[Entry]:
    """The entries that hold all words of `text` in their names, those that begin with it first."""
    words = text.casefold().split()

    def holds(entry: Entry) -> bool:
        names = " ".join([*_names(entry), entry.group]).casefold()
        return all(word in names for word in words)

    return sorted(filter(holds, names.values()), key=lambda entry: _rank(entry, text))


def only_match(names: Dictionary, text: str) -> Entry | None:
    """The entry with a name that begins so, if there is but one."""
    begun = [entry for entry in matches(names, text) if _rank(entry, text) < 2]
    return begun[0] if len(begun) == 1 else None


def _names(entry: Entry) -> tuple[str, ...]:
    return (entry.value, *entry.aliases, entry.title)


def _rank(entry: Entry, text: str) -> int:
    """How well `text` names the entry: 0 wholly, 1 by the beginning of a name, 2 otherwise."""
    whole = " ".join(text.casefold().split())
    names = [name.casefold() for name in _names(entry)]
    return 0 if whole in names else 1 if any(name.startswith(whole) for name in names) else 2
