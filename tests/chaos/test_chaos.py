"""One harness for all that may befall a run, and one promise.

A life is one run folder: attempts that are disturbed one after the other, between them state files that are
damaged, and an undisturbed attempt at the end. The promise: it ends as a quiet run, bit for bit; an attempt
that could not go on said why in a sentence; the backend has every event once, in sequence, with one end;
no process is left over.

`scripts/test -m slow -k chaos --seed N` draws other moments, damages and answers.
"""

import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from damages import DAMAGES
from disks import fill, mount_disk
from odd_network import OddNetwork, serve_oddly
from outboxes import has_told
from processes import wait_for
from sites import Site, serve_site
from training_runs import (
    MissedMoment,
    Process,
    TrainingRun,
    kill_session,
    read_backend,
    wait_until,
)

from recipe.run.stages import Stage
from recipe.training.checkpoints import list_checkpoints, verify_checkpoint

MAX_DELAY_SECONDS = 0.3
DISK_MIB = 600
STATE_FILES = (
    *("manifest.json", "result.json", "error.json", "attempt", "report.json"),
    *("cached/*.json", "downloads/*.source", "downloads/*.flac", "downloads/*.vtt"),
    *(
        "prepared/shards/*.json",
        "prepared/shards/*.arrow",
        "prepared/shards/*.tar",
        "prepared/tokenizer.json",
    ),
    *("prepared/dataset_report.json", "events.sqlite", "events.sqlite.sequence"),
    *("checkpoint-*/complete.json", "checkpoint-*/model.safetensors", "checkpoint-*/optimizer.pt"),
    *("checkpoint-*/trainer_state.json", "checkpoint-*/rng_state.pth"),
)
STAGES = (
    *("start", Stage.LOADING_MODEL, Stage.PREPARING_DATASET, Stage.DATASET_READY, Stage.STARTING_TRAINING),
    *("save", Stage.EPOCH_COMPLETED, Stage.TRAINING_COMPLETED, Stage.EVALUATION_COMPLETED),
    *(Stage.SAVING_MODEL, Stage.COMPLETED),
)
REPEATING = frozenset({Stage.TRAINING_PROGRESS, Stage.DOWNLOAD_PROGRESS, Stage.STAGE_PROGRESS})
NOT_OF_THE_WORK = {
    *REPEATING,
    Stage.RESUMED,
    *(Stage.INTERRUPTED, Stage.FAILED, Stage.COMPLETED),
}
"""Stages of events that tell of time or of an attempt."""


@dataclass(frozen=True)
class OddSite(Site):
    """A site whose runs reach the backend through an odd network."""

    network: OddNetwork


@dataclass
class Life:
    """A run folder and what befell it.

    Attributes:
        site: Its surroundings.
        run: The run.
        source: Draws what is left open.
        has_disk: Whether the folder is a small disk of its own, which can be filled.
        story: What happened, a line each, for whoever has to find out why it ended badly.
        is_outbox_damaged: Whether events may be lost, and numbers left out.
        num_results_damaged: How often a finished run had to be finished again, which is told again.
    """

    site: OddSite
    run: TrainingRun
    source: random.Random
    has_disk: bool
    story: list[str] = field(default_factory=list)
    is_outbox_damaged: bool = False
    num_results_damaged: int = 0

    def wait_for(self, stage: str, process: Process) -> None:
        """Return a moment after the run, in whatever attempt, came to a stage."""
        delay = self.source.uniform(0, MAX_DELAY_SECONDS)
        if stage == "save":
            wait_until(self.run.is_saving, process)
        elif stage != "start":
            if has_told(self.run.folder, stage):  # by an earlier attempt: somewhere on the way back
                delay = self.source.uniform(0, 4)
            wait_until(lambda: has_told(self.run.folder, stage), process)
        deadline = time.monotonic() + delay
        wait_until(lambda: time.monotonic() >= deadline, process)

    def damage(self) -> None:
        """Damage some of the state files that there are."""
        paths = [path for pattern in STATE_FILES for path in sorted(self.run.folder.glob(pattern))]
        files = [path for path in paths if path.is_file() and path.stat().st_size]
        for path in self.source.sample(files, min(len(files), self.source.randint(1, 4))):
            name = self.source.choice(list(DAMAGES))
            self.story.append(f"damaged: {path.relative_to(self.run.folder)}: {name}")
            DAMAGES[name](path)
            self.num_results_damaged += path.name == "result.json"
            self.is_outbox_damaged |= path.name.startswith(self._outbox().name)

    def _outbox(self) -> Path:
        return self.run.folder / "events.sqlite"


