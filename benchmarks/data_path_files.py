"""Makes files like those of an export of custom events with their attribution, for the benchmark.

Four files of a million rows are alike in size and in what the official client makes of them to
those that the targets were set with (19 columns, 1.04 GB of CSV, 2.64 GB of memory). As
the service's ClickHouse does, every text is quoted and empty text is ``""``.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

COUNTRIES = ["RU", "KZ", "BY", "UZ", "DE", "US", "NA", "AM", "GE", "RS", ""]
CAMPAIGNS = [f"Осень {n}" for n in range(400)]
PARTNERS = ["Органика", "VK Реклама", "MyTarget", "Google Ads", "Партнёр «Лето, осень»", ""]
EVENTS = ["level_up", "tutorial_step", "purchase_click", "Открыт сундук", 'say "hi"', "share"]
NAMES = [
    "['level','item']",
    "['level','item','coins']",
    "['screen']",
    "[]",
    r"['level','item\'s name']",
]


def _keys(numbers: Any, width: int) -> pa.Array:
    return pc.utf8_lpad(pa.array(numbers).cast(pa.string()), width, "0")


def _pick(random: Any, texts: list[str], rows: int) -> pa.Array:
    # a few values make most of the rows
    places = np.minimum(random.geometric(min(0.5, 8 / len(texts)), rows) - 1, len(texts) - 1)
    return pa.array(texts).take(pa.array(places))


def table(rows: int, seed: int) -> pa.Table:
    """Rows of 19 columns as the service writes them: text, before it is quoted."""
    random = np.random.default_rng(seed)
    devices = random.integers(1 << 60, 1 << 64, max(1, rows // 8), dtype=np.uint64)
    device = random.integers(0, len(devices), rows)
    androids = pa.array([f"{number:016x}" for number in devices])
    seconds = 1_793_480_400 + np.sort(random.integers(0, 7 * 86_400, rows))
    installed = seconds - random.integers(0, 90 * 86_400, rows)
    installed[random.random(rows) < 0.1] = 0
    kind = random.integers(0, len(NAMES), rows)
    level, item, coins = (
        pa.array(random.integers(1, high, rows)).cast("string") for high in (90, 400_000, 90_000)
    )
    item_of_level = pc.binary_join_element_wise("['", level, "','sword #", item, "']", "")
    values = [
        item_of_level,
        pc.binary_join_element_wise("['", level, "','меч ", item, "','", coins, "']", ""),
        pc.binary_join_element_wise("['shop\\\\tab ", level, "']", ""),
        pa.array(["[]"] * rows),
        item_of_level,
    ]

    def of_device(texts: list[str]) -> pa.Array:
        # a few make most of the devices, but many devices are of none of these
        shares = 1 / np.arange(4, len(texts) + 4)
        places = random.choice(len(texts), len(devices), p=shares / shares.sum())
        return pa.array(texts).take(pa.array(places[device]))

    return pa.table(
        {
            "idDevice": pa.array(devices[device]).cast("string"),
            "customUserId": pc.binary_join_element_wise("u", _keys(device * 7919, 10), ""),
            "androidId": androids.take(pa.array(device)),
            "SDKKey": pa.array([f"{k:020d}" for k in (4815162342, 31415926535)]).take(
                pa.array(device % 2)
            ),
            "tsEvent": pa.array(seconds),
            "tsInstall": pa.array(installed),
            "dtEvent": pc.strftime(pa.array(seconds).cast(pa.timestamp("s")), "%Y-%m-%d"),
            "idAppVersionTitle": _pick(random, [f"4.{n}0" for n in range(30)], rows),
            "idCountry": pa.array(random.integers(1, 250, rows), mask=random.random(rows) < 0.05),
            "idCountryISOAlpha2": _pick(random, COUNTRIES, rows),
            "idPartnerTitle": of_device(PARTNERS),
            "idCampaignTitle": of_device(CAMPAIGNS),
            "idSub1Title": pc.binary_join_element_wise("c", _keys(device * 104_729, 11), ""),
            "idSub2Title": pc.binary_join_element_wise("site-", _keys(device % 70_001, 6), ""),
            "idSub3Title": pc.binary_join_element_wise("x", _keys(device * 31 % 999_983, 7), ""),
            "idSub4Title": pc.binary_join_element_wise("k", _keys(device * 613 % 99_991, 8), ""),
            "eventName": _pick(random, EVENTS, rows),
            "params.name": pa.array(NAMES).take(pa.array(kind)),
            "params.value": pc.choose(pa.array(kind), *values),
        }
    )


def write(folder: Path, files: int, rows: int) -> list[Path]:
    """Write `files` gzip CSV files of `rows` rows each; what is there already is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(files):
        path = folder / f"1.customEvents.{rows}.{number}.csv.gz"
        paths.append(path)
        if path.exists():
            continue
        half = path.with_suffix(".half")
        with gzip.open(half, "wb", compresslevel=6) as stream:
            for start in range(0, rows, 100_000):
                text = pa.BufferOutputStream()
                part = table(min(100_000, rows - start), seed=number * 1_000_003 + start)
                csv.write_csv(part, text, csv.WriteOptions(include_header=start == 0))
                stream.write(text.getvalue())
        half.replace(path)
    return paths


if __name__ == "__main__":
    folder, files, rows = sys.argv[1:]
    write(Path(folder), int(files), int(rows))
