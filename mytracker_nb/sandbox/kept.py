"""What a sandbox keeps on disk for its next start: its address, its key and its exports."""

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
from mytracker_nb.storage.sandbox_dirs import hold, is_private

__all__ = ["Kept"]

_FILE = "sandbox.json"
_PATIENCE = 5.0  # seconds in which the kernel that was restarted is gone


class Kept:
    """A directory of one sandbox at a time, which outlives it.

    Parameters
    ----------
    path : path
        The directory; it is made if there is none, and only its user can look into it.

    Attributes
    ----------
    clients : Path
        For what the clients of the sandbox keep of it.
    port : int
        The port it had; 0 at the first start.
    secret_key : str
        The key it had; ``""`` at the first start.
    offset : float
        How far its clock was moved, in seconds.

    Raises
    ------
    OSError
        If the directory can't be used, or another sandbox uses it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not is_private(self.path):
            raise OSError(f"{self.path} is not a directory that only this user can look into")
        self._held = _hold_soon(self.path)
        self.clients = self.path / "clients"
        self.clients.mkdir(mode=0o700, exist_ok=True)
        file = self.path / _FILE
        content: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {}
        self.port: int = content.get("port", 0)
        self.secret_key: str = content.get("secret_key", "")
        self.offset: float = content.get("offset", 0.0)
        self._exports: list[dict[str, Any]] = content.get("exports", [])

    def exports(self) -> list[dict[str, Any]]:
        """What it had of each export, as `save` was given it."""
        return [{**facts, "query": _query(facts["query"])} for facts in self._exports]

    def save(self, exports: Iterable[Mapping[str, Any]], offset: float) -> None:
        """Write all of it down; a kill leaves what was there before."""
        facts = [{**each, "query": _facts(each["query"])} for each in exports]
        content = {
            "port": self.port,
            "secret_key": self.secret_key,
            "offset": offset,
            "exports": facts,
        }
        half = self.path / f"{_FILE}.new"
        half.write_text(json.dumps(content), "utf-8")
        half.replace(self.path / _FILE)

    def release(self) -> None:
        """Leave it to the next sandbox; a second call does nothing."""
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def delete(self) -> None:
        """Keep nothing of it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.release()


def _hold_soon(path: Path) -> int | None:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            return hold(path, wait=False)
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
