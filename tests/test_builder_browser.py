"""The form in real front ends: by mouse, by keyboard, and in a saved notebook."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from browser import Notebook, VoilaPage, write_notebook
from test_main_job import LEAST_CONTRAST

import mytracker_nb as mt

expect = pytest.importorskip("playwright.sync_api").expect

if TYPE_CHECKING:
    from browser import Lab
    from playwright.sync_api import Locator, Page

    from mytracker_nb.sandbox.server import Sandbox

pytestmark = pytest.mark.browser

START, FORM, OTHER, SAME, BUSY = range(5)
CELLS = [
    "%load_ext mytracker_nb\nimport mytracker_nb as mt",
    "form = mt.RequestBuilder()\nform",
    "6 * 7",
    "",
    "import time; time.sleep(3)",
]
EXPORT_SECONDS = 60  # it ends no earlier than a test lets it


def cells(sandbox: Sandbox) -> list[str]:
    """The cells of a notebook that uses the sandbox."""
    account = {
        "MYTRACKER_BASE_URL": sandbox.base_url,
        "MYTRACKER_API_USER_ID": str(sandbox.api_user_id),
        "MYTRACKER_SECRET_KEY": sandbox.secret_key,
    }
    return [f"import os\nos.environ |= {account}\n{CELLS[START]}", *CELLS[START + 1 :]]


USUAL = (
    "event=customEvents&selectors=idDevice,tsEvent,eventName,idCountryISOAlpha2"
    "&dateFrom=2026-11-01&dateTo=2026-11-07&idCountry=188,28&eventName[]=level_up"
)
OLD = "event=installs\nselectors=idDevice\ndateFrom=2026-11-01\ndateTo=2026-11-02"

# Buttons, labels and lines of text that are wider than their place.
CLIPPED = """
form => [...form.querySelectorAll("button, label, li, option, .mtf-quiet, .mtf-verdict")]
  .filter(e => e.offsetParent && e.scrollWidth > e.clientWidth + 1
    && getComputedStyle(e).display !== "inline")
  .map(e => e.textContent)
"""


class Form:
    """The form as a person sees it."""

    def __init__(self, notebook: Notebook, sandbox: Sandbox) -> None:
        self.notebook = notebook
        self.sandbox = sandbox
        self.page: Page = notebook.page
        self.root: Locator = notebook.cells.nth(FORM).locator(".mtf")

    def reset(self) -> None:
        """Begin with an empty form in an empty cell."""
        self.notebook.run(FORM)
        self.button("Submit").wait_for()

    def field(self, name: str) -> Locator:
        return self.root.get_by_label(name, exact=True)

    def button(self, title: str) -> Locator:
        return self.root.get_by_role("button", name=title, exact=True)

    def chips(self, title: str) -> Locator:
        return self.root.get_by_role("toolbar", name=f"{title}, chosen").get_by_role("button")

    def option(self, text: str) -> Locator:
        options = self.page.locator(".mtf-list:popover-open [role=option]")
        return options.filter(has_text=text).first

    @property
    def magic(self) -> Locator:
        return self.field("Magic")

    def expect_magic(self, *lines: str) -> None:
        """Wait until the magic has the lines; a long one may be continued on the next."""
        for line in lines:
            words = r"\s+".join(map(re.escape, line.split()))
            expect(self.magic).to_have_value(re.compile(words))

    def write(self, text: str) -> None:
        """Replace the magic."""
        self.magic.fill(text)
        self.magic.blur()

    def fill(self, query: str = USUAL) -> None:
        """Fill the form as a paste of a URL does."""
        self.paste(self.field("Event"), query)
        self.expect_magic("selectors = ")

    def paste(self, control: Locator, text: str) -> None:
        control.focus()
        control.evaluate(
            """(control, text) => {
              const data = new DataTransfer();
              data.setData("text", text);
              const options = { clipboardData: data, bubbles: true, cancelable: true };
              control.dispatchEvent(new ClipboardEvent("paste", options));
            }""",
            text,
        )

    def focused(self) -> str:
        """The name of what has the focus."""
        return str(
            self.page.evaluate(
                """() => {
                  const e = document.activeElement;
                  return e.getAttribute("aria-label") || e.labels?.[0]?.textContent
                    || e.textContent;
                }"""
            )
        )

    def tab_to(self, name: str) -> None:
        """Press Tab until the control or the button of that name has the focus."""
        for _ in range(40):
            self.page.keyboard.press("Tab")
            if self.focused() == name:
                return
        raise AssertionError(f"Tab does not reach {name}")

    def type(self, text: str) -> None:
        self.page.keyboard.type(text, delay=15)

    def card(self, words: str) -> Locator:
        """The card, once it says that."""
        card = self.root.locator(".mytracker-card", has_text=words)
        card.wait_for()
        return card

    def finish(self) -> Locator:
        """Let the export that is in progress end; gives its card."""
        self.card("In progress")
        self.sandbox.clock.advance(EXPORT_SECONDS)
        return self.card("Success!")


@pytest.fixture(scope="module")
def frames() -> list[object]:
    """What goes through the notebook's sockets, both ways."""
    return []


