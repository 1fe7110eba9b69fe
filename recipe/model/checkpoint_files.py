"""The files of a checkpoint, judged before a library builds or unpickles anything by them."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from recipe.errors import TrainingError

WEIGHTS, WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"
PATTERNS = ["*.json", "*.txt", WEIGHTS, "model-*-of-*.safetensors"]
"""What is downloaded of a repository: no code, no pickles, none of its other copies of the weights."""

CONFIG_BOUNDS = {
    "vocab_size": (1_000, 250_000),  # 51,866 in large-v3, as below
    "num_mel_bins": (1, 512),  # 128
    "d_model": (1, 8_192),  # 1,280
    "encoder_layers": (1, 128),  # 32
    "decoder_layers": (1, 128),  # 32
    "encoder_attention_heads": (1, 256),  # 20
    "decoder_attention_heads": (1, 256),  # 20
    "encoder_ffn_dim": (1, 32_768),  # 5,120
    "decoder_ffn_dim": (1, 32_768),  # 5,120
    "max_source_positions": (1, 6_000),  # 1,500
    "max_target_positions": (1, 4_096),  # 448
}
"""Least and most of each size in `config.json`."""

EXTRACTOR_BOUNDS = {
    "feature_size": (1, 512),  # 128
    "sampling_rate": (16_000, 16_000),
    "hop_length": (16, 1_600),  # 160
    "n_fft": (16, 8_192),  # 400
    "chunk_length": (1, 120),  # 30
}
"""The same of a feature extractor, wherever its settings are."""

CONFIG_FRACTIONS = (
    *("dropout", "attention_dropout", "activation_dropout"),
    *("encoder_layerdrop", "decoder_layerdrop"),
)
"""What is in [0, 1) in `config.json`."""

GENERATION_BOUNDS = {"num_beams": (1, 16), "num_return_sequences": (1, 16)}
"""The same of `generation_config.json`, by which others use the published model: each beam costs memory."""

GENERATION_TOKENS = (
    *("no_timestamps_token_id", "decoder_start_token_id", "prev_sot_token_id"),
    *("bos_token_id", "eos_token_id", "pad_token_id"),
    *("suppress_tokens", "begin_suppress_tokens", "lang_to_id", "task_to_id"),
)
"""Where `generation_config.json` has numbers of tokens: one, a list, or an object with one for each name."""

MAX_PARAMETERS = 5_000_000_000
"""large-v3 has 1.55 billion."""

UNSUPPORTED = {
    "quantization_config": "quantised weights, which cannot be trained",
    "transformers_weights": "weights under a name of their own",
}
_SHARD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,200}\.safetensors")


def find_checkpoint_folder(name: str, revision: str) -> Path:
    """The folder with a checkpoint's files, all of them checked; a repository's are downloaded first.

    Args:
        name: A folder, or a repository of the hub.
        revision: Commit, tag or branch of the repository.

    Raises:
        TrainingError: if the files cannot be had, or are not what this recipe loads.
    """
    folder = Path(name) if Path(name).is_dir() else _download(name, revision)
    config = _read_object(folder / "config.json")
    _check_config(config)
    _check_generation(_read_object(folder / "generation_config.json"), config.get("vocab_size", 51_865))
    for file in ("preprocessor_config.json", "processor_config.json"):
        if (folder / file).exists():
            settings = _read_object(folder / file)
            _check_bounds(file, settings.get("feature_extractor", settings), EXTRACTOR_BOUNDS)
    if (folder / "adapter_config.json").exists():
        raise TrainingError("it is a LoRA adapter (adapter_config.json); merge it into its base model first")
    _check_weights(folder)
    return folder


def _download(name: str, revision: str) -> Path:
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=PATTERNS))
    except GatedRepoError:
        problem = "the hub asks for an agreement first: accept the model's terms there and set HF_TOKEN"
    except RepositoryNotFoundError:
        problem = (
            "there is no folder of this name, and the hub has no such model or it is private: check the "
            "name, or set HF_TOKEN"
        )
    except RevisionNotFoundError:
        problem = f"the hub has the model, but not the revision {revision!r}"
    except HFValidationError:
        problem = "there is no folder of this name, and no model on the hub can have it"
    except Exception as error:  # noqa: BLE001 - whatever the network does
        problem = _describe_absence(error)
    raise TrainingError(problem)


def _describe_absence(error: Exception) -> str:
    if constants.HF_HUB_OFFLINE:
        return (
            "there is no folder of this name, and HF_HUB_OFFLINE is set while the hub's cache "
            f"({constants.HF_HUB_CACHE}) has no copy: unset it, download the model first, or give a folder"
        )
    return (
        "there is no folder of this name, and the hub cannot be reached "
        f"({type(error.__cause__ or error).__name__}): check the "
        "network and the proxy (HTTPS_PROXY, HF_ENDPOINT), or give a folder with a downloaded model"
    )


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise TrainingError(f"it has no {path.name}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise TrainingError(f"its {path.name} cannot be read ({type(error).__name__})") from error
    if not isinstance(value, dict):
        raise TrainingError(f"its {path.name} is a {type(value).__name__}, expected an object")
    return value


def _check_config(config: Mapping[str, Any]) -> None:
    if config.get("model_type") != "whisper":
        raise TrainingError(f"its config.json is of the type {config.get('model_type')!r:.60}, not whisper")
    for name, description in UNSUPPORTED.items():
        if config.get(name) is not None:
            raise TrainingError(f"its config.json asks for {description} ({name})")
    _check_bounds("config.json", config, CONFIG_BOUNDS)
    for name in CONFIG_FRACTIONS:
        fraction = config.get(name, 0)
        if type(fraction) not in {int, float} or not 0 <= fraction < 1:
            raise TrainingError(f"its config.json says {name} {fraction!r:.40}, expected at least 0, below 1")
    size = {name: config.get(name, 0) for name in CONFIG_BOUNDS}
    width = size["d_model"]
    num_parameters = width * (
        size["vocab_size"]
        + size["encoder_layers"] * (4 * width + 2 * size["encoder_ffn_dim"])
        + size["decoder_layers"] * (8 * width + 2 * size["decoder_ffn_dim"])
    )
    if num_parameters > MAX_PARAMETERS:
        raise TrainingError(
            f"its config.json describes {num_parameters / 1e9:,.1f} billion parameters, expected at most "
            f"{MAX_PARAMETERS / 1e9:g} billion"
        )


def _check_generation(settings: Mapping[str, Any], vocab_size: int) -> None:
    file = "generation_config.json"
    if not isinstance(settings.get("no_timestamps_token_id"), int):
        raise TrainingError(f"its {file} has no no_timestamps_token_id")
    given = {name: value for name, value in settings.items() if value is not None}
    _check_bounds(file, given, GENERATION_BOUNDS)
    for name in GENERATION_TOKENS:
        value = settings.get(name)
        tokens = list(value.values()) if isinstance(value, dict) else value
        for token in tokens if isinstance(tokens, list) else [tokens]:
            # -1 stands for none in older files.
            if token is not None and not (type(token) is int and -1 <= token < vocab_size):
                raise TrainingError(
                    f"its {file} says {name} {token!r:.40}, expected numbers of its {vocab_size:,} tokens"
                )


def _check_bounds(file: str, values: object, bounds: Mapping[str, tuple[int, int]]) -> None:
    """Accept whole numbers within their bounds; what is not there has its usual value."""
    if not isinstance(values, Mapping):
        raise TrainingError(f"its {file} is no object with settings")
    for name, (least, most) in bounds.items():
        value = values.get(name, least)
        if type(value) is not int or not least <= value <= most:
            raise TrainingError(f"its {file} says {name} {value!r:.40}, expected {least:,} to {most:,}")


def _check_weights(folder: Path) -> None:
    """Accept one safetensors file, or an index that names such files beside it."""
    names = [WEIGHTS]
    if not (folder / WEIGHTS).exists():
        if not (folder / WEIGHTS_INDEX).exists():
            raise TrainingError(f"it has neither {WEIGHTS} nor {WEIGHTS_INDEX}; convert it to safetensors")
        shards = _read_object(folder / WEIGHTS_INDEX).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise TrainingError(f"its {WEIGHTS_INDEX} names no weights")
        names = sorted({str(name) for name in shards.values()})
    for name in names:
        if not _SHARD.fullmatch(name):
            raise TrainingError(f"its {WEIGHTS_INDEX} names {name!r:.80}, expected *.safetensors beside it")
        if not (folder / name).is_file():
            raise TrainingError(f"its weights are incomplete: there is no file {name}")
