import math
from pathlib import Path

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from recipe.backend.events import Outbox
from recipe.errors import InterruptedTraining, TrainingError
from recipe.run.folder import COMPLETION_FILE, RunFolder
from recipe.run.stages import Stage
from recipe.training.callbacks import CheckpointCallback, ProgressCallback
from recipe.training.progress import PROGRESS_SECONDS, JobEta

SECONDS_PER_UPDATE = 2.0
AUDIO_SECONDS_PER_UPDATE = 50.0
UPDATES_PER_EPOCH = 4
NUM_EPOCHS = 2
MAX_STEPS = UPDATES_PER_EPOCH * NUM_EPOCHS
STATS = {"cpu_percent", "memory_percent", "disk_usage_percent", "gpu_available"}


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Stop:
    """What a callback sees of a `StopSignal`, without signals."""

    def __init__(self) -> None:
        self.is_requested = False
        self.is_deferred = False

    def defer(self) -> None:
        self.is_deferred = True

    def allow(self) -> None:
        self.is_deferred = False
        if self.is_requested:
            raise InterruptedTraining("stopped")


class Loop:
    """Calls one callback as Trainer's loop does.

    Args:
        folder: The run folder.
        callback: Under test.
        clock: Goes on by `SECONDS_PER_UPDATE` with each update.
    """

    def __init__(self, folder: Path, callback: ProgressCallback, clock: Clock, max_steps: int = MAX_STEPS):
        self.args = TrainingArguments(output_dir=str(folder), use_cpu=True)
        self.callback = callback
        self.clock = clock
        self.control = TrainerControl()
        epochs = math.ceil(max_steps / UPDATES_PER_EPOCH)
        self.state = TrainerState(max_steps=max_steps, num_train_epochs=epochs, epoch=0.0)

    def hook(self, name: str, **kwargs) -> None:
        getattr(self.callback, name)(self.args, self.state, self.control, **kwargs)

    def complete(self) -> None:
        """The checkpoint of the current update becomes whole."""
        checkpoint = RunFolder(Path(self.args.output_dir)).checkpoint(self.state.global_step)
        checkpoint.mkdir(exist_ok=True)
        (checkpoint / COMPLETION_FILE).touch()

    def update(self, loss: float = 2.0, grad_norm: float = 1.0) -> None:
        self.hook("on_step_begin")
        self.clock.seconds += SECONDS_PER_UPDATE
        self.state.global_step += 1
        self.state.epoch = self.state.global_step / UPDATES_PER_EPOCH
        logs = {"loss": loss, "grad_norm": grad_norm, "learning_rate": 1e-5}
        self.state.log_history.append(logs | {"step": self.state.global_step, "epoch": self.state.epoch})
        self.hook("on_log", logs=logs)

    def end_epoch(self, metrics: dict[str, float] | None) -> None:
        self.control.should_evaluate = metrics is not None
        self.hook("on_epoch_end")
        if metrics is not None:
            self.hook("on_evaluate", metrics=metrics)
            self.control.should_evaluate = False
        self.complete()
        self.hook("on_save")

    def epoch(self, metrics: dict[str, float] | None = None) -> None:
        self.hook("on_epoch_begin")
        for _ in range(min(UPDATES_PER_EPOCH, self.state.max_steps - self.state.global_step)):
            self.update(loss=10.0 - self.state.global_step)
        self.end_epoch(metrics)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def outbox(tmp_path):
    return Outbox(tmp_path / "events.sqlite", "job-1")


@pytest.fixture
def loop(tmp_path, outbox, clock):
    return Loop(tmp_path, ProgressCallback(outbox, AUDIO_SECONDS_PER_UPDATE, JobEta(), clock), clock)


def told(outbox: Outbox, stage: Stage) -> list[dict]:
    return [event for event in outbox.events() if event["status"] == stage]


# Progress


def test_events_come_in_the_contracts_order(loop, outbox):
    loop.hook("on_train_begin")
    loop.epoch()
    loop.epoch()
    statuses = [e["status"] for e in outbox.events() if e["status"] != Stage.TRAINING_PROGRESS]
    one_epoch = [Stage.EPOCH_STARTED, Stage.EPOCH_COMPLETED, Stage.CHECKPOINT_SAVED]
    assert statuses == [Stage.TRAINING_STARTED, *one_epoch, *one_epoch]


