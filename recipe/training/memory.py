"""What a trial of memory needs: the largest micro-batch that can come, and no trace of it afterwards."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from transformers import WhisperConfig

from recipe.data.windows import MAX_LABEL_TOKENS


def largest_micro_batch(config: WhisperConfig, num_windows: int) -> dict[str, Tensor]:
    """A micro-batch as large as any can be: every window has a full label. Its content is nothing."""
    labels = torch.zeros((num_windows, MAX_LABEL_TOKENS), dtype=torch.int64)
    num_frames = 2 * config.max_source_positions  # the encoder's second convolution halves them
    return {
        "input_features": torch.zeros((num_windows, config.num_mel_bins, num_frames)),
        "decoder_input_ids": labels,
        "labels": labels,
        "label_positions": torch.arange(MAX_LABEL_TOKENS).repeat(num_windows, 1),
    }


def reserve_moments(model: nn.Module, optimizer: torch.optim.Optimizer, optimizer_name: str) -> list[Tensor]:
    """Memory of the size of Adam's two moments, if they are not there yet: the first update makes them.

    An 8-bit optimizer's take a byte each. Other optimizers have none or one, so more is reserved than they
    need.
    """
    if optimizer.state:  # a run that resumes has loaded them
        return []
    dtype = torch.uint8 if "8bit" in optimizer_name else None
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [torch.empty_like(parameter, dtype=dtype) for parameter in trained for _ in range(2)]


@contextmanager
def same_randomness(device: torch.device) -> Iterator[None]:
    """All random generators are afterwards as they were before."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng([] if device.type == "cpu" else [device], device_type=device.type):
        yield
    random.setstate(python_state)
    np.random.set_state(numpy_state)
