"""What keeps a notebook's exports beside it: the place where exports look for it.

`mytracker_nb.recordings` lies above this folder and is installed here while it is in use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd

    from mytracker_nb.request.request import ExportRequest
    from mytracker_nb.tables.raw_data import RawData

__all__ = ["Recorder", "recorder_in_use", "use_recorder"]


class Recorder(Protocol):
    """A recording in use."""

    @property
    def refresh(self) -> bool:
        """Whether no earlier export is to be reused."""

    def client(self) -> Any:
        """The `Client` that answers from the recording; None where the service is asked."""

    def resolve(self, request: ExportRequest) -> ExportRequest:
        """The request of a plan; where it is replayed, with its dates as of the recording."""

    def record(self, export: Any, fetch: Callable[[], RawData]) -> RawData:
        """Keep an `Export` that succeeded, unless it is kept already; its rows as they are kept.

        Parameters
        ----------
        export : Export
            The export.
        fetch : callable
            Gives the rows as the service has them.
        """

    def record_failure(self, export: Any) -> None:
        """Keep what the service said of an `Export` that ended without rows."""

    def journal(self) -> pd.DataFrame | None:
        """The recorded exports, in the form of `journal`; None where the service is asked."""


_in_use: Recorder | None = None


def recorder_in_use() -> Recorder | None:
    """The recording of this process; None without one."""
    return _in_use


def use_recorder(recorder: Recorder | None) -> Recorder | None:
    """Install a recording for this process, or none; the one before."""
    global _in_use
    before, _in_use = _in_use, recorder
    return before
