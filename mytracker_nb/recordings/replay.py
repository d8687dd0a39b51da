"""Exports and a client that read from a recording: nothing is sent, and no key is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from mytracker_nb import clock
from mytracker_nb.client.client import Client
from mytracker_nb.client.export import Export
from mytracker_nb.display.export_card import Card
from mytracker_nb.display.export_table import ListedExport
from mytracker_nb.errors import InvalidRequest, NotRecorded
from mytracker_nb.recordings.entry import Entry
from mytracker_nb.recordings.privacy import PEOPLE
from mytracker_nb.request.request import ExportRequest
from mytracker_nb.request.reuse import DEFAULT_SETTLE
from mytracker_nb.service.api import State
from mytracker_nb.service.rate_limit import RateLimiter
from mytracker_nb.service.retry import OnWait, RetryPolicy
from mytracker_nb.tables.parquet_source import ParquetSource

if TYPE_CHECKING:
    import os

    import pandas as pd

    from mytracker_nb.tables.raw_data import RawData

__all__ = ["RecordedExport", "ReplayClient", "facts_of", "listed_export", "rows_of", "text_of"]

_NOT_SENT = "a recording is replayed, so no requests are sent"


def rows_of(directory: Path, entry: Entry) -> RawData:
    """The rows of an entry; its file is verified by its digest first.

    Raises
    ------
    FileError
        If the file is missing or was changed.
    """
    from mytracker_nb.tables.raw_data import RawData

    source = ParquetSource(directory / entry.file, entry.as_text)
    source.check(entry.sha256)
    return RawData([source], entry.columns, timezone=entry.request.request.zone.key)


class Fact(NamedTuple):
    """One way in which recorded rows differ from those of the service, and in which columns."""

    what: str
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join(filter(None, [self.what, ", ".join(self.columns)]))


def facts_of(entry: Entry) -> list[Fact]:
    """How the rows of an entry differ from those of the service."""
    facts = []
    if entry.person:
        facts.append(Fact(f"{100 * entry.sample:.6g} % of {PEOPLE[entry.person]}"))
    if entry.pseudonyms:
        facts.append(Fact("pseudonyms in", entry.pseudonyms))
    if entry.dropped:
        facts.append(Fact("without", entry.dropped))
    return facts


def text_of(entry: Entry) -> str:
    """`facts_of` as one text."""
    return "; ".join(map(str, facts_of(entry)))


def listed_export(entry: Entry) -> ListedExport:
    """An entry as a row of a list of exports."""
    return ListedExport(
        request=entry.request.request,
        id_raw_export=entry.id_raw_export,
        status=entry.status,
        detail=entry.error_message or text_of(entry),
        created_at=_moment(entry.created_at) or _moment(entry.recorded_at),
        row_count=entry.rows if entry.has_rows else None,
        file_count=1 if entry.file else None,
        is_sandbox=entry.is_sandbox,
        recorded_at=_moment(entry.recorded_at),
    )


class RecordedExport(Export):
    """An export of a recording: finished, with its rows in a file beside the notebook."""

    def __init__(
        self,
        directory: Path,
        entry: Entry,
        request: ExportRequest,
        find_late: Callable[..., Export],
        now: datetime,
    ) -> None:
        facts = text_of(entry)
        super().__init__(
            None,
            entry.id_raw_export,
            request,
            created_at=_moment(entry.created_at),
            notes=(facts,) if facts else (),
            find_or_create=find_late,
        )
        self._recorded_until = now
        self._directory = directory
        self._entry = entry
        self._service = f"recording {directory}"
        self._state = State(entry.status, error_message=entry.error_message)
        if entry.has_rows:
            self._loaded = entry.rows, entry.size

    def refresh(self, retry_policy: RetryPolicy | None = None) -> Export:
        """Return the export itself, whose state does not change."""
        return self

    def _poll(self, retry_policy: RetryPolicy) -> None:
        """Do nothing: the state does not change."""

    def _record(self) -> RawData | None:
        return None

    def _fetched_data(self) -> RawData:
        return rows_of(self._directory, self._entry)

    def _remote_files(self, progress: object = None) -> list[Any]:
        return []

    def cancel(self) -> str:
        """Raise `NotRecorded`: a recorded export is finished."""
        raise NotRecorded(f"export {self.id_raw_export}: {_NOT_SENT}")

    def retry(self) -> Export:
        """Raise `NotRecorded`: nothing new is created."""
        raise NotRecorded(f"export {self.id_raw_export}: {_NOT_SENT}")

    def _now(self) -> datetime:
        # late rows are those until the recording was made, not until it is replayed
        return self._recorded_until

    def download(self, directory: str | os.PathLike[str]) -> list[Path]:
        """Raise `NotRecorded`: a recording does not have the service's files."""
        raise NotRecorded(
            f"export {self.id_raw_export}: a recording has the rows, not the service's files. "
            "Use export.to_parquet(directory)"
        )

    def card(self) -> Card:
        """The export as a card, marked as RECORDED."""
        return Card(
            request=self.request,
            id_raw_export=self.id_raw_export,
            status=self.status,
            progress=self.progress,
            is_sandbox=self._entry.is_sandbox,
            created_at=self.created_at,
            error_message=self.error_message,
            notes=self.notes,
            recorded_at=_moment(self._entry.recorded_at),
            row_count=self.rows,
        )


