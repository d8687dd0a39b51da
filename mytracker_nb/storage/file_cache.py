"""The cache of downloaded files.

It is in the directory of the service (`mytracker_nb.storage.directories`), with a folder for each
service, account and idRawExport. The cache of a sandbox is deleted with it.
"""

from __future__ import annotations

import html
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mytracker_nb import wording
from mytracker_nb.errors import CredentialsMissing, FileError
from mytracker_nb.service import credentials
from mytracker_nb.service.credentials import SERVICE_URL
from mytracker_nb.storage import directories
from mytracker_nb.storage.atomic import PART

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DIGEST", "CachedExport", "FileCache", "cache"]

_LIMIT = 10 << 30
_FOLDER = "files"
DIGEST = 12
"""The length of the prefix of a cached file's name, which identifies its link."""
_STALE = 86_400.0  # seconds after which an unfinished file is a leftover of a process


@dataclass(frozen=True)
class CachedExport:
    """The cached files of one export.

    Attributes
    ----------
    service : str
        The service's host, with its port if it has one.
    account : int
        The API User ID.
    id_raw_export : int
        The id of the export.
    files : int
        The number of cached files; it can be less than the export has.
    size : int
        Bytes on disk.
    last_used : datetime.datetime
        When a file of it was last read (UTC).
    """

    service: str
    account: int
    id_raw_export: int
    files: int
    size: int
    last_used: datetime


class FileCache:
    """A cache of files with a size limit; the least recently used files are deleted first.

    Parameters
    ----------
    root : Path
        The directory; everything below ``root/files`` belongs to the cache.
    limit : int
        The largest size in bytes; 10 GiB by default.
    """

    def __init__(self, root: Path, limit: int = _LIMIT) -> None:
        self.root = root / _FOLDER
        self.limit = limit

    def folder(self, base_url: str, api_user_id: int, id_raw_export: int) -> Path:
        """The folder for the files of an export; it may not exist yet."""
        service = re.sub(r"[^a-z0-9.-]|^\.+", "_", urlsplit(base_url).netloc.lower())
        return self.root / service / str(int(api_user_id)) / str(int(id_raw_export))

    def names(self, base_url: str, api_user_id: int, id_raw_export: int) -> list[str]:
        """The names of the cached files of an export, as the service named them."""
        folder = self.folder(base_url, api_user_id, id_raw_export)
        # names of unfinished files begin with a dot
        return sorted(path.name[DIGEST + 1 :] for path in folder.glob("[!.]*"))

    @property
    def exports(self) -> list[CachedExport]:
        """The exports that have cached files."""
        groups: dict[Path, list[tuple[float, int]]] = {}
        for path, used, size in self._files():
            groups.setdefault(path.parent, []).append((used, size))
        return [
            CachedExport(
                service=folder.parent.parent.name,
                account=int(folder.parent.name),
                id_raw_export=int(folder.name),
                files=len(files),
                size=sum(size for _, size in files),
                last_used=datetime.fromtimestamp(max(used for used, _ in files), timezone.utc),
            )
            for folder, files in sorted(groups.items())
        ]

    @property
    def size(self) -> int:
        """The total size in bytes."""
        return sum(size for _, _, size in self._files())

    def clear(self) -> None:
        """Delete all cached files; they can be downloaded again while the service has them."""
        shutil.rmtree(self.root, ignore_errors=True)

    def trim(self) -> None:
        """Delete the least recently used files until the rest is within the limit."""
        files = sorted(self._files(), key=lambda file: file[1])
        excess = sum(size for _, _, size in files) - self.limit
        for path, _, size in files:
            if excess <= 0:
                break
            # Windows does not delete a file that is being read
            with suppress(OSError):
                path.unlink()
                excess -= size
        for unfinished in self.root.glob(f"*/*/*/*{PART}"):
            with suppress(OSError):
                if time.time() - unfinished.stat().st_mtime > _STALE:
                    unfinished.unlink()

    def to_pandas(self) -> pd.DataFrame:
        """The cached exports as a table, one row per export."""
        import pandas as pd

        names = ["service", "account", "idRawExport", "files", "bytes", "last used"]
        return pd.DataFrame([astuple(export) for export in self.exports], columns=names)

    def _files(self) -> Iterator[tuple[Path, float, int]]:
        """Each cached file, with the time of its last use and its size."""
        for path in self.root.glob("*/[0-9]*/[0-9]*/*"):
            with suppress(OSError):
                if path.suffix != PART:
                    facts = path.stat()
                    yield path, facts.st_mtime, facts.st_size

    def _summary(self) -> str:
        exports = self.exports
        size = sum(export.size for export in exports)
        return (
            f"{wording.size(size)} of {wording.size(self.limit)} in {self.root}, "
            f"files of {len(exports)} exports; .clear() deletes them"
        )

    def __repr__(self) -> str:
        rows = [
            f"  {export.service}  account {export.account}  idRawExport {export.id_raw_export}  "
            f"{export.files} files  {wording.size(export.size)}  "
            f"last used {export.last_used:%Y-%m-%d %H:%M} UTC"
            for export in self.exports
        ]
        return "\n".join([f"<FileCache: {self._summary()}>", *rows])

    def _repr_html_(self) -> str:
        names = ("service", "account", "idRawExport", "files", "size", "last used (UTC)")
        head = "".join(f"<th>{name}</th>" for name in names)
        rows = "".join(
            f"<tr><td>{html.escape(export.service)}</td><td>{export.account}</td>"
            f"<td>{export.id_raw_export}</td><td>{export.files}</td>"
            f"<td>{wording.size(export.size)}</td>"
            f"<td>{export.last_used:%Y-%m-%d %H:%M}</td></tr>"
            for export in self.exports
        )
        return (
            f"<table><caption>{html.escape(self._summary())}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        )


def cache() -> FileCache:
    """The cache of downloaded files of the service in use; a sandbox has its own.

    Returns
    -------
    FileCache
        Its repr lists the cached exports; ``.clear()`` deletes the files.

    Raises
    ------
    FileError
        If the directory can't be created.

    Examples
    --------
    >>> mt.cache().clear()
    """
    try:
        service = credentials.service_in_use()
    except CredentialsMissing:
        service = SERVICE_URL
    try:
        return FileCache(directories.cache_directory(service))
    except (OSError, RuntimeError) as error:  # RuntimeError: no home directory
        raise FileError(
            f"the cache directory can't be used ({error}); set MYTRACKER_NB_CACHE_DIR to a "
            "directory that can be written to",
            file=getattr(error, "filename", None) or "",
        ) from None
