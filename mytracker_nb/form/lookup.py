"""Finding an entry of a dictionary by what a user typed."""

from __future__ import annotations

from typing import Any

from mytracker_nb.request.dictionaries import Dictionary, Entry

__all__ = ["key_of", "only_match"]


def key_of(names: Dictionary, value: Any) -> str:
    """A key for a value: the same for an id, a code and a name of the same entry."""
    is_name = isinstance(value, (str, int)) and not isinstance(value, bool)
    entry = names.find(str(value)) if is_name else None
    return entry.value if entry else str(value)


def only_match(names: Dictionary, text: str) -> Entry | None:
    """The entry with a name that begins with `text`, if there is exactly one."""
    start = " ".join(text.casefold().split())
    if not start:
        return None
    found = [
        entry
        for entry in names.values()
        if any(
            name.casefold().startswith(start) for name in (entry.value, *entry.aliases, entry.title)
        )
    ]
    return found[0] if len(found) == 1 else None