@pytest.fixture(scope="module")
def slow_sandbox(front_end: type[Notebook]) -> Iterator[Sandbox]:
    """A sandbox whose exports end when its clock is advanced; each front end has its own."""
    with mt.sandbox.start(seconds=EXPORT_SECONDS, without_quotas=True) as running:
        yield running


@pytest.fixture(scope="module")
def notebook(
    lab: Lab, front_end: type[Notebook], slow_sandbox: Sandbox, frames: list[object]
) -> Iterator[Notebook]:
    # Voila would run the others too, each time that the form begins again
    number = FORM + 1 if front_end is VoilaPage else None
    write_notebook(lab.root / "builder.ipynb", cells(slow_sandbox)[:number])
    with lab.browser.new_context(viewport={"width": 1280, "height": 1200}) as context:
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()

        def listen(socket: Any) -> None:
            for way in ("framesent", "framereceived"):
                socket.on(way, lambda frame: frames.append(frame))

        page.on("websocket", listen)
        notebook = front_end(page, lab.url, "builder.ipynb")
        notebook.run(START)
        yield notebook


@pytest.fixture(params=[False, True], ids=["light", "dark"])
def dark(notebook: Notebook, request: pytest.FixtureRequest) -> Iterator[bool]:
    """Each theme in turn, before the form is opened: whether it is the dark one."""
    notebook.set_theme(dark=request.param)
    yield request.param
    notebook.set_theme(dark=False)


@pytest.fixture
def form(notebook: Notebook, slow_sandbox: Sandbox) -> Form:
    form = Form(notebook, slow_sandbox)
    form.reset()
    return form


WANTED = ["event     = customEvents", "idCountry = 188, 28, 202", "eventName = level_up, purchase"]


def test_an_export_by_mouse_alone(form: Form) -> None:
    root = form.root
    form.field("Event").click()
    form.option("customEvents").click()
    form.field("Days").select_option("Last 7 days")
    form.field("To").fill("2026-11-02")
    form.field("From").fill("2026-11-01")
    form.button("+ The event itself").click()
    form.field("Add filter").click()
    form.option("Countries").click()
    for country in ("Russia", "Kazakhstan", "Germany"):
        form.option(country).click()
    form.field("Add filter").click()
    form.option("Event names").click()
    form.page.keyboard.insert_text("level_up\npurchase")
    form.field("Name of the DataFrame (--frame)").click()
    form.page.keyboard.insert_text("levels")
    form.expect_magic("%%mytracker_export --frame levels", *WANTED)
    expect(root.get_by_text("Ready to submit")).to_be_visible()
    expect(root.get_by_text("SANDBOX")).to_be_visible()
    form.button("Submit").dblclick()
    form.card("In progress")
    # the kernel is free meanwhile
    assert form.notebook.run(OTHER).inner_text() == "42"
    assert form.root.locator(".mytracker-card", has_text="In progress").count() == 1
    form.finish()
    root.get_by_text("levels = mt.").wait_for()
    assert root.locator(".mtf-table tbody tr").count() == 20

    # the magic in a cell of its own is the same request: the export is reused
    form.page.evaluate(
        "([n, text]) => jupyterapp.shell.currentWidget.content.widgets[n]"
        ".model.sharedModel.setSource(text)",
        [SAME, form.magic.input_value()],
    )
    card = form.notebook.run(SAME).first.inner_text()
    number = root.locator(".mytracker-card .title").inner_text()
    assert number in card


