from __future__ import annotations

import csv
import gc
import gzip
import io
import socket
import struct
import threading
import time
from urllib.parse import urlsplit

import pytest
from raw_client import INSTALLS, RAW, cancel, create, created, data, detail, get, links, send

from mytracker_nb.service.signing import AuthHMAC

NOT_FOUND = {
    "code": 404,
    "message": "Not Found",
    "data": {"error": {"detail": "Raw export request not found"}},
}


NOW = 1_795_000_000.0


@pytest.fixture
def slow(start_sandbox):
    """A sandbox whose exports take 100 seconds, with a frozen clock."""
    return start_sandbox(seconds=100, queue=2, now=lambda: NOW)


def test_an_export_is_created_and_numbered(sandbox):
    first, second = create(sandbox), create(sandbox)
    assert first.json()["message"] == "Ok"
    number = first.json()["data"]["idRawExport"]
    assert second.json() == {
        "code": 200,
        "message": "Ok",
        "data": {"idRawExport": str(int(number) + 1)},
    }


def test_it_progresses_and_ends(slow):
    number = created(slow)
    assert data(slow, number) == {"status": "In progress", "progress": "0%", "isCancellable": True}
    slow.clock.advance(64)
    assert data(slow, number) == {"status": "In progress", "progress": "64%", "isCancellable": True}
    slow.clock.advance(30)
    assert data(slow, number) == {
        "status": "In progress",
        "progress": "94%",
        "isCancellable": False,
    }
    slow.clock.advance(6)
    answer = data(slow, number)
    assert answer["status"] == "Success!"
    assert [set(file) for file in answer["files"]] == [{"link", "timestampExpires"}] * 2
    assert answer["files"][0]["timestampExpires"] == str(1_795_000_100 + 86_400)
    assert answer["files"][1]["link"].endswith(".1.csv.gz")


def test_it_can_be_cancelled_in_time(slow):
    early, late, done = created(slow), created(slow), 0
    answer = cancel(slow, early).json()
    assert answer["data"] == {"idRawExport": str(early), "info": "Canceled"}
    assert data(slow, early) == {"status": "Canceled by user"}
    assert detail(cancel(slow, early)) == "This RawExport can not be cancel"
    slow.clock.advance(95)
    assert detail(cancel(slow, late)) == "This RawExport can not be cancel"
    slow.clock.advance(5)
    assert detail(cancel(slow, late)) == "This RawExport can not be cancel (it's completed)"
    assert cancel(slow, done).json() == NOT_FOUND


def test_an_unknown_export_is_not_found(sandbox):
    answer = get(sandbox, 10**30)
    assert answer.status_code == 404
    assert answer.json() == NOT_FOUND


def test_the_queue_is_short(slow):
    first, second = created(slow), created(slow)
    answer = create(slow)
    assert answer.status_code == 400
    assert answer.json()["data"]["error"] == {
        "detail": "Maximum number of simultaneous requests reached. "
        "Wait until there is space available in the queue.",
        "info": {"exports": [{"idRawExport": str(first)}, {"idRawExport": str(second)}]},
    }
    cancel(slow, first)
    assert created(slow) == second + 1


def test_a_refused_request_needs_no_place(slow):
    for _ in range(3):
        assert create(slow, event="none").status_code == 400
    assert not slow.exports


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"max_rows": 100}, "Too many lines in export"),
        ({"max_cells": 300}, "Too much export data"),
    ],
)
def test_too_large(start_sandbox, config, text):
    sandbox = start_sandbox(**config)
    answer = data(sandbox, created(sandbox))
    assert answer == {"status": "User error occurred", "errorMessage": text}
    assert data(sandbox, created(sandbox, dateTo="2025-11-03"))["status"] == "Success!"


def test_all_of_time_is_too_large_and_a_narrow_filter_is_not(sandbox):
    ever = {"event": "customEvents", "dateFrom": "1970-01-01"}
    answer = data(sandbox, created(sandbox, **ever))
    assert answer["errorMessage"] == "Too many lines in export"
    answer = data(sandbox, created(sandbox, **ever, idApp="5005", idCountry="398"))
    assert answer["status"] == "Success!"


@pytest.mark.parametrize(
    ("outcome", "answer"),
    [
        ("Error occurred", {"status": "Error occurred"}),
        (
            "Too much export data",
            {"status": "User error occurred", "errorMessage": "Too much export data"},
        ),
    ],
)
def test_outcomes_can_be_forced(start_sandbox, outcome, answer):
    sandbox = start_sandbox()
    sandbox.exports.outcomes.append(outcome)
    assert data(sandbox, created(sandbox)) == answer
    assert data(sandbox, created(sandbox))["status"] == "Success!"
    sandbox.exports[2].outcome = outcome
    assert data(sandbox, 2) == answer


def test_files_have_the_requested_rows(sandbox):
    number = created(sandbox, selectors="tsEvent,idDevice,tsEvent")
    rows = []
    for link, text in zip(links(sandbox, number), sandbox.served(number), strict=True):
        content = send(sandbox, "GET", link).content
        assert gzip.decompress(content).decode() == text
        header, *some = csv.reader(io.StringIO(text))
        assert header == ["tsEvent", "idDevice"]
        rows += some
    assert len(rows) == sandbox.exports[number].rows > 100
    assert rows == sorted(rows, key=lambda row: int(row[0]))


