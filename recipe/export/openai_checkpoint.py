"""OpenAI's `.pt`: for openai-whisper, stable-ts, whisper-timestamped, TensorRT-LLM's and others' tools."""

import base64
import gzip
from pathlib import Path

import torch
from transformers import WhisperForConditionalGeneration

from recipe.export.openai_names import describe_sizes, rename_weights
from recipe.model.whisper import Whisper


def write_openai_checkpoint(whisper: Whisper, path: Path) -> None:
    """Write the weights, in float16 if that holds them exactly, with the heads that time words.

    openai-whisper takes heads for its own models only; for a file it needs
    `model.set_alignment_heads(torch.load(path)["alignment_heads"])`.
    """
    model = whisper.model
    weights = dict(rename_weights(model))
    rounded = {name: weight.half() for name, weight in weights.items()}
    if all(torch.equal(weight, rounded[name].to(weight.dtype)) for name, weight in weights.items()):
        weights = rounded  # of a release in float16
    content = {"dims": describe_sizes(model), "model_state_dict": weights}
    if heads := getattr(whisper.generation_config, "alignment_heads", None):
        content["alignment_heads"] = _dump_heads(model, heads)
    torch.save(content, path)


def _dump_heads(model: WhisperForConditionalGeneration, heads: list[list[int]]) -> str:
    """A mask of the decoder's heads as `set_alignment_heads` reads it."""
    mask = torch.zeros(model.config.decoder_layers, model.config.decoder_attention_heads, dtype=torch.bool)
    for layer, head in heads:
        mask[layer, head] = True
    return base64.b85encode(gzip.compress(mask.numpy().tobytes(), mtime=0)).decode()
