"""One measurement of the comparison, to be taken in a process of its own.

Compute is CPU seconds of the process (all threads), or seconds of the GPU where there is one, and counts
nothing but the measured work: no imports, no loading, no evaluation. Memory is the peak of the whole process.
"""

import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
import transformers
from datasets import Dataset, concatenate_datasets
from safetensors.torch import load_model as load_weights
from safetensors.torch import save_model as save_weights
from transformers import (
    GenerationConfig,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    TrainerCallback,
    WhisperConfig,
    WhisperProcessor,
)

from recipe.arguments import DataArguments
from recipe.audio.decoding import decode_audio
from recipe.data.dataset import PreparedDataset, check_dataset
from recipe.data.manifest import Recording
from recipe.data.opening import prepare_dataset
from recipe.data.recording import PreparationSettings
from recipe.data.sources import list_recordings
from recipe.errors import DataError
from recipe.evaluation.report import evaluate_model
from recipe.evaluation.transcription import Decoding
from recipe.model.inference import has_bfloat16
from recipe.model.inputs import ViewProbabilities, WindowDataset
from recipe.model.whisper import Whisper, WhisperForConditionalGeneration
from recipe.training.arguments import RecipeTrainingArguments
from scripts.benchmarks.common import (
    QUIET,
    build_trainer,
    find_device,
    load_on_device,
    measure_seconds,
    name_device,
    peak_mib,
    read_clock,
)
from scripts.benchmarks.usual_recipe.cues import isolate_cues
from scripts.benchmarks.usual_recipe.recipe import build_usual_trainer, map_features

NUM_DRAWS = 20
"""Epochs of views over which the speech that a window shows is averaged."""

FEATURES_FILE = "features.arrow"
DATA_SUFFIXES = (".arrow", ".tar")
"""Rows or features, and the sounds beside rows."""


@dataclass(frozen=True)
class Settings:
    """What every measurement depends on.

    Attributes:
        model: Hub id or folder of the checkpoint trained from.
        language: Code of the language spoken.
        batch_size: Windows in an update.
        learning_rate: Peak, kept after the warm-up.
        warmup_steps: Updates until then.
        eval_fraction: Fraction of the speech held out.
        single_cue_fraction: Fraction of our windows cut down to one cue.
        num_threads: Of torch.
        budgets: Compute seconds after which models are judged.
    """

    model: str
    language: str
    batch_size: int
    learning_rate: float
    warmup_steps: int
    eval_fraction: float
    single_cue_fraction: float
    num_threads: int
    budgets: tuple[float, ...]


