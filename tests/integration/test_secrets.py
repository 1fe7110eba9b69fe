"""A whole job, from the queue to the published model, tells its secrets to nobody but the backend."""

import asyncio
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from control_plane import ControlPlane
from stand_in_worker import build_command
from training_runs import (
    REPOSITORY,
    USER,
    clean_environment,
    kill_session,
    read_backend,
    serve_backend,
    write_recording,
)
from workers import make_request

from handler import Worker
from recipe.run.credentials import read_credential
from recipe.run.files import read_state
from recipe.run.redaction import PLACEHOLDER, PUBLIC_FIELDS
from recipe.run.settings import OperatorSettings
from recipe.worker.job import open_run, read_job

TOKEN = "eyJhbGciOiJIUzI1NiJ9.dG9rZW4tb2YtdGhlLWpvYg.S3cr3t-signature"
API_KEY = "sh4red-w0rker-s3cret-of-the-platform"
WRONG_TOKEN = "eyJhbGciOiJIUzI1NiJ9.YW5vdGhlcg.wr0ng-signature"
SECONDS_PER_JOB = 120.0
RECORDINGS = ("tones", "more")
OPERATOR = {
    name: f"0perator-s3cret-{number}"
    for number, name in enumerate(
        ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "RUNPOD_API_KEY", "WANDB_API_KEY", "DATABASE_URL")
    )
}
"""What the operator's environment holds that is nobody's business."""


