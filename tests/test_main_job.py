"""The main job in real front ends: what an analyst sees, in both themes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from browser import VoilaPage

if TYPE_CHECKING:
    from browser import Lab, Notebook

pytestmark = pytest.mark.browser

START, EXPORT, FRAME, ODD, BAD, AFTER = range(6)
CELLS = [
    "%load_ext mytracker_nb\n%mytracker_sandbox",
    "%%mytracker_export --wait --frame df\n"
    "event     = customEvents\n"
    "selectors = idDevice, tsEvent, eventName, params.name, params.value\n"
    "idCountry = RU, KZ\n"
    "dateFrom  = today-7d\n"
    "dateTo    = yesterday\n",
    "len(df), *df.columns",
    "%mytracker_export --dry-run event=customEvents selectors=idDevice "
    'eventName="<img src=x onerror=alert(1)>" dateFrom=today dateTo=today',
    "%mytracker_export event=instals selectors=idDevice dateFrom=today-7d",
    "reached = True",
]

# The least contrast of any text in an element against what lies behind it (WCAG 2.1, 1.4.3).
LEAST_CONTRAST = """
card => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const over = (color, below) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const layer of [below, color]) {
      canvas.fillStyle = layer;
      canvas.fillRect(0, 0, 1, 1);
    }
    const [red, green, blue] = canvas.getImageData(0, 0, 1, 1).data;
    return `rgb(${red}, ${green}, ${blue})`;
  };
  const behind = element => {
    const below = element.parentElement ? behind(element.parentElement) : "white";
    return over(getComputedStyle(element).backgroundColor, below);
  };
  const luminance = color => {
    const parts = color.match(/\\d+/g).map(part => part / 255);
    const [red, green, blue] = parts.map(
      part => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    );
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const texts = document.createTreeWalker(card, NodeFilter.SHOW_TEXT);
  let least = [21, ""];
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (element.tagName === "STYLE" || !texts.currentNode.data.trim()) continue;
    const below = behind(element);
    const pair = [over(getComputedStyle(element).color, below), below].map(luminance);
    const contrast = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (contrast < least[0]) least = [contrast, texts.currentNode.data];
  }
  return least;
}
"""


@pytest.fixture(scope="module")
def notebook(lab: Lab, front_end: type[Notebook]) -> Iterator[Notebook]:
    """The notebook with its first cells run, one after the other."""
    # Voila runs them all, and shows nothing but the error if one fails
    cells = CELLS[:BAD] if front_end is VoilaPage else CELLS
    with lab.notebook("main-job", cells, front_end) as notebook:
        for number in (START, EXPORT, FRAME, ODD):
            notebook.run(number)
        yield notebook


@pytest.mark.also_in("voila")
def test_the_card_of_a_finished_export_is_below_its_cell(notebook: Notebook) -> None:
    text = notebook.outputs(EXPORT).locator(".mytracker-card").inner_text()
    for words in ("idRawExport 1", "Success!", "SANDBOX", "customEvents", "188 Russia", "7 days"):
        assert words in text
    assert "mt.attach(1)" in text


@pytest.mark.also_in("voila")
def test_the_export_is_loaded_as_a_frame(notebook: Notebook) -> None:
    rows, *columns = notebook.outputs(FRAME).inner_text().strip("()").split(", ")
    assert int(rows) > 0
    assert columns == [
        f"'{name}'" for name in ("idDevice", "tsEvent", "eventName", "params.name", "params.value")
    ]


@pytest.mark.parametrize("dark", [False, True])
def test_all_text_of_a_card_is_legible(notebook: Notebook, dark: bool) -> None:
    notebook.set_theme(dark=dark)
    for card in notebook.page.locator(".mytracker-card").all():
        contrast, text = card.evaluate(LEAST_CONTRAST)
        assert contrast >= 4.5, text


def test_a_card_fits_a_narrow_window(notebook: Notebook) -> None:
    notebook.page.set_viewport_size({"width": 600, "height": 900})
    for card in notebook.page.locator(".mytracker-card").all():
        wider = card.evaluate("card => card.scrollWidth - card.clientWidth")
        assert wider <= 0
    notebook.page.set_viewport_size({"width": 1280, "height": 900})


def test_long_lists_and_code_unfold(notebook: Notebook) -> None:
    details = notebook.outputs(EXPORT).locator("details").last
    line = details.get_by_text("%mytracker_builder event=customEvents")
    assert not line.is_visible()
    details.locator("summary").click()
    assert line.is_visible()


@pytest.mark.also_in("voila")
def test_html_in_a_value_is_escaped(notebook: Notebook) -> None:
    output = notebook.outputs(ODD)
    assert "<img src=x onerror=alert(1)>" in output.inner_text()
    assert output.locator("img").count() == 0


def test_nothing_is_loaded_from_elsewhere(notebook: Notebook, lab: Lab) -> None:
    own = (lab.url, "data:", "blob:")
    assert [url for url in notebook.requested if not url.startswith(own)] == []


def test_the_saved_notebook_has_the_last_card(notebook: Notebook, lab: Lab) -> None:
    notebook.save()
    saved = json.loads((lab.root / "main-job.ipynb").read_text(encoding="utf-8"))
    shown = [
        "".join(output["data"]["text/html"])
        for output in saved["cells"][EXPORT]["outputs"]
        if "text/html" in output.get("data", {})
    ]
    (card,) = (html for html in shown if "mytracker-card" in html)
    with lab.browser.new_context() as context:
        page = context.new_page()
        page.set_content(card)
        assert "Success!" in page.locator(".mytracker-card").inner_text()


def test_a_bad_request_fails_its_cell_and_stops_the_run(notebook: Notebook) -> None:
    notebook.run_all()
    assert "Success!" in notebook.outputs(EXPORT).first.inner_text()
    error = notebook.outputs(BAD).inner_text()
    assert "InvalidRequest" in error
    assert "installs" in error
    assert "dateTo" in error
    assert "Traceback" not in error
    assert not notebook.is_done(AFTER)
