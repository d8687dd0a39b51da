"""How quick the form is: opening it, and the echo of a change in the kernel and on the screen.

Run with ``python benchmarks/builder.py``. The form is as large as it gets: 142 columns, 201
countries, 1,000 ids in each of two filters. The kernel's times are those of its processor, so that
other work on the machine does not count, with every message to the browser sent; the times on the
screen are by the clock of a headless Chromium (none is needed for the rest). The aims: 50 ms in the
kernel, 150 ms on the screen, and a tenth of the 376 messages that the form of ipywidgets took to
open.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from jupyter_client.manager import start_new_kernel

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

LARGE = """
import mytracker_nb as mt
from mytracker_nb.request.dictionaries import dictionary
large = dict(
    event="customEvents", selectors=list(dictionary("selector")),
    dateFrom="today-7d", dateTo="yesterday", idCountry=list(dictionary("country")),
    SDKKey=[f"{n:020}" for n in range(1000)], idApp=list(range(1, 1001)),
)
"""
IN_THE_KERNEL = (
    LARGE
    + """
import itertools, json, time
from statistics import median
import pandas, anywidget

sent = 0
session_send = get_ipython().kernel.session.send

def counting(*arguments, **options):
    global sent
    sent += 1
    return session_send(*arguments, **options)

get_ipython().kernel.session.send = counting

def timed(act):
    global sent
    sent, start = 0, time.process_time()
    act()
    return time.process_time() - start, sent

def open_form():
    display(mt.RequestBuilder())

first = timed(open_form)
opening = [timed(open_form) for _ in range(5)]
seq = itertools.count(1)

def acting(form, act, values, **args):
    key = "title" if act == "applyPreset" else "text"
    for value in values:
        content = {"client": "page", "acts": [
            {"seq": next(seq), "act": act, "args": {**args, key: value}}]}
        yield timed(lambda: form._handle_custom_msg(content, []))

figures = {"opening, first": [first], "opening": opening}
for size, values in (("usual", dict(large, selectors=large["selectors"][:4], idCountry=[188, 28],
                                    SDKKey=None, idApp=[1])), ("large", large)):
    form = mt.RequestBuilder(**values)
    display(form)
    events = list(dictionary("event")) * 2
    figures[f"event, {size}"] = list(acting(form, "type", events, name="event"))
    figures[f"typing, {size}"] = list(acting(form, "type", map(str, range(1, 31)), name="idAd"))
print(json.dumps(figures))
"""
)
AIM = 0.05
AIM_ON_SCREEN = 0.15
ECHO = """
async ([name, text]) => {
  const form = document.querySelector(".mtf");
  const control = form.querySelector(`[data-name="${name}"]`);
  const magic = form.querySelector("textarea.mtf-code");
  const wanted = `= ${text}`;
  control.focus();
  await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
  const start = performance.now();
  control.value = text;
  control.dispatchEvent(new InputEvent("input", { bubbles: true }));
  while (!magic.value.includes(wanted)) {
    if (performance.now() - start > 10000) throw new Error("no echo");
    await new Promise(requestAnimationFrame);
  }
  return (performance.now() - start) / 1000;
}
"""


def in_the_kernel() -> dict[str, list[tuple[float, int]]]:
    """Seconds and messages to the browser, by what was done."""
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(ROOT))
    said: list[str] = []

    def hear(message: dict[str, Any]) -> None:
        content = message["content"]
        if message["msg_type"] == "stream":
            said.append(content["text"])
        elif message["msg_type"] == "error":
            raise RuntimeError("\n".join(content["traceback"]))

    try:
        client.execute_interactive(IN_THE_KERNEL, timeout=300, output_hook=hear)
        return dict(json.loads("".join(said)))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def on_the_screen() -> dict[str, list[float]]:
    """Seconds from a key in a control of JupyterLab to the changed magic on the screen."""
    from browser import CHROMIUM, Lab, running_chromium, running_jupyterlab

    if CHROMIUM is None:
        return {}
    times: dict[str, list[float]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        running_jupyterlab(Path(folder)) as url,
        running_chromium() as browser,
    ):
        lab = Lab(url, Path(folder), browser)
        usual = "dict(large, selectors=['idDevice'], idCountry=[188], SDKKey=None, idApp=[1])"
        for size, values in (("usual", usual), ("large", "large")):
            cells = [LARGE, f"mt.RequestBuilder(**{values}, idAd=5)"]
            with lab.notebook(f"echo-{size}", cells) as notebook:
                notebook.run(0)
                notebook.run(1)
                notebook.page.locator(".mtf").wait_for()
                times[size] = [
                    notebook.page.evaluate(ECHO, ["idAd", str(number)])
                    for number in range(1001, 1031)
                ]
    return times


def main() -> None:
    """Print the figures."""
    for name, runs in in_the_kernel().items():
        times = [seconds for seconds, _ in runs]
        share = "" if name.startswith("opening") else f" ({median(times) / AIM:.0%} of the aim)"
        print(
            f"kernel  {name:16} median {median(times) * 1000:6.1f} ms, "
            f"worst {max(times) * 1000:6.1f} ms{share}, "
            f"{max(messages for _, messages in runs)} messages"
        )
    for name, times in on_the_screen().items():
        print(
            f"screen  typing, {name:8} median {median(times) * 1000:6.1f} ms, "
            f"worst {max(times) * 1000:6.1f} ms ({median(times) / AIM_ON_SCREEN:4.0%} of the aim)"
        )


if __name__ == "__main__":
    main()
