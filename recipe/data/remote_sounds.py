"""Sounds of a remote dataset: read by range, many at once, checked, and kept on a disk of this machine."""

import os
import zlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from recipe.data.remote_files import NUM_THREADS, RemoteFileError, RemoteFiles
from recipe.data.sound_cache import SoundCache


class RemoteSounds:
    """Reads sounds in this process and in those forked from it, each with connections of its own.

    Attributes:
        kept: Where sounds are kept; None for nowhere.
    """

    def __init__(self) -> None:
        self.kept: SoundCache | None = None
        self._readers: dict[int, tuple[RemoteFiles, ThreadPoolExecutor]] = {}

    def read_all(self, audios: Iterable[Mapping[str, Any]]) -> list[bytes]:
        """The sounds at places in remote files, as they were written; `NUM_THREADS` are read at a time.

        Args:
            audios: The places, as in `recipe.data.sounds.IN_FILE`; `file` is an address.

        Raises:
            RemoteFileError: one cannot be had, or is another.
        """
        # Neither connections nor threads outlive a fork.
        if os.getpid() not in self._readers:
            self._readers = {os.getpid(): (RemoteFiles(), ThreadPoolExecutor(NUM_THREADS))}
        files, threads = self._readers[os.getpid()]
        return list(threads.map(partial(self._read, files), audios))

    def close(self) -> None:
        """Close all connections; the next read opens others, as the environment then says."""
        self._readers = {}

    def _read(self, files: RemoteFiles, audio: Mapping[str, Any]) -> bytes:
        file, offset, num_bytes = audio["file"], audio["offset"], audio["num_bytes"]
        key = f"{file} {offset} {num_bytes} {audio['crc32']}"
        sound = self.kept.load(key) if self.kept else None
        if sound is not None and zlib.crc32(sound) == audio["crc32"]:
            return sound
        sound = files.read(file, offset, num_bytes)
        if zlib.crc32(sound) != audio["crc32"]:
            raise RemoteFileError(
                f"{file}: it is not the file that the dataset's index was made of; upload the dataset again, "
                "all of its files"
            )
        if self.kept:
            self.kept.save(key, sound)
        return sound


REMOTE_SOUNDS = RemoteSounds()
"""What this process and its workers read sounds by; a run sets where they are kept."""
