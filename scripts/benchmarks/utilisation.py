"""How much of a device's matrix rate training uses, how much memory it takes and which batch fits.

    python -m scripts.benchmarks.utilisation --sizes tiny base small medium large-v3
    python -m scripts.benchmarks.utilisation --sizes toy --max_batch_size 2          # on a CPU, in a minute

The trainer is the recipe's own (its loss, precision, optimizer, loader and batches); weights are random in
the model's shape and windows are noise of 30 s, which take the same time. The batch is doubled until memory
runs out. Useful FLOPs are those of forward and backward, counted by torch operation by operation on one
window: about three times the forward's, or two where weights are frozen; what activation checkpointing
computes again is not useful. Utilisation is useful FLOPs per second over the rate at which this device
multiplies large matrices, in bfloat16 on a GPU and float32 on a CPU, measured in the same run. Without a
GPU, seconds are CPU seconds.
"""

import argparse
import gc
import logging
import tempfile
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import TrainerCallback, WhisperConfig, WhisperProcessor

from recipe.arguments import ModelArguments
from recipe.data.windows import WINDOW_MS
from recipe.errors import TrainingError
from recipe.model.adapters import add_adapters
from recipe.model.tiny import build_tiny_whisper
from recipe.model.whisper import Whisper, WhisperForConditionalGeneration
from recipe.training.arguments import RecipeTrainingArguments
from recipe.training.flops import count_flops, measure_matrix_rate
from scripts.benchmarks.common import (
    QUIET,
    build_parser,
    build_trainer,
    find_device,
    peak_mib,
    print_table,
    read_clock,
    run,
)

SHAPES = {  # width, encoder layers, decoder layers, heads, mel bins (Radford et al. 2022, table 1)
    "toy": (64, 2, 2, 2, 80),
    "tiny": (384, 4, 4, 6, 80),
    "base": (512, 6, 6, 8, 80),
    "small": (768, 12, 12, 12, 80),
    "medium": (1024, 24, 24, 16, 80),
    "large-v3": (1280, 32, 32, 20, 128),
    "turbo": (1280, 32, 4, 20, 128),
}
VOCABULARY = 51_866
PAD_TOKEN = 50_257
NUM_WARM_UPDATES = 2
LORA = ModelArguments(lora_rank=32)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = build_parser(__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SHAPES, default=["toy"], help="models (toy)")
    parser.add_argument("--trained", nargs="+", choices=["full", "LoRA"], default=["full", "LoRA"])
    parser.add_argument("--max_batch_size", type=int, default=256, help="windows at most (256)")
    parser.add_argument("--label_tokens", type=int, default=128, help="tokens of a window's label (128)")
    parser.add_argument("--num_updates", type=int, default=5, help="updates that are timed (5)")
    parser.add_argument("--optim", default="adamw_torch_fused", help="as in train.py (adamw_torch_fused)")
    parser.add_argument("--torch_compile", action="store_true", help="as in train.py")
    return parser


def measure(arguments: argparse.Namespace) -> None:
    """Print the table."""
    logging.getLogger("recipe").setLevel(logging.ERROR)  # memory that runs out is what we look for
    device = find_device()
    rate = measure_matrix_rate(device, lambda: read_clock(device))
    print(f"Large matrices: {rate / 1e12:.3g} TFLOP/s. {arguments.label_tokens} label tokens a window.\n")
    header = ["size", "trained", "activations", "batch", "seconds per update", "audio s per s", "TFLOP/s"]

    def measure_rows() -> Iterator[list[str]]:
        for size, trained, is_recomputed in product(arguments.sizes, arguments.trained, (False, True)):
            shape = Shape(size, trained == "LoRA", arguments.label_tokens)
            figures = find_largest(shape, arguments, is_recomputed=is_recomputed)
            activations = "recomputed" if is_recomputed else "kept"
            yield [size, trained, activations, *describe(shape, figures, rate)]

    print_table([*header, "utilisation", "peak GiB"], measure_rows())


class Shape(NamedTuple):
    """What is trained.

    Attributes:
        size: A key of `SHAPES`.
        is_lora: Whether adapters are trained, not the weights.
        num_label_tokens: Decoder positions of a window.
    """

    size: str
    is_lora: bool
    num_label_tokens: int

    def build(self, device: torch.device) -> Whisper:
        """A model with random weights, made on the device."""
        width, num_encoder_layers, num_decoder_layers, num_heads, num_mel_bins = SHAPES[self.size]
        config = WhisperConfig(
            vocab_size=VOCABULARY,
            num_mel_bins=num_mel_bins,
            d_model=width,
            encoder_layers=num_encoder_layers,
            decoder_layers=num_decoder_layers,
            encoder_attention_heads=num_heads,
            decoder_attention_heads=num_heads,
            encoder_ffn_dim=4 * width,
            decoder_ffn_dim=4 * width,
            use_cache=False,
        )
        with device:
            model = WhisperForConditionalGeneration(config)
        assert model.config._attn_implementation == "sdpa"
        if self.is_lora:
            add_adapters(model, LORA, seed=0)
        return Whisper(model, any_processor())

    def make_window(self) -> dict[str, Any]:
        """An item as `WindowDataset` makes them: noise, and any tokens."""
        random = np.random.default_rng(0)
        tokens = random.integers(0, PAD_TOKEN, self.num_label_tokens).tolist()
        features = random.standard_normal((SHAPES[self.size][-1], 3000), dtype=np.float32)
        return {"input_features": features, "decoder_input_ids": tokens, "labels": tokens}

    def count_flops(self) -> int:
        """FLOPs of forward and backward of one window."""
        return count_flops(self.build(torch.device("meta")).model, self.num_label_tokens)


