"""A Parquet dataset, written as rows come and complete or not there at all."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mytracker_nb.errors import FileError, MyTrackerError
from mytracker_nb.tables.arrow_memory import rechunk

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Dataset", "check_partition"]

# Large enough to compress and to skip well, small enough to hold a few at a time.
_ROW_GROUP = 64 << 10
# A partition gets its share of these rows as one row group.
_ROWS_TO_PART = 8 * _ROW_GROUP
# Files of one source; a system may allow as few as 256 in all.
_MOST_OPEN = 32
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


class Dataset:
    """A directory of Parquet files being written; a context manager.

    Files lie in a directory ``_partial-...`` inside until all are complete; if one cannot be, none
    stays.

    Parameters
    ----------
    directory : Path
        Where to; it is made, or has to be empty but for names that start with ``_`` or ``.``.
    partition_by : str, optional
        A column whose values become directories ``column=value``.

    Raises
    ------
    FileError
        If the directory is not empty or cannot be written to.
    """

    def __init__(self, directory: Path, partition_by: str | None = None) -> None:
        self.directory = directory
        self._partition_by = partition_by
        self._made: list[Path] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Dataset:
        try:
            missing = [self.directory, *self.directory.parents]
            self._made = [path for path in missing if not path.exists()]
            self.directory.mkdir(parents=True, exist_ok=True)
            data = [path.name for path in self.directory.iterdir() if path.name[0] not in "_."]
            if data:
                raise FileError(
                    f"{self.directory}: is not empty ({data[0]}). Name another directory",
                    file=self.directory,
                )
            self._partial = Path(tempfile.mkdtemp(prefix="_partial-", dir=self.directory))
        except OSError as error:
            raise self._unwritable(error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._publish()
                self._made = []
        finally:
            shutil.rmtree(self._partial, ignore_errors=True)
            # what was not there before goes again
            for path in self._made:
                with suppress(OSError):
                    path.rmdir()
        if isinstance(error, OSError):
            raise self._unwritable(error) from error

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written, not even a file without rows."""
        return not any(self._partial.rglob("*.parquet"))

    def write(self, number: int, tables: Iterator[pa.Table]) -> None:
        """Write the rows of one source; what was written under this number before is replaced.

        Parameters
        ----------
        number : int
            Which source; sources may be written on different threads.
        tables : iterator of pyarrow.Table
            The rows, all with the same schema.
        """
        home = self._partial / str(number)
        shutil.rmtree(home, ignore_errors=True)
        size = _ROWS_TO_PART if self._partition_by else _ROW_GROUP
        with closing(_Writers(home, f"part-{number:05d}")) as writers:
            for table in rechunk(tables, size):
                for folder, part in self._parts(table):
                    writers.at(folder, part.schema).write_table(part, row_group_size=_ROW_GROUP)

    def _parts(self, table: pa.Table) -> Iterator[tuple[Path, pa.Table]]:
        """The table, or its partitions, with the directory of each."""
        import pyarrow.compute as pc

        if not self._partition_by:
            yield Path(), table
            return
        column = table.column(self._partition_by)
        rest = table.drop_columns([self._partition_by])
        # no rows are in the partition of no value, so that there is a file with their types
        for value in pc.unique(column).to_pylist() or [None]:
            mask = pc.is_null(column) if value is None else pc.equal(column, value)
            text = _NO_VALUE if value is None else quote(str(value), safe=" ")
            yield Path(f"{self._partition_by}={text}"), rest.filter(mask)

    def _publish(self) -> None:
        """Move every file to its place."""
        moved: list[Path] = []
        try:
            for home in sorted(self._partial.iterdir()):
                for path in sorted(home.rglob("*.parquet")):
                    target = self.directory / path.relative_to(home)
                    target.parent.mkdir(exist_ok=True)
                    moved.append(target)
                    path.replace(target)
        except OSError as error:
            for path in moved:
                path.unlink(missing_ok=True)
                if path.parent != self.directory:
                    with suppress(OSError):
                        path.parent.rmdir()
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> FileError:
        return FileError(
            f"{self.directory}: cannot be written ({error.strerror or error}). "
            "Make room, or name another directory",
            file=self.directory,
        )


class _Writers:
    """The files of one source, one a directory; only a few are open at once.

    Where one was closed that turns out to go on, its directory gets a further file.
    """

    def __init__(self, home: Path, name: str) -> None:
        self._home = home
        self._name = name
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
            path = self._home / folder / f"{self._name}{further}.parquet"
            self._open[folder] = _writer(path, schema)
            self._made[folder] += 1
        self._open.move_to_end(folder)
        return self._open[folder]

    def close(self) -> None:
        """Complete all files."""
        while self._open:
            self._open.popitem()[1].close()


def check_partition(partition_by: str | None, schema: pa.Schema) -> None:
    """Whether rows can be parted by a column.

    Raises
    ------
    MyTrackerError
        If there is no such column, or it holds lists or maps.
    """
    import pyarrow as pa

    plain = [field.name for field in schema if not pa.types.is_nested(field.type)]
    if partition_by is not None and partition_by not in plain:
        raise MyTrackerError(
            f"partition_by={partition_by!r} is no column of the rows that can part them; these are "
            f"{', '.join(plain)}. Name one of them"
        )


def _writer(path: Path, schema: pa.Schema) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    times = {field.name for field in schema if pa.types.is_timestamp(field.type)}
    numbers = {field.name for field in schema if pa.types.is_primitive(field.type)}
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
