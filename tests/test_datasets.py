"""Datasets that are updated: late rows, times of updates, killed and concurrent processes."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_clock import HurriedClock
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import mytracker_nb as mt
from mytracker_nb import clock
from mytracker_nb.plans import manifest
from mytracker_nb.plans.plan import Plan
from mytracker_nb.sandbox import columns
from mytracker_nb.sandbox import events as sandbox_events
from mytracker_nb.sandbox.server import Sandbox
from mytracker_nb.service.rate_limit import RateLimiter
from mytracker_nb.storage.atomic import AtomicFile
from mytracker_nb.tables import parquet_writer
from mytracker_nb.tables.dataset import MANIFEST

HOUR, DAY = 3600, 86_400
LATE = 6.0  # times the usual share of late rows: two of three are
EVENING = int(datetime(2026, 6, 7, 20, tzinfo=timezone.utc).timestamp())
COLUMNS = ["idDevice", "tsEvent", "eventName", "tsInsert"]


class Moved(HurriedClock):
    """One time for the sandbox and its clients, which only the test moves."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = float(seconds)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, timezone.utc)


@dataclass
class User:
    """A user who updates a dataset of a sandbox, in a new kernel each time."""

    sandbox: Sandbox
    time: Moved
    directory: Path
    defaults: dict[str, Any] = field(default_factory=dict)

    def plan(self, every: object = None, *, fresh: bool = False, **parameters: Any) -> Plan:
        sandbox = self.sandbox
        client = mt.Client(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url)
        client.api.rate_limiter = RateLimiter({1.0: 10_000})
        request = {
            "event": "customEvents",
            "selectors": COLUMNS,
            "dateFrom": "2026-06-05",
            "dateTo": "2026-06-07",
            **self.defaults,
            **parameters,
        }
        return Plan(client, mt.ExportRequest(**request), every, fresh=fresh)

    def sync(
        self,
        every: object = None,
        *,
        compact: bool = False,
        partition_by: str | None = None,
        **parameters: Any,
    ) -> Plan:
        plan = self.plan(every, **parameters)
        plan.to_parquet(self.directory, compact=compact, partition_by=partition_by)
        return plan

    @property
    def until(self) -> int:
        """The second as of which the dataset was updated last."""
        return int(json.loads((self.directory / MANIFEST).read_text())["availableUntil"])

    def rows(self) -> Counter[tuple[Any, ...]]:
        return lines(mt.open_dataset(self.directory).to_arrow())

    def exported(self, **parameters: Any) -> Counter[tuple[Any, ...]]:
        """The rows of one export of the same window, up to the same moment."""
        plan = self.plan(**{"availabilityTsTo": self.until, **parameters})
        limit, config = self.sandbox.config.max_rows, self.sandbox.config
        object.__setattr__(config, "max_rows", 10**9)
        try:
            return lines(plan._client.create(plan.request).data().to_arrow())
        finally:
            object.__setattr__(config, "max_rows", limit)

    @property
    def creates(self) -> int:
        return len(self.sandbox.exports)


def lines(table: Any) -> Counter[tuple[Any, ...]]:
    return Counter(zip(*(table[name].to_pylist() for name in COLUMNS), strict=True))


@contextmanager
def dataset_user(directory: Path, *, at: float = EVENING, **config: Any) -> Iterator[User]:
    time = Moved(at)
    config = {
        "seconds": 0,
        "without_quotas": True,
        "unknown_selectors": True,
        "scale": 0.1,
        "lateness": LATE,
        **config,
    }
    with clock.use(time), mt.sandbox.start(now=lambda: time.seconds, **config) as sandbox:
        yield User(sandbox, time, directory)


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    with dataset_user(tmp_path / "events") as user:
        yield user