Act = Callable[[Life, Process], None]


@dataclass(frozen=True)
class Disturbance:
    """What is done to a running attempt.

    Attributes:
        act: Does it.
        exit_codes: With which the attempt may end; 0 if it was over already.
        sentence: A pattern of what it has written if it ended with 1.
        needs_disk: Whether the run folder must be a small disk.
    """

    act: Act
    exit_codes: frozenset[int]
    sentence: str = ""
    needs_disk: bool = False


def start_again(life: Life, process: Process) -> None:
    """The same command beside the one that runs, which is killed then."""
    told = len(life.run.output)
    second = life.run.start()
    try:
        code = second.wait(60)
        written = life.run.output[told:]
    finally:
        kill_session(second)
    assert code in {0, 1}, written[-2000:]
    assert "Another process trains" in written or "is finished already" in written or code == 0, written[
        -2000:
    ]
    process.kill()


def fill_disk(life: Life, process: Process) -> None:
    fill(life.run.folder)


DISTURBANCES = {
    "killed": Disturbance(lambda _, process: process.kill(), frozenset({0, -9})),
    "stopped": Disturbance(
        lambda _, process: process.send_signal(signal.SIGTERM), frozenset({0, 143, -signal.SIGTERM})
    ),
    "repeated": Disturbance(start_again, frozenset({0, 1, -9}), "Another process trains"),
    "disk full": Disturbance(
        fill_disk, frozenset({0, 1}), r"is full|MiB free; the (model|next recording) needs", needs_disk=True
    ),
}


def disturb(life: Life, name: str, stage: str) -> bool:
    """Whether the run could be disturbed so, at this stage; it may have been over before."""
    disturbance = DISTURBANCES[name]
    life.site.network.is_odd = not disturbance.needs_disk and life.source.random() < 0.5
    told = len(life.run.output)
    process = life.run.start()
    try:
        life.wait_for(stage, process)
        disturbance.act(life, process)
        code = process.wait(120)
        life.story.append(f"{name} at {stage}: {code}{', odd network' * life.site.network.is_odd}")
        assert_nobody_is_left(process)
    except MissedMoment:
        assert process.wait(120) == 0, life.run.output[-4000:]
        return False
    finally:
        kill_session(process)
        (life.run.folder / "ballast").unlink(missing_ok=True)
    written = life.run.output[told:]
    assert code in disturbance.exit_codes, (life.story, written[-4000:])
    if code == 1:
        assert re.search(disturbance.sentence, written), (life.story, written[-4000:])
    return True


def assert_nobody_is_left(process: Process) -> None:
    """Everything that the attempt started ends with it."""

    def left() -> list[psutil.Process]:
        return [other for other in psutil.process_iter() if _session_of(other) == process.pid]

    try:
        wait_for(lambda: not left(), 20)
    except AssertionError:
        raise AssertionError([other.as_dict(["cmdline", "status", "ppid"]) for other in left()]) from None


def _session_of(process: psutil.Process) -> int:
    try:
        is_over = process.status() == psutil.STATUS_ZOMBIE
        return 0 if is_over else os.getsid(process.pid)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return 0


