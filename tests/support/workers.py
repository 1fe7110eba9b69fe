"""Workers with the real `handler.py`, RunPod's SDK and a stand-in for `train.py`, below a control plane."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
from control_plane import ControlPlane
from outboxes import has_told

REPOSITORY = Path(__file__).resolve().parents[2]
TOKEN = "eyJhbGciOi.very-secret/token+1.x_Y=="
API_KEY = "sh4red-worker-s3cret"


def make_request(plane: ControlPlane, **changes: object) -> dict:
    request = {
        "project_id": "project-1",
        "user_id": "user-1",
        "backend_base_url": plane.address,
        "auth_token": TOKEN,
        "worker_api_key": API_KEY,
        "files_manifest": [
            {"file_type": "audio", "filename": "a.wav"},
            {"file_type": "transcript", "filename": "a.vtt"},
        ],
        "job_id": "job-1",
    }
    return request | changes


MARK = "WHISPERTRAIN_TEST_WORKER"
"""Variable by which the processes of a worker are known; trainings keep what begins so."""


class WorkerProcess:
    """A worker below the control plane, with its output in a file."""

    def __init__(self, folder: Path, behaviour: str, environment: dict[str, str], *arguments: str) -> None:
        self.runs_dir = folder / "runs"
        self.log = folder / f"worker-{time.monotonic_ns()}.log"
        base = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        operator = {
            "WHISPERTRAIN_RUNS_DIR": str(self.runs_dir),
            "WHISPERTRAIN_ALLOW_PRIVATE_BACKEND": "1",
            "WHISPERTRAIN_GRACE_SECONDS": "3",
            "WHISPERTRAIN_FLUSH_SECONDS": "3",
            "PYTHONPATH": str(REPOSITORY),
            MARK: str(self.log),
        }
        script = REPOSITORY / "tests" / "support" / "stand_in_worker.py"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(script), behaviour, *arguments],
                cwd=folder,
                env=base | operator | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def run(self) -> Path:
        return self.runs_dir / "job-1"

    def starts(self) -> list[int]:
        path = self.run / "starts.txt"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def close(self) -> None:
        """End it and all that it started, also where it was killed itself and its children live on."""
        for process in psutil.process_iter():
            with suppress(psutil.Error):  # gone meanwhile, or another user's
                if process.environ().get(MARK) == str(self.log):
                    process.kill()
        self.process.wait()


def statuses(plane: ControlPlane) -> list[str]:
    return [event["status"] for _, event in plane.backend_posts]


def sequences(plane: ControlPlane) -> list[int]:
    return [event["sequence"] for _, event in plane.backend_posts]


def is_training(worker: WorkerProcess) -> bool:
    return has_told(worker.run, "training_progress")
