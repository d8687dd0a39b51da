"""What it costs to follow many exports at once, and how late one sees that they have ended.

    python benchmarks/following.py [--exports 50] [--seconds 90]

Each is waited for in a thread of its own, all at the pace that is the default; the sandbox is
another process, with the quotas that the service documents. 50 exports of 90 seconds took 80
requests in each of two minutes and 65 in the third, none of them refused; they were seen to have
ended 25 s late on average, for 1 % of one core.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from collections import Counter

import requests

import mytracker_nb as mt


def main() -> None:
    """Follow, and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--exports", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=90.0, help="how long an export takes")
    options = parser.parse_args()
    command = [sys.executable, "-m", "mytracker_nb.sandbox", "--seconds", str(options.seconds)]
    command += ["--queue", str(options.exports)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sandbox:
        assert sandbox.stdout is not None
        url, user, key = (sandbox.stdout.readline().strip().partition("=")[2] for _ in range(3))
        try:
            follow(mt.Client(int(user), key, url), options.exports, options.seconds)
        finally:
            sandbox.terminate()


def follow(client: mt.Client, count: int, seconds: float) -> None:
    """Make `count` exports that take so many `seconds`, and wait for all of them."""
    began = time.monotonic()
    answers: list[tuple[float, int]] = []
    late: list[float] = []

    def answered(response: requests.Response, **_: object) -> None:
        answers.append((time.monotonic() - began, response.status_code))

    client.api.session.hooks["response"].append(answered)

    def wait(export: mt.Export) -> None:
        ends = time.monotonic() + seconds
        export.wait()
        late.append(time.monotonic() - ends)

    threads = []
    for number in range(count):
        request = mt.ExportRequest(
            event="installs",
            selectors="idDevice",
            dateFrom="2026-01-01",
            dateTo=f"2026-01-{1 + number % 28:02}",
        )
        threads.append(threading.Thread(target=wait, args=[client.create(request)]))
        threads[-1].start()
    for thread in threads:
        thread.join()
    spent, took = time.process_time(), time.monotonic() - began
    minutes = Counter(int(moment // 60) for moment, _ in answers)
    refused = sum(status == 429 for _, status in answers)
    late.sort()
    print(f"{count} exports of {seconds:.0f} s followed at once, all seen to end in {took:.0f} s")
    print(f"requests by minute: {', '.join(str(minutes[at]) for at in sorted(minutes))}")
    print(f"refused by a quota (429): {refused}")
    print(f"late: {sum(late) / count:.0f} s on average, {late[-1]:.0f} s at the most")
    print(f"CPU: {spent:.1f} s, imports and all; {100 * spent / took:.1f} % of one core")


if __name__ == "__main__":
    main()
