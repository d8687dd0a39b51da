"""Dask DataFrames: one partition a file, loaded by the worker that computes it."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from raw_client import created, links

import mytracker_nb as mt
from mytracker_nb.download.http_stream import Fetcher
from mytracker_nb.download.sources import remote_files
from mytracker_nb.service.api import Link
from mytracker_nb.service.signing import AuthHMAC
from mytracker_nb.service.transport import Transport
from mytracker_nb.tables.raw_data import RawData, open_files

COLUMNS = ["idDevice", "idAppTitle", "idCountry", "tsEvent", "dtEvent", "params.name"]
LISTS = [*COLUMNS, "params.value"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two worker processes for all tests here.

    Its page of HTTP takes any free port: by default it is 8787, and a second cluster of the
    machine, of another test or person, warns that it is taken.
    """
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    ) as running:
        yield running


# one worker of xdist runs what needs the cluster, so that there is one
on_a_cluster = pytest.mark.xdist_group("cluster")
ignoring_deprecations = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def rows(start_sandbox):
    """Rows of an export of several files, and their sandbox."""
    sandbox = start_sandbox(rows_per_file=300)
    number = created(sandbox, event="customEvents", selectors=",".join(COLUMNS))
    sign = AuthHMAC(sandbox.api_user_id, sandbox.secret_key).header
    fetcher = Fetcher(Transport(), sign, service="http://127.0.0.1")
    given = [Link(url, None) for url in links(sandbox, number)]
    return RawData(remote_files(given, fetcher), COLUMNS), sandbox


def test_cached_files_are_not_fetched_again(rows, tmp_path):
    data, sandbox = rows
    for file in data.files:
        file.cached = tmp_path / file.name
    full = data.to_pandas()
    sandbox.faults.add(path=".csv.gz", status=404, times=None)
    frame = data.to_dask().compute(scheduler="synchronous")
    assert frame["idDevice"].tolist() == full["idDevice"].tolist()


def test_an_export_without_files_is_an_empty_frame():
    frame = RawData([], COLUMNS).to_dask().compute(scheduler="synchronous")
    assert list(frame.columns) == COLUMNS
    assert len(frame) == 0


@pytest.mark.slow
@on_a_cluster
@ignoring_deprecations
def test_workers_load_partitions_over_http_without_the_key(rows, cluster):
    import pickle

    import distributed

    data, sandbox = rows
    full = data.to_pandas()
    with distributed.Client(cluster) as client:
        before = len(sandbox.requests)
        lazy = data.to_dask()
        assert len(sandbox.requests) == before
        assert lazy.npartitions == len(data.files)
        assert sandbox.secret_key.encode() not in pickle.dumps(lazy)
        frame = lazy.compute()
        assert frame["idDevice"].tolist() == full["idDevice"].tolist()
        assert frame["idAppTitle"].tolist() == full["idAppTitle"].astype(object).tolist()
        by_country = lazy.groupby("idCountry").size().compute()
        assert by_country.sum() == full["idCountry"].notna().sum()

        held = data.to_dask(client)
        distributed.wait(held)
        before = len(sandbox.requests)
        assert len(held) == len(full)
        assert len(sandbox.requests) == before


def test_partitions_have_the_declared_types(rows):
    data, _ = rows
    lazy = data.to_dask()
    part = lazy.partitions[0].compute(scheduler="sync")
    assert part.dtypes.to_dict() == lazy.dtypes.to_dict()
    assert lazy.dtypes.to_dict() == _types(data.to_pandas())
    assert part.attrs["idCountry"] == "Country id"


@pytest.fixture
def data_with_lists(tmp_path):
    """Rows of three files, whose times overlap, with lists of different lengths."""
    paths = []
    for number in range(3):
        path = tmp_path / f"{number}.csv.gz"
        lines = [",".join(LISTS)]
        for row in range(40):
            names, values = [
                ("['level','item']", f"['{row}','it\\'s']"),
                ("['level']", f"['{number}']"),
                ("[]", "[]"),
            ][row % 3]
            country = 188 if row % 5 else ""
            time = 1_793_480_400 + row * 7919 % 40 * 3600 + number
            cells = [f"{number}{row:03}", f"App {row % 3}", country, time, "2026-11-01"]
            lines.append(",".join([*map(str, cells), f'"{names}"', f'"{values}"']))
        path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
        paths.append(path)
    return open_files(paths)


