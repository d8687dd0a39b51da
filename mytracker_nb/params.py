"""The parallel columns params.name and params.value in the form that an analysis needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mytracker_nb.errors import MyTrackerError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["with_params"]

_NAME, _VALUE = "params.name", "params.value"


def with_params(table: pa.Table, params: str | Sequence[str] | None) -> pa.Table:
    """A table with params.name and params.value in another form.

    Parameters
    ----------
    table : pyarrow.Table
        With both columns as lists.
    params : {"map"} or sequence of str or None
        None: both as they are. ``"map"``: one column ``params`` that maps names to values. Names:
        a text column ``params.<name>`` for each, missing where an event has no such parameter; the
        first one where an event has it twice. The new columns stand where the first of the two
        stood.

    Returns
    -------
    pyarrow.Table
        The table; a row's names and values that are not equally many are paired as far as both go,
        a name without a value is missing.

    Raises
    ------
    MyTrackerError
        If the table has not both columns as lists.
    """
    import pyarrow as pa

    if params is None:
        return table
    columns = table.column_names
    lists = [
        name
        for name in (_NAME, _VALUE)
        if name in columns and pa.types.is_list(table.schema.field(name).type)
    ]
    if len(lists) < 2:
        raise MyTrackerError(
            f"params={params!r} needs the columns {_NAME} and {_VALUE} as arrays. "
            "Ask for both of them as selectors"
        )
    chunks = [_pairs(batch) for batch in table.select(lists).to_batches()]
    place = min(columns.index(_NAME), columns.index(_VALUE))
    rest = table.drop_columns(lists)
    if isinstance(params, str):
        if params != "map":
            raise MyTrackerError(f"params={params!r} is neither 'map' nor a list of names")
        new = {"params": pa.chunked_array(map(_map, chunks), pa.map_(pa.string(), pa.string()))}
    else:
        new = {
            f"params.{name}": pa.chunked_array(
                [_column(chunk, name) for chunk in chunks], pa.string()
            )
            for name in dict.fromkeys(params)
        }
    for offset, (name, column) in enumerate(new.items()):
        rest = rest.add_column(place + offset, name, column)
    return rest


def _pairs(batch: pa.RecordBatch) -> tuple[Any, pa.Array, pa.Array]:
    """For a batch: where each row's pairs start, the names, the values."""
    import numpy as np
    import pyarrow.compute as pc

    names, values = batch.columns
    counts = [
        pc.fill_null(pc.list_value_length(column), 0).to_numpy() for column in (names, values)
    ]
    starts = np.concatenate([[0], np.cumsum(counts[0])])
    flat_names, flat_values = names.flatten(), values.flatten()
    if (counts[0] != counts[1]).any():
        row = np.repeat(np.arange(len(names)), counts[0])
        rank = np.arange(len(row)) - starts[row]
        places = np.concatenate([[0], np.cumsum(counts[1])])[row] + rank
        import pyarrow as pa

        flat_values = flat_values.take(pa.array(places, mask=rank >= counts[1][row]))
    return starts, flat_names, flat_values


def _map(pairs: tuple[Any, pa.Array, pa.Array]) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    starts, names, values = pairs
    return pa.MapArray.from_arrays(pa.array(starts.astype(np.int32)), names, values)


def _column(pairs: tuple[Any, pa.Array, pa.Array], name: str) -> pa.Array:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    starts, names, values = pairs
    hits = np.flatnonzero(pc.fill_null(pc.equal(names, name), False).to_numpy(zero_copy_only=False))
    # the first hit at or after each row's start, if it is one of the row's own
    first = np.searchsorted(hits, starts[:-1])
    place = np.append(hits, len(names))[first]
    return values.take(pa.array(place, mask=place >= starts[1:]))
