"""Sounds without a word in them, the same each time: what a model writes on them, it made up."""

import numpy as np
from numpy.typing import NDArray

from recipe.audio.resampling import SAMPLE_RATE

SECONDS = 60
NOISE_DB = -40.0
"""Of white noise, root mean square below full scale: that of a quiet room."""

CHORDS_HZ = ((261.6, 329.6, 392.0), (220.0, 261.6, 329.6), (174.6, 220.0, 261.6), (196.0, 246.9, 293.7))
"""C major, A minor, F major, G major."""

CHORD_SECONDS = 4
CHORD_AMPLITUDE = 0.1
"""Of each of the three tones."""

Samples = NDArray[np.float32]


def make_sounds() -> dict[str, Samples]:
    """A minute each of silence, noise and music, by name; float32 in [-1, 1] at 16 kHz."""
    num_samples = SECONDS * SAMPLE_RATE
    noise = np.random.default_rng(0).standard_normal(num_samples) * 10 ** (NOISE_DB / 20)
    return {
        "silence": np.zeros(num_samples, np.float32),
        "noise": noise.astype(np.float32),
        "music": _play(num_samples),
    }


def _play(num_samples: int) -> Samples:
    """Slow chords, each fading in and out."""
    seconds = np.arange(CHORD_SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    swell = np.sin(np.pi * seconds / CHORD_SECONDS)
    chords = [swell * sum(np.sin(2 * np.pi * hz * seconds) for hz in chord) for chord in CHORDS_HZ]
    played = np.resize(CHORD_AMPLITUDE * np.concatenate(chords), num_samples)
    return played.astype(np.float32)
