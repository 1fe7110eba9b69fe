"""The recordings of a run, wherever they come from: a folder, or a manifest whose files are downloaded."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recipe.arguments import SourceArguments
from recipe.backend.client import BackendClient
from recipe.data.caption_choice import Wanted
from recipe.data.download import DownloadProgress, FileRequest, download_files, local_name
from recipe.data.manifest import LocalFile, read_manifest
from recipe.data.pairing import Pairing, pair_recordings, read_folder
from recipe.data.usable import check_usable


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
        pairing = read_folder(Path(source.data_dir))
        if not any(recording.problem for recording in pairing.recordings):  # the language may decide it
            check_usable(pairing, Path(source.data_dir))


def fetch_recordings(source: SourceArguments, wanted: Wanted, downloads: Downloads) -> Pairing:
    """The recordings, in order of their names, their files on disk or named as missing, and warnings.

    Args:
        source: The folder, or the manifest and the owner of its files.
        wanted: Which captions are taken of several.
        downloads: How files are had from the backend.

    Raises:
        DataError: as `list_folder` and `check_usable` do, or because the disk is full.
        AuthenticationError: the backend refuses the credentials.
    """
    if source.data_dir:
        pairing = read_folder(Path(source.data_dir), wanted)
        check_usable(pairing, Path(source.data_dir))
        return pairing
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
