"""Jobs of the handler, with the real RunPod SDK, real processes and a control plane on loopback."""

import json
import os
import re
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from control_plane import ControlPlane
from processes import wait_for
from workers import API_KEY, REPOSITORY, TOKEN, WorkerProcess, is_training, make_request, sequences, statuses

from recipe.worker.progress_relay import PROGRESS_SECONDS


def test_a_job_is_trained_relayed_and_answered(start_worker, plane: ControlPlane) -> None:
    worker = start_worker("finish")
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


def test_the_same_job_again_gets_the_stored_answer_without_training(
    start_worker, plane: ControlPlane
) -> None:
    worker = start_worker("quick")
    plane.submit("event-1", make_request(plane))
    first = plane.wait_for_answer()
    plane.submit("event-1", make_request(plane, auth_token="a-fresh-token"))
    assert plane.wait_for_answer() == first
    assert len(worker.starts()) == 1


def test_a_finished_job_whose_end_was_never_told_tells_it_when_it_comes_again(
    start_worker, plane: ControlPlane
) -> None:
    worker = start_worker("quick")
    plane.submit("event-1", make_request(plane))
    plane.wait_for_answer()
    assert statuses(plane).count("completed") == 1
    (worker.run / "events.sqlite").unlink()  # as if the worker had ended between result and event
    for _ in range(2):
        plane.submit("event-1", make_request(plane))
        assert plane.wait_for_answer()["output"]["success"] is True
        assert statuses(plane).count("completed") == 2


def test_the_same_id_with_other_settings_is_a_conflict(start_worker, plane: ControlPlane) -> None:
    worker = start_worker("quick")
    plane.submit("event-1", make_request(plane))
    plane.wait_for_answer()
    plane.submit("event-2", make_request(plane, epochs=2))
    answer = plane.wait_for_answer()
    assert answer["output"]["error_type"] == "JobConflictError"
    assert "epochs" in answer["error"]
    assert len(worker.starts()) == 1


def test_a_job_that_runs_on_another_worker_is_a_conflict(start_worker, plane: ControlPlane) -> None:
    first = start_worker("slow")
    plane.submit("event-1", make_request(plane))
    wait_for(lambda: is_training(first))
    second = start_worker("slow")
    wait_for(lambda: "Jobs in queue" in second.log.read_text() or second.process.poll() is None)
    plane.submit("event-1", make_request(plane))
    answer = plane.wait_for_answer()
    assert answer["output"]["error_type"] == "JobConflictError"
    assert len(first.starts()) == 1
    assert "failed" not in statuses(plane), "the running job must not be told that it failed"


def test_a_wrong_job_is_refused_with_every_problem_and_no_training(start_worker, plane: ControlPlane) -> None:
    worker = start_worker("quick")
    plane.submit("event-1", make_request(plane, epochs=0, user_id="../x", files_manifest=[]))
    answer = plane.wait_for_answer()
    assert answer["output"] == {"success": False, "error_type": "JobError", "job_id": "job-1"}
    assert all(name in answer["error"] for name in ("epochs", "user_id", "files_manifest"))
    assert not worker.runs_dir.exists()


def test_no_secret_is_in_any_argv_log_file_event_or_answer(start_worker, plane: ControlPlane) -> None:
    worker = start_worker("leak", RUNPOD_LOG_LEVEL="DEBUG")
    plane.submit("event-1", make_request(plane))
    wait_for(worker.starts)
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
        *before, _ = [at for at, _ in plane.updates]
        assert before, "10 steps are an update, or on a busy machine some, and the last one"
        assert all(later - earlier > PROGRESS_SECONDS - 1 for earlier, later in pairwise(before))
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
    assert worker.process.wait(120) == 0
    output = worker.log.read_text()
    assert "Job job-1 accepted" in output
    assert TOKEN not in output
    assert API_KEY not in output


def test_local_mode_fails_with_exit_1(tmp_path: Path, plane: ControlPlane) -> None:
    event = json.dumps({"input": make_request(plane, epochs=0)})
    worker = WorkerProcess(tmp_path, "quick", {}, "--test_input", event)
    assert worker.process.wait(120) == 1
    assert TOKEN not in worker.log.read_text()


def test_the_self_test_needs_neither_job_nor_backend(tmp_path: Path) -> None:
    worker = WorkerProcess(tmp_path, "quick", {}, "--test_input", '{"input": {"self_test": true}}')
    assert worker.process.wait(120) == 0
    assert not worker.runs_dir.exists()


def test_a_job_is_accepted_within_2_5_seconds_of_the_process_start(start_worker, plane: ControlPlane) -> None:
    seconds = []
    for attempt in range(3):  # a machine that is busy with something else may be slow once
        worker = start_worker("quick")
        plane.submit("event-1", make_request(plane, job_id=f"job-{attempt}"))
        plane.wait_for_answer()
        match = re.search(r"accepted in ([\d.]+) s, ([\d.]+) s after", worker.log.read_text())
        assert match
        seconds.append(float(match[2]))
        if min(seconds) < 2.5:
            return
        worker.close()
    pytest.fail(f"it took {seconds} s")


def test_importing_the_handler_loads_no_torch_and_starts_nothing() -> None:
    check = (
        "import sys, threading, signal, handler; "
        "assert not {'torch', 'transformers', 'accelerate', 'datasets', 'numpy'} & set(sys.modules); "
        "assert threading.active_count() == 1 and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL"
    )
    subprocess.run([sys.executable, "-c", check], cwd=REPOSITORY, check=True)


def test_a_setting_that_cannot_be_meant_ends_the_worker_with_a_sentence() -> None:
    environment = os.environ | {"WHISPERTRAIN_GRACE_SECONDS": "soon"}
    ended = subprocess.run(
        [sys.executable, "handler.py"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("The worker cannot start: WHISPERTRAIN_GRACE_SECONDS is 'soon'; expected")
    assert len(ended.stderr.splitlines()) == 1
