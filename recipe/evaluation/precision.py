"""The precision in which a device computes when a model is measured, and by default when it is trained."""

import torch


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 itself; older GPUs emulate it."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def autocast(device: torch.device) -> torch.autocast:
    """The precision that a model is measured in, before and after alike: bfloat16 where it is native."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=has_bfloat16(device))
