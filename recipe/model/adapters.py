"""LoRA: the base weights stay as they are, and low-rank adapters beside them are trained (Hu et al. 2021).

Adapters stand in the model only while it trains. Whatever reads it otherwise (evaluation, publishing) sees
a plain Whisper, in which they are merged.
"""

import logging
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

DEFAULT_ALPHA = 32.0
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
        base.weight.data = base.weight.data + layer.get_delta_weight(ADAPTER)
        model.set_submodule(name, base)
    return kept


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
