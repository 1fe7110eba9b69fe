"""How exact an update is: logged loss and gradient norm of the same windows in every layout, by option.

    python -m scripts.benchmarks.exactness [--max_processes 4] [--json FILE]

A layout is processes x batch x accumulation; each has the same windows in an update. A tiny model with random
weights in float32 is trained on the CPU, processes meet over gloo. For contrast the last row is what
`Seq2SeqTrainer` does with the usual collator, where the model works out its own loss.
"""

import argparse
import gc
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

os.environ["TQDM_DISABLE"] = "1"

import datasets
import numpy as np
import torch
import transformers
from accelerate import debug_launcher
from torch import Tensor
from transformers import Seq2SeqTrainer

from recipe.arguments import ModelArguments
from recipe.audio.decoding import encode_flac
from recipe.model.adapters import add_adapters
from recipe.model.encoder_states import EncoderStates, identify_encoder
from recipe.model.glossary import TermPrompts
from recipe.model.inputs import ViewProbabilities, WindowDataset, collate
from recipe.model.tiny import build_tiny_whisper
from recipe.model.whisper import Whisper, load_whisper
from recipe.run.files import write_json
from recipe.training.arguments import RecipeTrainingArguments
from scripts.benchmarks.common import QUIET, build_parser, build_trainer, print_table, run

NUM_WINDOWS = 7
"""Two updates of four; the second has one that only fills up."""

PEER = "plain `Seq2SeqTrainer`"
Curve = list[tuple[float, float]]
"""Logged loss and gradient norm (before clipping) of each update."""


@dataclass(frozen=True)
class Layout:
    """How the windows of an update are shared out.

    Attributes:
        num_processes: Processes, each with a copy of the model.
        batch_size: Windows that a process takes at once.
        num_accumulated: Batches of each process in one update.
    """

    num_processes: int
    batch_size: int
    num_accumulated: int = 1

    def __str__(self) -> str:
        return f"{self.num_processes}x{self.batch_size}x{self.num_accumulated}"


LAYOUTS = [Layout(4, 1), Layout(2, 2), Layout(2, 1, 2), Layout(1, 4), Layout(1, 1, 4)]
"""Those with several processes first: they are forked, which a process that has trained must not be."""


@dataclass(frozen=True)
class Option:
    """What a run is told.

    Attributes:
        model: Of `ModelArguments`.
        training: Of `RecipeTrainingArguments`.
        views: How windows are shown.
        term_prompts: Terms in prompts.
        keeps_states: Whether the encoder's states are kept; layouts find those of the layouts before them.
    """

    model: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    views: ViewProbabilities = field(default_factory=ViewProbabilities)
    term_prompts: TermPrompts | None = None
    keeps_states: bool = False