@pytest.mark.also_in("notebook", "voila")
def test_an_export_by_keyboard_alone(form: Form) -> None:
    keyboard = form.page.keyboard
    form.field("Event").focus()
    form.type("custom ev")
    keyboard.press("Enter")
    form.tab_to("Days")
    form.type("Last 7")
    form.tab_to("Add to Columns")
    form.type("tsEvent,")
    form.type("iddevice")
    keyboard.press("Enter")
    form.type("eventn")
    keyboard.press("ArrowDown")
    keyboard.press("ArrowUp")
    keyboard.press("Enter")
    expect(form.chips("Columns")).to_have_text(
        [re.compile("tsEvent"), re.compile("idDevice"), re.compile("eventName")]
    )
    keyboard.press("ArrowLeft")
    keyboard.press("Home")
    keyboard.press("Shift+ArrowRight")
    form.expect_magic("selectors = idDevice, tsEvent, eventName")
    keyboard.press("End")
    keyboard.press("Delete")
    form.expect_magic("selectors = idDevice, tsEvent dateFrom")
    form.tab_to("Add filter")
    form.type("event name")
    keyboard.press("Enter")
    assert form.focused() == "Event names"
    form.type("level_up")
    keyboard.press("Enter")
    form.type("purchase")
    form.tab_to("Add filter")
    form.type("countr")
    keyboard.press("Enter")
    assert form.focused() == "Add to Countries"
    for country in ("russ", "kaz", "german"):
        form.type(country)
        keyboard.press("Enter")
    form.expect_magic(*WANTED)
    form.tab_to("Submit")
    keyboard.press("Enter")
    expect(form.button("Cancel")).to_be_focused()
    form.finish()
    expect(form.root.locator(".mtf-preview").get_by_role("button", name="Copy")).to_be_focused()


def test_escape_closes_a_list_and_loses_nothing(form: Form) -> None:
    event = form.field("Event")
    event.focus()
    form.type("inst")
    expect(event).to_have_attribute("aria-expanded", "true")
    form.page.keyboard.press("Escape")
    expect(event).to_have_attribute("aria-expanded", "false")
    expect(event).to_have_value("inst")
    form.page.keyboard.press("ArrowDown")
    form.page.keyboard.press("Enter")
    form.expect_magic("event = inst")


@pytest.mark.parametrize(("text", "title"), [("росс", "Russia"), ("usa", "United States")])
def test_a_country_is_found_by_its_other_names(form: Form, text: str, title: str) -> None:
    form.fill(USUAL.replace("&idCountry=188,28", "&idCountry=28"))
    form.field("Add to Countries").click()
    form.type(text)
    expect(form.option(title)).to_be_visible()
    form.page.keyboard.press("Enter")
    expect(form.chips("Countries").last).to_contain_text(title)


def test_a_chip_is_moved_by_dragging_and_removed_by_its_cross(form: Form) -> None:
    form.fill()
    chips = form.chips("Columns")
    expect(chips).to_have_count(4)
    source, target = chips.nth(3).bounding_box(), chips.nth(0).bounding_box()
    assert source
    assert target
    mouse = form.page.mouse
    mouse.move(source["x"] + 20, source["y"] + 10)
    mouse.down()
    mouse.move(target["x"] + 4, target["y"] + 10, steps=6)
    mouse.up()
    form.expect_magic("selectors = idCountryISOAlpha2, idDevice, tsEvent, eventName")
    chips.nth(1).locator(".mtf-cross").click()
    form.expect_magic("selectors = idCountryISOAlpha2, tsEvent, eventName")