def test_late_rows_of_all_complete_windows_are_one_small_export(user: User) -> None:
    user.sync("1d")
    assert user.creates == 3
    before = user.rows()
    assert before == user.exported()
    first = set(mt.open_dataset(user.directory).files)
    user.time.seconds += 2 * DAY
    creates = user.creates
    user.sync("1d")
    assert user.creates == creates + 1
    late = user.sandbox.exports[user.creates]
    assert 0 < late.rows < sum(before.values()) / 2
    assert (user.rows() - before).total() == late.rows
    assert user.rows() == user.exported()
    # nothing that was there is rewritten
    assert first < set(mt.open_dataset(user.directory).files)


def test_the_newest_rows_are_not_included_and_the_dataset_says_until_when(user: User) -> None:
    plan = user.sync()
    until = EVENING - 3 * HOUR - 1
    dataset = mt.open_dataset(user.directory)
    assert dataset.complete_as_of == datetime.fromtimestamp(until, timezone.utc)
    assert max(row[3] for row in user.rows()).timestamp() <= until
    assert "complete as of 2026-06-07 16:59:59 UTC" in plan.card().text()
    assert "complete as of 2026-06-07 16:59:59 UTC" in repr(dataset)
    assert json.loads((user.directory / MANIFEST).read_text())["completeAsOf"][:10] == "2026-06-07"


def test_within_an_hour_only_missing_rows_are_requested(user: User) -> None:
    user.sync()
    user.time.seconds += HOUR - 1
    user.sync()
    assert user.creates == 1
    user.sync(dateFrom="2026-06-04")
    assert user.creates == 2
    assert user.rows() == user.exported(dateFrom="2026-06-04")
    user.sync(fresh=True)
    assert user.creates == 4  # one more was that of the comparison


def test_a_month_of_daily_updates_creates_two_exports_a_day(user: User) -> None:
    for _ in range(8):
        today = user.time.now().date().isoformat()
        user.sync("1d", dateTo=today)
        user.time.seconds += DAY
    assert user.creates == 3 + 7 * 2
    assert user.rows() == user.exported(dateTo=today)


def test_a_request_with_an_availability_is_fetched_once(user: User) -> None:
    bounds = {"availabilityTsFrom": EVENING - 2 * DAY, "availabilityTsTo": EVENING - DAY}
    plan = user.sync(**bounds)
    user.time.seconds += 7 * DAY
    user.sync(**bounds)
    assert user.creates == 1
    assert user.rows() == user.exported(**bounds)
    assert "(availabilityTsTo); later rows are not fetched" in plan.card().text()


def test_an_availability_that_has_only_a_start_grows(user: User) -> None:
    bounds = {"availabilityTsFrom": EVENING - 2 * DAY}
    user.sync(**bounds)
    user.time.seconds += 2 * DAY
    user.sync(**bounds)
    assert user.rows() == user.exported(**bounds)


def test_late_rows_that_are_too_many_are_split(tmp_path: Path) -> None:
    with dataset_user(tmp_path / "events", max_rows=300) as user:
        user.sync()
        user.time.seconds += 2 * DAY
        user.sync(dateTo="2026-06-09")
        assert user.rows() == sum(
            (
                user.exported(dateFrom=day, dateTo=day)
                for day in ("2026-06-05", "2026-06-06", "2026-06-07", "2026-06-08", "2026-06-09")
            ),
            Counter(),
        )


def test_filters_of_more_than_1000_values_are_topped_up_part_by_part(user: User) -> None:
    user.defaults = {"idApp": range(4500, 6000)}
    user.sync()
    user.time.seconds += 3 * DAY
    user.sync()
    assert user.creates == 4
    user.defaults = {}
    assert user.rows() == user.exported()


