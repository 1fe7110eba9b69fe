"""A disk that is full or cannot be written: recognised in whatever error it causes, told in a sentence."""

import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from recipe.errors import DiskError, RecipeError

MIN_FREE_BYTES = 16 << 20
"""With less, or where nothing can be written, any error is the disk's: libraries have odd names for it."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_GONE = frozenset({errno.EIO, errno.ENXIO, errno.ESTALE, errno.ENOTCONN})
"""Of a disk that fails or was taken away; where no file is named, a terminal or a connection may say it."""
_SQLITE = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_READONLY: errno.EROFS}


def explain_disk(folder: Path, error: BaseException | None = None) -> DiskError | None:
    """The error of a disk that is full or cannot be written, if that is why a run failed; else None.

    Args:
        folder: Of the run; need not exist.
        error: How it failed; None if all that is known is that it did.
    """
    if isinstance(error, RecipeError):
        return None
    for cause in chain(_causes(error), _causes(_try_writing(folder))):
        number, place = _read_cause(cause, folder)
        if number in _FULL:
            return _describe_full(_find_full(place) or place, os.strerror(number))
        if number == errno.EROFS or (number in _READ_ONLY | _GONE and place.is_relative_to(folder)):
            return _describe_read_only(place, os.strerror(number))
    full = _find_full(folder)
    return _describe_full(full, os.strerror(errno.ENOSPC)) if full else None


def free_bytes(folder: Path) -> int:
    """The bytes that may still be written in a folder, which need not exist yet."""
    return shutil.disk_usage(find_existing(folder)).free


def find_existing(folder: Path) -> Path:
    """The folder itself, or the nearest above it that exists."""
    places = (folder, *folder.absolute().parents)
    return next(place for place in places if os.path.isdir(place))  # noqa: PTH112 - Path's raises if it is gone


def _find_full(folder: Path) -> Path | None:
    """The folder, or that of temporary files, if it has no room."""
    places = (folder, Path(tempfile.gettempdir()))
    return next((place for place in places if free_bytes(place) < MIN_FREE_BYTES), None)


def _try_writing(folder: Path) -> OSError | None:
    """How a write to the folder fails; only that shows a disk that went read-only by an error of its own."""
    try:
        with tempfile.TemporaryFile(dir=find_existing(folder)) as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        return OSError(error.errno, error.strerror, str(folder / "file"))  # of the folder that was meant
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _read_cause(cause: BaseException, folder: Path) -> tuple[int, Path]:
    """The number of an error of the system, 0 for another error, and the folder that it is about."""
    if isinstance(cause, sqlite3.Error):
        return _SQLITE.get(getattr(cause, "sqlite_errorcode", 0) & 0xFF, 0), folder
    if isinstance(cause, OSError) and cause.errno:
        if isinstance(cause.filename, str | bytes | os.PathLike):
            return cause.errno, Path(os.fsdecode(cause.filename)).parent
        return 0 if cause.errno in _GONE else cause.errno, folder
    # As a library in Rust or C++ quotes it.
    quoted = (number for number in (*_FULL, errno.EROFS) if os.strerror(number) in str(cause))
    return next(quoted, 0), folder


def _describe_full(place: Path, reason: str) -> DiskError:
    return DiskError(
        f"The disk of {place} is full: {reason}, {free_bytes(place) >> 20} MiB are free. Free some space "
        "there, or give the worker a larger disk, and run the same job again: it goes on from its last "
        "whole checkpoint."
    )


def _describe_read_only(place: Path, reason: str) -> DiskError:
    return DiskError(
        f"{place} cannot be written: {reason}, {free_bytes(place) >> 20} MiB are free. Make it writable, or "
        "choose another folder (WHISPERTRAIN_RUNS_DIR for a worker, output_dir for train.py), and run the "
        "same job again."
    )
