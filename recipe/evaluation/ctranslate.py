"""The words of a batch of windows by CTranslate2, the engine of faster-whisper; the package is optional."""

import copy
import logging
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from recipe.evaluation.decoding import MAX_NEW_TOKENS
from recipe.model.inference import has_bfloat16

logger = logging.getLogger(__name__)


def is_ctranslate2_installed() -> bool:
    """Whether the optional package is there."""
    return find_spec("ctranslate2") is not None


class Ctranslate2Engine:
    """Decodes with a converted copy of the model, made of the weights that it has now.

    Args:
        model: On its device, with whole weights: not sharded.
        processor: The model's.
    """

    def __init__(self, model: WhisperForConditionalGeneration, processor: WhisperProcessor) -> None:
        self._config: Any = model.generation_config  # Whisper's fields are not in its type
        precision = _precision(model.device)
        self._whisper = convert_model(model, processor, precision)
        logger.info("CTranslate2 computes in %s.", precision)

    def write(self, features: Tensor, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        """The tokens after each prompt, without the end of text; see `recipe.evaluation.decoding.Engine`."""
        from ctranslate2 import StorageView  # noqa: PLC0415 - optional

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


def _precision(device: torch.device) -> str:
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
    from ctranslate2.models import Whisper  # noqa: PLC0415 - optional

    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder) / "converted"
        write_converted(model, processor, precision, converted)
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
    """Write the model into a folder as CTranslate2 reads it; see `convert_model`."""
    from ctranslate2.converters import TransformersConverter  # noqa: PLC0415 - optional

    class Converter(TransformersConverter):  # type: ignore[misc]  # untyped
        """Takes the model from memory; only its configuration is read from the folder."""

        def load_model(self, *_args: Any, **_kwargs: Any) -> WhisperForConditionalGeneration:
            return _copy_to_cpu(model)

        def load_tokenizer(self, *_args: Any, **_kwargs: Any) -> Any:
            return processor.tokenizer

    with tempfile.TemporaryDirectory() as configuration:
        model.config.save_pretrained(configuration)
        Converter(configuration).convert(str(folder), quantization=precision, force=True)


def _copy_to_cpu(model: WhisperForConditionalGeneration) -> WhisperForConditionalGeneration:
    """A copy with weights of its own in main memory: the converter rounds to 8 bits in place."""
    tensors = chain(model.parameters(), model.buffers())
    return copy.deepcopy(model, {id(tensor): tensor.detach().cpu().clone() for tensor in tensors})
