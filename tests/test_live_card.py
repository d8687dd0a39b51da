"""Cards that update in the background, in a real kernel and in a saved notebook."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from queue import Empty

import nbformat
import pytest
from nbclient import NotebookClient

WIDGET = "application/vnd.jupyter.widget-view+json"
PARAMETERS = (
    "event=installs selectors=idDevice,tsEvent dateFrom=2026-01-01 dateTo=2026-01-02 --fresh"
)


def account(sandbox):
    """Code that makes a kernel use `sandbox`, without delays of our own."""
    return f"""
import mytracker_nb as mt
from mytracker_nb.service import credentials
from mytracker_nb.service import rate_limit
from mytracker_nb.client.client import default_client
credentials.use(credentials.Credentials(
    {sandbox.api_user_id}, {sandbox.secret_key!r}, {sandbox.base_url!r}))
default_client().api.rate_limiter = rate_limit.RateLimiter({{1.0: 1000}})
"""


class Cell:
    """A cell that runs in a kernel: what it shows, by display id, and how it ends."""

    def __init__(self, kernel, code, cell_id=None, allow_stdin=False):
        self.kernel = kernel
        self.shown: dict[str, str] = {}
        self.places: list[str] = []
        self.texts: list[str] = []
        self.widgets: list[dict] = []
        self.error = None
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}}
        content |= {"allow_stdin": allow_stdin, "stop_on_error": True}
        metadata = {"cellId": cell_id} if cell_id else {}
        message = kernel.session.msg("execute_request", content, metadata=metadata)
        kernel.shell_channel.send(message)
        self.id = message["header"]["msg_id"]

    def read(self, until, seconds=20):
        """Take in messages until something holds."""
        end = time.monotonic() + seconds
        while not until(self):
            assert time.monotonic() < end, (self.shown, self.texts, self.error)
            try:
                message = self.kernel.get_iopub_msg(timeout=0.2)
            except Empty:
                continue
            self._take(message)
        return self

    def _take(self, message):
        kind, content = message["msg_type"], message["content"]
        if kind in ("display_data", "update_display_data"):
            place = content["transient"].get("display_id")
            if WIDGET in content["data"]:
                self.widgets.append(content["data"])
                return
            if kind == "update_display_data" and place not in self.shown:
                return  # a card of another cell
            self.places.append(kind)
            self.shown[place] = content["data"]["text/html"]
        elif kind == "stream":
            self.texts.append(content["text"])
        elif kind == "error":
            self.error = content
        elif kind == "status" and content["execution_state"] == "idle":
            self.is_idle |= message["parent_header"].get("msg_id") == self.id

    is_idle = False

    def end(self):
        return self.read(lambda cell: cell.is_idle)

    @property
    def card(self):
        (html,) = self.shown.values()
        return html

    @property
    def text(self):
        return "".join(self.texts)


def run(kernel, code, cell_id=None):
    cell = Cell(kernel, code, cell_id).end()
    assert cell.error is None, cell.error
    return cell


@pytest.fixture
def notebook(kernel, start_sandbox):
    """A kernel that uses a sandbox of its own."""

    def use(**config):
        sandbox = start_sandbox(**config)
        run(kernel, account(sandbox))
        return sandbox

    yield use
    run(kernel, "import gc; e = None; gc.collect()")


def test_a_cell_returns_at_once_and_its_card_is_updated(kernel, notebook):
    sandbox = notebook(seconds=100)
    cell = run(kernel, f"%mytracker_export {PARAMETERS} --out e", "one")
    assert "In progress" in cell.card

    sandbox.clock.advance(101)
    cell.read(lambda cell: "Success!" in cell.card)

    assert ".csv.gz" in cell.card
    assert "<script" not in cell.card
    assert run(kernel, "print(e.status)").text == "Success!\n"


THREADS = "import threading; print(sum(t.name == 'mytracker-cards' for t in threading.enumerate()))"


def wait_for_the_thread_to_end(kernel):
    deadline = time.monotonic() + 60
    while run(kernel, THREADS).text != "0\n":
        assert time.monotonic() < deadline


def test_one_thread_updates_all_cards_and_ends_with_them(kernel, notebook):
    sandbox = notebook(seconds=100, queue=100)
    cell = Cell(
        kernel,
        "exports = [default_client().create(mt.ExportRequest(event='installs', "
        "selectors='idDevice', dateFrom='2026-01-01', dateTo='2026-01-02')) for _ in range(5)]\n"
        "for e in exports: display(e)",
        "many",
    ).end()
    assert len(cell.shown) == 5
    assert run(kernel, THREADS).text == "1\n"

    sandbox.clock.advance(101)
    cell.read(lambda cell: all("Success!" in html for html in cell.shown.values()))
    wait_for_the_thread_to_end(kernel)
    looks = len(sandbox.requests)
    time.sleep(1.2)
    assert len(sandbox.requests) == looks


@pytest.mark.parametrize("how", ["runs again", "is cleared"])
def test_a_card_that_is_no_longer_shown_is_not_updated(kernel, notebook, how):
    sandbox = notebook(seconds=100)
    code = f"%mytracker_export {PARAMETERS} --out e"
    if how == "is cleared":
        code += "\ndisplay(e)\nfrom IPython.display import clear_output; clear_output()"
    else:
        run(kernel, code, "lost")
        code = "pass"
    run(kernel, code, "lost")
    wait_for_the_thread_to_end(kernel)
    looks = len(sandbox.requests)
    time.sleep(1.5)
    assert len(sandbox.requests) == looks


def test_a_card_that_was_cleared_can_be_shown_again_in_the_same_cell(kernel, notebook):
    notebook(seconds=0)
    run(kernel, f"%mytracker_export {PARAMETERS} --wait --out e", "first")
    clear = "from IPython.display import clear_output; clear_output(wait=True)"
    cell = run(kernel, f"display(e); display(e)\n{clear}\ndisplay(e)", "loop")
    assert cell.places == ["display_data", "update_display_data", "display_data"]


def test_an_export_can_be_awaited_in_a_cell(kernel, notebook):
    notebook(seconds=0)
    run(kernel, f"%mytracker_export {PARAMETERS} --out e")
    assert "Success!" in run(kernel, "print((await e).status)").text


def test_an_interrupt_detaches_and_says_how_to_attach_again(kernel, notebook):
    sandbox = notebook(seconds=100)
    process = int(run(kernel, "import os; print(os.getpid())").text)
    cell = Cell(kernel, f"%mytracker_export {PARAMETERS} --wait --out e")
    cell.read(lambda cell: cell.shown and "as of" in cell.card)
    os.kill(process, signal.SIGINT)
    cell.end()

    assert cell.error["ename"] == "WaitInterrupted"
    (line,) = cell.error["traceback"]
    assert "the wait was interrupted; export 1 continues on the service" in line
    come_back = re.search(r"mt\.attach\(1\)\.wait\(\)", line)[0]
    assert not any("cancel" in call.path for call in sandbox.requests)
    sandbox.clock.advance(101)
    assert "Success!" in run(kernel, f"print({come_back}.status)").text


def test_a_full_queue_is_waited_for_in_place(kernel, notebook):
    sandbox = notebook(seconds=100, queue=1)
    run(kernel, f"%mytracker_export {PARAMETERS}", "first")
    cell = Cell(kernel, f"%mytracker_export {PARAMETERS} --out second", "second")
    cell.read(lambda cell: any("waiting to send" in html for html in cell.shown.values()))
    (place,) = [place for place, html in cell.shown.items() if "waiting to send" in html]
    assert "The export queue is full (running: export 1)" in cell.shown[place]

    sandbox.clock.advance(101)
    cell.end()
    assert cell.error is None
    cell.read(lambda cell: "idRawExport 2" in cell.shown[place])


def test_an_interrupt_while_waiting_for_the_queue_sends_nothing(kernel, notebook):
    sandbox = notebook(seconds=100, queue=1)
    process = int(run(kernel, "import os; print(os.getpid())").text)
    run(kernel, f"%mytracker_export {PARAMETERS}", "first")
    cell = Cell(kernel, f"%mytracker_export {PARAMETERS}", "second")
    cell.read(lambda cell: any("waiting to send" in html for html in cell.shown.values()))
    os.kill(process, signal.SIGINT)
    cell.end()

    assert cell.error["ename"] == "WaitInterrupted"
    (line,) = cell.error["traceback"]
    assert "no export was created" in line
    assert any("not created" in html for html in cell.shown.values())
    assert list(sandbox.exports) == [1]


def test_a_saved_notebook_has_the_last_card(start_sandbox):
    sandbox = start_sandbox(seconds=1.5)
    cells = [
        f"%load_ext mytracker_nb\n{account(sandbox)}",
        f"%mytracker_export {PARAMETERS} --out e",
        "import time\nwhile not e.is_finished:\n    time.sleep(0.1)\ntime.sleep(0.5)",
        "print(e.status)",
    ]
    saved = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in cells])
    NotebookClient(saved, kernel_name="python3", timeout=60).execute()

    (output,) = saved.cells[1].outputs
    assert "Success!" in output["data"]["text/html"]
    assert "Success!" in output["data"]["text/plain"]
    assert "Success!" in saved.cells[3].outputs[0]["text"]


def test_a_kernel_stops_without_waiting_for_a_card(start_sandbox):
    sandbox = start_sandbox(seconds=1000)
    cells = [f"%load_ext mytracker_nb\n{account(sandbox)}", f"%mytracker_export {PARAMETERS}"]
    saved = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in cells])
    began = time.monotonic()
    NotebookClient(saved, kernel_name="python3", timeout=60).execute()
    assert time.monotonic() - began < 300  # of a thousand
    assert "In progress" in saved.cells[1].outputs[0]["data"]["text/html"]


CAPTURED = """
from IPython.utils.capture import capture_output
with capture_output() as captured:
    display(e)
    e.refresh()
    display(e)
