"""Trackers of `report_to`: told of the whole run by the integrations of transformers, and closed at its end.

transformers takes a run for over when training is. Here the base model's figures come before it, those of the
published weights after it, and a run that fails or is interrupted is marked so. Figures and texts go to every
tracker; voices go to TensorBoard alone, whose files stay in the run's folder.
"""

import contextvars
import logging
import os
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Literal

from pydantic import BaseModel
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations.integration_utils import (
    MLflowCallback,
    TensorBoardCallback,
    TrackioCallback,
    WandbCallback,
    get_reporting_integration_callbacks,
)

from recipe.run.files import read_state, write_state
from recipe.run.folder import RunFolder
from recipe.training.checkpoint_writer import SavedState
from recipe.training.tracker_outcome import TrackedOutcome, write_outcome

logger = logging.getLogger(__name__)

PROJECT = "whispertrain"
"""Project or experiment at the trackers, unless their variables name another."""


Ending = Literal["finished", "failed", "interrupted"]


class _Identity(BaseModel):
    """What the run is called at the trackers, kept so that a resumed attempt goes on with the same run."""

    run: str
    mlflow: str = ""


class Trackers(TrainerCallback):
    """The trackers of a run. One that fails is left out with a warning, since training matters more.

    Args:
        folder: Of the run.
        warn: Takes a sentence for the user.

    Attributes:
        base: The base model's figures, logged at update 0.
    """

    def __init__(self, folder: RunFolder, warn: Callable[[str], object]) -> None:
        self.base: Mapping[str, float] = {}
        self._folder, self._warn = folder, warn
        self._open: list[TrainerCallback] = []
        self._saved = SavedState()
        self._place: tuple[TrainingArguments, TrainerState, TrainerControl] | None = None
        self._model: Any = None
        self._identity = _Identity(run="")

    def on_init_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Make the trackers, on the main process alone."""
        if state.is_world_process_zero:
            self._open = [kind() for kind in get_reporting_integration_callbacks(args.report_to)]
            self._tell("on_init_end", args, state, control, **kwargs)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin the run at each tracker, or go on with it; the base model's figures are those of update 0."""
        if not self._open:
            return
        self._place, self._model = (args, state, control), kwargs.get("model")
        self._identity = self._identify(args)
        self._tell("on_train_begin", args, state, control, **kwargs)
        if any(isinstance(tracker, MLflowCallback) for tracker in self._open):
            self._identity.mlflow = import_module("mlflow").active_run().info.run_id
        write_state(self._folder.trackers, self._identity.model_dump())
        if state.global_step == 0:
            self._tell("on_log", args, state, control, model=self._model, logs=dict(self.base))

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Pass it on; a checkpoint that became whole meanwhile, too."""
        self._tell_saved(args, control, **kwargs)
        self._tell("on_step_end", args, state, control, **kwargs)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Pass it on."""
        self._tell("on_evaluate", args, state, control, **kwargs)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Pass it on."""
        self._tell("on_log", args, state, control, **kwargs)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Pass it on once the checkpoint is whole: trackers may deliver it."""
        self._tell_saved(args, control, **kwargs)
        self._saved.note(state)
        self._tell_saved(args, control, **kwargs)

    def _tell_saved(self, args: TrainingArguments, control: TrainerControl, **kwargs: Any) -> None:
        if self._open and (state := self._saved.take(args)):
            self._tell("on_save", args, state, control, **kwargs)

    def tell_outcome(self, outcome: TrackedOutcome) -> None:
        """Log the final figures, the verdict and samples, after training."""
        if self._place is None:
            return
        step = self._place[1].global_step
        self._tell("on_log", *self._place, model=self._model, logs=dict(outcome.figures))
        self._each(lambda tracker: write_outcome(tracker, outcome, step))

    def close(self, ending: Ending, seconds: float) -> None:
        """End the run at each tracker as it ended here; waits no longer than so many seconds."""
        if self._place is None:
            return
        # Some trackers keep their run in context variables.
        closing = threading.Thread(
            target=contextvars.copy_context().run,
            args=(self._each, lambda tracker: self._end(tracker, ending)),
            name="trackers",
            daemon=True,
        )
        closing.start()
        closing.join(seconds)
        if closing.is_alive():
            logger.warning("The trackers did not end within %.0f s; they may lack the last figures.", seconds)

    def _end(self, tracker: TrainerCallback, ending: Ending) -> None:
        assert self._place
        if isinstance(tracker, TrackioCallback) and ending == "failed":  # it has no other mark
            import_module("trackio").alert("The run failed", "error.json in its folder says why.")
        if ending == "finished" or isinstance(tracker, TensorBoardCallback | TrackioCallback):
            tracker.on_train_end(*self._place, model=self._model)
        if isinstance(tracker, WandbCallback):
            run = import_module("wandb").run
            if ending == "interrupted":
                run.mark_preempting()
            run.finish(exit_code=int(ending != "finished"))
        elif isinstance(tracker, MLflowCallback):
            mlflow = import_module("mlflow")
            mlflow.flush_async_logging()
            status = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}[ending]
            mlflow.MlflowClient().set_terminated(self._identity.mlflow, status)

    def _identify(self, args: TrainingArguments) -> _Identity:
        """What the run is called, by variables that the trackers read unless the user has set them."""
        name = self._folder.path.name
        identity = read_state(self._folder.trackers, _Identity) or _Identity(
            run=f"{re.sub(r'[^A-Za-z0-9-]+', '-', name)[:40]}-{secrets.token_hex(3)}"
        )
        args.run_name = args.run_name or identity.run
        args.project = PROJECT if args.project == "huggingface" else args.project
        defaults = {
            "WANDB_PROJECT": PROJECT,
            "WANDB_RUN_ID": identity.run,
            "WANDB_RESUME": "allow",
            "WANDB_DIR": str(self._folder.logs),
            "WANDB_CONSOLE": "off",  # it would take what is printed before secrets are taken out
            "MLFLOW_EXPERIMENT_NAME": PROJECT,
            "MLFLOW_RUN_ID": identity.mlflow,
        }
        for variable, value in defaults.items():
            if value:
                os.environ.setdefault(variable, value)
        return identity

    def _tell(self, event: str, *place: Any, **fields: Any) -> None:
        self._each(lambda tracker: getattr(tracker, event)(*place, **fields))

    def _each(self, tell: Callable[[TrainerCallback], object]) -> None:
        for tracker in list(self._open):
            try:
                tell(tracker)
            except Exception as error:  # noqa: BLE001 - whatever its library raises, training goes on
                self._open.remove(tracker)
                name = type(tracker).__name__.removesuffix("Callback")
                self._warn(
                    f"The tracker {name} failed and is told nothing more; the run goes on. It said: {error}"
                )
