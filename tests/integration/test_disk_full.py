"""A disk that is full, or read-only, at any stage: a sentence, an end that is told, no outcome lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from control_plane import ControlPlane
from damages import DAMAGES, Damage
from disks import fill, make_read_only, mount_disk
from sites import Site, serve_site
from training_runs import (
    Process,
    TrainingRun,
    read_backend,
    wait_until,
)
from workers import make_request, sequences, statuses


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Holds the run folders of the workers that `start_worker` starts."""
    with mount_disk(tmp_path / "runs", 4) as disk:
        yield disk


def assert_told_once(plane: ControlPlane, status: str) -> None:
    """Ids are unique and the sequence rises, but for an end that both processes told with one id."""
    by_id = {event["event_id"]: event for _, event in plane.backend_posts}
    told = [event["status"] for event in by_id.values()]
    assert told[-1] == status
    assert told.count(status) == 1
    numbers = [event["sequence"] for event in by_id.values()]
    assert numbers == sorted(set(numbers))


def test_a_disk_that_is_full_from_the_start_is_named_in_answer_and_event(
    start_worker, plane: ControlPlane, disk: Path
) -> None:
    fill(disk)
    start_worker("quick")
    plane.submit("event-1", make_request(plane))
    answer = plane.wait_for_answer()
    assert answer["output"]["error_type"] == "DiskError"
    assert "is full: No space left on device, 0 MiB are free" in answer["error"]
    assert_told_once(plane, "failed")
    assert plane.backend_posts[-1][1]["error"] == answer["error"]


def test_a_read_only_disk_is_refused_with_a_sentence(start_worker, plane: ControlPlane, disk: Path) -> None:
    make_read_only(disk)
    start_worker("quick")
    plane.submit("event-1", make_request(plane))
    answer = plane.wait_for_answer()
    assert answer["output"]["error_type"] == "DiskError"
    assert "cannot be written: Read-only file system" in answer["error"]
    assert_told_once(plane, "failed")


def test_a_finished_job_is_answered_from_a_read_only_disk(
    start_worker, plane: ControlPlane, disk: Path
) -> None:
    worker = start_worker("quick")
    plane.submit("event-1", make_request(plane))
    first = plane.wait_for_answer()
    make_read_only(disk)
    plane.submit("event-1", make_request(plane))
    assert plane.wait_for_answer() == first
    assert first["output"]["success"] is True
    assert len(worker.starts()) == 1
    assert_told_once(plane, "completed")


def test_a_disk_that_fills_up_ends_the_attempt_and_the_next_one_goes_on(
    start_worker, plane: ControlPlane, disk: Path
) -> None:
    worker = start_worker("fill")
    plane.submit("event-1", make_request(plane))
    answer = plane.wait_for_answer()
    assert answer["output"]["error_type"] == "DiskError"
    assert "is full" in answer["error"]
    assert_told_once(plane, "failed")
    worker.close()
    (disk / "ballast").unlink()
    start_worker("quick")
    plane.submit("event-1", make_request(plane))
    assert plane.wait_for_answer()["output"]["success"] is True
    assert_told_once(plane, "completed")
    assert statuses(plane).count("failed") == 1


def test_a_disk_that_is_full_once_the_result_is_there_changes_nothing(
    start_worker, plane: ControlPlane, disk: Path
) -> None:
    start_worker("fill after the result")
    for _ in range(2):
        plane.submit("event-1", make_request(plane))
        assert plane.wait_for_answer()["output"]["success"] is True
        assert_told_once(plane, "completed")


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_finished_job_with_a_damaged_outbox_still_answers(
    start_worker, plane: ControlPlane, damage: Damage
) -> None:
    worker = start_worker("quick")
    plane.submit("event-1", make_request(plane))
    first = plane.wait_for_answer()
    damage(worker.run / "events.sqlite")
    plane.submit("event-1", make_request(plane))
    assert plane.wait_for_answer() == first
    assert len(worker.starts()) == 1
    assert sequences(plane) == sorted(sequences(plane))


@pytest.fixture(scope="module")
def site(tiny_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serve_site(tmp_path_factory.mktemp("states"), tiny_dir) as site:
        yield site


@pytest.fixture(scope="module")
def quiet(site: Site) -> TrainingRun:
    return site.run("quiet").finish()


def test_a_real_training_on_a_disk_that_fills_up_says_so_and_goes_on_to_the_same_weights(
    site: Site, quiet: TrainingRun, tmp_path: Path
) -> None:
    with mount_disk(tmp_path / "disk", 400) as disk:
        run = site.run(disk / "crowded")

        def fill_up(run: TrainingRun, process: Process) -> None:
            wait_until(lambda: run.num_updates_saved() >= 1, process)
            fill(disk)

        assert run.interrupt(fill_up) == 1
        (failed,) = [e for e in read_backend(site.backend, "crowded") if e["status"] == "failed"]
        assert failed["error_type"] == "DiskError"
        assert "is full" in failed["error"]
        (disk / "ballast").unlink()
        run.finish()
        assert run.weights == quiet.weights
        events = read_backend(site.backend, "crowded")
        assert events[-1]["status"] == "completed"
        numbers = [event["sequence"] for event in events]
        assert numbers == sorted(set(numbers))


STATE_FILES = (
    "result.json",
    "cached/*.json",
    "checkpoint-*/complete.json",
    "prepared/shards/*.json",
    "prepared/shards/*.arrow",
    "prepared/shards/*.tar",
    "prepared/tokenizer.json",
    "downloads/*.source",
    "downloads/*.flac",
    "downloads/*.vtt",
    "events.sqlite",
    "events.sqlite.sequence",
)


@pytest.mark.parametrize(
    "first", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, len(DAMAGES)))]
)
def test_a_run_whose_every_state_file_is_damaged_ends_as_if_none_were(
    site: Site, quiet: TrainingRun, first: int
) -> None:
    """Each round gives each file another damage."""
    run = site.run(f"damaged-{first}").finish()
    told = read_backend(site.backend, run.folder.name)
    kinds = list(DAMAGES.values())
    for number, pattern in enumerate(STATE_FILES):
        paths = sorted(run.folder.glob(pattern))
        assert paths, pattern
        for path in paths:
            kinds[(first + number) % len(kinds)](path)
    run.finish()
    assert run.weights == quiet.weights
    assert run.read("result.json")["evaluation"] == quiet.read("result.json")["evaluation"]
    assert run.read("result.json")["dataset"] == quiet.read("result.json")["dataset"]
    events = read_backend(site.backend, run.folder.name)
    assert events[: len(told)] == told
    numbers = [event["sequence"] for event in events]
    assert numbers == sorted(set(numbers))
    assert events[-1]["status"] == "completed"
