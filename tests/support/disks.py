"""Small disks of their own: they need root, and tests that want one are skipped without."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def mount_disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """A disk of some MiB at a new folder."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "disk", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (subprocess.CalledProcessError, FileNotFoundError):
        pytest.skip("a small disk needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def make_read_only(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)


def allow_no_file(disk: Path) -> None:
    """There is room on the disk, but not for another file."""
    subprocess.run(["mount", "-o", "remount,nr_inodes=1", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """The file that takes what room there is."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for num_bytes in (1 << 20, 1 << 12):
            with suppress(OSError):
                while True:
                    file.write(bytes(num_bytes))
    return ballast
