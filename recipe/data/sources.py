"""The recordings of a run, wherever they come from: a folder, a dataset, or a manifest that is downloaded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from recipe.arguments import SourceArguments
from recipe.backend.client import BackendClient
from recipe.data.caption_choice import Wanted
from recipe.data.columns import ColumnNames
from recipe.data.download import DownloadProgress, FileRequest, download_files, local_name
from recipe.data.manifest import Listing, LocalFile, Recording, list_folder, locate_files, read_manifest
from recipe.data.pairing import Pairing, pair_recordings
from recipe.data.rows import Table, name_apart, pack_rows
from recipe.data.tables import FolderTables, read_tables
from recipe.data.usable import check_usable
from recipe.errors import DataError
from recipe.run.warning import DataWarning, Importance

LOOK_ROWS = 200
"""Rows of a table that are read before a run, to see whether any can be used."""


@dataclass(frozen=True)
class Downloads:
    """How files are had from the backend.

    Attributes:
        client: The backend; None for a run on a folder.
        folder: Receives the files.
        max_bytes_per_file: Largest file that is accepted.
        on_progress: Told about once a second how far it is.
    """

    client: BackendClient | None
    folder: Path
    max_bytes_per_file: int
    on_progress: Callable[[DownloadProgress], None] = lambda _: None


def check_source(source: SourceArguments) -> None:
    """Refuse a folder in which there is nothing to train on in any language.

    Raises:
        DataError: naming what lies there.
    """
    if source.data_dir:
        look_into(Path(source.data_dir), ColumnNames.of(source))


@cache  # the first look and the attempt both ask
def look_into(folder: Path, asked: ColumnNames) -> None:
    """Refuse a folder in which there is nothing to use in any language; see `check_source`."""
    listing = list_folder(folder)
    found = read_tables(folder, listing, asked, max_rows=LOOK_ROWS)
    if any(table.rows or table.is_cut for table in found.tables):
        return
    pairing = _find_recordings(folder, listing, found, Wanted())
    if not any(recording.problem for recording in pairing.recordings):  # the language may decide it
        check_usable(pairing, folder)


def fetch_recordings(source: SourceArguments, wanted: Wanted, downloads: Downloads) -> Pairing:
    """The recordings, in order of their names, their files on disk or named as missing, and warnings.

    Args:
        source: The folder, the dataset, or the manifest and the owner of its files.
        wanted: Which captions are taken of several.
        downloads: How files are had from the backend.

    Raises:
        DataError: as `read_folder`, `read_dataset` and `check_usable` do.
        DiskError: if the disk is full.
        AuthenticationError: the backend refuses the credentials.
    """
    if source.data_dir:
        pairing = read_folder(Path(source.data_dir), wanted, ColumnNames.of(source))
        check_usable(pairing, Path(source.data_dir))
        return pairing
    if source.dataset_name:
        from recipe.data.hub_dataset import read_dataset  # noqa: PLC0415 - the first look must be quick

        return pack_tables(read_dataset(source, downloads.folder, downloads.max_bytes_per_file))
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
    return pair_recordings(entries, local, wanted)


def read_folder(
    folder: Path,
    wanted: Wanted = Wanted(),  # noqa: B008 - frozen
    asked: ColumnNames = ColumnNames(),  # noqa: B008 - frozen
) -> Pairing:
    """The recordings of a folder: the rows of its tables, and audio files with captions beside them.

    Where there are tables, audio files that neither a row nor captions speak of are left alone.

    Args:
        folder: Of audio files, captions, tables.
        wanted: Which captions are taken of several.
        asked: The columns of tables that the user named.

    Raises:
        DataError: as `list_folder` does, or if a table is all there is and no row of it can be used.
    """
    listing = list_folder(folder)
    return _find_recordings(folder, listing, read_tables(folder, listing, asked), wanted)


def list_recordings(folder: Path, language: str = "") -> list[Recording]:
    """The recordings of a folder that is all in one language, given as a code; "" leaves it unsettled.

    Raises:
        DataError: as `read_folder` does.
    """
    recordings = read_folder(folder, Wanted(language)).recordings
    return [replace(recording, language=language) for recording in recordings]


def _find_recordings(folder: Path, listing: Listing, found: FolderTables, wanted: Wanted) -> Pairing:
    """As `read_folder`, of what the folder holds and the tables in it."""
    files = locate_files(folder, listing.entries)
    in_rows = {row.audio.path for table in found.tables for row in table.rows}
    entries = [
        entry
        for entry in listing.entries
        if entry.filename not in found.names and files[entry.filename].path not in in_rows
    ]
    passed_over = [name for name in listing.ignored if name not in found.names]
    paired = pair_recordings(entries, files, wanted, passed_over)
    spoken_of = [
        recording for recording in paired.recordings if recording.transcript.path or recording.problem
    ]
    if found.names and not spoken_of and not in_rows:
        raise DataError(" ".join([*found.problems, *(table.describe() for table in found.tables)]))
    if not in_rows:
        return replace(paired, warnings=found.problems + paired.warnings)
    packed = pack_tables(found.tables)
    num_lonely = len(paired.recordings) - len(spoken_of)
    lonely = [
        DataWarning(
            f"{num_lonely} audio files are in no row and have no captions; they were left alone.",
            Importance.INFORMATION,
        )
    ]
    warnings = found.problems + packed.warnings + paired.warnings + lonely * bool(num_lonely)
    return Pairing(name_apart([*spoken_of, *packed.recordings]), warnings)


def pack_tables(tables: Sequence[Table]) -> Pairing:
    """The recordings that the rows of tables become, and a sentence for each table with unusable rows.

    Raises:
        DataError: if no row can be used.
    """
    from recipe.data.long_rows import find_long_rows  # noqa: PLC0415 - the first look must be quick

    recordings = pack_rows(tables, find_long_rows(row for table in tables for row in table.rows))
    warnings = [warning for table in tables if (warning := table.describe())]
    if not recordings:
        raise DataError(" ".join(warnings) or "The tables have no rows; expected a sentence a row.")
    return Pairing(recordings, warnings)
