"""The parallel columns params.name and params.value in the form that an analysis needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mytracker_nb.errors import MyTrackerError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

__all__ = ["check_params", "with_params"]

_NAME, _VALUE = "params.name", "params.value"


def check_params(params: str | Sequence[str] | None, columns: Sequence[str]) -> None:
    """Whether the rows have what `with_params` needs.

    Raises
    ------
    MyTrackerError
        If `columns` lack params.name or params.value, or `params` is a text but not ``"map"``.
    """
    if params is None:
        return
    if isinstance(params, str) and params != "map":
        raise MyTrackerError(f"params={params!r} is neither 'map' nor a list of names")
    if not {_NAME, _VALUE} <= set(columns):
        raise MyTrackerError(
            f"params={params!r} needs the columns {_NAME} and {_VALUE}. "
            "Ask for both of them as selectors"
        )


def with_params(table: pa.Table, params: str | Sequence[str] | None) -> pa.Table:
    """A table with params.name and params.value in another form.

    Parameters
    ----------
    table : pyarrow.Table
        With both columns; where one is no list, as a cell did not fit, they stay as they are.
    params : {"map"} or sequence of str or None
        None: both as they are. ``"map"``: one column ``params`` that maps names to values, missing
        where an event has neither. Names: a text column ``params.<name>`` for each, missing where
        an event has no such parameter. Of parameters that an event has twice the first counts. The
        new columns stand where the first of the two stood.

    Returns
    -------
    pyarrow.Table
        The table; a row's names and values that are not equally many are paired as far as both go,
        a name without a value is missing.

    """
    import pyarrow as pa

    both = [_NAME, _VALUE]
    if params is None or not all(pa.types.is_list(table.schema.field(name).type) for name in both):
        return table
    columns = table.column_names
    batches = table.select(both).to_batches()
    chunks = [_pairs(batch) for batch in batches]
    place = min(columns.index(_NAME), columns.index(_VALUE))
    rest = table.drop_columns(both)
    if isinstance(params, str):
        maps = [_map(pairs, _missing(batch)) for pairs, batch in zip(chunks, batches, strict=True)]
        new = {"params": pa.chunked_array(maps, pa.map_(pa.string(), pa.string()))}
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


def _missing(batch: pa.RecordBatch) -> np.ndarray[Any, Any]:
    """Which rows of a batch have neither names nor values."""
    import pyarrow.compute as pc

    missing: np.ndarray[Any, Any] = pc.and_(*map(pc.is_null, batch.columns)).to_numpy(
        zero_copy_only=False
    )
    return missing


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


def _map(pairs: tuple[Any, pa.Array, pa.Array], missing: np.ndarray[Any, Any]) -> pa.Array:
    """One map a row, each name once: two of the same are no map to some readers."""
    import numpy as np
    import pyarrow as pa

    starts, names, values = pairs
    row = np.repeat(np.arange(len(missing)), np.diff(starts))
    codes = names.dictionary_encode()
    keys = row * (len(codes.dictionary) + 1) + codes.indices.fill_null(-1).to_numpy()
    _, places = np.unique(keys, return_index=True)
    places = np.sort(places)
    places = places[names.is_valid().to_numpy(zero_copy_only=False)[places]]
    if len(places) < len(names):
        starts = np.searchsorted(places, starts)
        names, values = names.take(pa.array(places)), values.take(pa.array(places))
    offsets = pa.array(starts.astype(np.int32), mask=np.append(missing, False))
    return pa.MapArray.from_arrays(offsets, names, values)


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
