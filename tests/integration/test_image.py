"""The Dockerfile builds, and its container does what a worker must: answer, go on, end when it is told to."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from control_plane import ControlPlane
from filelock import FileLock
from image import Container, Image, ImageBuilder, NoImageHereError
from processes import wait_for, wait_until_gone
from training_runs import USER, read_backend, serve_backend, write_recording

ROOT = Path(__file__).resolve().parents[2]
GRACE_SECONDS = 30

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def image(asset_cache_dir: Path) -> Image:
    with FileLock(asset_cache_dir / "image.lock"):
        try:
            image = ImageBuilder(ROOT, asset_cache_dir / "image").build()
        except NoImageHereError as error:
            pytest.skip(f"the image cannot be built here: {error}")
    print(image.describe_sizes())
    return image


@pytest.fixture
def start(image: Image, tmp_path: Path) -> Iterator[Callable[..., Container]]:
    """Starts a container of the image, by `Container`'s arguments; it ends with the test."""
    containers: list[Container] = []

    def start(*command: str, bound: tuple[str, ...] = (), **environment: str) -> Container:
        folder = tmp_path / f"container-{len(containers)}"
        containers.append(Container(image, folder, command, {"OMP_NUM_THREADS": "1", **environment}, bound))
        return containers[-1]

    yield start
    for container in containers:
        container.close()


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="test_input.json"),
        pytest.param(["--test_input", '{"input": {"self_test": true}}'], id="--test_input"),
    ],
)
def test_the_container_answers_its_self_test(image: Image, start, arguments: list[str]) -> None:
    container = start(*image.command, *arguments, WHISPERTRAIN_ANSWER_FILE="/tmp/answer.json")
    code = container.wait(300)
    output = container.output.read_text()
    assert code == 0, output
    answer = json.loads((container.files / "tmp" / "answer.json").read_text())
    assert answer["success"] is True, output
    assert answer["result"]["artifacts"]["training_metrics"], output


def test_every_module_imports_with_the_packages_of_the_worker(start) -> None:
    script = (
        "import pkgutil, recipe, train, handler; "
        "names = [m.name for m in pkgutil.walk_packages(recipe.__path__, 'recipe.')]; "
        "[__import__(name) for name in names]; print(len(names), 'modules')"
    )
    container = start("python", "-c", script)
    assert container.wait(120) == 0, container.output.read_text()
    assert int(container.output.read_text().split()[-2]) > 50


FEED = """
import sys, time, torch
from torch.utils.data import DataLoader
from recipe.training.arguments import choose_num_workers
batch_size = int(sys.argv[1])
windows = [torch.zeros(128, 3000) for _ in range(4)] * 60
num_workers = choose_num_workers(batch_size)
for _ in DataLoader(windows, batch_size=batch_size, num_workers=num_workers):
    time.sleep(0.1)
print(num_workers)
"""


@pytest.mark.parametrize(
    ("batch_size", "has_workers"), [pytest.param(4, True, id="small"), pytest.param(16, False, id="large")]
)
def test_batches_fit_into_the_shared_memory_that_engines_give(
    start, batch_size: int, has_workers: bool
) -> None:
    container = start("python", "-c", FEED, str(batch_size))
    assert container.wait(300) == 0, container.output.read_text()
    assert (int(container.output.read_text()) > 0) == has_workers


def test_an_idle_worker_ends_when_it_is_told_to(image: Image, start, plane: ControlPlane) -> None:
    container = start(*image.command, **plane.environment())
    plane.submit("event-1", {"self_test": True})
    assert plane.wait_for_answer()["output"]["success"] is True
    left = [process for process in container.family if process.status() == psutil.STATUS_ZOMBIE]
    assert left == [], "process 1 has to take leave of every process that its trainings lose"
    asked = time.monotonic()
    container.terminate()
    container.wait(GRACE_SECONDS)
    assert time.monotonic() - asked < GRACE_SECONDS


def test_a_training_that_is_told_to_stop_leaves_a_checkpoint_an_answer_and_nothing_running(
    image: Image, start, plane: ControlPlane, tiny_dir: Path, tmp_path: Path
) -> None:
    uploads = tmp_path / "backend" / "uploads" / USER
    uploads.mkdir(parents=True)
    write_recording(uploads / "tones", num_cues=26)
    with serve_backend(tmp_path / "backend") as backend:
        container = start(
            *image.command,
            bound=(f"{tiny_dir}:/models/tiny",),
            WHISPERTRAIN_MODELS_DIR="/models",
            WHISPERTRAIN_ALLOW_PRIVATE_BACKEND="1",
            WHISPERTRAIN_GRACE_SECONDS=str(GRACE_SECONDS),
            **plane.environment(),
        )
        request = {
            "job_id": "job-1",
            "project_id": "project-1",
            "user_id": USER,
            "backend_base_url": backend,
            "model_id": "/models/tiny",
            "epochs": 1000,
            "files_manifest": [
                {"file_type": "audio", "filename": "tones.flac"},
                {"file_type": "transcript", "filename": "tones.vtt"},
            ],
        }
        plane.submit("event-1", request)

        def is_training() -> bool:
            assert not plane.has_answer.is_set(), plane.answers
            return "training_progress" in [event["status"] for event in read_backend(backend, "job-1")]

        wait_for(is_training)
        family = [process.pid for process in container.family]
        asked = time.monotonic()
        container.terminate()
        code = container.wait(2 * GRACE_SECONDS)
        assert time.monotonic() - asked < GRACE_SECONDS
        answer = plane.wait_for_answer()
    assert code == 0, container.output.read_text()
    assert answer["output"]["error_type"] == "InterruptedTraining"
    assert "was saved" in answer["error"], "the training ended by itself, not with process 1"
    run = container.files / "worker" / "runs" / "job-1"
    assert list(run.glob("checkpoint-*/complete.json"))
    wait_until_gone(family)
