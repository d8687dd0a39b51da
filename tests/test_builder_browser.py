"""The form in a real JupyterLab: by mouse, by keyboard, and in a saved notebook."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from browser import Notebook, write_notebook
from test_jupyterlab import LEAST_CONTRAST

expect = pytest.importorskip("playwright.sync_api").expect

if TYPE_CHECKING:
    from browser import Lab
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser

START, FORM, OTHER, SAME, BUSY = range(5)
CELLS = [
    "%load_ext mytracker_nb\n"
    "import os\n"
    "import mytracker_nb as mt\n"
    "sandbox = mt.sandbox.start(seconds=3, without_quotas=True)\n"
    "os.environ |= dict(MYTRACKER_BASE_URL=sandbox.base_url,\n"
    "    MYTRACKER_API_USER_ID=str(sandbox.api_user_id),\n"
    "    MYTRACKER_SECRET_KEY=sandbox.secret_key)",
    "form = mt.RequestBuilder()\nform",
    "6 * 7",
    "",
    "import time; time.sleep(3)",
]
SECONDS = 20_000

# Names of what is cut off: labels, titles, buttons and lines of lists wider than their place.
CLIPPED = """
form => [...form.querySelectorAll(".mytracker-field label, .mytracker-title, button, option, p")]
  .filter(e => e.offsetParent && e.scrollWidth > e.clientWidth + 1)
  .map(e => e.textContent)
"""
# Fields whose title, name and control are not one beside and below the other.
MISPLACED = """
form => [...form.querySelectorAll(".mytracker-field")].filter(field => {
  const place = what => field.querySelector(what).getBoundingClientRect();
  const [title, name] = [place(".mytracker-title"), place("label")];
  const control = place("input, select, textarea");
  const said = place(".mytracker-title + p");
  return field.offsetParent && (
    title.right > name.left || title.bottom > control.top + 1 ||
    name.bottom > control.top + 1 || said.top < control.bottom - 1);
}).map(field => field.textContent)
"""


class Form:
    """The form as a person sees it."""

    def __init__(self, notebook: Notebook) -> None:
        self.notebook = notebook
        self.page: Page = notebook.page
        self.root: Locator = notebook.cells.nth(FORM).locator(".mytracker-builder")

    def field(self, name: str) -> Locator:
        return self.root.get_by_label(name, exact=True)

    def button(self, title: str) -> Locator:
        return self.root.get_by_role("button", name=title, exact=True)

    def reset(self) -> None:
        """Begin with an empty form in an empty cell."""
        self.notebook.run(FORM)
        self.button("Submit").wait_for()

    def magic(self) -> str:
        return self.field("magic").input_value()

    def expect_magic(self, *lines: str) -> None:
        """Wait until the magic has the lines."""
        for line in lines:
            expect(self.field("magic")).to_have_value(re.compile(re.escape(line)), timeout=SECONDS)

    def tab_to(self, name: str) -> None:
        """Press Tab until the control or the button of that name has the focus."""
        for _ in range(80):
            self.page.keyboard.press("Tab")
            focused = self.page.evaluate(
                "() => { const e = document.activeElement;"
                "return e.labels?.[0]?.textContent || e.textContent }"
            )
            if focused == name:
                return
        raise AssertionError(f"Tab does not reach {name}")

    def type(self, text: str) -> None:
        self.page.keyboard.type(text, delay=15)

    def set_old_days(self) -> None:
        """Ask for days of which no row can come any more, so that the export can be adopted."""
        self.field("dateTo").fill("2026-11-02")
        self.field("dateFrom").fill("2026-11-01")
        self.expect_magic("= 2026-11-01", "= 2026-11-02")

    def card(self, words: str) -> Locator:
        """The card, once it says that."""
        card = self.root.locator(".mytracker-card", has_text=words)
        card.wait_for(timeout=SECONDS)
        return card


@pytest.fixture(scope="module")
def frames() -> list[object]:
    """What goes through the notebook's sockets, both ways."""
    return []


@pytest.fixture(scope="module")
def notebook(lab: Lab, frames: list[object]) -> Iterator[Notebook]:
    write_notebook(lab.root / "builder.ipynb", CELLS)
    with lab.browser.new_context(viewport={"width": 1280, "height": 1600}) as context:
        page = context.new_page()

        def listen(socket: Any) -> None:
            for way in ("framesent", "framereceived"):
                socket.on(way, lambda frame: frames.append(frame))

        page.on("websocket", listen)
        notebook = Notebook(page, lab.url, "builder.ipynb")
        notebook.run(START)
        yield notebook


