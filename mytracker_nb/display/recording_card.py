"""How a recording looks: what it has, from when, and what its author should look at."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import ClassVar

from mytracker_nb import wording
from mytracker_nb.display.export_card import Renderable
from mytracker_nb.errors import printable

__all__ = ["RecordingCard"]

_WIDTH = 100


@dataclass(frozen=True)
class RecordingCard(Renderable):
    """What is to be shown of a recording.

    Attributes
    ----------
    directory : str
        Where it is.
    is_replayed : bool
        Whether exports come from it.
    is_sandbox : bool
        Whether rows in it are made up.
    exports, rows, size : int
        How many exports and rows it has, and its bytes.
    first, last : datetime.datetime or None
        When its exports were recorded.
    facts : tuple of str
        How its rows differ from those of the service.
    unused : tuple of str
        Entries that no cell has used.
    findings : tuple of str
        What may identify a person.
    """

    directory: str
    is_replayed: bool
    is_sandbox: bool
    exports: int
    rows: int
    size: int
    first: datetime | None
    last: datetime | None
    facts: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()

    template: ClassVar[str] = "recording.html"

    @property
    def state(self) -> str:
        """Whether it is recorded or replayed."""
        return "replayed: the service is not asked" if self.is_replayed else "being recorded"

    @property
    def recorded(self) -> str:
        """From when it is."""
        if self.first is None or self.last is None:
            return "nothing yet"
        days = [f"{moment.astimezone(timezone.utc):%Y-%m-%d}" for moment in (self.first, self.last)]
        return " to ".join(dict.fromkeys(days))

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """What there is to know, each fact with its name."""
        rows = f"{self.rows:,} row{'s' * (self.rows != 1)}"
        exports = f"{self.exports} export{'s' * (self.exports != 1)}"
        pairs = [
            ("directory", self.directory),
            ("holds", f"{exports}, {rows}, {wording.size(self.size)}"),
            ("recorded", self.recorded),
            *(("rows", fact) for fact in self.facts),
        ]
        return tuple((name, printable(text)) for name, text in pairs)

    @property
    def alerts(self) -> tuple[tuple[str, str], ...]:
        """What to look at, each with its severity."""
        alerts = [("warning", text) for text in self.findings]
        if self.unused:
            names = ", ".join(self.unused)
            alerts.append(
                ("note", f"no cell has used {names}; %mytracker_recording --prune deletes them")
            )
        return tuple((severity, printable(text)) for severity, text in alerts)

    def lines(self) -> Iterator[str]:
        """The lines of the plain text."""
        yield f"MyTracker recording, {self.state}" + "  [SANDBOX]" * self.is_sandbox
        for name, text in (*self.pairs, *self.alerts):
            yield textwrap.fill(
                text,
                _WIDTH,
                initial_indent=f"  {name:9}  ",
                subsequent_indent=" " * 13,
                break_long_words=False,
                break_on_hyphens=False,
            )
