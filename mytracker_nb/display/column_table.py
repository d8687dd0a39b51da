"""The table of known columns: what `mytracker_nb.columns` and ``%mytracker_columns`` show."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from mytracker_nb.display.rendering import Renderable

__all__ = ["ColumnRow", "ColumnTable"]

_WIDTH = 100


class ColumnRow(NamedTuple):
    """One row of the table: a column of the service's dictionary, as text."""

    name: str
    meaning: str
    kind: str
    dtype: str
    group: str
    seen_with: str
    slow: str
    is_seen: bool


@dataclass(frozen=True)
class ColumnTable(Renderable):
    """The columns that a request can select.

    Attributes
    ----------
    rows : sequence of ColumnRow
        The columns.
    event : str or None
        The event that they belong to; None for all events.
    notes : sequence of str
        What the list covers and what it does not.
    """

    rows: Sequence[ColumnRow]
    event: str | None = None
    notes: Sequence[str] = ()

    template: ClassVar[str] = "columns.html"

    @property
    def title(self) -> str:
        """How many columns the table lists, and for which event."""
        of = f" for {self.event}" if self.event else ""
        return f"{len(self.rows)} columns{of}"

    @property
    def marks_seen(self) -> bool:
        """Whether to mark the columns seen with the event: some of them were, others were not."""
        return bool(self.event) and {row.is_seen for row in self.rows} == {True, False}

    def lines(self) -> Iterator[str]:
        """The lines of the plain text."""
        yield f"MyTracker: {self.title}"
        for note in self.notes:
            yield from textwrap.wrap(note, _WIDTH, break_long_words=False, break_on_hyphens=False)
        yield ""
        width = max((len(row.name) for row in self.rows), default=0)
        dtype = max((len(row.dtype) for row in self.rows), default=0)
        for row in self.rows:
            mark = "* " if self.marks_seen and row.is_seen else "  " if self.marks_seen else ""
            slow = f" [slow: {row.slow}]" if row.slow else ""
            start = f"{mark}{row.name:{width}}  {row.kind:9}  {row.dtype:{dtype}}  "
            yield start + textwrap.shorten(row.meaning + slow, max(30, _WIDTH + 20 - len(start)))
        if self.marks_seen:
            yield ""
            yield f"* seen with {self.event} in public requests"
