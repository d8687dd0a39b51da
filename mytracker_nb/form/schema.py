"""The schema that the front end gets once: the fields, and the dictionaries of their values.

It is derived from the table of parameters, so a new row of the table is a new field without any
JavaScript.
"""

from __future__ import annotations

from typing import Any

from mytracker_nb.form.presets import CUSTOM, PRESETS, by_group
from mytracker_nb.request.dictionaries import Dictionary
from mytracker_nb.request.parameters import (
    DEFAULT_TIMEZONE,
    INTERVALS,
    PARAMETERS,
    Parameter,
    ValueType,
)

__all__ = ["editor_of", "is_on_demand", "label_of", "schema", "section_of"]


def schema() -> dict[str, Any]:
    """Describe every field, every dictionary and the presets, as JSON."""
    names = {parameter.dictionary_name for parameter in PARAMETERS.values()}
    dictionaries = {p.dictionary_name: p.dictionary for p in PARAMETERS.values() if p.dictionary}
    return {
        "fields": [_field(parameter) for parameter in PARAMETERS.values()],
        "dictionaries": {
            name: _entries(dictionaries[name]) for name in sorted(filter(None, names))
        },
        "presets": [*(preset.title for preset in PRESETS), CUSTOM],
        "days": next(
            interval.names
            for interval in INTERVALS
            if PARAMETERS[interval.start].value_type is ValueType.DATE
        ),
    }


def editor_of(parameter: Parameter) -> str:
    """The kind of control for a parameter.

    Returns
    -------
    str
        ``chips`` (several entries of a dictionary), ``lines`` (a list as text), ``choice`` (one of
        a short list of ids), ``search`` (one of a long list of names), ``day``, or ``text``.
    """
    names = parameter.dictionary
    if names is None:
        if parameter.is_list:
            return "lines"
        return "day" if parameter.value_type is ValueType.DATE else "text"
    if parameter.is_list:
        return "chips"
    return "choice" if names.numeric else "search"


def section_of(parameter: Parameter) -> str:
    """The section of a parameter: ``event``, ``columns``, ``when``, ``exact`` or ``filters``.

    ``exact`` is the part of ``when`` that is shown after a click on Exact times.
    """
    if parameter.required:
        return "columns" if parameter.is_list else "event"
    if parameter.is_filter or parameter.is_advanced:
        return "filters"
    return "exact" if parameter.value_type is ValueType.TIME else "when"


def label_of(parameter: Parameter) -> str:
    """The title of a field, where it is not seen below the heading of its section."""
    is_exact = section_of(parameter) == "exact"
    return f"{parameter.title}, exact time" if is_exact else parameter.title


def is_on_demand(parameter: Parameter) -> bool:
    """Whether the field is shown only once it is added."""
    return section_of(parameter) == "filters"


def _field(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "title": parameter.title,
        "label": label_of(parameter),
        "help": parameter.help,
        "section": section_of(parameter),
        "editor": editor_of(parameter),
        "dictionary": parameter.dictionary_name or "",
        "isOrdered": parameter.is_list and not parameter.is_filter,
        "isAdvanced": parameter.is_advanced,
        "placeholder": _placeholder(parameter),
    }


def _placeholder(parameter: Parameter) -> str:
    """The placeholder of an empty control."""
    if parameter.value_type is ValueType.TIME:
        return "2026-11-01T10:00, now-6h"
    if parameter.name == "timezone":
        return DEFAULT_TIMEZONE
    what = f"{len(parameter.dictionary or ())} {parameter.title.lower()}"
    return {
        "lines": "one per line, or separated by commas",
        "chips": f"search {what}, or paste a list",
        "search": f"search {what}s",
    }.get(editor_of(parameter), "")


def _entries(names: Dictionary) -> list[list[Any]]:
    """The entries by group, each as value, title, group, aliases, kind and other names."""
    return [
        [
            entry.value,
            entry.title,
            entry.group,
            list(entry.aliases),
            getattr(entry, "kind", ""),
            list(entry.other_names),
        ]
        for entries in by_group(names.values()).values()
        for entry in entries
    ]
