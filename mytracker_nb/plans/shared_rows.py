"""Finds rows that are in two slices of a dataset: the service bounds exports in an unexpected way.

No two slices overlap in both event time and availability, so if a row is in two of them, it is
outside of the bounds of one. A row outside of the bounds of availability is reported when its slice
is added (`mytracker_nb.plans.manifest`). This module searches the other slices for rows that are
outside of the bounds of event time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from mytracker_nb.plans.manifest import Part, times_in

__all__ = ["shared_rows"]


def shared_rows(directory: Path, parts: Sequence[Part]) -> list[str]:
    """Report rows that are in two slices.

    The dataset must have the columns ``tsEvent`` and ``tsInsert``: without these, different rows
    can be equal, and nothing is reported.

    Parameters
    ----------
    directory : Path
        The directory of the dataset.
    parts : sequence of Part
        The files of all slices.

    Returns
    -------
    list of str
        A text for each pair of exports.
    """
    from pyarrow import parquet

    outside = Counter[tuple[str, str]]()
    files = [(part, directory / part.file) for part in parts if part.file is not None]
    # all files of a dataset have the same columns, so read the first one only: a partitioned
    # dataset has thousands of files, and most datasets lack one of these columns
    if not files or not {"tsEvent", "tsInsert"} <= {*parquet.read_schema(files[0][1]).names}:
        return []
    for part, file in files:
        facts = parquet.read_metadata(file)
        seen = times_in(facts, "tsEvent")
        if not seen or not times_in(facts, "tsInsert"):
            continue
        start, end = part.piece.moments
        if min(low for low, _ in seen) >= start and max(high for _, high in seen) < end:
            continue
        for other, other_file in files:
            if other.piece != part.piece:
                count = _count(file, other_file, start, end)
                outside[_name(part), _name(other)] += count
    # a row can be outside of both
    pairs = {(min(pair), max(pair)) for pair, count in outside.items() if count}
    return [
        f"{one} and {two} share rows ({max(outside[one, two], outside[two, one])}). The service "
        "bounds event time in another way than mytracker-nb assumes: these rows are in the dataset "
        "twice. Please report it"
        for one, two in sorted(pairs)
    ]


def _name(part: Part) -> str:
    number = part.id_raw_export
    return f"several exports ({part.piece.label})" if number is None else f"export {number}"


def _count(file: Path, other: Path, start: datetime, end: datetime) -> int:
    """Count the rows of `file` outside of `start` to `end` that `other` has too."""
    import pyarrow.compute as pc
    from pyarrow import dataset

    when = pc.field("tsEvent")
    strays = dataset.dataset(str(file)).to_table(filter=(when < start) | (when >= end))
    first, last = pc.min_max(strays["tsEvent"]).values()
    near = dataset.dataset(str(other)).to_table(filter=(when >= first) & (when <= last))
    return (_rows(strays) & _rows(near)).total()


def _rows(table: Any) -> Counter[str]:
    return Counter(map(str, table.to_pylist()))