def _types(frame):
    """The types of a frame, with text as Dask has it in all frames."""
    text = pd.StringDtype("pyarrow")
    return {
        name: text if isinstance(dtype, pd.StringDtype) else dtype
        for name, dtype in frame.dtypes.items()
    }


def _sorted_rows(frame):
    """The rows as tuples with lists as tuples, whatever sequence they are."""
    frame = frame.sort_values("idDevice")
    lists = [name for name in frame.columns if name.startswith("params.")]
    return [
        tuple(
            tuple(cell) if name in lists else None if pd.isna(cell) else cell
            for name, cell in zip(frame.columns, row, strict=True)
        )
        for row in frame.itertuples(index=False)
    ]


@pytest.mark.slow
@on_a_cluster
@ignoring_deprecations
@pytest.mark.parametrize("method", ["p2p", "tasks"])
def test_a_cluster_shuffles_merges_and_sorts_rows_with_lists(data_with_lists, cluster, method):
    import dask
    import distributed

    full = data_with_lists.to_pandas()
    rows = _sorted_rows(full)
    devices = full[["idDevice"]].assign(group=range(len(full)))
    with distributed.Client(cluster), dask.config.set({"dataframe.shuffle.method": method}):
        lazy = data_with_lists.to_dask()
        shuffled = lazy.shuffle("idDevice").compute()
        assert _sorted_rows(shuffled) == rows
        assert shuffled.dtypes.to_dict() == _types(full)
        if method == "tasks":
            assert set(map(type, shuffled["params.value"])) == {tuple}

        other = data_with_lists.to_dask()[["idDevice", "tsEvent"]]
        merged = lazy.merge(other, on="idDevice", suffixes=("", "_other")).compute()
        assert (merged.pop("tsEvent_other") == merged["tsEvent"]).all()
        assert _sorted_rows(merged) == rows
        small = lazy.merge(devices, on="idDevice").compute()
        assert _sorted_rows(small.drop(columns="group")) == rows

        by_time = lazy.set_index("tsEvent").compute()
        assert by_time.index.is_monotonic_increasing
        assert _sorted_rows(by_time.reset_index()[LISTS]) == rows
        names = lazy.explode("params.name")["params.name"].value_counts().compute()
        assert (
            names.to_dict() == full.explode("params.name")["params.name"].value_counts().to_dict()
        )


def test_texts_of_params_are_columns_of_their_own(data_with_lists):
    lazy = data_with_lists.to_dask(params=["level"])
    frame = lazy.compute(scheduler="sync")
    assert frame.dtypes.to_dict() == lazy.dtypes.to_dict()
    levels = [
        str(row) if row % 3 == 0 else str(number) if row % 3 == 1 else None
        for number in range(3)
        for row in range(40)
    ]
    assert [None if pd.isna(cell) else cell for cell in frame["params.level"]] == levels


def test_a_cell_that_does_not_fit_names_the_option(tmp_path):
    path = tmp_path / "1.csv.gz"
    path.write_bytes(gzip.compress(b"idApp,idOs\n1,2\nx,3\n"))
    with pytest.raises(mt.FileError, match=r"line 3.*as_text") as error:
        open_files(path).to_dask().compute(scheduler="sync")
    assert error.value.line == 3
    frame = open_files(path).to_dask(as_text=["idApp"]).compute(scheduler="sync")
    assert frame["idApp"].tolist() == ["1", "x"]


def test_without_dask_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "dask.dataframe", None)
    with pytest.raises(mt.MyTrackerError, match=r"pip install 'mytracker-nb\[dask\]'"):
        RawData([], ["idApp"]).to_dask()
