"""Whatever error a full or read-only disk causes, the user reads one sentence; other errors keep theirs."""

import errno
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from disks import allow_no_file, fill, make_read_only, mount_disk

from recipe.errors import DataError
from recipe.run.disk import explain_disk
from recipe.run.files import write_json


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mount_disk(tmp_path / "disk", 4) as disk:
        yield disk


def os_error(number: int, filename: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), filename)


def chained(cause: Exception) -> Exception:
    error = RuntimeError("a library's own words")
    error.__cause__ = cause
    return error


ERRORS: dict[str, tuple[Callable[[Path], BaseException], str]] = {
    "full": (lambda run: os_error(errno.ENOSPC), "The disk of .*run is full: No space left"),
    "full, named": (
        lambda run: os_error(errno.ENOSPC, str(run / "checkpoint-1" / "x.pt")),
        "The disk of .*run/checkpoint-1 is full",
    ),
    "quota": (lambda run: os_error(errno.EDQUOT), "The disk of .*run is full: Disk quota exceeded"),
    "read-only": (lambda run: os_error(errno.EROFS), "run cannot be written: Read-only file system"),
    "no permission": (
        lambda run: os_error(errno.EACCES, str(run / "x")),
        "run cannot be written: Permission",
    ),
    "gone": (
        lambda run: OSError(errno.EIO, os.strerror(errno.EIO), bytes(run / "logs" / "x")),
        "run/logs cannot be written: Input/output error",
    ),
    "behind another error": (lambda run: chained(os_error(errno.ENOSPC)), "The disk of .*run is full"),
    "in a library's words": (
        lambda run: RuntimeError("I/O error: No space left on device (os error 28)"),
        "The disk of .*run is full",
    ),
    "read-only, in a library's words": (
        lambda run: RuntimeError("I/O error: Read-only file system (os error 30)"),
        "run cannot be written: Read-only file system",
    ),
}


@pytest.mark.parametrize(("make", "sentence"), ERRORS.values(), ids=ERRORS)
def test_the_sentence_names_folder_free_space_and_what_to_do(
    tmp_path: Path, make: Callable[[Path], BaseException], sentence: str
) -> None:
    error = explain_disk(tmp_path / "run", make(tmp_path / "run"))
    assert error is not None
    for part in (sentence, r"\d+ MiB are free", "run the same job again"):
        assert re.search(part, str(error))


@pytest.mark.parametrize(
    "error",
    [
        None,
        RuntimeError("shapes do not match"),
        os_error(errno.ECONNRESET),
        os_error(errno.EACCES, "/elsewhere/x"),
        os_error(errno.EIO),
        os_error(errno.EIO, "/elsewhere/x"),
        DataError("The disk of this recording is full of noise."),
        sqlite3.OperationalError("database is locked"),
    ],
    ids=repr,
)
def test_no_other_error_is_taken_for_the_disks(tmp_path: Path, error: BaseException | None) -> None:
    assert explain_disk(tmp_path, error) is None


whatever_the_error = pytest.mark.parametrize(
    "error", [None, RuntimeError("unexpected pos 64 vs 0")], ids=["unknown", "odd"]
)


@whatever_the_error
def test_on_a_full_disk_any_error_is_the_disks(disk: Path, error: BaseException | None) -> None:
    fill(disk)
    assert "0 MiB are free" in str(explain_disk(disk / "run", error))


@whatever_the_error
def test_on_a_disk_that_takes_no_more_files_any_error_is_the_disks(
    tmp_path: Path, error: BaseException | None
) -> None:
    with mount_disk(tmp_path / "disk", 64) as disk:
        allow_no_file(disk)
        assert "is full: No space left on device, 64 MiB are free" in str(explain_disk(disk, error))


@whatever_the_error
def test_on_a_read_only_disk_any_error_is_the_disks(disk: Path, error: BaseException | None) -> None:
    make_read_only(disk)
    assert "cannot be written: Read-only file system" in str(explain_disk(disk, error))


def test_a_real_full_disk_is_explained_and_leaves_no_half_a_file(disk: Path) -> None:
    os.truncate(fill(disk), 1 << 20)  # of four MiB three are free
    with pytest.raises(OSError, match="No space") as raised:
        write_json(disk / "x.json", "x" * (8 << 20))
    assert [path.name for path in disk.iterdir()] == ["ballast"]
    assert "is full: No space left on device, 3 MiB are free" in str(explain_disk(disk, raised.value))


def test_a_real_read_only_disk_is_explained(disk: Path) -> None:
    make_read_only(disk)
    with pytest.raises(OSError, match="Read-only") as raised:
        (disk / "run").mkdir()
    assert "cannot be written" in str(explain_disk(disk, raised.value))
