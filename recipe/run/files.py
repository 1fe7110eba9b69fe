"""Files that are whole or absent, also after a power cut, and locks between processes."""

import errno
import fcntl
import hashlib
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Any

from recipe.errors import JobConflictError

logger = logging.getLogger(__name__)

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})


@contextmanager
def replacing(path: Path, writer: str = "") -> Iterator[Path]:
    """A path to write to, which takes the place of `path` once it is written and synced.

    Args:
        path: The file to make or to replace.
        writer: Tells apart processes that may write the same file at the same time.
    """
    partial = path.with_name(".".join(filter(None, (path.name, writer, "part"))))
    yield partial
    sync(partial)
    partial.replace(path)
    sync(path.parent)


def this_writer() -> str:
    """The name of this process among all that may write to a disk of several machines."""
    return f"{socket.gethostname()}.{os.getpid()}"


def write_text(path: Path, text: str, writer: str = "") -> None:
    """Write a text file that is there in full or not at all; `writer` as in `replacing`."""
    with replacing(path, writer) as partial:
        # Half a surrogate pair becomes the escape that JSON has for it.
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, value: object, writer: str = "") -> None:
    """Write a value as a JSON file that is there in full or not at all; `writer` as in `replacing`."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False), writer)


def read_json(path: Path) -> Any:
    """The content of a JSON file, None for NaN and infinities in it, and None if there is no such file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return json.loads(content, parse_constant=lambda _: None)
    except ValueError:
        logger.warning("%s is damaged and was ignored", path)
        return None


def sync(path: Path) -> None:
    """Have the disk hold what was written to a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        # Some network file systems cannot sync a folder; the files in it are synced by themselves.
        with suppress(OSError) if path.is_dir() else nullcontext():
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def acquire(lock: IO[str], conflict: str, wait_seconds: float = 0.0) -> None:
    """Lock an open file for this process alone, until it is closed.

    Raises:
        JobConflictError: with the sentence `conflict`, if another process still holds it after the wait.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise JobConflictError(conflict) from None
            time.sleep(0.5)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            logger.warning(
                "The storage of %s has no locks; the same run must not be started twice", lock.name
            )
            return
        else:
            return
