"""Whatever ends `train.py`, the same command again ends with the weights and the events of a quiet run.

The sequence of disturbances runs once; each test looks at another side of what it left.
"""

import contextlib
import json
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from sites import Site, serve_site
from training_runs import (
    CPU,
    MissedMoment,
    TrainingRun,
    clean_environment,
    fingerprint_of,
    kill_inside_a_save,
    read_backend,
    send,
    wait_until,
)
from warm_parent import ForkedRun

from recipe.run.files import CHECKSUM
from recipe.run.stages import Stage
from recipe.training.checkpoints import COMPLETION_FILE, DAMAGED_DIR, find_checkpoint, list_checkpoints

NUM_CUES, NUM_EPOCHS = 40, 3
TOLD_BY_TIME = {Stage.TRAINING_PROGRESS, Stage.DOWNLOAD_PROGRESS, Stage.STAGE_PROGRESS}
TOLD_OF_ATTEMPTS = {Stage.RESUMED, Stage.INTERRUPTED}


@dataclass(frozen=True)
class Traces:
    """What the disturbances left.

    Attributes:
        damaged: Name of the checkpoint that was damaged.
        exit_code: After the SIGTERM.
        seconds: From the SIGTERM to the end.
        error: As the run's folder had it then.
        last_event: At the end of that attempt.
        num_updates_saved: Update of the last checkpoint then.
    """

    damaged: str
    exit_code: int
    seconds: float
    error: dict[str, Any]
    last_event: dict[str, Any]
    num_updates_saved: int


