"""The list of what a release holds: `release.json`, with the size and SHA-256 of every file.

The list is the seal. It is written only after the staged folder was reloaded with success, nothing is
delivered without it, and it is the last file to arrive, so a folder that has it is whole.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from recipe.errors import PublishError
from recipe.export.artifacts import EXPORTED_FILES
from recipe.run.disk import MARGIN_BYTES, free_bytes
from recipe.run.files import hash_file

SEAL_FILE = "release.json"
WEIGHTS_FILE = "model.safetensors"
REQUIRED_FILES = frozenset(
    {
        "README.md",
        "added_tokens.json",
        "config.json",
        "generation_config.json",
        "merges.txt",
        "preprocessor_config.json",
        "processor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "training_metadata.json",
        "vocab.json",
        WEIGHTS_FILE,
    }
)
OPTIONAL_FILES = frozenset({"normalizer.json"}) | EXPORTED_FILES
FORMAT = 1

OnProgress = Callable[[int, int], None]
"""Told the bytes delivered so far and the bytes of the whole release."""


@dataclass(frozen=True)
class FileRecord:
    """One file of a release.

    Attributes:
        size: Bytes.
        sha256: Of the content, 64 hexadecimal digits.
    """

    size: int
    sha256: str


@dataclass(frozen=True)
class Release:
    """A sealed folder.

    Attributes:
        folder: Where the files are.
        files: Records by file name, with the folder of an export before it; without the seal itself.
    """

    folder: Path
    files: Mapping[str, FileRecord]

    @property
    def num_bytes(self) -> int:
        """Size of all files together, the seal's few hundred bytes aside."""
        return sum(record.size for record in self.files.values())

    @property
    def seal(self) -> bytes:
        """Content of `release.json`: equal for equal releases."""
        return _format_seal(self.files)


def list_files(folder: Path) -> dict[str, FileRecord]:
    """Records of everything in a staging folder, by name, the seal aside.

    Raises:
        PublishError: a file is missing, or something is there that must not go out.
    """
    folders = {str(Path(name).parent) for name in EXPORTED_FILES}
    entries = {str(entry.relative_to(folder)): entry for entry in folder.rglob("*")}
    odd = {name for name, entry in entries.items() if not entry.is_file() or entry.is_symlink()}
    odd -= {name for name in folders if name in entries and not entries[name].is_symlink()}
    found = entries.keys() - folders - {SEAL_FILE}
    foreign = sorted(found - REQUIRED_FILES - OPTIONAL_FILES | odd)
    if foreign:
        raise PublishError(f"The staging folder holds {', '.join(foreign)}, which is not part of a release.")
    missing = sorted(REQUIRED_FILES - found)
    if missing:
        raise PublishError(
            f"The staging folder lacks {', '.join(missing)}; the release was not staged whole."
        )
    return {name: _record(folder / name) for name in sorted(found)}


def seal_release(folder: Path) -> Release:
    """The folder's files, listed in its `release.json`.

    Raises:
        PublishError: a file is missing, or something is there that must not go out.
    """
    release = Release(folder, list_files(folder))
    (folder / SEAL_FILE).write_bytes(release.seal)
    return release


def load_release(folder: Path) -> Release:
    """The sealed folder, after comparing every file with the seal.

    Raises:
        PublishError: there is no seal, or a file is not what was sealed.
    """
    seal = read_seal(folder)
    if seal is None:
        raise PublishError(
            f"The staged model in {folder} was not verified (no {SEAL_FILE}); nothing was delivered."
        )
    release = Release(folder, list_files(folder))
    if release.seal != seal:
        raise PublishError(f"The staged model in {folder} changed after it was verified; stage it again.")
    return release


def read_seal(folder: Path) -> bytes | None:
    """Content of the folder's `release.json`, None where there is none."""
    path = folder / SEAL_FILE
    return path.read_bytes() if path.is_file() else None


def check_free_space(folder: Path, num_bytes: int) -> None:
    """Accepts a disk with room for so many bytes, judged before the work: a full disk shows as odd errors.

    Raises:
        PublishError: the disk that holds the folder, or would, has too little room.
    """
    num_free = free_bytes(folder)
    if num_free < num_bytes + MARGIN_BYTES:
        raise PublishError(
            f"The disk of {folder} has {num_free / 2**20:.0f} MiB free; the model needs "
            f"{(num_bytes + MARGIN_BYTES) / 2**20:.0f} MiB. Free some space, then run the same command again."
        )


def _record(path: Path) -> FileRecord:
    return FileRecord(path.stat().st_size, hash_file(path))


def _format_seal(files: Mapping[str, FileRecord]) -> bytes:
    listed = {name: asdict(record) for name, record in sorted(files.items())}
    return (json.dumps({"format": FORMAT, "files": listed}, indent=2) + "\n").encode()
