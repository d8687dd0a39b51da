"""The recipes for formats that pandas refuses: a file gives the same values back."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from postgres import running_postgres

import mytracker_nb as mt

RECIPES = (Path(__file__).parents[1] / "docs" / "recipes.md").read_text(encoding="utf-8")

# what Excel, SQL or a reader that guesses takes for something else
NASTY = [
    *["=1+1", "NA", "null", "", "007", "4.10", "1e5", "2026-01-01", "TRUE", "nan", "None"],
    *["+1", "-1", "@SUM(1)", "'quoted'", 'in "quotes"', "two\nlines", "Партнёр", "{1,2}", "\\N"],
]
KEYS = ["00000000000000000042", "18446744073709551615", "9007199254740993"]


def cell(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def array(items: list[str]) -> str:
    """`items` as ClickHouse writes an array."""
    escapes = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n"})
    return "[" + ",".join(f"'{item.translate(escapes)}'" for item in items) + "]"


@pytest.fixture
def levels(tmp_path: Path) -> mt.RawData:
    lines = ["idDevice,tsEvent,eventName,params.name,params.value"]
    for number, text in enumerate(NASTY):
        names = ["level", "item"][: number % 3]
        values = [text, NASTY[-number]][: number % 3]
        cells = [
            KEYS[number % 3],
            str(1_788_944_400 + 3601 * number),
            text,
            array(names),
            array(values),
        ]
        lines.append(",".join(map(cell, cells)))
    path = tmp_path / "levels.csv.gz"
    path.write_bytes(gzip.compress("\n".join([*lines, ""]).encode()))
    return mt.open_files(path)


def run(recipe: str, levels: mt.RawData, folder: Path, **changes: str) -> dict[str, Any]:
    """The names that the recipe which contains a text leaves behind; some of its text changed."""
    pieces = re.findall(r"^```py(?:thon)?\n(.*?)^```", RECIPES, re.MULTILINE | re.DOTALL)
    (piece,) = [piece for piece in pieces if recipe in piece]
    for old, new in changes.items():
        assert old in piece
        piece = piece.replace(old, new)
    names: dict[str, Any] = {
        "pd": pd,
        "json": json,
        "levels": levels,
        "folder": str(folder),
        "rows": levels.to_pandas(),
        "arrays": ["params.name", "params.value"],
    }
    exec(piece, names)
    return names


def plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The cells as plain Python, a missing one as None."""

    def value(item: Any) -> Any:
        if isinstance(item, (list, tuple)):
            return list(item)
        if isinstance(item, pd.Timestamp):
            return item.isoformat()
        return None if pd.isna(item) else item

    return [{name: value(item) for name, item in row.items()} for row in frame.to_dict("records")]


def test_the_frame_has_every_text(levels: mt.RawData) -> None:
    assert [row["eventName"] for row in plain(levels.to_pandas())] == NASTY


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_excel(levels: mt.RawData, tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    names = run("to_excel", levels, tmp_path)
    sheet, back = plain(names["sheet"]), plain(names["back"])
    # an empty cell of a sheet is missing
    assert back == [{name: item or None for name, item in row.items()} for row in sheet]
    original = plain(levels.to_pandas())
    assert [row["idDevice"] for row in back] == [row["idDevice"] for row in original]
    assert [f"{row['tsEvent']}+00:00" for row in back] == [row["tsEvent"] for row in original]
    assert {"NA", "+1"} < {row["params.level"] for row in back}


def test_sqlite(levels: mt.RawData, tmp_path: Path) -> None:
    names = run("sqlite3", levels, tmp_path)
    assert plain(names["back"]) == plain(levels.to_pandas())


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with running_postgres() as url:
        yield url


def test_postgresql(levels: mt.RawData, postgres: str, tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    url = {"postgresql+psycopg://user@host/database": postgres}
    names = run("sqlalchemy", levels, tmp_path, **url)
    names["engine"].dispose()
    assert plain(names["back"]) == plain(levels.to_pandas())