def test_a_pasted_list_becomes_chips_and_unknown_values_are_marked(form: Form) -> None:
    form.paste(form.field("Add to Columns"), "idDevice\ntsEvent\tfooBar, eventName")
    expect(form.chips("Columns")).to_have_count(4)
    expect(form.root.locator(".mtf-unknown")).to_have_text(re.compile("fooBar"))


def test_a_word_that_is_not_added_is_reported_and_one_that_names_an_entry_is_added(
    form: Form,
) -> None:
    form.fill()
    columns = form.field("Add to Columns")
    columns.focus()
    form.type("nosuch")
    form.page.keyboard.press("Tab")
    expect(form.root.get_by_text("not added: 'nosuch' in selectors")).to_be_visible()
    columns.fill("duration")
    columns.blur()
    form.expect_magic("idCountryISOAlpha2, duration")
    expect(columns).to_have_value("")


def test_a_problem_comes_and_goes_as_one_types_and_leads_to_its_field(form: Form) -> None:
    form.fill(USUAL + "&idApp=12")
    apps = form.field("Apps")
    apps.click()
    form.page.keyboard.press("End")
    form.type(", x")
    expect(form.root.get_by_text("Can't submit: idApp invalid")).to_be_visible()
    expect(apps).to_have_attribute("aria-invalid", "true")
    expect(apps).to_have_accessible_description(re.compile("'x' is not an id"))
    form.button("Apps").click()
    expect(apps).to_be_focused()
    form.page.keyboard.press("End")
    form.page.keyboard.press("Backspace")
    form.type("13")
    expect(form.root.get_by_text("Ready to submit")).to_be_visible()
    expect(apps).not_to_have_attribute("aria-invalid", "true")
    expect(apps).to_have_value("12, 13")


def test_filters_stay_greyed_and_come_back_with_the_event(form: Form) -> None:
    form.fill()
    form.field("Event").fill("installs")
    form.page.keyboard.press("Enter")
    expect(form.root.get_by_text("not sent: only for customEvents")).to_be_visible()
    assert "eventName =" not in form.magic.input_value()
    form.field("Event").fill("customEvents")
    form.page.keyboard.press("Enter")
    form.expect_magic("eventName = level_up")
    form.button("Remove filter Event names").click()
    expect(form.field("Event names")).to_have_count(0)
    expect(form.field("Add filter")).to_be_focused()


def test_editing_the_magic_updates_the_form(form: Form) -> None:
    form.magic.click()
    form.page.keyboard.press("Control+End")
    form.page.keyboard.press("Enter")
    form.type("event = sessions\nidCountry = NA\nrooted = 1\ndateFrom = 2026-11-01")
    expect(form.field("From")).to_have_value("2026-11-01")
    expect(form.field("Event")).to_have_value("Sessions · sessions")
    expect(form.field("Root access")).to_have_value("1")
    expect(form.chips("Countries")).to_have_text([re.compile("Namibia")])
    form.paste(form.magic, "curl 'https://tracker.my.com/x?event=installs&idApp[]=5&idApp[]=6'")
    form.expect_magic("idApp = 5, 6")
    expect(form.field("Apps")).to_have_value("5, 6")


def test_exact_times_are_behind_a_switch(form: Form) -> None:
    switch = form.button("Exact times")
    expect(switch).to_have_attribute("aria-expanded", "false")
    switch.click()
    expect(switch).to_have_attribute("aria-expanded", "true")
    form.field("From, exact time").fill("2026-11-01T10:00")
    form.expect_magic("tsFrom")
    form.write("event=installs")
    switch.click()
    expect(form.field("From, exact time")).to_be_hidden()


def test_the_code_is_shown_in_three_languages_and_copied(form: Form) -> None:
    form.fill()
    form.root.get_by_role("tab", name="Magic").focus()
    form.page.keyboard.press("ArrowRight")
    expect(form.root.get_by_role("tab", name="Python")).to_have_attribute("aria-selected", "true")
    expect(form.root.get_by_role("region", name="Code")).to_contain_text("mt.export(")
    form.root.get_by_role("tab", name="curl").click()
    form.button("Copy").first.click()
    expect(form.button("Copied")).to_be_visible()
    assert "curl" in form.page.evaluate("navigator.clipboard.readText()")


