"""`ParquetFiles`: writes rows to Parquet files while they are parsed."""

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

__all__ = ["UNFINISHED", "ParquetFiles", "check_partition", "open_writer"]

UNFINISHED = ".partial"
"""The suffix of a file that is being written; Parquet readers do not open it."""

# Large enough to compress well and to be skipped, small enough to have a few in memory.
_ROW_GROUP = 64 << 10
# So many rows are partitioned at a time; each partition writes its share as one row group.
_ROWS_TO_PART = 8 * _ROW_GROUP
# Open files of one source; some systems allow 256 a process.
_MOST_OPEN = 32
_PLAIN = re.compile(r"[a-z0-9][a-z0-9.+-]*", re.ASCII)
_MOST_CHARACTERS = 40  # of a value in the name of a directory


class ParquetFiles:
    """Writes Parquet files to a directory; their names end with `UNFINISHED` until `finish`.

    Parameters
    ----------
    directory : Path
        An existing, empty directory.
    partition_by : str, optional
        A column; the rows of each of its values are written to a directory of their own.
    """

    def __init__(self, directory: Path, partition_by: str | None = None) -> None:
        self.directory = directory
        self._partition_by = partition_by
        self._lock = threading.Lock()

    def files(self) -> list[Path]:
        """The files, in the order of their names."""
        return sorted(self.directory.rglob(f"*{UNFINISHED}"))

    def collect(self) -> None:
        """Move the files of all sources, each written to its own directory, to the final layout.

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
        """Write the rows of one source; what was written for it before is replaced.

        Parameters
        ----------
        number : int
            The number of the source; different sources may be written on different threads.
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
        """The table, or its partitions, each with the path of its directory."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not self._partition_by or not len(table):
            yield Path(), table
            return
        column = table.column(self._partition_by).combine_chunks()
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        codes = column.dictionary_encode()
        # compare codes, not values: 0.0 equals -0.0, and nan does not equal itself
        for code, value in enumerate(codes.dictionary.to_pylist()):
            mask = pc.equal(codes.indices, code).fill_null(False)
            yield Path(partition_name(self._partition_by, value)), table.filter(mask)
        if column.null_count:
            rows = table.filter(pc.is_null(column))
            yield Path(partition_name(self._partition_by, None)), rows


_SOURCE = "source-"


def partition_name(column: str, value: Any) -> str:
    """The name of the directory of a partition: ``dtEvent_2026-11-01``.

    It is for people. Readers do not take the value from it, unlike from Hive's ``SDKKey=00042``, of
    which they guess a type and lose the zeros: the column is in the files. A digest is added to
    long values, and to values that some file systems can't distinguish (by letter case).
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
    """The files of one source, one for each directory; at most `_MOST_OPEN` are open.

    If further rows come for a file that was closed, its directory gets another file.
    """

    def __init__(self, home: Path, name: str, partition_by: str | None) -> None:
        self._home = home
        self._name = name
        self._partition_by = partition_by
        self._open: OrderedDict[Path, Any] = OrderedDict()
        self._made: Counter[Path] = Counter()

    def at(self, folder: Path, schema: pa.Schema) -> Any:
        """The writer of the file in this directory."""
        if folder not in self._open:
            if len(self._open) >= _MOST_OPEN:
                self._open.popitem(last=False)[1].close()
            (self._home / folder).mkdir(parents=True, exist_ok=True)
            # sorted by name, the files are in the order of the rows
            further = f"_{self._made[folder]:04d}" if folder in self._made else ""
            path = self._home / folder / f"{self._name}{further}.parquet{UNFINISHED}"
            self._open[folder] = open_writer(path, schema, self._partition_by)
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
        If the column does not exist, or has lists or maps.
    """
    import pyarrow as pa

    plain = [field.name for field in schema if not pa.types.is_nested(field.type)]
    if partition_by is not None and partition_by not in plain:
        raise MyTrackerError(
            f"can't partition by {partition_by!r}; choose one of {', '.join(plain)}"
        )


def open_writer(path: Path, schema: pa.Schema, partition_by: str | None = None) -> Any:
    """A ``pyarrow.parquet.ParquetWriter``, as all files are written.

    Parameters
    ----------
    path : Path
        The file.
    schema : pyarrow.Schema
        Its columns.
    partition_by : str, optional
        The column that has the same value in all rows of the file.
    """
    import pyarrow as pa
    from pyarrow import parquet

    times = {field.name for field in schema if pa.types.is_timestamp(field.type)}
    numbers = {field.name for field in schema if pa.types.is_primitive(field.type)}
    # statistics let readers skip the files of other partitions
    numbers |= {partition_by} if partition_by else set()
    return parquet.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=1,
        # times seldom repeat, so a dictionary saves nothing; the least and greatest text of
        # unordered rows let no reader skip anything
        use_dictionary=[leaf for leaf in _leaves(schema) if leaf not in times],
        write_statistics=[leaf for leaf in _leaves(schema) if leaf in numbers],
    )


def _leaves(schema: pa.Schema) -> list[str]:
    """The names of the columns in Parquet, where lists and maps have names for their contents."""
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
