"""The parallel columns params.name and params.value in the form that an analysis needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from mytracker_nb.errors import MyTrackerError
from mytracker_nb.tables.clickhouse_arrays import parse_array

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

__all__ = ["EventParams", "ParamsOption", "check_params", "is_replaced", "with_params"]

_NAME, _VALUE = "params.name", "params.value"
_MAP = "params"
_ACCEPTED = 'params takes "map" (one column that maps names to values) or a list of names'

ParamsOption = Literal["map"] | Sequence[str] | None
"""What to make of params.name and params.value (see `with_params`)."""


class EventParams(dict[str, "str | None"]):
    """The parameters of one event, by name: a dict that can be hashed and not be changed.

    Rows with the same parameters share one, so that each costs a pointer only; a change would show
    in all of them. ``dict(params)`` is a copy that can be changed.
    """

    def _is_fixed(self, *arguments: object, **values: object) -> NoReturn:
        raise TypeError(
            "the parameters of an event cannot be changed, as other rows share them. "
            "Change a copy: dict(params)"
        )

    __setitem__ = __delitem__ = __ior__ = _is_fixed
    clear = pop = popitem = setdefault = update = _is_fixed

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        # by default pickle would fill an empty one
        return type(self), (dict(self),)


def check_params(params: ParamsOption, columns: Sequence[str]) -> None:
    """Whether `with_params` can do what is asked for.

    Raises
    ------
    MyTrackerError
        If `params` is neither ``"map"`` nor a list of names, if `columns` lack params.name or
        params.value, or if a new column would have the name of one that is there.
    """
    if params is None:
        return
    if isinstance(params, str):
        if params != "map":
            raise MyTrackerError(f"params={params!r}: {_ACCEPTED}, such as params=[{params!r}]")
    elif not isinstance(params, Sequence) or not all(isinstance(name, str) for name in params):
        raise MyTrackerError(f'params={params!r}: {_ACCEPTED}, such as params=["level"]')
    if not {_NAME, _VALUE} <= set(columns):
        raise MyTrackerError(
            f"params={params!r} needs the columns {_NAME} and {_VALUE}. "
            "Add both of them to the selectors"
        )
    taken = [name for name in _new_names(params) if name in columns]
    if taken:
        raise MyTrackerError(
            f"params={params!r} would make a second column {taken[0]!r}: it is a selector of this "
            "export. Leave it out of the selectors or out of params"
        )


def is_replaced(selector: str, params: ParamsOption) -> bool:
    """Whether `with_params` drops this column."""
    return params is not None and selector in (_NAME, _VALUE)


def _new_names(params: str | Sequence[str]) -> list[str]:
    if isinstance(params, str):
        return [_MAP]
    return [f"params.{name}" for name in dict.fromkeys(params)]


def with_params(table: pa.Table, params: ParamsOption) -> pa.Table:
    """A table with params.name and params.value in another form.

    Parameters
    ----------
    table : pyarrow.Table
        With both columns; in one that was loaded as text, as a cell is no array, that cell counts
        as missing.
    params : {"map"} or sequence of str or None
        None: both as they are. ``"map"``: one column ``params`` that maps names to values, missing
        where an event has no names. Names: a text column ``params.<name>`` for each, missing where
        an event has no such parameter. Of parameters that an event has twice the first counts. The
        new columns stand where the first of the two stood.

    Returns
    -------
    pyarrow.Table
        The table; a row's names and values that are not equally many are paired as far as both go,
        a name without a value is missing.

    Examples
    --------
    One row, with ``["map"]`` and then with ``["level"]``::

        params.name       params.value        params                        params.level
        [level, item]     [5, sword]          {level: 5, item: sword}       5
    """
    import pyarrow as pa

    if params is None:
        return table
    columns = table.column_names
    both = pa.table([_as_lists(table.column(name)) for name in (_NAME, _VALUE)], [_NAME, _VALUE])
    batches = both.to_batches()
    chunks = [_pairs(batch) for batch in batches]
    place = min(columns.index(_NAME), columns.index(_VALUE))
    rest = table.drop_columns([_NAME, _VALUE])
    if isinstance(params, str):
        maps = [_map(pairs, _missing(batch)) for pairs, batch in zip(chunks, batches, strict=True)]
        new = [pa.chunked_array(maps, pa.map_(pa.string(), pa.string()))]
    else:
        new = [
            pa.chunked_array([_column(chunk, name) for chunk in chunks], pa.string())
            for name in dict.fromkeys(params)
        ]
    for offset, (name, column) in enumerate(zip(_new_names(params), new, strict=True)):
        rest = rest.add_column(place + offset, name, column)
    return rest


def _as_lists(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of lists; of text that is no array nothing is known."""
    import pyarrow as pa

    lists = pa.list_(pa.string())
    if column.type == lists:
        return column
    chunks = []
    for chunk in column.chunks:
        coded = chunk.dictionary_encode()
        parsed = pa.array([parse_array(cell) for cell in coded.dictionary.to_pylist()], lists)
        chunks.append(parsed.take(coded.indices))
    return pa.chunked_array(chunks, lists)


def _missing(batch: pa.RecordBatch) -> np.ndarray[Any, Any]:
    """Which rows of a batch have no names: without them nothing is known of the parameters."""
    missing: np.ndarray[Any, Any] = batch.column(0).is_null().to_numpy(zero_copy_only=False)
    return missing


def _pairs(batch: pa.RecordBatch) -> tuple[Any, pa.Array, pa.Array]:
    """For a batch: where each row's pairs start, the names, the values.

    The names of all rows lie one after the other in one array, and so do the values. Of the rows
    ``[level, item] [5, sword]``, ``[] []`` and ``[level, gold] [7]`` the pairs start at 0, 2, 2
    and end at 4; the names are ``level item level gold`` and the values ``5 sword 7 null``: where
    a row has fewer values than names, or more, values are taken by the place that each
    name has in its row.
    """
    import numpy as np
    import pyarrow as pa
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
        flat_values = flat_values.take(pa.array(places, mask=rank >= counts[1][row]))
    return starts, flat_names, flat_values


def _map(pairs: tuple[Any, pa.Array, pa.Array], missing: np.ndarray[Any, Any]) -> pa.Array:
    """One map a row, each name once: two of the same are no map to some readers."""
    import numpy as np
    import pyarrow as pa

    starts, names, values = pairs
    row = np.repeat(np.arange(len(missing)), np.diff(starts))
    # One number for each pair of row and name: where it comes first, the pair counts.
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
