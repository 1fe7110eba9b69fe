"""One file on its way to disk: resumable, bounded, and under its own name only when it is whole."""

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO

import httpx

from recipe.backend.address import set_io_deadline
from recipe.backend.answers import UnavailableError
from recipe.backend.limits import Clock, Limits, RateGuard
from recipe.errors import BackendError, DiskError
from recipe.run.disk import explain_disk
from recipe.run.files import (
    clear_folder,
    hash_file,
    hash_once,
    read_state,
    remove_file,
    set_aside,
    sync,
    write_state,
)

logger = logging.getLogger(__name__)

RESERVED_DISK_BYTES = 256 << 20
"""Left free beside a download, since a full disk fails later and elsewhere, with an odd message."""

SOURCE_SUFFIX = ".source"
"""Of the file about a download; one without it is not taken for whole, and asked for again."""

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.ASCII)


@dataclass(frozen=True)
class _Source:
    """What is known of the bytes on disk.

    Attributes:
        validator: What the backend said identifies the version that they belong to.
        num_bytes: Size of the whole file; None while it is not finished.
        sha256: Of the whole file's content; "" likewise.
    """

    validator: str | None
    num_bytes: int | None
    sha256: str


class PartialFile:
    """A download's three files: `<name>.part` while it runs, `<name>` when whole, `<name>.source` about it.

    Args:
        destination: The final path.
    """

    def __init__(self, destination: Path) -> None:
        self.destination = destination
        self._part = destination.with_name(destination.name + ".part")
        self._source = destination.with_name(destination.name + SOURCE_SUFFIX)

    @property
    def num_bytes(self) -> int:
        """Bytes on disk of a download that is not finished."""
        return self._part.stat().st_size if self._part.is_file() else 0

    @property
    def validator(self) -> str | None:
        """What the backend said identifies the version that the bytes on disk belong to."""
        return self._read_source().validator

    def whole_size(self) -> int | None:
        """The number of bytes, if the file was finished earlier and is still, to the bit, as it was left."""
        source = self._read_source()
        if source.num_bytes is None or not os.path.lexists(self.destination):
            return None
        try:
            if hash_once(self.destination) == source.sha256:
                return source.num_bytes
            reason = "it has changed since it was downloaded"
        except OSError as error:
            reason = str(error)
        set_aside(self.destination, reason)
        self.discard()
        return None

    def discard(self) -> None:
        """Forget the bytes on disk: they belong to another version, or cannot be trusted."""
        remove_file(self._part)
        remove_file(self._source)

    def open(self, offset: int, validator: str | None) -> BinaryIO:
        """The part, open for writing at `offset`; what was behind it is gone."""
        if offset == 0:
            self.discard()  # first: killed in between, old bytes must not pass for the new version's
            self._write_source(_Source(validator, None, ""))
        file = self._part.open("r+b" if offset else "wb")
        file.seek(offset)
        file.truncate()
        return file

    def finish(self) -> int:
        """Give the whole, synced part its final name; the number of bytes."""
        num_bytes = self.num_bytes
        self._write_source(_Source(self.validator, num_bytes, hash_file(self._part)))
        clear_folder(self.destination)
        self._part.replace(self.destination)
        sync(self.destination.parent)
        return num_bytes

    def _read_source(self) -> _Source:
        return read_state(self._source, _Source) or _Source(None, None, "")

    def _write_source(self, source: _Source) -> None:
        write_state(self._source, asdict(source))


@dataclass(frozen=True)
class Resumption:
    """From where a download is asked for.

    Attributes:
        offset: Bytes already on disk; 0 asks for the whole file.
        validator: The version that those bytes belong to.
    """

    offset: int
    validator: str

    @classmethod
    def of(cls, part: PartialFile) -> "Resumption":
        """As far as the part is known to belong to one version; else the whole file."""
        validator = part.validator
        return cls(part.num_bytes, validator) if validator else cls(0, "")

    def headers(self) -> dict[str, str]:
        """RFC 9110, section 13.1.5: the rest of the file if it is still the same version, else all of it."""
        return {"Range": f"bytes={self.offset}-", "If-Range": self.validator} if self.offset else {}


