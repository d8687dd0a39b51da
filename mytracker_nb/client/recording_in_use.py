"""The recording in use, as exports see it.

The recording itself is in `mytracker_nb.recordings`, above this folder; it is registered here while
it is in use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd

    from mytracker_nb.display.export_table import ListedExport
    from mytracker_nb.request.request import ExportRequest
    from mytracker_nb.tables.raw_data import RawData

__all__ = ["Recorder", "recorder_in_use", "use_recorder"]


class Recorder(Protocol):
    """A recording in use."""

    @property
    def refresh(self) -> bool:
        """Whether earlier exports must not be reused."""

    def client(self) -> Any:
        """The `Client` that answers from the recording; None while one is being made."""

    def resolve(self, request: ExportRequest) -> ExportRequest:
        """The request of a plan; in a replay, with its dates as of the recording."""

    def record(self, export: Any, fetch: Callable[[], RawData]) -> RawData:
        """Store an `Export` that succeeded, unless it is already stored; return the stored rows.

        Parameters
        ----------
        export : Export
            The export.
        fetch : callable
            Returns the rows from the service's files.
        """

    def record_failure(self, export: Any) -> None:
        """Store the error of an `Export` that ended without rows."""

    def exports(self) -> list[ListedExport] | None:
        """The recorded exports, the newest first; None while a recording is being made."""

    def journal(self) -> pd.DataFrame | None:
        """The recorded exports, as `mt.journal()` lists them; None while one is being made."""


_in_use: Recorder | None = None


def recorder_in_use() -> Recorder | None:
    """The recording in use in this process; None if there is none."""
    return _in_use


def use_recorder(recorder: Recorder | None) -> Recorder | None:
    """Set the recording in use, or None for none; return the previous one."""
    global _in_use
    before, _in_use = _in_use, recorder
    return before
