"""Parquet files, written as rows come."""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mytracker_nb.errors import MyTrackerError
from mytracker_nb.tables.arrow_memory import rechunk

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["UNFINISHED", "ParquetFiles", "check_partition"]

UNFINISHED = ".partial"
"""What the name of a file ends with until it counts: no reader takes it for a Parquet file."""

# Large enough to compress and to skip well, small enough to hold a few at a time.
_ROW_GROUP = 64 << 10
# A partition gets its share of these rows as one row group.
_ROWS_TO_PART = 8 * _ROW_GROUP
# Files of one source; a system may allow as few as 256 in all.
_MOST_OPEN = 32
_PLAIN = re.compile(r"[a-z0-9][a-z0-9.+-]*", re.ASCII)
_MOST_CHARACTERS = 40  # of a value in the name of a directory


class ParquetFiles:
    """Parquet files that are being written to a directory.

    They have names that end with `UNFINISHED` until `finish`.

    Parameters
    ----------
    directory : Path
        Where to; it exists, and nothing else is in it.
    partition_by : str, optional
        A column; the rows of each of its values get a directory of their own.
    """

    def __init__(self, directory: Path, partition_by: str | None = None) -> None:
        self.directory = directory
        self._partition_by = partition_by
        self._lock = threading.Lock()

    def files(self) -> list[Path]:
        """The files, in the order of their names."""
        return sorted(self.directory.rglob(f"*{UNFINISHED}"))

    def collect(self) -> None:
        """Put the files of all sources side by side, as they shall be in the end.

        Raises
        ------
        OSError
            If one can't be moved.
        """
        for source in sorted(self.directory.glob(f"{_SOURCE}*")):
            for path in sorted(source.rglob(f"*{UNFINISHED}")):
                target = self.directory / path.relative_to(source)
                target.parent.mkdir(exist_ok=True)
                path.replace(target)
            shutil.rmtree(source)

    def finish(self) -> None:
        """Give all files their final names.

        Raises
        ------
        OSError
            If one can't be renamed.
        """
        self.collect()
        for path in self.files():
            path.replace(path.with_name(path.name.removesuffix(UNFINISHED)))

    def write(self, number: int, tables: Iterator[pa.Table]) -> None:
        """Write the rows of one source; what was written under this number before is replaced.

        Parameters
        ----------
        number : int
            Which source; sources may be written on different threads.
        tables : iterator of pyarrow.Table
            The rows, all with the same schema.
        """
        home = self.directory / f"{_SOURCE}{number:05d}"
        shutil.rmtree(home, ignore_errors=True)
        size = _ROWS_TO_PART if self._partition_by else _ROW_GROUP
        with closing(_Writers(home, f"part-{number:05d}", self._partition_by)) as writers:
            for table in rechunk(tables, size):
                for folder, part in self._parts(table):
                    writers.at(folder, part.schema).write_table(part, row_group_size=_ROW_GROUP)

    def _parts(self, table: pa.Table) -> Iterator[tuple[Path, pa.Table]]:
        """The table, or its partitions, with the directory of each."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not self._partition_by or not len(table):
            yield Path(), table
            return
        column = table.column(self._partition_by).combine_chunks()
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        codes = column.dictionary_encode()
        # by code: 0.0 and -0.0 are two values that compare as equal, and nan equals nothing
        for code, value in enumerate(codes.dictionary.to_pylist()):
            mask = pc.equal(codes.indices, code).fill_null(False)
            yield Path(partition_name(self._partition_by, value)), table.filter(mask)
        if column.null_count:
            rows = table.filter(pc.is_null(column))
            yield Path(partition_name(self._partition_by, None)), rows


_SOURCE = "source-"


def partition_name(column: str, value: Any) -> str:
    """The name of the directory of a value: ``dtEvent_2026-11-01``.

    It is there for whoever looks at the directory. No reader takes a value from it: the column is
    in the files too, since a reader that guesses types from names of directories
    (``SDKKey=00042``) changes what it reads. Values that are long, or differ in what some file
    system does not tell apart, get a digest.
    """
    if not re.fullmatch(r"[\w.]{1,40}", column, re.ASCII):
        column = "value"
    if value is None:
        return f"{column}_~none"
    text = str(value)
    if _PLAIN.fullmatch(text) and len(text) <= _MOST_CHARACTERS and not text.endswith("."):
        return f"{column}_{text}"
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    readable = re.sub(r"[^\w.+-]+", "-", text[:_MOST_CHARACTERS]).strip("-.")
    # 40 letters of any alphabet stay below the 255 bytes that file systems allow
    return f"{column}_{readable.encode()[:120].decode(errors='ignore')}~{digest}"


class _Writers:
    """The files of one source, one a directory; only a few are open at once.

    Where one was closed that turns out to go on, its directory gets a further file.
    """

    def __init__(self, home: Path, name: str, partition_by: str | None) -> None:
        self._home = home
        self._name = name
        self._partition_by = partition_by
        self._open: OrderedDict[Path, Any] = OrderedDict()
        self._made: Counter[Path] = Counter()

    def at(self, folder: Path, schema: pa.Schema) -> Any:
        """The writer of the file of this directory."""
        if folder not in self._open:
            if len(self._open) >= _MOST_OPEN:
                self._open.popitem(last=False)[1].close()
            (self._home / folder).mkdir(parents=True, exist_ok=True)
            # names in the order of the rows
            further = f"_{self._made[folder]:04d}" if folder in self._made else ""
            path = self._home / folder / f"{self._name}{further}.parquet{UNFINISHED}"
            self._open[folder] = _writer(path, schema, self._partition_by)
            self._made[folder] += 1
        self._open.move_to_end(folder)
        return self._open[folder]

    def close(self) -> None:
        """Complete all files."""
        while self._open:
            self._open.popitem()[1].close()


def check_partition(partition_by: str | None, schema: pa.Schema) -> None:
    """Check that rows can be partitioned by a column.

    Raises
    ------
    MyTrackerError
        If there is no such column, or it holds lists or maps.
    """
    import pyarrow as pa

    plain = [field.name for field in schema if not pa.types.is_nested(field.type)]
    if partition_by is not None and partition_by not in plain:
        raise MyTrackerError(
            f"can't partition by {partition_by!r}; choose one of {', '.join(plain)}"
        )


def _writer(path: Path, schema: pa.Schema, partition_by: str | None = None) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    times = {field.name for field in schema if pa.types.is_timestamp(field.type)}
    numbers = {field.name for field in schema if pa.types.is_primitive(field.type)}
    # with the partition's only value in them, readers skip the files of others
    numbers |= {partition_by} if partition_by else set()
    return parquet.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=1,
        # Few times are equal; the least and the greatest text of rows in no order tell nothing.
        use_dictionary=[leaf for leaf in _leaves(schema) if leaf not in times],
        write_statistics=[leaf for leaf in _leaves(schema) if leaf in numbers],
    )


def _leaves(schema: pa.Schema) -> list[str]:
    """What Parquet calls the columns, lists and maps by what is in them."""
    import pyarrow as pa

    names: list[str] = []
    for field in schema:
        if pa.types.is_map(field.type):
            names += [f"{field.name}.key_value.key", f"{field.name}.key_value.value"]
        elif pa.types.is_list(field.type):
            names.append(f"{field.name}.list.element")
        else:
            names.append(field.name)
    return names
