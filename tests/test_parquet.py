"""Parquet datasets."""

from __future__ import annotations

import errno
import gzip
import subprocess
import sys
from collections import Counter
from datetime import date, datetime
from pathlib import Path

import dask.dataframe as dd
import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import mytracker_nb as mt
from mytracker_nb.storage.staging import staged_directory
from mytracker_nb.tables import parquet_writer
from mytracker_nb.tables.raw_data import ColumnTypeWarning, RawData, open_files

HEADER = "idDevice,SDKKey,idCountry,idAppTitle,tsEvent,dtEvent,params.name\n"
ROWS = [
    "18446744073709551615,00000000000000000012,188,\"Игра, 2\",1529746957,2026-11-01,['a']\n",
    "007,00000000000000000013,,,0,,\n",
    "9,00000000000000000012,7,b,5,2026-11-02,\"['a','b']\"\n",
]


@pytest.fixture
def rows(tmp_path):
    """Files of 5 times 3 and of 2 times 3 rows."""
    paths = []
    for name, times in [("1", 5), ("2", 2)]:
        paths.append(tmp_path / f"{name}.csv.gz")
        paths[-1].write_bytes(gzip.compress((HEADER + "".join(ROWS) * times).encode()))
    return open_files(paths)


def names(directory: Path) -> list[str]:
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*"))


def test_a_dataset_has_all_rows_in_order_and_is_read_by_all_libraries(rows, tmp_path):
    directory = rows.to_parquet(tmp_path / "deep" / "data")
    assert names(directory) == ["part-00000.parquet", "part-00001.parquet"]
    table = rows.to_arrow()
    assert pq.read_table(directory).equals(table)
    pd.testing.assert_frame_equal(mt.open_dataset(directory).to_pandas(), rows.to_pandas())
    frame = pd.read_parquet(directory)
    assert frame["idDevice"].tolist() == table["idDevice"].to_pylist()
    polars = pl.read_parquet(directory)
    assert polars["params.name"].to_list() == table["params.name"].to_pylist()
    assert polars["idAppTitle"].to_list() == table["idAppTitle"].to_pylist()
    count = duckdb.sql(f"SELECT count(*), min(SDKKey) FROM '{directory}/*.parquet'").fetchall()
    assert count == [(21, "00000000000000000012")]
    parts = pq.ParquetFile(directory / "part-00000.parquet")
    assert parts.metadata.row_group(0).column(0).compression == "ZSTD"
    assert parts.schema_arrow.field("idCountry").metadata[b"title"] == b"Country id"


def test_more_partitions_than_files_may_be_open(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_writer, "_MOST_OPEN", 3)
    monkeypatch.setattr(parquet_writer, "_ROWS_TO_PART", 10)
    path = tmp_path / "1.csv.gz"
    rows = [f"2026-01-{1 + n * 7 % 20:02d},{n}\n" for n in range(1000)]
    path.write_bytes(gzip.compress(("dtEvent,idDevice\n" + "".join(rows)).encode()))
    directory = open_files(path).to_parquet(tmp_path / "days", partition_by="dtEvent")
    assert len(list(directory.iterdir())) == 20
    for day in directory.iterdir():
        cells = [
            row
            for file in sorted(day.iterdir())
            for row in pq.read_table(file)["idDevice"].to_pylist()
        ]
        assert cells == [
            row[11:-1] for row in rows if row[:10] == day.name.removeprefix("dtEvent_")
        ]


def test_no_rows_are_a_file_with_their_types(tmp_path):
    path = tmp_path / "1.csv.gz"
    path.write_bytes(gzip.compress(HEADER.encode()))
    directory = open_files(path).to_parquet(tmp_path / "days", partition_by="dtEvent")
    frame = pl.read_parquet(directory)
    assert frame.height == 0
    assert (frame.schema["idCountry"], frame.schema["dtEvent"]) == (pl.Int64, pl.Date)
    assert pd.read_parquet(directory).shape == (0, 7)
    assert duckdb.sql(f"SELECT count(*) FROM '{directory}/**/*.parquet'").fetchall() == [(0,)]
    assert len(mt.open_dataset(directory).to_pandas()) == 0


@pytest.mark.parametrize("column", ["nope", "params.name"])
def test_an_invalid_partition_column_is_reported_before_rows_are_read(rows, tmp_path, column):
    with pytest.raises(mt.MyTrackerError, match=r"choose one of idDevice, .*dtEvent"):
        rows.to_parquet(tmp_path / "days", partition_by=column)
    assert not (tmp_path / "days").exists()


def test_an_existing_empty_directory_is_fine_and_one_with_data_is_not(rows, tmp_path):
    directory = tmp_path / "data"
    directory.mkdir()
    (directory / "_notes").touch()
    rows.to_parquet(directory)
    before = names(directory)
    with pytest.raises(mt.FileError, match="not empty"):
        rows.to_parquet(directory)
    assert names(directory) == before