def test_compacting_keeps_the_rows_in_few_files(user: User) -> None:
    for _ in range(4):
        user.sync("1d")
        user.time.seconds += DAY
    before, files = user.rows(), mt.open_dataset(user.directory).files
    creates = user.creates
    user.time.seconds -= DAY
    user.sync("1d", compact=True)
    assert user.creates == creates
    assert user.rows() == before
    assert len(mt.open_dataset(user.directory).files) == 1 < len(files)
    assert len(list(user.directory.rglob("*.parquet"))) == 1
    user.time.seconds += 5 * DAY
    user.sync("1d")
    assert user.rows() == user.exported()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_partitions_grow_and_all_libraries_read_them(user: User) -> None:
    plan = user.plan(selectors=[*COLUMNS, "dtEvent"])
    plan.to_parquet(user.directory, partition_by="dtEvent")
    user.time.seconds += 2 * DAY
    plan.to_parquet(user.directory, partition_by="dtEvent")
    expected = user.rows()
    assert expected == user.exported()
    dataset = mt.open_dataset(user.directory)
    count = expected.total()
    assert len(dataset.to_pandas()) == len(dataset.to_polars()) == dataset.rows == count
    assert dataset.to_pandas()["dtEvent"].value_counts().sum() == count
    assert pl.scan_parquet(list(dataset.files)).collect().height == count
    assert duckdb.read_parquet(list(dataset.files)).aggregate("count(*)").fetchall() == [(count,)]
    assert dataset.to_duckdb().aggregate("count(*)").fetchall() == [(count,)]
    assert len(dd.read_parquet(list(dataset.files)).compute()) == count
    # as the pages show it, for SQL alone; older releases have no variables
    if tuple(map(int, duckdb.__version__.split(".")[:2])) >= (1, 1):
        connection = duckdb.connect()
        connection.sql(f"""
            SET VARIABLE files = (
                SELECT list('{user.directory}/' || part.file)
                FROM (SELECT unnest(parts) AS part FROM read_json('{user.directory}/{MANIFEST}'))
                WHERE part.file IS NOT NULL)
        """)
        found = connection.sql("SELECT count(*) FROM read_parquet(getvariable('files'))")
        assert found.fetchall() == [(count,)]
    # while nobody writes, whoever reads all files reads the same
    assert len(pd.read_parquet(user.directory)) == count


ALL_KINDS = [
    *("idDevice", "SDKKey", "customUserId", "idAppVersionTitle", "idCountry", "idCountryTitle"),
    *("dtEvent", "tsEvent", "tsInsert", "xdpi", "eventName", "params.name", "params.value"),
]


def cell_of(value: Any) -> Any:
    """A value, whatever a reader makes of it."""
    if isinstance(value, (list, tuple, np.ndarray)):
        return tuple(map(cell_of, value))
    if value is None or value is pd.NaT or value is pd.NA or value != value:
        return None
    if isinstance(value, datetime):
        # a date, as some readers have times only
        return value.timestamp() if value.tzinfo else value.date()
    return value.item() if isinstance(value, np.generic) else value


OTHER_PARTITIONS = [None, "SDKKey", "customUserId", "dtEvent"]


def cells_of(frame: Any) -> Counter[tuple[Any, ...]]:
    columns = [map(cell_of, frame[name].tolist()) for name in ALL_KINDS]
    return Counter(zip(*columns, strict=True))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore:Local categoricals have different encodings")
@pytest.mark.parametrize(
    "partition_by",
    ["idCountry", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHER_PARTITIONS)],
)
def test_every_library_reads_the_rows_of_one_export(user: User, partition_by: str | None) -> None:
    user.defaults = {"selectors": ALL_KINDS, "timezone": "UTC"}
    for _ in range(2):
        user.sync("1d", partition_by=partition_by)
        user.time.seconds += 2 * DAY
    full = user.plan(availabilityTsTo=user.until)
    expected = cells_of(full._client.create(full.request).data().to_pandas())
    assert expected.total() > 200
    dataset = mt.open_dataset(user.directory)
    files = list(dataset.files)
    engine = duckdb.connect()
    engine.execute("SET TimeZone = 'UTC'")
    arrow = {"types_mapper": pd.ArrowDtype}
    for reader, frame in {
        "open_dataset": dataset.to_pandas(),
        "open_dataset, arrow": dataset.to_pandas(dtype_backend="pyarrow"),
        "open_dataset, polars": dataset.to_polars().to_arrow().to_pandas(**arrow),
        "open_dataset, duckdb": dataset.to_duckdb(engine).to_arrow_table().to_pandas(**arrow),
        "pandas": pd.read_parquet(files),
        "pandas, directory": pd.read_parquet(user.directory, dtype_backend="pyarrow"),
        "pyarrow": pq.read_table(user.directory).to_pandas(**arrow),
        "polars": pl.read_parquet(files).to_arrow().to_pandas(**arrow),
        "duckdb": engine.read_parquet(files).to_arrow_table().to_pandas(**arrow),
        "dask": dd.read_parquet(files).compute(),
    }.items():
        assert cells_of(frame) == expected, reader


