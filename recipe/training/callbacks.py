"""What happens beside training: progress for the platform, checkpoints in time, and a stop on request."""

import math
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from recipe.backend.events import Outbox
from recipe.errors import TrainingError
from recipe.run.folder import RunFolder
from recipe.run.machine import system_stats
from recipe.run.stages import Stage
from recipe.training.checkpoint_writer import SavedState
from recipe.training.distributed import agree
from recipe.training.progress import PROGRESS_SECONDS, JobEta
from recipe.training.shutdown import StopSignal, interrupted


class ProgressCallback(TrainerCallback):
    """Reports to the platform how training goes; only the main process speaks.

    Every event has a key, so that a run that resumes repeats none.

    Args:
        outbox: Takes the events; never waits for the backend.
        audio_seconds_per_update: Mean length of the windows of one update, summed.
        job_eta: Knows what follows training, and learns how long an evaluation takes.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        outbox: Outbox,
        audio_seconds_per_update: float,
        job_eta: JobEta,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox = outbox
        self._audio_seconds_per_update = audio_seconds_per_update
        self._job_eta = job_eta
        self._clock = clock
        self._started = self._last_progress = self._epoch_started = self._epoch_ended = clock()
        self._evaluating_seconds = 0.0
        self._num_completed = 0
        self._first_step = 0
        self._logs: dict[str, float] = {}
        self._saved = SavedState()
        self._begun_epoch = 0
        self._ended_epoch = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """`training_started`; and `checkpoint_saved`, if the run was killed before it could report it."""
        self._started = self._clock()
        self._first_step = state.global_step
        self._num_completed = int(state.epoch or 0)
        self._append(Stage.TRAINING_STARTED, {"total_epochs": _total_epochs(state)})
        if state.global_step:
            self.on_save(args, state, control)

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Note the time."""
        self._epoch_started = self._clock()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """`epoch_started`, with its first update: a resume may have nothing left of an epoch but its end."""
        epoch = int(state.epoch or 0) + 1
        if epoch != self._begun_epoch:
            self._begun_epoch = epoch
            self._append(Stage.EPOCH_STARTED, _position(state, epoch), key=str(epoch))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """`training_progress`, every few seconds.

        Raises:
            TrainingError: if the loss is not a number, since nothing good can follow.
        """
        if not logs or "loss" not in logs:
            return
        self._logs = logs
        # Under float16 a norm overflows now and then: that update is left out and the loss scaled lower.
        grad_norm = 0.0 if args.fp16 else logs.get("grad_norm", 0.0)
        if not math.isfinite(logs["loss"]) or not math.isfinite(grad_norm):
            raise TrainingError(
                f"The loss became {logs['loss']} at update {state.global_step} (gradient norm "
                f"{logs.get('grad_norm')}). Lower learning_rate ({args.learning_rate:g}) or add warmup_steps."
            )
        if self._clock() - self._last_progress < PROGRESS_SECONDS and state.global_step < state.max_steps:
            return
        self._last_progress = self._clock()
        fields = {
            "step": state.global_step,
            "total_steps": state.max_steps,
            **_position(state, state.epoch or 0.0),
            "metrics": {name: logs.get(name) for name in ("loss", "grad_norm", "learning_rate")},
            "audio_seconds_per_second": self._audio_seconds_per_second(state),
            **self._time_left(args, state),
            "system_stats": system_stats(Path(str(args.output_dir))),
        }
        self._append(Stage.TRAINING_PROGRESS, fields, key=str(state.global_step))

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """`epoch_completed`, unless an evaluation comes first."""
        self._ended_epoch = math.ceil(state.epoch or 0)
        self._epoch_ended = self._clock()
        if not control.should_evaluate:
            self._complete_epoch(args, state, {})

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """`epoch_completed`, with the held-out loss and error rates."""
        if self._ended_epoch:
            seconds = self._clock() - self._epoch_ended
            self._evaluating_seconds += seconds
            self._job_eta.learn("validation", seconds)
            self._complete_epoch(args, state, metrics or {})

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """`checkpoint_saved`, once it is whole."""
        self._tell_saved(args)
        self._saved.note(state)
        self._tell_saved(args)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """`checkpoint_saved`, if one became whole meanwhile."""
        self._tell_saved(args)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """`checkpoint_saved`, of the last one."""
        self._tell_saved(args)

    def _tell_saved(self, args: TrainingArguments) -> None:
        state = self._saved.take(args)
        if state is None:
            return
        checkpoint = {
            "epoch": state.epoch,
            "step": state.global_step,
            "save_path": str(RunFolder(Path(str(args.output_dir))).checkpoint(state.global_step)),
            "timestamp": datetime.now(UTC).isoformat(),
        }
        self._append(Stage.CHECKPOINT_SAVED, {"checkpoint": checkpoint}, key=str(state.global_step))

    def _complete_epoch(
        self, args: TrainingArguments, state: TrainerState, metrics: Mapping[str, float]
    ) -> None:
        now = self._clock()
        self._num_completed = self._ended_epoch
        losses = [
            entry["loss"]
            for entry in state.log_history
            if "loss" in entry and self._ended_epoch - 1 < entry["epoch"] <= self._ended_epoch
        ]
        fields = {
            **_position(state, self._ended_epoch),
            "metrics": {
                "train_loss": sum(losses) / len(losses) if losses else None,
                "eval_loss": metrics.get("eval_loss"),
                "learning_rate": self._logs.get("learning_rate"),
                "epoch_time_seconds": now - self._epoch_started,
                "total_time_seconds": now - self._started,
                **{
                    name: value
                    for name, value in metrics.items()
                    if name.startswith(("eval_wer", "eval_cer"))
                },
            },
            **self._time_left(args, state),
        }
        self._append(Stage.EPOCH_COMPLETED, fields, key=str(self._ended_epoch))
        self._ended_epoch = 0

    def _append(self, stage: Stage, fields: Mapping[str, Any], key: str = "") -> None:
        self._outbox.append(stage, fields, key=f"{stage}:{key}")

    def _seconds_per_update(self, state: TrainerState) -> float:
        seconds = self._clock() - self._started - self._evaluating_seconds
        return seconds / max(1, state.global_step - self._first_step)

    def _audio_seconds_per_second(self, state: TrainerState) -> float:
        seconds = self._seconds_per_update(state)
        return self._audio_seconds_per_update / seconds if seconds else 0.0

    def _time_left(self, args: TrainingArguments, state: TrainerState) -> dict[str, float]:
        """Seconds left of training, evaluations at the ends of epochs included, and of the job."""
        num_evaluations = 0 if args.eval_strategy == "no" else _total_epochs(state) - self._num_completed
        seconds = self._seconds_per_update(state) * (state.max_steps - state.global_step)
        seconds += max(0, num_evaluations) * self._job_eta.validation_seconds
        return {"eta_seconds": seconds, "job_eta_seconds": self._job_eta.while_training(seconds)}


