"""The exports of a sandbox: queue, progress, files.

Source: pages ``export-api/raw/get``, ``raw/cancel`` and ``download``.
"""

from __future__ import annotations

import gzip
import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from mytracker_nb.sandbox.clock import Clock
from mytracker_nb.sandbox.config import Config
from mytracker_nb.sandbox.query import BadRequest, Query

if TYPE_CHECKING:
    from mytracker_nb.sandbox.events import Rows
    from mytracker_nb.sandbox.saved_state import SavedState

__all__ = ["Export", "Exports", "QueueFull"]

TOO_MANY_LINES = "Too many lines in export"
TOO_MUCH_DATA = "Too much export data"
ERROR = "Error occurred"
# the attributes of an export that are saved for a restart
_KEPT = ("id", "query", "created", "outcome", "canceled")
# rows that are written at a time
_BLOCK = 100_000


class QueueFull(BadRequest):
    """Too many exports are in progress.

    Attributes
    ----------
    exports : list of int
        The idRawExport of each of them.
    """

    def __init__(self, exports: list[int]) -> None:
        super().__init__(
            "Maximum number of simultaneous requests reached. "
            "Wait until there is space available in the queue."
        )
        self.exports = exports


@dataclass(eq=False)
class Export:
    """An export that was accepted.

    Attributes
    ----------
    id : int
        Its idRawExport.
    query : Query
        The request.
    created : float
        When it was created, in Unix seconds.
    outcome : str
        A forced outcome: ``Error occurred``, ``Too many lines in export`` or ``Too much export
        data``; with ``""`` it depends on the data. It can be set while the export is in progress.
    canceled : bool
        Whether it was cancelled.
    """

    id: int
    query: Query
    created: float
    config: Config
    directory: Path
    outcome: str = ""
    canceled: bool = False

    def __post_init__(self) -> None:
        self._lock = RLock()

    def progress(self, now: float) -> float:
        """The progress, from 0.0 to 1.0."""
        seconds = self.config.seconds
        return min((now - self.created) / seconds, 1.0) if seconds > 0 else 1.0

    def is_in_progress(self, now: float) -> bool:
        """Whether it is in progress, and so in the queue."""
        return not self.canceled and self.progress(now) < 1

    def is_cancellable(self, now: float) -> bool:
        """Whether it can be cancelled."""
        return self.is_in_progress(now) and self.progress(now) < self.config.cancellable_until

    @property
    def expires(self) -> int:
        """When its links expire, in Unix seconds."""
        return int(self.created + self.config.seconds + self.config.link_seconds)

    @cached_property
    def day_ranges(self) -> list[tuple[int, int, int]]:
        """The first day, last day and row count of ranges of UTC days; stops if it is too large."""
        from mytracker_nb.sandbox.events import day_ranges, rows_of_days

        found: list[tuple[int, int, int]] = []
        total = 0
        for first, last in day_ranges(self.query, self.config.scale):
            count = len(rows_of_days(self.query, self.config, first, last))
            found.append((first, last, count))
            total += count
            if self._too_large(total):
                break
        return found

    @property
    def rows(self) -> int:
        """How many rows it has; if it is too large, at least how many."""
        with self._lock:
            return sum(count for _, _, count in self.day_ranges)

    def _too_large(self, rows: int) -> str:
        if rows > self.config.max_rows:
            return TOO_MANY_LINES
        if rows * len(self.query.selectors) > self.config.max_cells:
            return TOO_MUCH_DATA
        return ""

    def answer(self, now: float, storage: str) -> dict[str, Any]:
        """The data of the service's response about it.

        Parameters
        ----------
        now : float
            The time in Unix seconds.
        storage : str
            The URL to which the names of its files are appended.
        """
        if self.canceled:
            return {"status": "Canceled by user"}
        if self.is_in_progress(now):
            return {
                "status": "In progress",
                "progress": f"{int(100 * self.progress(now))}%",
                "isCancellable": self.is_cancellable(now),
            }
        outcome = self.outcome or self._too_large(self.rows)
        if outcome == ERROR:
            return {"status": ERROR}
        if outcome:
            return {"status": "User error occurred", "errorMessage": outcome}
        files = [
            {"link": storage + name, "timestampExpires": str(self.expires)} for name in self.names
        ]
        return {"status": "Success!", "files": files}

    @property
    def names(self) -> list[str]:
        """The names of its files."""
        config = self.config
        count = max(min(config.files, self.rows), -(-self.rows // config.rows_per_file), 1)
        digest = hashlib.blake2b(f"{self.id} {config.secret_key}".encode(), digest_size=16)
        stem = f"{self.id}.{self.query.event}.{digest.hexdigest()}"
        return [f"{stem}.{number}.csv.gz" for number in range(count)]

    def has_file(self, name: str, now: float) -> bool:
        """Whether the export has succeeded and has a file of this name."""
        return self.answer(now, "")["status"] == "Success!" and name in self.names

    def file(self, name: str) -> Path:
        """The path of one of its files, which is written when it is first requested.

        Parameters
        ----------
        name : str
            One of `names`.
        """
        from mytracker_nb.sandbox.csvtext import write

        path = self.directory / name
        with self._lock:
            if not path.exists():
                names = self.names
                number = names.index(name)
                first = self.rows * number // len(names)
                last = self.rows * (number + 1) // len(names)
                write(path, self.query.selectors, self._texts(first, last))
        return path

    def _texts(self, first: int, last: int) -> Iterator[bytes]:
        from mytracker_nb.sandbox.columns import column
        from mytracker_nb.sandbox.csvtext import lines

        zone = ZoneInfo(self.query.timezone)
        for rows in self._rows(first, last):
            for start in range(0, len(rows), _BLOCK):
                block = rows.take(slice(start, start + _BLOCK))
                yield lines([column(name, block, zone) for name in self.query.selectors])

    def _rows(self, first: int, last: int) -> Iterator[Rows]:
        """The rows from number `first` up to number `last` (exclusive), by time."""
        from mytracker_nb.sandbox.events import rows_of_days

        passed = 0
        for first_day, last_day, count in self.day_ranges:
            start, end = max(first - passed, 0), min(last - passed, count)
            if start < end:
                rows = rows_of_days(self.query, self.config, first_day, last_day)
                yield rows.by_time().take(slice(start, end))
            passed += count

    def served(self) -> list[str]:
        """The text of each of its files."""
        return [gzip.decompress(self.file(name).read_bytes()).decode() for name in self.names]


class Exports(dict[int, Export]):
    """The exports of an account by their idRawExport.

    Parameters
    ----------
    config : Config
        The sandbox's settings.
    clock : Clock
        The sandbox's time.
    directory : Path
        The directory of the files.
    saved : SavedState, optional
        Saves the exports for the next start, and has those of the last one.
    """

    def __init__(
        self, config: Config, clock: Clock, directory: Path, saved: SavedState | None = None
    ) -> None:
        super().__init__()
        self._saved = saved
        self._config = config
        self._clock = clock
        self._directory = directory
        self.outcomes: deque[str] = deque()
        for facts in saved.exports() if saved else ():
            self[facts["id"]] = Export(config=config, directory=directory, **facts)

    def create(self, query: Query) -> Export:
        """Create an export.

        Raises
        ------
        QueueFull
            If too many exports are in progress.
        """
        now = self._clock()
        waiting = [export.id for export in self.values() if export.is_in_progress(now)]
        if len(waiting) >= self._config.queue:
            raise QueueFull(waiting)
        outcome = self.outcomes.popleft() if self.outcomes else ""
        export = Export(len(self) + 1, query, now, self._config, self._directory, outcome)
        self[export.id] = export
        self.save()
        return export

    def cancel(self, export: Export) -> None:
        """Cancel an export that is in progress."""
        export.canceled = True
        self.save()

    def save(self) -> None:
        """Save the exports for the next start, if the sandbox saves its state."""
        if self._saved:
            facts = [{name: getattr(each, name) for name in _KEPT} for each in self.values()]
            self._saved.save(facts, self._clock.offset)
