"""The reference page: up to date with the tables of the package, and complete."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from mytracker_nb.errors import CODES
from mytracker_nb.request.dictionaries import dictionary
from mytracker_nb.request.parameters import PARAMETERS

ROOT = Path(__file__).parents[1]

spec = importlib.util.spec_from_file_location("reference", ROOT / "tools" / "reference.py")
assert spec is not None
assert spec.loader is not None
reference = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reference)


def test_the_page_is_up_to_date() -> None:
    written = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert written == reference.page(), "docs/reference.md is stale: make docs"


@pytest.mark.parametrize(
    "names",
    [PARAMETERS, CODES, *map(dictionary, ("event", "selector", "timezone"))],
    ids=["parameters", "codes", "events", "columns", "zones"],
)
def test_every_name_is_in_the_reference(names: list[str]) -> None:
    page = reference.page()
    assert [name for name in names if f"`{name}`" not in page] == []


def test_every_value_of_a_list_of_ids_is_in_the_reference() -> None:
    rows = [line.split("|")[1].strip() for line in reference.page().splitlines() if "|" in line]
    assert set(dictionary("country")) <= set(rows)
    for name in ("isVerified", "idPurchaseType", "rooted", "eventNameInvert", "idAdMediator"):
        for entry in dictionary(name).values():
            assert f"{entry.value} {entry.title}" in reference.page()
