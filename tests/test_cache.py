"""The cache of downloaded files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from raw_client import created, links

import mytracker_nb as mt
from mytracker_nb.download.http_stream import Fetcher
from mytracker_nb.download.sources import download, remote_files
from mytracker_nb.service.api import Link
from mytracker_nb.service.signing import AuthHMAC
from mytracker_nb.service.transport import Transport
from mytracker_nb.storage import directories
from mytracker_nb.storage.file_cache import FileCache
from mytracker_nb.tables.raw_data import RawData


@pytest.fixture
def cached(start_sandbox, tmp_path):
    """A sandbox, a cache, and a function that returns the files of the sandbox's export."""
    sandbox = start_sandbox(rows_per_file=400)
    number = created(sandbox, event="customEvents", selectors="idDevice,eventName")
    given = [Link(url, None) for url in links(sandbox, number)][:2]
    sign = AuthHMAC(sandbox.api_user_id, sandbox.secret_key).header
    cache = FileCache(tmp_path)

    def files(cache: FileCache = cache):
        folder = cache.folder(sandbox.base_url, sandbox.api_user_id, number)
        fetcher = Fetcher(Transport(), sign, service=sandbox.base_url)
        return remote_files(given, fetcher, cache=cache, folder=folder)

    return sandbox, cache, files


def fetched(sandbox) -> int:
    return sum(call.path.endswith(".csv.gz") for call in sandbox.requests)


def put(cache: FileCache, number: int, size: int, used: float, service="https://a.test") -> Path:
    path = cache.folder(service, 7, number) / f"{number}.csv.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (used, used))
    return path


def test_a_file_is_fetched_once(cached, tmp_path):
    sandbox, cache, files = cached
    first = RawData(files()).to_arrow()
    assert fetched(sandbox) == 3  # the header was looked at before
    reported = []
    assert RawData(files(), first.column_names).to_arrow().equals(first)
    download(files(), tmp_path / "out", on_progress=lambda *now: reported.append(now))
    assert fetched(sandbox) == 3
    assert reported[-1] == (cache.size, cache.size, 2, 2)
    (export,) = cache.exports
    assert (export.account, export.id_raw_export, export.files) == (sandbox.api_user_id, 1, 2)
    assert export.service == sandbox.base_url.partition("//")[2].replace(":", "_")


def test_writing_a_parquet_dataset_caches_the_files(cached, tmp_path):
    sandbox, cache, files = cached
    RawData(files(), ["idDevice", "eventName"]).to_parquet(tmp_path / "out")
    assert cache.exports[0].files == 2
    assert fetched(sandbox) == 2


def test_partial_and_damaged_files_are_not_cached(cached):
    sandbox, cache, files = cached
    sandbox.faults.add(path=".csv.gz", corrupt=900, times=None)
    with pytest.raises(mt.FileError, match="damaged"):
        RawData(files(), ["idDevice", "eventName"]).to_arrow()
    sandbox.faults.clear()
    RawData(files(), ["idDevice", "eventName"]).head(1)
    assert [path for path in cache.root.rglob("*") if path.is_file()] == []


def test_a_damaged_cached_file_is_fetched_again(cached):
    sandbox, cache, files = cached
    want = RawData(files(), ["idDevice", "eventName"]).to_arrow()
    for path in cache.root.rglob("*.csv.gz"):
        path.write_bytes(path.read_bytes()[:-20])
    before = fetched(sandbox)
    assert RawData(files(), ["idDevice", "eventName"]).to_arrow().equals(want)
    assert fetched(sandbox) == before + 2


def test_a_file_larger_than_the_cache_is_read_and_not_cached(cached, tmp_path):
    _, _, files = cached
    small = FileCache(tmp_path / "small", limit=1000)
    assert RawData(files(small), ["idDevice", "eventName"]).to_arrow().num_rows > 700
    assert [path for path in small.root.rglob("*") if path.is_file()] == []


def test_a_cache_that_cannot_be_written_is_not_used(cached, tmp_path):
    _, _, files = cached
    (tmp_path / "file").touch()
    nowhere = FileCache(tmp_path / "file")
    assert RawData(files(nowhere), ["idDevice", "eventName"]).to_arrow().num_rows > 700


def test_the_least_recently_used_file_is_deleted_first(tmp_path):
    cache = FileCache(tmp_path, limit=250)
    paths = [put(cache, number, 100, used=1e9 + number) for number in range(4)]
    os.utime(paths[0], (2e9, 2e9))
    cache.trim()
    assert [path.exists() for path in paths] == [True, False, False, True]
    assert cache.size == 200


def test_unfinished_files_of_ended_processes_are_deleted(tmp_path):
    cache = FileCache(tmp_path)
    old, new = put(cache, 1, 10, 1e9), put(cache, 2, 10, 1e9)
    stale = old.rename(old.with_suffix(".part"))
    fresh = new.rename(new.with_suffix(".part"))
    os.utime(fresh)
    assert cache.exports == []
    cache.trim()
    assert (stale.exists(), fresh.exists()) == (False, True)


