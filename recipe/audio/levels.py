"""How loud audio is, a tenth of a second at a time."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from recipe.audio.resampling import SAMPLES_PER_MS

SILENCE_DBFS = -65.0
"""Level of silence; telephone line noise lies near -60 dBFS, faint speech at -55."""

QUIET_DBFS = -50.0
"""Level under which a tenth of a second is not sound speech, though it may be faint speech."""

MAX_AUDIBLE_MS = 500
"""Audible sound that silence may hold in total: a click, not a word."""


def quiet_fraction(samples: npt.NDArray[np.int16], spans_ms: Sequence[tuple[int, int]]) -> float:
    """Fraction of the time in `spans_ms` that is under `QUIET_DBFS`, in [0, 1]."""
    levels = _levels(samples)
    under = np.zeros(len(levels), dtype=bool)
    for start_ms, end_ms in spans_ms:
        under[start_ms // 100 : -(-end_ms // 100)] = True
    return float((levels[under] < QUIET_DBFS).mean()) if under.any() else 0.0


def is_silent(samples: npt.NDArray[np.int16]) -> bool:
    """True if there is hardly any sound.

    Args:
        samples: int16 at 16 kHz, shape (num_samples,).
    """
    return int((_levels(samples) > SILENCE_DBFS).sum()) * 100 <= MAX_AUDIBLE_MS


def span_of_sound(samples: npt.NDArray[np.int16]) -> tuple[int, int]:
    """Where sound begins and ends, in milliseconds, exact to a tenth of a second; (0, 0) if there is none."""
    loud = np.flatnonzero(_levels(samples) > SILENCE_DBFS)
    if not len(loud):
        return 0, 0
    duration_ms = len(samples) // SAMPLES_PER_MS
    is_last = 100 * int(loud[-1] + 2) > duration_ms  # what is left after the last whole tenth belongs to it
    return 100 * int(loud[0]), duration_ms if is_last else 100 * int(loud[-1] + 1)


def _levels(samples: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
    """Level of each tenth of a second in dBFS, float32, shape (num_samples // 1600,)."""
    length = 100 * SAMPLES_PER_MS
    frames = samples[: len(samples) // length * length].reshape(-1, length)
    levels = np.empty(len(frames), dtype=np.float32)
    for start in range(0, len(frames), 600):  # a minute at a time, so that floats take no memory to speak of
        block = frames[start : start + 600].astype(np.float32) / 32768
        levels[start : start + 600] = 10 * np.log10(np.einsum("fs,fs->f", block, block) / length + 1e-12)
    return levels
