"""One measurement of the benchmark in a process of its own; `benchmark.py` starts it.

The process prints its figures as one line of JSON. Compute is CPU seconds of the process (all threads), or
seconds of the GPU where there is one, and counts nothing but the measured work: no imports, no loading, no
evaluation. Peak memory is that of the whole process.
"""

import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the project is run from its checkout

import datasets
import numpy as np
import torch
import transformers
from benchmark_data import isolate_cues
from datasets import Dataset
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
from usual_recipe import build_trainer, map_features

from recipe.arguments import DataArguments, ModelArguments
from recipe.audio.decoding import decode_audio
from recipe.data.dataset import PreparedDataset, prepare_dataset
from recipe.data.manifest import Recording, list_recordings
from recipe.data.recording import PreparationSettings
from recipe.errors import DataError
from recipe.evaluation.report import evaluate_model
from recipe.evaluation.transcription import Decoding, Listener
from recipe.model.inference import has_bfloat16
from recipe.model.inputs import LabelEncoder, View, ViewShares, WindowDataset
from recipe.model.whisper import (
    WhisperForConditionalGeneration,
    is_multilingual,
    load_model,
    save_tokenizer,
    suppressed_symbols,
)
from recipe.training.arguments import RecipeTrainingArguments
from recipe.training.trainer import WhisperTrainer

NUM_DRAWS = 20
"""Epochs of views over which the speech that a window shows is averaged."""

FEATURES_FILE = "features.arrow"


@dataclass(frozen=True)
class Measurement:
    """What is measured.

    Attributes:
        kind: "prepare", "train" or "evaluate".
        recipe: "ours" or "usual".
        data_dir: Recordings with captions.
        prepared_dir: Folder of the prepared dataset.
        windows_dir: Folder of our prepared dataset, which says what is held out.
        model: Hub id or folder of the checkpoint trained from.
        language: Code of the language spoken.
        eval_fraction: Share of the recordings held out.
        single_cue_fraction: Share of our windows cut down to one cue.
        batch_size: Windows in an update.
        learning_rate: Peak, kept after the warm-up.
        warmup_steps: Updates until then.
        seed: Of order, views and dropout.
        budgets: Compute seconds after which weights are saved; training ends with the last.
        weights_dir: Folder of the weights saved, named by budget.
        weights: File of the weights to evaluate; None for the checkpoint itself.
        num_threads: Of torch.
    """

    kind: str
    recipe: str
    data_dir: str
    prepared_dir: str
    windows_dir: str
    model: str
    language: str
    eval_fraction: float
    single_cue_fraction: float
    batch_size: int
    learning_rate: float
    warmup_steps: int
    seed: int
    budgets: tuple[float, ...]
    weights_dir: str
    weights: str | None
    num_threads: int


@dataclass(frozen=True)
class Learner:
    """The model with what belongs to it.

    Attributes:
        model: The checkpoint in float32.
        processor: The checkpoint's.
        language: Code of the language spoken; None for an English-only checkpoint.
    """

    model: WhisperForConditionalGeneration
    processor: WhisperProcessor
    language: str | None

    @property
    def task(self) -> str | None:
        """What the model is told to do; None for an English-only checkpoint."""
        return "transcribe" if self.language else None