def test_the_events_of_an_epoch_have_the_contracts_fields(loop, outbox):
    loop.hook("on_train_begin")
    metrics = {"eval_loss": 1.5, "eval_wer": 0.3, "eval_cer_normalized": 0.1, "eval_runtime": 9.0}
    loop.epoch(metrics)
    assert told(outbox, Stage.TRAINING_STARTED)[0]["total_epochs"] == NUM_EPOCHS
    (started,) = told(outbox, Stage.EPOCH_STARTED)
    assert (started["epoch"], started["total_epochs"], started["progress_percent"]) == (1, 2, 0.0)
    (completed,) = told(outbox, Stage.EPOCH_COMPLETED)
    assert (completed["epoch"], completed["total_epochs"], completed["progress_percent"]) == (1, 2, 50.0)
    assert completed["metrics"] == {
        "train_loss": 8.5,
        "eval_loss": 1.5,
        "learning_rate": 1e-5,
        "epoch_time_seconds": 8.0,
        "total_time_seconds": 8.0,
        "eval_wer": 0.3,
        "eval_cer_normalized": 0.1,
    }
    assert completed["eta_seconds"] == 4 * SECONDS_PER_UPDATE
    (saved,) = told(outbox, Stage.CHECKPOINT_SAVED)
    assert saved["checkpoint"].keys() == {"epoch", "step", "save_path", "timestamp"}
    assert (saved["checkpoint"]["epoch"], saved["checkpoint"]["step"]) == (1.0, 4)
    assert saved["checkpoint"]["save_path"].endswith("/checkpoint-4")


def test_a_checkpoint_is_told_of_once_it_is_whole_with_its_own_update(loop, outbox):
    loop.hook("on_train_begin")
    loop.update()
    loop.hook("on_save")
    loop.update()
    loop.hook("on_step_end")
    assert told(outbox, Stage.CHECKPOINT_SAVED) == []
    loop.state.global_step = 1
    loop.complete()
    loop.state.global_step = 3
    loop.hook("on_step_end")
    loop.hook("on_step_end")
    (saved,) = told(outbox, Stage.CHECKPOINT_SAVED)
    assert (saved["checkpoint"]["step"], saved["checkpoint"]["epoch"]) == (1, 0.25)


def test_progress_comes_every_few_seconds_and_with_the_last_update(loop, outbox):
    loop.hook("on_train_begin")
    loop.epoch()
    loop.epoch()
    steps = [event["step"] for event in told(outbox, Stage.TRAINING_PROGRESS)]
    assert SECONDS_PER_UPDATE < PROGRESS_SECONDS < 2 * SECONDS_PER_UPDATE
    assert steps == [2, 4, 6, 8]


def test_progress_tells_loss_speed_and_the_time_left(loop, outbox):
    loop.hook("on_train_begin")
    loop.epoch()
    first = told(outbox, Stage.TRAINING_PROGRESS)[0]
    assert (first["step"], first["total_steps"], first["epoch"]) == (2, MAX_STEPS, 0.5)
    assert first["metrics"] == {"loss": 9.0, "grad_norm": 1.0, "learning_rate": 1e-5}
    assert first["audio_seconds_per_second"] == AUDIO_SECONDS_PER_UPDATE / SECONDS_PER_UPDATE
    assert first["eta_seconds"] == 6 * SECONDS_PER_UPDATE
    assert first["progress_percent"] == 25.0
    assert first["system_stats"].keys() >= STATS


def test_the_time_left_of_the_job_counts_the_evaluations_that_follow(tmp_path, outbox, clock):
    job_eta = JobEta()
    job_eta.learn("validation", 30.0)
    job_eta.learn("test", 50.0)
    loop = Loop(tmp_path, ProgressCallback(outbox, AUDIO_SECONDS_PER_UPDATE, job_eta, clock), clock)
    loop.args.eval_strategy = "epoch"
    loop.hook("on_train_begin")
    loop.hook("on_epoch_begin")
    for _ in range(UPDATES_PER_EPOCH):
        loop.update()
    last = told(outbox, Stage.TRAINING_PROGRESS)[-1]
    assert last["eta_seconds"] == 4 * SECONDS_PER_UPDATE + 2 * 30.0
    assert last["job_eta_seconds"] == last["eta_seconds"] + 30.0 + 50.0
    loop.control.should_evaluate = True
    loop.hook("on_epoch_end")
    clock.seconds += 20.0  # faster than the base model
    loop.hook("on_evaluate", metrics={})
    (completed,) = told(outbox, Stage.EPOCH_COMPLETED)
    assert completed["eta_seconds"] == 4 * SECONDS_PER_UPDATE + 20.0, "an evaluation is no update"
    assert completed["job_eta_seconds"] == completed["eta_seconds"] + 20.0 + 50.0


