"""Sound for people to play in a browser: small, and not for training."""

import io

import av
import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from recipe.audio.resampling import SAMPLE_RATE

BITS_PER_SECOND = 32_000
"""30 s are 120 kB, a quarter of their FLAC; speech stays clear."""


def encode_mp3(samples: NDArray[np.float32]) -> bytes:
    """MP3 file, which every browser plays, of mono samples in [-1, 1] at 16 kHz, shape (num_samples,)."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=SAMPLE_RATE, bit_rate=BITS_PER_SECOND, layout="mono")
        stream.options = {"compression_level": "9"}  # the quickest
        frame = AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return buffer.getvalue()