OPTIONS = {
    "plain": Option(),
    "label smoothing 0.1": Option(training={"label_smoothing_factor": 0.1}),
    "activation checkpointing": Option(training={"activation_checkpointing": True}),
    "timestamps, prompts masked": Option(
        views=ViewProbabilities(timestamps=0.5, prompts=0.5, single_cues=0.2)
    ),
    "glossary, weight 2": Option(
        views=ViewProbabilities(timestamps=0.5, prompts=0.5),
        term_prompts=TermPrompts([*map(str, range(NUM_WINDOWS)), "wwww"], fraction=0.7, weight=2.0),
    ),
    "frozen encoder": Option(model={"freeze_encoder": True}),
    "frozen encoder, its states kept": Option(model={"freeze_encoder": True}, keeps_states=True),
    "LoRA": Option(model={"lora_rank": 4}),
    "DoRA": Option(model={"lora_rank": 4, "lora_dora": True}),
    PEER: Option(),
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = build_parser(__doc__, optional=["json"])
    parser.add_argument("--max_processes", type=int, default=4, help="leave out layouts with more (4)")
    return parser


def measure(arguments: argparse.Namespace) -> None:
    """Train with every option in every layout, and print the table."""
    layouts = [layout for layout in LAYOUTS if layout.num_processes <= arguments.max_processes]
    with tempfile.TemporaryDirectory() as folder:
        curves = train_all(Path(folder), layouts)
    if arguments.json:
        write_json(arguments.json, curves)
    header = ["loss, gradient norm", *map(str, layouts), "largest relative deviation"]
    print_table(header, describe(curves))


def train_all(folder: Path, layouts: Sequence[Layout]) -> dict[str, dict[str, Curve]]:
    """The curve of each option, by layout."""
    gc.freeze()  # each trainer collects garbage, and what was imported is none
    torch.set_num_threads(1)  # a process forked from one with a pool of threads waits for it for ever
    build_tiny_whisper(folder / "tiny")
    curves: dict[str, dict[str, Curve]] = {name: {} for name in OPTIONS}
    for layout in layouts:
        if layout.num_processes > 1:
            debug_launcher(train_layout, (folder, layout), num_processes=layout.num_processes)
        else:
            train_layout(folder, layout)
        for name, curve in json.loads((folder / "curves.json").read_text()).items():
            curves[name][str(layout)] = curve
    return curves


def train_layout(folder: Path, layout: Layout) -> None:
    """Train with each option in turn; runs in every process of the layout, and one of them writes."""
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    curves = {name: train(folder, layout, name, option) for name, option in OPTIONS.items()}
    if not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0:
        (folder / "curves.json").write_text(json.dumps(curves))


def train(folder: Path, layout: Layout, name: str, option: Option) -> Curve:
    """The curve of one epoch."""
    model_arguments = ModelArguments(model_name_or_path=str(folder / "tiny"), **option.model)
    whisper = load_whisper(model_arguments)
    states = keep_states(folder / "states", whisper) if option.keeps_states else None
    windows = WindowDataset(
        make_examples(), whisper, option.views, seed=1, term_prompts=option.term_prompts, states=states
    )
    arguments = RecipeTrainingArguments(
        output_dir=str(folder / "run"),
        num_train_epochs=1,
        per_device_train_batch_size=layout.batch_size,
        gradient_accumulation_steps=layout.num_accumulated,
        train_sampling_strategy="sequential",  # the plain trainer's; ours has its own order
        learning_rate=1e-3,
        max_grad_norm=0.5,  # below the norms that come: clipping shows a wrong scale
        use_cpu=True,
        **QUIET,
        **option.training,
    )
    if name == PEER:
        usual = partial(collate_labels, pad_token_id=whisper.processor.tokenizer.eos_token_id)
        trainer: Seq2SeqTrainer = Seq2SeqTrainer(whisper.model, arguments, usual, windows)
    else:
        trainer = build_trainer(whisper, arguments, windows)
    add_adapters(whisper.model, model_arguments, seed=1)
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return [(entry["loss"], entry["grad_norm"]) for entry in trainer.state.log_history if "loss" in entry]


def keep_states(folder: Path, whisper: Whisper) -> EncoderStates:
    """A place for the states of the encoder, as if a second epoch followed."""
    config = whisper.model.config
    shape = config.max_source_positions, config.d_model
    return EncoderStates(folder, shape, identify_encoder(whisper.model, None), num_epochs=2)


def collate_labels(items: Sequence[Mapping[str, Any]], pad_token_id: int) -> dict[str, Tensor]:
    """A batch as the usual recipe's collator makes it: features and labels, the rest is the model's."""
    batch = collate(items, pad_token_id)
    return {name: batch[name] for name in ("input_features", "labels")}


def make_examples() -> datasets.Dataset:
    """Windows of noise, several cues each, with texts of very different lengths."""
    random = np.random.default_rng(0)
    noise = random.integers(-3_000, 3_000, (NUM_WINDOWS, 96_000)).astype(np.int16)
    return datasets.Dataset.from_list(
        [
            {
                "recording": "noise",
                "language": "en",
                "start_ms": 0,
                "end_ms": 6_000,
                "audio": {"bytes": encode_flac(samples)},
                "segments": [
                    {"start_ms": start_ms, "end_ms": start_ms + 2_000, "text": f"{index} " + "w" * index**2}
                    for start_ms in (0, 2_000, 4_000)
                ],
                "prompt": [{"start_ms": 0, "end_ms": 30_000, "text": "said before " * index}],
                "num_tokens": 10 + index**2,
            }
            for index, samples in enumerate(noise)
        ]
    )


def describe(curves: Mapping[str, Mapping[str, Curve]]) -> Iterator[list[str]]:
    """Loss and norm of each option's first update in each layout, and the deviation over all updates.

    It is the largest relative deviation of a loss or norm from that of the last layout.
    """
    for name, by_layout in curves.items():
        figures = np.array(list(by_layout.values()))
        first = [f"{loss:.5f}, {norm:.5f}" for (loss, norm), *_ in by_layout.values()]
        yield [name, *first, f"{np.abs(figures / figures[-1] - 1).max():.0e}"]


if __name__ == "__main__":
    run(measure, parser())
