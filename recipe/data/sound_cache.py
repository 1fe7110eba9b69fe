"""Sounds of a remote dataset, kept on a disk of this machine from one epoch to the next, within a bound.

What comes first stays, and nothing is driven out: an epoch reads each window once, in an order of its own,
so nothing else would be asked for sooner. A cache of half the dataset spares half of the reads; one that
drives out what was read longest ago spares 16 %, one that drives out at random 29 % (simulated).

Processes share a cache. Each counts its bytes before it writes, under a lock, in a file that holds their sum.
Killed in between it leaves too high a sum, never too low a one. What is kept may be lost or damaged at any
moment: readers check it, and read the original again.
"""

import fcntl
import logging
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from recipe.run.disk import free_bytes
from recipe.run.files import this_writer

logger = logging.getLogger(__name__)

BLOCK_BYTES = 4096
"""What a file takes of a disk is a multiple of this."""


class SoundCache:
    """Contents of at most so many bytes by their keys.

    Args:
        folder: Of the files; made when there is one.
        max_bytes: Most that they take of the disk.
        min_free_bytes: Room on the disk that is left for others.
    """

    def __init__(self, folder: Path, max_bytes: int, min_free_bytes: int = 0) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        self._closed = mmap.mmap(-1, 1)  # processes forked from this one share it

    @property
    def is_closed(self) -> bool:
        """Whether the disk did not take a content, in this process or in one forked from it."""
        return bool(self._closed[0])

    def load(self, key: str) -> bytes | None:
        """What was kept under a key, perhaps damaged; None for nothing."""
        try:
            return self._path(key).read_bytes()
        except OSError:
            return None

    def save(self, key: str, content: bytes) -> None:
        """Keep a content if there is room for it; a disk that does not take it is left alone from then on."""
        if self.is_closed:
            return
        path = self._path(key)
        partial = path.with_name(f"{path.name}.{this_writer()}.part")  # processes may write the same
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if self._take(-(-len(content) // BLOCK_BYTES) * BLOCK_BYTES):
                partial.write_bytes(content)
                partial.replace(path)
        except OSError as error:
            with suppress(OSError):
                partial.unlink()
            self._close(error)

    def _path(self, key: str) -> Path:
        name = sha256(key.encode(errors="surrogateescape")).hexdigest()
        return self._folder / name[:2] / name

    def _take(self, num_bytes: int) -> bool:
        """Whether there was room for so many bytes, which are counted from now on."""
        with self._locked() as file:
            text = os.pread(file, 20, 0) or b"0"
            if not text.isdigit():
                raise OSError("the sum of its sizes is damaged; remove the folder")
            num_used = int(text)
            if num_used + num_bytes > self._max_bytes:
                return False
            num_free = free_bytes(self._folder)
            if num_free < num_bytes + self._min_free_bytes:
                needed = f", of which checkpoints may need {self._min_free_bytes >> 20}"
                raise OSError(f"{num_free >> 20} MiB are free{needed if self._min_free_bytes else ''}")
            os.pwrite(file, b"%020d" % (num_used + num_bytes), 0)
            return True

    @contextmanager
    def _locked(self) -> Iterator[int]:
        # Opened each time: locks belong to what was opened, which threads and forked processes would share.
        file = os.open(self._folder / "num_bytes", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)

    def _close(self, error: OSError) -> None:
        if not self.is_closed:
            self._closed[0] = 1
            logger.warning(
                "%s takes no more sounds (%s). Those that are missing are read anew in each epoch; the "
                "result is the same, only later.",
                self._folder,
                error,
            )
