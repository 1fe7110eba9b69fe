"""A whole job, from the queue to the published model, tells its secrets to nobody but the backend."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from control_plane import ControlPlane
from training_runs import (
    REPOSITORY,
    USER,
    clean_environment,
    kill_session,
    read_backend,
    serve_backend,
    write_recording,
)

TOKEN = "eyJhbGciOiJIUzI1NiJ9.dG9rZW4tb2YtdGhlLWpvYg.S3cr3t-signature"
API_KEY = "sh4red-w0rker-s3cret-of-the-platform"
WRONG_TOKEN = "eyJhbGciOiJIUzI1NiJ9.YW5vdGhlcg.wr0ng-signature"
SECONDS_PER_JOB = 120.0


@dataclass
class ArgvWatch:
    """The command lines of all processes of the machine, looked at again and again while it is open."""

    seen: set[str] = field(default_factory=set)
    _is_over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "ArgvWatch":
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._is_over.wait(0.05):
            for process in psutil.process_iter():
                try:
                    self.seen.add(" ".join(process.cmdline()))
                except psutil.Error:
                    continue


@dataclass(frozen=True)
class Platform:
    """A backend that wants the token, a queue, and a worker with the real handler and the real `train.py`."""

    root: Path
    address: str
    plane: ControlPlane
    worker_log: Path

    @property
    def runs_dir(self) -> Path:
        return self.root / "worker" / "runs"

    def answer(self, job_id: str, auth_token: str) -> dict[str, Any]:
        """What the queue gets back for a small job."""
        request = {
            "model_id": str(self.root / "models" / "tiny"),
            "project_id": "project-1",
            "user_id": USER,
            "backend_base_url": self.address,
            "auth_token": auth_token,
            "worker_api_key": API_KEY,
            "job_id": job_id,
            "files_manifest": [
                {"file_type": "audio", "filename": "tones.flac"},
                {"file_type": "transcript", "filename": "tones.vtt"},
            ],
            "options": {"language": "en", "eval_fraction": 0.3, "publish_if_worse": True},
        }
        self.plane.submit(f"event-{job_id}", request)
        return self.plane.wait_for_answer(SECONDS_PER_JOB)

    def everything_written(self) -> dict[str, bytes]:
        """The content of all that worker and backend wrote, by path, and all that the queue was sent."""
        files = [path for path in self.root.rglob("*") if path.is_file()]
        return {str(path): path.read_bytes() for path in files} | {
            "queue": json.dumps(self.plane.posts).encode()
        }


@pytest.fixture(scope="module")
def platform(tiny_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    root = tmp_path_factory.mktemp("platform")
    (root / "uploads" / USER).mkdir(parents=True)
    write_recording(root / "uploads" / USER / "tones", 20)
    shutil.copytree(tiny_dir, root / "models" / "tiny")
    plane = ControlPlane()
    with serve_backend(root, WHISPERTRAIN_AUTH_TOKEN=TOKEN) as address:
        worker, log = start_worker(root, plane)
        yield Platform(root, address, plane, log)
        kill_session(worker)
    plane.close()


def start_worker(root: Path, plane: ControlPlane) -> tuple[subprocess.Popen[bytes], Path]:
    folder = root / "worker"
    folder.mkdir()
    environment = clean_environment(
        WHISPERTRAIN_RUNS_DIR=str(folder / "runs"),
        WHISPERTRAIN_MODELS_DIR=str(root / "models"),
        RUNPOD_LOG_LEVEL="DEBUG",
        **plane.environment(),
    )
    log = folder / "worker.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, str(REPOSITORY / "handler.py")],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return worker, log


def find_leaks(texts: dict[str, bytes], *secrets: str) -> list[str]:
    """Where a secret stands, whole or its last part alone."""
    parts = [part.encode() for secret in secrets for part in (secret, secret.rpartition(".")[2])]
    return [name for name, text in texts.items() if any(part in text for part in parts)]


@pytest.fixture(scope="module")
def finished(platform: Platform) -> tuple[dict[str, Any], set[str]]:
    """The answer to a good job, and every command line that was seen meanwhile."""
    with ArgvWatch() as watch:
        answer = platform.answer("good", TOKEN)
    return answer, watch.seen


def test_the_job_is_done_and_told(finished, platform: Platform) -> None:
    answer, _ = finished
    assert answer["output"]["success"], answer
    model_path = Path(answer["output"]["result"]["artifacts"]["model_path"])
    assert (model_path / "model.safetensors").exists()
    events = read_backend(platform.address, "good", Authorization=f"Bearer {TOKEN}")
    assert events[-1]["status"] == "completed"
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))


def test_no_file_log_event_or_answer_holds_a_secret(finished, platform: Platform) -> None:
    texts = platform.everything_written()
    names = {Path(name).name for name in texts}
    assert {"job.json", "arguments.json", "events.sqlite", "train.log", "training_args.bin"} <= names
    assert {"worker.log", "result.json", "README.md", "training_metadata.json", "queue"} <= names
    assert find_leaks(texts, TOKEN, API_KEY) == []


def test_no_command_line_holds_a_secret(finished) -> None:
    _, command_lines = finished
    assert any("train.py" in line for line in command_lines), "the training was seen"
    assert find_leaks({line: line.encode() for line in command_lines}, TOKEN, API_KEY) == []


def test_a_wrong_token_is_a_clear_error_without_training_or_model(finished, platform: Platform) -> None:
    answer = platform.answer("wrong", WRONG_TOKEN)
    assert answer["output"]["error_type"] == "AuthenticationError"
    assert "401" in answer["error"]
    assert "auth_token" in answer["error"]
    run = platform.runs_dir / "wrong"
    assert not list(run.glob("checkpoint-*"))
    assert not (run / "model").exists()
    assert not (run / "result.json").exists()
    assert read_backend(platform.address, "wrong", Authorization=f"Bearer {TOKEN}") == []
    assert find_leaks(platform.everything_written(), WRONG_TOKEN, TOKEN, API_KEY) == []