@pytest.fixture(scope="module")
def site(tiny_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("resume")
    with serve_site(root, tiny_dir, NUM_CUES, num_train_epochs=NUM_EPOCHS, label_check="off") as site:
        yield site


@pytest.fixture(scope="module")
def quiet(site: Site) -> TrainingRun:
    return site.run("quiet").finish()


@pytest.fixture(scope="module")
def disturbed(site: Site, quiet: TrainingRun) -> tuple[TrainingRun, Traces]:
    """Two kill -9 inside a save, a flipped bit, a kill -9 of the launcher, one SIGTERM.

    A trainer without its launcher is told to traces.
    """
    run = site.run("disturbed")
    assert run.interrupt(kill_inside_a_save(after=0)) == -signal.SIGKILL
    assert run.num_updates_saved() == 0, "there was no whole checkpoint yet"
    assert run.interrupt(kill_inside_a_save(after=2)) == -signal.SIGKILL
    damaged = newest_whole(run)
    flip_bit(damaged / "optimizer.pt")
    below_launcher = replace(run, launcher=CPU)
    assert below_launcher.interrupt(kill_launcher(after=4)) == -signal.SIGKILL
    started: list[float] = []
    exit_code = run.interrupt(note_time(started, send(signal.SIGTERM, after=10)))
    seconds = time.monotonic() - started[0]
    error, last_event, num_saved = run.read("error.json"), run.events[-1], run.num_updates_saved()
    return run.finish(), Traces(damaged.name, exit_code, seconds, error, last_event, num_saved)


def newest_whole(run: TrainingRun) -> Path:
    return next(path for path in list_checkpoints(run.folder) if (path / COMPLETION_FILE).exists())


def tear(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def kill_launcher(after: int) -> Callable[..., None]:
    """kill -9 of the launcher; returns once the trainer, whose parent is gone, has told that it stops."""

    def act(run: TrainingRun, process: Any) -> None:
        send(signal.SIGKILL, after)(run, process)
        deadline = time.monotonic() + 30
        while run.events[-1]["status"] != Stage.INTERRUPTED:
            assert time.monotonic() < deadline, "the trainer outlived its launcher"
            time.sleep(0.05)

    return act


def note_time(times: list[float], moment: Callable[..., None]) -> Callable[..., None]:
    def act(run: TrainingRun, process: Any) -> None:
        moment(run, process)
        times.append(time.monotonic())

    return act


def names(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What each event is about; those that depend on time or on the attempt are left out."""
    return [
        (event["status"], event.get("epoch"), event.get("checkpoint", {}).get("step"))
        for event in events
        if event["status"] not in TOLD_BY_TIME | TOLD_OF_ATTEMPTS
    ]


def assert_same_outcome(run: TrainingRun, quiet: TrainingRun) -> None:
    """The published weights, the curve and the event of everything that happened are those of `quiet`."""
    assert run.weights == quiet.weights
    assert run.curve == quiet.curve
    events = run.events
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert len({event["event_id"] for event in events}) == len(events)
    assert Counter(names(events)) == Counter(names(quiet.events))
    assert events[-1]["status"] == Stage.COMPLETED


def test_killed_and_stopped_runs_publish_the_weights_of_a_quiet_one(disturbed, quiet) -> None:
    run, traces = disturbed
    assert_same_outcome(run, quiet)
    set_aside = list((run.folder / DAMAGED_DIR).iterdir())
    whole = [path for path in set_aside if (path / COMPLETION_FILE).exists()]
    assert len(set_aside) - len(whole) >= 2, "both kills were inside a save"
    assert [path.name.partition("-")[2] for path in whole] == [traces.damaged]
    assert f"Checkpoint {traces.damaged} is not used: optimizer.pt" in run.output


def test_the_result_of_a_disturbed_run_is_that_of_a_quiet_one(disturbed, quiet) -> None:
    run, _ = disturbed
    ours, theirs = run.read("result.json"), quiet.read("result.json")
    assert ours["evaluation"] == theirs["evaluation"]
    assert ours["artifacts"]["final_loss"] == theirs["artifacts"]["final_loss"]
    steps = [[c["step"] for c in r["artifacts"]["checkpoints"]] for r in (ours, theirs)]
    assert steps[0] == steps[1]
    losses = [[m["train_loss"] for m in r["artifacts"]["training_metrics"]] for r in (ours, theirs)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == NUM_EPOCHS


def test_the_backend_has_each_event_once_in_sequence(disturbed, site: Site) -> None:
    run, _ = disturbed
    received = read_backend(site.backend, "disturbed")
    assert received == run.events
    statuses = [event["status"] for event in received]
    assert [status for status in statuses if status in {Stage.COMPLETED, Stage.FAILED, Stage.CANCELLED}] == [
        Stage.COMPLETED
    ]
    assert statuses.count(Stage.INTERRUPTED) == 2, "the launcher's death and the SIGTERM"
    assert statuses.count(Stage.RESUMED) == 3, "the first kill left no checkpoint"


def test_statuses_that_come_once_are_in_the_contracts_order(disturbed) -> None:
    run, _ = disturbed
    statuses = [event["status"] for event in run.events]
    once = [status for status in statuses if statuses.count(status) == 1]
    assert len(once) >= 11
    assert once == sorted(once, key=list(Stage).index)


def test_sigterm_saves_the_current_update_and_ends_as_interrupted(disturbed) -> None:
    _, traces = disturbed
    assert traces.exit_code == 143
    assert traces.seconds < 20
    assert traces.error["error_type"] == "InterruptedTraining"
    assert f"update {traces.num_updates_saved} was saved" in traces.error["error"]
    assert traces.last_event["status"] == Stage.INTERRUPTED
    assert traces.last_event["error"] == traces.error["error"]
    assert traces.last_event["can_resume"] is True


def times_of_files(folder: Path) -> dict[Path, int]:
    """When each file was changed last, but for the outbox."""
    files = [path for path in folder.rglob("*.*") if not path.name.startswith("events.sqlite")]
    return {path: path.stat().st_mtime_ns for path in files}


def test_the_same_command_after_the_end_says_so_and_changes_nothing(
    disturbed, site: Site, quiet, tmp_path: Path
) -> None:
    done, _ = disturbed
    run = replace(done, folder=Path(shutil.copytree(done.folder, tmp_path / "disturbed")))
    events, files = run.events, times_of_files(run.folder)
    run.finish()
    [line] = run.output.splitlines()
    assert "is finished already, its model is in" in line
    assert times_of_files(run.folder) == files
    assert run.events == events
    assert read_backend(site.backend, "disturbed") == events
    assert run.weights == quiet.weights


def test_a_finished_run_that_could_not_report_its_end_does_when_it_is_started_again(
    quiet: TrainingRun, tmp_path: Path
) -> None:
    run = replace(quiet, folder=Path(shutil.copytree(quiet.folder, tmp_path / "unsaid")))
    (run.folder / "events.sqlite").unlink()
    for _ in range(2):
        run.finish()
        assert [event["status"] for event in run.events] == [Stage.COMPLETED]
        assert {**run.events[0]["final_result"], CHECKSUM: ANY} == run.read("result.json")


def test_a_run_that_is_stopped_before_it_began_ends_as_interrupted(tmp_path: Path) -> None:
    script = tmp_path / "stopped.py"
    script.write_text(
        "from pathlib import Path\n"
        "from recipe.training.attempt import refuse\n"
        "from recipe.training.shutdown import interrupted\n"
        f"refuse(Path({str(tmp_path)!r}), interrupted(None))\n"
    )
    with (tmp_path / "log").open("wb") as log:
        assert ForkedRun([str(script)], clean_environment(), log).wait(60) == 143
    assert json.loads((tmp_path / "error.json").read_text())["error_type"] == "InterruptedTraining"


def kill_somewhere(source: random.Random) -> Callable[..., None]:
    """kill -9 at a random time of the attempt's first seconds, or inside one of its first saves."""

    def act(run: TrainingRun, process: Any) -> None:
        if source.random() < 0.5:
            kill_inside_a_save(after=run.num_updates_saved() + source.randrange(3))(run, process)
            return
        deadline = time.monotonic() + source.uniform(0.0, 12.0)
        wait_until(lambda: time.monotonic() > deadline, process)
        process.kill()

    return act


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_ten_kills_at_random_moments_change_nothing(seed: int, site: Site, quiet: TrainingRun) -> None:
    source = random.Random(seed)
    num_kills = 0
    for number in range(10):
        run = site.run(f"random-{seed}-{number}")
        with contextlib.suppress(MissedMoment):  # the run was over before: the next one takes the rest
            while num_kills < 10:
                num_kills += run.interrupt(kill_somewhere(source)) == -signal.SIGKILL
        assert_same_outcome(run.finish(), quiet)
        assert read_backend(site.backend, f"random-{seed}-{number}") == run.events
        if num_kills == 10:
            return
    pytest.fail(f"only {num_kills} of 10 kills landed")


@pytest.mark.parametrize("damage", [tear, flip_bit, Path.unlink], ids=["torn", "bit-flipped", "deleted"])
@pytest.mark.parametrize(
    "name", ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"]
)
def test_whatever_file_is_damaged_the_checkpoint_before_is_used(
    name: str,
    damage: Callable[[Path], None],
    quiet: TrainingRun,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    newest, before, *_ = [
        shutil.copytree(path, tmp_path / path.name) for path in list_checkpoints(quiet.folder)
    ]
    damage(newest / name)
    assert find_checkpoint(tmp_path, fingerprint_of(quiet)) == before
    assert f"Checkpoint {newest.name} is not used: {name}" in caplog.text
    assert [path.name for path in (tmp_path / DAMAGED_DIR).iterdir()] == [f"001-{newest.name}"]


@pytest.mark.slow
def test_sigterm_at_any_moment_ends_the_same_way(site: Site, quiet: TrainingRun) -> None:
    run = site.run("stopped")
    num_updates = len(quiet.curve)
    per_epoch = num_updates // NUM_EPOCHS  # at an epoch's end the evaluation is cut short
    for after in (0, per_epoch, 2 * per_epoch, num_updates - 1, num_updates):
        exit_code = run.interrupt(send(signal.SIGTERM, after=after, delay_seconds=0.05))
        assert exit_code in {143, -signal.SIGTERM, 0}, run.output[-2000:]
    assert_same_outcome(run.finish(), quiet)
