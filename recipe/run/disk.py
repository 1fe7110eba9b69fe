"""A disk that is full, gone or cannot be written: known in whatever error it causes, told in a sentence."""

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

MARGIN_BYTES = 64 << 20
"""Room that is left on a disk when a model is written to it."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_IN_THE_WAY = frozenset({errno.ENOTDIR, errno.EEXIST})
_GONE = frozenset({errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.ENOTCONN, errno.EIO})
_SQLITE = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_READONLY: errno.EROFS}


def explain_disk(folder: Path, error: BaseException | None = None) -> DiskError | None:
    """The error of a disk that is full or cannot be written, if that is why a run failed; else None.

    Args:
        folder: Of the run; need not exist.
        error: How it failed; None if all that is known is that it did.
    """
    if isinstance(error, RecipeError):
        return None
    folder = folder.absolute()
    for cause in chain(_causes(error), _causes(_try_writing(folder))):
        number, path = _read_cause(cause, folder)
        found = _explain_number(number, path, folder)
        if found is not None:
            return found
    full = _find_full(folder)
    if full:
        return _describe_full(full, os.strerror(errno.ENOSPC))
    return _describe_gone(folder, "it is not there") if error is None and not folder.is_dir() else None


def _explain_number(number: int, path: Path, folder: Path) -> DiskError | None:
    """What the number of an error of the system means, if that is the disk's fault.

    Args:
        number: 0 for another error.
        path: What the error is about; the folder if that is not known.
        folder: Of the run.
    """
    place, reason = path if path == folder else path.parent, os.strerror(number)
    is_ours = path.is_relative_to(folder) or folder.is_relative_to(path)
    if number in _FULL:
        return _describe_full(_find_full(place) or place, reason)
    if number == errno.EROFS or (number in _READ_ONLY and is_ours):
        return _describe_read_only(place, reason)
    if number == errno.EFBIG:
        return _describe_limit(place, reason)
    nearest = next(step for step in (path, *path.parents) if os.path.lexists(step))
    if number in _IN_THE_WAY and is_ours and not nearest.is_dir():
        return _describe_file_in_the_way(nearest)
    # A socket has such numbers too, but no path.
    is_gone = path != folder and is_ours and (number != errno.ENOENT or find_existing(folder) != folder)
    return _describe_gone(folder, reason) if number in _GONE and is_gone else None


def free_bytes(folder: Path) -> int:
    """The bytes that may still be written in a folder, which need not exist yet."""
    return shutil.disk_usage(find_existing(folder)).free


def find_existing(folder: Path) -> Path:
    """The folder itself, or the nearest above it that exists."""
    # Unlike Path's, this one also says no of a disk that is lost.
    return next(place for place in (folder, *folder.absolute().parents) if os.path.isdir(place))  # noqa: PTH112


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
    """The number of an error of the system, 0 for another error, and the file or folder that it is about."""
    if isinstance(cause, sqlite3.Error):
        return _SQLITE.get(getattr(cause, "sqlite_errorcode", 0) & 0xFF, 0), folder
    if isinstance(cause, OSError) and cause.errno:
        is_named = isinstance(cause.filename, str | bytes | os.PathLike)
        return cause.errno, Path(os.fsdecode(cause.filename)).absolute() if is_named else folder
    # As a library in Rust or C++ quotes it.
    quoted = (n for n in (*_FULL, errno.EFBIG, errno.EROFS) if os.strerror(n) in str(cause))
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


def _describe_limit(place: Path, reason: str) -> DiskError:
    return DiskError(
        f"A file in {place} may not grow as large as it must: {reason}. Raise the limit on the size of files "
        "(ulimit -f), or choose a disk that takes larger ones, and run the same job again: it goes on from "
        "its last whole checkpoint."
    )


def _describe_file_in_the_way(path: Path) -> DiskError:
    return DiskError(
        f"{path} is a file, and a folder is needed there. Move it away, or choose another folder "
        "(WHISPERTRAIN_RUNS_DIR for a worker, output_dir for train.py), and run the same job again."
    )


def _describe_gone(folder: Path, reason: str) -> DiskError:
    return DiskError(
        f"{folder} is gone or does not answer: {reason}. Its disk was unmounted or lost, or the folder was "
        "moved or removed meanwhile. Bring it back, and run the same job again: it goes on from its last "
        "whole checkpoint."
    )