def test_two_views_of_one_form_agree(form: Form) -> None:
    form.page.evaluate(
        "([n, text]) => jupyterapp.shell.currentWidget.content.widgets[n]"
        ".model.sharedModel.setSource(text)",
        [SAME, "form"],
    )
    form.notebook.run(SAME)
    other = form.notebook.cells.nth(SAME).locator(".mtf")
    form.fill()
    expect(other.get_by_label("Magic", exact=True)).to_have_value(form.magic.input_value())
    other.get_by_role("button", name="Remove filter Event names").click()
    expect(form.field("Event names")).to_have_count(0)
    expect(form.magic).not_to_have_value(re.compile("eventName ="))


@pytest.mark.also_in("notebook", "voila")
def test_an_export_is_cancelled(form: Form) -> None:
    form.write(f"{OLD}\nidApp=1")
    form.button("Submit").click()
    form.button("Cancel").click()
    form.card("Canceled by user")
    expect(form.button("Submit")).to_be_enabled()


def test_what_is_typed_before_a_click_is_submitted_by_it(form: Form) -> None:
    form.write(f"{OLD}\nidApp=7")
    expect(form.field("Apps")).to_have_value("7")
    form.notebook.activate(BUSY)
    form.page.evaluate("() => { jupyterapp.commands.execute('notebook:run-cell') }")
    form.field("Apps").click()
    form.page.keyboard.press("Control+a")
    form.type("678")
    form.field("Add to Columns").click()
    form.type("tsEvent,")
    expect(form.chips("Columns")).to_have_count(2)
    form.button("Submit").click()
    card = form.finish()
    assert "678" in str(card.locator("dt:text-is('idApp') + dd").text_content())
    assert "tsEvent" in str(card.locator("dt:text-is('selectors') + dd").text_content())


def test_typing_sends_few_messages(form: Form, frames: list[object]) -> None:
    form.fill(USUAL + "&idApp=1")
    form.field("Apps").click()
    form.page.keyboard.press("Control+a")
    frames.clear()
    form.page.keyboard.type("123456789," * 3, delay=5)
    form.expect_magic("idApp     = 123456789")
    assert 0 < len(frames) <= 5 * 30


KEYS = ["d", "d", "a", "b", "x", "m", "Enter", "Shift+Enter", "Control+Enter", "Escape", "d", "d"]
CELLS_NOW = """() => JSON.stringify(jupyterapp.shell.currentWidget.content.widgets.map(
  cell => [cell.model.id, cell.model.type, cell.model.sharedModel.getSource(),
    cell.model.executionCount]))"""
CONTROLS = "input, select, textarea, button, summary, pre[tabindex], .mtf-table"


def press_in_each_control(form: Form, keys: list[str], without_enter: str) -> set[str]:
    """Press the keys in all controls, Enter not in those that it removes; gives their names."""
    controls = form.root.locator(CONTROLS)
    reached = set()
    for place in range(controls.count()):
        control = controls.nth(place)
        if not control.is_visible() or not control.is_enabled():
            continue
        control.focus()
        name = form.focused()
        for key in keys:
            if key != "Enter" or not re.match(without_enter, name):
                form.page.keyboard.press(key)
        reached.add(name)
        assert form.root.evaluate("form => form.contains(document.activeElement)"), name
    return reached


@pytest.mark.also_in("notebook")
def test_no_key_in_any_control_reaches_the_notebook(form: Form) -> None:
    form.fill(USUAL + "&rooted=1")
    form.button("Exact times").click()
    before = form.page.evaluate(CELLS_NOW)
    for name in ("Root access", "Countries"):
        form.button(f"Remove filter {name}").focus()
        for key in ["d", "d", "Enter", "Escape", "d", "d"]:
            form.page.keyboard.press(key)
        expect(form.field("Add filter")).to_be_focused()
        form.page.keyboard.press("Escape")
    form.fill(USUAL + "&rooted=1")
    assert len(press_in_each_control(form, KEYS, "Submit|Remove filter")) > 15
    assert form.page.evaluate(CELLS_NOW) == before