def test_a_resumed_run_tells_what_is_new_and_repeats_nothing(tmp_path, loop, outbox, clock):
    loop.hook("on_train_begin")
    loop.epoch()
    loop.hook("on_epoch_begin")
    loop.update()
    before = outbox.events()
    resumed = Loop(tmp_path, ProgressCallback(outbox, AUDIO_SECONDS_PER_UPDATE, JobEta(), clock), clock)
    resumed.state.global_step, resumed.state.epoch = 5, 1.25
    resumed.state.log_history = list(loop.state.log_history)
    resumed.complete()
    resumed.hook("on_train_begin")
    resumed.hook("on_epoch_begin")
    for _ in range(3):
        resumed.update(loss=6.0)
    resumed.end_epoch(None)
    new = outbox.events()[len(before) :]
    assert [event["status"] for event in new if event["status"] != Stage.TRAINING_PROGRESS] == [
        Stage.CHECKPOINT_SAVED,  # of update 5: the run was killed before it could tell
        Stage.EPOCH_COMPLETED,
        Stage.CHECKPOINT_SAVED,
    ]
    assert [event["checkpoint"]["step"] for event in told(outbox, Stage.CHECKPOINT_SAVED)] == [4, 5, 8]
    completed = told(outbox, Stage.EPOCH_COMPLETED)[-1]
    assert completed["epoch"] == 2
    assert completed["metrics"]["train_loss"] == (2.0 + 3 * 6.0) / 4, "the part before the kill counts"


def test_speed_and_time_left_of_a_resumed_run_are_those_of_this_attempt(tmp_path, outbox, clock):
    loop = Loop(tmp_path, ProgressCallback(outbox, AUDIO_SECONDS_PER_UPDATE, JobEta(), clock), clock)
    loop.state.global_step, loop.state.epoch = 4, 1.0
    clock.seconds += 500.0  # until the checkpoint was loaded
    loop.hook("on_train_begin")
    loop.update()
    progress = told(outbox, Stage.TRAINING_PROGRESS)[-1]
    assert progress["eta_seconds"] == 3 * SECONDS_PER_UPDATE
    assert progress["audio_seconds_per_second"] == AUDIO_SECONDS_PER_UPDATE / SECONDS_PER_UPDATE


@pytest.mark.parametrize("max_steps", [1, 3, 6])
def test_a_run_that_ends_within_an_epoch_completes_it(tmp_path, outbox, clock, max_steps: int):
    callback = ProgressCallback(outbox, AUDIO_SECONDS_PER_UPDATE, JobEta(), clock)
    loop = Loop(tmp_path, callback, clock, max_steps)
    loop.hook("on_train_begin")
    num_epochs = math.ceil(max_steps / UPDATES_PER_EPOCH)
    for _ in range(num_epochs):
        loop.epoch({"eval_loss": 1.0})
    epochs = [event["epoch"] for event in told(outbox, Stage.EPOCH_COMPLETED)]
    assert epochs == list(range(1, num_epochs + 1))
    assert told(outbox, Stage.EPOCH_COMPLETED)[-1]["progress_percent"] == 100.0


def test_an_epoch_of_which_only_the_end_is_left_starts_no_other(tmp_path, outbox, clock):
    loop = Loop(tmp_path, ProgressCallback(outbox, AUDIO_SECONDS_PER_UPDATE, JobEta(), clock), clock)
    loop.state.global_step, loop.state.epoch = MAX_STEPS, float(NUM_EPOCHS)
    loop.hook("on_train_begin")
    loop.hook("on_epoch_begin")
    loop.end_epoch({"eval_loss": 1.0})
    assert told(outbox, Stage.EPOCH_STARTED) == []
    assert [event["epoch"] for event in told(outbox, Stage.EPOCH_COMPLETED)] == [NUM_EPOCHS]