def test_a_dataset_without_rows_is_read_by_all_libraries_and_grows(user: User) -> None:
    user.defaults = {"idApp": [1]}
    user.sync("1d")
    dataset = mt.open_dataset(user.directory)
    assert len(dataset.files) == 1
    assert dataset.to_pandas().shape == (0, len(COLUMNS))
    assert pd.read_parquet(user.directory).shape == (0, len(COLUMNS))
    user.time.seconds += DAY
    user.sync("1d")
    assert mt.open_dataset(user.directory).files == dataset.files


def test_a_row_outside_of_its_export_s_bounds_is_reported(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = user.sync()
    assert "Please report it" not in plan.card().text()
    # a service that counts availability in another way than tsInsert says
    monkeypatch.setitem(
        columns._COLUMNS, "tsInsert", lambda rows: columns.from_numbers(rows.ts_insert - DAY)
    )
    user.time.seconds += 2 * DAY
    with pytest.warns(mt.AvailabilityWarning, match="Please report it"):
        plan = user.sync()
    assert "Please report it" in plan.card().text()


@pytest.mark.parametrize("is_late", [False, True])
def test_rows_in_two_exports_are_reported(
    user: User, monkeypatch: pytest.MonkeyPatch, is_late: bool
) -> None:
    # a service that lets a window begin hours earlier
    asked_for = sandbox_events._matching_rows

    def and_the_evening_before(rows: Any, query: Any) -> Any:
        return asked_for(rows, replace(query, ts_from=query.ts_from - 8 * HOUR))

    days = {"dateFrom": "2026-06-06" if is_late else "2026-06-05", "dateTo": "2026-06-06"}
    with monkeypatch.context() as patch:
        patch.setattr(sandbox_events, "_matching_rows", and_the_evening_before)
        if is_late:
            # the copy that is outside comes first, when there is nothing to compare it with
            user.sync("1d", **days)
        else:
            with pytest.warns(mt.AvailabilityWarning, match=r"export 1 and export 2 share rows \("):
                user.sync("1d", **days)
    user.time.seconds += DAY
    with pytest.warns(
        mt.AvailabilityWarning, match=r"export 1 and export \d share rows \("
    ) as said:
        plan = user.sync("1d", dateFrom="2026-06-05", dateTo="2026-06-06")
    doubled = sum(count - 1 for count in user.rows().values())
    assert f"share rows ({doubled})" in str(said[0].message)
    assert "share rows" in plan.card().text()


# a cell that does not fit its type


WIDE = ["idDevice", "tsEvent", "dtEvent", "idCountry", "xdpi", "params.name", "eventName"]


def a_bad_cell(column: str, text: str) -> Any:
    """The column of the sandbox, with a text in its first cell that is none of its type."""
    real = columns._COLUMNS[column]

    def cells(rows: Any) -> Any:
        return pa.array([text][: len(rows)] + real(rows).to_pylist()[1:], pa.string())

    return cells


@pytest.mark.filterwarnings("ignore::mytracker_nb.tables.raw_data.ColumnTypeWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("is_first", [False, True])
@pytest.mark.parametrize(
    ("column", "text", "partition_by"),
    [
        ("tsEvent", "soon", None),
        ("idCountry", "RU", "idCountry"),
        pytest.param("xdpi", "many", "eventName", marks=pytest.mark.slow),
        pytest.param("params.name", "no list", None, marks=pytest.mark.slow),
    ],
)
def test_a_column_has_one_type_in_all_files(
    user: User,
    monkeypatch: pytest.MonkeyPatch,
    column: str,
    text: str,
    partition_by: str | None,
    is_first: bool,
) -> None:
    user.defaults = {"selectors": WIDE}

    def sync(*, is_bad: bool) -> Plan:
        plan = user.plan("1d")
        with monkeypatch.context() as patch:
            if is_bad:
                patch.setitem(columns._COLUMNS, column, a_bad_cell(column, text))
            plan.to_parquet(user.directory, partition_by=partition_by)
        user.time.seconds += DAY
        return plan

    def said(plan: Plan) -> bool:
        return f"{column}: the column is now text in all files" in plan.card().text()

    plans = [sync(is_bad=is_bad) for is_bad in (is_first, not is_first, False)]
    assert [said(plan) for plan in plans] == [False, not is_first, False]
    loses_zeros = column == "xdpi" and not is_first
    notes = [text for _, text in plans[1].card().alerts]
    assert any("earlier numbers have no trailing zeros" in text for text in notes) == loses_zeros
    user.sync("1d", partition_by=partition_by, compact=True)
    dataset = mt.open_dataset(user.directory)
    every = dataset.to_arrow()
    assert every[column].type == pa.string()
    files = list(dataset.files)
    assert sum(pq.read_metadata(file).num_rows for file in files) == len(every)
    expected = Counter(every[column].to_pylist())
    assert expected[text]
    for frame in (
        pd.read_parquet(files),
        pl.read_parquet(files).to_pandas(),
        duckdb.read_parquet(files).df(),
        dd.read_parquet(files).compute(),
        dataset.to_pandas(),
    ):
        assert Counter(None if pd.isna(cell) else cell for cell in frame[column]) == expected
    # the others are what they were
    user.defaults = {"selectors": WIDE, "availabilityTsTo": user.until}
    full = user.plan()
    asked = full._client.create(full.request).data().to_arrow()
    for name in {*WIDE} - {column}:
        cells = [Counter(map(str, table[name].to_pylist())) for table in (every, asked)]
        assert cells[0] == cells[1], name


# the version before


def as_before(directory: Path, hive: str | None = None) -> None:
    """Make of a dataset one that the version before has written."""
    path = directory / MANIFEST
    content = json.loads(path.read_text())
    for part in content["parts"]:
        del part["availableAfter"], part["availableUntil"]
        part["request"].pop("availabilityTsTo")
        part["request"].pop("availabilityTsFrom", None)
        if hive:
            old = directory / part["file"]
            new = directory / f"{hive}=2026" / old.name
            new.parent.mkdir(exist_ok=True)
            old.rename(new)
            with suppress(OSError):
                old.parent.rmdir()
            part["file"] = new.relative_to(directory).as_posix()
    content |= {"format": 1, "leftovers": []}
    for name in ("id", "availableUntil", "completeAsOf"):
        del content[name]
    path.write_text(json.dumps(content))


def test_exports_of_an_earlier_version_are_fetched_again(user: User) -> None:
    user.sync("1d")
    as_before(user.directory)
    user.time.seconds += DAY
    creates = user.creates
    plan = user.plan(dateTo="2026-06-08")
    user.sandbox.exports.outcomes.extend(["", "", "Error occurred"])
    with pytest.raises(mt.ExportFailed):
        plan.to_parquet(user.directory)
    assert "an earlier version of mytracker-nb are fetched again (3)" in plan.card().text()
    plan.retry()
    plan.to_parquet(user.directory)
    assert user.creates == creates + 5
    assert user.rows() == user.exported(dateTo="2026-06-08")
    assert len(list(user.directory.glob("*.parquet"))) == len(mt.open_dataset(user.directory).files)


def test_old_partitions_are_replaced_all_at_once(user: User) -> None:
    columns = {"selectors": [*COLUMNS, "dtEvent"]}
    user.plan("1d", **columns).to_parquet(user.directory, partition_by="dtEvent")
    as_before(user.directory, "dtEvent")
    with pytest.raises(mt.FileError, match="Run to_parquet again"):
        mt.open_dataset(user.directory)
    user.sandbox.exports.outcomes.extend(["", "Error occurred"])
    plan = user.plan(fresh=True, dateTo="2026-06-07", **columns)
    with pytest.raises(mt.ExportFailed):
        plan.to_parquet(user.directory, partition_by="dtEvent")
    assert list(user.directory.glob("dtEvent_*")) == []
    plan.retry()
    plan.to_parquet(user.directory, partition_by="dtEvent")
    assert list(user.directory.glob("dtEvent=*")) == []
    assert user.rows() == user.exported()


# what goes wrong on the way


def full(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, "[Errno 28] Error writing bytes to file.")


@pytest.mark.parametrize(
    ("place", "name", "calls"),
    [
        (tempfile, "mkdtemp", 2),  # a directory to write in
        (parquet_writer, "open_writer", 2),  # a file in it
        (os, "replace", 2),  # its final name
        (AtomicFile, "commit", 3),  # the manifest
    ],
)
def test_a_full_disk_ends_the_run_and_loses_nothing(
    user: User, monkeypatch: pytest.MonkeyPatch, place: Any, name: str, calls: int
) -> None:
    plan = user.plan("1d")
    before, count = getattr(place, name), itertools.count()

    def fill(*arguments: Any, **options: Any) -> Any:
        facts = arguments, options, [getattr(one, "__dict__", None) for one in arguments]
        is_there = str(user.directory) in str(facts)
        to_do = full if is_there and next(count) >= calls else before
        return to_do(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(place, name, fill)
        with pytest.raises(mt.FileError, match=r"cannot be written \(No space left on device\)"):
            plan.to_parquet(user.directory)
    assert not list(user.directory.glob("_partial-*"))
    assert json.loads((user.directory / MANIFEST).read_text())["completeAsOf"] is None
    plan.to_parquet(user.directory)
    assert user.rows() == user.exported()
    assert user.creates == 4  # one was that of the comparison


def test_a_disk_that_is_full_while_compacting_changes_nothing(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    user.sync("1d")
    before = mt.open_dataset(user.directory)
    with monkeypatch.context() as patch:
        patch.setattr(parquet_writer, "open_writer", full)
        with pytest.raises(mt.FileError, match="No space left on device"):
            user.sync("1d", compact=True)
    assert mt.open_dataset(user.directory) == before
    assert {path.name for path in user.directory.glob("_*")} == {"_lock", MANIFEST}
    user.sync("1d", compact=True)
    assert len(mt.open_dataset(user.directory).files) == 1
    assert user.rows() == user.exported()


def test_a_dataset_that_lacks_a_window_does_not_say_that_it_is_complete(user: User) -> None:
    user.sync()
    plan = user.plan("1d", dateTo="2026-06-07", dateFrom="2026-06-03")
    user.sandbox.exports.outcomes.append("Error occurred")
    with pytest.raises(mt.ExportFailed):
        plan.to_parquet(user.directory)
    assert mt.open_dataset(user.directory).complete_as_of is None
    plan.retry()
    plan.to_parquet(user.directory)
    assert mt.open_dataset(user.directory).complete_as_of is not None
    assert user.rows() == user.exported(dateFrom="2026-06-03")


def test_a_clock_that_was_ahead_does_not_delay_later_updates(user: User) -> None:
    for _ in range(2):
        with clock.use(Moved(user.time.seconds + DAY)), pytest.raises(mt.BadRequest):
            user.sync("1d")
        user.sync("1d")
        assert user.rows() == user.exported()
        user.time.seconds += 7 * DAY


# two at once


def test_two_that_write_to_one_directory_wait_for_each_other(user: User) -> None:
    said: list[str] = []
    plans = [user.plan("1d"), user.plan("2d", dateFrom="2026-06-06", dateTo="2026-06-07")]
    for plan in plans:
        plan._on_wait = lambda event: said.append(event.text)
    user.sandbox.faults.add(path="/create.json", delay=0.7, times=2)
    threads = [threading.Thread(target=plan.to_parquet, args=[user.directory]) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert any("another process that writes to the same directory" in text for text in said)
    assert user.rows() == user.exported()
    assert user.sync().status["state"].tolist() == ["kept"]


def test_a_slice_that_another_process_added_is_not_added_twice(user: User) -> None:
    user.sync("1d")
    plan = user.plan(dateFrom="2026-06-04")
    plan_update = manifest.Manifest.plan_update

    def late(self: manifest.Manifest, every: int | None) -> Any:
        found = plan_update(self, every)
        # as on a drive that has no locks
        os.replace(user.directory / "_lock", user.directory / "_aside")
        manifest.Manifest.plan_update = plan_update  # type: ignore[method-assign]
        user.plan("1d", dateFrom="2026-06-03").to_parquet(user.directory)
        return found

    manifest.Manifest.plan_update = late  # type: ignore[method-assign]
    try:
        plan.to_parquet(user.directory)
    finally:
        manifest.Manifest.plan_update = plan_update  # type: ignore[method-assign]
    assert user.rows() == user.exported(dateFrom="2026-06-03")


def test_rows_of_an_export_are_not_written_into_the_dataset_of_a_plan(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = user.plan()
    data = plan._client.create(plan.request).data()
    # before its first file, when there is nothing but a manifest
    user.sandbox.exports.outcomes.append("Error occurred")
    with pytest.raises(mt.ExportFailed):
        plan.to_parquet(user.directory)
    with pytest.raises(mt.FileError, match=r"is not empty \(_manifest\.json\)"):
        data.to_parquet(user.directory)
    shutil.rmtree(user.directory)
    # begun while the rows are written
    finish = parquet_writer.ParquetFiles.finish

    def with_a_plan_beside(files: parquet_writer.ParquetFiles) -> None:
        plan.retry()
        plan.to_parquet(user.directory)
        finish(files)

    monkeypatch.setattr(parquet_writer.ParquetFiles, "finish", with_a_plan_beside)
    with pytest.raises(mt.FileError, match="is not empty"):
        data.to_parquet(user.directory)
    assert user.rows() == user.exported()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
def test_the_lock_of_a_killed_process_is_free(user: User) -> None:
    code = (
        "import os, pathlib, sys\n"
        "from mytracker_nb.plans.manifest import locked_directory\n"
        "with locked_directory(pathlib.Path(sys.argv[1]), print): os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(user.directory)], check=False)
    user.sync()
    assert user.rows() == user.exported()


# random late rows, moments, kills


class Killed(BaseException):
    """The process is dead."""


class Mortal:
    """Kills at a moment of all in which something is sent or written; from then on nothing is."""

    def __init__(self, moments: int | None) -> None:
        self.left = moments
        self._lock = threading.Lock()

    def __call__(self, do: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            # the service lives on
            of_service = "process_request_thread" in threading.current_thread().name
            with self._lock:
                if self.left is not None and not of_service:
                    self.left -= 1
                    if self.left < 0:
                        raise Killed
            return do(*arguments, **options)

        return run

    @contextmanager
    def at_work(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for place, name in (
                *((os, name) for name in ("replace", "fsync", "rmdir", "mkdir")),
                *((Path, name) for name in ("replace", "rename", "unlink", "rmdir", "mkdir")),
                (shutil, "rmtree"),
                (tempfile, "mkstemp"),
                (tempfile, "mkdtemp"),
            ):
                patch.setattr(place, name, self(getattr(place, name)))
            yield


STEPS = st.lists(
    st.fixed_dictionaries(
        {
            "hours": st.sampled_from([0.3, 2, 7, 26, 75, 300, 1700]),
            "every": st.sampled_from([None, "1d", "2d"]),
            "start": st.integers(1, 6),
            "days": st.integers(0, 6),
            "kill_at": st.none() | st.integers(0, 60),
            "compact": st.booleans(),
            "harm": st.booleans(),
            "beside": st.none() | st.sampled_from([None, "1d"]),
        }
    ),
    min_size=2,
    max_size=6,
)


def check_dataset(
    steps: list[dict[str, Any]], lateness: float, partition_by: str | None, max_rows: int
) -> Counter[str]:
    """Sync at the steps; whether the dataset is then that of one export made at the end."""
    counts: Counter[str] = Counter()
    with (
        tempfile.TemporaryDirectory() as place,
        dataset_user(
            Path(place) / "events", scale=0.03, max_rows=max_rows, lateness=lateness
        ) as user,
    ):

        def sync(step: dict[str, Any], every: object) -> Plan:
            # ends on the present day at the latest; on a day that was there before or not
            last = user.time.now().date().isoformat()
            first = f"2026-06-0{step['start']}"
            end = min(last, f"2026-06-{step['start'] + step['days']:02d}")
            plan = user.plan(every, dateFrom=first, dateTo=max(first, end))
            plan.to_parquet(user.directory, partition_by=partition_by, compact=step["compact"])
            return plan

        for step in steps:
            user.time.seconds += step["hours"] * HOUR
            if step["harm"]:
                for path in sorted(user.directory.rglob("*.parquet"))[:1]:
                    path.unlink()
                    counts["harmed"] += 1
            mortal = Mortal(step["kill_at"])
            with mortal.at_work():
                others = []
                if step["beside"]:
                    with_other = {**step, "start": step["start"] % 6 + 1}

                    def beside(step: dict[str, Any] = with_other) -> None:
                        with suppress(Killed, mt.MyTrackerError):
                            sync(step, step["beside"])

                    others = [threading.Thread(target=beside)]
                    others[0].start()
                with suppress(Killed):
                    sync(step, step["every"])
                    counts["synced"] += 1
                for thread in others:
                    thread.join()
                    counts["beside"] += 1
                # a thread would outlive the death of its process
                for thread in threading.enumerate():
                    if thread.name.startswith("mytracker-plan"):
                        thread.join()
            counts["killed"] += mortal.left is not None and mortal.left < 0
            with suppress(mt.FileError):
                # complete rows, none of them twice, at any moment
                today = user.time.now().date().isoformat()
                full = {"dateFrom": "2026-06-01", "dateTo": min(today, "2026-06-12")}
                assert not user.rows() - user.exported(**full)
        user.time.seconds += 100 * DAY  # imports have come too
        full = {"dateFrom": "2026-06-01", "dateTo": "2026-06-12"}
        user.plan(**full).to_parquet(user.directory, partition_by=partition_by)
        rows = user.rows()
        counts["rows"] = rows.total()
        counts["exports"] = user.creates
        assert rows == user.exported(**full)
        dataset = mt.open_dataset(user.directory)
        there = {str(path) for path in user.directory.rglob("*.parquet")}
        assert there == set(dataset.files)
        leftovers = {path.name for path in user.directory.iterdir() if path.name[0] in "_."}
        assert leftovers <= {"_lock", MANIFEST}
        assert len(pd.read_parquet(user.directory)) == counts["rows"]
    return counts


# the dead say so on each of their threads; without shrinking, which would take minutes
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@settings(max_examples=3, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    STEPS,
    st.sampled_from([1.0, LATE]),
    st.sampled_from([None, "eventName"]),
    st.sampled_from([60, 10_000]),
)
def test_a_dataset_equals_one_export_that_is_made_at_the_end(
    steps: list[dict[str, Any]], lateness: float, partition_by: str | None, max_rows: int
) -> None:
    assert check_dataset(steps, lateness, partition_by, max_rows)["rows"] > 0
