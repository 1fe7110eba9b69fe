"""The language of a recording as the base model detects it in half a minute of it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from recipe.arguments import ModelArguments
from recipe.audio.decoding import AudioLimits, decode_beginning
from recipe.audio.mel import log_mel
from recipe.audio.resampling import SAMPLES_PER_MS
from recipe.data.clips import read_beginning
from recipe.data.manifest import Recording
from recipe.data.processes import SpareProcess
from recipe.data.windows import WINDOW_MS
from recipe.errors import AudioError
from recipe.model.checkpoint import Checkpoint
from recipe.model.whisper import Whisper, load_whisper

logger = logging.getLogger(__name__)

EXCERPT_CPU_SECONDS = 60.0
"""Longest time of a processor for a minute of a recording; it takes less than one."""


@contextmanager
def detecting(
    checkpoint: Checkpoint, arguments: ModelArguments
) -> Iterator[Callable[[Recording], tuple[str, float] | None]]:
    """A function: the most probable language of a recording and its probability; None if it has no sound.

    Args:
        checkpoint: The base model; its weights are loaded if it comes without.
        arguments: Which it is.
    """
    whisper = checkpoint if isinstance(checkpoint, Whisper) else load_whisper(arguments)
    with SpareProcess(EXCERPT_CPU_SECONDS) as process:
        yield partial(_detect_language, whisper=whisper, process=process)


@torch.inference_mode()
def _detect_language(
    recording: Recording, whisper: Whisper, process: SpareProcess
) -> tuple[str, float] | None:
    samples = _read_excerpt(recording, process)
    if not len(samples):
        return None
    model, config = whisper.model, whisper.generation_config
    features = torch.from_numpy(log_mel(whisper.processor.feature_extractor, samples))[None]
    start = torch.tensor([[config.decoder_start_token_id]], device=model.device)
    names = list(config.lang_to_id)
    token_ids = [config.lang_to_id[name] for name in names]
    output = model(input_features=features.to(model.device), decoder_input_ids=start, use_cache=False)
    certainty, index = output.logits[0, -1, token_ids].float().softmax(0).max(0)
    return names[int(index)][2:-2], float(certainty)


def _read_excerpt(recording: Recording, process: SpareProcess) -> NDArray[np.float32]:
    """Up to 30 s after the first half minute, where a jingle may be; the beginning of a shorter recording.

    Of sentences the first 30 s, one after another.
    """
    samples: NDArray[np.int16] | None = None
    try:
        if recording.has_own_sounds:
            samples = process.call(read_beginning, recording.clips, AudioLimits(), WINDOW_MS)
        elif recording.audio.path:
            samples = process.call(decode_beginning, recording.audio.path, 2 * WINDOW_MS)
    except AudioError as error:
        logger.debug("No language was detected: %s", error)
    if samples is None:
        return np.zeros(0, np.float32)
    return samples[-WINDOW_MS * SAMPLES_PER_MS :].astype(np.float32) / np.float32(32768)
