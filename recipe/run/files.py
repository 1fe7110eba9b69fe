"""Files that are whole or absent, also after a power cut, and locks between processes.

What a run reads again is a state file: JSON with a checksum of itself. One that is damaged counts as absent
and is set aside, so that it is made anew: no file of a run can make the run fail for ever.
"""

import errno
import fcntl
import hashlib
import itertools
import json
import logging
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from recipe.errors import JobConflictError

logger = logging.getLogger(__name__)

T = TypeVar("T")

CHECKSUM = "checksum"
"""Key of a state file's own SHA-256; a file without one is judged by its form alone."""

SETTLED_NS = 2_000_000_000
"""So coarse are times of change where they are coarsest."""

_hashes: dict[str, str] = {}
"""What this process knows of files, by absolute path: size, time of change, inode and SHA-256."""

_earlier_hashes: dict[str, str] = {}
"""What an earlier process knew."""

_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})


@contextmanager
def replacing(path: Path, writer: str = "") -> Iterator[Path]:
    """A path to write to, which takes the place of `path` once it is written and synced.

    Args:
        path: The file to make or to replace.
        writer: Tells apart processes that may write the same file at the same time.
    """
    partial = path.with_name(".".join(filter(None, (path.name, writer, "part"))))
    clear_folder(partial)
    clear_folder(path)
    try:
        yield partial
        sync(partial)
        partial.replace(path)
    except BaseException:
        with suppress(OSError):  # half a file only fills a disk that may be full
            partial.unlink()
        raise
    sync(path.parent)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A new folder to fill with files, which takes the place of `path` once they are written and synced.

    A kill between the two leaves no folder of that name, never a mixture.
    """
    partial = path.with_name(f"{path.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        for file in partial.iterdir():
            sync(file)
        sync(partial)
        shutil.rmtree(path, ignore_errors=True)
        partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
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


def export_json(path: Path, value: object) -> None:
    """Write a JSON file where somebody wants it, outside a run; what else is there is theirs.

    Raises:
        IsADirectoryError: a folder has this name.
        OSError: it cannot be written.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, value)


def write_state(path: Path, content: Mapping[str, Any], writer: str = "") -> None:
    """Write a state file, for `read_state`: the content, ready for JSON, with its checksum."""
    write_json(path, {**content, CHECKSUM: _checksum(content)}, writer)


def read_state(path: Path, kind: type[T]) -> T | None:
    """The content of a state file; None if there is none, or a damaged one, which is set aside.

    Args:
        path: The file.
        kind: What it must hold; any type that pydantic can validate.
    """
    try:
        return parse_state(path, kind)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        set_aside(path, str(error))
        return None


def parse_state(path: Path, kind: type[T]) -> T:
    """The content of a state file, which is left where it is.

    NaN and infinities, as other programs write them, are None.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be read.
        ValueError: it is damaged; the message says how.
    """
    try:
        content = json.loads(path.read_bytes(), parse_constant=lambda _: None)
        if isinstance(content, dict) and CHECKSUM in content and content.pop(CHECKSUM) != _checksum(content):
            raise ValueError("its content is not what was written")
        adapter: TypeAdapter[T] = _adapter(kind)  # type: ignore[arg-type] # a class has a hash
        return adapter.validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"it has another form ({place}: {first['msg']})") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def set_aside(path: Path, reason: str) -> None:
    """Rename a damaged file or folder, so that it is made anew and can still be looked at."""
    names = (f"{path.name}.damaged{f'-{number}' if number > 1 else ''}" for number in itertools.count(1))
    place = next(place for place in map(path.with_name, names) if not os.path.lexists(place))
    with suppress(FileNotFoundError):  # another process was faster
        path.rename(place)
    logger.warning(
        "%s is damaged and was set aside as %s; what it held is made anew (%s)", path, place.name, reason
    )


def clear_folder(path: Path) -> None:
    """Set aside a folder in the place of a file that is to be written or removed."""
    if path.is_dir():
        set_aside(path, "it is a folder")


def remove_file(path: Path) -> None:
    """Remove a file, if it is there."""
    clear_folder(path)
    path.unlink(missing_ok=True)


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


def hash_once(path: Path) -> str:
    """As `hash_file`, but read only once, as long as size, time of change and inode are the same."""
    version = _version_of(path.stat())
    place = str(path.absolute())
    known = _hashes.get(place) or _earlier_hashes.get(place, "")
    if not known.startswith(version):
        known = version + hash_file(path)
    _hashes[place] = known
    return known.removeprefix(version)


def _version_of(stat: os.stat_result) -> str:
    return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ino} "


def note_hash(path: Path, content_hash: str) -> None:
    """Have `hash_once` know the SHA-256 of a file that was just written, as it is now."""
    stat = path.stat()
    _hashes[str(path.absolute())] = f"{_version_of(stat)}{content_hash}"


@contextmanager
def remembering_hashes(path: Path) -> Iterator[None]:
    """In the body, `hash_once` knows what an earlier process found, and what it finds is kept at `path`.

    A file that changed in the last `SETTLED_NS` may change once more at what is the same time to its disk, so
    its hash is not kept.
    """
    earlier = read_state(path, dict[str, dict[str, str]])
    _earlier_hashes.update(earlier["hashes"] if earlier else {})
    try:
        yield
        settled_ns = time.time_ns() - SETTLED_NS
        kept = {place: known for place, known in _hashes.items() if int(known.split(" ")[1]) < settled_ns}
        if kept != (earlier and earlier["hashes"]):
            write_state(path, {"hashes": kept}, this_writer())
    finally:
        _earlier_hashes.clear()


def open_lock(path: Path) -> IO[str]:
    """The file to lock, made if missing; as it is where its disk is read-only by now."""
    try:
        return path.open("a")
    except OSError as error:
        if error.errno not in _READ_ONLY or not path.is_file():
            raise
        return path.open()


def acquire(lock: IO[str], conflict: str, wait_seconds: float = 0.0) -> None:
    """Lock an open file for this process alone, until it is closed.

    Raises:
        JobConflictError: with the sentence `conflict`, if another process still holds it after the wait.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            # Network file systems give those who cannot write a shared lock only.
            fcntl.flock(lock, (fcntl.LOCK_EX if lock.writable() else fcntl.LOCK_SH) | fcntl.LOCK_NB)
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
