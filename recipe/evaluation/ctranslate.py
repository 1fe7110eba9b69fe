"""The words of a batch of windows by CTranslate2, the engine of faster-whisper."""

import copy
import ctypes
import logging
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from recipe.errors import TrainingError
from recipe.evaluation.decoding import MAX_NEW_TOKENS
from recipe.model.inference import has_bfloat16

logger = logging.getLogger(__name__)

CUBLAS = ("libcublasLt.so.12", "libcublas.so.12")
"""Libraries that CTranslate2 opens by name on a GPU, in the order in which they need each other."""

MISSING_CUBLAS = (
    "CTranslate2 needs libcublas.so.12 on a GPU, and it was not found: torch brings that of another CUDA. "
    "Install it with `pip install nvidia-cublas-cu12`."
)


def find_gpu_problem(device: torch.device) -> str:
    """Why CTranslate2 cannot work on the device, in a sentence; or ""."""
    return MISSING_CUBLAS if device.type == "cuda" and not load_cublas() else ""


@cache
def load_cublas(names: Sequence[str] = CUBLAS, package: str = "nvidia.cublas") -> bool:
    """Whether the libraries are loaded: the system's, or those of the package, which no loader looks for."""
    return all(_load_library(name, package) for name in names)


def _load_library(name: str, package: str) -> bool:
    try:
        found = find_spec(package)
    except ModuleNotFoundError:  # of the package around it
        found = None
    folders = found.submodule_search_locations if found else None
    for path in (name, *(str(Path(folder, "lib", name)) for folder in folders or [])):
        try:
            ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return True
    return False


class Ctranslate2Engine:
    """Decodes with a converted copy of the model, made of the weights that it has now.

    Args:
        model: On its device, with whole weights: not sharded.
        processor: The model's.
    """

    def __init__(self, model: WhisperForConditionalGeneration, processor: WhisperProcessor) -> None:
        self._config: Any = model.generation_config  # Whisper's fields are not in its type
        precision = precision_of(model.device)
        self._whisper = convert_model(model, processor, precision)
        logger.info("CTranslate2 computes in %s.", precision)

    def write(
        self,
        features: Tensor,
        prompts: Sequence[Sequence[int]],
        states: Tensor | None = None,  # noqa: ARG002 - the other library encodes by itself
    ) -> list[list[int]]:
        """The tokens after each prompt, without the end of text; see `recipe.evaluation.decoding.Engine`."""
        from ctranslate2 import StorageView  # noqa: PLC0415 - it loads slowly

        config = self._config
        results = self._whisper.generate(
            StorageView.from_array(features.float().cpu().numpy()),
            [list(prompt) for prompt in prompts],
            beam_size=1,
            max_length=2 * MAX_NEW_TOKENS,  # it takes the half of this for new tokens
            suppress_tokens=list(config.suppress_tokens or []),
            suppress_blank=bool(config.begin_suppress_tokens),
            max_initial_timestamp_index=config.max_initial_timestamp_index,
        )
        return [result.sequences_ids[0] for result in results]


def precision_of(device: torch.device) -> str:
    """As near to what transformers computes in on the device as the engine offers."""
    if device.type != "cuda":
        return "float32"
    return "bfloat16" if has_bfloat16(device) else "float16"


def convert_model(model: WhisperForConditionalGeneration, processor: WhisperProcessor, precision: str) -> Any:
    """A copy of the model in CTranslate2, on the model's device.

    Args:
        model: With whole weights: not sharded.
        processor: The model's.
        precision: What it computes in, by CTranslate2's name: "float32", "float16", "bfloat16", "int8" …
    """
    from ctranslate2.models import Whisper  # noqa: PLC0415 - it loads slowly

    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder) / "converted"
        write_converted(model, processor, precision, converted)
        if problem := find_gpu_problem(model.device):
            raise TrainingError(problem)
        return Whisper(
            str(converted),
            device=model.device.type,
            device_index=model.device.index or 0,
            compute_type=precision,
            intra_threads=torch.get_num_threads(),
        )


def write_converted(
    model: WhisperForConditionalGeneration, processor: WhisperProcessor, precision: str, folder: Path
) -> None:
    """Write a copy of the model in CTranslate2's format, with what faster-whisper reads beside it.

    Args:
        model: With whole weights: not sharded.
        processor: The model's.
        precision: Of the weights; see `convert_model`.
        folder: Made if it is not there; a file of the same name is replaced.
    """
    from ctranslate2.converters import TransformersConverter  # noqa: PLC0415 - it loads slowly

    class Converter(TransformersConverter):  # type: ignore[misc]  # untyped
        """Takes the model from memory; only its configuration is read from the folder."""

        def load_model(self, *_args: Any, **_kwargs: Any) -> WhisperForConditionalGeneration:
            return _copy_to_cpu(model)

        def load_tokenizer(self, *_args: Any, **_kwargs: Any) -> Any:
            return processor.tokenizer

    with tempfile.TemporaryDirectory() as configuration:
        model.config.save_pretrained(configuration)
        Converter(configuration).convert(str(folder), quantization=precision, force=True)
    processor.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    # Without its file faster-whisper takes 80 mel bins, and large-v3 has 128.
    processor.feature_extractor.save_pretrained(folder)


def _copy_to_cpu(model: WhisperForConditionalGeneration) -> WhisperForConditionalGeneration:
    """A copy with weights of its own in main memory: the converter rounds to 8 bits in place."""
    tensors = chain(model.parameters(), model.buffers())
    return copy.deepcopy(model, {id(tensor): tensor.detach().cpu().clone() for tensor in tensors})