@dataclass
class ProcessWatch:
    """Command lines and environments of all processes, looked at again and again while it is open."""

    seen: dict[str, dict[str, str]] = field(default_factory=dict)
    _is_over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "ProcessWatch":
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
                    command_line = " ".join(process.cmdline())
                    self.seen[command_line] = process.environ()
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

    def answer(self, job_id: str, auth_token: str, worker_api_key: str = API_KEY) -> dict[str, Any]:
        """What the queue gets back for a small job."""
        request = {
            "model_id": str(self.root / "models" / "tiny"),
            "project_id": "project-1",
            "user_id": USER,
            "backend_base_url": self.address,
            "auth_token": auth_token,
            "worker_api_key": worker_api_key,
            "job_id": job_id,
            "files_manifest": [
                {"file_type": kind, "filename": f"{name}.{extension}"}
                for name in RECORDINGS
                for kind, extension in (("audio", "flac"), ("transcript", "vtt"))
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
    for seed, name in enumerate(RECORDINGS):
        write_recording(root / "uploads" / USER / name, 12, seed)
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
        **OPERATOR,
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
def finished(platform: Platform) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """The answer to a good job, and every command line that was seen meanwhile with its environment."""
    with ProcessWatch() as watch:
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
    assert find_leaks(texts, TOKEN, API_KEY, *OPERATOR.values()) == []


def test_no_command_line_holds_a_secret(finished) -> None:
    _, command_lines = finished
    assert any("train.py" in line for line in command_lines), "the training was seen"
    assert find_leaks({line: line.encode() for line in command_lines}, TOKEN, API_KEY) == []


@pytest.mark.parametrize(
    ("process", "held"),
    [
        pytest.param("train.py", {TOKEN, API_KEY, OPERATOR["HF_TOKEN"]}, id="the training"),
        pytest.param("multiprocessing.spawn", set(), id="those that prepare recordings"),
    ],
)
def test_a_process_holds_only_the_credentials_that_it_uses(
    finished, platform: Platform, process: str, held: set[str]
) -> None:
    _, seen = finished
    ours = [
        set(environment.values())
        for line, environment in seen.items()
        if process in line and environment.get("WHISPERTRAIN_RUNS_DIR") == str(platform.runs_dir)
    ]
    assert ours
    secrets = {TOKEN, API_KEY, *OPERATOR.values()}
    assert [values & secrets for values in ours] == [held] * len(ours)


def test_a_real_job_whose_secret_is_a_word_of_json_ends_right(platform: Platform) -> None:
    answer = platform.answer("word", TOKEN, "false")["output"]
    assert answer["success"] is True, answer
    stored = read_state(platform.runs_dir / "word" / "result.json", dict)
    assert answer["result"] == stored
    assert stored["status"] == "completed"
    assert (Path(stored["artifacts"]["model_path"]) / "model.safetensors").exists()
    events = read_backend(platform.address, "word", Authorization=f"Bearer {TOKEN}")
    assert events[-1]["final_result"] == stored
    assert events[0]["system_stats"]["gpu_available"] is False
    assert not [text for text in list_texts([answer, events]) if "false" in text]


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


def list_texts(value: object) -> list[str]:
    """All texts among the values of a structure, but for the names of what the platform looks up."""
    if isinstance(value, dict):
        return [t for name, item in value.items() if name not in PUBLIC_FIELDS for t in list_texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in list_texts(item)]
    return [value] if isinstance(value, str) else []


def handle(folder: Path, event: object, answer_file: Path | None = None) -> dict[str, Any]:
    """The answer of a worker in this process whose training is the stand-in."""
    settings = OperatorSettings(
        folder / "runs",
        answer_file=answer_file,
        is_private_backend_allowed=True,
        grace_seconds=3.0,
        flush_seconds=3.0,
    )
    worker = Worker(settings, train_command=partial(build_command, "leak"), send_progress=lambda *_: None)
    return asyncio.run(worker.handle(event))  # type: ignore[arg-type] # some are no event


WORDS = ["null", "undefined", "true", "1234", "0000", "error", "success", "result", "completed", '"}, "', " "]


@pytest.mark.parametrize(
    ("token", "as_text"),
    [(token, False) for token in [*WORDS, TOKEN]] + [(token, True) for token in ("null", '"}, "', TOKEN)],
    ids=repr,
)
def test_a_job_ends_right_whatever_its_token_is(
    tmp_path: Path,
    plane: ControlPlane,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    token: str,
    as_text: bool,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("RUNPOD_API_KEY", "of-the-operator")
    request = make_request(plane, auth_token=token, worker_api_key="", job_id="leak-1234-error")
    with caplog.at_level("INFO"):
        answer = handle(tmp_path, {"id": "event-1", "input": json.dumps(request) if as_text else request})
    credential = read_credential(token)
    run = tmp_path / "runs" / "leak-1234-error"
    assert answer["success"] is True, answer
    assert (answer["result"]["status"], answer["result"]["job_id"]) == ("completed", "leak-1234-error")
    assert answer["result"]["message"] == f"the token was {PLACEHOLDER if credential else ''}"
    headers, last = plane.backend_posts[-1]
    assert headers.get("Authorization") == (f"Bearer {credential}" if credential else None)
    assert last["status"] == "completed"
    assert "RUNPOD_API_KEY" not in (run / "environment.txt").read_text().split(",")
    if credential:
        told = list_texts([answer, [body for _, body in plane.backend_posts]])
        told += (run / "logs" / "train.log").read_text().splitlines()
        assert f"the token is {PLACEHOLDER}" in caplog.text
        assert not [text for text in told if credential in text]


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param({"auth_token": "é"}, id="no header can hold it"),
        pytest.param({"auth_token": TOKEN, "model_id": f"x {TOKEN}"}, id="quoted by the error"),
        pytest.param({"auth_token": "error", "model_id": "an error"}, id="the name of a key"),
        pytest.param(json.dumps({"auth_token": TOKEN, "options": {TOKEN: 1}}), id="JSON text"),
        pytest.param(f'{{"auth_token": "{TOKEN}", "{TOKEN}": 1, "{TOKEN}": 2}}', id="no valid JSON"),
    ],
)
def test_a_refusal_says_why_without_the_secret(tmp_path: Path, request_: Any) -> None:
    answer = handle(tmp_path, {"id": "event-1", "input": request_})
    assert answer["error"]
    assert (answer["success"], answer["error_type"], answer["job_id"]) == (False, "JobError", "event-1")
    assert not [text for text in list_texts(answer) for secret in ("é", TOKEN) if secret in text]


@pytest.mark.parametrize(
    ("stored", "is_success"),
    [
        pytest.param({}, True, id="short"),
        pytest.param({"artifacts": "x", "evaluation": {"wer_normalized_before": "x"}}, True, id="odd"),
        pytest.param(
            {"evaluation": {"wer_normalized_before": "x", "wer_normalized_after": []}}, True, id="odder"
        ),
        pytest.param({"warnings": None}, False, id="without warnings"),
        pytest.param({"status": "running"}, False, id="no result"),
        pytest.param({"deep": "DEEP"}, False, id="deep"),
    ],
)
def test_an_odd_result_is_answered(
    tmp_path: Path, plane: ControlPlane, stored: dict[str, Any], is_success: bool
) -> None:
    request = make_request(plane)
    settings = OperatorSettings(tmp_path / "runs", is_private_backend_allowed=True)
    with open_run(settings.runs_dir, read_job(request, "event-1", settings).job) as claimed:
        run = claimed.path
    deep = "[" * 900 + "]" * 900
    whole = {"status": "completed", "job_id": "job-1", **stored}
    (run / "result.json").write_text(json.dumps(whole).replace('"DEEP"', deep))
    answer = handle(tmp_path, {"id": "event-1", "input": request})
    assert answer["success"] is is_success
    assert bool(answer.get("error")) is not is_success


@pytest.mark.parametrize("event", [None, [], {}, {"input": None}, {"input": 5, "id": None}], ids=repr)
@pytest.mark.parametrize(
    "is_folder", [False, True], ids=["no folder for the answer", "a folder in its place"]
)
def test_whatever_comes_an_answer_goes_out(tmp_path: Path, event: object, is_folder: bool) -> None:
    answer_file = tmp_path if is_folder else tmp_path / "missing" / "answer.json"
    answer = handle(tmp_path, event, answer_file)
    assert answer["success"] is False
    assert answer["error"]
