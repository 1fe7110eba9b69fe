"""The base model: loaded in float32 whatever its file holds, told its language and task."""

import logging
from collections import Counter
from pathlib import Path

import torch
from datasets import Dataset
from transformers import WhisperForConditionalGeneration, WhisperProcessor
from transformers.models.whisper.tokenization_whisper import LANGUAGES, TO_LANGUAGE_CODE

from recipe.arguments import ModelArguments
from recipe.data.audio import decode_flac
from recipe.data.mel import log_mel
from recipe.errors import JobError, TrainingError

logger = logging.getLogger(__name__)

NUM_DETECTION_WINDOWS = 16
"""Windows that the base model listens to when nobody says what language is spoken."""


def load_model(arguments: ModelArguments) -> tuple[WhisperForConditionalGeneration, WhisperProcessor]:
    """Model and processor of a Whisper checkpoint.

    Weights are float32 even where the file is float16 (large-v3-turbo): an update of 1e-5 would vanish in
    half precision; autocast lowers the precision of the arithmetic instead.

    Raises:
        TrainingError: if it cannot be had or is no Whisper checkpoint.
    """
    name, revision = arguments.model_name_or_path, arguments.model_revision
    try:
        processor = WhisperProcessor.from_pretrained(name, revision=revision)
        model = WhisperForConditionalGeneration.from_pretrained(
            name, revision=revision, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        where = "the folder" if Path(name).is_dir() else "the model hub"
        raise TrainingError(
            f"The model {name!r} could not be loaded from {where}: {error}. Expected a Whisper checkpoint with "
            "safetensors weights, such as openai/whisper-tiny."
        ) from error
    if arguments.freeze_encoder:
        model.freeze_encoder()
    return model, processor


def is_multilingual(model: WhisperForConditionalGeneration) -> bool:
    """Whether the checkpoint knows languages and tasks; `.en` checkpoints do not."""
    return bool(getattr(model.generation_config, "is_multilingual", True))


def check_language(language: str | None, processor: WhisperProcessor) -> str | None:
    """The code of a language given as code or English name; None for None.

    Raises:
        JobError: if Whisper, or this checkpoint's vocabulary, does not know it.
    """
    if language is None:
        return None
    name = language.strip().lower().split("-")[0]
    code = TO_LANGUAGE_CODE.get(name, name)
    if code not in LANGUAGES:
        raise JobError(
            f"language: {language!r} is not known to Whisper; expected a code such as fr, or a name."
        )
    vocabulary = processor.tokenizer.get_vocab()
    if f"<|{code}|>" not in vocabulary:
        raise JobError(
            f"language: this checkpoint has no token for {language!r}; large-v3 knows more languages."
        )
    return code


def detect_language(
    model: WhisperForConditionalGeneration, processor: WhisperProcessor, examples: Dataset
) -> str:
    """Code of the language that the base model hears in most of some windows spread over the examples."""
    step = max(1, len(examples) // NUM_DETECTION_WINDOWS)
    votes: Counter[str] = Counter()
    for index in range(0, len(examples), step):
        samples = decode_flac(examples[index]["audio"]["bytes"])
        features = torch.from_numpy(log_mel(processor.feature_extractor, samples))
        token_id = model.detect_language(features[None].to(model.device))[0]
        votes[processor.tokenizer.decode(token_id)[2:-2]] += 1
    language, num_votes = votes.most_common(1)[0]
    logger.info("Heard %s in %d of %d windows.", language, num_votes, votes.total())
    return language


def suppressed_symbols(model: WhisperForConditionalGeneration, processor: WhisperProcessor) -> frozenset[str]:
    """Symbols that generation never writes (`suppress_tokens`), such as brackets and notes.

    A label that holds one would teach what can never be said.
    """
    token_ids = [i for i in model.generation_config.suppress_tokens or [] if i >= 0]
    special = set(processor.tokenizer.all_special_ids)
    texts = {processor.tokenizer.decode([i]).strip() for i in token_ids if i not in special}
    return frozenset(text for text in texts if len(text) == 1 and not text.isalnum() and text != "\ufffd")
