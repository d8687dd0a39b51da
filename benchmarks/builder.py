"""How much work the form is for a notebook's kernel: opening it, and changing the event.

Run with ``python benchmarks/builder.py``. The times are those of the kernel's processor, so that
other work on the machine does not count, with every message to the browser sent; the aims are
500 ms and 100 ms.
"""

from __future__ import annotations

import json
from pathlib import Path

from jupyter_client.manager import start_new_kernel

IN_THE_KERNEL = """
import json, sys, time
from statistics import median
import pandas, ipywidgets
import mytracker_nb as mt

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

first, _ = timed(mt.RequestBuilder)
opening = [timed(mt.RequestBuilder) for _ in range(5)]
countries = list(mt.dictionary("country"))[:100]
form = mt.RequestBuilder(
    event="installs", selectors=list(mt.dictionary("selector"))[:60],
    dateFrom="today-7d", dateTo="yesterday", idCountry=countries,
    SDKKey=[f"{n:020}" for n in range(1000)], idApp=list(range(1000)),
)
field = form.field("event")
changing = [
    timed(lambda: setattr(field, "value", event)) for event in list(mt.dictionary("event")) * 2
]
text = next(w for w in form.field("idAd").children if type(w).__name__ == "Textarea")
typing = [timed(lambda: setattr(text, "value", str(n))) for n in range(1, 31)]
figures = {"first": (first, 0)}
for name, runs in (("opening", opening), ("changing", changing), ("typing", typing)):
    figures[name] = median(run[0] for run in runs), max(run[1] for run in runs)
    figures[name + " (worst)"] = max(run[0] for run in runs), max(run[1] for run in runs)
print(json.dumps(figures))
"""

AIMS = {"first": 0.5, "opening": 0.5, "changing": 0.1, "typing": 0.1}


def measure() -> dict[str, tuple[float, int]]:
    """Seconds and messages to the browser, by what was done."""
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(Path(__file__).parents[1]))
    said: list[str] = []
    try:
        client.execute_interactive(
            IN_THE_KERNEL,
            timeout=120,
            output_hook=lambda message: said.append(message["content"].get("text", "")),
        )
        return dict(json.loads("".join(said)))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def main() -> None:
    """Print the figures."""
    for name, (seconds, messages) in measure().items():
        share = seconds / AIMS[name.partition(" ")[0]]
        print(f"{name:18} {seconds * 1000:7.1f} ms  {share:5.0%} of the aim  {messages} messages")


if __name__ == "__main__":
    main()
