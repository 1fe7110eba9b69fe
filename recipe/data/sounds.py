"""Sounds of windows, read where they lie: byte ranges of files, never mapped.

A row of a dataset names its sound by file and place in it, so a dataset holds no sound, is as small as its
texts, and may be joined with others whose files are elsewhere. Rows made in memory bring their sound along.
"""

import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from datasets import Value

from recipe.errors import DataError

IN_FILE = {
    "file": Value("string"),
    "offset": Value("int64"),
    "num_bytes": Value("int32"),
    "crc32": Value("uint32"),
}
"""Column `audio` of rows whose sound lies in a file, `num_bytes` from `offset` on: 16 kHz mono FLAC.

In a shard or a compacted dataset `file` is a name in the same folder; in an open dataset it is an address.
"""

MAX_NAME = 50
"""Letters of a recording's name in a tar: file systems have 255 bytes for a name."""

IN_MEMORY = {"bytes": Value("binary")}
"""Column `audio` of rows that bring their sound along."""


def read_flac(audio: Mapping[str, Any]) -> bytes:
    """The FLAC file of a window, checked against its CRC-32.

    Args:
        audio: The column `audio` of its row, as in `IN_FILE` or `IN_MEMORY`.

    Raises:
        DataError: it cannot be read, or is not what was written.
    """
    return read_flacs([audio])[0]


def read_flacs(audios: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """The FLAC files of windows, as `read_flac` reads each; those that are remote at the same time.

    Raises:
        DataError: one cannot be read, or is not what was written.
    """
    remote = [audio for audio in audios if is_remote(audio.get("file", ""))]
    fetched = iter(_fetch(remote) if remote else ())
    return [next(fetched) if is_remote(audio.get("file", "")) else _read(audio) for audio in audios]


def _fetch(audios: Sequence[Mapping[str, Any]]) -> list[bytes]:
    from recipe.data.remote_sounds import REMOTE_SOUNDS  # noqa: PLC0415 - few runs need its libraries

    try:
        return REMOTE_SOUNDS.read_all(audios)
    except OSError as error:
        raise DataError(f"The sound of a window cannot be read: {error}.") from error


def _read(audio: Mapping[str, Any]) -> bytes:
    if "bytes" in audio:
        return bytes(audio["bytes"])
    file, offset, num_bytes = audio["file"], audio["offset"], audio["num_bytes"]
    place = f"{file}, bytes {offset:,} to {offset + num_bytes:,}"
    try:
        sound = _read_part(file, offset, num_bytes)
    except OSError as error:
        raise DataError(f"{place}: the sound of a window cannot be read ({error}).") from error
    if len(sound) != num_bytes or zlib.crc32(sound) != audio["crc32"]:
        raise DataError(
            f"{place}: the sound of a window is not what was written. Remove this file and run the same "
            "command again: what it held is then prepared anew."
        )
    return sound


def _read_part(file: str, offset: int, num_bytes: int) -> bytes:
    """A part of a file, which is open only meanwhile: 15 µs, where a window takes 17 ms."""
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(descriptor, num_bytes, offset)
    finally:
        os.close(descriptor)


def is_remote(address: str) -> bool:
    """Whether a file or folder is on none of this machine's disks."""
    return "://" in address


class SoundFile:
    """A tar that is being written, a FLAC file for each window: `recording/start-end.flac`, in milliseconds.

    Equal sounds make equal files.

    Args:
        path: The file to write.
        name: What rows call it; by default its own name.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        self._name = name or path.name
        self._tar = tarfile.open(path, "w", format=tarfile.GNU_FORMAT)  # noqa: SIM115 - closed on exit

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._tar.close()

    def add(self, recording: str, start_ms: int, end_ms: int, flac: bytes) -> dict[str, Any]:
        """Append the sound of a window; the column `audio` of its row, as in `IN_FILE`."""
        member = tarfile.TarInfo(f"{_name_folder(recording)}/{start_ms:08}-{end_ms:08}.flac")
        member.size = len(flac)
        self._tar.addfile(member, io.BytesIO(flac))
        num_blocks = -(-len(flac) // tarfile.BLOCKSIZE)
        return {
            "file": self._name,
            "offset": self._tar.offset - num_blocks * tarfile.BLOCKSIZE,
            "num_bytes": len(flac),
            "crc32": zlib.crc32(flac),
        }


def _name_folder(recording: str) -> str:
    """The name of a recording as one folder that any system can make."""
    kept = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in recording)
    if len(kept) > MAX_NAME:
        kept = f"{kept[:MAX_NAME]}-{hashlib.sha256(recording.encode(errors='replace')).hexdigest()[:8]}"
    return kept.strip(". ") or "_"