@pytest.mark.also_in("notebook")
def test_no_key_reaches_the_notebook_while_an_export_runs_and_when_it_is_finished(
    form: Form,
) -> None:
    form.fill(OLD.replace("\n", "&") + "&timezone=UTC")
    before = form.page.evaluate(CELLS_NOW)
    form.button("Submit").focus()
    for key in ["d", "d", "a", "x", "Enter", "d", "d", "a", "x"]:
        form.page.keyboard.press(key)
    expect(form.button("Cancel")).to_be_focused()
    for key in ["d", "d", "a", "x"]:
        form.page.keyboard.press(key)
    form.finish()
    form.root.locator(".mtf-table tbody tr").first.wait_for()
    expect(form.root.locator(".mtf-preview").get_by_role("button", name="Copy")).to_be_focused()
    for part in ("summary", ".mtf-preview button", ".mtf-table", ".mtf-tabs button"):
        form.root.locator(part).first.focus()
        for key in KEYS:
            form.page.keyboard.press(key)
        assert form.root.evaluate("form => form.contains(document.activeElement)"), part
    assert form.page.evaluate(CELLS_NOW) == before


AXE_RULES = {
    "resultTypes": ["violations"],  # a list of all that is well takes longer than the look
    "runOnly": {
        "type": "tag",
        "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
    },
}


def violations(form: Form) -> list[str]:
    """What axe-core finds in the form."""
    from axe_playwright_python.sync_playwright import Axe

    result = Axe().run(form.page, context=".mtf", options=AXE_RULES).response
    return [
        f"{found['id']}: {node['html']} {node['any'] or node['all'] or node['none']}"
        for found in result["violations"]
        for node in found["nodes"]
    ]


@pytest.mark.also_in("notebook", "voila")
def test_axe_finds_no_violation_in_any_state(dark: bool, form: Form) -> None:
    pytest.importorskip("axe_playwright_python")
    assert violations(form) == []  # empty
    form.fill(USUAL + "&idApp=x&SDKKey=1&foo=1&rooted=1")
    form.button("Exact times").click()
    expect(form.root.get_by_text("Can't submit")).to_be_visible()
    assert violations(form) == []  # with errors
    form.field("Event").click()
    assert violations(form) == []  # with a list open
    form.field("Event").fill("installs")
    form.page.keyboard.press("Enter")
    expect(form.root.get_by_text("not sent: only for").first).to_be_visible()
    assert violations(form) == []  # with a filter that does not apply
    form.fill(USUAL + "&timezone=UTC" * dark)  # a request of its own
    expect(form.root.get_by_text("Ready to submit")).to_be_visible()
    assert violations(form) == []  # filled
    form.button("Submit").click()
    form.card("In progress")
    assert violations(form) == []  # following
    form.finish()
    form.root.locator(".mtf-table tbody tr").first.wait_for()
    assert violations(form) == []  # finished


def test_axe_would_find_a_fault(form: Form) -> None:
    pytest.importorskip("axe_playwright_python")
    form.root.evaluate("form => form.querySelector('.mtf-add').removeAttribute('aria-label')")
    form.root.evaluate("form => form.querySelector('.mtf-add').removeAttribute('placeholder')")
    assert any("label" in found for found in violations(form))


