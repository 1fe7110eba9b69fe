"""The folder of a run: the name of every file in it, and how the handler and `train.py` tell each other."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from recipe.run.files import read_state, remove_file, this_writer, write_json, write_state

COMPLETION_FILE = "complete.json"
"""What a whole checkpoint has, written last."""

_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


class _Result(BaseModel, extra="allow"):
    """What every `result` has; the rest is the contract's."""

    status: Literal["completed"]
    job_id: str


class _Failure(BaseModel):
    error: Annotated[str, Field(min_length=1)]
    error_type: str


class RunFolder:
    """The paths of one run.

    Args:
        path: The folder; for `train.py` its `output_dir`.

    Attributes:
        job: The settings of the job that the folder belongs to.
        job_lock: Held by the worker that answers the job.
        arguments: What `train.py` is to do.
        manifest: The files to download.
        glossary: The terms that a job brings.
        train_lock: Held by the main process that trains.
        attempt: Shows processes on several machines that they share the folder.
        events: The outbox of progress events.
        logs: Of TensorBoard, telemetry and the processes.
        log: What `train.py` printed.
        trackers: What the run is called at the trackers of `report_to`.
        downloads: Files of the backend, and sounds of a dataset.
        aligned: Captions with times of the base model's: of plain text, and of loose captions.
        prepared: The Arrow dataset with its report.
        cached: What a resumed attempt need not compute again.
        sounds: Those of a remote dataset, while they are trained on.
        encoder_states: What a frozen encoder made of the audio, while it is trained on.
        report: Error rates before and after, and every held-out window.
        report_page: The same for people.
        staging: The model, while it is made ready for delivery.
        model: The published model, unless it is delivered elsewhere.
        result: The `result` of the answer (docs/runpod.md); its presence says that the run is finished.
        error: Why the last attempt ended without a result.
        self_test: Model and recordings of a self-test.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.job = path / "job.json"
        self.job_lock = path / "lock"
        self.arguments = path / "arguments.json"
        self.manifest = path / "manifest.json"
        self.glossary = path / "glossary.txt"
        self.train_lock = path / "train.lock"
        self.attempt = path / "attempt"
        self.events = path / "events.sqlite"
        self.logs = path / "logs"
        self.log = self.logs / "train.log"
        self.trackers = self.logs / "trackers.json"
        self.downloads = path / "downloads"
        self.aligned = path / "aligned"
        self.prepared = path / "prepared"
        self.cached = path / "cached"
        self.sounds = path / "sounds"
        self.encoder_states = path / "encoder_states"
        self.report = path / "report.json"
        self.report_page = path / "report.html"
        self.staging = path / "staging"
        self.model = path / "model"
        self.result = path / "result.json"
        self.error = path / "error.json"
        self.self_test = path / "self_test"

    def checkpoint(self, step: int) -> Path:
        """Trainer's own name for the checkpoint after an update."""
        return self.path / f"checkpoint-{step}"

    def working_dirs(self) -> list[Path]:
        """The folders that the run itself fills and empties; no model may be delivered there."""
        named = [self.logs, self.downloads, self.aligned, self.prepared]
        named += [self.cached, self.sounds, self.encoder_states, self.staging, self.self_test]
        return [*named, *self.path.glob("checkpoint-*")]

    def write_arguments(self, arguments: Mapping[str, Any]) -> None:
        """Store what `train.py` is to do; the error of an earlier attempt is forgotten."""
        self.forget_error()
        write_json(self.arguments, arguments)

    def forget_error(self) -> None:
        """Take away the error of an earlier attempt."""
        remove_file(self.error)

    def write_error(self, message: str, error_type: str) -> None:
        """Store why an attempt ended without a result."""
        # All processes of a training may fail at the same moment.
        write_state(self.error, {"error": message, "error_type": error_type}, this_writer())

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Store the contract's `result`: from here on the run is finished, whatever fails afterwards."""
        write_state(self.result, result)

    def read_result(self) -> dict[str, Any] | None:
        """The `result` of a finished run, whatever its processes' exit codes were; None if it is not done."""
        result = read_state(self.result, _Result)
        return result.model_dump() if result else None

    def read_error(self) -> tuple[str, str] | None:
        """The error and its type with which the last attempt ended; None if it left none."""
        failure = read_state(self.error, _Failure)
        return (failure.error, failure.error_type) if failure else None


def find_last_saved(output_dir: Path) -> int | None:
    """Update of the newest checkpoint that was written to the end, unverified; None without one."""
    whole = [path for path in list_checkpoints(output_dir) if (path / COMPLETION_FILE).exists()]
    return int(whole[0].name.removeprefix("checkpoint-")) if whole else None


def list_checkpoints(output_dir: Path) -> list[Path]:
    """Folders named checkpoint-N, the newest (largest N) first."""
    matches = [
        (_CHECKPOINT.fullmatch(path.name), path) for path in output_dir.glob("checkpoint-*") if path.is_dir()
    ]
    steps = [(int(match[1]), path) for match, path in matches if match]
    return [path for _, path in sorted(steps, reverse=True)]