"""


def test_captured_cards_are_quiet_and_can_be_shown_later(kernel, notebook):
    sandbox = notebook(seconds=0)
    cell = run(
        kernel, f"%%capture captured\n%mytracker_export {PARAMETERS} --frame df --out e", "one"
    )
    assert cell.shown == {}
    assert int(run(kernel, "print(len(df))").text) > 0
    assert "Success!" in run(kernel, "display(captured.outputs[0])", "two").card

    sandbox = notebook(seconds=100)
    run(kernel, f"%%capture captured\n%mytracker_export {PARAMETERS} --out e", "three")
    assert run(kernel, CAPTURED, "four").shown == {}
    assert "In progress" in run(kernel, "captured.show()", "five").card
    sandbox.clock.advance(101)
    run(kernel, "e.refresh()", "six")
    # one card, in its last state, though it was shown twice
    assert "Success!" in run(kernel, "captured.show()", "seven").card


CHILD = """
import os
pid = os.fork()
if pid == 0:
    display(e)
    e.refresh()
    os._exit(0)
os.waitpid(pid, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_child_process_does_not_update_the_cards_of_its_parent(kernel, notebook):
    notebook(seconds=0)
    run(kernel, f"%mytracker_export {PARAMETERS} --wait --out e", "one")
    assert run(kernel, CHILD, "two").places == []


@pytest.mark.parametrize(("cell_id", "times"), [(None, 2), ("one", 1)], ids=["console", "lab"])
def test_the_last_state_is_shown_again_if_a_card_can_not_be_updated(
    kernel, notebook, cell_id, times
):
    notebook(seconds=0.3)
    code = f"%mytracker_export {PARAMETERS} --wait"
    cell = Cell(kernel, code, cell_id, allow_stdin=True).end()
    assert cell.places.count("display_data") == times
    assert "Success!" in cell.card


# waits of calls that show no card

TOO_MANY = json.dumps(
    {
        "code": 429,
        "data": {
            "error": {
                "info": {"quotas": [{"name": "PerHour", "exceeded": True, "resetInSecond": 30}]}
            }
        },
    }
)
# a wait takes no time, and is over by the clock
HURRIED = """
from mytracker_nb import clock
real = clock.monotonic, clock.sleep
passed = []
clock.monotonic = lambda: real[0]() + sum(passed)
clock.sleep = passed.append
client = default_client()
request = mt.ExportRequest(event="installs", selectors="idDevice",
                           dateFrom="2026-01-01", dateTo="2026-01-02")
"""
ORDINARY = "clock.monotonic, clock.sleep = real"
CALLS = {
    "client.quotas()": "/quotas/get.json",
    "_ = client.create(request)": "/create.json",
    "_ = client.attach(1)": "/get.json",
    "_ = client.attach(1).cancel()": "/cancel.json",
    "_ = mt.attach(1).refresh()": "/get.json",
    "_ = mt.export(**request.parameters, fresh=True)": "/create.json",
    "_ = mt.export(**request.parameters)": "/get.json",
    "%mytracker_quotas": "/quotas/get.json",
}


@pytest.fixture
def hurried(kernel, notebook):
    sandbox = notebook(seconds=100)
    run(kernel, HURRIED)
    run(kernel, "_ = mt.export(**request.parameters)")
    yield sandbox
    run(kernel, ORDINARY)


@pytest.mark.parametrize("call", CALLS)
def test_a_call_without_a_card_says_what_it_waits_for(kernel, hurried, call):
    hurried.faults.add(path=CALLS[call], status=429, body=TOO_MANY)
    cell = run(kernel, call)
    (note,) = [html for html in cell.shown.values() if html.startswith("<div>MyTracker: ")]
    assert re.search(r"waited 3\d s: HTTP 429", note)
    assert "(PerHour)" in note
    assert cell.places[0] == "display_data"


def test_short_waits_are_not_shown(kernel, hurried):
    hurried.faults.add(path="/get.json", status=503)
    assert run(kernel, "_ = client.attach(1)").shown == {}


def test_a_wait_for_another_kernels_create_is_shown_where_there_is_no_card(kernel, hurried):
    cell = run(
        kernel,
        """
other = mt.ExportRequest(**{**request.parameters, "dateTo": "2026-01-03"})
pending = client.journal.record_create(other).__enter__()
def answer(seconds):
    passed.append(seconds)
    if len(passed) == 20:
        pending.answer(client.api.create(other.wire()))
passed.clear()
clock.sleep = answer
_ = client.export(other)
clock.sleep = passed.append
pending.__exit__(None, None, None)
""",
    )
    assert re.search(r"waited .*: another kernel or thread is sending the same request", cell.card)


def test_the_wait_for_a_slow_response_is_shown(kernel, hurried):
    hurried.faults.add(path="/get.json", delay=1.5)
    run(kernel, "from mytracker_nb.service import retry; slow, retry._SLOW = retry._SLOW, 0.05")
    cell = run(kernel, "_ = client.attach(1)")
    run(kernel, "retry._SLOW = slow")
    assert f"for a response from {hurried.base_url}" in cell.card


def test_a_delayed_download_shows_the_reason(kernel, notebook):
    sandbox = notebook(seconds=0)
    run(kernel, f"%mytracker_export {PARAMETERS} --wait --out e", "one")
    body = TOO_MANY.replace("30", "2")
    sandbox.faults.add(path=".csv.gz", status=429, body=body, times=2)
    notes = []
    cell = Cell(kernel, "n = len(e.to_pandas())", "two")
    cell.read(lambda cell: notes.extend(cell.shown.values()) or cell.is_idle)
    assert cell.error is None, cell.error
    assert any("retrying in 2 s" in html and "429" in html for html in notes)


def test_where_no_card_can_change_a_wait_shows_its_progress_once_and_its_end_once(kernel, notebook):
    notebook(seconds=1.5)
    code = f"%mytracker_export {PARAMETERS} --frame df"
    cell = Cell(kernel, code, allow_stdin=True).end()
    assert re.search(r"\rMyTracker: export 1: 'In progress', \d+%|MyTracker: export 1", cell.text)
    # the last line of progress is taken away before the result
    assert re.search(r"\r +\rdf: \d+ rows", cell.text)
    assert cell.places.count("display_data") == 3  # the card at first and at its end, the rows
    assert ["Success!" in html for html in cell.shown.values() if "-card" in html] == [True]
    assert cell.widgets == []


def test_buttons_are_below_a_card_once_where_a_person_can_click(kernel, notebook):
    notebook(seconds=0.3)
    code = f"%mytracker_export {PARAMETERS} --frame df"
    (buttons,) = Cell(kernel, code, "one", allow_stdin=True).end().widgets
    assert buttons["text/plain"] == ""
    # nbclient, papermill and Voila answer no question, and nobody is there to click
    assert Cell(kernel, code, "two", allow_stdin=False).end().widgets == []
    assert Cell(kernel, code, None, allow_stdin=True).end().widgets == []
    captured = Cell(kernel, f"%%capture\n{code}", "three", allow_stdin=True).end()
    assert captured.widgets == []


COUNT = """
from ipywidgets.widgets.widget import _instances
print(sum(type(widget).__name__ == "ButtonBar" for widget in _instances.values()))
"""


def test_buttons_end_with_their_card(kernel, notebook):
    notebook(seconds=0)
    before = int(run(kernel, COUNT).text)
    code = f"%mytracker_export {PARAMETERS} --wait --out e"
    Cell(kernel, code, "ends", allow_stdin=True).end()
    assert int(run(kernel, COUNT).text) == before + 1
    Cell(kernel, "pass", "ends", allow_stdin=True).end()
    assert int(run(kernel, COUNT).text) == before
    # and come back with it
    assert len(Cell(kernel, "e", "back", allow_stdin=True).end().widgets) == 1
