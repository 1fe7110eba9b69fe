"""The mean of the weights at the last checkpoints, as one more end that a run may have.

Checkpoints to resume from come by time and on request too, and the older ones go: their mean would be
another after every interruption. These hold weights alone, and are made after updates that depend on the
length of the run and nothing else.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from recipe.training.blending import Weights, average_weights, copy_weights
from recipe.training.checkpoints import complete_checkpoint, verify_checkpoint


def list_averaged(output_dir: Path, num_updates: int, num_averaged: int) -> dict[int, Path]:
    """Folders of the checkpoints that are averaged, by update: evenly over the last quarter of the run."""
    updates = {num_updates - index * num_updates // (4 * num_averaged) for index in range(num_averaged)}
    return {update: output_dir / "averaged" / f"checkpoint-{update}" for update in sorted(updates)}


def read_ends(
    model: nn.Module, output_dir: Path, num_updates: int, num_averaged: int
) -> tuple[dict[str, Weights], str]:
    """What a finished training made: "trained", the model's weights, and "average", the mean of checkpoints.

    The mean is left out, with a remark for the user, if a process finds a checkpoint gone or damaged.
    """
    ends = {"trained": copy_weights(model)}
    if not num_averaged:
        return ends, ""
    folders = list(list_averaged(output_dir, num_updates, num_averaged).values())
    problems = [f"{folder.name}: {problem}" for folder in folders if (problem := verify_checkpoint(folder))]
    problems = gather_object(problems)
    if problems:
        return ends, f"The mean of checkpoints was not tried ({problems[0]})."
    return {**ends, "average": average_weights(folders)}, ""


class AveragingCallback(TrainerCallback):
    """Keeps the weights after the updates of `list_averaged`.

    Args:
        num_averaged: How many.
        save: Saves the whole model: all processes take part, the main one writes.
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
