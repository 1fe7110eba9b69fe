"""The same promise for a job: whatever befalls its workers, the job sent again ends as an undisturbed one."""

import json
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from control_plane import ControlPlane
from outboxes import has_told
from processes import wait_for, wait_until_gone
from sites import FILES, serve_site
from training_runs import USER, clean_environment, read_backend
from workers import WorkerProcess

from recipe.run.stages import Stage

pytestmark = pytest.mark.slow

STAGES = (Stage.MODEL_LOADED, Stage.DATASET_READY, Stage.CHECKPOINT_SAVED, Stage.SAVING_MODEL)


@dataclass
class Job:
    """A job and where its workers live.

    Attributes:
        folder: Of the workers.
        backend: Address of the reference backend.
        request: What is sent.
        environment: Of the workers, beside what RunPod sets.
    """

    folder: Path
    backend: str
    request: dict[str, Any]
    environment: dict[str, str]

    @property
    def run(self) -> Path:
        return self.folder / "runs" / str(self.request["job_id"])

    @property
    def weights(self) -> bytes:
        return (self.run / "model" / "model.safetensors").read_bytes()

    def start(self, plane: ControlPlane) -> WorkerProcess:
        """A worker below the plane, which has been sent the job."""
        worker = WorkerProcess(self.folder, "real", plane.environment() | self.environment)
        plane.submit("event-1", self.request)
        return worker


Act = Callable[[Job, ControlPlane, WorkerProcess], None]


def kill(job: Job, plane: ControlPlane, worker: WorkerProcess) -> None:
    worker.process.kill()
    worker.process.wait()


def stop(job: Job, plane: ControlPlane, worker: WorkerProcess) -> None:
    worker.process.send_signal(signal.SIGTERM)
    output = plane.wait_for_answer()["output"]
    assert output["success"] or output["can_resume"] is True
    worker.process.wait(60)


def cancel(job: Job, plane: ControlPlane, worker: WorkerProcess) -> None:
    plane.stops.append("event-1")
    ends = {Stage.CANCELLED, Stage.COMPLETED}
    wait_for(lambda: plane.answers or any(has_told(job.run, end) for end in ends))


def send_to_another_worker(job: Job, plane: ControlPlane, worker: WorkerProcess) -> None:
    other_plane = ControlPlane()
    try:
        other = job.start(other_plane)
        try:
            answer = other_plane.wait_for_answer()
        finally:
            other.close()
    finally:
        other_plane.close()
    is_told = "running already on a worker" in answer.get("error", "")
    assert answer["output"]["success"] or is_told, answer
    worker.close()


ACTS: dict[str, Act] = {
    "killed": kill,
    "stopped": stop,
    "cancelled": cancel,
    "sent to another": send_to_another_worker,
}


def disturb(job: Job, act: Act, stage: str, source: random.Random) -> None:
    plane = ControlPlane()
    worker = job.start(plane)
    try:
        # Told by an earlier attempt: somewhere on the way back to it.
        delay = source.uniform(0, 10 if has_told(job.run, stage) else 0.3)
        wait_for(lambda: has_told(job.run, stage) or plane.answers)
        deadline = time.monotonic() + delay
        wait_for(lambda: time.monotonic() > deadline or plane.answers)
        family = [child.pid for child in worker.children() if "arguments.json" in str(child.cmdline())]
        if not plane.answers:
            act(job, plane, worker)
        wait_until_gone(family)
    finally:
        worker.close()
        plane.close()


def finish(job: Job) -> Job:
    plane = ControlPlane()
    worker = job.start(plane)
    try:
        answer = plane.wait_for_answer(300)
    finally:
        worker.close()
        plane.close()
    assert answer["output"]["success"] is True, answer
    return job


@pytest.fixture(scope="module")
def build_job(tiny_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Job]]:
    root = tmp_path_factory.mktemp("jobs")
    with serve_site(root, tiny_dir) as site:

        def build(name: str) -> Job:
            request = {
                "model_id": str(tiny_dir),
                "epochs": 4,
                "project_id": "project-1",
                "user_id": USER,
                "backend_base_url": site.backend,
                "auth_token": "",
                "worker_api_key": "",
                "batch_size": 1,
                "learning_rate": 1e-3,
                "files_manifest": FILES,
                "job_id": name,
                "options": {"language": "en", "publish_if_worse": True},  # chance made the model
            }
            environment = clean_environment(
                WHISPERTRAIN_MODELS_DIR=str(tiny_dir.parent), WHISPERTRAIN_GRACE_SECONDS="60"
            )
            folder = root / name
            folder.mkdir()
            return Job(folder, site.backend, request, environment)

        yield build


def test_whatever_befalls_its_workers_the_job_ends_as_an_undisturbed_one(
    build_job: Callable[[str], Job], seed: int
) -> None:
    quiet = finish(build_job("quiet"))
    source = random.Random(seed)
    plan = [(name, source.choice(STAGES)) for name in ACTS for _ in range(2)]
    source.shuffle(plan)
    for number in range(0, len(plan), 4):
        job = build_job(f"job-{number}")
        for name, stage in plan[number : number + 4]:
            disturb(job, ACTS[name], stage, source)
        finish(job)
        assert job.weights == quiet.weights, plan
        result = json.loads((job.run / "result.json").read_text())
        assert result["evaluation"] == json.loads((quiet.run / "result.json").read_text())["evaluation"]
        events = read_backend(job.backend, f"job-{number}")
        assert [event["sequence"] for event in events] == list(range(1, len(events) + 1)), plan
        told = [event["status"] for event in events]
        assert told[-1] == Stage.COMPLETED, plan
        assert told.count(Stage.COMPLETED) == 1, plan