def test_partitions_by_day(rows, tmp_path):
    directory = rows.to_parquet(tmp_path / "days", partition_by="dtEvent")
    assert names(directory)[:4] == [
        "dtEvent_2026-11-01",
        "dtEvent_2026-11-01/part-00000.parquet",
        "dtEvent_2026-11-01/part-00001.parquet",
        "dtEvent_2026-11-02",
    ]
    assert "dtEvent_~none" in names(directory)
    filtered = pl.scan_parquet(directory).filter(pl.col("dtEvent") == date(2026, 11, 1)).collect()
    assert filtered["idCountry"].to_list() == [188] * 7


# What guessing from names of directories changes: leading zeros, versions, numbers as text, the
# text "null", no value, letters that file systems do not tell apart, separators, long titles.
HARD = [
    *("00000000000000000042", "4.10", "1e5", "null", "None", "nan", "__HIVE_DEFAULT_PARTITION__"),
    *("a", "A", "a/b", "..", ".", "a=b", "%41", " ", "x ", "~none", "con", "true", "2026-11-01"),
    *("Очень длинное название кампании, которое никак не кончается", "ё" * 300, "👍", None),
]


def read_by_everyone(directory):
    """The rows as each reader gives them, in no order."""
    everything = str(directory / "**" / "*.parquet")
    listed = list(mt.open_dataset(directory).files)
    return {
        "pandas": pd.read_parquet(directory).astype(object),
        "pandas, pyarrow types": pd.read_parquet(directory, dtype_backend="pyarrow"),
        "pyarrow": pq.read_table(directory).to_pandas(types_mapper=pd.ArrowDtype),
        "pyarrow.dataset": ds.dataset(directory).to_table().to_pandas(types_mapper=pd.ArrowDtype),
        "polars": pl.read_parquet(directory).to_arrow().to_pandas(types_mapper=pd.ArrowDtype),
        "polars, listed": pl.read_parquet(listed).to_arrow().to_pandas(types_mapper=pd.ArrowDtype),
        "duckdb": _arrow(duckdb.sql(f"FROM '{everything}'")),
        "duckdb, listed": _arrow(duckdb.read_parquet(listed)),
        "dask": dd.read_parquet(directory).compute(),
        "open_dataset": mt.open_dataset(directory).to_pandas(),
        "open_dataset, polars": mt.open_dataset(directory).to_polars().to_pandas(),
        "open_dataset, duckdb": _arrow(mt.open_dataset(directory).to_duckdb()),
    }


def _arrow(relation):
    return relation.to_arrow_table().to_pandas(types_mapper=pd.ArrowDtype)


def plain(column):
    values = [None if pd.isna(value) else value for value in column.tolist()]
    return Counter(value.date() if isinstance(value, datetime) else value for value in values)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore:Local categoricals have different encodings")
@pytest.mark.parametrize("column", ["customUserId", "SDKKey", "idAppTitle", "eventName"])
def test_partitions_of_text_are_read_back_unchanged(tmp_path, column):
    path = tmp_path / "1.csv.gz"
    cells = ["" if text is None else f'"{text}"' for text in HARD]
    lines = "".join(f"{cell},{number}\n" for number, cell in enumerate(cells))
    path.write_bytes(gzip.compress(f"{column},idDevice\n{lines}".encode()))
    rows = open_files(path)
    directory = rows.to_parquet(tmp_path / "data", partition_by=column)
    assert len(list(directory.iterdir())) == len(HARD)
    expected = plain(rows.to_pandas()[column])
    assert expected[None] == 1
    for reader, frame in read_by_everyone(directory).items():
        assert plain(frame[column]) == expected, reader
        assert sorted(map(int, frame["idDevice"])) == list(range(len(HARD))), reader


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("dtEvent", ["2026-11-01", "2026-11-02", "0001-01-01", ""]),
        ("idCountry", ["188", "-5", "0", "9007199254740992", ""]),
        ("revenue", ["1.5", "0", "-0.0", "1e300", "0.1", ""]),
    ],
)
def test_partitions_of_other_types_are_read_back_unchanged(tmp_path, column, cells):
    path = tmp_path / "1.csv.gz"
    lines = "".join(f"{cell},{number}\n" for number, cell in enumerate(cells * 2))
    path.write_bytes(gzip.compress(f"{column},idDevice\n{lines}".encode()))
    rows = open_files(path)
    directory = rows.to_parquet(tmp_path / "data", partition_by=column)
    expected = plain(rows.to_pandas()[column])
    for reader, frame in read_by_everyone(directory).items():
        assert plain(frame[column]) == expected, reader
        assert len(frame) == 2 * len(cells), reader


def test_rows_are_grouped(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_writer, "_ROW_GROUP", 4)
    monkeypatch.setitem(RawData._tables.__kwdefaults__, "size", 1)
    directory = rows.to_parquet(tmp_path / "data")
    assert pq.read_table(directory).equals(rows.to_arrow().combine_chunks())
    groups = pq.ParquetFile(directory / "part-00000.parquet").metadata
    sizes = [groups.row_group(place).num_rows for place in range(groups.num_row_groups)]
    assert sum(sizes) == 15
    assert max(sizes) == 4


