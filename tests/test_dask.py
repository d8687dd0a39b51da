"""One partition a file, loaded by whatever computes it."""

from __future__ import annotations

import gzip

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


@pytest.fixture
def rows(start_sandbox):
    """Rows of an export of several files, and their sandbox."""
    sandbox = start_sandbox(rows_per_file=300)
    number = created(sandbox, event="customEvents", selectors=",".join(COLUMNS))
    sign = AuthHMAC(sandbox.api_user_id, sandbox.secret_key).header
    fetcher = Fetcher(Transport(), sign, service_is_local=True)
    given = [Link(url, None) for url in links(sandbox, number)]
    return RawData(remote_files(given, fetcher), COLUMNS), sandbox


def test_kept_files_are_not_fetched_again(rows, tmp_path):
    data, sandbox = rows
    for file in data.files:
        file.kept = tmp_path / file.name
    whole = data.to_pandas()
    sandbox.faults.add(path=".csv.gz", status=404, times=None)
    frame = data.to_dask().compute(scheduler="synchronous")
    assert frame["idDevice"].tolist() == whole["idDevice"].tolist()


def test_an_export_without_files_is_an_empty_frame():
    frame = RawData([], COLUMNS).to_dask().compute(scheduler="synchronous")
    assert list(frame.columns) == COLUMNS
    assert len(frame) == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_workers_load_partitions_over_http_without_the_key(rows):
    import pickle

    distributed = pytest.importorskip("distributed")
    data, sandbox = rows
    whole = data.to_pandas()
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    )
    with cluster, distributed.Client(cluster) as client:
        before = len(sandbox.requests)
        lazy = data.to_dask()
        assert len(sandbox.requests) == before
        assert lazy.npartitions == len(data.files)
        assert sandbox.secret_key.encode() not in pickle.dumps(lazy)
        frame = lazy.compute()
        assert frame["idDevice"].tolist() == whole["idDevice"].tolist()
        assert frame["idAppTitle"].tolist() == whole["idAppTitle"].astype(object).tolist()
        by_country = lazy.groupby("idCountry").size().compute()
        assert by_country.sum() == whole["idCountry"].notna().sum()

        held = data.to_dask(client)
        distributed.wait(held)
        before = len(sandbox.requests)
        assert len(held) == len(whole)
        assert len(sandbox.requests) == before


def test_partitions_have_the_types_they_were_said_to_have(rows):
    data, _ = rows
    lazy = data.to_dask()
    part = lazy.partitions[0].compute(scheduler="sync")
    assert part.dtypes.to_dict() == lazy.dtypes.to_dict()
    assert str(lazy.dtypes["idAppTitle"]) == "string[pyarrow]"
    assert part.attrs["idCountry"] == "Country id"


def test_a_cell_that_does_not_fit_names_the_way_out(tmp_path):
    path = tmp_path / "1.csv.gz"
    path.write_bytes(gzip.compress(b"idApp,idOs\n1,2\nx,3\n"))
    with pytest.raises(mt.FileError, match=r"line 3.*as_text") as error:
        open_files(path).to_dask().compute(scheduler="sync")
    assert error.value.line == 3
    frame = open_files(path).to_dask(as_text=["idApp"]).compute(scheduler="sync")
    assert frame["idApp"].tolist() == ["1", "x"]


def test_without_dask_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "dask.dataframe", None)
    with pytest.raises(mt.MyTrackerError, match=r"pip install 'mytracker-nb\[dask\]'"):
        RawData([], ["idApp"]).to_dask()
