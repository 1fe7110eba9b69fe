"""Sound as it arrives through a codec, in memory: encoded and decoded by the FFmpeg of PyAV's wheel.

Containers tell how much an encoder put before the sound, and FFmpeg takes it off again; what a speech codec
delays beyond that is taken off here, so that the times of captions hold.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field

import av
import numpy as np
import soxr
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from recipe.audio.resampling import SAMPLE_RATE, SAMPLES_PER_MS


@dataclass(frozen=True)
class Codec:
    """A way of coding speech.

    Attributes:
        encoder: FFmpeg's name.
        container: FFmpeg's name of the file format that it is kept in.
        rate: Sampling rate that is coded, in Hz.
        bit_rates: Those in use for speech, in bits per second; the codec's only one if there is none.
        delay_ms: What the codec delays and no container tells, measured by cross-correlation.
        options: Of the encoder, by FFmpeg's names: those that are quick to encode with.
    """

    encoder: str
    container: str
    rate: int
    bit_rates: tuple[int, ...] = ()
    delay_ms: int = 0
    options: Mapping[str, str] = field(default_factory=dict)


MU_LAW = Codec("pcm_mulaw", "wav", 8_000)
"""ITU-T G.711: landlines, and most of telephony over the internet."""

AMR = Codec("libopencore_amrnb", "amr", 8_000, (4_750, 5_900, 7_400, 12_200), delay_ms=5)
"""3GPP TS 26.071: mobile telephones."""

OPUS = Codec(
    "libopus",
    "ogg",
    SAMPLE_RATE,
    (6_000, 8_000, 12_000, 16_000, 24_000),
    options={"application": "voip", "compression_level": "1"},
)
"""RFC 6716: calls and voice messages."""

MP3 = Codec(
    *("libmp3lame", "mp3", SAMPLE_RATE, (16_000, 24_000, 32_000, 48_000)), options={"compression_level": "9"}
)
"""MPEG-2 layer III: recordings that were made small."""


def transmit(samples: NDArray[np.float32], codec: Codec, bit_rate: int = 0) -> NDArray[np.float32]:
    """The sound after encoding and decoding, as long as before and in time with it.

    Args:
        samples: Mono float32 at 16 kHz, shape (num_samples,); what lies outside [-1, 1] is clipped.
        codec: What it goes through.
        bit_rate: In bits per second; the encoder's own choice if 0.
    """
    # The end of the sound would stay in the encoder by as much as it delays.
    padded = np.pad(samples, (0, codec.delay_ms * SAMPLES_PER_MS))
    decoded = _decode(_encode(padded, codec, bit_rate))[codec.delay_ms * SAMPLES_PER_MS :]
    return np.pad(decoded[: len(samples)], (0, max(0, len(samples) - len(decoded))))


def _encode(samples: NDArray[np.float32], codec: Codec, bit_rate: int) -> bytes:
    scaled = np.clip(soxr.resample(samples, SAMPLE_RATE, codec.rate), -1, 1) * 32767
    frame = AudioFrame.from_ndarray(scaled.astype(np.int16)[np.newaxis], format="s16", layout="mono")
    frame.sample_rate, frame.pts = codec.rate, 0
    file = io.BytesIO()
    with av.open(file, "w", format=codec.container) as container:
        stream = container.add_stream(
            codec.encoder, rate=codec.rate, options=dict(codec.options), layout="mono"
        )
        assert isinstance(stream, AudioStream)
        stream.codec_context.thread_count = 1
        if bit_rate:
            stream.bit_rate = bit_rate
        for rest in (frame, None):
            container.mux(stream.encode(rest))
    return file.getvalue()


def _decode(data: bytes) -> NDArray[np.float32]:
    resampler = AudioResampler("flt", "mono", SAMPLE_RATE)
    with av.open(io.BytesIO(data), "r") as container:
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1
        frames = [part for frame in container.decode(stream) for part in resampler.resample(frame)]
    blocks = [frame.to_ndarray()[0] for frame in (*frames, *resampler.resample(None))]
    samples: NDArray[np.float32] = np.concatenate([np.zeros(0, np.float32), *blocks])
    return samples