class _Account:
    """The account of a recording, which is not known."""

    base_url = ""
    api_user_id: Any = None

    def __init__(self, is_sandbox: bool) -> None:
        self.is_sandbox = is_sandbox


class _NoService:
    """Replaces `Api`: each call raises `NotRecorded`."""

    rate_limiter = RateLimiter()

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotRecorded(_NOT_SENT)


class _NoJournal:
    """Replaces `Journal`: it has no entries."""

    def find_same(self, request: ExportRequest) -> tuple[()]:
        return ()


class ReplayClient(Client):
    """A client whose exports are those of a recording.

    Parameters
    ----------
    find : callable
        Returns the recorded export of a request, or raises `NotRecorded`.
    attach : callable
        Returns the recorded export with an id, or raises `NotRecorded`.
    is_sandbox : bool
        Whether some rows of the recording are generated by a sandbox.
    recorded_at : datetime.datetime or None
        When its newest export was recorded.
    """

    def __init__(
        self,
        find: Callable[[ExportRequest], Export],
        attach: Callable[[int], Export],
        *,
        is_sandbox: bool,
        recorded_at: datetime | None,
    ) -> None:
        self._find = find
        self._attach = attach
        self.recorded_at = recorded_at
        self.credentials: Any = _Account(is_sandbox)
        self.api: Any = _NoService()
        self.journal: Any = _NoJournal()
        self.limits = None
        self.settle = DEFAULT_SETTLE

    def create(self, request: ExportRequest) -> Export:
        """The recorded export of the request."""
        return self.export(request)

    def attach(self, id_raw_export: int) -> Export:
        """The recorded export with this id."""
        return self._attach(int(id_raw_export))

    def export(
        self,
        request: ExportRequest,
        *,
        fresh: bool = False,
        settle: str | timedelta | None = None,
        on_wait: OnWait | None = None,
        retry_policy: RetryPolicy | None = None,
    ) -> Export:
        """The recorded export of the request; the options have no effect."""
        problems = request.check(clock.now())
        if any(problem.severity == "error" for problem in problems):
            raise InvalidRequest(problems)
        return self._find(request)

    def _reuse_or_create(self, request: ExportRequest, *args: Any, **options: Any) -> Export:
        return self._find(request)

    def _send(self, request: ExportRequest, *args: Any, **options: Any) -> Export:
        return self._find(request)

    def _record(self, request: ExportRequest) -> Any:
        return None

    def _reuse(self, request: ExportRequest, earlier: Iterable[Any], *args: Any) -> Export | None:
        return None

    def quotas(self) -> pd.DataFrame:
        """Raise `NotRecorded`: no requests are sent."""
        raise NotRecorded(_NOT_SENT)

    def __repr__(self) -> str:
        return "<Client of a recording>"


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
