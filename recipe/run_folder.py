"""The folder of one job: what it was asked, who works on it, and how it ended.

The job's id is the run's key: the same job again finds its checkpoints here, or its stored answer.
"""

import errno
import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from recipe.errors import JobConflictError
from recipe.job import Job

logger = logging.getLogger(__name__)

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})


class RunFolder:
    """The files of one run that the handler and `train.py` tell one another about.

    Args:
        path: The folder; it exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.arguments_file = path / "arguments.json"
        self.log_file = path / "logs" / "train.log"
        self.events_file = path / "events.sqlite"
        self._result_file = path / "result.json"
        self._error_file = path / "error.json"

    def write_arguments(self, arguments: Mapping[str, Any]) -> None:
        """Store what `train.py` is to do; the error of an earlier attempt is forgotten."""
        self._error_file.unlink(missing_ok=True)
        write_json(self.arguments_file, arguments)

    def read_result(self) -> dict[str, Any] | None:
        """The `result` of a finished run, whatever its processes' exit codes were; None if it is not done."""
        result = _read_json(self._result_file)
        return result if isinstance(result, dict) else None

    def read_error(self) -> tuple[str, str] | None:
        """The error and its type with which the last attempt ended; None if it left none."""
        error = _read_json(self._error_file)
        if not isinstance(error, dict) or not error.get("error"):
            return None
        return str(error["error"]), str(error.get("error_type", "TrainingError"))


@contextmanager
def open_run(runs_dir: Path, job: Job) -> Iterator[RunFolder]:
    """The folder of a job, held by this process alone.

    Raises:
        JobConflictError: the folder belongs to a job with other settings, or is in use.
    """
    path = runs_dir / job.job_id
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (path / "lock").open("w") as lock:
        acquire(
            lock,
            f"Job {job.job_id} is running already on a worker that shares this storage; wait for its answer, "
            "or cancel it first.",
        )
        _claim(path, job)
        yield RunFolder(path)


def write_json(path: Path, value: object) -> None:
    """Write a value as a JSON file; see `write_whole`."""
    write_whole(path, json.dumps(value, indent=1, allow_nan=False))


def write_whole(path: Path, text: str) -> None:
    """Write a file that is either there in full or not at all, even after a power cut."""
    partial = path.with_name(f"{path.name}.part")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


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


def _claim(path: Path, job: Job) -> None:
    """Make the folder this job's own, or see that it is already."""
    job_file = path / "job.json"
    stored = _read_json(job_file)
    if isinstance(stored, dict) and stored.get("fingerprint") != job.fingerprint():
        raise JobConflictError(
            f"Job id {job.job_id} belongs to a run with other settings ({_name_changes(stored, job)}). "
            "Send the same settings to resume it, or another job_id for a new run."
        )
    if stored is None:
        write_json(path / "manifest.json", [file.model_dump() for file in job.files_manifest])
        write_json(job_file, {"fingerprint": job.fingerprint(), "settings": job.settings()})


def _name_changes(stored: Mapping[str, Any], job: Job) -> str:
    before, now = stored.get("settings", {}), job.settings()
    changed = [name for name in now if before.get(name) != now[name]]
    return f"differing: {', '.join(changed)}" if changed else "of an earlier version"


def _read_json(path: Path) -> Any:
    """The content of a JSON file, None for NaN and infinities in it, and None if there is no such file."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    try:
        return json.loads(text, parse_constant=lambda _: None)
    except ValueError:
        logger.warning("%s is damaged and was ignored", path)
        return None
