"""A tiny random Whisper, windows of noise, trainers of the two, and what is compared of them."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset, Features
from transformers import TrainerCallback

from recipe.arguments import ModelArguments
from recipe.audio.decoding import encode_flac
from recipe.data.shards import FEATURES
from recipe.data.sounds import IN_MEMORY
from recipe.errors import InterruptedTraining
from recipe.evaluation.metrics import score_text
from recipe.evaluation.report import Evaluation, Transcript
from recipe.model.inputs import ViewProbabilities, WindowDataset
from recipe.model.tiny import build_tiny_whisper
from recipe.model.whisper import Whisper, load_whisper
from recipe.training.arguments import RecipeTrainingArguments
from recipe.training.checkpoints import find_checkpoint
from recipe.training.trainer import WhisperTrainer

NUM_WINDOWS = 7
FINGERPRINT = {"dataset": "synthetic"}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads that wait for one another on a busy machine take ten times as long."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


def tiny_whisper(folder: Path, *, task: str = "transcribe", **shape: Any) -> Whisper:
    """A tiny random model with its processor, loaded from a folder that is made for it.

    Args:
        folder: Receives the checkpoint; it is the model's `name_or_path`.
        task: Of a multilingual model; an English-only one has none.
        shape: As in `build_tiny_whisper`.
    """
    return load_whisper(ModelArguments(str(build_tiny_whisper(folder, **shape)), task=task))


def copy_of(whisper: Whisper) -> Whisper:
    """The same with a model of its own, to be changed."""
    return replace(whisper, model=copy.deepcopy(whisper.model))


def make_example(text: str = "", **columns: Any) -> dict[str, Any]:
    """A row of the Arrow dataset: two seconds of noise, with a cue of one second unless the text is "".

    Args:
        text: What is said.
        columns: Take the place of the defaults.
    """
    example = {
        "recording": "talk",
        "language": "fr",
        "start_ms": 0,
        "end_ms": 2_000,
        "segments": [{"start_ms": 0, "end_ms": 1_000, "text": text}] if text else [],
        "prompt": [{"start_ms": 20_000, "end_ms": 22_000, "text": "avant"}],
        "num_tokens": 0,
        "chars_per_second": 0.0,
        "compression_ratio": 0.0,
        "flags": [],
        "severity": 0.0,
        "fault": "",
    } | columns
    sound = {"bytes": make_noise(example["end_ms"] - example["start_ms"], seed=example["start_ms"])}
    return {"audio": {**sound, "path": None}} | example


def make_noise(duration_ms: int, seed: int = 0) -> bytes:
    """FLAC of white noise."""
    samples = np.random.default_rng(seed).integers(-9_000, 9_000, 16 * duration_ms)
    return encode_flac(samples.astype(np.int16))


def make_examples(rows: Iterable[Mapping[str, Any]]) -> Dataset:
    """Examples, made by `make_example`, as the Arrow dataset has them."""
    return Dataset.from_list(list(rows), features=Features({**FEATURES, "audio": IN_MEMORY}))


def make_windows(whisper: Whisper, **options: Any) -> WindowDataset:
    """Windows of noise with texts of very different lengths, with prompts and timestamps."""
    examples = make_examples(
        make_example(
            language="en",
            start_ms=3_000 * index,
            end_ms=3_000 * (index + 1),
            segments=[{"start_ms": 0, "end_ms": 2_000, "text": f"window {index} " + "word " * index**2}],
            num_tokens=10 + index**2,
        )
        for index in range(NUM_WINDOWS)
    )
    return WindowDataset(examples, whisper, ViewProbabilities(0.5, 0.5, 0.0), seed=1, **options)


def build_trainer(
    whisper: Whisper,
    windows: WindowDataset,
    folder: Path,
    *,
    errors_by_step: dict[int, int] | None = None,
    callbacks: tuple[TrainerCallback, ...] = (),
    on_measure: Callable[[], object] = lambda: None,
    **changes: Any,
) -> WhisperTrainer:
    """A trainer of two epochs of two updates in a folder.

    Args:
        whisper: A copy of it is trained.
        windows: To train on and, with `errors_by_step`, for the loss after each epoch.
        folder: The run's.
        errors_by_step: Words of ten that the model of an update has wrong.
        callbacks: As in Trainer.
        on_measure: Called when the model is measured.
        changes: Trainer's arguments.
    """
    defaults = {
        "output_dir": str(folder),
        "num_train_epochs": 2,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-3,
        "eval_strategy": "epoch" if errors_by_step else "no",
        "save_strategy": "steps",
        "save_steps": 1,
        "save_total_limit": None,
        "metric_for_best_model": "wer_normalized" if errors_by_step else None,
        "greater_is_better": False if errors_by_step else None,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
    }

    def measure() -> Evaluation:
        assert errors_by_step
        on_measure()
        return evaluation_with(errors_by_step[trainer.state.global_step])

    trainer = WhisperTrainer(
        copy_of(whisper),
        RecipeTrainingArguments(**(defaults | changes)),
        windows,
        windows if errors_by_step else None,
        fingerprint=FINGERPRINT,
        measure=measure,
        callbacks=list(callbacks),
    )
    return trainer


def evaluation_with(num_errors: int, num_words: int = 10, loss: float | None = 1.0) -> Evaluation:
    """A transcript of which `num_errors` words are wrong."""
    reference, hypothesis = "a " * num_words, "b " * num_errors + "a " * (num_words - num_errors)
    scores = score_text(reference, hypothesis, language="en")
    return Evaluation([Transcript("r", 0, 1_000, "en", reference, hypothesis, scores)], 1.0, loss=loss)


def resume(trainer: WhisperTrainer) -> WhisperTrainer:
    checkpoint = find_checkpoint(Path(trainer.args.output_dir), FINGERPRINT)
    trainer.train(resume_from_checkpoint=str(checkpoint))
    return trainer


def trained(trainer: WhisperTrainer) -> WhisperTrainer:
    trainer.train()
    return trainer


def curve(trainer: WhisperTrainer) -> list[tuple[float, float]]:
    return [(entry["loss"], entry["grad_norm"]) for entry in trainer.state.log_history if "loss" in entry]


def weights(trainer: WhisperTrainer) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}


def assert_same(first: WhisperTrainer, second: WhisperTrainer, *, tolerance: float = 0.0) -> None:
    torch.testing.assert_close(torch.tensor(curve(first)), torch.tensor(curve(second)), rtol=1e-5, atol=0)
    torch.testing.assert_close(weights(first), weights(second), rtol=0, atol=tolerance)


class StopAfterSave(TrainerCallback):
    """Ends the run as a stop does, once the checkpoint of an update is whole."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self._step:
            raise InterruptedTraining("stopped")


def stopped(trainer: WhisperTrainer) -> None:
    with pytest.raises(InterruptedTraining):
        trainer.train()