@dataclass(frozen=True)
class Measurement:
    """What is measured.

    Attributes:
        settings: The same for all.
        workdir: Receives what is prepared and trained.
        data_dir: Recordings with captions.
        kind: "prepare", "train" or "evaluate".
        recipe: "ours", "usual", or "base" for the checkpoint that both start from.
        cues: "short" or "long", as the captions of `data_dir` are.
        seed: Of a training; the repeat of a preparation.
        budget: Compute seconds of the weights that are evaluated.
    """

    settings: Settings
    workdir: Path
    data_dir: Path
    kind: str
    recipe: str
    cues: str = "short"
    seed: int = 1
    budget: float | None = None

    @property
    def name(self) -> str:
        """Its key in the results."""
        parts = [self.kind, self.cues, self.recipe, str(self.seed)]
        return "/".join(parts if self.budget is None else [*parts, f"{self.budget:g}"])

    def prepared_dir(self, recipe: str) -> Path:
        """Folder of a recipe's dataset."""
        repeat = self.seed if self.kind == "prepare" else 1
        return self.workdir / "prepared" / self.cues / f"{recipe}-{repeat}"

    def weights_file(self, budget: float) -> Path:
        """The weights after a budget is spent."""
        folder = self.workdir / "weights" / self.cues / self.recipe / str(self.seed)
        return folder / f"{budget:g}.safetensors"

    @property
    def budgets(self) -> tuple[float, ...]:
        """Compute seconds of the training: all; half of them for the long cues, judged at the last."""
        budgets = self.settings.budgets
        return budgets if self.cues == "short" else budgets[: (len(budgets) + 1) // 2]


def take(measurement: Measurement) -> dict[str, Any]:
    """The figures of the measurement."""
    datasets.disable_progress_bars()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(measurement.settings.num_threads)
    take_kind = {"prepare": measure_preparation, "train": measure_training, "evaluate": measure_errors}
    figures = take_kind[measurement.kind](measurement) | {"device": name_device(), "peak_mib": peak_mib()}
    if torch.cuda.is_available():
        figures["peak_gpu_mib"] = torch.cuda.max_memory_allocated() / 2**20
    return figures


def describe_checkpoint(model: str) -> Whisper:
    """The checkpoint without its weights, which a preparation does not need."""
    with torch.device("meta"):
        empty = WhisperForConditionalGeneration(WhisperConfig.from_pretrained(model, trust_remote_code=False))
    empty.generation_config = GenerationConfig.from_pretrained(model)
    whisper = Whisper(empty, WhisperProcessor.from_pretrained(model, trust_remote_code=False))
    return whisper if whisper.is_multilingual else Whisper(empty, whisper.processor, task=None)


def measure_preparation(measurement: Measurement) -> dict[str, Any]:
    """CPU seconds from files to Arrow in one process, those of decoding alone, and the bytes written."""
    whisper = describe_checkpoint(measurement.settings.model)
    folder = measurement.prepared_dir(measurement.recipe)
    recordings = list_recordings(measurement.data_dir, measurement.settings.language)
    shutil.rmtree(folder, ignore_errors=True)  # both recipes reuse what they find
    # Over all recordings too: the usual recipe would measure on mapped features.
    prepare = prepare_windows if measurement.recipe == "ours" else prepare_cues
    _, seconds = measure_seconds(partial(prepare, measurement, whisper))
    duration_ms, decoding_seconds = measure_seconds(partial(decode_all, recordings))
    return {
        "compute_seconds": seconds["cpu_seconds"],
        "decoding_seconds": decoding_seconds["cpu_seconds"],
        "audio_hours": duration_ms / 3_600_000,
        "num_bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.suffix in DATA_SUFFIXES),
    }


def decode_all(recordings: list[Recording]) -> int:
    """Milliseconds of all audio, which is decoded."""
    paths = [recording.audio.path for recording in recordings if recording.audio.path]
    return sum(decode_audio(path).duration_ms for path in paths)


def prepare_windows(measurement: Measurement, whisper: Whisper) -> PreparedDataset:
    """Our dataset; what is on disk is reused."""
    folder = measurement.prepared_dir("ours")
    tokenizer_file = folder / "tokenizer.json"
    settings = PreparationSettings(
        # A process beside this one may be reading it.
        tokenizer_file if tokenizer_file.exists() else whisper.save_tokenizer(folder),
        suppressed_symbols=whisper.suppressed_symbols(),
    )
    arguments = DataArguments(eval_fraction=measurement.settings.eval_fraction)
    recordings = list_recordings(measurement.data_dir, measurement.settings.language)
    data = prepare_dataset(recordings, settings, arguments, folder, num_workers=1)
    check_dataset(data, arguments)
    if not data.report["test"]:
        raise DataError(f"{measurement.data_dir}: at least two recordings are needed to hold one out.")
    return data


def prepare_cues(measurement: Measurement, whisper: Whisper) -> Dataset:
    """The usual recipe's dataset."""
    folder = measurement.prepared_dir("usual")
    folder.mkdir(parents=True, exist_ok=True)
    recordings = list_recordings(measurement.data_dir, measurement.settings.language)
    return map_features(recordings, whisper, folder / FEATURES_FILE)


def measure_training(measurement: Measurement) -> dict[str, Any]:
    """Train until the compute is spent: what was seen at each update, and the weights of each budget."""
    whisper = load_on_device(measurement.settings.model)
    data, keeper = prepare_windows(measurement, whisper), BudgetCallback(measurement)
    options = training_options(measurement)
    if measurement.recipe == "ours":
        default = DataArguments()
        views = ViewProbabilities(
            default.timestamp_fraction, default.prompt_fraction, measurement.settings.single_cue_fraction
        )
        num_examples, shown = len(data.train), average_views(data.train, views)
        windows = WindowDataset(data.train, whisper, views, seed=measurement.seed)
        trainer: Seq2SeqTrainer = build_trainer(
            whisper, RecipeTrainingArguments(**options), windows, [keeper]
        )
    else:
        cues = select_cues(measurement, data.report["validation"] + data.report["test"])
        num_examples, shown = len(cues), average_cues(cues)
        trainer = build_usual_trainer(whisper, Seq2SeqTrainingArguments(**options), cues, keeper)
    trainer.train()
    num_batches = -(-num_examples // measurement.settings.batch_size)
    return {
        "examples_per_update": num_examples / num_batches,  # the last batch of an epoch is not full
        "compute_seconds": keeper.seconds,
        "updates_at_budget": keeper.updates_at_budget,
        **shown,
    }


def training_options(measurement: Measurement) -> dict[str, Any]:
    """Trainer's arguments, the same for both recipes."""
    settings, device = measurement.settings, find_device()
    has_gpu = device.type == "cuda"
    return {
        "output_dir": str(measurement.workdir),
        "per_device_train_batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "constant_with_warmup",  # so that a run may be judged after any time
        "warmup_steps": settings.warmup_steps,
        "num_train_epochs": 1,
        "max_steps": 1_000_000,
        "seed": measurement.seed,
        "bf16": has_bfloat16(device),
        "use_cpu": not has_gpu,
        "dataloader_num_workers": min(8, os.cpu_count() or 1) if has_gpu else 0,
        "dataloader_pin_memory": has_gpu,
        "logging_strategy": "no",
        **QUIET,
    }


def average_views(windows: Dataset, views: ViewProbabilities) -> dict[str, float]:
    """Seconds inside cues, and words, that a window shows on average."""
    random, rows = np.random.default_rng(0), list(windows.remove_columns("audio"))
    drawn = [views.draw(row, random) for _ in range(NUM_DRAWS) for row in rows]
    cues = [(s.text, s.end_ms - s.start_ms) for view in drawn for s in view.segments if s.end_ms is not None]
    return average_shown([text for text, _ in cues], sum(length_ms for _, length_ms in cues), len(drawn))


def average_cues(cues: Dataset) -> dict[str, float]:
    """The same of cues."""
    return average_shown(cues["text"], sum(cues["end_ms"]) - sum(cues["start_ms"]), len(cues))


def average_shown(texts: Iterable[str], duration_ms: int, num_examples: int) -> dict[str, float]:
    """What some examples show together, for one of them."""
    return {
        "speech_seconds_per_example": duration_ms / 1000 / num_examples,
        "words_per_example": sum(len(text.split()) for text in texts) / num_examples,
    }


def select_cues(measurement: Measurement, held_out: list[str]) -> Dataset:
    """The mapped cues of the recordings that are not held out."""
    cues = Dataset.from_file(str(measurement.prepared_dir("usual") / FEATURES_FILE))
    return cues.select([index for index, name in enumerate(cues["recording"]) if name not in held_out])


class BudgetCallback(TrainerCallback):
    """Saves the weights at each budget of compute and ends the training at the last.

    Attributes:
        seconds: Compute spent by the end of each update; saving does not count.
        updates_at_budget: Updates made when each budget was spent.
    """

    def __init__(self, measurement: Measurement) -> None:
        """Begin with nothing spent."""
        self.seconds: list[float] = []
        self.updates_at_budget: dict[str, int] = {}
        self._measurement = measurement
        self._left = sorted(measurement.budgets)
        self._started = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        self._started = read_clock(find_device())

    def on_step_end(self, args: Any, state: Any, control: Any, **objects: Any) -> None:  # noqa: ARG002 - Trainer's hook
        """Look at the clock, and save."""
        spent = read_clock(find_device()) - self._started
        self.seconds.append(spent)
        while self._left and spent >= self._left[0]:
            path = self._measurement.weights_file(self._left.pop(0))
            self.updates_at_budget[path.stem] = state.global_step
            path.parent.mkdir(parents=True, exist_ok=True)
            save_weights(objects["model"], str(path))
        control.should_training_stop = not self._left
        self._started = read_clock(find_device()) - spent


def measure_errors(measurement: Measurement) -> dict[str, Any]:
    """Word errors of each held-out window, and of each of their cues alone."""
    whisper = load_on_device(measurement.settings.model)
    data = prepare_windows(measurement, whisper)
    held_out = concatenate_datasets([data.validation, data.test])  # nothing is chosen by either
    if measurement.budget is not None:
        load_weights(whisper.model, measurement.weights_file(measurement.budget))
    return {
        "windows": count_errors(whisper, held_out),
        "single_cues": count_errors(whisper, isolate_cues(held_out)),
    }


def count_errors(whisper: Whisper, examples: Dataset) -> dict[str, list[dict[str, int]]]:
    """The error counts of each example, of words as written and normalised."""
    scores = [transcript.scores for transcript in evaluate_model(whisper, examples, Decoding()).transcripts]
    return {
        "written": [asdict(score.words) for score in scores],
        "normalized": [asdict(score.words_normalized) for score in scores],
    }
