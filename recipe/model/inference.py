"""The model run on all processes without training it: one loop, one precision, one loss of labels."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import WhisperForConditionalGeneration

IGNORED = -100
"""Label of a position that the loss leaves out."""

Batch = TypeVar("Batch")
Result = TypeVar("Result")


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 itself; older GPUs emulate it."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def autocast(device: torch.device, dtype: torch.dtype = torch.float32) -> torch.autocast:
    """The precision that a model is measured in, before and after alike: bfloat16 where it is native.

    Weights of another dtype than float32 compute in their own.
    """
    is_on = has_bfloat16(device) and dtype == torch.float32
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_on)


def split_into_batches(indices: Sequence[int], batch_size: int) -> list[Sequence[int]]:
    """The indices in order, `batch_size` of them at a time; the last batch may be shorter."""
    return [indices[first : first + batch_size] for first in range(0, len(indices), batch_size)]


def map_batches(
    model: nn.Module,
    batches: Sequence[Sequence[int]],
    load: Callable[[Sequence[Sequence[int]]], Iterable[Batch]],
    run: Callable[[Batch], Result],
    on_batch: Callable[[int], object] = lambda _: None,
) -> list[Result]:
    """What `run` makes of each batch, in order; each process runs its part and gets all results.

    A batch has the same windows on any number of processes, which decide its rounding.

    Args:
        model: Put into evaluation mode meanwhile.
        batches: Indices of the windows of each batch.
        load: From some of the batches to their content, in order.
        run: Computes with the model, in the precision of `autocast` and without gradients.
        on_batch: Called with the number of windows that all processes have just run, if the others are as
            fast as this one.
    """
    state = PartialState()
    mine = range(state.process_index, len(batches), state.num_processes)
    results: list[tuple[int, Result]] = []
    was_training = model.training
    model.eval()
    with torch.inference_mode(), autocast(device_of(model), next(model.parameters()).dtype):
        loaded = load([batches[number] for number in mine])
        for number, batch in zip(mine, loaded, strict=True):
            results.append((number, run(batch)))
            first = number - state.process_index
            on_batch(sum(map(len, batches[first : first + state.num_processes])))
    model.train(was_training)
    by_number = dict(gather_object(results))
    return [by_number[number] for number in range(len(batches))]


def device_of(model: nn.Module) -> torch.device:
    """The device that the model's weights are on."""
    return next(model.parameters()).device


def move_batch(batch: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The batch on the model's device."""
    return {name: tensor.to(device_of(model)) for name, tensor in batch.items()}


def encode(model: WhisperForConditionalGeneration, features: Tensor) -> Tensor:
    """The encoder's states of log-mel features, shape (B, 1500, d_model), in the model's dtype."""
    states: Tensor = model.get_encoder()(features.to(model.device, model.dtype)).last_hidden_state
    return states


def label_nll(
    logits: Tensor, labels: Tensor, *, reduction: str = "sum", label_smoothing: float = 0.0
) -> Tensor:
    """Negative log-likelihood (NLL) of labels in nats, teacher forced; float32.

    Args:
        logits: Shape (B, N, V).
        labels: int64, shape (B, N); `IGNORED` positions do not count.
        reduction: "sum" for the sum of all positions, "none" for each, of shape (B, N).
        label_smoothing: Fraction of the target spread evenly over the vocabulary.
    """
    nll = cross_entropy(
        logits.float().flatten(0, 1),
        labels.flatten(),
        ignore_index=IGNORED,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )
    return nll.view_as(labels) if reduction == "none" else nll
