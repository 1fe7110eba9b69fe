"""The base model: loaded in float32 whatever its file holds, told its language and task."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import WhisperForConditionalGeneration, WhisperProcessor
from transformers.models.whisper.tokenization_whisper import LANGUAGES, TO_LANGUAGE_CODE

from recipe.arguments import ModelArguments
from recipe.data.audio import iter_audio_blocks
from recipe.data.manifest import Recording
from recipe.data.mel import log_mel
from recipe.data.timeline import SAMPLES_PER_MS
from recipe.data.windows import WINDOW_MS
from recipe.errors import AudioError, DataError, JobError, TrainingError

logger = logging.getLogger(__name__)

NUM_DETECTION_RECORDINGS = 8
"""Recordings that the base model listens to, half a minute each, when nobody says what is spoken."""


def load_model(arguments: ModelArguments) -> tuple[WhisperForConditionalGeneration, WhisperProcessor]:
    """Model and processor of a Whisper checkpoint.

    Weights are float32 even where the file is float16 (large-v3-turbo): an update of 1e-5 would vanish in
    half precision; autocast lowers the precision of the arithmetic instead.

    Raises:
        TrainingError: if it cannot be had or is no Whisper checkpoint.
    """
    name, revision = arguments.model_name_or_path, arguments.model_revision or "main"
    try:
        processor = WhisperProcessor.from_pretrained(name, revision=revision)
        model = WhisperForConditionalGeneration.from_pretrained(
            name, revision=revision, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        where = "the folder" if Path(name).is_dir() else "the model hub"
        raise TrainingError(
            f"The model {name!r} could not be loaded from {where}: {error}. Expected a Whisper checkpoint "
            "with safetensors weights, such as openai/whisper-tiny."
        ) from error
    # Its masks hide padding too, hold no silence, and differ between layouts; the recipe makes its own.
    model.config.apply_spec_augment = False
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


def choose_language(
    given: str | None,
    model: WhisperForConditionalGeneration,
    processor: WhisperProcessor,
    recordings: Sequence[Recording],
) -> tuple[str, str]:
    """Code of the language spoken, and a remark for the user if nobody said it.

    That is the language given, else the one that all tags of caption files agree on, else what the base
    model hears in most of some recordings. English-only checkpoints hear English.

    Raises:
        JobError: if the language is not known to the checkpoint.
        DataError: if no recording can be listened to.
    """
    tags = {recording.language_tag.lower().split("-")[0] for recording in recordings} - {""}
    code = check_language(given or (tags.pop() if len(tags) == 1 else None), processor)
    if code or not is_multilingual(model):
        return code or "en", ""
    code = _detect_language(model, processor, recordings)
    return code, f"No language was given; the base model heard {LANGUAGES[code].title()} ({code})."


def _detect_language(
    model: WhisperForConditionalGeneration, processor: WhisperProcessor, recordings: Sequence[Recording]
) -> str:
    step = max(1, len(recordings) // NUM_DETECTION_RECORDINGS)
    votes: Counter[str] = Counter()
    for recording in recordings[::step]:
        samples = _read_excerpt(recording)
        if len(samples):
            features = torch.from_numpy(log_mel(processor.feature_extractor, samples))
            token_id = model.detect_language(features[None].to(model.device))[0]
            votes[processor.tokenizer.decode(token_id)[2:-2]] += 1
    if not votes:
        raise DataError("No language was given and no recording can be listened to; set the option language.")
    return votes.most_common(1)[0][0]


def _read_excerpt(recording: Recording) -> NDArray[np.float32]:
    """Up to 30 s after the first half minute, where a jingle may be; the beginning of a shorter recording."""
    blocks: list[NDArray[np.int16]] = []
    try:
        if recording.audio.path:
            for block in iter_audio_blocks(recording.audio.path):
                blocks.append(block)
                if sum(map(len, blocks)) >= 2 * WINDOW_MS * SAMPLES_PER_MS:
                    break
    except AudioError as error:
        logger.debug("Not listened to: %s", error)
    samples = np.concatenate([np.zeros(0, np.int16), *blocks])[: 2 * WINDOW_MS * SAMPLES_PER_MS]
    return samples[-WINDOW_MS * SAMPLES_PER_MS :].astype(np.float32) / np.float32(32768)


def suppressed_symbols(model: WhisperForConditionalGeneration, processor: WhisperProcessor) -> frozenset[str]:
    """Symbols that generation never writes (`suppress_tokens`), such as brackets and music notes.

    A label that holds one would teach what can never be said. Tokens with a space before the symbol are
    left out: Whisper suppresses hyphens and apostrophes at the start of a word only.
    """
    token_ids = [i for i in model.generation_config.suppress_tokens or [] if i >= 0]
    special = set(processor.tokenizer.all_special_ids)
    texts = {processor.tokenizer.decode([i]) for i in token_ids if i not in special}
    return frozenset(text for text in texts if len(text) == 1 and not text.isalnum() and text != "\ufffd")


def save_tokenizer(processor: WhisperProcessor, folder: Path) -> Path:
    """The tokenizer as one file in `folder`, with which the preparation counts tokens without the model."""
    folder.mkdir(parents=True, exist_ok=True)
    partial, path = folder / "tokenizer.part", folder / "tokenizer.json"
    processor.tokenizer.backend_tokenizer.save(str(partial))
    partial.replace(path)
    return path
