"""Codecs take something off the sound, and nothing off its times."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from recipe.audio.codecs import AMR, MP3, MU_LAW, OPUS, Codec, transmit

SECOND = 16_000

EVERY_RATE = pytest.mark.parametrize(
    ("codec", "bit_rate"),
    [
        pytest.param(codec, bit_rate, id=f"{codec.encoder} {bit_rate}")
        for codec in (MU_LAW, AMR, OPUS, MP3)
        for bit_rate in codec.bit_rates or (0,)
    ],
)


@cache
def syllables() -> NDArray[np.float32]:
    """Four seconds like speech: a voice whose pitch wanders, in syllables of several vowels."""
    random = np.random.default_rng(0)
    seconds = np.arange(4 * SECOND) / SECOND
    pitch = 120 + 30 * np.sin(2 * np.pi * 0.7 * seconds)
    phase = 2 * np.pi * np.cumsum(pitch) / SECOND
    sound = np.zeros(4 * SECOND)
    for start in range(0, 4 * SECOND, SECOND // 4):
        vowel = random.uniform([300, 900], [800, 2_400])
        part = slice(start, start + SECOND // 5)
        for harmonic in range(1, 25):
            loudness = np.exp(-(np.abs(harmonic * 120 - vowel) / 200)).sum()
            sound[part] += loudness * np.sin(harmonic * phase[part]) * np.hanning(SECOND // 5)
    sound += random.normal(scale=0.01, size=len(sound))
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)


def delay_ms(sound: NDArray[np.float32], heard: NDArray[np.float32]) -> float:
    """By how much the one comes after the other, by the peak of their cross-correlation."""
    length = 2 * len(sound)
    product = np.fft.rfft(heard, length) * np.conj(np.fft.rfft(sound, length))
    peak = int(np.fft.irfft(product, length).argmax())
    return (peak if peak < len(sound) else peak - length) / (SECOND / 1000)


@EVERY_RATE
def test_what_is_heard_is_in_time_and_as_long(codec: Codec, bit_rate: int) -> None:
    sound = syllables()
    heard = transmit(sound, codec, bit_rate)
    assert heard.dtype == np.float32
    assert heard.shape == sound.shape
    assert abs(delay_ms(sound, heard)) < 1
    assert 0.5 < np.square(heard).mean() / np.square(sound).mean() < 1.5


@EVERY_RATE
def test_a_codec_changes_the_sound(codec: Codec, bit_rate: int) -> None:
    assert np.abs(transmit(syllables(), codec, bit_rate) - syllables()).max() > 0.01


@pytest.mark.parametrize("codec", [MU_LAW, AMR], ids=lambda codec: codec.encoder)
def test_telephones_lose_what_is_above_their_band(codec: Codec) -> None:
    noise = np.random.default_rng(0).normal(scale=0.1, size=2 * SECOND).astype(np.float32)
    power = np.abs(np.fft.rfft(transmit(noise, codec))) ** 2
    hertz = np.fft.rfftfreq(len(noise), 1 / SECOND)
    assert power[hertz > 4_200].mean() < 1e-3 * power[(hertz > 500) & (hertz < 3_000)].mean()


@pytest.mark.parametrize("codec", [MU_LAW, AMR, OPUS, MP3], ids=lambda codec: codec.encoder)
@pytest.mark.parametrize("num_samples", [1_600, 1_601, 7_777])
def test_the_end_of_short_sound_is_heard(codec: Codec, num_samples: int) -> None:
    heard = transmit(syllables()[:num_samples], codec)
    assert len(heard) == num_samples
    assert heard[-160:].any()


def test_other_processes_hear_the_same_bits() -> None:
    pairs = [(codec, bit_rate) for codec in (MU_LAW, AMR, OPUS, MP3) for bit_rate in codec.bit_rates or (0,)]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        elsewhere = list(pool.map(transmit_syllables, pairs))
    assert elsewhere == [transmit_syllables(pair) for pair in pairs]


def transmit_syllables(pair: tuple[Codec, int]) -> bytes:
    """What is heard of the syllables, as bytes."""
    return transmit(syllables(), *pair).tobytes()