@pytest.fixture
def form(notebook: Notebook) -> Form:
    form = Form(notebook)
    form.reset()
    return form


WANTED = ["event     = customEvents", "idCountry = 188, 28, 202", "eventName = level_up, purchase"]


def test_an_export_by_mouse_alone(form: Form) -> None:
    root = form.root
    form.field("Devices").locator("option", has_text="customEvents").click()
    form.button("Last 7 days").click()
    form.set_old_days()
    form.button("The event itself").click()
    for country in ("Russia", "Kazakhstan", "Germany"):
        root.locator("option", has_text=country).click()
        countries = form.page.get_by_label("idCountry", exact=True)
        root.locator(".mytracker-field", has=countries).get_by_role("button", name="Add").click()
    form.field("eventName").click()
    form.page.keyboard.insert_text("level_up\npurchase")
    form.expect_magic(*WANTED)
    assert "Ready to submit" in root.inner_text()
    form.button("Submit").dblclick()
    form.card("In progress")
    # the kernel is free meanwhile
    assert form.notebook.run(OTHER).inner_text() == "42"
    assert form.root.locator(".mytracker-card", has_text="In progress").count() == 1
    form.card("Success!")
    root.get_by_text("to_pandas()").wait_for(timeout=SECONDS)
    assert root.locator(".mytracker-rows tbody tr").count() == 20

    # the magic in a cell of its own is the same request: the export is adopted
    form.page.evaluate(
        "([n, text]) => jupyterapp.shell.currentWidget.content.widgets[n]"
        ".model.sharedModel.setSource(text)",
        [SAME, form.magic()],
    )
    card = form.notebook.run(SAME).first.inner_text()
    number = root.locator(".mytracker-card .title").inner_text()
    assert number in card


def test_an_export_by_keyboard_alone(form: Form) -> None:
    keyboard = form.page.keyboard
    form.field("event").focus()
    form.type("custom ev")
    keyboard.press("Enter")
    form.tab_to("Last 7 days")
    keyboard.press("Space")
    form.tab_to("selectors")
    form.type("idDevice,tsEvent,")
    form.expect_magic("selectors = idDevice, tsEvent")
    form.tab_to("Columns to add")
    keyboard.press("ArrowDown")
    keyboard.press("ArrowDown")
    form.tab_to("Add to Columns")
    keyboard.press("Enter")
    form.tab_to("eventName")
    form.type("level_up")
    keyboard.press("Enter")
    form.type("purchase")
    form.tab_to("idCountry")
    for country in ("russ", "kaz", "german"):
        form.type(country)
        keyboard.press("Enter")
    form.expect_magic(*WANTED, "selectors = idDevice, tsEvent, a")
    form.tab_to("Submit")
    keyboard.press("Enter")
    form.card("Success!")


def test_a_problem_comes_and_goes_as_one_types(form: Form) -> None:
    root = form.root
    form.field("idApp").click()
    form.type("12, x")
    root.get_by_text("'x' is not an id").wait_for()
    assert "to be corrected: idApp" in root.inner_text()
    assert form.button("Submit").is_disabled()
    expect(form.field("idApp")).to_have_attribute("aria-invalid", "true")
    expect(form.field("idApp")).to_have_accessible_description(re.compile("'x' is not an id"))
    form.page.keyboard.press("Backspace")
    form.type("13")
    root.get_by_text("'x' is not an id").wait_for(state="detached")
    assert form.field("idApp").input_value() == "12, 13"
    expect(form.field("idApp")).to_have_attribute("aria-invalid", "false")


def test_what_is_open_and_what_is_chosen_is_told_to_a_screen_reader(form: Form) -> None:
    fold = form.root.get_by_role("button", name=re.compile("More filters"))
    expect(fold).to_have_attribute("aria-expanded", "false")
    fold.click()
    expect(fold).to_have_attribute("aria-expanded", "true")
    form.button("curl").click()
    expect(form.button("curl")).to_have_attribute("aria-pressed", "true")
    expect(form.button("Magic")).to_have_attribute("aria-pressed", "false")
    form.button("Magic").click()


def test_filters_go_and_come_back_with_the_event(form: Form) -> None:
    form.field("event").fill("customEvents")
    form.field("eventName").fill("level_up")
    form.field("event").fill("installs")
    form.field("eventName").wait_for(state="hidden")
    assert "eventName" not in form.magic()
    form.field("event").fill("customEvents")
    form.field("eventName").wait_for()
    form.expect_magic("eventName = level_up")


