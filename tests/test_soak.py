"""Many exports at once, with faults at random and kernels that are killed: every row is right."""

from __future__ import annotations

import csv
import io
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

import pytest
from fake_clock import HurriedClock
from killing import kill_beside_creates

import mytracker_nb as mt
from mytracker_nb import clock
from mytracker_nb.service.rate_limit import RateLimiter

pytestmark = pytest.mark.slow

EVENTS = ["installs", "payments", "sessions"]


@pytest.fixture
def hurry():
    """All waits are short."""
    with clock.use(HurriedClock()):
        yield


@pytest.fixture
def client_of():
    clients = []

    def make(sandbox):
        clients.append(mt.Client(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url))
        clients[-1].api.rate_limiter = RateLimiter({1.0: 10_000}, errors={1.0: 10_000})
        return clients[-1]

    yield make
    for client in clients:
        client.api.session.close()


def devices(sandbox, number):
    """The cells of idDevice as the service wrote them."""
    tables = [csv.DictReader(io.StringIO(text, newline="")) for text in sandbox.served(number)]
    return [row["idDevice"] for table in tables for row in table]


def request(number):
    day = date(2026, 1, 1) + timedelta(days=number // len(EVENTS))
    return mt.ExportRequest(
        event=EVENTS[number % len(EVENTS)],
        selectors=["idDevice", "tsEvent"],
        dateFrom=day,
        dateTo=day,
    )


def creates(sandbox):
    """How often each body was answered with an export."""
    return Counter(str(export.query) for export in sandbox.exports.values())


def test_two_hundred_exports_with_faults_at_random(start_sandbox, client_of, hurry):
    sandbox = start_sandbox(seconds=0.1, queue=12)
    chance = {"times": None}
    for fault in (
        {"status": 500, "chance": 0.04},
        {"status": 502, "body": "<html>busy</html>", "chance": 0.04},
        {"reset": "before", "chance": 0.02},
        {"reset": "after", "chance": 0.02},
        {"status": 200, "body": "<html>hello</html>", "chance": 0.02},
    ):
        sandbox.faults.add(path="/get.json", **chance, **fault)
    sandbox.faults.add(path=".csv.gz", truncate=300, chance=0.05, **chance)
    sandbox.faults.add(path=".csv.gz", status=503, chance=0.05, **chance)
    sandbox.faults.add(path="/create.json", status=429, chance=0.1, **chance)
    client = client_of(sandbox)

    def work(number):
        export = client.export(request(number), on_wait=lambda event: None)
        return export.id_raw_export, export.to_pandas()["idDevice"].tolist()

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(work, range(200)))

    assert len({number for number, _ in done}) == len(sandbox.exports) == 200
    assert set(creates(sandbox).values()) == {1}
    for number, column in done:
        assert column == devices(sandbox, number)
    assert sum(len(column) for _, column in done) > 5_000


def test_fifty_are_polled_at_once(start_sandbox, client_of, hurry):
    sandbox = start_sandbox(seconds=0.5, queue=50)
    client = client_of(sandbox)
    exports = [client.create(request(number)) for number in range(50)]
    threads = [threading.Thread(target=export.wait) for export in exports]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert {export.status for export in exports} == {"Success!"}
    assert client.api.rate_limiter.poll_interval(0.0) == 0.0, "nobody is followed any more"


ONE = """
import mytracker_nb as mt
print("ready", flush=True)
export = mt.export(event="installs", selectors=["idDevice"], dateFrom="2026-01-01",
                   dateTo="2026-01-20")
for name in export.to_pandas()["idDevice"]:
    print(name)
"""
PLAN = """
import mytracker_nb as mt
from fake_clock import HurriedClock
from mytracker_nb import clock
from mytracker_nb.client import client
from mytracker_nb.service import retry
retry.backoff = lambda: iter(lambda: 0.05, None)
clock._current = HurriedClock()
limits = {1.0: 10_000}
client.default_client().api.rate_limiter = mt.RateLimiter(limits, errors=limits)
print("ready", flush=True)
plan = mt.plan(event="installs", selectors=["idDevice"], dateFrom="2026-01-01",
               dateTo="2026-01-20")
for name in plan.to_pandas()["idDevice"]:
    print(name)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a process can't be killed like that")
@pytest.mark.parametrize(
    ("code", "max_rows", "fewest"), [(ONE, 9999, 1), (PLAN, 120, 8)], ids=["one", "plan"]
)
def test_a_kernel_is_killed_half_way_and_the_cell_run_again(
    start_sandbox, client_of, code, max_rows, fewest
):
    sandbox = start_sandbox(seconds=0.4, queue=3, max_rows=max_rows)
    # each fifth request fails; a create is only ever refused
    sandbox.faults.add(method="GET", every=5, times=None, status=503)
    sandbox.faults.add(method="POST", every=5, times=None, status=429)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
        "MYTRACKER_BASE_URL": sandbox.base_url,
        "MYTRACKER_API_USER_ID": str(sandbox.api_user_id),
        "MYTRACKER_SECRET_KEY": sandbox.secret_key,
    }

    def run():
        return subprocess.Popen(
            [sys.executable, "-c", code],
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    chance = random.Random(7)
    for _ in range(3):
        kernel = run()
        assert kernel.stdout.readline() == "ready\n"
        made = len(sandbox.exports)
        end = time.monotonic() + 3
        while len(sandbox.exports) == made and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.1, 0.5))
        kill_beside_creates(kernel, sandbox)
    out, err = run().communicate(timeout=100)

    assert err == ""
    made = [str(export.query) for export in sandbox.exports.values()]
    assert len(made) >= fewest
    assert len(set(made)) == len(made), "none was made twice"
    # the same world in one piece
    other = start_sandbox()
    window = {"dateFrom": "2026-01-01", "dateTo": "2026-01-20"}
    full = client_of(other).create(
        mt.ExportRequest(event="installs", selectors=["idDevice"], **window)
    )
    assert sorted(out.splitlines()[1:]) == sorted(devices(other, full.id_raw_export))
