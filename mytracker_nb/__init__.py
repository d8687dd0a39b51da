"""From a notebook cell to a DataFrame of raw MyTracker events.

Names are imported when they are first used, so that importing the package costs little.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mytracker_nb import sandbox as sandbox
    from mytracker_nb.client.client import Client as Client
    from mytracker_nb.client.client import attach as attach
    from mytracker_nb.client.client import export as export
    from mytracker_nb.client.export import Export as Export
    from mytracker_nb.client.export_list import Exports as Exports
    from mytracker_nb.client.export_list import exports as exports
    from mytracker_nb.download.gzip_csv import Limits as Limits
    from mytracker_nb.errors import AccessDenied as AccessDenied
    from mytracker_nb.errors import ApiError as ApiError
    from mytracker_nb.errors import BadRequest as BadRequest
    from mytracker_nb.errors import ConnectionFailed as ConnectionFailed
    from mytracker_nb.errors import CreateUnconfirmed as CreateUnconfirmed
    from mytracker_nb.errors import CredentialsMissing as CredentialsMissing
    from mytracker_nb.errors import ExportCanceled as ExportCanceled
    from mytracker_nb.errors import ExportFailed as ExportFailed
    from mytracker_nb.errors import ExportTimeout as ExportTimeout
    from mytracker_nb.errors import ExportTooLarge as ExportTooLarge
    from mytracker_nb.errors import FileError as FileError
    from mytracker_nb.errors import InvalidRequest as InvalidRequest
    from mytracker_nb.errors import LinkExpired as LinkExpired
    from mytracker_nb.errors import MyTrackerError as MyTrackerError
    from mytracker_nb.errors import NotFound as NotFound
    from mytracker_nb.errors import NotRecorded as NotRecorded
    from mytracker_nb.errors import Problem as Problem
    from mytracker_nb.errors import QueueFull as QueueFull
    from mytracker_nb.errors import QuotaExceeded as QuotaExceeded
    from mytracker_nb.errors import WaitInterrupted as WaitInterrupted
    from mytracker_nb.form.builder import RequestBuilder as RequestBuilder
    from mytracker_nb.plans.plan import Plan as Plan
    from mytracker_nb.plans.plan import plan as plan
    from mytracker_nb.recordings.notebook_check import check_notebook as check_notebook
    from mytracker_nb.recordings.recording import RecordingWarning as RecordingWarning
    from mytracker_nb.recordings.recording import recording as recording
    from mytracker_nb.request.dictionaries import dictionary as dictionary
    from mytracker_nb.request.request import ExportRequest as ExportRequest
    from mytracker_nb.service.rate_limit import RateLimiter as RateLimiter
    from mytracker_nb.storage.file_cache import cache as cache
    from mytracker_nb.storage.journal import journal as journal
    from mytracker_nb.tables.column_list import columns as columns
    from mytracker_nb.tables.dataset import AvailabilityWarning as AvailabilityWarning
    from mytracker_nb.tables.dataset import ParquetDataset as ParquetDataset
    from mytracker_nb.tables.dataset import open_dataset as open_dataset
    from mytracker_nb.tables.raw_data import ColumnTypeWarning as ColumnTypeWarning
    from mytracker_nb.tables.raw_data import RawData as RawData
    from mytracker_nb.tables.raw_data import open_files as open_files

# The public names, by the module in which they live.
_HOMES = {
    "form.builder": ("RequestBuilder",),
    "client.client": ("Client", "attach", "export"),
    "download.gzip_csv": ("Limits",),
    "request.dictionaries": ("dictionary",),
    "errors": (
        "AccessDenied",
        "ApiError",
        "BadRequest",
        "ConnectionFailed",
        "CreateUnconfirmed",
        "CredentialsMissing",
        "ExportCanceled",
        "ExportFailed",
        "ExportTimeout",
        "ExportTooLarge",
        "FileError",
        "InvalidRequest",
        "LinkExpired",
        "MyTrackerError",
        "NotFound",
        "NotRecorded",
        "Problem",
        "QueueFull",
        "QuotaExceeded",
        "WaitInterrupted",
    ),
    "client.export": ("Export",),
    "client.export_list": ("Exports", "exports"),
    "storage.file_cache": ("cache",),
    "tables.column_list": ("columns",),
    "tables.dataset": ("AvailabilityWarning", "ParquetDataset", "open_dataset"),
    "tables.raw_data": ("ColumnTypeWarning", "RawData", "open_files"),
    "storage.journal": ("journal",),
    "plans.plan": ("Plan", "plan"),
    "recordings.notebook_check": ("check_notebook",),
    "recordings.recording": ("RecordingWarning", "recording"),
    "request.request": ("ExportRequest",),
    "service.rate_limit": ("RateLimiter",),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", "sandbox", *_MODULE_OF]


def __getattr__(name: str) -> Any:
    if name == "sandbox":
        return import_module("mytracker_nb.sandbox")
    if name in _MODULE_OF:
        return getattr(import_module(f"mytracker_nb.{_MODULE_OF[name]}"), name)
    text = f"module {__name__!r} has no attribute {name!r}"
    if not name.startswith("_"):
        from mytracker_nb.request.suggestions import closest, did_you_mean

        near = did_you_mean(map(repr, closest(name, __all__, 1)))
        text += f"; {near or 'dir() lists its names'}"
    raise AttributeError(text)


def __dir__() -> list[str]:
    return sorted(__all__)


def load_ipython_extension(shell: Any) -> None:
    """Register the magics: what ``%load_ext mytracker_nb`` calls."""
    from mytracker_nb.magics.magics import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Unregister the magics: what ``%unload_ext mytracker_nb`` calls."""
    from mytracker_nb.magics.magics import unload

    unload(shell)