def test_services_accounts_and_exports_have_separate_folders(tmp_path):
    cache = FileCache(tmp_path)
    folders = {
        cache.folder(service, account, number)
        for service in ("https://tracker.my.com", "http://127.0.0.1:80", "http://127.0.0.1:81")
        for account in (1, 2)
        for number in (3, 4)
    }
    assert len(folders) == 12
    nasty = cache.folder("https://../../x", 1, 2)
    assert cache.root in nasty.parents
    assert ".." not in nasty.relative_to(cache.root).parts


@pytest.mark.skipif(os.name == "nt", reason="modes are those of POSIX")
def test_other_users_cannot_read_it(cached):
    _, cache, files = cached
    RawData(files(), ["idDevice", "eventName"]).to_arrow()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in cache.root.rglob("*.csv.gz")}
    assert modes == {0o600}


def test_it_lists_cached_exports_and_clears_them(tmp_path):
    cache = FileCache(tmp_path)
    put(cache, 12, 3_000_000, 1.7e9, service="https://<b>")
    put(cache, 13, 10, 1.7e9)
    assert "idRawExport 12  1 files  3.0 MB  last used 2023-11-14 22:13 UTC" in repr(cache)
    page = cache._repr_html_()
    assert "<td>12</td><td>1</td><td>3.0 MB</td><td>2023-11-14 22:13</td>" in page
    assert "<b>" not in page
    frame = cache.to_pandas()
    assert sorted(frame["idRawExport"]) == [12, 13]
    assert frame["bytes"].sum() == cache.size == 3_000_010
    cache.clear()
    assert (cache.size, cache.exports, cache.to_pandas().shape) == (0, [], (0, 6))


def test_the_cache_of_the_service_in_use(monkeypatch, tmp_path, no_account):
    monkeypatch.setenv("MYTRACKER_NB_CACHE_DIR", str(tmp_path))
    put(FileCache(tmp_path), 5, 10, 1e9)
    assert [export.id_raw_export for export in mt.cache().exports] == [5]
    mt.cache().clear()
    assert mt.cache().exports == []


@pytest.mark.parametrize("place", ["file/below", "~nobody-of-this-name/cache"])
def test_a_directory_that_can_not_be_used_is_one_short_error(
    monkeypatch, tmp_path, no_account, place
):
    (tmp_path / "file").write_text("")
    given = place if place.startswith("~") else str(tmp_path / place)
    monkeypatch.setenv("MYTRACKER_NB_CACHE_DIR", given)
    with pytest.raises(mt.FileError, match="set MYTRACKER_NB_CACHE_DIR to a directory") as error:
        mt.cache()
    assert "\n" not in str(error.value)


def cached_name(url: str, *others: str) -> str:
    links = [Link(each, None) for each in (url, *others)]
    cache = FileCache(Path("/nowhere"))
    cached = remote_files(links, Fetcher(None, None), cache=cache, folder=Path("/nowhere/4"))[
        0
    ].cached
    assert cached is not None
    return cached.name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://h.test/d?f=1", "https://h.test/d?f=2"),
        ("https://h.test/a/x.csv.gz", "https://h.test/b/x.csv.gz"),
        ("https://h.test/x.csv.gz?f=1&Signature=s", "https://h.test/x.csv.gz?f=2&Signature=s"),
        ("https://h.test/x.csv.gz?se=1", "https://h.test/x.csv.gz?se=2"),
        ("https://h.test/x.csv.gz?expires=1", "https://h.test/x.csv.gz?expires=2"),
    ],
)
def test_files_of_different_links_are_stored_separately(one, other):
    assert cached_name(one) != cached_name(other)
    assert cached_name(one, other) != cached_name(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Expires={0}&Signature={0}&AWSAccessKeyId={0}", "f=1"),
        ("X-Amz-Algorithm=A&X-Amz-Date={0}&X-Amz-Signature={0}&X-Amz-Credential={0}", "f=1"),
        ("sv=2020&se={0}&sr=b&sig={0}", ""),
        ("X-Goog-Date={0}&X-Goog-Signature={0}", "part=2"),
    ],
)
def test_links_that_differ_in_their_signature_only_are_the_same(one, other):
    urls = [f"https://h.test/x.csv.gz?{one.format(sign)}&{other}" for sign in ("1", "2")]
    assert cached_name(urls[0]) == cached_name(urls[1])
    assert cached_name(*urls) != cached_name(*urls[::-1]), "but all that two links differ in does"


@pytest.mark.parametrize("given", ["~nosuchuser/data", None])
def test_exports_work_without_a_home_directory(sandbox, monkeypatch, given):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    for name in ("MYTRACKER_NB_DATA_DIR", "MYTRACKER_NB_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
        if given:
            monkeypatch.setenv(name, given)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for directory in (directories.data_directory, directories.cache_directory):
        with pytest.raises(OSError, match=r"home directory|nosuchuser"):
            directory("https://tracker.my.com")
    with pytest.raises(mt.FileError, match="MYTRACKER_NB_CACHE_DIR"):
        mt.cache()


def test_an_unknown_home_directory_is_reported_with_the_system_s_message(monkeypatch, tmp_path):
    def unknown(*_, **__):
        raise RuntimeError("could not determine the home directory")

    monkeypatch.delenv("MYTRACKER_NB_DATA_DIR", raising=False)
    monkeypatch.setattr(directories.platformdirs, "user_data_path", unknown)
    with pytest.raises(OSError, match=r"^could not determine the home directory$"):
        directories.data_directory("https://tracker.my.com")
