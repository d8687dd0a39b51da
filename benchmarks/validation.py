"""How long it takes to judge a request with eight filters of 1000 values each.

Run with ``python benchmarks/validation.py``. The times are the processor's, so that other work on
the machine does not count; milliseconds are the aim, and a new request is created each time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import mytracker_nb as mt
from mytracker_nb.request.parameters import MAX_VALUES, PARAMETERS, ValueType

FILTERS = [
    name for name, parameter in PARAMETERS.items() if parameter.is_filter and parameter.is_list
]
LISTS = {
    name: [
        f"{number:020}" if PARAMETERS[name].value_type is ValueType.SDK_KEY else number
        for number in range(MAX_VALUES)
    ]
    for name in FILTERS
    if name != "eventName"
}
INTERVAL = {"dateFrom": "2024-11-01", "dateTo": "2024-11-07"}
KINDS: dict[str, Callable[[list[object]], object]] = {
    "lists": list,
    "comma text": lambda values: ",".join(map(str, values)),
    "lists of text": lambda values: [str(value) for value in values],
    "each value wrong": lambda values: [f"x{value}" for value in values],
}


def main() -> None:
    assert len(LISTS) == 8
    for kind, form in KINDS.items():
        wish = {name: form(list(values)) for name, values in LISTS.items()}
        times = []
        for _ in range(20):
            start = time.process_time()
            request = mt.ExportRequest(event="installs", selectors="idDevice", **INTERVAL, **wish)
            problems = request.problems
            times.append(time.process_time() - start)
        print(
            f"8 filters of {MAX_VALUES}, {kind}: {1000 * median(times):.1f} ms "
            f"(first {1000 * times[0]:.1f} ms), {len(problems)} problems"
        )


if __name__ == "__main__":
    main()
