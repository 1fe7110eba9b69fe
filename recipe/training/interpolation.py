"""Weights between a base model's and those that training made of them."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

Weights = Mapping[str, Tensor]
"""Parameters by name, tied ones once; float32 on the CPU."""


class Interpolation:
    """Gives a model the weights at a fraction of the way from the base model's to the trained ones.

    Both are copies in the memory of the CPU, of four bytes a parameter.

    Args:
        model: Takes the weights; it has the trained ones now.
        base: The base model's.
    """

    def __init__(self, model: nn.Module, base: Weights) -> None:
        self._model = model
        self._base = base
        self._trained = copy_weights(model)

    @torch.no_grad()
    def take(self, alpha: float) -> None:
        """Give the model the weights; at 0 and 1 exactly the base model's and the trained ones."""
        for name, weight in self._model.named_parameters():
            weight.copy_(torch.lerp(self._base[name], self._trained[name], alpha))


def copy_weights(model: nn.Module) -> Weights:
    """The weights that the model has now, whatever becomes of it."""
    return {name: weight.detach().to("cpu", copy=True) for name, weight in model.named_parameters()}
