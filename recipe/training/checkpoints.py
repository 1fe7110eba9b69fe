"""Checkpoints that are whole or not used at all.

Trainer writes into the final folder, file by file, and takes the newest name for the newest state. A
worker killed in between leaves a folder that crashes the resume or, worse, resumes with other weights.
So a checkpoint counts only once its completion file is there: name, size and sha256 of every file, and
what the run must have in common to go on from it.
"""

import json
import logging
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from transformers.trainer import TRAINER_STATE_NAME

from recipe.errors import CheckpointError
from recipe.run.files import hash_file, parse_state, sync, write_state
from recipe.run.folder import COMPLETION_FILE, list_checkpoints

logger = logging.getLogger(__name__)

NUM_THREADS = 8
"""Files that are hashed at a time, by a core each."""

DAMAGED_DIR = "damaged"
"""Where checkpoints that do not verify are moved; not named checkpoint-*, which rotation would count."""


@dataclass(frozen=True)
class FileRecord:
    """A file as it was when its checkpoint was completed."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Completion:
    """A completion file.

    Attributes:
        fingerprint: What a run must have in common with the one that saved the checkpoint.
        files: Every file of it, by its path in the checkpoint.
    """

    fingerprint: dict[str, Any]
    files: Annotated[dict[str, FileRecord], Field(min_length=1)]


def complete_checkpoint(
    checkpoint: Path, fingerprint: Mapping[str, Any], written: Mapping[str, FileRecord] | None = None
) -> None:
    """Declare a checkpoint whole: every byte is on disk before the completion file appears.

    Args:
        checkpoint: Folder with all files written by all processes.
        fingerprint: What a run must have in common with this one to resume from it.
        written: Files that whoever wrote them has synced and hashed, by their path in the checkpoint.
    """
    written = written or {}
    files = {
        str(path.relative_to(checkpoint)): path
        for path in sorted(checkpoint.rglob("*"))
        if path.is_file() and not path.name.startswith(COMPLETION_FILE)  # of an earlier save of this update
    }
    with ThreadPoolExecutor(NUM_THREADS) as threads:
        others = {name: path for name, path in files.items() if name not in written}
        hashed = zip(others, threads.map(record_file, others.values()), strict=True)
        records: dict[str, FileRecord] = {**dict(hashed), **written}
    contents = {name: asdict(records[name]) for name in files}
    write_state(checkpoint / COMPLETION_FILE, {"fingerprint": dict(fingerprint), "files": contents})
    sync(checkpoint.parent)


def record_file(path: Path) -> FileRecord:
    """A file as it is, with every byte of it on disk."""
    sync(path)
    return FileRecord(path.stat().st_size, hash_file(path))


def rotate_checkpoints(output_dir: Path, num_kept: int | None, best_step: int | None) -> None:
    """Remove the oldest checkpoints by their updates; the newest and the best stay.

    Args:
        output_dir: Folder of the run.
        num_kept: Checkpoints that stay in all; None keeps every one.
        best_step: Update of the best; None if none was measured.
    """
    others = list_checkpoints(output_dir)[1:]
    removable = [path for path in reversed(others) if path.name != f"checkpoint-{best_step}"]
    num_surplus = 0 if num_kept is None else max(0, 1 + len(others) - num_kept)
    for checkpoint in removable[:num_surplus]:
        shutil.rmtree(checkpoint, ignore_errors=True)


def find_checkpoint(output_dir: Path, fingerprint: Mapping[str, Any]) -> Path | None:
    """The newest whole checkpoint of a run, or None; damaged ones are set aside.

    So is one whose best checkpoint is damaged: the run would end without the weights it has to take up.

    Raises:
        CheckpointError: if the checkpoint belongs to a run with other data or settings.
    """
    for checkpoint in list_checkpoints(output_dir):
        problem = verify_checkpoint(checkpoint) or _verify_best(checkpoint)
        if problem:
            logger.warning("Checkpoint %s is not used: %s.", checkpoint.name, problem)
            _set_aside(checkpoint)
            continue
        _check_fingerprint(checkpoint, fingerprint)
        return checkpoint
    return None


def verify_checkpoint(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, or None if every file is as it was when it was completed."""
    try:
        files = _read_completion(checkpoint).files
        with ThreadPoolExecutor(NUM_THREADS) as threads:
            places = (checkpoint / name for name in files)
            differences = list(threads.map(_find_difference, files, places, files.values()))
        return next(filter(None, differences), None)
    except FileNotFoundError:
        return "the worker ended before it was written to the end"
    except ValueError as error:
        return f"its {COMPLETION_FILE} is damaged ({error})"
    except OSError as error:
        return f"it cannot be read ({error})"


def _verify_best(checkpoint: Path) -> str | None:
    """What is wrong with the checkpoint whose weights are the best so far, as a whole one names it."""
    best_step = json.loads((checkpoint / TRAINER_STATE_NAME).read_text()).get("best_global_step")
    if best_step is None:
        return None
    best = checkpoint.with_name(f"checkpoint-{best_step}")
    problem = verify_checkpoint(best) if best != checkpoint else None
    return problem and f"of {best.name}, the best so far, {problem}"


def _find_difference(name: str, path: Path, expected: FileRecord) -> str | None:
    if not path.is_file():
        return f"{name} is missing"
    if path.stat().st_size != expected.bytes:
        return f"{name} has {path.stat().st_size} bytes instead of {expected.bytes}"
    return f"{name} has changed since it was written" if hash_file(path) != expected.sha256 else None


def _read_completion(checkpoint: Path) -> Completion:
    return parse_state(checkpoint / COMPLETION_FILE, Completion)


def _check_fingerprint(checkpoint: Path, fingerprint: Mapping[str, Any]) -> None:
    saved = _read_completion(checkpoint).fingerprint
    current = json.loads(json.dumps(dict(fingerprint)))
    changed = [
        f"{name} was {saved.get(name)!r} and is {current.get(name)!r}"
        for name in sorted({*saved, *current})
        if saved.get(name) != current.get(name)
    ]
    if changed:
        raise CheckpointError(
            f"{checkpoint.name} in {checkpoint.parent} was made by another run: {'; '.join(changed)}. Going "
            "on from it would train some windows twice and others never. Use the same data and settings, "
            "or another output_dir."
        )


def _set_aside(checkpoint: Path) -> None:
    folder = checkpoint.parent / DAMAGED_DIR
    folder.mkdir(exist_ok=True)
    number = 1 + len(list(folder.iterdir()))
    with suppress(FileNotFoundError):  # another machine on the same disk was faster
        checkpoint.rename(folder / f"{number:03d}-{checkpoint.name}")
