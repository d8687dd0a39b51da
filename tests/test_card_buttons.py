"""The buttons below a live card, in real front ends: they act, and a saved notebook has none."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from browser import Lab, Notebook
    from playwright.sync_api import Locator

pytestmark = pytest.mark.browser

START, EXPORT, BUSY, DONE, LIST = range(5)
PARAMETERS = "event=installs selectors=idDevice,tsEvent dateFrom=today-7d dateTo=yesterday"
CELLS = [
    "%load_ext mytracker_nb\n"
    "import mytracker_nb as mt\n"
    "from mytracker_nb.service import credentials\n"
    "sandbox = mt.sandbox.start(seconds=3600, queue=9)\n"
    "credentials.use(credentials.Credentials(\n"
    "    sandbox.api_user_id, sandbox.secret_key, sandbox.base_url));",
    f"%mytracker_export {PARAMETERS}",
    "import time\nwhile not sandbox.exports[1].canceled:\n    time.sleep(0.1)",
    f"%mytracker_export {PARAMETERS} idApp=1 --out e",
    "import json\n"
    "refusal = {'code': 400, 'message': 'No', 'data': {'error': {'detail': 'Too late.'}}}\n"
    "sandbox.faults.add(path='/cancel.json', status=400, times=9, body=json.dumps(refusal))",
]


@pytest.fixture(scope="module")
def notebook(lab: Lab, front_end: type[Notebook]) -> Iterator[Notebook]:
    with lab.notebook("buttons", CELLS, front_end) as notebook:
        notebook.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        notebook.run(START)
        notebook.run(EXPORT)
        yield notebook


def button(notebook: Notebook, cell: int, name: str) -> Locator:
    return notebook.outputs(cell).get_by_role("button", name=name, exact=True)


@pytest.mark.also_in("notebook")
def test_copy_copies_the_next_step(notebook: Notebook) -> None:
    button(notebook, EXPORT, "copy").click()
    notebook.page.wait_for_function("navigator.clipboard.readText().then(text => text !== '')")
    copied = notebook.page.evaluate("navigator.clipboard.readText()")
    assert copied == "df = mt.attach(1).to_pandas()"
    ast.parse(copied)


@pytest.mark.also_in("notebook")
def test_the_request_opens_in_a_form_below_and_closes(notebook: Notebook) -> None:
    form = notebook.outputs(EXPORT).locator(".mtf")
    button(notebook, EXPORT, "edit in form").click()
    form.wait_for()
    assert "event     = installs" in form.get_by_label("Magic", exact=True).input_value()
    button(notebook, EXPORT, "close the form").click()
    form.wait_for(state="detached")
    button(notebook, EXPORT, "edit in form").wait_for()


@pytest.mark.also_in("notebook")
def test_an_export_is_cancelled_while_another_cell_runs(notebook: Notebook) -> None:
    notebook.activate(BUSY)
    notebook.page.evaluate("() => { jupyterapp.commands.execute('notebook:run-cell') }")
    notebook.cells.nth(BUSY).locator(".jp-InputPrompt", has_text="[*]").wait_for()
    button(notebook, EXPORT, "cancel").click()
    card = notebook.outputs(EXPORT).locator(".mytracker-card")
    card.get_by_text("Canceled by user").wait_for()
    button(notebook, EXPORT, "cancel").wait_for(state="hidden")
    # what can be done now comes first
    assert "submit again" in card.inner_text()
    assert button(notebook, EXPORT, "copy").get_attribute("title") == "Copy mt.attach(1).retry()"


def test_a_refusal_is_on_the_card(notebook: Notebook) -> None:
    notebook.run(LIST)
    notebook.run(DONE)
    button(notebook, DONE, "cancel").click()
    card = notebook.outputs(DONE).locator(".mytracker-card")
    card.get_by_text("not cancelled").wait_for()
    assert "Too late." in card.inner_text()
    assert button(notebook, DONE, "cancel").is_enabled()


def test_a_saved_notebook_has_cards_and_no_buttons(notebook: Notebook, lab: Lab) -> None:
    notebook.run(DONE)
    notebook.save()
    saved = (lab.root / "buttons.ipynb").read_text(encoding="utf-8")
    # a copy has no kernel of its own, as a notebook that was shared
    (lab.root / "buttons-shared.ipynb").write_text(saved, encoding="utf-8")
    with lab.browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{lab.url}doc/workspaces/shared/tree/buttons-shared.ipynb")
        page.locator(".mytracker-card").nth(1).wait_for()
        # it tries to draw the buttons, and fails
        failed = page.get_by_text("Error displaying widget: model not found")
        failed.first.wait_for(state="attached")
        assert failed.count() == 2
        assert not any(one.is_visible() for one in failed.all())
        assert page.locator(".mytracker-buttons").count() == 0
        assert "edit in form" in page.locator(".mytracker-card").first.inner_text()
