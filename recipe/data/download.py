"""From the manifest to files on disk: many downloads at a time, each costing only itself when it fails."""

import hashlib
import logging
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from recipe.backend.client import BackendClient
from recipe.backend.transfer import SOURCE_SUFFIX
from recipe.errors import AuthenticationError, DiskError, RecipeError, explain_error
from recipe.run.files import remove_file

logger = logging.getLogger(__name__)

REPORT_SECONDS = 1.0
"""Longest time between two reports of progress."""


@dataclass(frozen=True)
class FileRequest:
    """One file of the manifest, and where it goes.

    Attributes:
        filename: The name in the manifest, which the backend knows it by.
        file_type: `audio` or `transcript`.
        destination: The path on this machine; see `local_name`.
    """

    filename: str
    file_type: str
    destination: Path


@dataclass(frozen=True)
class Download:
    """What became of one request.

    Attributes:
        filename: The name in the manifest.
        path: The whole file, or None if it could not be had.
        num_bytes: Its size.
        error: Why it could not be had, in a sentence; None on success.
    """

    filename: str
    path: Path | None
    num_bytes: int = 0
    error: str | None = None


@dataclass(frozen=True)
class DownloadProgress:
    """How far the downloads are.

    Attributes:
        num_files: Files asked for.
        num_files_done: Of these, on disk.
        num_files_failed: Of these, given up.
        num_bytes: Bytes on disk, unfinished files included.
    """

    num_files: int
    num_files_done: int
    num_files_failed: int
    num_bytes: int


def local_name(filename: str) -> str:
    """A file name of ours for a name of the job's: a hash, and the extension where it is harmless."""
    digest = hashlib.sha256(filename.encode(errors="surrogatepass")).hexdigest()[:24]
    extension = re.search(r"\.[A-Za-z0-9]{1,8}\Z", filename)
    return digest + (extension[0].lower() if extension else "")


def download_files(
    client: BackendClient,
    user_id: str,
    requests: Sequence[FileRequest],
    *,
    max_bytes_per_file: int,
    max_workers: int = 8,
    on_progress: Callable[[DownloadProgress], None] = lambda _: None,
) -> list[Download]:
    """What became of each request, in the order of the requests.

    Files that an earlier, interrupted call finished are not fetched again; half-finished ones are resumed.

    Args:
        client: The backend.
        user_id: Owner of the files.
        requests: Files with distinct destinations.
        max_bytes_per_file: Largest file that is accepted.
        max_workers: Downloads at a time.
        on_progress: Told about once a second how far it is, from the calling thread.

    Raises:
        AuthenticationError: The backend refuses the credentials; all other downloads are stopped.
        DiskError: The disk is full or cannot be written; likewise.
    """
    assert len({request.destination for request in requests}) == len(requests), "one destination per file"
    for folder in {request.destination.parent for request in requests}:
        folder.mkdir(parents=True, exist_ok=True)
    batch = _Batch(client, user_id, max_bytes_per_file)
    with ThreadPoolExecutor(max_workers, thread_name_prefix="download") as pool:
        futures = [pool.submit(batch.download, request) for request in requests]
        try:
            _await_all(futures, batch, on_progress)
        except BaseException:
            batch.stop.set()  # the others end within about a second
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]


def forget_downloads(folder: Path) -> None:
    """Have every file asked for again: what was bad may be uploaded anew under the same name."""
    for source in folder.glob(f"*{SOURCE_SUFFIX}"):
        remove_file(source)


class _Batch:
    """Downloads that share a client, a stop and a count of bytes."""

    def __init__(self, client: BackendClient, user_id: str, max_bytes: int) -> None:
        self.stop = threading.Event()
        self._client = client
        self._user_id = user_id
        self._max_bytes = max_bytes
        self._num_bytes: dict[Path, int] = {}  # each key is written by one thread only

    @property
    def num_bytes(self) -> int:
        """Bytes on disk so far."""
        return sum(self._num_bytes.copy().values())

    def download(self, request: FileRequest) -> Download:
        """What became of one request; raises only what concerns all of them."""
        try:
            num_bytes = self._client.fetch_upload(
                self._user_id,
                request.filename,
                request.destination,
                max_bytes=self._max_bytes,
                on_bytes=lambda num_bytes: self._num_bytes.update({request.destination: num_bytes}),
                stop=self.stop,
            )
        except (AuthenticationError, DiskError):
            raise
        except Exception as error:  # whatever a library makes of hostile bytes costs this file only
            reason = explain_error(error, "what the backend sent cannot be understood")
            is_ours = isinstance(error, RecipeError)
            logger.warning("%r could not be downloaded: %s", request.filename, reason, exc_info=not is_ours)
            return Download(request.filename, None, error=reason)
        return Download(request.filename, request.destination, num_bytes)


def _await_all(
    futures: Sequence[Future[Download]], batch: _Batch, on_progress: Callable[[DownloadProgress], None]
) -> None:
    """Wait for all downloads, reporting about once a second; the first error that concerns all ends it."""
    outcomes: list[Download] = []
    waiting = set(futures)
    while waiting:
        finished, waiting = wait(waiting, timeout=REPORT_SECONDS, return_when=FIRST_EXCEPTION)
        outcomes += [future.result() for future in finished]
        num_failed = sum(outcome.path is None for outcome in outcomes)
        on_progress(DownloadProgress(len(futures), len(outcomes) - num_failed, num_failed, batch.num_bytes))
