"""Parquet datasets."""

from __future__ import annotations

import errno
import gzip
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import mytracker_nb as mt
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


def test_a_dataset_holds_all_rows_in_order_and_is_read_by_everyone(rows, tmp_path):
    directory = rows.to_parquet(tmp_path / "deep" / "data")
    assert names(directory) == ["part-00000.parquet", "part-00001.parquet"]
    table = rows.to_arrow()
    assert pq.read_table(directory).equals(table)
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
        kept = [
            row
            for file in sorted(day.iterdir())
            for row in pq.read_table(file)["idDevice"].to_pylist()
        ]
        assert kept == [row[11:-1] for row in rows if row[:10] == day.name.removeprefix("dtEvent=")]


def test_no_rows_are_a_partition_with_their_types(tmp_path):
    path = tmp_path / "1.csv.gz"
    path.write_bytes(gzip.compress(HEADER.encode()))
    directory = open_files(path).to_parquet(tmp_path / "days", partition_by="dtEvent")
    frame = pl.read_parquet(directory)
    assert frame.height == 0
    assert frame.schema["idCountry"] == pl.Int64
    assert duckdb.sql(f"SELECT count(*) FROM '{directory}/*/*.parquet'").fetchall() == [(0,)]


@pytest.mark.parametrize("column", ["nope", "params.name"])
def test_a_column_that_cannot_part_rows_is_told_before_they_are_read(rows, tmp_path, column):
    with pytest.raises(mt.MyTrackerError, match=r"these are idDevice, .*dtEvent\."):
        rows.to_parquet(tmp_path / "days", partition_by=column)
    assert not (tmp_path / "days").exists()


def test_an_existing_empty_directory_is_fine_and_one_with_data_is_not(rows, tmp_path):
    directory = tmp_path / "data"
    directory.mkdir()
    (directory / "_notes").touch()
    rows.to_parquet(directory)
    kept = names(directory)
    with pytest.raises(mt.FileError, match="not empty"):
        rows.to_parquet(directory)
    assert names(directory) == kept


def test_partitions_by_day(rows, tmp_path):
    directory = rows.to_parquet(tmp_path / "days", partition_by="dtEvent")
    assert names(directory)[:3] == [
        "dtEvent=2026-11-01",
        "dtEvent=2026-11-01/part-00000.parquet",
        "dtEvent=2026-11-01/part-00001.parquet",
    ]
    assert "dtEvent=__HIVE_DEFAULT_PARTITION__" in names(directory)
    read = ds.dataset(directory, partitioning="hive").to_table()
    assert read.num_rows == 21
    assert sorted(set(map(str, read["dtEvent"].to_pylist()))) == [
        "2026-11-01",
        "2026-11-02",
        "None",
    ]
    assert len(pl.read_parquet(directory).filter(pl.col("idCountry") == 188)) == 7


def test_rows_are_grouped(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_writer, "_ROW_GROUP", 4)
    monkeypatch.setitem(RawData._tables.__kwdefaults__, "size", 1)
    directory = rows.to_parquet(tmp_path / "data")
    assert pq.read_table(directory).equals(rows.to_arrow().combine_chunks())
    groups = pq.ParquetFile(directory / "part-00000.parquet").metadata
    sizes = [groups.row_group(place).num_rows for place in range(groups.num_row_groups)]
    assert sum(sizes) == 15
    assert max(sizes) == 4


def test_no_rows_make_a_dataset_with_the_right_types(tmp_path):
    empty = RawData([], ["idApp", "tsEvent"])
    read = pq.read_table(empty.to_parquet(tmp_path / "data"))
    assert (read.num_rows, read.schema) == (0, empty.schema)


def test_all_files_have_the_same_types_even_where_a_late_cell_does_not_fit(tmp_path):
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


def test_a_place_that_is_no_directory_is_told(rows, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(mt.FileError, match="cannot be written") as error:
        rows.to_parquet(tmp_path / "file" / "data")
    assert error.value.file == str(tmp_path / "file" / "data")


def test_a_full_disk_leaves_nothing(rows, tmp_path, monkeypatch):
    real = parquet_writer._writer

    def full(path, schema):
        if path.name == "part-00001.parquet":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, schema)

    monkeypatch.setattr(parquet_writer, "_writer", full)
    with pytest.raises(mt.FileError, match="No space left on device"):
        rows.to_parquet(tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_disk_that_fails_while_files_get_their_names_leaves_nothing(rows, tmp_path, monkeypatch):
    real = Path.replace

    def fail(path, target):
        if path.name == "part-00001.parquet":
            raise OSError(errno.EIO, "Input/output error")
        return real(path, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(mt.FileError, match="Input/output error"):
        rows.to_parquet(tmp_path / "data")
    assert not (tmp_path / "data").exists()
