"""The recordings of a run, wherever they come from: a folder, a dataset, or a manifest that is downloaded."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recipe.arguments import SourceArguments
from recipe.backend.client import BackendClient
from recipe.data.columns import ColumnNames
from recipe.data.download import DownloadProgress, FileRequest, download_files, local_name
from recipe.data.hub_dataset import SoundStore, read_dataset
from recipe.data.manifest import (
    LocalFile,
    Recording,
    list_folder,
    locate_files,
    pair_recordings,
    read_manifest,
)
from recipe.data.rows import Table, name_apart, pack_rows
from recipe.data.tables import read_tables
from recipe.errors import DataError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Downloads:
    """How files are had from the backend, and what the user is told of what was found.

    Attributes:
        client: The backend; None for a run on a folder.
        folder: Receives the files.
        max_bytes_per_file: Largest file that is accepted.
        on_progress: Told about once a second how far it is.
        on_warning: Told each sentence for the user.
    """

    client: BackendClient | None
    folder: Path
    max_bytes_per_file: int
    on_progress: Callable[[DownloadProgress], None] = lambda _: None
    on_warning: Callable[[str], object] = logger.warning


def fetch_recordings(source: SourceArguments, language: str | None, downloads: Downloads) -> list[Recording]:
    """The recordings, their files on disk or named as missing.

    Args:
        source: The folder, the dataset, or the manifest and the owner of its files.
        language: Code of the language that captions are wanted in; chooses among several of one audio.
        downloads: How files are had from the backend.

    Raises:
        DataError: as `read_folder`, `read_dataset` and `pair_recordings` do, or because the disk is full.
        AuthenticationError: the backend refuses the credentials.
    """
    asked = ColumnNames(source.audio_column, source.text_column, source.speaker_column)
    if source.data_dir:
        return read_folder(Path(source.data_dir), language, asked, downloads.on_warning)
    if source.dataset_name:
        store = SoundStore(downloads.folder, source.dataset_name, downloads.max_bytes_per_file)
        return _pack(read_dataset(source, asked, store), downloads.on_warning)
    assert source.manifest_file
    assert downloads.client
    entries = read_manifest(Path(source.manifest_file))
    requests = [
        FileRequest(entry.filename, entry.file_type, downloads.folder / local_name(entry.filename))
        for entry in entries
    ]
    files = download_files(
        downloads.client,
        source.user_id,
        requests,
        max_bytes_per_file=downloads.max_bytes_per_file,
        on_progress=downloads.on_progress,
    )
    local = {file.filename: LocalFile(file.path, file.error or "") for file in files}
    return pair_recordings(entries, local, language)


def _pair_if_any(folder: Path, language: str | None) -> list[Recording]:
    """The recordings of audio files and captions; none where no audio file lies in the folder itself."""
    try:
        entries = list_folder(folder)
    except DataError:
        return []
    return pair_recordings(entries, locate_files(folder, entries), language)


def _pack(tables: list[Table], on_warning: Callable[[str], object]) -> list[Recording]:
    """The recordings that rows become; the user is told of the rows that cannot be used.

    Raises:
        DataError: if no row can be used.
    """
    recordings = pack_rows(tables)
    warnings = [warning for table in tables if (warning := table.describe())]
    if not recordings:
        raise DataError(" ".join(warnings) or "The tables have no rows; expected a sentence a row.")
    for warning in warnings:
        on_warning(warning)
    return recordings


def read_folder(
    folder: Path,
    language: str | None,
    asked: ColumnNames = ColumnNames(),  # noqa: B008 - frozen, so one default for all is safe
    on_warning: Callable[[str], object] = logger.warning,
) -> list[Recording]:
    """The recordings of a folder: the rows of its tables, and audio files with captions beside them.

    Where there are tables, audio files that neither a row nor captions speak of are left alone.

    Args:
        folder: Of audio files, captions, tables.
        language: Code of the language that captions are wanted in.
        asked: The columns of tables that the user named.
        on_warning: Told each sentence for the user.

    Raises:
        DataError: if there is nothing in it to train on, or as `pair_recordings` does.
    """
    found = read_tables(folder, asked)
    if not found.tables and not found.problems:
        entries = list_folder(folder)
        return pair_recordings(entries, locate_files(folder, entries), language)
    in_rows = {row.audio.path for table in found.tables for row in table.rows}
    captioned = [item for item in _pair_if_any(folder, language) if item.transcript.path]
    others = [item for item in captioned if item.audio.path not in in_rows]
    if not others and not in_rows:
        problems = [*found.problems, *(table.describe() for table in found.tables)]
        raise DataError(" ".join(filter(None, problems)))
    for problem in [*found.problems, *found.notes]:
        on_warning(problem)
    return name_apart([*others, *(_pack(found.tables, on_warning) if found.tables else [])])
