"""Recordings in a bucket or on web servers: listed at once, their sound fetched by whoever prepares it.

Captions are small and are fetched when the folder is listed, since they decide which recordings there are. A
recording's sound is on this disk only while it is being prepared, so that a disk of some gigabytes is
enough for any folder. Names, and with them the keys of shards, are those of a local folder with these files.
"""

import posixpath
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import boto3
import httpx
import stamina
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from recipe.data.caption_choice import Wanted
from recipe.data.download import local_name
from recipe.data.manifest import (
    AUDIO_EXTENSIONS,
    TRANSCRIPT_EXTENSIONS,
    LocalFile,
    ManifestEntry,
    Recording,
    describe_files,
)
from recipe.data.pairing import Pairing, pair_recordings
from recipe.data.preparation import LocalFiles
from recipe.errors import DataError
from recipe.run.files import replacing, this_writer

SCHEMES = ("s3://", "https://", "http://")
NUM_FETCHES = 16
"""Caption files that are fetched at a time."""

NUM_ATTEMPTS = 5
TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class RemoteFile:
    """A file that is elsewhere.

    Attributes:
        address: `s3://bucket/key`, or a URL.
        num_bytes: Its size; 0 where nobody said it.
        version: What changes with its content; "" where nobody said it.
    """

    address: str
    num_bytes: int = 0
    version: str = ""


@dataclass(frozen=True)
class RemoteFiles(LocalFiles):
    """Files of which some are elsewhere.

    Attributes:
        remote: Those, by the path that recordings name for them, where nothing lies.
        folder: Receives a recording's sound while it is being prepared.
    """

    remote: Mapping[Path, RemoteFile]
    folder: Path

    def stamp(self, path: Path | None) -> str | None:
        """As of a local file."""
        file = self.remote.get(path) if path else None
        return f"{file.num_bytes} {file.version}" if file else super().stamp(path)

    def count_bytes(self, path: Path) -> int:
        """As of a local file."""
        file = self.remote.get(path)
        return file.num_bytes if file else super().count_bytes(path)

    def is_settled(self, path: Path, at: float) -> bool:
        """As of a local file; one without a version may be another at any time."""
        file = self.remote.get(path)
        return bool(file.version) if file else super().is_settled(path, at)

    @contextmanager
    def here(self, recording: Recording) -> Iterator[Recording]:
        """The recording with its sound on this disk, for as long as the body runs.

        Raises:
            DataError: it cannot be fetched.
        """
        file = self.remote.get(recording.audio.path) if recording.audio.path else None
        if file is None:
            yield recording
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            path = Path(folder) / posixpath.basename(urlsplit(file.address).path)
            fetch(file.address, path)
            yield replace(recording, audio=LocalFile(path))


def is_remote(place: str) -> bool:
    """Whether a place is no folder of this machine."""
    return place.startswith(SCHEMES)


def read_remote_folder(place: str, wanted: Wanted, folder: Path) -> tuple[Pairing, RemoteFiles]:
    """The recordings of a place, and where their files are.

    Args:
        place: `s3://bucket/prefix`, with all that lies below it; or the URL of a text with the address of a
            file in each line, which may be relative to it.
        wanted: Which captions are taken of several.
        folder: Receives captions, and sound while it is being prepared.

    Raises:
        DataError: if it cannot be read, or there is no audio.
    """
    found = _list_bucket(place) if place.startswith("s3://") else _list_addresses(place)
    extensions = {name: posixpath.splitext(name)[1].lower() for name in sorted(found)}
    audio = [name for name, extension in extensions.items() if extension in AUDIO_EXTENSIONS]
    transcripts = [name for name, extension in extensions.items() if extension in TRANSCRIPT_EXTENSIONS]
    if not audio:
        raise DataError(f"{place} holds no audio file. {describe_files(sorted(found))}.")
    paths = {name: folder / local_name(f"{found[name].version}/{name}") for name in (*audio, *transcripts)}
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(NUM_FETCHES) as pool:
        for _ in pool.map(lambda name: _fetch_once(found[name], paths[name]), transcripts):
            pass
    entries = [ManifestEntry("audio", name) for name in audio]
    entries += [ManifestEntry("transcript", name) for name in transcripts]
    ignored = [name for name in extensions if name not in paths]
    local = {name: LocalFile(path) for name, path in paths.items()}
    pairing = pair_recordings(entries, local, wanted, ignored)
    return pairing, RemoteFiles({paths[name]: found[name] for name in audio}, folder / "sound")


