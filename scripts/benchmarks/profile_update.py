"""Where one training update spends its time: the largest kernels, and how long the device waits.

    python -m scripts.benchmarks.profile_update --size large-v3 --batch_size 16
    python -m scripts.benchmarks.profile_update --size toy --batch_size 1          # on a CPU

Model, windows and trainer are those of `scripts.benchmarks.utilisation`. On a GPU times are of kernels, and
the device is idle where none runs; on a CPU they are of torch's operations, one inside the other.
"""

import argparse
import tempfile
from collections.abc import Iterator
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from transformers import TrainerCallback

from recipe.training.arguments import RecipeTrainingArguments
from scripts.benchmarks.common import QUIET, build_parser, build_trainer, find_device, print_table, run
from scripts.benchmarks.utilisation import NUM_WARM_UPDATES, SHAPES, NoiseWindows, Shape

NUM_ROWS = 20


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = build_parser(__doc__)
    parser.add_argument("--size", choices=SHAPES, default="toy", help="model (toy)")
    parser.add_argument("--batch_size", type=int, default=4, help="windows of the update (4)")
    parser.add_argument("--label_tokens", type=int, default=128, help="tokens of a window's label (128)")
    return parser


def measure(arguments: argparse.Namespace) -> None:
    """Print the table."""
    shape = Shape(arguments.size, is_lora=False, num_label_tokens=arguments.label_tokens)
    device = find_device()
    is_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * is_gpu]
    with tempfile.TemporaryDirectory() as folder:
        training = RecipeTrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=arguments.batch_size,
            num_train_epochs=1,
            max_steps=NUM_WARM_UPDATES + 1,
            learning_rate=1e-5,
            **QUIET,
        )
        windows: Any = NoiseWindows(shape.make_window(), arguments.batch_size)
        profiler = profile(activities=activities)
        trainer = build_trainer(shape.build(training.device), training, windows, [LastUpdate(profiler)])
        trainer.train()
    events = [event for event in profiler.key_averages() if _time_of(event, is_gpu=is_gpu)]
    events.sort(key=lambda event: _time_of(event, is_gpu=is_gpu), reverse=True)
    total = sum(_time_of(event, is_gpu=is_gpu) for event in events)
    print_table(["kernel" if is_gpu else "operation", "calls", "ms", "share"], _rows(events, total, is_gpu))
    if is_gpu:
        spans = [event.time_range for event in profiler.events() or () if event.device_type.name == "CUDA"]
        wall = max(span.end for span in spans) - min(span.start for span in spans)
        print(f"{wall / 1000:.1f} ms from the first kernel to the last, {1 - total / wall:.0%} of it idle.")


def _rows(events: list[Any], total: float, is_gpu: bool) -> Iterator[list[str]]:  # noqa: FBT001
    for event in events[:NUM_ROWS]:
        spent = _time_of(event, is_gpu=is_gpu)
        yield [
            event.key[:80].replace("|", "/"),
            str(event.count),
            f"{spent / 1000:.2f}",
            f"{spent / total:.1%}",
        ]


def _time_of(event: Any, *, is_gpu: bool) -> float:
    """Microseconds in the kernel or operation itself."""
    return float(event.self_device_time_total if is_gpu else event.self_cpu_time_total)


class LastUpdate(TrainerCallback):
    """Profiles the update after the warm ones."""

    def __init__(self, profiler: Any) -> None:
        """Keep the profiler, which has not started."""
        self._profiler = profiler

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Start with the last update."""
        if state.global_step == NUM_WARM_UPDATES:
            self._profiler.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Stop when the device has done its work."""
        if state.global_step == NUM_WARM_UPDATES + 1:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self._profiler.stop()


if __name__ == "__main__":
    run(measure, parser())
