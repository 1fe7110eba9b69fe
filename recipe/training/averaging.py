"""The mean of the weights at the last checkpoints, as one more end that a run may have.

Checkpoints to resume from come by time and on request too, and the older ones go: their mean would be
another after every interruption. These hold weights alone, and are made after updates that depend on the
length of the run and nothing else.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from recipe.training.blending import Weights, average_weights
from recipe.training.checkpoints import complete_checkpoint, verify_checkpoint

logger = logging.getLogger(__name__)


def list_averaged(output_dir: Path, num_updates: int, num_averaged: int) -> dict[int, Path]:
    """Folders of the checkpoints that are averaged, by update: evenly over the last quarter of the run."""
    updates = {num_updates - index * num_updates // (4 * num_averaged) for index in range(num_averaged)}
    return {update: output_dir / "averaged" / f"checkpoint-{update}" for update in sorted(updates)}


def read_average(output_dir: Path, num_updates: int, num_averaged: int) -> Weights | None:
    """The mean of a finished run's weights, or None if one of the checkpoints is gone or damaged."""
    folders = list_averaged(output_dir, num_updates, num_averaged).values()
    for folder in folders:
        problem = verify_checkpoint(folder)
        if problem:
            logger.warning("The mean of checkpoints is not tried: %s: %s.", folder.name, problem)
            return None
    return average_weights(list(folders))


class AveragingCallback(TrainerCallback):
    """Keeps the weights after the updates of `list_averaged`.

    Args:
        num_averaged: How many.
        save: Trainer's `save_model`: all processes take part, the main one writes.
        fingerprint: What a run must have in common with this one.
    """

    def __init__(
        self, num_averaged: int, save: Callable[[str], None], fingerprint: Mapping[str, Any]
    ) -> None:
        self._num_averaged = num_averaged
        self._save = save
        self._fingerprint = fingerprint

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Keep the weights if it is time; an interrupted run that comes here again writes the same."""
        folders = list_averaged(Path(str(args.output_dir)), state.max_steps, self._num_averaged)
        if state.global_step in folders:
            self._save(str(folders[state.global_step]))
            if args.should_save:
                complete_checkpoint(folders[state.global_step], self._fingerprint)
