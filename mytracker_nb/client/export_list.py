"""`Exports`: the list of earlier exports; it can attach to each of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from mytracker_nb.client.client import Client, default_client, refresh_listed
from mytracker_nb.client.recording_in_use import recorder_in_use
from mytracker_nb.display.export_table import ExportTable, ListedExport
from mytracker_nb.endpoints import is_local
from mytracker_nb.errors import MyTrackerError, NotFound
from mytracker_nb.request.dictionaries import dictionary
from mytracker_nb.request.suggestions import closest, did_you_mean
from mytracker_nb.service.rate_limit import limit_text
from mytracker_nb.snippets import runnable
from mytracker_nb.storage.journal import CreateState, JournalEntry, journal_entries

if TYPE_CHECKING:
    import pandas as pd

    from mytracker_nb.client.export import Export

__all__ = ["Exports", "exports"]

_SHOWN = 20


def exports(
    event: str | None = None,
    *,
    last: int | None = None,
    account: int | None = None,
    offline: bool = False,
) -> Exports:
    """List the exports that were created on this machine, the newest first.

    The list is that of the service in use (a sandbox has its own list), or of the recording that is
    replayed.

    Parameters
    ----------
    event : str, optional
        Only exports of this event.
    last : int, optional
        Only the newest `last` exports.
    account : int, optional
        Only exports of this API User ID.
    offline : bool
        Whether to show statuses as last known. Otherwise each export that is shown and not final is
        polled once, as far as the quotas allow.

    Returns
    -------
    Exports
        It is shown as a table; ``exports[4]`` attaches to export 4, ``.frame`` is a DataFrame.

    Raises
    ------
    ValueError
        If there is no such event, or `last` is not positive.

    Examples
    --------
    >>> found = mt.exports("installs", last=5)
    >>> export = found[4]
    >>> found.frame["status"].tolist()
    ['Success!']
    """
    events = dictionary("event")
    if event is not None and event not in events:
        hint = did_you_mean(closest(event, events)) or events.accepted()
        raise ValueError(f"unknown event {event!r}; {hint}")
    if last is not None and last < 1:
        raise ValueError(f"last is {last}; use a number from 1")
    found = [
        export
        for export in _listed()
        if event in (None, export.event) and account in (None, export.account)
    ]
    return Exports(found[:last], shown=last or _SHOWN, offline=offline)


def _listed() -> list[ListedExport]:
    recorder = recorder_in_use()
    recorded = None if recorder is None else recorder.exports()
    return [_of_entry(entry) for entry in journal_entries()] if recorded is None else recorded


def _of_entry(entry: JournalEntry) -> ListedExport:
    is_known = entry.state is CreateState.CREATED and entry.status
    return ListedExport(
        request=entry.request,
        id_raw_export=entry.id_raw_export,
        status=entry.status if is_known else entry.state.value,
        detail=entry.detail,
        created_at=entry.asked_at,
        row_count=entry.row_count,
        file_count=entry.file_count,
        files_until=entry.files_until,
        account=entry.account,
        is_sandbox=is_local(entry.service),
    )


class Exports:
    """A list of earlier exports; created by `exports`.

    Iterating over it gives their ids. Statuses that are not final are refreshed each time it is
    shown.

    Examples
    --------
    >>> found = mt.exports()
    >>> list(found)
    [4]
    >>> found[4].status
    'Success!'
    """

    def __init__(self, found: list[ListedExport], *, shown: int, offline: bool) -> None:
        self._found = found
        self._shown = shown
        self._offline = offline
        self._notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[int]:
        return (export.id_raw_export for export in self._found if export.id_raw_export is not None)

    def __contains__(self, id_raw_export: object) -> bool:
        return id_raw_export in set(self)

    def __getitem__(self, id_raw_export: int) -> Export:
        """Attach to an export of the list.

        Parameters
        ----------
        id_raw_export : int
            Its idRawExport.

        Returns
        -------
        Export
            With the status that the service reports now.

        Raises
        ------
        KeyError
            If the list does not have it.
        MyTrackerError
            If it is of another account than the one in use; otherwise as `attach`.
        """
        accounts = {
            export.account for export in self._found if export.id_raw_export == id_raw_export
        }
        if not accounts:
            raise KeyError(f"the list has no export {id_raw_export!r}")
        client = default_client()
        # exports of a recording have no account
        if None not in accounts and client.credentials.api_user_id not in accounts:
            (account, *_) = accounts
            raise MyTrackerError(
                f"export {id_raw_export} belongs to account {account}, and account "
                f"{client.credentials.api_user_id} is in use. Log in with "
                f"%mytracker_login {account}"
            )
        return client.attach(id_raw_export)

    def refresh(self) -> Exports:
        """Poll each export that is shown and not final once, as far as the quotas allow.

        Returns
        -------
        Exports
            The list itself. Exports that could not be polled are shown as last known, with a note.
        """
        running = [
            number for number, export in enumerate(self._found[: self._shown]) if export.is_running
        ]
        self._notes = ()
        try:
            if running:
                self._ask(default_client(), running)
        except MyTrackerError as error:
            self._notes = (f"statuses are as last known: {error}",)
        return self

    def _ask(self, client: Client, running: list[int]) -> None:
        others = 0
        for number in running:
            export = self._found[number]
            assert export.id_raw_export is not None
            if export.account != client.credentials.api_user_id:
                others += 1
                continue
            delay = client.api.rate_limiter.delay()
            if delay > 0:
                raise MyTrackerError(limit_text(delay))
            try:
                asked = refresh_listed(client, export.id_raw_export)
            except NotFound:
                self._found[number] = replace(export, status=CreateState.NOT_FOUND.value)
                continue
            ends = [file.expires for file in asked.files if file.expires is not None]
            self._found[number] = replace(
                export,
                status=asked.status,
                progress=asked.progress,
                detail=asked.error_message or export.detail,
                file_count=len(asked.files) if asked.is_finished else None,
                files_until=min(ends, default=None),
            )
        if others:
            self._notes = (
                f"{others} running {'export belongs' if others == 1 else 'exports belong'} to an "
                "account that is not in use; the status is as last known",
            )

    @property
    def frame(self) -> pd.DataFrame:
        """The list as a DataFrame: a row for each export; unknown values are missing."""
        import pandas as pd

        utc = "datetime64[us, UTC]"
        columns = {
            "idRawExport": ("Int64", [export.id_raw_export for export in self._found]),
            "event": ("str", [export.event for export in self._found]),
            "request": ("str", [export.request.to_magic(line=True) for export in self._found]),
            "status": ("str", [export.status for export in self._found]),
            "progress": ("Float64", [export.progress for export in self._found]),
            "detail": ("str", [export.detail for export in self._found]),
            "created": (utc, [export.created_at for export in self._found]),
            "rows": ("Int64", [export.row_count for export in self._found]),
            "files": ("Int64", [export.file_count for export in self._found]),
            "filesUntil": (utc, [export.files_until for export in self._found]),
            "account": ("Int64", [export.account for export in self._found]),
            "sandbox": ("bool", [export.is_sandbox for export in self._found]),
        }
        series = partial(pd.Series, index=range(len(self._found)))
        return pd.DataFrame(
            {name: series(values, dtype=kind) for name, (kind, values) in columns.items()}
        )

    def table(self) -> ExportTable:
        """The list as a table, with statuses as last known.

        Returns
        -------
        ExportTable
            The shown exports and notes; ``.html()`` and ``.text()`` show it.
        """
        shown = self._found[: self._shown]
        numbers = list(self)
        notes = list(self._notes)
        if not self._found:
            notes.append("No exports were found on this machine.")
        elif len(shown) < len(self._found):
            notes.append(f"last={len(self._found)} (--last {len(self._found)}) shows all.")
        code = runnable(f"mt.attach({numbers[0]}).to_pandas()") if numbers else ""
        return ExportTable(shown, len(self._found), notes, code)

    def __repr__(self) -> str:
        return self.table().text()

    def __str__(self) -> str:
        return self._current().text()

    def _current(self) -> ExportTable:
        return self.table() if self._offline else self.refresh().table()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        # IPython's protocol for objects that render themselves
        return self._current()._repr_mimebundle_()
