"""`SavedState`: saves the port, key and exports of a sandbox for its next start."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mytracker_nb.sandbox.query import Query
from mytracker_nb.storage.sandbox_dirs import is_private, lock

__all__ = ["SavedState"]

_FILE = "sandbox.json"
_LONGEST_WAIT = 5.0  # seconds to wait for the end of a kernel that is being restarted


class SavedState:
    """The saved state of a sandbox, in a directory that one sandbox at a time can use.

    Parameters
    ----------
    path : path
        The directory; it is created if it does not exist, and only its user can read it.

    Attributes
    ----------
    clients : Path
        The directory for the journal and cache of the sandbox's clients.
    port : int
        The saved port; 0 at the first start.
    secret_key : str
        The saved key; ``""`` at the first start.
    offset : float
        By how many seconds its clock was advanced.

    Raises
    ------
    OSError
        If the directory can't be used, or another sandbox uses it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not is_private(self.path):
            raise OSError(f"{self.path} can be read by other users")
        self._lock = _lock_in_time(self.path)
        self.clients = self.path / "clients"
        self.clients.mkdir(mode=0o700, exist_ok=True)
        file = self.path / _FILE
        content: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {}
        self.port: int = content.get("port", 0)
        self.secret_key: str = content.get("secret_key", "")
        self.offset: float = content.get("offset", 0.0)
        self._exports: list[dict[str, Any]] = content.get("exports", [])

    def exports(self) -> list[dict[str, Any]]:
        """The attributes of each saved export."""
        return [{**facts, "query": _query(facts["query"])} for facts in self._exports]

    def save(self, exports: Iterable[Mapping[str, Any]], offset: float) -> None:
        """Save the state atomically."""
        facts = [{**each, "query": _facts(each["query"])} for each in exports]
        content = {
            "port": self.port,
            "secret_key": self.secret_key,
            "offset": offset,
            "exports": facts,
        }
        partial = self.path / f"{_FILE}.new"
        partial.write_text(json.dumps(content), "utf-8")
        partial.replace(self.path / _FILE)

    def release(self) -> None:
        """Let another sandbox use the directory; a second call does nothing."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def delete(self) -> None:
        """Delete the directory."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.release()


def _lock_in_time(path: Path) -> int | None:
    end = time.monotonic() + _LONGEST_WAIT
    while True:
        try:
            return lock(path, wait=False)
        except BlockingIOError:
            if time.monotonic() > end:
                raise OSError(f"another sandbox runs on {path}") from None
        time.sleep(0.1)


def _facts(query: Query) -> dict[str, Any]:
    filters = {name: sorted(values) for name, values in query.filters.items()}
    return asdict(replace(query, filters={})) | {"filters": filters}


def _query(facts: Mapping[str, Any]) -> Query:
    filters = {name: frozenset(values) for name, values in facts["filters"].items()}
    return Query(**{**facts, "selectors": tuple(facts["selectors"]), "filters": filters})