@pytest.mark.parametrize("width", [700, 1280])
def test_nothing_is_clipped_and_all_is_legible(dark: bool, form: Form, width: int) -> None:
    page = form.page
    form.write(
        "event=customEvents\nselectors=idDevice,foo\nidApp=1,x\nSDKKey=1\nrooted=2\n"
        "eventName=Открыт сундук с очень длинным русским названием, level_up\nidAp=2"
    )
    form.root.get_by_text("'x' is not an id").wait_for()
    page.set_viewport_size({"width": width, "height": 1200})
    try:
        page.evaluate("jupyterapp.shell.currentWidget.node.scrollTop = 0")
        assert form.root.evaluate(CLIPPED) == []
        assert form.root.evaluate("form => form.scrollWidth - form.clientWidth") <= 0
        contrast, text = form.root.evaluate(LEAST_CONTRAST)
        assert contrast >= 4.5, text
    finally:
        page.set_viewport_size({"width": 1280, "height": 1200})


def test_a_usual_request_fits_one_screen(form: Form) -> None:
    form.fill()
    expect(form.root.get_by_text("Ready to submit")).to_be_visible()
    box = form.root.bounding_box()
    assert box
    assert box["height"] <= 460
    # all of the code is in view
    sizes = form.magic.evaluate(
        "e => [e.scrollWidth, e.clientWidth, e.scrollHeight, e.clientHeight]"
    )
    assert sizes[0] <= sizes[1]
    assert sizes[2] <= sizes[3]
    left, right = (form.root.locator(f".mtf-{side}").bounding_box() for side in ("left", "right"))
    assert left
    assert right
    assert left["x"] + left["width"] <= right["x"] + 1
    form.page.set_viewport_size({"width": 700, "height": 1200})
    form.page.wait_for_timeout(200)
    left, right = (form.root.locator(f".mtf-{side}").bounding_box() for side in ("left", "right"))
    assert left
    assert right
    assert left["y"] + left["height"] <= right["y"] + 1
    form.page.set_viewport_size({"width": 1280, "height": 1200})


@pytest.mark.parametrize("how", ["session.kernel.restart()", "shutdown()"])
def test_a_form_whose_kernel_has_ended_says_that_it_is_the_last_known_state(
    lab: Lab, slow_sandbox: Sandbox, how: str
) -> None:
    name = f"ended-{how.partition('(')[0].rpartition('.')[2]}"
    with lab.notebook(name, cells(slow_sandbox)) as notebook:
        notebook.run(START)
        form = Form(notebook, slow_sandbox)
        form.reset()
        form.fill()
        notebook.page.evaluate(f"() => jupyterapp.shell.currentWidget.sessionContext.{how}")
        expect(form.root.get_by_text("this is the last known state")).to_be_visible()
        expect(form.button("Submit")).to_be_disabled()
        expect(form.magic).to_have_value(re.compile("customEvents"))


def test_nothing_is_loaded_from_elsewhere(form: Form, lab: Lab) -> None:
    own = (lab.url, "data:", "blob:")
    assert [url for url in form.notebook.requested if not url.startswith(own)] == []


def test_a_saved_notebook_shows_request_and_result_without_a_kernel(form: Form, lab: Lab) -> None:
    form.write(OLD)
    form.button("Submit").click()
    form.finish()
    form.root.locator(".mtf-preview").get_by_text("to_pandas()").wait_for()
    outputs = form.notebook.outputs(FORM)
    # the static output follows after a second; it is hidden beside the live form
    expect(outputs.nth(1)).to_contain_text("All of them")
    for part in (".mytracker-card", "table", ".mytracker-last-known"):
        assert not outputs.nth(1).locator(part).first.is_visible()
    form.notebook.save()
    shutil.copy(lab.root / "builder.ipynb", lab.root / "saved.ipynb")
    saved: Any = json.loads((lab.root / "saved.ipynb").read_text(encoding="utf-8"))
    assert "metadata" in saved
    with lab.browser.new_context() as context:
        saved_page = Notebook(context.new_page(), lab.url, "saved.ipynb").cells.nth(FORM)
        saved_page.locator("table").wait_for()
        text = saved_page.locator(".jp-Cell-outputArea").inner_text()
        # request, code, state and rows
        assert "MyTracker request form" in text
        assert "%%mytracker_export\nevent     = installs" in text
        assert "Success!" in text
        assert "to_pandas()" in text
        assert "last known state" in text
        assert "not found" not in text
        assert "Loading" not in text
