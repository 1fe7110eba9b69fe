"""Cheap judgements of audio and text that need no model."""

import zlib

import numpy as np
import numpy.typing as npt

from recipe.data.timeline import SAMPLE_RATE

SILENCE_DBFS = -50.0
"""Level under which a tenth of a second counts as silent; telephone line noise lies near -60 dBFS."""

MAX_AUDIBLE_MS = 500
"""Audible sound that silence may hold in total: a click, not a word."""


def is_silent(samples: npt.NDArray[np.int16]) -> bool:
    """True if hardly anything can be heard.

    Args:
        samples: int16 at 16 kHz, shape (num_samples,).
    """
    frame_length = SAMPLE_RATE // 10
    num_frames = len(samples) // frame_length
    frames = samples[: num_frames * frame_length].reshape(num_frames, frame_length)
    threshold = 32768 * 10 ** (SILENCE_DBFS / 20)
    num_audible = sum(
        float(np.sqrt(np.mean(np.square(frame, dtype=np.float64)))) > threshold for frame in frames
    )
    return num_audible * 100 <= MAX_AUDIBLE_MS


def chars_per_second(text: str, duration_ms: int) -> float:
    """Reading speed of a text; 0 for no time."""
    return len(text) * 1000 / duration_ms if duration_ms > 0 else 0.0


def compression_ratio(text: str) -> float:
    """How many times shorter zlib makes the text; over 2.4 it repeats itself (openai/whisper). 0 if empty."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0