def receive(
    response: httpx.Response,
    part: PartialFile,
    asked: Resumption,
    *,
    max_bytes: int,
    limits: Limits,
    clock: Clock,
    on_bytes: Callable[[int], None],
) -> int:
    """The size of the file, once the body of a 2xx answer has completed it.

    Raises:
        UnavailableError: The body was cut off, too slow, or does not fit what is on disk; worth a retry.
        BackendError: This is not the file, or it is too large.
        DiskError: The disk has no room for it, or cannot be written.
    """
    _refuse_foreign_body(response)
    offset = _find_offset(response, part, asked)
    total = _find_total(response, offset)
    if (total or 0) > max_bytes:
        raise BackendError(f"the file has {total} bytes; at most {max_bytes} are allowed")
    try:
        _check_disk(part.destination.parent, (total or offset) - offset)
        with part.open(offset, _find_validator(response)) as file:
            for chunk in _watched_chunks(response, limits, clock):
                offset += len(chunk)
                if offset > max_bytes:
                    raise BackendError(f"the file goes on after {max_bytes} bytes, the most that is allowed")
                file.write(chunk)
                on_bytes(offset)
            if total is not None and offset != total:
                raise UnavailableError(f"the body ended after {offset} of {total} bytes")
            file.flush()
            os.fsync(file.fileno())
        return part.finish()
    except OSError as error:
        raise explain_disk(part.destination.parent, error) or DiskError(
            f"A recording cannot be written to {part.destination.parent}: {error.strerror}."
        ) from error


def _refuse_foreign_body(response: httpx.Response) -> None:
    """Refuse what is not the file's own bytes: a web page, or an encoding, which may unpack to anything."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", ""}:
        raise BackendError(f"the body is encoded ({encoding[:40]!r}) although identity was asked for")
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in {"text/html", "application/xhtml+xml"}:
        raise BackendError("the answer is a web page (text/html) and not the file; check backend_base_url")


def _find_offset(response: httpx.Response, part: PartialFile, asked: Resumption) -> int:
    """Where in the file the body begins."""
    if response.status_code == 200:
        return 0
    if response.status_code != 206 or asked.offset == 0:
        raise BackendError(f"the answer is {response.status_code} although the whole file was asked for")
    match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", "").strip())
    etag = response.headers.get("etag")
    if match is None or int(match[1]) != asked.offset or int(match[2]) < asked.offset:
        problem = "its Content-Range is not the one asked for"
    elif etag is not None and etag != asked.validator and asked.validator.startswith('"'):
        problem = "the file has changed meanwhile"
    else:
        return asked.offset
    part.discard()
    raise UnavailableError(f"the rest of the file does not fit its beginning ({problem}); it starts over")


def _find_total(response: httpx.Response, offset: int) -> int | None:
    """The size of the whole file, as far as the headers tell."""
    if response.status_code == 206:
        match = _CONTENT_RANGE.fullmatch(response.headers["content-range"].strip())
        assert match is not None, "checked by _find_offset"
        if match[3] != "*":
            return int(match[3])
    length = response.headers.get("content-length", "")
    if re.fullmatch(r"[0-9]{1,18}", length, re.ASCII):
        return offset + int(length)
    if "chunked" not in response.headers.get("transfer-encoding", "").lower():
        logger.warning("%s came without a length: an early end would go unnoticed", response.request.url.path)
    return None


def _find_validator(response: httpx.Response) -> str | None:
    """What identifies this version byte for byte: a strong ETag, else a date that had time to be one.

    RFC 9110, sections 8.8.2.2 and 8.8.3.
    """
    etag = str(response.headers.get("etag", ""))
    if re.fullmatch(r'"[\x21\x23-\x7e]{0,200}"', etag):
        return etag
    modified = str(response.headers.get("last-modified", ""))
    try:
        age = parsedate_to_datetime(response.headers["date"]) - parsedate_to_datetime(modified)
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
    return modified if age.total_seconds() >= 1 and len(modified) <= 64 else None


def _check_disk(folder: Path, num_bytes: int) -> None:
    num_free = shutil.disk_usage(folder).free
    if num_free < num_bytes + RESERVED_DISK_BYTES:
        raise DiskError(
            f"The disk under {folder} has {num_free >> 20} MiB free; the next recording needs "
            f"{num_bytes >> 20} MiB and {RESERVED_DISK_BYTES >> 20} MiB to spare. Give the worker more disk."
        )


def _watched_chunks(response: httpx.Response, limits: Limits, clock: Clock) -> Iterator[bytes]:
    """The body as it comes, undecoded; a silence or a trickle ends it."""
    guard = RateGuard(limits, clock)
    set_io_deadline(limits.stall_seconds)
    for chunk in response.iter_raw():
        if guard.is_too_slow(len(chunk)):
            raise UnavailableError(
                f"the body came slower than {limits.min_bytes_per_second} bytes per second"
            )
        yield chunk
        set_io_deadline(limits.stall_seconds)
