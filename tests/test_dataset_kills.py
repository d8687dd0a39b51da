"""Processes that bring a dataset up to date are killed (kill -9), or do it at once.

    python tests/test_dataset_kills.py [ROUNDS] [SEED]

prints what happened in more rounds than the test has.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from fake_clock import HurriedClock

import mytracker_nb as mt
from mytracker_nb import clock
from mytracker_nb.plans.plan import Plan
from mytracker_nb.sandbox.server import Sandbox
from mytracker_nb.service.rate_limit import RateLimiter
from mytracker_nb.tables.dataset import MANIFEST

HOUR, DAY = 3600, 86_400
SPEED = 60  # seconds of the clock in a second, so that claims of the dead run out
EVENING = datetime(2026, 6, 7, 20, tzinfo=timezone.utc).timestamp()
COLUMNS = ["idDevice", "tsEvent", "eventName", "tsInsert"]
WHOLE = {"dateFrom": "2026-06-01", "dateTo": "2026-06-12"}
IN_DOUBT = (mt.ExportFailed, mt.CreateUnconfirmed)

Account = tuple[int, str, str]
Rows = Counter[tuple[Any, ...]]


class SharedClock(HurriedClock):
    """One time for several processes: it runs on from `base`, which was at `began`."""

    def __init__(self, base: float, began: float) -> None:
        super().__init__()
        self.base = base
        self.began = began

    def seconds(self) -> float:
        return self.base + (time.time() - self.began) * SPEED

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds(), timezone.utc)


def plan_of(account: Account, every: str | None = None, **parameters: Any) -> Plan:
    client = mt.Client(*account)
    client.api.rate_limiter = RateLimiter({1.0: 10_000}, errors={1.0: 10_000})
    request = {"event": "customEvents", "selectors": COLUMNS, **parameters}
    return Plan(client, mt.ExportRequest(**request), every)


def sync(plan: Plan, directory: Path, partition_by: str | None, *, compact: bool = False) -> None:
    """Bring the dataset up to date; what is in doubt since others were killed is made again."""
    while True:
        try:
            plan.to_parquet(directory, partition_by=partition_by, compact=compact)
            return
        except IN_DOUBT:
            with suppress(*IN_DOUBT):
                plan.retry()


def work(
    ready: Any, at: SharedClock, account: Account, parameters: dict[str, Any], to: Any
) -> None:
    """What the process does that may be killed."""
    with clock.use(at):
        plan = plan_of(account, **parameters)
        ready.set()
        sync(plan, **to)


def rows_of(table: Any) -> Rows:
    return Counter(zip(*(table[name].to_pylist() for name in COLUMNS), strict=True))


def exported(sandbox: Sandbox, account: Account, until: int, last: str) -> Rows:
    """The rows of one export of everything, up to a second of availability."""
    config, limit = sandbox.config, sandbox.config.max_rows
    object.__setattr__(config, "max_rows", 10**9)
    try:
        plan = plan_of(account, **{**WHOLE, "dateTo": last}, availabilityTsTo=until)
        return rows_of(plan._client.create(plan.request).data().to_arrow())
    finally:
        object.__setattr__(config, "max_rows", limit)


def left_behind(directory: Path) -> Counter[str]:
    """What a killed process left, by kind."""
    listed = set()
    with suppress(OSError):
        parts = json.loads((directory / MANIFEST).read_text("utf-8"))["parts"]
        listed = {part["file"] for part in parts}
    files = {path.relative_to(directory).as_posix() for path in directory.rglob("*.parquet")}
    return Counter(
        {
            "half-written directories left": bool(list(directory.glob("_partial-*"))),
            "unlisted files left": bool(files - listed),
            "half-written manifests left": bool(list(directory.glob("._*"))),
        }
    )


def kill_rounds(rounds: int, seed: int, directory: Path, partition_by: str | None) -> Counter[str]:
    """Sync in processes of which most are killed; what happened, and how the dataset ends."""
    chance = random.Random(seed)
    counts: Counter[str] = Counter(rounds=rounds)
    # a server that has imported everything and has no threads: each process is a fork of it
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["test_dataset_kills", "pyarrow.parquet", "pyarrow.dataset"])
    at = SharedClock(EVENING, time.time())
    limit = chance.choice([150, 10_000])
    settings: dict[str, Any] = {"seconds": 0, "without_quotas": True, "unknown_selectors": True}
    settings |= {"scale": 0.1, "lateness": 6.0, "max_rows": limit}
    with clock.use(at), mt.sandbox.start(now=at.seconds, **settings) as sandbox:
        account = sandbox.api_user_id, sandbox.secret_key, sandbox.base_url
        takes = 0.5
        for _ in range(rounds):
            at.base += chance.choice([0.5, 2, 7, 26, 75]) * HOUR
            today = at.now().date().isoformat()
            processes = []
            for _ in range(chance.choice([1, 1, 2])):
                start = chance.randint(1, 6)
                first = f"2026-06-{start:02d}"
                last = max(first, min(today, f"2026-06-{start + chance.randint(0, 6):02d}"))
                parameters = {
                    "dateFrom": first,
                    "dateTo": last,
                    "every": chance.choice([None, "1d"]),
                }
                to = {"directory": directory, "partition_by": partition_by}
                to["compact"] = chance.random() < 0.3
                ready = context.Event()
                process = context.Process(target=work, args=(ready, at, account, parameters, to))
                process.start()
                processes.append(process)
                while process.is_alive() and not ready.wait(0.1):
                    pass
            counts["two at once"] += len(processes) == 2
            for process in processes:
                began = time.monotonic()
                if chance.random() < 0.85:
                    process.join(chance.uniform(0, takes * len(processes)))
                    process.kill()
                process.join()
                if process.exitcode:
                    assert process.exitcode == -9
                    counts["killed"] += 1
                    counts += left_behind(directory)
                else:
                    counts["finished"] += 1
                    takes = (takes + time.monotonic() - began) / 2
            try:
                there = rows_of(mt.open_dataset(directory).to_arrow())
            except mt.FileError as error:
                if "nothing has been fetched" in str(error) or "no Parquet" in str(error):
                    continue  # before the first rows
                raise
            # whatever was killed: no row is there twice, and none that is not one
            until = int(at.seconds()) - 3 * HOUR - 2
            assert not there - exported(sandbox, account, until, min(today, WHOLE["dateTo"]))
            counts["whole states read"] += 1
        at.base += 100 * DAY
        sync(plan_of(account, **WHOLE), directory, partition_by)
        there = rows_of(mt.open_dataset(directory).to_arrow())
        until = json.loads((directory / MANIFEST).read_text("utf-8"))["availableUntil"]
        assert there == exported(sandbox, account, until, WHOLE["dateTo"])
        assert not left_behind(directory).total()
        counts["rows"] = there.total()
        counts["exports"] = len(sandbox.exports)
    return counts


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
@pytest.mark.parametrize("partition_by", [None, "eventName"])
def test_killed_processes_lose_no_rows_and_add_none_twice(
    tmp_path: Path, partition_by: str | None
) -> None:
    counts = kill_rounds(5, 5, tmp_path / "events", partition_by)
    assert counts["killed"] + counts["finished"] >= 5
    assert counts["rows"] > 500


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]] + [50, 1][len(sys.argv) - 1 :]
    for partition in (None, "eventName"):
        with tempfile.TemporaryDirectory() as place:
            print(dict(kill_rounds(*given, Path(place) / "events", partition)))