def main() -> None:
    """Take the measurement given as JSON and print what it finds."""
    measurement = Measurement(**json.loads(sys.argv[1]))
    datasets.disable_progress_bars()
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(measurement.num_threads)
    measure = {"prepare": measure_preparation, "train": measure_training, "evaluate": measure_errors}
    figures = measure[measurement.kind](measurement)
    figures["device"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    figures["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if torch.cuda.is_available():
        figures["peak_gpu_mib"] = torch.cuda.max_memory_allocated() / 2**20
    print(json.dumps(figures))


def load_learner(measurement: Measurement, *, with_weights: bool = True) -> Learner:
    """The checkpoint that is trained; preparation needs no weights."""
    if with_weights:
        model, processor = load_model(ModelArguments(model_name_or_path=measurement.model))
    else:
        processor = WhisperProcessor.from_pretrained(measurement.model)
        with torch.device("meta"):
            model = WhisperForConditionalGeneration(WhisperConfig.from_pretrained(measurement.model))
        model.generation_config = GenerationConfig.from_pretrained(measurement.model)
    return Learner(model, processor, measurement.language if is_multilingual(model) else None)


def measure_preparation(measurement: Measurement) -> dict[str, Any]:
    """CPU seconds from files to Arrow in one process, those of decoding alone, and the bytes written."""
    learner = load_learner(measurement, with_weights=False)
    recordings = list_recordings(Path(measurement.data_dir), measurement.language)
    shutil.rmtree(measurement.prepared_dir, ignore_errors=True)  # both recipes reuse what they find
    started = time.process_time()
    if measurement.recipe == "ours":
        data = prepare_windows(measurement, learner)
        num_examples = len(data.train) + len(data.held_out)
    else:  # over all recordings too: it would measure on mapped features
        num_examples = len(prepare_cues(measurement, learner, recordings))
    compute_seconds = time.process_time() - started
    started = time.process_time()
    paths = [recording.audio.path for recording in recordings if recording.audio.path]
    duration_ms = sum(decode_audio(path).duration_ms for path in paths)
    return {
        "compute_seconds": compute_seconds,
        "decoding_seconds": time.process_time() - started,
        "audio_hours": duration_ms / 3_600_000,
        "num_bytes": sum(path.stat().st_size for path in Path(measurement.prepared_dir).rglob("*.arrow")),
        "num_examples": num_examples,
    }


def prepare_windows(measurement: Measurement, learner: Learner) -> PreparedDataset:
    """Our dataset; what is on disk is reused."""
    folder = Path(measurement.windows_dir)
    tokenizer_file = folder / "tokenizer.json"
    settings = PreparationSettings(
        # A process beside this one may be reading it.
        tokenizer_file if tokenizer_file.exists() else save_tokenizer(learner.processor, folder),
        suppressed_symbols=suppressed_symbols(learner.model, learner.processor),
    )
    arguments = DataArguments(eval_fraction=measurement.eval_fraction)
    recordings = list_recordings(Path(measurement.data_dir), measurement.language)
    data = prepare_dataset(recordings, settings, arguments, folder, num_workers=1)
    if not data.report["held_out"]:
        raise DataError(f"{measurement.data_dir}: at least two recordings are needed to hold one out.")
    return data


def prepare_cues(measurement: Measurement, learner: Learner, recordings: list[Recording]) -> Dataset:
    """The usual recipe's dataset."""
    folder = Path(measurement.prepared_dir)
    folder.mkdir(parents=True, exist_ok=True)
    return map_features(recordings, learner.processor, learner.language, folder / FEATURES_FILE)


def measure_training(measurement: Measurement) -> dict[str, Any]:
    """Train until the compute is spent: what was seen at each update, and the weights of each budget."""
    learner = load_learner(measurement)
    data = prepare_windows(measurement, learner)
    keeper = BudgetCallback(measurement.budgets, Path(measurement.weights_dir))
    if measurement.recipe == "ours":
        num_examples, shares = len(data.train), choose_shares(measurement)
        shown = mean_shown(shares.draw(row, rng) for row, rng in draw_rows(data.train))
        trainer: Seq2SeqTrainer = build_our_trainer(measurement, learner, data.train, keeper)
    else:
        cues = select_cues(measurement, data.report["held_out"])
        num_examples, shown = len(cues), mean_of_cues(cues)
        arguments = Seq2SeqTrainingArguments(**training_options(measurement))
        trainer = build_trainer(learner.model, learner.processor, arguments, cues, keeper)
    trainer.train()
    num_batches = -(-num_examples // measurement.batch_size)
    return {
        "num_examples": num_examples,
        "examples_per_update": num_examples / num_batches,  # the last batch of an epoch is not full
        "compute_seconds": keeper.seconds,
        "updates_at_budget": keeper.updates_at_budget,
        **shown,
    }


def training_options(measurement: Measurement) -> dict[str, Any]:
    """Trainer's arguments, the same for both recipes."""
    has_gpu = torch.cuda.is_available()
    return {
        "output_dir": measurement.weights_dir,
        "per_device_train_batch_size": measurement.batch_size,
        "learning_rate": measurement.learning_rate,
        "lr_scheduler_type": "constant_with_warmup",  # so that a run may be judged after any time
        "warmup_steps": measurement.warmup_steps,
        "max_steps": 1_000_000,
        "seed": measurement.seed,
        "bf16": has_bfloat16(torch.device("cuda" if has_gpu else "cpu")),
        "use_cpu": not has_gpu,
        "dataloader_num_workers": min(8, os.cpu_count() or 1) if has_gpu else 0,
        "dataloader_pin_memory": has_gpu,
        "save_strategy": "no",
        "eval_strategy": "no",
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def choose_shares(measurement: Measurement) -> ViewShares:
    """How windows are shown: as by default but for the share of single cues."""
    default = DataArguments()
    return ViewShares(default.timestamp_fraction, default.prompt_fraction, measurement.single_cue_fraction)


def build_our_trainer(
    measurement: Measurement, learner: Learner, windows: Dataset, keeper: "BudgetCallback"
) -> WhisperTrainer:
    """The recipe's trainer, as `train.py` builds it."""
    processor = learner.processor
    encoder = LabelEncoder(processor.tokenizer, learner.task)
    shares, seed = choose_shares(measurement), measurement.seed
    return WhisperTrainer(
        learner.model,
        RecipeTrainingArguments(**training_options(measurement)),
        WindowDataset(windows, processor.feature_extractor, encoder, shares, seed),
        None,
        pad_token_id=encoder.end_of_text,
        fingerprint={},
        measure=refuse_to_measure,
        callbacks=[keeper],
    )


def refuse_to_measure() -> NoReturn:
    """Evaluation is a process of its own."""
    raise AssertionError


def draw_rows(examples: Dataset) -> Iterable[tuple[dict[str, Any], np.random.Generator]]:
    """Each example some times, with chance to draw its view from."""
    rng = np.random.default_rng(0)
    rows = examples.remove_columns("audio")
    return ((row, rng) for _ in range(NUM_DRAWS) for row in rows)


def mean_shown(views: Iterable[View]) -> dict[str, float]:
    """Seconds inside cues, and words, that an example shows on average."""
    segments, num_views = [], 0
    for view in views:
        segments += [(s.text, s.end_ms - s.start_ms) for s in view.segments if s.end_ms is not None]
        num_views += 1
    return {
        "speech_seconds_per_example": sum(length_ms for _, length_ms in segments) / 1000 / num_views,
        "words_per_example": sum(len(text.split()) for text, _ in segments) / num_views,
    }


def mean_of_cues(cues: Dataset) -> dict[str, float]:
    """The same of cues."""
    return {
        "speech_seconds_per_example": (sum(cues["end_ms"]) - sum(cues["start_ms"])) / 1000 / len(cues),
        "words_per_example": sum(len(text.split()) for text in cues["text"]) / len(cues),
    }


def select_cues(measurement: Measurement, held_out: list[str]) -> Dataset:
    """The mapped cues of the recordings that are not held out."""
    cues = Dataset.from_file(str(Path(measurement.prepared_dir) / FEATURES_FILE))
    return cues.select([index for index, name in enumerate(cues["recording"]) if name not in held_out])


class BudgetCallback(TrainerCallback):
    """Saves the weights at each budget of compute and ends the training at the last.

    Attributes:
        seconds: Compute spent by the end of each update; saving does not count.
        updates_at_budget: Updates made when each budget was spent.
    """

    def __init__(self, budgets: Iterable[float], weights_dir: Path) -> None:
        """Begin with nothing spent."""
        self.seconds: list[float] = []
        self.updates_at_budget: dict[str, int] = {}
        self._left = sorted(budgets)
        self._weights_dir = weights_dir
        self._started = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        self._started = read_clock()

    def on_step_end(self, args: Any, state: Any, control: Any, **objects: Any) -> None:  # noqa: ARG002 - Trainer's hook
        """Look at the clock, and save."""
        spent = read_clock() - self._started
        self.seconds.append(spent)
        while self._left and spent >= self._left[0]:
            budget = f"{self._left.pop(0):g}"
            self.updates_at_budget[budget] = state.global_step
            self._weights_dir.mkdir(parents=True, exist_ok=True)
            save_weights(objects["model"], str(self._weights_dir / f"{budget}.safetensors"))
        control.should_training_stop = not self._left
        self._started = read_clock() - spent


def read_clock() -> float:
    """Compute so far: seconds of the GPU, else CPU seconds of this process."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def measure_errors(measurement: Measurement) -> dict[str, Any]:
    """Word errors of each held-out window, and of each of their cues heard alone."""
    learner = load_learner(measurement)
    held_out = prepare_windows(measurement, learner).held_out
    if measurement.weights:
        load_weights(learner.model, measurement.weights)
    learner.model.to("cuda" if torch.cuda.is_available() else "cpu")  # type: ignore[arg-type]  # hidden `self`
    listener = Listener(learner.model, learner.processor, Decoding(learner.task))
    sets: dict[str, Callable[[], Dataset]] = {
        "windows": lambda: held_out,
        "single_cues": lambda: isolate_cues(held_out),
    }
    return {name: count_errors(listener, examples()) for name, examples in sets.items()}


def count_errors(listener: Listener, examples: Dataset) -> dict[str, list[dict[str, int]]]:
    """The error counts of each example, of words as written and normalised."""
    scores = [transcript.scores for transcript in evaluate_model(listener, examples).transcripts]
    return {
        "written": [asdict(score.words) for score in scores],
        "normalized": [asdict(score.words_normalized) for score in scores],
    }


if __name__ == "__main__":
    main()
