"""`ParquetSource`: the rows of a recording, which `RawData` reads instead of a gzip CSV file."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mytracker_nb.errors import FileError
from mytracker_nb.tables.arrow_memory import CHUNK
from mytracker_nb.tables.dataset import with_coded_lists

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ParquetSource"]


@dataclass(frozen=True)
class ParquetSource:
    """A Parquet file whose columns have the types of `mytracker_nb.tables.schema`.

    Attributes
    ----------
    path : Path
        The path.
    as_text : tuple of str
        The columns that are text in the file although the dictionary has another type for them.
    """

    path: Path
    as_text: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    def check(self, sha256: str) -> None:
        """Verify the file by its digest.

        Raises
        ------
        FileError
            If the file is missing or was changed.
        """
        digest = hashlib.sha256()
        try:
            with open(self.path, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise FileError(
                f"{self.path}: cannot be read ({error.strerror or error}). Restore the file, or "
                "record the export again",
                file=self.path,
            ) from error
        if digest.hexdigest() != sha256:
            raise FileError(
                f"{self.path}: changed since it was recorded. Restore the file, or record the "
                "export again",
                file=self.path,
            )

    def columns(self) -> tuple[str, ...]:
        """The columns, in order."""
        import pyarrow.parquet as pq

        return tuple(pq.read_schema(self.path).names)

    def tables(self, schema: pa.Schema) -> Generator[pa.Table, None, None]:
        """The rows, `CHUNK` rows at a time.

        Parameters
        ----------
        schema : pyarrow.Schema
            The columns and their types; lists may be dictionary-encoded.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(CHUNK, columns=schema.names):
                table = pa.Table.from_batches([batch]).select(schema.names)
                if any(_is_coded_list(one.type) for one in schema):
                    table = with_coded_lists(table)
                columns = [
                    _converted(table.column(index), one.type) for index, one in enumerate(schema)
                ]
                yield pa.table(columns, schema=schema)

    def retry(self) -> bool:
        """Whether to read it again after damage: no, the file on disk does not change."""
        return False

    def ticket(self) -> dict[str, str]:
        """The facts from which another process opens the file (see `of_ticket`)."""
        return {"parquet": str(self.path.absolute()), "as_text": ",".join(self.as_text)}

    @classmethod
    def of_ticket(cls, ticket: dict[str, str]) -> ParquetSource:
        """Open the file of a ticket in another process."""
        return cls(Path(ticket["parquet"]), tuple(filter(None, ticket["as_text"].split(","))))


def _is_coded_list(arrow: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_dictionary(arrow) and pa.types.is_list(arrow.value_type))


def _converted(column: pa.ChunkedArray, arrow: pa.DataType) -> pa.ChunkedArray:
    import pyarrow as pa

    if column.type.equals(arrow) or _is_coded_list(arrow):
        return column
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_dictionary(arrow):
        return column.cast(arrow.value_type).dictionary_encode()
    return column.cast(arrow)
