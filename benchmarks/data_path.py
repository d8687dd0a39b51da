"""How long, and with how much memory, an export's files take to become a DataFrame or Parquet.

::

    python benchmarks/data_path.py                          # 4 files of 250,000 rows
    python benchmarks/data_path.py --rows 1000000 --runs 3  # as in the README

Files are made once and kept under ``.cache``; they are served over HTTP on this machine. Every
way runs in a process of its own. The official client's way (all of a file in memory, pandas with
guessed types) runs in an environment of its own, which is made on the first run: the client is
installed from PyPI and brings the pandas that it brings. It leaves arrays as text and loses data.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.server
import importlib
import io
import json
import math
import resource
import subprocess
import sys
import tempfile
import threading
import time
import venv
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent / ".cache" / "benchmarks"
OFFICIAL = "mytracker-export-api"

SELECTORS = (
    *("idDevice", "customUserId", "androidId", "SDKKey", "tsEvent", "tsInstall", "dtEvent"),
    *("idAppVersionTitle", "idCountry", "idCountryISOAlpha2", "idPartnerTitle", "idCampaignTitle"),
    *("idSub1Title", "idSub2Title", "idSub3Title", "idSub4Title"),
    *("eventName", "params.name", "params.value"),
)

# -- the ways, each in a process of its own -------------------------------------------------------


def official(links: list[str]) -> int:
    """What the official client's `get_raw_data` does with the links of an export."""
    import pandas as pd
    import requests

    frames = []
    for link in links:
        raw = io.BytesIO(requests.get(link, timeout=60).content)
        frames.append(pd.read_csv(raw, compression="gzip"))
    return len(pd.concat(frames, ignore_index=True))


def _rows(links: list[str]):
    from mytracker_nb.download.http_stream import Fetcher
    from mytracker_nb.download.sources import remote_files
    from mytracker_nb.service.api import Link
    from mytracker_nb.service.transport import Transport
    from mytracker_nb.tables.raw_data import RawData

    fetcher = Fetcher(Transport(), lambda url: {}, service="http://127.0.0.1")
    return RawData(remote_files([Link(link, None) for link in links], fetcher), SELECTORS)


def to_pandas(links: list[str]) -> int:
    return len(_rows(links).to_pandas())


def to_arrow_backed(links: list[str]) -> int:
    return len(_rows(links).to_pandas(dtype_backend="pyarrow"))


def to_parquet(links: list[str]) -> int:
    import pyarrow.dataset

    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        path = _rows(links).to_parquet(Path(folder) / "data")
        return pyarrow.dataset.dataset(path).count_rows()


WAYS = {
    "official": official,
    "pandas": to_pandas,
    "pyarrow": to_arrow_backed,
    "parquet": to_parquet,
}


def measure(way: str, links: list[str]) -> None:
    """Run one way and print what it took, imports aside: a notebook has made them before."""
    modules = ["pandas", "requests"]
    if way != "official":
        modules += ["mytracker_nb.tables.raw_data", "pyarrow.csv"]
    if way == "parquet":
        modules += ["pyarrow.dataset"]
    for module in modules:
        importlib.import_module(module)
    start = time.perf_counter()
    rows = WAYS[way](links)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024
    print(json.dumps({"rows": rows, "seconds": seconds, "peak": peak, "cpu": time.process_time()}))


# -- the comparison -------------------------------------------------------------------------------


def official_python() -> str:
    """The interpreter of the official client's own environment."""
    home = CACHE / "official"
    python = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not (home / "made").exists():
        venv.create(home, with_pip=True, clear=True)
        # its `requests` adapter is of urllib3 1
        run = [python, "-m", "pip", "install", "--quiet", OFFICIAL, "urllib3<2"]
        subprocess.run(run, check=True)
        (home / "made").touch()
    return str(python)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *what: object) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle()


