"""LoRA: the base weights stay as they are, and low-rank adapters beside them are trained (Hu et al. 2021).

With `lora_dora` they turn the rows of a weight, whose lengths are trained apart (DoRA, Liu et al. 2024).
Adapters stand in the model only while it trains. Whatever reads it otherwise (evaluation, publishing) sees
a plain Whisper, in which they are merged.
"""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import Linear as AdaptedLinear
from torch import Tensor, nn

from recipe.arguments import ModelArguments

logger = logging.getLogger(__name__)

ADAPTED_LAYERS = r"(q_proj|k_proj|v_proj|out_proj|fc1|fc2)"
"""All matrices of attention and feed-forward layers. Convolutions and embeddings (the output projection
with them) stay as they are: tokens and sounds are the same in new recordings."""

DEFAULT_ALPHA = math.sqrt(32)
"""Adapters count alpha / sqrt(rank) times: divided by the rank itself, those of a high rank hardly learn
(rsLoRA, Kalajdzievski 2023). At rank 32 they count once, as docs/options.md was measured."""

ADAPTER = "default"


class KeptLayer(NamedTuple):
    """What a merged layer was.

    Attributes:
        name: Its place in the model.
        layer: The layer with its adapter.
        weight: The base weight, without the adapter.
    """

    name: str
    layer: AdaptedLinear
    weight: Tensor


def add_adapters(model: nn.Module, arguments: ModelArguments, seed: int) -> None:
    """Freeze the model and give it adapters to train, if `lora_rank` asks for them.

    At first they leave the output as it is; the same seed gives the same adapters.
    """
    if not arguments.lora_rank:
        return
    part = "decoder" if arguments.freeze_encoder else "(encoder|decoder)"
    config = LoraConfig(
        r=arguments.lora_rank,
        lora_alpha=arguments.lora_alpha or DEFAULT_ALPHA,  # type: ignore[arg-type]  # any number will do
        use_rslora=True,
        use_dora=arguments.lora_dora,
        target_modules=rf"model\.{part}\.layers\..*\.{ADAPTED_LAYERS}",
        task_type=None,  # peft's sequence-to-sequence wrapper passes input_ids (huggingface/peft#1988)
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model, ADAPTER)
    num_trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    logger.info("Adapters of rank %s: %.1f M weights are trained.", arguments.lora_rank, num_trained / 1e6)


@torch.no_grad()
def merge_adapters(model: nn.Module) -> list[KeptLayer]:
    """Make a plain Whisper of a model with adapters; what `restore_adapters` needs to undo it."""
    layers = [(name, module) for name, module in model.named_modules() if isinstance(module, AdaptedLinear)]
    kept = []
    for name, layer in layers:
        base = layer.get_base_layer()
        assert isinstance(base, nn.Linear)
        kept.append(KeptLayer(name, layer, base.weight.data))
        base.weight.data = _merge(layer, base.weight.data)
        model.set_submodule(name, base)
    return kept


def _merge(layer: AdaptedLinear, weight: Tensor) -> Tensor:
    """The weight that does what the base weight and its adapter do, in a tensor of its own."""
    if ADAPTER in layer.lora_variant:  # DoRA: it scales the rows of the sum
        return layer.lora_variant[ADAPTER].merge_safe(layer, ADAPTER, weight)
    return weight + layer.get_delta_weight(ADAPTER)


def restore_adapters(model: nn.Module, kept: list[KeptLayer]) -> None:
    """Undo `merge_adapters`, to the bit: subtracting the adapters again would leave rounding behind."""
    for name, layer, weight in kept:
        layer.get_base_layer().weight.data = weight
        model.set_submodule(name, layer)


@contextmanager
def merged(model: nn.Module) -> Iterator[None]:
    """While the body runs, the model is what would be published if training ended now."""
    kept = merge_adapters(model)
    try:
        yield
    finally:
        restore_adapters(model, kept)
