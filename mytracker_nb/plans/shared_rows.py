"""Rows that two slices of a dataset share: the service bounds exports in another way than assumed.

No two slices overlap in both event time and availability. So of a row that is in two of them, one
copy is outside of its slice. One outside in availability is reported when it comes
(`mytracker_nb.plans.manifest`); one outside in event time is looked for here, in the other slices.
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
    """What to report of rows that are in two slices.

    It needs ``tsEvent`` and ``tsInsert`` among the columns, without which two rows can be alike.

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
    # all files of a dataset have the same columns, and few datasets have both of these: the others
    # need not be looked at, of which a partitioned dataset has thousands
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
        "bounds event time in another way than mytracker-nb assumes: these rows are doubled in the "
        "dataset. Please report it"
        for one, two in sorted(pairs)
    ]


def _name(part: Part) -> str:
    number = part.id_raw_export
    return f"several exports ({part.piece.label})" if number is None else f"export {number}"


def _count(file: Path, other: Path, start: datetime, end: datetime) -> int:
    """How many rows of `file` that are not from `start` to `end` are in another file too."""
    import pyarrow.compute as pc
    from pyarrow import dataset

    when = pc.field("tsEvent")
    strays = dataset.dataset(str(file)).to_table(filter=(when < start) | (when >= end))
    first, last = pc.min_max(strays["tsEvent"]).values()
    near = dataset.dataset(str(other)).to_table(filter=(when >= first) & (when <= last))
    return (_rows(strays) & _rows(near)).total()


def _rows(table: Any) -> Counter[str]:
    return Counter(map(str, table.to_pylist()))