def test_editing_the_magic_moves_the_form(form: Form) -> None:
    form.field("magic").click()
    form.page.keyboard.press("Control+End")
    form.page.keyboard.press("Enter")
    form.type("event = sessions\nidCountry = NA\nrooted = 1\ndateFrom = 2026-11-01")
    form.page.wait_for_function(
        "input => input.value === '2026-11-01'", arg=form.field("dateFrom").element_handle()
    )
    assert form.field("event").input_value() == "sessions"
    assert form.field("rooted").evaluate("e => e.selectedOptions[0].text").startswith("Rooted")
    assert form.root.locator("option", has_text="Namibia").count() == 1
    form.field("magic").fill("event=installs&idApp[]=5&idApp[]=6&selectors=idDevice")
    form.expect_magic("idApp     = 5, 6")
    assert form.field("idApp").input_value() == "5, 6"


def test_an_export_is_cancelled(form: Form) -> None:
    form.field("magic").fill(
        "event=installs\nselectors=idDevice\ndateFrom=2026-11-01\ndateTo=2026-11-02\nidApp=1"
    )
    form.button("Submit").click()
    form.button("Cancel").click()
    form.card("Canceled by user")
    expect(form.button("Submit")).to_be_enabled()


def test_what_is_typed_before_a_click_is_submitted_by_it(form: Form) -> None:
    form.field("magic").fill(
        "event=installs\nselectors=idDevice\ndateFrom=2026-11-01\ndateTo=2026-11-02\nidApp=7"
    )
    form.expect_magic("idApp=7")
    expect(form.field("idApp")).to_have_value("7")
    form.notebook.activate(BUSY)
    form.page.evaluate("() => { jupyterapp.commands.execute('notebook:run-cell') }")
    form.field("idApp").click()
    form.page.keyboard.press("Control+a")
    form.type("678")
    form.button("Submit").click()
    card = form.card("Success!")
    assert "idApp=678" in card.inner_html()


def test_typing_sends_no_flood(form: Form, frames: list[object]) -> None:
    form.field("idApp").click()
    frames.clear()
    form.page.keyboard.type("123456789," * 3, delay=5)
    form.expect_magic("idApp = 123456789")
    assert 0 < len(frames) <= 8 * 30


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [640, 1280])
def test_nothing_is_clipped_and_all_is_legible(form: Form, width: int, dark: bool) -> None:
    page = form.page
    form.notebook.set_theme(dark=dark)
    form.field("magic").fill(
        "event=customEvents\nselectors=idDevice,foo\nidApp=1,x\nSDKKey=1\nrooted=2\n"
        "eventName=Открыт сундук с очень длинным русским названием, level_up\nidAp=2"
    )
    form.root.get_by_text("'x' is not an id").wait_for()
    page.set_viewport_size({"width": width, "height": 1600})
    page.evaluate("jupyterapp.shell.currentWidget.node.scrollTop = 0")
    assert form.root.evaluate(CLIPPED) == []
    assert form.root.evaluate(MISPLACED) == []
    assert form.root.evaluate("form => form.scrollWidth - form.clientWidth") <= 0
    contrast, text = form.root.evaluate(LEAST_CONTRAST)
    assert contrast >= 4.5, text
    page.set_viewport_size({"width": 1280, "height": 1600})
    form.notebook.set_theme(dark=False)


def test_a_saved_notebook_shows_request_and_result_without_a_kernel(form: Form, lab: Lab) -> None:
    form.field("magic").fill(
        "event=installs\nselectors=idDevice\ndateFrom=2026-11-01\ndateTo=2026-11-02"
    )
    form.button("Submit").click()
    form.card("Success!")
    form.root.get_by_text("to_pandas()").wait_for(timeout=SECONDS)
    outputs = form.notebook.outputs(FORM)
    # the static output follows after a second of quiet; it is hidden beside the live form
    form.page.wait_for_function(
        "node => node.textContent.includes('to_pandas()')", arg=outputs.nth(1).element_handle()
    )
    assert not outputs.nth(1).locator(".mytracker-card").is_visible()
    form.notebook.save()
    shutil.copy(lab.root / "builder.ipynb", lab.root / "kept.ipynb")
    saved: Any = json.loads((lab.root / "kept.ipynb").read_text(encoding="utf-8"))
    assert "metadata" in saved
    with lab.browser.new_context() as context:
        kept = Notebook(context.new_page(), lab.url, "kept.ipynb").cells.nth(FORM)
        kept.locator(".mytracker-card", has_text="Success!").wait_for()
        text = kept.locator(".jp-Cell-outputArea").inner_text()
        assert "to_pandas()" in text
        assert "not found" not in text
        assert "Loading" not in text
