"""Compaction: merge the many small files of updates into few large ones."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mytracker_nb.errors import FileError
from mytracker_nb.plans.manifest import Manifest, Part, parts_in
from mytracker_nb.tables.dataset import ParquetDataset, unwritable
from mytracker_nb.tables.parquet_writer import ParquetFiles

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["compact"]


def compact(manifest: Manifest, partition_by: str | None) -> None:
    """Rewrite each window of a dataset that has files of several exports.

    The old files are removed once the manifest lists the new ones, so a reader that opened the
    dataset before has to open it again.

    Parameters
    ----------
    manifest : Manifest
        The manifest of the dataset.
    partition_by : str or None
        The column by which the dataset is partitioned.

    Raises
    ------
    FileError
        If a file can't be read or written.
    """
    for region, parts in manifest.regions():
        if len({part.piece for part in parts}) < 2:
            continue
        staging = manifest.staging_dir()
        try:
            files = ParquetFiles(staging, partition_by)
            files.write(0, _tables(manifest, parts))
            files.collect()
            new = parts_in(files, region, lambda text: None)
            before, after = (sum(part.rows for part in side) for side in (parts, new))
            if before != after:
                raise FileError(
                    f"{manifest.directory}: compacting gave {after} rows of {before}; the dataset "
                    "was not changed",
                    file=manifest.directory,
                )
            manifest.replace_files(parts, new, staging)
        except OSError as error:
            raise unwritable(manifest.directory, error) from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _tables(manifest: Manifest, parts: list[Part]) -> Iterator[pa.Table]:
    import pyarrow as pa

    files = [str(manifest.directory / part.file) for part in parts if part.file]
    dataset = ParquetDataset(manifest.directory, tuple(files), None, 0).to_pyarrow()
    for batch in dataset.scanner(batch_readahead=2, fragment_readahead=1).to_batches():
        yield pa.Table.from_batches([batch])
