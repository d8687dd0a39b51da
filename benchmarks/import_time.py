"""What ``import mytracker_nb`` costs beside the imports that a notebook does anyway.

Run with ``python benchmarks/import_time.py``: each import runs in fresh processes, in turn, and the
best time counts. The aim is a quarter of ``import requests, pandas, ipywidgets`` at most; the exit
status shows whether it is met.
"""

from __future__ import annotations

import subprocess
import sys

OURS = "mytracker_nb"
USUAL = "requests, pandas, ipywidgets"
MOST = 0.25
ROUNDS = 7
TIMED = """
import time
start = time.process_time()
import {}
print(time.process_time() - start)
"""


def seconds(modules: str) -> float:
    command = [sys.executable, "-c", TIMED.format(modules)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> int:
    seconds(OURS), seconds(USUAL)  # the files are in memory from here on
    rounds = [(seconds(OURS), seconds(USUAL)) for _ in range(ROUNDS)]
    ours, usual = (min(column) for column in zip(*rounds, strict=True))
    print(f"import {OURS}: {1000 * ours:.1f} ms")
    print(f"import {USUAL}: {1000 * usual:.1f} ms")
    print(f"ratio: {ours / usual:.3f} (at most {MOST})")
    return ours / usual > MOST


if __name__ == "__main__":
    sys.exit(main())
