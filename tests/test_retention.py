"""The retention that the pages and notebook 03 compute, against one that was counted by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]

# The data ends on 10 September. A and B have had 9 days by then, C one, D none; B never came back.
INSTALLS = {"A": "2026-09-01", "B": "2026-09-01", "C": "2026-09-09", "D": "2026-09-10"}
SESSIONS = [
    *[("A", "2026-09-01"), ("A", "2026-09-02"), ("A", "2026-09-08"), ("A", "2026-09-08")],
    *[("B", "2026-09-01"), ("C", "2026-09-10"), ("D", "2026-09-10")],
]
BY_HAND = {1: 2 / 3, 2: 0, 7: 1 / 2, 8: 0, 9: 0}


def frame(rows: Any) -> pd.DataFrame:
    data = pd.DataFrame(rows, columns=["idDevice", "tsEvent"])
    data["tsEvent"] = pd.to_datetime(data["tsEvent"] + " 12:00").dt.tz_localize("UTC")
    return data.assign(idCountryISOAlpha2="RU", idPartnerTitle="Organic", duration=60)


def run_retention(page: str, installs: pd.DataFrame, sessions: pd.DataFrame) -> dict[str, Any]:
    """The names that the retention of a page leaves behind."""
    mpl.use("agg")
    text = (ROOT / page).read_text(encoding="utf-8")
    pieces = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (piece,) = [piece for piece in pieces if "back.plot" in piece]
    if "to_pandas" in piece:
        names: dict[str, Any] = {"installs": Rows(installs), "sessions": Rows(sessions)}
    else:
        names = {"installs": installs, "sessions": sessions}
    exec(piece, names)
    return names


class Rows:
    """An export whose rows are at hand."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self._rows = rows

    def to_pandas(self) -> pd.DataFrame:
        return self._rows


@pytest.mark.parametrize("page", ["README.md", "README.ru.md", "docs/recipes.md"])
def test_a_page_counts_only_devices_that_have_had_the_day(page: str) -> None:
    back = run_retention(page, frame(INSTALLS.items()), frame(SESSIONS))["back"]
    assert back[list(BY_HAND)].to_dict() == pytest.approx(BY_HAND)
    assert back[10:].isna().all()  # nobody has had these days: no share, not 0


@pytest.mark.parametrize("page", ["README.md", "README.ru.md"])
def test_a_page_counts_each_country_by_itself(page: str) -> None:
    installs = frame(INSTALLS.items())
    installs["idCountryISOAlpha2"] = ["RU", "RU", None, None]  # of C and D no country is known
    names = run_retention(page, installs, frame(SESSIONS))
    assert names["back"][list(BY_HAND)].to_dict() == pytest.approx(BY_HAND)
    (unknown,) = set(names["by_country"].index) - {"RU"}
    table = names["by_country"]
    assert table.loc["RU", [1, 2, 7]].tolist() == pytest.approx([1 / 2, 0, 1 / 2])
    assert table.loc[unknown, 1] == 1  # C came back, D has not had a day 1
    assert pd.isna(table.loc[unknown, 7])


def test_notebook_03_counts_only_devices_that_have_had_the_day() -> None:
    notebook = json.loads((ROOT / "notebooks/03_answers.ipynb").read_text(encoding="utf-8"))
    (cell,) = [cell for cell in notebook["cells"] if cell["id"] == "retention-join"]
    names = {"pd": pd, "installs": frame(INSTALLS.items()), "sessions": frame(SESSIONS)}
    exec("".join(cell["source"]), names)
    back = names["retention"]("country").loc["RU"]
    assert back[[1, 7]].to_dict() == pytest.approx({1: 2 / 3, 7: 1 / 2})
    weeks = names["retention"]("week")
    assert weeks.loc["2026-W36", 7] == pytest.approx(1 / 2)
    assert pd.isna(weeks.loc["2026-W37", 7])  # C and D have not had a day 7
