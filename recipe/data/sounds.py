"""Sounds of windows, read where they lie: byte ranges of files, never mapped.

A row of a dataset names its sound by file and place in it, so a dataset holds no sound, is as small as its
texts, and may be joined with others whose files are elsewhere. Rows made in memory bring their sound along.
"""

import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, Self

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


class Sounds(Protocol):
    """Reads parts of files of one kind of address, in worker processes too."""

    def read(self, file: str, offset: int, num_bytes: int) -> bytes:
        """The bytes of a file from an offset on; fewer where the file ends.

        Raises:
            OSError: they cannot be read.
        """
        ...


class LocalSounds:
    """Files of disks. One is open only while it is read: 15 µs, where a window takes 17 ms."""

    def read(self, file: str, offset: int, num_bytes: int) -> bytes:
        """The bytes of a file; see `Sounds`."""
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, num_bytes, offset)
        finally:
            os.close(descriptor)


def sounds_at(file: str) -> Sounds:  # noqa: ARG001 - addresses of other kinds have readers of their own
    """What reads the file at an address."""
    return LocalSounds()


def read_flac(audio: Mapping[str, Any]) -> bytes:
    """The FLAC file of a window, checked against its CRC-32.

    Args:
        audio: The column `audio` of its row, as in `IN_FILE` or `IN_MEMORY`.

    Raises:
        DataError: it cannot be read, or is not what was written.
    """
    if "bytes" in audio:
        return bytes(audio["bytes"])
    file, offset, num_bytes = audio["file"], audio["offset"], audio["num_bytes"]
    place = f"{file}, bytes {offset:,} to {offset + num_bytes:,}"
    try:
        sound = sounds_at(file).read(file, offset, num_bytes)
    except OSError as error:
        raise DataError(f"{place}: the sound of a window cannot be read ({error}).") from error
    if len(sound) != num_bytes or zlib.crc32(sound) != audio["crc32"]:
        raise DataError(
            f"{place}: the sound of a window is not what was written. Remove this file and run the same "
            "command again: what it held is then prepared anew."
        )
    return sound


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
