"""However a training or its worker ends: an answer, a checkpoint, and no process left over."""

import json
import os
import signal
import time

import psutil
import pytest
from control_plane import ControlPlane
from outboxes import has_told
from processes import wait_for, wait_until_gone
from workers import is_training, make_request, sequences, statuses


def test_an_error_of_the_training_is_answered_with_its_type_and_told_once(
    start_worker, plane: ControlPlane
) -> None:
    start_worker("fail")
    plane.submit("event-1", make_request(plane))
    answer = plane.wait_for_answer()
    assert answer["error"] == "Recording a.wav is odd."
    assert answer["output"]["error_type"] == "DataError"
    assert "can_resume" not in answer["output"]
    assert statuses(plane).count("failed") == 1


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        pytest.param("die", "memory ran out", id="killed"),
        pytest.param("stillborn", "MemoryError: there is no room", id="before it could tell anything"),
    ],
)
def test_a_training_that_dies_is_a_failure_with_a_reason_and_can_be_resumed(
    start_worker, plane: ControlPlane, behaviour: str, reason: str
) -> None:
    worker = start_worker(behaviour)
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
    start_worker, plane: ControlPlane
) -> None:
    worker = start_worker("slow")
    plane.submit("event-1", make_request(plane))
    wait_for(lambda: is_training(worker))
    pids = [child.pid for child in worker.children() if child.pid in worker.starts()]
    plane.stops.append("event-1")
    wait_for(lambda: "cancelled" in statuses(plane))
    wait_until_gone(pids)
    step = json.loads((worker.run / "checkpoint.json").read_text())["step"]
    assert step >= 1
    assert plane.answers == [], "a cancelled job has no answer"
    plane.submit("event-2", make_request(plane))
    wait_for(lambda: has_told(worker.run, "resumed"))


def test_sigterm_ends_the_training_with_a_checkpoint_an_answer_and_exit_0(
    start_worker, plane: ControlPlane
) -> None:
    worker = start_worker("slow")
    plane.submit("event-1", make_request(plane))
    wait_for(lambda: is_training(worker))
    family = [child.pid for child in worker.children()]
    worker.process.send_signal(signal.SIGTERM)
    answer = plane.wait_for_answer()
    assert answer["output"]["error_type"] == "InterruptedTraining"
    assert answer["output"]["can_resume"] is True
    checkpoint = json.loads((worker.run / "checkpoint.json").read_text())
    assert checkpoint["has_helper"], "only the training itself may be told to stop"
    assert worker.process.wait(120) == 0
    wait_until_gone(family)
    assert statuses(plane)[-1] == "interrupted"
    assert statuses(plane).count("interrupted") == 1


@pytest.mark.parametrize("num_processes", [1, 2])
def test_sigterm_reaches_the_ranks_below_the_real_launchers(
    start_worker, plane: ControlPlane, num_processes: int
) -> None:
    worker = start_worker(f"slow@{num_processes}", OMP_NUM_THREADS="1", WHISPERTRAIN_GRACE_SECONDS="20")
    plane.submit("event-1", make_request(plane))
    wait_for(lambda: is_training(worker) and len(worker.starts()) == num_processes)
    assert any("accelerate.commands.launch" in child.cmdline() for child in worker.children())
    family = [child.pid for child in worker.children()]
    worker.process.send_signal(signal.SIGTERM)
    answer = plane.wait_for_answer()
    assert "was saved" in answer["error"]
    assert (worker.run / "checkpoint.json").exists()
    assert worker.process.wait(120) == 0
    wait_until_gone(family)


def test_sigterm_is_answered_within_seconds_though_the_backend_is_down(
    start_worker, plane: ControlPlane
) -> None:
    worker = start_worker("slow", WHISPERTRAIN_FLUSH_SECONDS="30")
    plane.submit("event-1", make_request(plane, backend_base_url="http://127.0.0.1:9"))
    wait_for(lambda: is_training(worker))
    asked = time.monotonic()
    worker.process.send_signal(signal.SIGTERM)
    assert plane.wait_for_answer()["output"]["error_type"] == "InterruptedTraining"
    assert time.monotonic() - asked < 8


def test_a_training_that_does_not_stop_is_killed_with_its_helpers(start_worker, plane: ControlPlane) -> None:
    worker = start_worker("deaf")
    plane.submit("event-1", make_request(plane))
    wait_for(lambda: is_training(worker))
    family = [child.pid for child in worker.children()]
    worker.process.send_signal(signal.SIGTERM)
    answer = plane.wait_for_answer()
    assert "had to be killed; run the same job again" in answer["error"]
    assert answer["output"]["can_resume"] is True
    wait_until_gone(family)
    event = plane.backend_posts[-1][1]
    assert (event["status"], event["error"]) == ("interrupted", answer["error"])
    assert event["can_resume"] is True


@pytest.mark.parametrize("launcher", ["", "@1", "@2"], ids=["stand-in", "one process", "two processes"])
def test_kill_9_of_the_handler_leaves_no_orphan_but_a_checkpoint(
    start_worker, plane: ControlPlane, launcher: str
) -> None:
    worker = start_worker(f"slow{launcher}", OMP_NUM_THREADS="1")
    plane.submit("event-1", make_request(plane))
    wait_for(lambda: is_training(worker))
    launcher_and_heartbeat = psutil.Process(worker.process.pid).children()
    heartbeat = [
        child.pid for child in launcher_and_heartbeat if "arguments.json" not in str(child.cmdline())
    ]
    training = [child.pid for child in worker.children() if child.pid not in heartbeat]
    assert len(training) >= 3, "the launcher, the rank and its helper"
    worker.process.kill()
    worker.process.wait()
    wait_until_gone(training)
    assert (worker.run / "checkpoint.json").exists()
    for pid in heartbeat:  # the SDK's own orphan, which would keep the container's port
        os.kill(pid, signal.SIGKILL)
    start_worker("slow")
    plane.submit("event-1", make_request(plane))
    wait_for(lambda: has_told(worker.run, "resumed"))
