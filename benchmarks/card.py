"""What it costs to draw the card of an export whose filter has 1,000 values.

Run with ``python benchmarks/card.py``: the card and the same facts as pandas draws them (a frame of
two columns) take turns in one run; the times are the processor's. A living card is drawn at each
poll, so that it should cost no more than a frame that a cell shows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import pandas as pd

import mytracker_nb as mt
from mytracker_nb.display.export_card import Card

ROUNDS = 50


def seconds(draw: Callable[[], object]) -> float:
    began = time.process_time()
    draw()
    return time.process_time() - began


def main() -> None:
    request = mt.ExportRequest(
        event="installs",
        selectors="idDevice,tsEvent",
        dateFrom="2024-11-01",
        dateTo="2024-11-07",
        idApp=list(range(1000)),
    )
    card = Card(request, 4, "In progress", 0.5)
    facts = pd.DataFrame({"value": {name: str(value) for name, value in request.wire()}})

    def ours() -> None:
        card.html()
        card.text()

    def pandas() -> None:
        facts.to_html()
        facts.to_string()

    ours(), pandas()  # the first time also reads templates
    rounds = [(seconds(ours), seconds(pandas)) for _ in range(ROUNDS)]
    card_time, frame_time = (median(column) for column in zip(*rounds, strict=True))
    print(f"card:  {1000 * card_time:.2f} ms")
    print(f"frame: {1000 * frame_time:.2f} ms")
    print(f"ratio: {card_time / frame_time:.2f}")


if __name__ == "__main__":
    main()
