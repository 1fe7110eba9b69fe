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
    _check_config(_read_object(folder / "config.json"))
    timestamps = _read_object(folder / "generation_config.json").get("no_timestamps_token_id")
    if not isinstance(timestamps, int):
        raise TrainingError("its generation_config.json has no no_timestamps_token_id")
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
