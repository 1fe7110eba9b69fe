"""The proof that a staged folder works: it is loaded as its users load it, and compared with the model."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import WhisperForConditionalGeneration, pipeline

from recipe.audio.resampling import SAMPLE_RATE
from recipe.errors import PublishError
from recipe.publish.release import seal_release

logger = logging.getLogger(__name__)

TONE_HZ = 220.0
NUM_PROBE_TOKENS = 8
PROBED_TIMESTAMPS = {0: "<|0.00|>", 56: "<|1.12|>", 1500: "<|30.00|>"}
"""Text of the timestamp token so many steps of 20 ms after the first."""


def verify_release(staging_dir: Path, reference_model: WhisperForConditionalGeneration) -> None:
    """Reloads the staged folder, compares it with the model, and on success seals it for delivery.

    The folder is loaded by `transformers.pipeline` on the CPU, has to transcribe one second of a tone,
    to hold the reference's weights bit for bit, and to decode timestamp tokens to the right times.

    Raises:
        PublishError: the folder cannot be loaded, or is not the model that was trained.
    """
    try:
        recogniser: Any = pipeline(
            "automatic-speech-recognition", model=str(staging_dir), device="cpu", trust_remote_code=False
        )
        answer = recogniser(_make_tone(), generate_kwargs={"max_new_tokens": NUM_PROBE_TOKENS})
    except Exception as error:  # whatever a library raises here, the folder is not fit for release
        raise PublishError(
            f"The staged model cannot be loaded and used ({type(error).__name__}: {error})."
        ) from error
    if not isinstance(answer.get("text"), str):
        raise PublishError("The staged model transcribed a second of sound to something that is not text.")
    _compare_weights(recogniser.model, reference_model)
    _compare_generation(recogniser.model, reference_model)
    _check_times(recogniser)
    _check_old_form(staging_dir, recogniser.model.config.num_mel_bins)
    _check_vocabulary(staging_dir, recogniser.tokenizer)
    seal_release(staging_dir)
    logger.info("The staged model was reloaded and equals the trained one")


def _make_tone() -> np.ndarray:
    """One second of a quiet tone: mono float32 in [-1, 1] at 16 kHz, shape (16000,)."""
    seconds = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    return (0.1 * np.sin(2 * np.pi * TONE_HZ * seconds)).astype(np.float32)


def _compare_weights(reloaded: torch.nn.Module, reference: torch.nn.Module) -> None:
    expected, found = reference.state_dict(), reloaded.state_dict()
    if expected.keys() != found.keys():
        odd = sorted(expected.keys() ^ found.keys())
        raise PublishError(f"The staged model has other weights than the trained one: {', '.join(odd[:5])}.")
    for name, tensor in expected.items():
        if found[name].dtype != tensor.dtype or not torch.equal(found[name], tensor.cpu()):
            raise PublishError(
                f"The staged weights {name} differ from the trained ones; the disk may be failing."
            )


def _compare_generation(
    reloaded: WhisperForConditionalGeneration, reference: WhisperForConditionalGeneration
) -> None:
    for name in ("language", "task", "is_multilingual", "no_timestamps_token_id", "alignment_heads"):
        expected = getattr(reference.generation_config, name, None)
        found = getattr(reloaded.generation_config, name, None)
        if found != expected:
            raise PublishError(f"The staged generation config says {name} {found!r}; expected {expected!r}.")


def _check_times(recogniser: Any) -> None:
    """Decoding counts from the last special token, whose place is lost when a tokenizer file is missing."""
    first = recogniser.model.generation_config.no_timestamps_token_id + 1
    for num_steps, expected in PROBED_TIMESTAMPS.items():
        found = recogniser.tokenizer.decode([first + num_steps], decode_with_timestamps=True)
        if found != expected:
            raise PublishError(
                f"The staged tokenizer decodes the timestamp {expected} as {found!r}; times would be wrong."
            )


def _check_old_form(staging_dir: Path, num_mel_bins: int) -> None:
    """faster-whisper reads this file, and takes 80 mel bins where it does not find it."""
    path = staging_dir / "preprocessor_config.json"
    found = json.loads(path.read_text(encoding="utf-8")).get("feature_size") if path.is_file() else None
    if found != num_mel_bins:
        raise PublishError(f"preprocessor_config.json says {found} mel bins; the model takes {num_mel_bins}.")


def _check_vocabulary(staging_dir: Path, tokenizer: Any) -> None:
    """whisper.cpp's converter reads tokens from these files and from nowhere else."""
    found: dict[str, int] = {}
    for name in ("vocab.json", "added_tokens.json"):
        found |= json.loads((staging_dir / name).read_text(encoding="utf-8"))
    if found != tokenizer.get_vocab():
        raise PublishError("vocab.json and added_tokens.json together are not the tokenizer's vocabulary.")
