"""The parameters of events: the parallel columns params.name and params.value, converted."""

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
"""How to convert params.name and params.value (see `with_params`)."""


class EventParams(dict[str, "str | None"]):
    """The parameters of one event, by name: an immutable, hashable dict.

    Rows with the same parameters share one object, which saves memory; a change would affect all of
    them. ``dict(params)`` is a mutable copy.
    """

    def _is_fixed(self, *arguments: object, **values: object) -> NoReturn:
        raise TypeError(
            "the parameters of an event can't be changed, since other rows share them. "
            "Change a copy: dict(params)"
        )

    __setitem__ = __delitem__ = __ior__ = _is_fixed
    clear = pop = popitem = setdefault = update = _is_fixed

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        # by default pickle creates an empty dict and fills it, which this class refuses
        return type(self), (dict(self),)


def check_params(params: ParamsOption, columns: Sequence[str]) -> None:
    """Validate the arguments of `with_params`.

    Raises
    ------
    MyTrackerError
        If `params` is neither ``"map"`` nor a list of names, if `columns` lack params.name or
        params.value, or if a new column has the name of an existing one.
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
            f"params={params!r} would create a second column {taken[0]!r}, which is a selector of "
            "this export. Remove it from the selectors or from params"
        )


def is_replaced(selector: str, params: ParamsOption) -> bool:
    """Whether `with_params` drops this column."""
    return params is not None and selector in (_NAME, _VALUE)


def _new_names(params: str | Sequence[str]) -> list[str]:
    if isinstance(params, str):
        return [_MAP]
    return [f"params.{name}" for name in dict.fromkeys(params)]


def with_params(table: pa.Table, params: ParamsOption) -> pa.Table:
    """Convert params.name and params.value to one column of maps, or a column for each name.

    Parameters
    ----------
    table : pyarrow.Table
        A table with both columns. If one was loaded as text since a cell is not an array, that cell
        is treated as missing.
    params : {"map"} or sequence of str or None
        None: no conversion. ``"map"``: one column ``params`` that maps names to values, missing if
        an event has no names. A list of names: a text column ``params.<name>`` for each, missing if
        an event has no such parameter. If an event has a parameter twice, the first value is used.
        The new columns replace the two, at the position of the first.

    Returns
    -------
    pyarrow.Table
        The table. If a row has fewer values than names, the other names have no value (missing);
        surplus values are dropped.

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
    position = min(columns.index(_NAME), columns.index(_VALUE))
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
        rest = rest.add_column(position + offset, name, column)
    return rest


def _as_lists(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column as lists; text that is not an array becomes missing."""
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
    """Which rows of a batch have no names, so that their parameters are missing."""
    missing: np.ndarray[Any, Any] = batch.column(0).is_null().to_numpy(zero_copy_only=False)
    return missing


def _pairs(batch: pa.RecordBatch) -> tuple[Any, pa.Array, pa.Array]:
    """Flatten the lists of a batch to pairs of name and value.

    Returns the offsets of each row's pairs, the names of all rows as one array, and their values.
    The rows ``[level, item] [5, sword]``, ``[] []`` and ``[level, gold] [7]`` give the offsets
    0, 2, 2, 4, the names ``level item level gold`` and the values ``5 sword 7 null``: if a row has
    more or fewer values than names, the n-th name of the row gets its n-th value.
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
        # for each name: its row, its rank in the row, and where the value of that rank is
        row = np.repeat(np.arange(len(names)), counts[0])
        rank = np.arange(len(row)) - starts[row]
        positions = np.concatenate([[0], np.cumsum(counts[1])])[row] + rank
        flat_values = flat_values.take(pa.array(positions, mask=rank >= counts[1][row]))
    return starts, flat_names, flat_values


def _map(pairs: tuple[Any, pa.Array, pa.Array], missing: np.ndarray[Any, Any]) -> pa.Array:
    """One map a row. Each name is in it once: some readers reject a map with a repeated key."""
    import numpy as np
    import pyarrow as pa

    starts, names, values = pairs
    row = np.repeat(np.arange(len(missing)), np.diff(starts))
    # a key for each combination of row and name; `unique` finds the first position of each
    codes = names.dictionary_encode()
    keys = row * (len(codes.dictionary) + 1) + codes.indices.fill_null(-1).to_numpy()
    _, first = np.unique(keys, return_index=True)
    first = np.sort(first)
    first = first[names.is_valid().to_numpy(zero_copy_only=False)[first]]
    if len(first) < len(names):
        starts = np.searchsorted(first, starts)
        names, values = names.take(pa.array(first)), values.take(pa.array(first))
    offsets = pa.array(starts.astype(np.int32), mask=np.append(missing, False))
    return pa.MapArray.from_arrays(offsets, names, values)


def _column(pairs: tuple[Any, pa.Array, pa.Array], name: str) -> pa.Array:
    """The value of the parameter `name` of each row, missing if the row has none."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    starts, names, values = pairs
    hits = np.flatnonzero(pc.fill_null(pc.equal(names, name), False).to_numpy(zero_copy_only=False))
    # the first hit at or after each row's start; at or after its end it belongs to a later row
    first = np.searchsorted(hits, starts[:-1])
    position = np.append(hits, len(names))[first]
    return values.take(pa.array(position, mask=position >= starts[1:]))
