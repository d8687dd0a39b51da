"""The list of exports: what `mytracker_nb.exports` and ``%mytracker_exports`` show."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from typing import ClassVar

from mytracker_nb import clock, wording
from mytracker_nb.display.export_card import Renderable, bar, one_line
from mytracker_nb.display.request_words import filter_words, window_words
from mytracker_nb.request.request import ExportRequest
from mytracker_nb.statuses import is_final, tone_of

__all__ = ["ExportTable", "ListedExport"]

_WIDTH = 100


@dataclass(frozen=True)
class ListedExport:
    """What a list shows of an export, or of a create that got no id.

    Attributes
    ----------
    request : ExportRequest
        What was asked for.
    id_raw_export : int or None
        The service's id; None where it did not answer one.
    status : str
        The service's own word, or what is known of the create.
    detail : str
        Why it failed, was refused or is unconfirmed.
    progress : float or None
        From 0 to 1, if it was asked for just now.
    created_at : datetime.datetime or None
        When it was created.
    row_count, file_count : int or None
        How many rows and files it has, as far as that is known.
    files_until : datetime.datetime or None
        When the service deletes the first of its files.
    account : int or None
        The API User ID.
    is_sandbox : bool
        Whether its data is made up.
    recorded_at : datetime.datetime or None
        When its rows were recorded, where they come from a recording.
    """

    request: ExportRequest
    id_raw_export: int | None
    status: str
    detail: str = ""
    progress: float | None = None
    created_at: datetime | None = None
    row_count: int | None = None
    file_count: int | None = None
    files_until: datetime | None = None
    account: int | None = None
    is_sandbox: bool = False
    recorded_at: datetime | None = None

    @property
    def is_running(self) -> bool:
        """Whether the service may say something else of it later."""
        return self.id_raw_export is not None and not is_final(self.status)

    @property
    def title(self) -> str:
        """Its id."""
        return "-" if self.id_raw_export is None else str(self.id_raw_export)

    @property
    def event(self) -> str:
        """The event of the request."""
        return str(self.request.parameters.get("event", ""))

    @property
    def selectors(self) -> tuple[str, ...]:
        """The columns of the request."""
        return tuple(map(str, self.request.parameters.get("selectors", ())))

    @cached_property
    def window(self) -> str:
        """The window in words."""
        return one_line(window_words(self.request))

    @cached_property
    def filters(self) -> str:
        """The filters in words."""
        return one_line(filter_words(self.request))

    @property
    def state(self) -> str:
        """The status with the progress."""
        share = "" if self.progress is None or not self.is_running else f", {self.progress:.0%}"
        return one_line(self.status) + share

    @property
    def tone(self) -> str:
        """The class of the status."""
        if self.id_raw_export is None:
            return "bad"
        return tone_of(self.status).value

    @property
    def age(self) -> str:
        """How long ago it was created."""
        return wording.ago(self.created_at) if self.created_at else ""

    @property
    def created(self) -> str:
        """When it was created (UTC)."""
        return _moment(self.created_at) if self.created_at else ""

    @property
    def rows(self) -> str:
        """How many rows were loaded."""
        return "" if self.row_count is None else f"{self.row_count:,}"

    @property
    def files(self) -> str:
        """How many files there are, and until when."""
        if self.file_count is None:
            return ""
        if self.files_until is None or not self.file_count:
            return str(self.file_count)
        is_over = self.files_until <= clock.now()
        return f"{self.file_count}, {'deleted' if is_over else 'until'} {_moment(self.files_until)}"


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M}"


@dataclass(frozen=True)
class ExportTable(Renderable):
    """A list of exports, the newest first.

    Attributes
    ----------
    exports : sequence of ListedExport
        The exports that are shown.
    total : int
        How many there are.
    notes : sequence of str
        What there is to know of the list, such as that it is not up to date.
    code : str
        The code that attaches to the newest.
    """

    exports: Sequence[ListedExport]
    total: int
    notes: Sequence[str] = ()
    code: str = ""

    template: ClassVar[str] = "exports.html"

    @property
    def title(self) -> str:
        """How many exports are shown, of how many."""
        shown = len(self.exports)
        count = f"{shown} of {self.total}" if shown < self.total else str(shown)
        return f"{count} export{'s' * (self.total != 1)}" + ", newest first" * (shown > 1)

    @property
    def is_sandbox(self) -> bool:
        """Whether the data of all of them is made up."""
        return bool(self.exports) and all(export.is_sandbox for export in self.exports)

    @property
    def is_recorded(self) -> bool:
        """Whether all of them are recorded."""
        return bool(self.exports) and all(export.recorded_at for export in self.exports)

    def marks(self, export: ListedExport) -> tuple[str, ...]:
        """What is special about one export, if it is not about all."""
        marks = ("SANDBOX",) * (export.is_sandbox and not self.is_sandbox)
        return marks + (f"account {export.account}",) * (len(self._accounts) > 1)

    @cached_property
    def _accounts(self) -> set[int | None]:
        return {export.account for export in self.exports}

    @cached_property
    def _common(self) -> Mapping[tuple[str, str, str], tuple[set[str], set[tuple[str, ...]]]]:
        """The columns that exports of the same event, window and filters share."""
        groups: dict[tuple[str, str, str], set[tuple[str, ...]]] = defaultdict(set)
        for export in self.exports:
            groups[_kind(export)].add(export.selectors)
        return {kind: (set.intersection(*map(set, lists)), lists) for kind, lists in groups.items()}

    def columns(self, export: ListedExport) -> str:
        """How many columns it has; those that tell it from others of the same window by name."""
        common, lists = self._common[_kind(export)]
        count = str(len(export.selectors))
        if len(lists) == 1:
            return count
        others = [name for name in export.selectors if name not in common]
        if others:
            return f"{count}, with {', '.join(map(one_line, others))}"
        is_order = any(set(names) == common and names != export.selectors for names in lists)
        return f"{count}, {', '.join(map(one_line, export.selectors))}" if is_order else count

    def lines(self) -> Iterator[str]:
        """The lines of the plain text."""
        badges = "  [SANDBOX]" * self.is_sandbox + "  [RECORDED]" * self.is_recorded
        yield f"MyTracker: {self.title}{badges}"
        for note in self.notes:
            yield from textwrap.wrap(note, _WIDTH, break_long_words=False, break_on_hyphens=False)
        cells = [
            (export.title, export.event, export.window, export.state, export.age)
            for export in self.exports
        ]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for export, row in zip(self.exports, cells, strict=True):
            yield "  ".join(
                [f"{row[0]:>{widths[0]}}", *map(str.ljust, row[1:], widths[1:])]
            ).rstrip()
            indent = " " * (widths[0] + 2)
            if export.is_running and export.progress is not None:
                yield f"{indent}{bar(export.progress)}"
            facts = [
                f"{self.columns(export)} column{'s' * (len(export.selectors) != 1)}"
                if "," not in self.columns(export)
                else self.columns(export).replace(",", " columns,", 1),
                f"{export.rows} rows" if export.rows else "",
                f"files: {export.files}" if export.files else "",
                export.filters,
                *self.marks(export),
                one_line(export.detail),
            ]
            yield textwrap.fill(
                "; ".join(filter(None, facts)),
                _WIDTH,
                initial_indent=indent,
                subsequent_indent=indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
        if self.code:
            yield f"Moments are in UTC. To get one: {self.code}"


def _kind(export: ListedExport) -> tuple[str, str, str]:
    return export.event, export.window, export.filters
