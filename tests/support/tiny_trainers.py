"""Trainers of a tiny random model on windows of noise, and what is compared of them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import TrainerCallback, WhisperProcessor

from recipe.audio.decoding import encode_flac
from recipe.data.shards import FEATURES
from recipe.errors import InterruptedTraining
from recipe.evaluation.metrics import score_text
from recipe.evaluation.report import Evaluation, Transcript
from recipe.model.inputs import LabelEncoder, ViewShares, WindowDataset
from recipe.model.whisper import WhisperForConditionalGeneration
from recipe.training.arguments import RecipeTrainingArguments
from recipe.training.checkpoints import find_checkpoint
from recipe.training.trainer import WhisperTrainer

NUM_WINDOWS = 7
FINGERPRINT = {"dataset": "synthetic"}


def make_examples(texts: Sequence[str]) -> Dataset:
    """Windows of two seconds of noise, all columns filled in; a text in each, but no cue for ""."""
    random = np.random.default_rng(0)
    rows = [
        {
            "recording": "talk",
            "language": "fr",
            "start_ms": 30_000 * index,
            "end_ms": 30_000 * index + 2_000,
            "audio": {
                "bytes": encode_flac(random.integers(-9000, 9000, 32_000).astype(np.int16)),
                "path": None,
            },
            "segments": [{"start_ms": 0, "end_ms": 1_000, "text": text}] if text else [],
            "prompt": "avant",
            "chars_per_second": 0.0,
            "compression_ratio": 0.0,
            "num_tokens": 0,
            "flags": [],
            "doubt": 0.0,
            "held_back": "",
        }
        for index, text in enumerate(texts)
    ]
    return Dataset.from_list(rows, features=FEATURES)


def make_windows(model_dir: Path, task: str | None = "transcribe") -> WindowDataset:
    """Windows of noise with texts of very different lengths, with prompts and timestamps."""
    random = np.random.default_rng(0)
    examples = [
        {
            "recording": "r",
            "language": "en",
            "start_ms": 0,
            "end_ms": 3_000,
            "audio": {"bytes": encode_flac(random.integers(-3_000, 3_000, 48_000).astype(np.int16))},
            "segments": [{"start_ms": 0, "end_ms": 2_000, "text": f"window {index} " + "word " * index**2}],
            "prompt": "said before",
        }
        for index in range(NUM_WINDOWS)
    ]
    processor = WhisperProcessor.from_pretrained(model_dir)
    return WindowDataset(
        Dataset.from_list(examples),
        processor.feature_extractor,
        LabelEncoder(processor.tokenizer, task),
        ViewShares(0.5, 0.5, 0.0),
        seed=1,
    )


def build_trainer(
    model: WhisperForConditionalGeneration,
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
        model: Is trained in place.
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
        model,
        RecipeTrainingArguments(**(defaults | changes)),
        windows,
        windows if errors_by_step else None,
        pad_token_id=windows[0]["labels"][-1],
        fingerprint=FINGERPRINT,
        measure=measure,
        callbacks=list(callbacks),
    )
    return trainer


def evaluation_with(num_errors: int) -> Evaluation:
    """The model heard `num_errors` of ten words wrongly."""
    reference, hypothesis = "a " * 10, "b " * num_errors + "a " * (10 - num_errors)
    scores = score_text(reference, hypothesis, language="en")
    return Evaluation([Transcript("r", 0, 1_000, "en", reference, hypothesis, scores)], 1.0)


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