def assert_promise(life: Life, quiet: TrainingRun) -> None:
    """The life ended as the quiet run did, and the backend knows it once."""
    run, story = life.run, "\n".join(life.story)
    assert run.weights == quiet.weights, story
    if not verify_checkpoint(list_checkpoints(run.folder)[0]):  # nobody looks at those of a finished run
        assert run.curve == quiet.curve, story
    for part in ("evaluation", "dataset"):
        assert run.read("result.json")[part] == quiet.read("result.json")[part], story
    received = read_backend(life.site.backend, run.folder.name)
    numbers = [event["sequence"] for event in received]
    assert len({event["event_id"] for event in received}) == len(received), story
    told = [event["status"] for event in received]
    assert told[-1] == Stage.COMPLETED, story
    assert told.count(Stage.COMPLETED) <= 1 + life.num_results_damaged, story
    assert not {Stage.CANCELLED} & set(told), story
    if not life.is_outbox_damaged:
        # The end of an attempt on a full disk is sent, and cannot be kept; progress that the backend refuses
        # for itself is given up, since the next says all that it said.
        lost = [event for event in run.events if event not in received and event["status"] in REPEATING]
        known = [event for event in run.events if event not in lost]
        kept = [event for event in received if event in known or event["status"] != Stage.FAILED]
        assert kept == known, story
        assert sorted(numbers + [event["sequence"] for event in lost]) == [
            *range(1, len(received) + len(lost) + 1)
        ], story
        if lost:
            assert run.log.read_text().count("is given up") >= len(lost), story
        assert works(received) == works(quiet.events), story


def works(events: Sequence[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    """What each event is about that tells of the work."""
    return Counter(
        (event["status"], event.get("epoch"), event.get("checkpoint", {}).get("step"))
        for event in events
        if event["status"] not in NOT_OF_THE_WORK
    )


def live(
    site: OddSite, quiet: TrainingRun, folder: Path, plan: list[tuple[str, str]], seed: str
) -> list[str]:
    """The story of one life, which takes from the plan what it meets before it ends."""
    with ExitStack() as stack:
        has_disk = stack.enter_context(try_disk(folder))
        life = Life(site, site.run(folder), random.Random(seed), has_disk)
        life.run.log.touch()
        for name, stage in list(plan):
            plan.remove((name, stage))
            if DISTURBANCES[name].needs_disk and not has_disk:
                continue
            if not disturb(life, name, stage):
                plan.append((name, stage))
                break
            if life.source.random() < 0.5:
                life.damage()
        site.network.is_odd = False
        started = time.monotonic()
        life.run.finish()
        life.story.append(f"ended well after {time.monotonic() - started:.1f} s")
        assert_promise(life, quiet)
    return life.story


@contextmanager
def try_disk(folder: Path) -> Iterator[bool]:
    """Whether the folder is a small disk of its own, which needs root."""
    with mount_disk(folder, DISK_MIB) if os.geteuid() == 0 else nullcontext():
        yield os.geteuid() == 0


@pytest.fixture(scope="module")
def site(tiny_dir: Path, tmp_path_factory: pytest.TempPathFactory, seed: int) -> Iterator[OddSite]:
    with (
        serve_site(tmp_path_factory.mktemp("chaos"), tiny_dir) as site,
        serve_oddly(site.backend, random.Random(seed)) as network,
    ):
        options = {**site.options, "backend_base_url": network.address}
        yield OddSite(site.root, site.backend, options, network)


@pytest.fixture(scope="module")
def quiet(site: OddSite) -> TrainingRun:
    return site.run("quiet").finish()


def test_a_life_of_four_disturbances_ends_as_a_quiet_run(
    site: OddSite, quiet: TrainingRun, seed: int
) -> None:
    plan = [
        ("killed", Stage.PREPARING_DATASET),
        ("stopped", "save"),
        ("disk full", Stage.EPOCH_COMPLETED),
        ("repeated", Stage.EVALUATION_COMPLETED),
    ]
    live(site, quiet, site.root / "short", plan, f"{seed} short")


@pytest.mark.slow
def test_every_disturbance_at_every_stage_ends_as_a_quiet_run(
    site: OddSite, quiet: TrainingRun, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """In lives of some four disturbances each, in an order that is drawn; those of a life go forward."""
    source = random.Random(seed)
    plan = [(name, stage) for name in DISTURBANCES for stage in STAGES]
    source.shuffle(plan)
    for number in range(3 * len(plan)):
        if not plan:
            break
        drawn = sorted(plan[:4], key=lambda item: STAGES.index(item[1]))
        rest = plan[4:]
        story = live(site, quiet, site.root / f"life-{number}", drawn, f"{seed} {number}")
        plan = rest + drawn
        with capsys.disabled():
            print(f"\nlife {number}:", *story, sep="\n    ")
    assert not plan, "some moments never came"
    with capsys.disabled():
        print("\nodd answers:", dict(site.network.seen))
