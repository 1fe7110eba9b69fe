"""How long a training will take and what memory it needs, told before anything is paid for.

FLOPs are counted by torch on a model without weights. What a GPU makes of them is an estimate from its
maker's figures; on a processor it is measured with one product of matrices.
"""

import time
from dataclasses import dataclass

import psutil
import torch
from transformers import WhisperConfig

from recipe.arguments import ModelArguments
from recipe.data.windows import MAX_LABEL_TOKENS
from recipe.model.adapters import add_adapters
from recipe.model.whisper import WhisperForConditionalGeneration
from recipe.run.machine import find_gpus
from recipe.training.flops import count_encoder_flops, count_flops, measure_matrix_rate

TERAFLOPS = {
    "B200": 2250,
    "H200": 989,
    "H100 PCIe": 756,
    "H100": 989,
    "A100": 312,
    "L40S": 362,
    "L40": 181,
    "RTX 6000 Ada": 364,
    "RTX 5090": 210,
    "RTX 4090": 165,
    "RTX 3090": 71,
    "L4": 121,
    "A40": 150,
    "A6000": 155,
    "A5000": 111,
    "A10": 125,
    "V100": 125,
    "T4": 65,
}
"""Dense products in 16 bits, by a part of the GPU's name, in TFLOP/s (the maker's data sheets)."""

UTILISATION = 0.34
"""Part of a device's rate that training uses: measured on a processor; docs/benchmark.md."""

BYTES_PER_TRAINED_WEIGHT = 16
"""In float32: the weight, its gradient and Adam's two moments."""

ACTIVATIONS_PER_STATE = 17
"""Numbers kept for the backward pass of a layer, for each number of its states: attention and the two
products around it, without the matrix of attention (Korthikanti et al. 2022, section 4.1)."""

DORA_ACTIVATIONS_PER_STATE = 19
"""What DoRA keeps beside them: what each base weight and each adapter makes, for the lengths of the rows
(counted with torch's hooks for saved tensors)."""


@dataclass(frozen=True)
class Estimate:
    """What a training will take on this machine.

    Attributes:
        device: As people call it.
        num_bytes: Memory needed on each device.
        num_bytes_there: Memory that each device has.
        seconds: Of training alone; None for a GPU whose rate is not known.
    """

    device: str
    num_bytes: int
    num_bytes_there: int
    seconds: float | None


@dataclass(frozen=True)
class Work:
    """What is to be trained.

    Attributes:
        config: Of the model.
        arguments: What of it is trained.
        num_windows: Windows over all epochs.
        num_encoded: How many of them the encoder is given: fewer where its states are kept.
        num_label_tokens: Tokens of a window's label in the mean.
        batch_size: Windows of a micro-batch.
        keeps_activations: Whether they are not computed again.
    """

    config: WhisperConfig
    arguments: ModelArguments
    num_windows: int
    num_encoded: int
    num_label_tokens: int
    batch_size: int
    keeps_activations: bool = True


def estimate(work: Work) -> Estimate:
    """What the work takes on the GPUs of this machine, or on its processor."""
    model = _build_without_weights(work)
    num_label_tokens = max(1, min(work.num_label_tokens, MAX_LABEL_TOKENS))
    num_flops = work.num_windows * count_flops(model, num_label_tokens)
    num_flops -= (work.num_windows - work.num_encoded) * count_encoder_flops(model)
    gpus = find_gpus()
    if not gpus:
        rate = UTILISATION * measure_matrix_rate(torch.device("cpu"), time.perf_counter)
        return Estimate(
            "this processor", _count_bytes(model, work, 4), psutil.virtual_memory().total, num_flops / rate
        )
    name, num_bytes_there = gpus[0]
    device = f"{len(gpus)} x {name}" if len(gpus) > 1 else name
    teraflops = next((rate for part, rate in TERAFLOPS.items() if part in name), None)
    seconds = num_flops / (UTILISATION * teraflops * 1e12 * len(gpus)) if teraflops else None
    return Estimate(device, _count_bytes(model, work, 2), num_bytes_there, seconds)


def _build_without_weights(work: Work) -> WhisperForConditionalGeneration:
    with torch.device("meta"):
        model = WhisperForConditionalGeneration(work.config)
    if work.arguments.freeze_encoder:
        model.freeze_encoder()  # type: ignore[no-untyped-call]
    add_adapters(model, work.arguments, seed=0)
    return model


def _count_bytes(model: WhisperForConditionalGeneration, work: Work, bytes_per_number: int) -> int:
    """Weights, gradients, moments, and the activations of a micro-batch."""
    weights = sum(
        parameter.numel() * (BYTES_PER_TRAINED_WEIGHT if parameter.requires_grad else 4)
        for parameter in model.parameters()
    )
    config = work.config
    num_layers_kept = config.encoder_layers if work.keeps_activations else 1
    states = config.max_source_positions * config.d_model
    decoder_states = MAX_LABEL_TOKENS * config.d_model * config.decoder_layers
    logits = 3 * MAX_LABEL_TOKENS * config.vocab_size * 4  # in float32 for the loss
    per_state = ACTIVATIONS_PER_STATE + DORA_ACTIVATIONS_PER_STATE * work.arguments.lora_dora
    numbers = per_state * (states * num_layers_kept + decoder_states)
    return weights + work.batch_size * (numbers * bytes_per_number + logits)