def fetch(address: str, path: Path) -> None:
    """Fetch a file.

    Raises:
        DataError: it cannot be had.
    """
    try:
        if address.startswith("s3://"):
            bucket, key = _split(address)
            _s3().download_file(bucket, key, str(path))
        else:
            _download(address, path)
    except (httpx.HTTPError, Boto3Error, BotoCoreError, ClientError) as error:
        raise DataError(
            f"{address} cannot be fetched: {error}. Run the same command again; what is prepared stays."
        ) from error


def _fetch_once(file: RemoteFile, path: Path) -> None:
    """Fetch a file that is kept, unless this version of it is there."""
    if not path.exists():
        with replacing(path, this_writer()) as partial:
            fetch(file.address, partial)


def _list_bucket(place: str) -> dict[str, RemoteFile]:
    """All files below a prefix, by name."""
    bucket, prefix = _split(place.rstrip("/") + "/")
    files = {}
    try:
        for page in _s3().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                name = entry["Key"].removeprefix(prefix)
                if name and not name.endswith("/"):
                    address = f"s3://{bucket}/{entry['Key']}"
                    files[name] = RemoteFile(address, entry["Size"], entry["ETag"].strip('"'))
    except (Boto3Error, BotoCoreError, ClientError) as error:
        raise DataError(
            f"{place} cannot be listed: {error}. Expected s3://bucket/prefix, and credentials in AWS_… that "
            "may list and read it."
        ) from error
    return files


def _list_addresses(place: str) -> dict[str, RemoteFile]:
    """The files that a text lists, by name: their path below the folder that all of them are in."""
    try:
        text = _get(place)
    except httpx.HTTPError as error:
        raise DataError(
            f"{place} cannot be read: {error}. Expected a text with the address of a file in each line."
        ) from error
    addresses = [urljoin(place, line.strip()) for line in text.splitlines() if line.strip()]
    foreign = [address for address in addresses if not address.startswith(SCHEMES)]
    if foreign:
        raise DataError(
            f"{place} lists {foreign[0]!r}; expected addresses that begin with https:// or s3://."
        )
    names = [unquote(urlsplit(address).path).lstrip("/") for address in addresses]
    parent = posixpath.commonpath([posixpath.dirname(name) for name in names]) if names else ""
    files = (RemoteFile(address) for address in addresses)
    return {name.removeprefix(parent).lstrip("/"): file for name, file in zip(names, files, strict=True)}


@stamina.retry(on=httpx.TransportError, attempts=NUM_ATTEMPTS)
def _get(address: str) -> str:
    answer = httpx.get(address, follow_redirects=True, timeout=TIMEOUT_SECONDS)
    return answer.raise_for_status().text


@stamina.retry(on=httpx.TransportError, attempts=NUM_ATTEMPTS)
def _download(address: str, path: Path) -> None:
    with (
        httpx.stream("GET", address, follow_redirects=True, timeout=TIMEOUT_SECONDS) as answer,
        path.open("wb") as file,
    ):
        for block in answer.raise_for_status().iter_bytes():
            file.write(block)


def _split(address: str) -> tuple[str, str]:
    """Bucket and key."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return bucket, key


@cache
def _s3() -> Any:
    config = Config(retries={"mode": "standard", "max_attempts": NUM_ATTEMPTS}, read_timeout=TIMEOUT_SECONDS)
    return boto3.client("s3", config=config)
