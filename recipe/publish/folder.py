"""Delivery to a folder: copied beside its place, written through to the disk, then renamed into it."""

import hashlib
import os
import shutil
from pathlib import Path

from recipe.errors import PublishError
from recipe.publish.release import SEAL_FILE, OnProgress, Release, check_free_space, list_files, read_seal
from recipe.run.files import sync

BLOCK_BYTES = 4 * 2**20


def check_folder(target: Path) -> None:
    """Accepts a folder that does not exist, is empty, or holds an earlier release, which may be replaced.

    Raises:
        PublishError: the path is a file, or a folder with something else in it, which is never removed.
    """
    if not target.exists():
        return
    if not target.is_dir():
        raise PublishError(f"{target} is a file; give a folder for the model.")
    if any(target.iterdir()) and read_seal(target) is None:
        raise PublishError(f"{target} is not empty and holds no earlier release; give another folder.")


def deliver_to_folder(release: Release, target: Path, on_progress: OnProgress) -> str:
    """The folder's path, once it holds exactly this release.

    Two renames put the new folder in place of an old one. A kill between them leaves no folder of that
    name, which the next delivery mends, never a mixture.

    Raises:
        PublishError: the folder is somebody else's, or the disk is full or refuses.
    """
    target = target.resolve()
    incoming, previous = (target.with_name(f".{target.name}.{role}") for role in ("incoming", "previous"))
    try:
        check_folder(target)
        if not _is_delivered(release, target):
            check_free_space(target, release.num_bytes)
            _copy_release(release, incoming, on_progress)
            _put_in_place(incoming, target, previous)
        shutil.rmtree(previous, ignore_errors=True)
    except OSError as error:
        raise PublishError(
            f"The model could not be written to {target}: {error.strerror or error}."
        ) from error
    on_progress(release.num_bytes, release.num_bytes)
    return str(target)


def _is_delivered(release: Release, target: Path) -> bool:
    if not target.is_dir() or read_seal(target) != release.seal:
        return False
    try:
        return list_files(target) == release.files
    except PublishError:
        return False


def _copy_release(release: Release, incoming: Path, on_progress: OnProgress) -> None:
    if incoming.exists():
        shutil.rmtree(incoming)
    incoming.mkdir(parents=True)
    num_done = 0
    for name, record in release.files.items():
        (incoming / name).parent.mkdir(exist_ok=True)
        if _copy_file(release.folder / name, incoming / name) != record.sha256:
            raise PublishError(f"{name} changed while it was copied; nothing was delivered.")
        num_done += record.size
        on_progress(num_done, release.num_bytes)
    _copy_file(release.folder / SEAL_FILE, incoming / SEAL_FILE)
    for folder in {(incoming / name).parent for name in release.files}:
        sync(folder)


def _copy_file(source: Path, target: Path) -> str:
    """SHA-256 of what was copied and is on the disk, as hexadecimal digits."""
    digest = hashlib.sha256()
    with source.open("rb") as reader, target.open("xb") as writer:
        while block := reader.read(BLOCK_BYTES):
            digest.update(block)
            writer.write(block)
        writer.flush()
        os.fsync(writer.fileno())
    return digest.hexdigest()


def _put_in_place(incoming: Path, target: Path, previous: Path) -> None:
    is_replaced = target.is_dir() and any(target.iterdir())
    if is_replaced:
        shutil.rmtree(previous, ignore_errors=True)
        target.rename(previous)
    try:
        incoming.rename(target)
    except OSError:
        if is_replaced:
            previous.rename(target)
        raise
    sync(target.parent)