def serve(folder: Path) -> str:
    handler = functools.partial(_Quiet, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def made(files: int, rows: int) -> Path:
    folder = CACHE / f"{files}x{rows}"
    run = [sys.executable, HERE / "data_path_files.py", folder, str(files), str(rows)]
    subprocess.run(run, check=True)
    return folder


def run(way: str, links: list[str], runs: int) -> tuple[float, float, float, int]:
    """Median seconds, median peak bytes, median CPU seconds and rows."""
    python = official_python() if way == "official" else sys.executable
    results = []
    for _ in range(runs):
        command = [python, __file__, "--measure", way, *links]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        results.append(json.loads(done.stdout))
    rows = {each["rows"] for each in results}
    assert len(rows) == 1, rows
    return (
        median(each["seconds"] for each in results),
        median(each["peak"] for each in results),
        median(each["cpu"] for each in results),
        rows.pop(),
    )


NAMES = {
    "official": "official client's way (loses data, arrays stay text)",
    "pandas": "`to_pandas()`, arrays as tuples",
    "pyarrow": '`to_pandas(dtype_backend="pyarrow")`, arrays as lists',
    "parquet": "`to_parquet(directory)`, arrays as lists",
}
# at least so many times as fast, at most so much of the memory, with four million rows or more;
# with fewer, where imports take most of the memory, not slower
MUST = {"pandas": (2.0, 0.75), "pyarrow": (3.0, 0.5), "parquet": (2.5, 0.2)}
MANY = 4_000_000


def compare(files: int, rows: int, runs: int) -> dict[str, tuple[float, float, float, int]]:
    """Print a table of all ways."""
    folder = made(files, rows)
    base = serve(folder)
    links = [f"{base}/{path.name}" for path in sorted(folder.glob("*.csv.gz"))]
    size = sum(path.stat().st_size for path in folder.glob("*.csv.gz"))
    found = {}
    print(f"\n{files} files of {rows:,} rows, {size / 1e6:,.0f} MB compressed; median of {runs}\n")
    print("| way | seconds | CPU seconds | times as fast | peak memory, MB | of the official |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for way, name in NAMES.items():
        found[way] = seconds, peak, cpu, _ = run(way, links, runs)
        faster = found["official"][0] / seconds
        share = peak / found["official"][1]
        print(
            f"| {name} | {seconds:.2f} | {cpu:.1f} | {faster:.1f} "
            f"| {peak / 1e6:,.0f} | {share:.2f} |",
            flush=True,
        )
    assert len({each[-1] for each in found.values()}) == 1, found
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=4, help="how many files (4)")
    parser.add_argument("--rows", type=int, default=250_000, help="rows a file (250000)")
    parser.add_argument("--runs", type=int, default=1, help="runs of each way (1)")
    parser.add_argument("--tenfold", action="store_true", help="Parquet of ten times the files too")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure[0], arguments.measure[1:])
        return 0
    found = compare(arguments.files, arguments.rows, arguments.runs)
    misses = []
    many = arguments.files * arguments.rows >= MANY
    for way, (faster, share) in MUST.items():
        if not many:
            faster, share = 1.0, math.inf
        ratio, part = (found["official"][n] / found[way][n] for n in (0, 1))
        if ratio < faster or 1 / part > share:
            misses.append(f"{way}: {ratio:.1f} times as fast, {1 / part:.2f} of the memory")
    if arguments.tenfold:
        folder = made(arguments.files, arguments.rows)
        base = serve(folder)
        links = [f"{base}/{path.name}" for path in sorted(folder.glob("*.csv.gz"))] * 10
        seconds, peak, _, rows = run("parquet", links, 1)
        print(f"\nParquet of {rows:,} rows: {seconds:.1f} s, peak memory {peak / 1e6:,.0f} MB")
        if peak > 1.15 * found["parquet"][1]:
            misses.append(f"parquet: {peak / 1e6:,.0f} MB at ten times the rows")
    print(
        "\n" + ("\n".join(f"MISSED: {miss}" for miss in misses) or "All that must be reached is.")
    )
    return bool(misses)


if __name__ == "__main__":
    sys.exit(main())