def test_no_rows_are_a_dataset_with_the_right_types(tmp_path):
    empty = RawData([], ["idApp", "tsEvent"])
    read = pq.read_table(empty.to_parquet(tmp_path / "data"))
    assert (read.num_rows, read.schema) == (0, empty.schema)


def test_all_files_have_the_same_types_even_if_a_late_cell_does_not_fit(tmp_path):
    paths = []
    for name, cell in [("1", "1"), ("2", "x")]:
        paths.append(tmp_path / f"{name}.csv.gz")
        paths[-1].write_bytes(gzip.compress(f"idApp,idOs\n{cell},2\n".encode()))
    with pytest.warns(ColumnTypeWarning, match="idApp"):
        directory = open_files(paths).to_parquet(tmp_path / "data")
    assert pq.read_table(directory).to_pydict() == {"idApp": ["1", "x"], "idOs": [2, 2]}


def test_params_become_columns(rows, tmp_path):
    path = tmp_path / "1.csv.gz"
    path.write_bytes(gzip.compress(b"params.name,params.value\n['a'],['1']\n[],[]\n"))
    directory = open_files(path).to_parquet(tmp_path / "data", params=["a"])
    assert pq.read_table(directory).to_pydict() == {"params.a": ["1", None]}


def test_a_bad_file_leaves_nothing(rows, tmp_path):
    bad = tmp_path / "bad.csv.gz"
    bad.write_bytes(gzip.compress((HEADER + "".join(ROWS) * 9).encode())[:-9])
    directory = tmp_path / "deep" / "data"
    broken = open_files([*[file.path for file in rows.files], bad])
    with pytest.raises(mt.FileError, match=r"bad\.csv\.gz"):
        broken.to_parquet(directory)
    assert not (tmp_path / "deep").exists()
    directory.mkdir(parents=True)
    with pytest.raises(mt.FileError, match=r"bad\.csv\.gz"):
        broken.to_parquet(directory)
    assert names(directory) == []


def test_a_path_that_is_not_a_directory_is_reported(rows, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(mt.FileError, match="cannot be written") as error:
        rows.to_parquet(tmp_path / "file" / "data")
    assert error.value.file == str(tmp_path / "file" / "data")


def test_a_full_disk_leaves_nothing(rows, tmp_path, monkeypatch):
    real = parquet_writer.open_writer

    def full(path, *options):
        if path.name.startswith("part-00001"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, *options)

    monkeypatch.setattr(parquet_writer, "open_writer", full)
    with pytest.raises(mt.FileError, match="No space left on device"):
        rows.to_parquet(tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_disk_that_fails_at_the_end_leaves_nothing(rows, tmp_path, monkeypatch):
    def fail(path, target):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "rename", fail)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ".note").touch()
    with pytest.raises(mt.FileError, match="Input/output error"):
        rows.to_parquet(tmp_path / "data")
    assert names(tmp_path / "data") == [".note"]
    assert not list(tmp_path.glob(".data*"))


def test_a_dataset_appears_once_it_is_complete(rows, tmp_path, monkeypatch):
    directory = tmp_path / "days"
    directory.mkdir()
    (directory / "_notes").write_text("mine")
    seen = []
    real = Path.replace

    def watch(path, target):
        seen.append(list(directory.rglob("*.parquet")))
        return real(path, target)

    monkeypatch.setattr(Path, "replace", watch)
    rows.to_parquet(directory, partition_by="dtEvent")
    assert len(seen) > 6
    assert not any(seen)
    assert len(list(directory.rglob("*.parquet"))) == 6
    assert (directory / "_notes").read_text() == "mine"


def test_of_two_that_write_to_one_directory_one_wins_and_the_other_is_refused(rows, tmp_path):
    directory = tmp_path / "data"
    with staged_directory(directory) as staging:
        (staging / "slow.parquet").touch()
        rows.to_parquet(directory)
        files = names(directory)
        with pytest.raises(OSError, match="not empty"), staged_directory(directory) as other:
            (other / "late.parquet").touch()
        (staging / "slow.parquet").unlink()
        directory.rename(tmp_path / "aside")
    assert files == ["part-00000.parquet", "part-00001.parquet"]


def test_leftovers_of_a_killed_process_are_removed_and_those_of_a_running_one_are_not(
    rows, tmp_path
):
    code = (
        "import os, sys, pathlib\n"
        "from mytracker_nb.storage.staging import staged_directory\n"
        "with staged_directory(pathlib.Path(sys.argv[1])) as staging:\n"
        "    (staging / 'a.parquet').touch(); os._exit(9)\n"
    )
    directory = tmp_path / "data"
    subprocess.run([sys.executable, "-c", code, str(directory)], check=False)
    assert len(list(tmp_path.glob(".data.partial-*"))) == 1
    with staged_directory(directory) as staging:
        rows.to_parquet(directory)
        assert list(tmp_path.glob(".data.partial-*")) == [staging]
        directory.rename(tmp_path / "aside")
