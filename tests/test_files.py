"""Fetching files over real HTTP: faults, and who gets the signature."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import requests
from forking import forks, in_child
from raw_client import created, links

import mytracker_nb as mt
from mytracker_nb.download.gzip_csv import CorruptFile, Limits, inflate
from mytracker_nb.download.http_stream import Fetcher
from mytracker_nb.download.sources import LocalFile, download, remote_files, source_of
from mytracker_nb.sandbox.faults import HTML_PAGE
from mytracker_nb.service.api import Link
from mytracker_nb.service.signing import AuthHMAC
from mytracker_nb.service.transport import Transport
from mytracker_nb.storage import atomic
from mytracker_nb.storage.atomic import AtomicFile
from mytracker_nb.tables.raw_data import RawData

KEY = "a key that must not be seen"


@pytest.fixture(autouse=True)
def no_pauses(fake_clock):
    """Faults pass at once."""
    return fake_clock.slept


@pytest.fixture
def served(start_sandbox):
    """A sandbox with an export of three files, the files as remote ones, and their texts."""
    sandbox = start_sandbox(rows_per_file=400)
    number = created(sandbox, event="customEvents", selectors="idDevice,eventName,params.value")
    sign = AuthHMAC(sandbox.api_user_id, sandbox.secret_key).header
    fetcher = Fetcher(Transport(), sign, service="http://127.0.0.1")
    given = [Link(url, None) for url in links(sandbox, number)][:3]
    return sandbox, remote_files(given, fetcher), sandbox.served(number)[:3]


def ranges(sandbox: Any) -> list[str]:
    return [
        call.headers.get("Range", "") for call in sandbox.requests if call.path.endswith(".csv.gz")
    ]


def texts(paths: list[Path]) -> list[str]:
    return [gzip.decompress(path.read_bytes()).decode() for path in paths]


# -- faults ---------------------------------------------------------------------------------------


def test_files_are_fetched_and_checked(served, tmp_path):
    _, files, wanted = served
    reported = []
    target = tmp_path / "new" / "place"
    paths = download(files, target, on_progress=lambda *now: reported.append(now))
    assert texts(paths) == wanted
    assert [path.name for path in paths] == [file.name for file in files]
    assert sorted(os.listdir(tmp_path / "new" / "place")) == sorted(path.name for path in paths)
    size = sum(path.stat().st_size for path in paths)
    assert reported[-1] == (size, size, 3, 3)
    assert [now[0] for now in reported] == sorted(now[0] for now in reported)


def test_an_interrupted_download_is_resumed(served, tmp_path):
    sandbox, files, wanted = served
    sandbox.faults.add(path=".csv.gz", truncate=700, times=5)
    paths = download(files[:1], tmp_path)
    assert texts(paths) == wanted[:1]
    assert ranges(sandbox) == ["", *(f"bytes={700 * n}-" for n in range(1, 6))]


def test_without_ranges_the_file_is_downloaded_again(served, tmp_path):
    sandbox, files, wanted = served
    (path,) = download(files[:1], tmp_path)
    sandbox.faults.add(path=".csv.gz", truncate=700, headers={"ETag": None})
    sandbox.faults.add(path=".csv.gz", body=path.read_bytes())
    assert texts(download(files[:1], tmp_path)) == wanted[:1]
    assert ranges(sandbox) == ["", "", "bytes=700-"]


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503, "times": 19},
        {"status": 403, "body": HTML_PAGE, "times": 5},
        {"status": 404, "body": HTML_PAGE, "times": 5},
        {"status": 500, "body": HTML_PAGE, "times": 3},
        {"body": HTML_PAGE, "times": 3},
        {"reset": "before", "times": 3},
        {"reset": "after", "times": 3},
        {"corrupt": 900, "times": 3},
        {"corrupt": -5, "times": 3},
        {"truncate": 0, "times": 4},
        {"headers": {"Content-Length": None}, "truncate": 500, "times": 2},
    ],
)
def test_several_faults_in_a_row_are_retried(served, tmp_path, fault):
    sandbox, files, wanted = served
    added = sandbox.faults.add(path=".csv.gz", **fault)
    assert texts(download(files[:1], tmp_path / "out")) == wanted[:1]
    assert added.strikes == fault["times"]
    assert [path.suffix for path in (tmp_path / "out").iterdir()] == [".gz"]


def damaged(text: str, old: bytes, new: bytes) -> bytes:
    """A gzip file that unpacks to another text than its checksum is of."""
    assert len(old) == len(new)
    packed = gzip.compress(text.encode(), compresslevel=0)
    assert old in packed
    return packed.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"tsEvent", b"tsevent"),  # the header of another export
        (b",1", b";1"),  # a cell too few
        (b",1", b",x"),  # no time any more
        (b",1", b'"1'),  # a quote that does not end
        (b",1", b"\xff1"),  # no UTF-8
    ],
)
def test_damage_that_shows_in_the_rows_is_fetched_again(served, monkeypatch, old, new):
    sandbox, _, _ = served
    selectors = ["idApp", "tsEvent", "params.value"]
    number = created(sandbox, event="customEvents", selectors=",".join(selectors))
    wanted = sandbox.served(number)[0]
    sandbox.faults.add(path=".csv.gz", body=damaged(wanted, old, new), times=1)
    sign = AuthHMAC(sandbox.api_user_id, sandbox.secret_key).header
    fetcher = Fetcher(Transport(), sign, service="http://127.0.0.1")
    files = remote_files([Link(links(sandbox, number)[0], None)], fetcher)
    monkeypatch.setattr("mytracker_nb.tables.raw_data._LATE_BLOCK", 2000)

    table = RawData(files, selectors).to_arrow()

    assert table.schema.field("tsEvent").type == pa.timestamp("us", tz="UTC")
    assert len(table) == len(list(csv.reader(io.StringIO(wanted)))) - 1
    assert len(ranges(sandbox)) == 2


def test_a_stopped_sandbox_is_reported_soon(served, tmp_path, no_pauses):
    sandbox, files, _ = served
    sandbox.stop()
    with pytest.raises(mt.FileError, match="Start a sandbox and create the export again"):
        download(files[:1], tmp_path)
    assert len(no_pauses) < 10


def test_a_file_with_other_columns_is_not_saved(served, tmp_path):
    sandbox, files, wanted = served
    other = gzip.compress(b"idApp,idOs\n1,2\n")
    selectors = ["idDevice", "eventName", "params.value"]
    sandbox.faults.add(path=".csv.gz", body=other, times=2)
    assert texts(download(files[:1], tmp_path, selectors=selectors)) == wanted[:1]
    sandbox.faults.add(path=".csv.gz", body=other, times=None)
    with pytest.raises(mt.FileError, match="not requested: idApp, idOs"):
        download(files[:1], tmp_path / "other", selectors=selectors)
    assert os.listdir(tmp_path / "other") == []


def test_the_server_says_how_long_to_wait(served, tmp_path, no_pauses):
    sandbox, files, wanted = served
    sandbox.faults.add(path=".csv.gz", status=429, headers={"Retry-After": "7"})
    assert texts(download(files[:1], tmp_path)) == wanted[:1]
    assert 7 in [round(wait) for wait in no_pauses]


def test_a_server_that_asks_for_no_pause_is_not_polled_in_a_hot_loop(served, tmp_path, no_pauses):
    sandbox, files, wanted = served
    sandbox.faults.add(path=".csv.gz", status=429, headers={"Retry-After": "0"}, times=12)
    assert texts(download(files[:1], tmp_path)) == wanted[:1]
    assert sum(no_pauses) > 30


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ({"status": 503}, mt.FileError, "tries in a row failed at byte 0 .*503"),
        ({"reset": "before"}, mt.FileError, "tries in a row failed"),
        ({"truncate": 0}, mt.FileError, "broke after 0 of"),
        ({"corrupt": 900}, mt.FileError, "damaged"),
        ({"body": HTML_PAGE}, mt.FileError, "HTML or XML page"),
        ({"status": 404}, mt.LinkExpired, "Create the export again"),
        ({"status": 410}, mt.LinkExpired, "Create the export again"),
        ({"status": 404, "body": HTML_PAGE}, mt.LinkExpired, "Create the export again"),
        ({"status": 403, "body": HTML_PAGE}, mt.AccessDenied, "denies access"),
        ({"status": 403}, mt.AccessDenied, "secret key and the export permission"),
        ({"status": 418}, mt.FileError, "418"),
    ],
)
def test_a_permanent_fault_is_reported_and_the_other_files_stay(
    served, tmp_path, fault, error, message
):
    sandbox, files, wanted = served
    sandbox.faults.add(path=f"/{files[1].name}", times=None, **fault)
    with pytest.raises(error, match=message) as raised:
        download(files, tmp_path)
    assert files[1].name in str(raised.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [files[0].name, files[2].name]
    )
    assert texts([tmp_path / files[0].name]) == wanted[:1]


def test_an_interrupt_does_not_wait_for_delayed_files(served, tmp_path):
    sandbox, files, _ = served
    sandbox.faults.add(
        path=f"/{files[1].name}", status=429, headers={"Retry-After": "600"}, times=None
    )

    def interrupt(*now):
        if now[2] == 1:
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        download(files[:2], tmp_path, on_progress=interrupt)
    assert time.monotonic() - began < 60


def test_an_expired_link_is_reported(served, tmp_path):
    sandbox, files, _ = served
    sandbox.faults.add(path=".csv.gz", status=403, times=None)
    when = datetime.now(timezone.utc) - timedelta(hours=1)
    old = remote_files([Link(files[0].link.url, when)], files[0].fetcher)
    with pytest.raises(mt.LinkExpired, match=f"expired at {when:%Y-%m-%d %H:%M} UTC"):
        download(old, tmp_path)


def test_a_file_that_changes_during_the_download_is_fetched_again(served, tmp_path):
    sandbox, files, wanted = served
    sandbox.faults.add(path=".csv.gz", truncate=700, headers={"ETag": '"another"'})
    assert texts(download(files[:1], tmp_path)) == wanted[:1]
    assert ranges(sandbox) == ["", "bytes=700-", ""]


def test_a_directory_that_cannot_be_written_is_reported(served, tmp_path):
    _, files, _ = served
    (tmp_path / "file").touch()
    with pytest.raises(mt.FileError, match="cannot be written") as error:
        download(files, tmp_path / "file" / "data")
    assert error.value.file.startswith(str(tmp_path / "file"))


def test_a_full_disk_is_reported_and_leaves_no_partial_file(served, tmp_path):
    _, files, _ = served
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no full device")
    real = os.fdopen

    class Full:
        def __init__(self, descriptor: int, mode: str) -> None:
            self._real = real(descriptor, mode)
            self._full = open("/dev/full", "wb", buffering=0)  # noqa: SIM115

        def write(self, block: bytes) -> int:
            return self._full.write(block) or 0

        def close(self) -> None:
            self._real.close()
            self._full.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fdopen", Full)
        with pytest.raises(mt.FileError, match="No space left on device"):
            download(files[:1], tmp_path)
    assert list(tmp_path.iterdir()) == []


@forks
def test_leftovers_of_a_killed_process_are_removed_by_the_next(served, tmp_path, monkeypatch):
    _, files, _ = served
    path = tmp_path / files[0].name

    def be_killed() -> None:
        AtomicFile(path).write(b"half")
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(be_killed) == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    of_another = tmp_path / ".other.csv.gz.01234567.part"
    of_another.write_bytes(b"of another file")
    in_use = AtomicFile(path)
    assert left.exists(), "it may be one that is being created"
    monkeypatch.setattr(atomic, "_NEW", -1.0)
    download(files[:1], tmp_path)
    assert set(tmp_path.iterdir()) == {path, of_another, in_use._path}
    in_use.discard()


def test_a_decompression_bomb_is_rejected(served, tmp_path):
    _, files, _ = served
    with pytest.raises(mt.FileError, match=r"Limits\.size"):
        download(files[:1], tmp_path, limits=Limits(size=1000))
    assert list(tmp_path.iterdir()) == []


# -- who gets the signature -----------------------------------------------------------------------


class _Handler(BaseHTTPRequestHandler):
    """Sends the configured answers, and records the hosts and headers of requests."""

    def do_GET(self) -> None:
        self.server.seen.append((self.headers["Host"].partition(":")[0], dict(self.headers)))
        status, headers, body = self.server.answers[self.path.partition("?")[0]]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *what: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Any]:
    """A server that answers as configured, under the names 127.0.0.1 and localhost."""
    running: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    running.seen, running.answers = [], {}
    running.base = f"http://127.0.0.1:{running.server_port}"
    running.other = f"http://localhost:{running.server_port}"
    threading.Thread(target=running.serve_forever, args=[0.02], daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


FILE = gzip.compress(b"idApp\n1\n")


def fetch(url: str, directory: Path, session: requests.Session | None = None) -> bytes:
    fetcher = Fetcher(Transport(session), AuthHMAC(7, KEY).header, service="http://127.0.0.1")
    return download(remote_files([Link(url, None)], fetcher), directory)[0].read_bytes()


def test_a_redirect_to_another_host_gets_no_signature(server, tmp_path):
    server.answers = {
        "/here": (302, {"Location": "/near"}, b""),
        "/near": (307, {"Location": f"{server.other}/far?x=1"}, b""),
        "/far": (302, {"Location": f"{server.base}/back"}, b""),
        "/back": (200, {}, FILE),
    }
    assert fetch(f"{server.base}/here", tmp_path) == FILE
    signed = [(host, "Authorization" in headers) for host, headers in server.seen]
    assert signed == [
        ("127.0.0.1", True),
        ("127.0.0.1", True),
        ("localhost", False),
        ("127.0.0.1", False),
    ]
    first, second = (headers["Authorization"] for _, headers in server.seen[:2])
    assert first != second
    assert second == AuthHMAC(7, KEY).header(f"{server.base}/near")["Authorization"]


def test_an_authorization_of_the_session_or_of_netrc_is_not_sent(server, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine localhost login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.answers = {
        "/here": (302, {"Location": f"{server.other}/far"}, b""),
        "/far": (200, {}, FILE),
    }
    session = requests.Session()
    session.auth = ("me", "secret")
    session.headers["Authorization"] = "Basic secret"
    assert fetch(f"{server.base}/here", tmp_path / "out", session) == FILE
    assert server.seen[0][1]["Authorization"].startswith("AuthHMAC 7:")
    assert "Authorization" not in server.seen[1][1]


@pytest.mark.parametrize(
    "where", ["http://example.test/a", "ftp://example.test/a", "file:///etc/a"]
)
def test_other_machines_are_reached_by_https_only(server, tmp_path, where):
    with pytest.raises(mt.FileError, match=r"not https .*nothing was sent"):
        fetch(where, tmp_path)
    server.answers = {"/here": (302, {"Location": where}, b"")}
    with pytest.raises(mt.FileError, match="not https"):
        fetch(f"{server.base}/here", tmp_path)


def test_the_host_that_is_checked_is_the_one_that_gets_the_request(server, tmp_path):
    port = server.server_port
    with pytest.raises(mt.FileError, match=r"not https .*nothing was sent"):
        fetch(f"http://example.test:{port}\\@127.0.0.1:{port}/here", tmp_path)
    assert server.seen == []

    path = f"@127.0.0.1:{port}/far"
    server.answers = {
        "/here": (302, {"Location": f"{server.other}\\{path}"}, b""),
        f"/%5C{path}": (200, {}, FILE),
    }
    assert fetch(f"{server.base}/here", tmp_path) == FILE
    signed = [(host, "Authorization" in headers) for host, headers in server.seen]
    assert signed == [("127.0.0.1", True), ("localhost", False)]


@pytest.mark.parametrize("where", ["", "https://", "https://[oops/a", "https://a b/"])
def test_an_invalid_link_is_reported_at_once(tmp_path, no_pauses, where):
    with pytest.raises(mt.FileError, match="not a valid URL"):
        fetch(where, tmp_path)
    assert no_pauses == []


def test_redirects_end(server, tmp_path):
    server.answers = {"/here": (302, {"Location": "/here"}, b"")}
    with pytest.raises(mt.FileError, match="redirects"):
        fetch(f"{server.base}/here", tmp_path)
    assert len(server.seen) < 20


def test_the_content_encoding_is_ignored(server, tmp_path):
    server.answers = {"/here": (200, {"Content-Encoding": "gzip"}, FILE)}
    assert fetch(f"{server.base}/here", tmp_path) == FILE
    assert server.seen[0][1]["Accept-Encoding"] == "identity"


def test_no_error_shows_a_key_or_the_secrets_of_a_link(server, tmp_path):
    url = f"{server.base}/here?token=hidden"
    for answer in [(403, {}, b"no"), (404, {}, b""), (500, {}, b""), (200, {}, b"<html>")]:
        server.answers = {"/here": answer}
        with pytest.raises(mt.MyTrackerError) as error:
            fetch(url, tmp_path)
        chain, shown = error.value, ""
        while chain:
            shown, chain = shown + repr(chain), chain.__cause__ or chain.__context__
        assert KEY not in shown
        assert "hidden" not in str(error.value)
    assert KEY not in repr(remote_files([Link(url, None)], Fetcher(None, AuthHMAC(7, KEY).header)))


# -- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.test/storage/4.payment.ab12.0.csv.gz?auth=1", "4.payment.ab12.0.csv.gz"),
        ("https://a.test/x/..%2f..%2fetc%2fpasswd", "passwd.csv.gz"),
        ("https://a.test/x/..%5c..%5cboot.ini", "_.._boot.ini.csv.gz"),
        ("https://a.test/.hidden.gz", "hidden.gz"),
        ("https://a.test/", "file_.csv.gz"),
        ("https://a.test/con", "file_con.csv.gz"),
        ("https://a.test/a%00b%0a.csv.gz", "a_b_.csv.gz"),
        ("https://a.test/%D1%84.csv.gz", "_.csv.gz"),
    ],
)
def test_a_name_of_a_link_is_never_a_path(url, name):
    (file,) = remote_files([Link(url, None)], Fetcher(None, None))
    assert file.name == name
    assert Path(file.name).name == file.name


def test_long_names_are_shortened_and_equal_ones_made_unique():
    long = remote_files([Link(f"https://a.test/{'x' * 999}.csv.gz", None)], Fetcher(None, None))
    assert len(long[0].name) <= 120
    urls = ["https://a.test/1/x.csv.gz", "https://a.test/2/X.csv.gz", "https://a.test/y.csv.gz"]
    names = [file.name for file in remote_files([Link(u, None) for u in urls], Fetcher(None, None))]
    assert len({name.lower() for name in names}) == 3
    assert names[2] == "y.csv.gz"
    # whatever the order of the links
    turned = remote_files([Link(u, None) for u in urls[::-1]], Fetcher(None, None))
    assert [file.name for file in turned][::-1] == names


def test_links_that_differ_in_their_query_are_different_files(server, tmp_path):
    server.answers = {"/get": (200, {}, FILE)}
    urls = [f"{server.base}/get?file={number}" for number in range(3)]
    fetcher = Fetcher(Transport(), AuthHMAC(7, KEY).header, service="http://127.0.0.1")
    files = remote_files([Link(url, None) for url in urls], fetcher)
    assert len({file.name.lower() for file in files}) == 3
    assert len(set(download(files, tmp_path))) == 3
    no_links = [Link("http://[oops", None), Link("http://[oops", None), Link("\ud800", None)]
    assert len({file.name for file in remote_files(no_links, fetcher)}) == 3
    # what signs a query is another one each time
    again = remote_files([Link(f"{url}&sign=1", None) for url in urls], fetcher)
    assert [file.name for file in again] == [file.name for file in files]


# -- tickets --------------------------------------------------------------------------------------


def test_a_ticket_lets_another_process_read_a_file_without_the_key(served):
    sandbox, files, wanted = served
    ticket = files[0].ticket()
    assert all(type(name) is str and type(value) is str for name, value in ticket.items())
    assert sandbox.secret_key not in repr(ticket)
    rows = RawData([source_of(ticket)]).to_arrow()
    assert rows.num_rows == wanted[0].count("\n") - 1 or rows.num_rows > 0


def test_a_ticket_of_a_file_on_disk_is_its_path(tmp_path, monkeypatch):
    (tmp_path / "1.csv.gz").write_bytes(FILE)
    monkeypatch.chdir(tmp_path)
    ticket = LocalFile(Path("1.csv.gz")).ticket()
    monkeypatch.chdir("/")
    assert b"".join(source_of(ticket).open()) == FILE


def test_the_first_rows_need_the_first_bytes_only(server):
    import random

    lines = b"".join(b"%d,%d\n" % (n, random.Random(n).getrandbits(64)) for n in range(300_000))
    body = gzip.compress(b"idApp,nobody\n" + lines, 1)
    server.answers = {"/1": (200, {}, body), "/2": (200, {}, body)}
    reported = []
    from mytracker_nb.download.sources import Progress

    progress = Progress(2, lambda *now: reported.append(now))
    links = [Link(f"{server.base}/{n}", None) for n in (1, 2)]
    fetcher = Fetcher(Transport(), AuthHMAC(7, KEY).header, service="http://127.0.0.1")
    rows = RawData(remote_files(links, fetcher, progress=progress), progress=progress)
    assert rows.head(20)["idApp"].tolist() == list(range(20))
    progress.report()
    assert reported[-1][0] < 600_000 < len(body)
    # the server notes whoever asks: nobody asked for the second file
    assert {headers["Host"] for _, headers in server.seen} == {server.base.partition("//")[2]}
    assert len(server.seen) <= 2


# -- what never ends ------------------------------------------------------------------------------


WHOLE = gzip.compress(b"idApp\n1\n")
ENDLESS = {
    "zeros after the end": (WHOLE, b"\0" * 65536),
    "empty members": (WHOLE, gzip.compress(b"") * 1000),
    "empty blocks": (b"\x1f\x8b\x08\0\0\0\0\0\0\x03", b"\0\0\0\xff\xff" * 10_000),
    "a name in the header": (b"\x1f\x8b\x08\x08\0\0\0\0\0\x03", b"n" * 65536),
    "members of one letter": (WHOLE, gzip.compress(b"1") * 1000),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", ENDLESS)
def test_compressed_bytes_that_never_end_are_damaged(what):
    start, more = ENDLESS[what]
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        for block in itertools.chain([start], itertools.repeat(more)):
            taken += len(block)
            yield block

    with pytest.raises(CorruptFile, match="damaged"):
        for _ in inflate(endless(), "a.csv.gz"):
            pass
    assert taken < 32 << 20


def test_padding_and_members_without_rows_are_fine():
    padded = WHOLE + gzip.compress(b"") * 3 + gzip.compress(b"2\n") + b"\0" * 65536
    assert b"".join(inflate([padded], "a.csv.gz")) == b"idApp\n1\n2\n"