def test_an_evaluation_within_an_epoch_completes_none(loop, outbox):
    loop.hook("on_train_begin")
    loop.update()
    loop.hook("on_evaluate", metrics={"eval_loss": 1.0})
    assert told(outbox, Stage.EPOCH_COMPLETED) == []


@pytest.mark.parametrize(
    ("loss", "grad_norm"),
    [(math.nan, 1.0), (math.inf, 1.0), (2.0, math.nan), (2.0, math.inf)],
    ids=["loss nan", "loss inf", "norm nan", "norm inf"],
)
def test_a_loss_or_norm_that_is_no_number_ends_the_run_with_advice(loop, loss: float, grad_norm: float):
    loop.hook("on_train_begin")
    with pytest.raises(TrainingError, match=r"at update 1 .*Lower learning_rate"):
        loop.update(loss, grad_norm)


def test_a_norm_that_overflows_in_float16_is_the_scalers_business_but_a_loss_is_not(loop):
    loop.args.fp16 = True
    loop.hook("on_train_begin")
    loop.update(2.0, math.inf)
    with pytest.raises(TrainingError):
        loop.update(math.nan, 1.0)


# Checkpoints and stops


@pytest.fixture
def stop():
    return Stop()


@pytest.fixture
def saver(tmp_path, stop, clock):
    return Loop(tmp_path, CheckpointCallback(stop, 60.0, clock), clock)


def test_a_stop_waits_for_the_end_of_the_update_and_is_saved(saver, stop):
    saver.hook("on_train_begin")
    assert stop.is_deferred
    stop.is_requested = True
    saver.control.should_evaluate = True
    saver.state.global_step = 3
    saver.hook("on_step_end")
    assert saver.control.should_save
    assert saver.control.should_training_stop
    assert not saver.control.should_evaluate, "a stop does not wait for an evaluation"
    with pytest.raises(InterruptedTraining, match="update 3 was saved"):
        saver.hook("on_save")


def test_a_stop_during_a_save_ends_the_run_with_the_next_update(saver, stop):
    saver.hook("on_train_begin")
    saver.hook("on_step_end")
    stop.is_requested = True
    saver.hook("on_save")
    saver.hook("on_step_end")
    with pytest.raises(InterruptedTraining):
        saver.hook("on_save")


@pytest.mark.parametrize("hook", ["on_step_end", "on_epoch_end"])
def test_a_stop_during_an_evaluation_is_immediate_and_what_follows_is_saved(saver, stop, hook: str):
    saver.hook("on_train_begin")
    saver.control.should_evaluate = True
    saver.hook(hook)
    assert not stop.is_deferred
    saver.hook("on_evaluate")
    assert stop.is_deferred


def test_a_stop_between_the_update_and_the_epochs_evaluation_is_not_lost(saver, stop):
    saver.hook("on_train_begin")
    saver.hook("on_step_end")
    stop.is_requested = True
    saver.control.should_evaluate = True
    with pytest.raises(InterruptedTraining):
        saver.hook("on_epoch_end")


def test_a_stop_after_training_is_immediate(saver, stop):
    saver.hook("on_train_begin")
    saver.hook("on_train_end")
    assert not stop.is_deferred


def test_a_checkpoint_is_saved_when_enough_time_has_passed(saver, clock):
    saver.hook("on_train_begin")
    dues = []
    for _ in range(6):
        clock.seconds += 25.0
        saver.hook("on_step_end")
        dues.append(saver.control.should_save)
        if saver.control.should_save:
            saver.control.should_save = False
            saver.hook("on_save")
    assert dues == [False, False, True, False, False, True]


@pytest.mark.parametrize(("strategy", "is_saved"), [("epoch", True), ("steps", True), ("no", False)])
def test_every_epoch_is_saved_unless_saving_is_off(saver, strategy: str, is_saved: bool):
    saver.args.save_strategy = strategy
    saver.hook("on_epoch_end")
    assert saver.control.should_save == is_saved


def test_what_is_evaluated_within_an_epoch_is_saved_too(saver):
    saver.hook("on_train_begin")
    saver.control.should_evaluate = True
    saver.hook("on_step_end")
    assert saver.control.should_save
