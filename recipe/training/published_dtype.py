"""The dtype of the published weights: float16 takes half the room, where the model expects the same words.

The model's weights are rounded before the test part and whole recordings are transcribed: every figure of a
run, and every export, is of the weights that are shipped.
"""

import logging
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from datasets import Dataset
from torch import nn

from recipe.model.whisper import Whisper
from recipe.training.assembly import validation_loss
from recipe.training.attempt import Attempt
from recipe.training.trainer import WhisperTrainer

logger = logging.getLogger(__name__)

MAX_RISE = 0.005
"""By how much rounding may raise the validation loss, as a fraction of it. A word error more or less goes
with a percent of the loss or more (docs/forgetting.md), so this is a part of a word. To transcribe once more
told no more, and took three times as long."""

LARGEST = torch.finfo(torch.float16).max


@dataclass(frozen=True)
class PublishedDtype:
    """The dtype of the published weights.

    Attributes:
        name: "float16" or "float32".
        num_bytes: Size of the weights in it.
        sentence: Why it is so, for people.
    """

    name: str
    num_bytes: int
    sentence: str


def settle_dtype(
    attempt: Attempt, trainer: WhisperTrainer, windows: Dataset, in_float32: float | None
) -> PublishedDtype:
    """Choose the dtype, and round the model's weights to it. Kept for a resume.

    On a GPU the rounded weights compute in float16, as transformers loads them; on a CPU in float32, since
    many processors are slow in float16, so that only what rounding changes is seen.

    Args:
        attempt: Of the run.
        trainer: Its model has the weights that are published.
        windows: Those of the selection.
        in_float32: The loss of the weights on these windows; None if there are none, or it is no number.
    """
    whisper, choice = trainer.whisper, attempt.arguments.publish.publish_dtype
    if choice == "auto" and in_float32 is not None and not find_overflow(whisper.model):
        dtype = attempt.cached(
            "published_dtype",
            PublishedDtype,
            {**trainer.fingerprint, "loss": in_float32, "num_windows": len(windows)},
            partial(_measure, attempt, whisper, windows, in_float32),
        )
    else:
        dtype = choose_unmeasured(whisper.model, choice)
    if choice == "float16" and dtype.name != choice:
        attempt.warn(dtype.sentence)
    if dtype.name == "float16":
        whisper.model.half().float()
    logger.info("%s", dtype.sentence)
    return dtype


def choose_unmeasured(model: nn.Module, choice: str) -> PublishedDtype:
    """The dtype where nothing can be transcribed to compare by, or nothing has to be."""
    overflow = find_overflow(model)
    if choice != "float32" and overflow:
        reason = f"{overflow} holds values over {LARGEST:,.0f}, which float16 cannot hold"
    elif choice == "auto":
        reason = "there is no validation part to compare float16 by"
    else:
        reason = "so publish_dtype says"
    name = "float16" if choice == "float16" and not overflow else "float32"
    return _describe(model, name, reason)


def find_overflow(model: nn.Module) -> str:
    """The first weights that float16 cannot hold, "" if it can hold all; those that are not finite anyway."""
    return next((name for name, tensor in model.state_dict().items() if tensor.abs().max() > LARGEST), "")


def _measure(attempt: Attempt, whisper: Whisper, windows: Dataset, in_float32: float) -> PublishedDtype:
    """The dtype by the loss of the rounded weights; the model has its own again afterwards."""
    model: Any = whisper.model  # the decorator of transformers hides `self`
    kept = {name: weight.to("cpu", copy=True) for name, weight in model.state_dict().items()}
    model.half()
    if model.device.type == "cpu":
        model.float()
    in_float16 = validation_loss(attempt, whisper, windows)
    model.float().load_state_dict(kept)
    return judge_rounding(model, in_float32, in_float16)


def judge_rounding(model: nn.Module, in_float32: float, in_float16: float) -> PublishedDtype:
    """float16 unless it raises the loss by more than `MAX_RISE`.

    Args:
        model: For its size.
        in_float32: Validation loss of the weights.
        in_float16: That of the rounded weights.
    """
    is_same = in_float16 <= (1 + MAX_RISE) * in_float32
    reason = (
        f"the loss on the validation windows is {in_float16:.4f} in float16 and {in_float32:.4f} in float32"
    )
    return _describe(model, "float16" if is_same else "float32", reason)


def _describe(model: nn.Module, name: str, reason: str) -> PublishedDtype:
    num_weights = sum(parameter.numel() for parameter in model.parameters())
    num_bytes = num_weights * getattr(torch, name).itemsize
    return PublishedDtype(name, num_bytes, f"The weights are {name}, {num_bytes / 1e6:,.0f} MB: {reason}.")