@pytest.mark.parametrize(
    ("config", "count"),
    [({"files": 1}, 1), ({"files": 5}, 5), ({"rows_per_file": 50}, 4)],
)
def test_the_number_of_files(start_sandbox, config, count):
    sandbox = start_sandbox(**config)
    number = created(sandbox)
    assert len(links(sandbox, number)) == count
    texts = sandbox.served(number)
    assert len({line for text in texts for line in text.splitlines()}) == (
        sandbox.exports[number].rows + 1
    )


def test_an_export_without_rows_has_a_header(sandbox):
    number = created(sandbox, idApp="1")
    assert sandbox.served(number) == ["idDevice,tsEvent\n"]


def test_ranges(sandbox):
    link = links(sandbox, created(sandbox))[0]
    full = send(sandbox, "GET", link)
    size = int(full.headers["Content-Length"])
    assert full.headers["Accept-Ranges"] == "bytes"
    assert len(full.content) == size
    head = send(sandbox, "HEAD", link)
    assert head.headers["Content-Length"] == str(size)
    assert head.headers["ETag"] == full.headers["ETag"]
    rest = send(sandbox, "GET", link, headers={"Range": "bytes=100-"})
    assert rest.status_code == 206
    assert rest.headers["Content-Range"] == f"bytes 100-{size - 1}/{size}"
    assert rest.content == full.content[100:]
    same = {"Range": "bytes=100-", "If-Range": full.headers["ETag"]}
    assert send(sandbox, "GET", link, headers=same).status_code == 206
    other = send(sandbox, "GET", link, headers={"Range": "bytes=100-", "If-Range": '"other"'})
    assert other.status_code == 200
    assert other.content == full.content
    beyond = send(sandbox, "GET", link, headers={"Range": f"bytes={size}-"})
    assert beyond.status_code == 416


@pytest.mark.parametrize("status", [404, 410])
def test_links_expire(start_sandbox, status):
    sandbox = start_sandbox(expired_status=status, link_seconds=60, now=lambda: NOW)
    number = created(sandbox)
    link = links(sandbox, number)[0]
    sandbox.clock.advance(59)
    assert send(sandbox, "GET", link).status_code == 200
    sandbox.clock.advance(2)
    assert send(sandbox, "GET", link).status_code == status
    assert data(sandbox, number)["status"] == "Success!"


def test_other_files_are_not_found(sandbox):
    link = links(sandbox, created(sandbox))[0]
    for wrong in (
        link.replace(".0.csv.gz", ".9.csv.gz"),
        link.replace("installs", "sessions"),
        link.rpartition("/")[0] + "/x.csv.gz",
        link.rpartition("/")[0] + "/%2e%2e%2fpasswd",
        link.rpartition("/")[0] + "/²",
    ):
        assert send(sandbox, "GET", wrong).status_code == 404


def test_a_client_that_goes_away_leaves_no_file_open(start_sandbox):
    before = set(threading.enumerate())
    sandbox = start_sandbox(scale=300, files=1)
    link = urlsplit(links(sandbox, created(sandbox))[0])
    signed = AuthHMAC(sandbox.api_user_id, sandbox.secret_key).header(link.geturl())
    lines = [f"GET {link.path} HTTP/1.1", f"Host: {link.netloc}"]
    lines += [f"{name}: {value}" for name, value in signed.items()]
    for _ in range(3):
        with socket.create_connection((link.hostname, link.port)) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
            # closed like this, with much to come, it is reset
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sandbox.stop()
    while set(threading.enumerate()) - before:
        time.sleep(0.01)
    gc.collect()


def test_files_can_be_on_another_host(start_sandbox):
    sandbox = start_sandbox(storage_host="localhost")
    link = links(sandbox, created(sandbox))[0]
    assert link.startswith("http://localhost:")
    assert send(sandbox, "GET", link).status_code == 200


def test_events_are_there_once_they_have_arrived(start_sandbox):
    # at noon (UTC) of a day; what happened in the three hours before may still be on its way
    noon = 1_762_344_000
    sandbox = start_sandbox(now=lambda: noon)
    today = {**INSTALLS, "event": "sessions", "selectors": "tsEvent,tsInsert", "timezone": "UTC"}
    today |= {"dateFrom": "2025-11-05", "dateTo": "2025-11-05"}

    def moments() -> list[list[int]]:
        number = created(sandbox, **today)
        return [
            [int(cell) for cell in line.split(",")]
            for text in sandbox.served(number)
            for line in text.splitlines()[1:]
        ]

    before = moments()
    assert all(happened < arrived <= noon for happened, arrived in before)
    sandbox.clock.advance(15 * 3600)
    after = moments()
    assert len(after) > len(before)
    assert {tuple(row) for row in before} < {tuple(row) for row in after}
    sandbox.clock.advance(86_400)
    assert moments() == after


def test_only_documented_addresses_exist(sandbox):
    assert send(sandbox, "POST", f"{RAW}/get.json").status_code == 405
    assert send(sandbox, "GET", "/api/none").json() == {
        "code": 404,
        "message": "Not Found",
        "data": None,
    }
