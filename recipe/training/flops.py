"""Floating-point operations: those that training on a window takes, and those that a device does a second."""

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import WhisperForConditionalGeneration

from recipe.training.memory import largest_micro_batch
from recipe.training.trainer import token_loss

NUM_PRODUCTS = 30
"""Products of matrices that are timed; the fastest counts."""


def count_flops(model: WhisperForConditionalGeneration, num_label_tokens: int) -> int:
    """FLOPs of forward and backward of one window, counted operation by operation without computing anything.

    Args:
        model: On the meta device.
        num_label_tokens: Tokens of the window's label, from 1 to `MAX_LABEL_TOKENS`.
    """
    batch = {name: tensor.to("meta") for name, tensor in largest_micro_batch(model.config, 1).items()}
    features = batch.pop("input_features")
    tokens = {name: tensor[:, :num_label_tokens] for name, tensor in batch.items()}
    labels = tokens.pop("labels")
    # Without a mask, transformers would look at the values of the positions, and there are none.
    mask = torch.ones(1, 1, num_label_tokens, num_label_tokens, dtype=torch.bool, device="meta")
    with FlopCounterMode(display=False) as counter:
        outputs = model(input_features=features, **tokens, decoder_attention_mask=mask, use_cache=False)
        token_loss(outputs, labels, num_label_tokens).backward()
    return int(counter.get_total_flops())


def count_encoder_flops(model: WhisperForConditionalGeneration) -> int:
    """FLOPs of the encoder's forward pass over one window; the model is on the meta device."""
    features = largest_micro_batch(model.config, 1)["input_features"].to("meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.get_encoder()(features)
    return int(counter.get_total_flops())


def measure_matrix_rate(device: torch.device, read_clock: Callable[[], float]) -> float:
    """FLOPs per second of products of large matrices, in bfloat16 on a GPU and float32 on a processor.

    Args:
        device: Where they are computed.
        read_clock: Seconds, read once the device has done its work.
    """
    size, dtype = (8192, torch.bfloat16) if device.type == "cuda" else (1024, torch.float32)
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    seconds = []
    for _ in range(NUM_PRODUCTS):
        started = read_clock()
        left @ right
        seconds.append(read_clock() - started)
    return 2 * size**3 / min(seconds)
