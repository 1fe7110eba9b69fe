"""The recordings of a run, wherever they come from: a folder, or a manifest whose files are downloaded."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recipe.arguments import SourceArguments
from recipe.backend.client import BackendClient
from recipe.data.download import DownloadProgress, FileRequest, download_files, local_name
from recipe.data.manifest import (
    LocalFile,
    Recording,
    list_folder,
    locate_files,
    pair_recordings,
    read_manifest,
)


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


def fetch_recordings(source: SourceArguments, language: str | None, downloads: Downloads) -> list[Recording]:
    """The recordings, in order of their names, their files on disk or named as missing.

    Args:
        source: The folder, or the manifest and the owner of its files.
        language: Code of the language that captions are wanted in; chooses among several of one audio.
        downloads: How files are had from the backend.

    Raises:
        DataError: as `list_folder` and `pair_recordings` do, or because the disk is full.
        AuthenticationError: the backend refuses the credentials.
    """
    if source.data_dir:
        folder = Path(source.data_dir)
        entries = list_folder(folder)
        return pair_recordings(entries, locate_files(folder, entries), language)
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