class PatienceCallback(TrainerCallback):
    """Ends training when validation shows no gain any more; transformers' own forgets on a resume."""

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """End after this evaluation and its checkpoint, if patience has run out."""
        if has_run_out_of_patience(args, state):
            control.should_training_stop = True


def has_run_out_of_patience(args: TrainingArguments, state: TrainerState) -> bool:
    """Whether so many evaluations as `patience` says came after the one with the lowest WER; 0: never."""
    patience: int = getattr(args, "patience", None) or 0
    rates = [entry["eval_wer_normalized"] for entry in state.log_history if "eval_wer_normalized" in entry]
    return bool(patience and rates) and len(rates) - 1 - rates.index(min(rates)) >= patience


class CheckpointCallback(TrainerCallback):
    """Saves at the end of an epoch, when enough time has passed, and when the run is asked to stop.

    Args:
        stop: Whether the run was asked to stop; all processes then stop after the same update.
        save_seconds: Longest time between two checkpoints.
        clock: Monotonic seconds.
    """

    def __init__(
        self, stop: StopSignal, save_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stop = stop
        self._save_seconds = save_seconds
        self._clock = clock
        self._last_save = clock()
        self._is_stopping = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """From here on a stop waits for the end of the update."""
        self._stop.defer()
        self._last_save = self._clock()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Save if any process was asked to stop, or any finds that it is time."""
        is_due = self._clock() - self._last_save >= self._save_seconds
        self._is_stopping, is_due = agree(args, self._stop.is_requested, is_due)
        if self._is_stopping or is_due or control.should_evaluate:  # the best weights must be on disk
            control.should_save = True
        if self._is_stopping:
            control.should_training_stop, control.should_evaluate = True, False
        if control.should_evaluate:
            self._stop.allow()

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Save what the epoch's evaluation judges, whatever the strategy, unless saving is off."""
        if args.save_strategy != "no":
            control.should_save = True
        if control.should_evaluate:
            self._stop.allow()

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """An evaluation takes long and has nothing to save, so it may be cut short; what follows may not."""
        self._stop.defer()

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """End the run once its state is on disk, if it was asked to stop.

        Raises:
            InterruptedTraining: if so.
        """
        self._last_save = self._clock()
        if self._is_stopping:
            raise interrupted(state.global_step)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """From here on a stop is immediate again."""
        self._stop.allow()


def _position(state: TrainerState, epoch: float) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "total_epochs": _total_epochs(state),
        "progress_percent": round(100 * state.global_step / max(1, state.max_steps), 2),
    }


def _total_epochs(state: TrainerState) -> int:
    return math.ceil(state.num_train_epochs)
