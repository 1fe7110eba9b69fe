"""The handler with the real RunPod SDK, real processes and a control plane on loopback."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from control_plane import ControlPlane

from recipe.backend.events import Outbox

IS_SPREAD = True  # each test has a worker of its own
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


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


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
        family = [*self.children(), psutil.Process(self.process.pid)] if self.process.poll() is None else []
        for process in family:
            process.kill()
        self.process.wait()


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    plane = ControlPlane()
    yield plane
    plane.close()


@pytest.fixture
def start(tmp_path: Path, plane: ControlPlane) -> Iterator[Callable[..., WorkerProcess]]:
    workers: list[WorkerProcess] = []

    def start_worker(behaviour: str, *arguments: str, **environment: str) -> WorkerProcess:
        workers.append(WorkerProcess(tmp_path, behaviour, plane.environment() | environment, *arguments))
        return workers[-1]

    yield start_worker
    for worker in workers:
        worker.close()


def statuses(plane: ControlPlane) -> list[str]:
    return [event["status"] for _, event in plane.backend_posts]


def sequences(plane: ControlPlane) -> list[int]:
    return [event["sequence"] for _, event in plane.backend_posts]


def has_told(worker: WorkerProcess, status: str) -> bool:
    path = worker.run / "events.sqlite"
    return path.exists() and status in [event["status"] for event in Outbox(path, "job-1").events()]


def is_training(worker: WorkerProcess) -> bool:
    return has_told(worker, "training_progress")


def assert_gone(pids: list[int], seconds: float = 10.0) -> None:
    def is_gone(pid: int) -> bool:
        return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE

    wait_until(lambda: all(is_gone(pid) for pid in pids), seconds)


def test_a_job_is_trained_relayed_and_answered(start, plane: ControlPlane) -> None:
    worker = start("finish")
    plane.submit("event-1", make_request(plane, new_field=1))
    answer = plane.wait_for_answer()
    assert answer["output"]["success"] is True
    result = answer["output"]["result"]
    assert result["job_id"] == "job-1"
    assert result["artifacts"]["final_loss"] is None, "NaN is not JSON"
    assert "new_field" in result["warnings"][-1]
    assert plane.updates[-1][1]["status"] == "completed"
    assert not any("not_relayed" in update for _, update in plane.updates)
    assert statuses(plane)[-1] == "completed"
    assert sequences(plane) == sorted(sequences(plane))
    assert "hello from the training" in worker.log.read_text()
    assert oct(worker.run.stat().st_mode)[-3:] == "700"


def test_the_same_job_again_gets_the_stored_answer_without_training(start, plane: ControlPlane) -> None:
    worker = start("quick")
    plane.submit("event-1", make_request(plane))
    first = plane.wait_for_answer()
    plane.submit("event-1", make_request(plane, auth_token="a-fresh-token"))
    assert plane.wait_for_answer() == first
    assert len(worker.starts()) == 1


def test_the_same_id_with_other_settings_is_a_conflict(start, plane: ControlPlane) -> None:
    worker = start("quick")
    plane.submit("event-1", make_request(plane))
    plane.wait_for_answer()
    plane.submit("event-2", make_request(plane, epochs=2))
    answer = plane.wait_for_answer()
    assert answer["output"]["error_type"] == "JobConflictError"
    assert "epochs" in answer["error"]
    assert len(worker.starts()) == 1


def test_a_job_that_runs_on_another_worker_is_a_conflict(start, plane: ControlPlane) -> None:
    first = start("slow")
    plane.submit("event-1", make_request(plane))
    wait_until(lambda: is_training(first))
    second = start("slow")
    wait_until(lambda: "Jobs in queue" in second.log.read_text() or second.process.poll() is None, 5)
    plane.submit("event-1", make_request(plane))
    answer = plane.wait_for_answer()
    assert answer["output"]["error_type"] == "JobConflictError"
    assert len(first.starts()) == 1
    assert "failed" not in statuses(plane), "the running job must not be told that it failed"


def test_a_wrong_job_is_refused_with_every_problem_and_no_training(start, plane: ControlPlane) -> None:
    worker = start("quick")
    plane.submit("event-1", make_request(plane, epochs=0, user_id="../x", files_manifest=[]))
    answer = plane.wait_for_answer()
    assert answer["output"] == {"success": False, "error_type": "JobError", "job_id": "job-1"}
    assert all(name in answer["error"] for name in ("epochs", "user_id", "files_manifest"))
    assert not worker.runs_dir.exists()


def test_an_error_of_the_training_is_answered_with_its_type_and_told_once(start, plane: ControlPlane) -> None:
    start("fail")
    plane.submit("event-1", make_request(plane))
    answer = plane.wait_for_answer()
    assert answer["error"] == "Recording a.wav is odd."
    assert answer["output"]["error_type"] == "DataError"
    assert statuses(plane).count("failed") == 1


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        pytest.param("die", "memory ran out", id="killed"),
        pytest.param("stillborn", "MemoryError: there is no room", id="before it could tell anything"),
    ],
)
def test_a_training_that_dies_is_a_failure_with_a_reason_and_can_be_resumed(
    start, plane: ControlPlane, behaviour: str, reason: str
) -> None:
    worker = start(behaviour)
    for attempt in (1, 2):
        plane.submit("event-1", make_request(plane))
        answer = plane.wait_for_answer()
        assert answer["output"]["error_type"] == "TrainingError"
        assert reason in answer["error"]
        assert statuses(plane).count("failed") == attempt
        assert "system_stats" in plane.backend_posts[-1][1]
    assert len(worker.starts()) == 2
    assert sequences(plane) == list(range(1, len(plane.backend_posts) + 1))


def test_cancel_ends_the_training_with_a_checkpoint_and_the_worker_goes_on(
    start, plane: ControlPlane
) -> None:
    worker = start("slow")
    plane.submit("event-1", make_request(plane))
    wait_until(lambda: is_training(worker))
    pids = [child.pid for child in worker.children() if child.pid in worker.starts()]
    plane.stops.append("event-1")
    wait_until(lambda: "cancelled" in statuses(plane))
    assert_gone(pids)
    step = json.loads((worker.run / "checkpoint.json").read_text())["step"]
    assert step >= 1
    assert plane.answers == [], "a cancelled job has no answer"
    plane.submit("event-2", make_request(plane))
    wait_until(lambda: has_told(worker, "resumed"))


def test_sigterm_ends_the_training_with_a_checkpoint_an_answer_and_exit_0(start, plane: ControlPlane) -> None:
    worker = start("slow")
    plane.submit("event-1", make_request(plane))
    wait_until(lambda: is_training(worker))
    family = [child.pid for child in worker.children()]
    worker.process.send_signal(signal.SIGTERM)
    answer = plane.wait_for_answer()
    assert answer["output"]["error_type"] == "InterruptedTraining"
    checkpoint = json.loads((worker.run / "checkpoint.json").read_text())
    assert checkpoint["has_helper"], "only the training itself may be told to stop"
    assert worker.process.wait(20) == 0
    assert_gone(family)
    assert statuses(plane)[-1] == "interrupted"
    assert statuses(plane).count("interrupted") == 1


@pytest.mark.parametrize("num_processes", [1, 2])
def test_sigterm_reaches_the_ranks_below_the_real_launchers(
    start, plane: ControlPlane, num_processes: int
) -> None:
    worker = start(f"slow@{num_processes}", OMP_NUM_THREADS="1", WHISPERTRAIN_GRACE_SECONDS="20")
    plane.submit("event-1", make_request(plane))
    wait_until(lambda: is_training(worker) and len(worker.starts()) == num_processes, 60)
    assert any("accelerate.commands.launch" in child.cmdline() for child in worker.children())
    family = [child.pid for child in worker.children()]
    worker.process.send_signal(signal.SIGTERM)
    answer = plane.wait_for_answer()
    assert "was saved" in answer["error"]
    assert (worker.run / "checkpoint.json").exists()
    assert worker.process.wait(20) == 0
    assert_gone(family)


def test_sigterm_is_answered_within_seconds_though_the_backend_is_down(start, plane: ControlPlane) -> None:
    worker = start("slow", WHISPERTRAIN_FLUSH_SECONDS="30")
    plane.submit("event-1", make_request(plane, backend_base_url="http://127.0.0.1:9"))
    wait_until(lambda: is_training(worker))
    asked = time.monotonic()
    worker.process.send_signal(signal.SIGTERM)
    assert plane.wait_for_answer()["output"]["error_type"] == "InterruptedTraining"
    assert time.monotonic() - asked < 8


def test_a_training_that_does_not_stop_is_killed_with_its_helpers(start, plane: ControlPlane) -> None:
    worker = start("deaf")
    plane.submit("event-1", make_request(plane))
    wait_until(lambda: is_training(worker))
    family = [child.pid for child in worker.children()]
    worker.process.send_signal(signal.SIGTERM)
    answer = plane.wait_for_answer()
    assert "had to be killed" in answer["error"]
    assert_gone(family)
    assert statuses(plane)[-1] == "interrupted"


@pytest.mark.parametrize("launcher", ["", "@1", "@2"], ids=["stand-in", "one process", "two processes"])
def test_kill_9_of_the_handler_leaves_no_orphan_but_a_checkpoint(
    start, plane: ControlPlane, launcher: str
) -> None:
    worker = start(f"slow{launcher}", OMP_NUM_THREADS="1")
    plane.submit("event-1", make_request(plane))
    wait_until(lambda: is_training(worker), 60)
    launcher_and_heartbeat = psutil.Process(worker.process.pid).children()
    heartbeat = [
        child.pid for child in launcher_and_heartbeat if "arguments.json" not in str(child.cmdline())
    ]
    training = [child.pid for child in worker.children() if child.pid not in heartbeat]
    assert len(training) >= 3, "the launcher, the rank and its helper"
    worker.process.kill()
    worker.process.wait()
    assert_gone(training)
    assert (worker.run / "checkpoint.json").exists()
    for pid in heartbeat:  # the SDK's own orphan, which would keep the container's port
        os.kill(pid, signal.SIGKILL)
    start("slow")
    plane.submit("event-1", make_request(plane))
    wait_until(lambda: has_told(worker, "resumed"))


def test_no_secret_is_in_any_argv_log_file_event_or_answer(start, plane: ControlPlane) -> None:
    worker = start("leak", RUNPOD_LOG_LEVEL="DEBUG")
    plane.submit("event-1", make_request(plane))
    wait_until(worker.starts)
    command_lines = [" ".join(process.cmdline()) for process in worker.children()]
    plane.wait_for_answer()
    files = [path for path in (worker.log, *worker.runs_dir.rglob("*")) if path.is_file()]
    assert {"train.log", "job.json", "arguments.json", "events.sqlite"} <= {path.name for path in files}
    texts = {str(path): path.read_text(errors="replace") for path in files}
    texts |= {
        "argv": "\n".join(command_lines),
        "posts": json.dumps([plane.posts, [e for _, e in plane.backend_posts]]),
    }
    leaks = [name for name, text in texts.items() if TOKEN in text or API_KEY in text or "eyJhbGciOi" in text]
    assert leaks == []
    assert "the token is [redacted]" in (worker.run / "logs" / "train.log").read_text()


def test_the_last_progress_is_delivered_before_the_answer_and_seldom_before(tmp_path: Path) -> None:
    plane = ControlPlane(progress_delay=1.0)
    worker = WorkerProcess(tmp_path, "finish", plane.environment())
    try:
        plane.submit("event-1", make_request(plane))
        plane.wait_for_answer()
        time.sleep(1.5)  # a late update would arrive now
        assert "status" not in plane.posts[-1][1], "the answer is the last post"
        assert plane.updates[-1][1]["status"] == "completed"
        assert 2 <= len(plane.updates) <= 3, "10 steps in 2 s are one or two updates and the last one"
    finally:
        worker.close()
        plane.close()


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "TRACE", "NOTSET", None])
def test_local_mode_prints_no_secret_at_any_log_level(
    tmp_path: Path, plane: ControlPlane, level: str | None
) -> None:
    event = json.dumps({"input": make_request(plane)})
    arguments = ["--test_input", event] + (["--rp_log_level", level] if level else [])
    environment = {"RUNPOD_LOG_LEVEL": level} if level else {}
    worker = WorkerProcess(tmp_path, "leak", environment, *arguments)
    assert worker.process.wait(30) == 0
    output = worker.log.read_text()
    assert "Job job-1 accepted" in output
    assert TOKEN not in output
    assert API_KEY not in output


def test_local_mode_fails_with_exit_1(tmp_path: Path, plane: ControlPlane) -> None:
    event = json.dumps({"input": make_request(plane, epochs=0)})
    worker = WorkerProcess(tmp_path, "quick", {}, "--test_input", event)
    assert worker.process.wait(30) == 1
    assert TOKEN not in worker.log.read_text()


def test_the_self_test_needs_neither_job_nor_backend(tmp_path: Path) -> None:
    worker = WorkerProcess(tmp_path, "quick", {}, "--test_input", '{"input": {"self_test": true}}')
    assert worker.process.wait(30) == 0
    assert not worker.runs_dir.exists()


def test_a_job_is_accepted_within_2_5_seconds_of_the_process_start(start, plane: ControlPlane) -> None:
    worker = start("quick")
    plane.submit("event-1", make_request(plane))
    plane.wait_for_answer()
    match = re.search(r"accepted in ([\d.]+) s, ([\d.]+) s after", worker.log.read_text())
    assert match
    assert float(match[2]) < 2.5


def test_importing_the_handler_loads_no_torch_and_starts_nothing() -> None:
    check = (
        "import sys, threading, signal, handler; "
        "assert not {'torch', 'transformers', 'accelerate', 'datasets', 'numpy'} & set(sys.modules); "
        "assert threading.active_count() == 1 and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL"
    )
    subprocess.run([sys.executable, "-c", check], cwd=REPOSITORY, check=True)
