"""How long training stands still for a checkpoint: written beside training, or waited for until it is whole.

    python -m scripts.benchmarks.checkpoints --sizes toy base
    python -m scripts.benchmarks.checkpoints --sizes large-v3 --batch_size 16      # on a GPU

Models have random weights, windows are noise; trainer and checkpoints are the recipe's.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from transformers import TrainerCallback, TrainerState, TrainingArguments

from recipe.run.folder import list_checkpoints
from recipe.training.arguments import RecipeTrainingArguments
from recipe.training.trainer import WhisperTrainer
from scripts.benchmarks.common import QUIET, build_parser, build_trainer, print_table, run
from scripts.benchmarks.utilisation import SHAPES, NoiseWindows, Shape


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = build_parser(__doc__, optional=["workdir"])
    parser.add_argument("--sizes", nargs="+", choices=SHAPES, default=["toy"], help="models (toy)")
    parser.add_argument("--batch_size", type=int, default=1, help="windows of an update (1)")
    parser.add_argument("--updates", type=int, default=4, help="updates between two checkpoints (4)")
    parser.add_argument("--checkpoints", type=int, default=3, help="checkpoints that are timed (3)")
    return parser


def measure(arguments: argparse.Namespace) -> None:
    """Print the table."""
    header = ["size", "checkpoint", "waited for", "beside", "of ten minutes", "an update", "beside a write"]

    def measure_rows() -> Iterator[list[str]]:
        for size in arguments.sizes:
            waited, num_bytes = save(size, arguments, is_waited_for=True)
            beside, _ = save(size, arguments, is_waited_for=False)
            before, after = median(waited.still_seconds), median(beside.still_seconds)
            yield [
                size,
                f"{num_bytes / 1e6:,.0f} MB",
                f"{before:.2f} s",
                f"{after:.2f} s",
                f"{before / 6:.2f} → {after / 6:.2f} %",
                f"{median(waited.update_seconds):.2f} s",
                f"{median(beside.first_update_seconds):.2f} s",
            ]

    print_table(header, measure_rows())


class StandStill(TrainerCallback):
    """Times how long training stands still for each checkpoint, and updates.

    Attributes:
        still_seconds: Of each checkpoint, from the end of the update before to the start of the next.
        update_seconds: Of each update that no checkpoint was written beside.
        first_update_seconds: Of each update after a checkpoint.
    """

    def __init__(self, *, is_waited_for: bool) -> None:
        self.still_seconds: list[float] = []
        self.update_seconds: list[float] = []
        self.first_update_seconds: list[float] = []
        self.trainer: WhisperTrainer | None = None
        self._is_waited_for = is_waited_for
        self._began = self._ended = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Note the time."""
        self._began = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, *_: Any, **__: Any) -> None:
        """Note the update's time."""
        self._ended = time.perf_counter()
        is_first = state.global_step % args.save_steps == 1 and state.global_step > 1
        (self.first_update_seconds if is_first else self.update_seconds).append(self._ended - self._began)

    def on_save(self, args: TrainingArguments, state: TrainerState, *_: Any, **__: Any) -> None:  # noqa: ARG002
        """Note how long training stood still."""
        assert self.trainer
        if self._is_waited_for:
            self.trainer.writer.wait()
        if state.global_step < state.max_steps:  # the last one is always waited for
            self.still_seconds.append(time.perf_counter() - self._ended)


def save(size: str, arguments: argparse.Namespace, *, is_waited_for: bool) -> tuple[StandStill, int]:
    """The times of some checkpoints, and the bytes of one."""
    shape = Shape(size, is_lora=False, num_label_tokens=64)
    clock = StandStill(is_waited_for=is_waited_for)
    arguments.workdir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.workdir) as folder:
        training = RecipeTrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=arguments.batch_size,
            num_train_epochs=1,
            max_steps=arguments.updates * (arguments.checkpoints + 1),
            learning_rate=1e-5,
            **QUIET | {"save_strategy": "steps", "save_steps": arguments.updates, "save_total_limit": 1},
        )
        num_windows = arguments.batch_size * training.max_steps
        windows: Any = NoiseWindows(shape.make_window(), num_windows)
        clock.trainer = build_trainer(shape.build(training.device), training, windows, [clock])
        clock.trainer.train()
        newest = list_checkpoints(Path(folder))[0]
        return clock, sum(path.stat().st_size for path in newest.rglob("*") if path.is_file())


if __name__ == "__main__":
    run(measure, parser())
