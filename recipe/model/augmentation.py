"""Alterations of a window that keep its words: other speeds, noise, other channels, masks over the features.

All are off by default. What is drawn depends on (seed, epoch, index) alone, like the view itself, so any
layout and any resume see the same. Noise is made here because the libraries for it draw from global
generators and bring a compiler (audiomentations 0.43: librosa, numba, scikit-learn).
"""

from dataclasses import dataclass, replace

import numpy as np
import soxr
from numpy.typing import NDArray

from recipe.audio.resampling import SAMPLE_RATE, SAMPLES_PER_MS
from recipe.data.windows import WINDOW_MS, Segment
from recipe.model.channel import NUM_DRAWS, Channel, draw_channel

SPEEDS = (0.9, 1.1)
"""Slower and faster speech, pitch included (Ko et al. 2015, "Audio augmentation for speech recognition")."""

MIN_SNR_DB, MAX_SNR_DB = 5.0, 40.0
"""From a busy street to noise that is hardly noticed."""

MAX_EXPONENT = 2.0
"""Power of noise falls with frequency to this power at most: 0 is white (hiss), 1 pink, 2 brown (rumble)."""

MAX_MASKED_BINS = 27 / 80
MAX_MASKED_FRAMES = 100
"""Of SpecAugment's policies (Park et al. 2019, table 1), without time warping: one mask over mel bins, two of
up to a second each, as i4Ds fine-tunes Whisper; large-v2 was trained with one (Radford et al. 2022)."""

NUM_TIME_MASKS = 2

MAX_MASKED_FRACTION = 0.2
"""Of the frames (`p` of the "Switchboard" policies), lest the only word of a short cue is silenced."""

MAX_SAMPLES = WINDOW_MS * SAMPLES_PER_MS

SAMPLES_PER_FRAME = 160

DYNAMIC_RANGE = 8.0 / 4.0
"""Whisper's log-mel ends so far below its maximum: 80 dB, in the units of the features."""

LEAST_LOG_MEL = (-10.0 + 4.0) / 4.0
"""Feature of digital silence."""


@dataclass(frozen=True)
class Alteration:
    """What is done to one view.

    Attributes:
        speed: How many times as fast as it was said it is played; 1.0 is as recorded.
        snr_db: Ratio of sound to noise, in dB; None for no noise.
        exponent: Colour of the noise, 0 to `MAX_EXPONENT`.
        channel: What lies between the sound and the recording of it; None for nothing.
        masks: Relative width and position of the mask over bins, then of those over frames, each in [0, 1);
            None for no masks.
    """

    speed: float = 1.0
    snr_db: float | None = None
    exponent: float = 0.0
    channel: Channel | None = None
    masks: tuple[float, ...] | None = None

    def change_speed(
        self, samples: NDArray[np.float32], segments: tuple[Segment, ...]
    ) -> tuple[NDArray[np.float32], tuple[Segment, ...]]:
        """The sound and its times at another speed; as they were if they would not fit in 30 s."""
        if self.speed == 1.0 or len(samples) > MAX_SAMPLES * self.speed:
            return samples, segments
        altered = soxr.resample(samples, SAMPLE_RATE * self.speed, SAMPLE_RATE)[:MAX_SAMPLES]
        return altered, tuple(
            replace(
                segment,
                start_ms=round(segment.start_ms / self.speed),
                end_ms=None if segment.end_ms is None else round(segment.end_ms / self.speed),
            )
            for segment in segments
        )

    def add_noise(self, samples: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
        """The sound with noise below it; digital silence, which has no level, stays as it is."""
        if self.snr_db is None or not samples.any():
            return samples
        # Always 30 s: a length that is quick to transform, and as many random draws for every example.
        spectrum = np.fft.rfft(random.standard_normal(MAX_SAMPLES, dtype=np.float32))
        bins = np.arange(1, len(spectrum) + 1, dtype=np.float32)
        noise = np.fft.irfft(spectrum * bins ** (-self.exponent / 2), MAX_SAMPLES)[: len(samples)]
        level = _root_mean_square(samples) / _root_mean_square(noise) * 10 ** (-self.snr_db / 20)
        return (samples + level * noise).astype(np.float32)

    def send(self, samples: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
        """The sound at the other end of the channel."""
        return samples if self.channel is None else self.channel.send(samples, random)

    def mask(self, features: NDArray[np.float32], num_samples: int) -> None:
        """Silence a band and stretches of log-mel features, in place.

        Masks lie where sound is: padding is silent already. They hold what silence is in these features,
        which is not 0 as in transformers' own SpecAugment.

        Args:
            features: Log-mel, shape (M, F).
            num_samples: Samples of sound in it; padding follows.
        """
        if self.masks is None:
            return
        num_bins, num_frames = features.shape[0], num_samples // SAMPLES_PER_FRAME
        silence = max(features.max() - DYNAMIC_RANGE, LEAST_LOG_MEL)
        max_frames = min(MAX_MASKED_FRAMES, MAX_MASKED_FRACTION * num_frames)
        over_bins, *over_frames = zip(self.masks[::2], self.masks[1::2], strict=True)
        features[_place(num_bins, MAX_MASKED_BINS * num_bins, *over_bins), :num_frames] = silence
        for width, position in over_frames:
            features[:, _place(num_frames, max_frames, width, position)] = silence


@dataclass(frozen=True)
class Augmentation:
    """How probable each alteration is; see `DataArguments`."""

    speed: float = 0.0
    noise: float = 0.0
    channel: float = 0.0
    spec_augment: float = 0.0

    def draw(self, random: np.random.Generator) -> Alteration:
        """Choose what to do to a view; uses the same number of random draws for every example."""
        speed, which_speed, noise, snr, exponent, channel, spec_augment = random.random(7).tolist()
        masks, drawn_channel = random.random(2 + 2 * NUM_TIME_MASKS), draw_channel(random.random(NUM_DRAWS))
        return Alteration(
            speed=SPEEDS[int(which_speed * len(SPEEDS))] if speed < self.speed else 1.0,
            snr_db=MIN_SNR_DB + snr * (MAX_SNR_DB - MIN_SNR_DB) if noise < self.noise else None,
            exponent=exponent * MAX_EXPONENT,
            channel=drawn_channel if channel < self.channel else None,
            masks=tuple(masks.tolist()) if spec_augment < self.spec_augment else None,
        )


def _place(length: int, max_width: float, width: float, position: float) -> slice:
    """A part of an axis: up to `max_width` wide, with both ends inside the axis."""
    size = int(width * (int(max_width) + 1))
    start = int(position * (length - size + 1))
    return slice(start, start + size)


def _root_mean_square(samples: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
