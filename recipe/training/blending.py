"""Weights on the line from the base model's to those that training made, and how surprised they are."""

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from datasets import Dataset
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers.utils import SAFE_WEIGHTS_NAME

from recipe.evaluation.precision import autocast
from recipe.evaluation.transcription import Listener
from recipe.training.features import IGNORED, LabelEncoder, load_captions

Weights = Mapping[str, Tensor]
"""Parameters by name, tied ones once; float32 on the CPU."""


class Blender:
    """Gives a model the weights at some share of the way from the base model's to an end.

    The base model's and each end's are copies in the memory of the CPU, of four bytes a parameter.

    Args:
        model: Takes the weights.
        base: The base model's.
        ends: What training made, by name.
    """

    def __init__(self, model: nn.Module, base: Weights, ends: Mapping[str, Weights]) -> None:
        self.ends = ends
        self._model = model
        self._base = base

    @torch.no_grad()
    def take(self, end: str, alpha: float) -> None:
        """Give the model the weights; at 0 and 1 exactly the base model's and the end's."""
        for name, weight in self._model.named_parameters():
            weight.copy_(torch.lerp(self._base[name], self.ends[end][name], alpha))


def copy_weights(model: nn.Module) -> Weights:
    """The weights that the model has now, whatever becomes of it."""
    return {name: weight.detach().to("cpu", copy=True) for name, weight in model.named_parameters()}


def average_weights(checkpoints: Sequence[Path]) -> Weights:
    """The mean of the weights of some checkpoints, read parameter by parameter and added up in float64."""
    with ExitStack() as stack:
        files = [
            stack.enter_context(safe_open(checkpoint / SAFE_WEIGHTS_NAME, "pt")) for checkpoint in checkpoints
        ]
        return {
            name: torch.stack([file.get_tensor(name).double() for file in files]).mean(0).float()
            for name in files[0].keys()  # noqa: SIM118 - no dict
        }


@torch.inference_mode()
def measure_loss(listener: Listener, examples: Dataset, num_workers: int = 0) -> float:
    """Mean surprise of a label token in nats, times included (teacher forced); the same in any layout.

    It is infinite if the weights are of no use.

    Args:
        listener: The model and how it is used.
        examples: Windows with their words; at least one.
        num_workers: Processes that make features.
    """
    model, processor, decoding = listener.model, listener.processor, listener.decoding
    state = PartialState()
    encoder = LabelEncoder(processor.tokenizer, decoding.task)
    starts = range(0, len(examples), decoding.batch_size)[state.process_index :: state.num_processes]
    batches = [range(first, min(first + decoding.batch_size, len(examples))) for first in starts]
    loader = load_captions(examples, batches, processor.feature_extractor, encoder, num_workers)
    was_training = model.training
    model.eval()
    sums = [(first, *_sum_losses(model, batch)) for first, batch in zip(starts, loader, strict=True)]
    model.train(was_training)
    _, losses, counts = zip(*sorted(gather_object(sums)), strict=True)  # added up in the same order always
    mean = float(sum(losses) / sum(counts))
    return mean if math.isfinite(mean) else math.inf


def _sum_losses(model: nn.Module, batch: Mapping[str, Tensor]) -> tuple[float, int]:
    """The label tokens' surprise in a batch, added up, and their number."""
    inputs = {name: tensor.to(next(model.parameters()).device) for name, tensor in batch.items()}
    labels = inputs.pop("labels").flatten()
    with autocast(labels.device):
        logits = model(**inputs, use_cache=False).logits
    losses = cross_entropy(logits.float().flatten(0, 1), labels, ignore_index=IGNORED, reduction="sum")
    return losses.item(), int((labels != IGNORED).sum())
