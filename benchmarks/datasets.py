"""What a month of daily runs costs: a dataset that is brought up to date, beside the other ways.

::

    python benchmarks/datasets.py                   # as in the recipes
    python benchmarks/datasets.py --lateness 6      # two rows of three come late

A sandbox and its clients go by one clock, which is moved. At 6 in the morning of each of 30 days
somebody wants the custom events of the month so far, in one of four ways: a dataset of `mt.plan`;
all days again, as one export or as one a day; or the day before alone, which is never asked for
again. Each way has a sandbox of its own, all of the same world. In the end its rows are compared
with those of one export of the whole month: what is missing, and what is there twice.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from fake_clock import HurriedClock  # noqa: E402

import mytracker_nb as mt  # noqa: E402
from mytracker_nb import clock  # noqa: E402
from mytracker_nb.plans.plan import Plan  # noqa: E402
from mytracker_nb.sandbox.server import Sandbox  # noqa: E402
from mytracker_nb.service.rate_limit import RateLimiter  # noqa: E402

FIRST = date(2026, 5, 1)
COLUMNS = ["idDevice", "tsEvent", "eventName", "tsInsert"]
REQUEST: dict[str, Any] = {"event": "customEvents", "selectors": COLUMNS, "timezone": "UTC"}
Rows = Counter[tuple[Any, ...]]


class MovedClock(HurriedClock):
    """One time for the sandbox and its clients, which only `main` moves."""

    seconds = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, timezone.utc)


class User(NamedTuple):
    """One who wants the rows of the month, each morning."""

    client: mt.Client
    sandbox: Sandbox
    directory: Path

    def export(self, first: date, last: date, **bounds: int) -> Rows:
        """The rows of a new export."""
        request = mt.ExportRequest(**REQUEST, dateFrom=first, dateTo=last, **bounds)
        return rows_of(self.client.create(request).data().to_arrow())


class Way(NamedTuple):
    """A way to have the rows: what is done each morning, and what it is called."""

    name: str
    run: Callable[[User, date, Rows], Rows]


def in_one_export(user: User, today: date, _: Rows) -> Rows:
    return user.export(FIRST, today)


def in_one_a_day(user: User, today: date, _: Rows) -> Rows:
    return sum((user.export(day, day) for day in days(FIRST, today)), Rows())


def the_day_before(user: User, today: date, there: Rows) -> Rows:
    yesterday = today - timedelta(days=1)
    return there + user.export(yesterday, yesterday)


def as_a_dataset(user: User, today: date, _: Rows) -> Rows:
    request = mt.ExportRequest(**REQUEST, dateFrom=FIRST, dateTo=today)
    Plan(user.client, request, "1d").to_parquet(user.directory)
    return rows_of(mt.open_dataset(user.directory).to_arrow())


WAYS = (
    Way("all days again, one export a day", in_one_a_day),
    Way("all days again, in one export", in_one_export),
    Way("each day once, the morning after", the_day_before),
    Way('`to_parquet` of `mt.plan(..., every="1d")`', as_a_dataset),
)


def days(first: date, last: date) -> Iterator[date]:
    for ordinal in range(first.toordinal(), last.toordinal() + 1):
        yield date.fromordinal(ordinal)


def rows_of(table: Any) -> Rows:
    return Counter(zip(*(table[name].to_pylist() for name in COLUMNS), strict=True))


@contextmanager
def started(time: MovedClock, lateness: float) -> Iterator[User]:
    """A sandbox with its only user."""
    settings: dict[str, Any] = {"seconds": 0, "without_quotas": True, "lateness": lateness}
    with (
        tempfile.TemporaryDirectory() as folder,
        mt.sandbox.start(now=lambda: time.seconds, **settings) as sandbox,
    ):
        client = mt.Client(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url)
        client.api.rate_limiter = RateLimiter({1.0: 10_000})
        yield User(client, sandbox, Path(folder) / "events")


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--lateness", type=float, default=1.0, help="times the usual share of rows")
    options = parser.parse_args()
    print("| each morning | exports | rows fetched | missing at the end | twice |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for way in WAYS:
        time = MovedClock()
        with clock.use(time), started(time, options.lateness) as user:
            there = Rows()
            for today in days(FIRST + timedelta(days=1), FIRST + timedelta(days=options.days)):
                morning = datetime(today.year, today.month, today.day, 6, tzinfo=timezone.utc)
                time.seconds = morning.timestamp()
                there = way.run(user, today, there)
            made = list(user.sandbox.exports.values())
            fetched = sum(export.rows for export in made)
            # the last 3 hours belong to no dataset yet, and the day itself to no day before
            known = int(time.seconds) - 3 * 3600 - 1
            whole = user.export(FIRST, today - timedelta(days=1), availabilityTsTo=known)
        missing = (whole - there).total()
        twice = sum(max(0, there[row] - count) for row, count in whole.items())
        print(f"| {way.name} | {len(made):,} | {fetched:,} | {missing:,} | {twice:,} |", flush=True)


if __name__ == "__main__":
    main()
