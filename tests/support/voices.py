"""Sound with and without a voice in it, made from numbers."""

import numpy as np
from numpy.typing import NDArray

VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480))
"""Formants in Hz of four vowels (Peterson and Barney 1952, men)."""


def make_voice(seconds: float) -> NDArray[np.int16]:
    """Vowels of a quarter of a second: pulses of a gliding pitch through formants."""
    times = np.arange(round(seconds * 16_000)) / 16_000
    pitch = 120 + 25 * np.sin(2 * np.pi * 0.7 * times) + 10 * np.sin(2 * np.pi * 2.3 * times)
    pulses = np.diff(np.floor(np.cumsum(pitch) / 16_000), prepend=0)
    sound = np.zeros(len(pulses))
    for number, start in enumerate(range(0, len(pulses), 4_000)):
        part = pulses[start : start + 4_000]
        frequencies = np.fft.rfftfreq(8_000, 1 / 16_000)
        formants = VOWELS[number % len(VOWELS)]
        gain = sum(0.6**i / (1 + ((frequencies - formant) / 60) ** 2) for i, formant in enumerate(formants))
        shaped = np.fft.irfft(np.fft.rfft(part, 8_000) * gain)[: len(part)]
        sound[start : start + 4_000] = shaped * np.hanning(len(part))
    return (sound / np.abs(sound).max() * 12_000).astype(np.int16)


def make_noise(seconds: float, level: int = 3_000) -> NDArray[np.int16]:
    """Even noise up to `level`: loud, and no voice."""
    samples = np.random.default_rng(0).integers(-level, level + 1, round(seconds * 16_000))
    return samples.astype(np.int16)