@cache
def any_processor() -> WhisperProcessor:
    """A processor to go with the models; noise needs none."""
    with tempfile.TemporaryDirectory() as folder:
        return WhisperProcessor.from_pretrained(build_tiny_whisper(Path(folder)), trust_remote_code=False)


class Figures(NamedTuple):
    """What was measured.

    Attributes:
        batch_size: Windows of an update.
        seconds: Per update.
        peak_bytes: Most memory in use.
    """

    batch_size: int
    seconds: float
    peak_bytes: int


def find_largest(shape: Shape, arguments: argparse.Namespace, *, is_recomputed: bool) -> Figures | None:
    """Figures of the largest batch that fits, None if not even one window does."""
    largest = None
    batch_size = 1
    free_memory(find_device())
    while batch_size <= arguments.max_batch_size:
        figures = train(shape, arguments, batch_size, is_recomputed=is_recomputed)
        if figures is None:
            break
        largest, batch_size = figures, batch_size * 2
    return largest


def train(
    shape: Shape, arguments: argparse.Namespace, batch_size: int, *, is_recomputed: bool
) -> Figures | None:
    """Figures of some updates; None if memory runs out."""
    with tempfile.TemporaryDirectory() as folder:
        training = RecipeTrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=batch_size,
            num_train_epochs=1,
            max_steps=NUM_WARM_UPDATES + arguments.num_updates,
            learning_rate=1e-5,
            activation_checkpointing=is_recomputed,
            optim=arguments.optim,
            torch_compile=arguments.torch_compile,
            **QUIET,
        )
        clock = UpdateClock()
        has_room = finishes(shape, training, clock)
    peak_bytes = read_peak_memory(training.device)
    free_memory(training.device)
    return Figures(batch_size, clock.seconds_per_update, peak_bytes) if has_room else None


def finishes(shape: Shape, training: RecipeTrainingArguments, clock: "UpdateClock") -> bool:
    """Whether all updates find room in memory."""
    windows: Any = NoiseWindows(shape.make_window(), training.train_batch_size)
    try:
        trainer = build_trainer(shape.build(training.device), training, windows, [clock])
        trainer.train()
    except (torch.OutOfMemoryError, TrainingError):
        return False
    return not trainer.warnings  # it halves a batch that does not fit, and says so


class NoiseWindows(Dataset[dict[str, Any]]):
    """The same window as often as a batch needs; `EpochSampler` asks for (epoch, index)."""

    states = None

    def __init__(self, window: dict[str, Any], num_windows: int) -> None:
        self._window = window
        self._num_windows = num_windows

    def __len__(self) -> int:
        return self._num_windows

    def estimate_length(self, epoch: int, index: int) -> int:  # noqa: ARG002
        """The same for all."""
        return len(self._window["labels"])

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        return self._window


class UpdateClock(TrainerCallback):
    """Times updates once the first ones have warmed caches and kernels."""

    def __init__(self) -> None:
        self._times: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Note the time, when the device has done its work."""
        self._times.append(read_clock(args.device))

    @property
    def seconds_per_update(self) -> float:
        """Median of the updates after the warm ones."""
        return float(np.median(np.diff(self._times[NUM_WARM_UPDATES - 1 :])))


def read_peak_memory(device: torch.device) -> int:
    """Bytes at most in use since `free_memory`: tensors on a GPU, else the whole process."""
    return torch.cuda.max_memory_allocated() if device.type == "cuda" else round(peak_mib() * 2**20)


def free_memory(device: torch.device) -> None:
    """Let go of what is no longer used, and watch the peak from here on."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM: proc(5)


def describe(shape: Shape, figures: Figures | None, rate: float) -> list[str]:
    """The cells of a row."""
    if figures is None:
        return ["none fits", *[""] * 5]
    batch_size, seconds, peak_bytes = figures
    audio_seconds = batch_size * WINDOW_MS / 1000
    flops = batch_size * shape.count_flops() / seconds
    speeds = [f"{seconds:.3f}", f"{audio_seconds / seconds:.0f}", f"{flops / 1e12:.3g}"]
    return [str(batch_size), *speeds, f"{flops / rate:.0%}", f"{peak_bytes / 2**30:.2f}"]


if __name__ == "__main__":
    run(measure, parser())
