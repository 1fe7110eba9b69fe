"""What lies between a mouth and a recording: a room, an input that clips, a telephone's band, a codec.

Everything keeps the time of the sound: filters have no delay, the direct way through the room is the first
sample of its response, and what codecs delay is taken off (`recipe.audio.codecs`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recipe.audio.codecs import AMR, MP3, MU_LAW, OPUS, Codec, transmit
from recipe.audio.resampling import SAMPLE_RATE, SAMPLES_PER_MS
from recipe.data.windows import WINDOW_MS

CODECS: tuple[Codec | None, ...] = (None, MU_LAW, AMR, OPUS, MP3)
"""Each as probable as the others; without one there is a room or clipping, or nothing is done."""

TELEPHONE_CODECS = (MU_LAW, AMR)

LOW_CUT_HZ, HIGH_CUT_HZ = (150.0, 400.0), (3_000.0, 3_700.0)
"""Where the band of a telephone begins and ends (ITU-T G.712: 300 to 3,400 Hz)."""

BAND_ORDER = 4
"""Of the Butterworth filters whose magnitudes limit the band."""

ROOM_PROBABILITY = 0.5
REVERBERATION_S = (0.15, 0.8)
"""Time in which the sound of a room falls by 60 dB: from a furnished one to a lecture hall."""

DIRECT_DB = (-3.0, 12.0)
"""Level of the direct sound above that of its echoes: across the room, or near the microphone."""

FIRST_ECHO_MS = 2

CLIPPED_PROBABILITY = 0.25
MAX_CLIPPED_FRACTION = 0.05
"""Of the samples, at an input that is set too high."""

MIN_SAMPLES = 100 * SAMPLES_PER_MS
"""Shorter sound is no word, and less than some encoders take."""

MAX_SAMPLES = WINDOW_MS * SAMPLES_PER_MS
MAX_RESPONSE = round(REVERBERATION_S[1] * SAMPLE_RATE)
TRANSFORM_LENGTH = 500_000
"""A length that is quick to transform, of at least a window and a room's response after it."""

NUM_DRAWS = 9


@dataclass(frozen=True)
class Channel:
    """What is done to the sound of one view.

    Attributes:
        codec: What it is coded with, if anything.
        bit_rate: Of the codec, in bits per second; 0 for its only one.
        band: Where a telephone's band begins and ends, in Hz; None for all of it.
        reverberation_s: Time in which the sound of the room falls by 60 dB; None for no room.
        direct_db: Level of the direct sound above that of the echoes.
        clipped_fraction: Fraction of the samples that is clipped.
    """

    codec: Codec | None = None
    bit_rate: int = 0
    band: tuple[float, float] | None = None
    reverberation_s: float | None = None
    direct_db: float = 0.0
    clipped_fraction: float = 0.0

    def send(self, samples: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
        """The sound at the other end, as loud and as long as before.

        Args:
            samples: Mono float32 at 16 kHz, shape (num_samples,), at most 30 s.
            random: Draws the echoes of the room, as many for every room.
        """
        if len(samples) < MIN_SAMPLES or not samples.any():
            return samples
        sent = samples
        if self.reverberation_s is not None or self.band is not None:
            sent = self._filter(sent, random)
            sent = sent * (_root_mean_square(samples) / max(_root_mean_square(sent), 1e-9))
        if self.clipped_fraction:
            peak = np.quantile(np.abs(sent), 1 - self.clipped_fraction)
            sent = np.clip(sent, -peak, peak)
        if self.codec is not None:
            sent = transmit(sent.astype(np.float32), self.codec, self.bit_rate)
        return np.clip(sent, -1, 1).astype(np.float32)

    def _filter(self, samples: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
        """The sound in the room, through the band."""
        spectrum = np.fft.rfft(samples, TRANSFORM_LENGTH)
        if self.reverberation_s is not None:
            spectrum *= np.fft.rfft(self._draw_response(self.reverberation_s, random), TRANSFORM_LENGTH)
        if self.band is not None:
            low, high = self.band
            hertz = np.fft.rfftfreq(TRANSFORM_LENGTH, 1 / SAMPLE_RATE).astype(np.float32)
            hertz[0] = hertz[1]
            below, above = (low / hertz) ** (2 * BAND_ORDER), (hertz / high) ** (2 * BAND_ORDER)
            spectrum /= np.sqrt((1 + below) * (1 + above))
        filtered = np.fft.irfft(spectrum, TRANSFORM_LENGTH)[: len(samples)]
        return filtered.astype(np.float32)

    def _draw_response(self, reverberation_s: float, random: np.random.Generator) -> NDArray[np.float32]:
        """Response of a room: the sound itself, then echoes, as noise that decays (Moorer 1979)."""
        echoes = random.standard_normal(MAX_RESPONSE, dtype=np.float32)
        seconds = np.arange(MAX_RESPONSE, dtype=np.float32) / SAMPLE_RATE
        echoes *= np.float32(10) ** (-3 * seconds / np.float32(reverberation_s))
        echoes[: FIRST_ECHO_MS * SAMPLES_PER_MS] = 0
        echoes *= np.float32(10 ** (-self.direct_db / 20)) / np.sqrt(np.square(echoes).sum())
        echoes[0] = 1
        return echoes


def draw_channel(numbers: NDArray[np.float64]) -> Channel:
    """The channel that `NUM_DRAWS` numbers in [0, 1) stand for."""
    which, rate, low, high, room, reverberation, direct, clipped, how_much = numbers.tolist()
    codec = CODECS[int(which * len(CODECS))]
    rates = codec.bit_rates if codec is not None else ()
    return Channel(
        codec=codec,
        bit_rate=rates[int(rate * len(rates))] if rates else 0,
        band=(_between(LOW_CUT_HZ, low), _between(HIGH_CUT_HZ, high)) if codec in TELEPHONE_CODECS else None,
        reverberation_s=_between(REVERBERATION_S, reverberation) if room < ROOM_PROBABILITY else None,
        direct_db=_between(DIRECT_DB, direct),
        clipped_fraction=how_much * MAX_CLIPPED_FRACTION if clipped < CLIPPED_PROBABILITY else 0.0,
    )


def _between(bounds: tuple[float, float], position: float) -> float:
    low, high = bounds
    return low + position * (high - low)


def _root_mean_square(samples: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
