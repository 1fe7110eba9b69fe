"""A model as openai/whisper lays it out: its sizes and weights by the names that other runtimes know."""

import re
from collections.abc import Iterator

import torch
from torch import Tensor
from transformers import WhisperForConditionalGeneration

from recipe.errors import PublishError

VOCABULARIES = {51_864: "English only", 51_865: "v1 and v2", 51_866: "v3 and turbo"}
"""Sizes from which openai-whisper and whisper.cpp work out which token is which."""

PARTS = {
    "self_attn.q_proj": "attn.query",
    "self_attn.k_proj": "attn.key",
    "self_attn.v_proj": "attn.value",
    "self_attn.out_proj": "attn.out",
    "self_attn_layer_norm": "attn_ln",
    "encoder_attn.q_proj": "cross_attn.query",
    "encoder_attn.k_proj": "cross_attn.key",
    "encoder_attn.v_proj": "cross_attn.value",
    "encoder_attn.out_proj": "cross_attn.out",
    "encoder_attn_layer_norm": "cross_attn_ln",
    "fc1": "mlp.0",
    "fc2": "mlp.2",
    "final_layer_norm": "mlp_ln",
}
OTHERS = {
    "encoder.embed_positions.weight": "encoder.positional_embedding",
    "encoder.layer_norm.weight": "encoder.ln_post.weight",
    "encoder.layer_norm.bias": "encoder.ln_post.bias",
    "decoder.embed_positions.weight": "decoder.positional_embedding",
    "decoder.embed_tokens.weight": "decoder.token_embedding.weight",
    "decoder.layer_norm.weight": "decoder.ln.weight",
    "decoder.layer_norm.bias": "decoder.ln.bias",
}
_LAYER = re.compile(r"(encoder|decoder)\.layers\.(\d+)\.(.+)\.(weight|bias)")


def describe_sizes(model: WhisperForConditionalGeneration) -> dict[str, int]:
    """OpenAI's `dims` of the model, in OpenAI's order, which is that of a ggml header too."""
    config = model.config
    return {
        "n_vocab": config.vocab_size,
        "n_audio_ctx": config.max_source_positions,
        "n_audio_state": config.d_model,
        "n_audio_head": config.encoder_attention_heads,
        "n_audio_layer": config.encoder_layers,
        "n_text_ctx": config.max_target_positions,
        "n_text_state": config.d_model,
        "n_text_head": config.decoder_attention_heads,
        "n_text_layer": config.decoder_layers,
        "n_mels": config.num_mel_bins,
    }


def rename_weights(model: WhisperForConditionalGeneration) -> Iterator[tuple[str, Tensor]]:
    """OpenAI's name and value of each weight, on the CPU; the output projection is the token embedding.

    Raises:
        PublishError: the output projection is another one, which OpenAI's layout cannot hold.
    """
    if not torch.equal(model.proj_out.weight, model.model.decoder.embed_tokens.weight):
        raise PublishError(
            "The model's output projection is not its token embedding, as in every Whisper of OpenAI's; "
            "only CTranslate2 can hold it."
        )
    for name, tensor in model.model.state_dict().items():
        yield _rename(name), tensor.detach().cpu()


def _rename(name: str) -> str:
    if layer := _LAYER.fullmatch(name):
        stack, number, part, leaf = layer.groups()
        return f"{stack}.blocks.{number}.{PARTS[part]}.{leaf}"
    return OTHERS.get(name, name)


def check_vocabulary(model: WhisperForConditionalGeneration) -> None:
    """Accept a vocabulary whose tokens can be told from its size.

    Raises:
        PublishError: it has another size than OpenAI's.
    """
    if model.config.vocab_size not in VOCABULARIES:
        known = ", ".join(f"{size:,} ({kind})" for size, kind in VOCABULARIES.items())
        raise PublishError(
            f"The vocabulary has {model.config.vocab_size:,} tokens; openai-whisper and whisper.cpp know "
            f"those of {known} only."
        )
