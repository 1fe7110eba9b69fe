"""A compacted dataset elsewhere: the files that describe it are brought here, its sounds stay there."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from recipe.data.compaction import (
    DESCRIPTION,
    RECORDINGS,
    ROWS,
    Description,
    check_files,
    read_description,
)
from recipe.data.remote_files import NUM_THREADS, RemoteFiles, check_address
from recipe.errors import DataError
from recipe.run.files import hash_once

FIRST_SECONDS = 30.0
"""Patience when a dataset is opened: a wrong address or key should be told soon."""


def check_description(address: str) -> None:
    """Refuse an address at which there is no compacted dataset; of its files only the description is read.

    Raises:
        DataError: there is none, it cannot be had, or this code cannot read it.
    """
    with tempfile.TemporaryDirectory() as folder:
        _fetch_description(RemoteFiles(FIRST_SECONDS), check_address(address), Path(folder))


def fetch_dataset(address: str, folder: Path) -> None:
    """Bring `dataset.json`, `index.arrow` and `recordings.parquet` to a folder, unless they are there.

    Args:
        address: Of the dataset.
        folder: Receives them.

    Raises:
        DataError: they cannot be had, or a file of the dataset is missing or has another size.
    """
    address = check_address(address)
    folder.mkdir(parents=True, exist_ok=True)
    files = RemoteFiles(FIRST_SECONDS)
    description = _fetch_description(files, address, folder)
    try:
        check_files(description, _measure(files, address, description), address)
        for name in (ROWS, RECORDINGS):
            path = folder / name
            if not (path.is_file() and hash_once(path) == description.files[name].sha256):
                files.fetch(f"{address}/{name}", path)
    except OSError as error:
        raise _explain(error) from error


def _fetch_description(files: RemoteFiles, address: str, folder: Path) -> Description:
    try:
        files.fetch(f"{address}/{DESCRIPTION}", folder / DESCRIPTION)
    except OSError as error:
        raise _explain(error) from error
    return read_description(folder)


def _measure(files: RemoteFiles, address: str, description: Description) -> dict[str, int | None]:
    """Bytes of each file of a dataset."""
    names = list(description.files)
    with ThreadPoolExecutor(NUM_THREADS) as threads:
        sizes = threads.map(files.measure, [f"{address}/{name}" for name in names])
        return dict(zip(names, sizes, strict=True))


def _explain(error: OSError) -> DataError:
    return DataError(f"prepared_dir cannot be read: {str(error).rstrip('.')}.")
