"""What a reader of the saved notebooks finds, without a kernel and without a network."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from browser import need_chromium, running_chromium
from calm_kernels import STARTUP
from nbconvert import HTMLExporter

from mytracker_nb.client import export_display
from mytracker_nb.service import retry

if TYPE_CHECKING:
    from nbformat import NotebookNode
    from playwright.sync_api import Page

FOLDER = Path(__file__).parent.parent / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))

each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: NotebookNode) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook: NotebookNode) -> Iterator[Any]:
    for cell in code_cells(notebook):
        yield from cell.outputs


def rendered(notebook: NotebookNode) -> str:
    html, _ = HTMLExporter().from_notebook_node(notebook)
    return html


def test_they_are_numbered_and_link_to_each_other() -> None:
    assert [path.stem[:2] for path in PATHS] == [f"{n:02}" for n in range(1, len(PATHS) + 1)]
    for path in PATHS:
        text = path.read_text("utf-8")
        for link in re.findall(r"\]\((\w+\.ipynb)\)", text):
            assert (FOLDER / link).is_file(), f"{path.name} links to {link}"


@each_notebook
def test_it_was_run_from_top_to_bottom_and_saved(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        fails = any(output.output_type == "error" for output in cell.outputs)
        assert fails == ("raises-exception" in cell.metadata.get("tags", ())), cell.source


@each_notebook
def test_it_has_no_facts_of_the_machine_it_ran_on(path: Path) -> None:
    notebook = read(path)
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)
    text = path.read_text("utf-8")
    for trace in ("/home/", "/root/", "/Users/", "site-packages", str(FOLDER.parent), "AuthHMAC "):
        assert trace not in text


@each_notebook
def test_it_has_cards_and_nothing_that_needs_a_kernel(path: Path) -> None:
    notebook = read(path)
    shown = [output.data for output in outputs(notebook) if "data" in output]
    assert any("SANDBOX" in data.get("text/html", "") for data in shown)
    for data in shown:
        assert data.get("text/plain"), "what is drawn is also in plain text"
        assert "<script" not in data.get("text/html", "")
        assert "application/vnd.jupyter.widget-view+json" not in data
    assert "model not found" not in rendered(notebook).lower()


def test_kernels_of_nbval_show_nothing_because_the_machine_is_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the names have to be there, and are put back
    monkeypatch.setattr(export_display, "_SHOW_AFTER", 1.0)
    monkeypatch.setattr(retry, "_SLOW", 3.0)
    names: dict[str, Any] = {"__builtins__": __builtins__}
    exec(STARTUP, names)
    assert export_display._SHOW_AFTER == retry._SLOW == math.inf
    assert names.keys() == {"__builtins__"}, "the notebook finds no names"
    deadline = retry.response_deadline("http://127.0.0.1", 60.0)
    assert deadline._on_slow is None


@pytest.mark.browser
@each_notebook
def test_its_page_shows_cards_tables_and_pictures(
    path: Path, offline_page: Page, tmp_path: Path
) -> None:
    notebook = read(path)
    file = tmp_path / "page.html"
    file.write_text(rendered(notebook), "utf-8")
    offline_page.goto(file.as_uri(), wait_until="domcontentloaded")
    badges = offline_page.get_by_text("SANDBOX", exact=True)
    assert badges.first.is_visible()
    pictures = sum("image/png" in output.get("data", {}) for output in outputs(notebook))
    drawn = offline_page.locator(".jp-RenderedImage img")
    assert drawn.count() == pictures
    assert all(
        drawn.nth(number).evaluate("image => image.naturalWidth > 0") for number in range(pictures)
    )
    text = offline_page.locator("body").inner_text()
    assert "model not found" not in text.lower()
    # a cell that fails shows a message, not a traceback
    assert "Traceback" not in text


@pytest.fixture(scope="module")
def offline_page() -> Iterator[Page]:
    """A page of a browser that reaches nothing."""
    need_chromium()
    with running_chromium() as browser:
        page = browser.new_page()
        page.route(re.compile("^https?:"), lambda route: route.abort())
        yield page
