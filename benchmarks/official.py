"""What the official client and this package make of the same service, in good days and bad.

::

    python benchmarks/official.py

The service is the sandbox. The official client (mytracker-export-api) runs as it is, in an
environment of its own with the pandas that it brings; only its addresses are the sandbox's.
"""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from data_path import official_python

import mytracker_nb as mt
from mytracker_nb.sandbox.server import Sandbox

PATIENCE = 25  # seconds after which a client counts as never coming to an end
WISH: Mapping[str, str] = {
    "event": "customEvents",
    "selectors": "idDevice,SDKKey,customUserId,idAppVersionTitle,idCountryISOAlpha2,eventName",
    "dateFrom": "2026-09-03",
    "dateTo": "2026-09-16",
}
BAD: Mapping[str, str] = {**WISH, "event": "customEvent", "dateFrom": "2026-09-30", "idApp": "x"}

OFFICIAL = """
import json, sys
from mytracker_export_api import MyTracker

base, user, key, task, times = sys.argv[1:]
for name in ("CREATE_RAW_DATA_URL", "GET_RAW_DATA_URL", "CANCEL_RAW_DATA_URL"):
    setattr(MyTracker, name, getattr(MyTracker, name).replace("https://tracker.my.com", base))
client = MyTracker(user, key)
try:
    for _ in range(int(times)):
        frame = client.get_raw_data(json.loads(task))
except Exception as error:
    print(type(error).__name__)
else:
    print("ok")
    frame.to_csv(sys.stdout, index=False)
"""

OURS = """
import json, sys
import mytracker_nb as mt
from mytracker_nb.service.credentials import Credentials, use

base, user, key, task, times = sys.argv[1:]
use(Credentials(user, key, base))
try:
    for _ in range(int(times)):
        frame = mt.export(**json.loads(task)).to_pandas()
except Exception as error:
    print(type(error).__name__)
else:
    print("ok")
    frame.to_csv(sys.stdout, index=False)
"""


def run(python: str, code: str, sandbox: Sandbox, task: Mapping[str, str], times: int) -> list[str]:
    """The lines that a client's process printed."""
    account = (sandbox.base_url, str(sandbox.api_user_id), sandbox.secret_key)
    command = [python, "-W", "ignore", "-c", code, *account, json.dumps(dict(task)), str(times)]
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=PATIENCE, cwd=folder, check=False
            )
        except subprocess.TimeoutExpired:
            return [f"does not end (in {PATIENCE} s)"]
    return done.stdout.splitlines() or ["nothing: " + done.stderr.splitlines()[-1]]


def cells(lines: list[str]) -> list[tuple[str, ...]]:
    return [tuple(row) for row in csv.reader(lines)]


def kept(lines: list[str], sandbox: Sandbox) -> str:
    """How many cells came as the service wrote them."""
    if lines[0] != "ok":
        return lines[0]
    with tempfile.TemporaryDirectory() as folder:
        client = mt.Client(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url)
        (number,) = sandbox.exports
        paths = client.attach(number).download(folder)
        wrote = []
        for path in paths:
            with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
                wrote += cells(file.read().splitlines())[1:]
    came = cells(lines[1:])[1:]
    pairs = [pair for rows in zip(wrote, came, strict=True) for pair in zip(*rows, strict=True)]
    changed = sum(one != other for one, other in pairs)
    return f"{changed:,} of {len(pairs):,} cells changed" if changed else "every cell as it was"


def outcome(lines: list[str], sandbox: Sandbox) -> str:
    return "the rows" if lines[0] == "ok" else lines[0]


def exports_made(lines: list[str], sandbox: Sandbox) -> str:
    return f"{len(sandbox.exports)} made"


def creates_sent(lines: list[str], sandbox: Sandbox) -> str:
    sent = sum(call.path.endswith("/create.json") for call in sandbox.requests)
    return f"{lines[0]}, {sent} sent"


def _page(sandbox: Sandbox) -> None:
    sandbox.faults.add(path="/get.json", status=502, body="<html>Bad gateway</html>")


def _quota(sandbox: Sandbox) -> None:
    sandbox.faults.add(path="/get.json", status=429, headers={"Retry-After": "2"})


def _cut(sandbox: Sandbox) -> None:
    sandbox.faults.add(path=".csv.gz", truncate=2000)


def _fails(sandbox: Sandbox) -> None:
    sandbox.exports.outcomes.append("Error occurred")


def _nothing(sandbox: Sandbox) -> None:
    pass


Show = Callable[[list[str], Sandbox], str]
SCENES: list[tuple[str, Callable[[Sandbox], None], Mapping[str, str], int, Show]] = [
    ("values in the DataFrame, against the service's CSV", _nothing, WISH, 1, kept),
    ("the same request twice: exports", _nothing, WISH, 2, exports_made),
    ("a request with three mistakes", _nothing, BAD, 1, creates_sent),
    ("a gateway's HTML page in place of one answer", _page, WISH, 1, outcome),
    ("429 to one look at the status", _quota, WISH, 1, outcome),
    ("a download that breaks off once", _cut, WISH, 1, outcome),
    ("the service gives the export up", _fails, WISH, 1, outcome),
]


def main() -> None:
    clients: list[tuple[str, str]] = [(official_python(), OFFICIAL), (sys.executable, OURS)]
    print("| what happens | mytracker-export-api | mytracker-nb |\n| --- | --- | --- |")
    for title, prepare, task, times, show in SCENES:
        results: list[Any] = []
        for python, code in clients:
            with mt.sandbox.start(seconds=0, without_quotas=True, files=2) as sandbox:
                prepare(sandbox)
                results.append(show(run(python, code, sandbox, task, times), sandbox))
        print(f"| {title} | {results[0]} | {results[1]} |", flush=True)


if __name__ == "__main__":
    main()
