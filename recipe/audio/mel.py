"""Log-mel features: what the encoder reads."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recipe.audio.resampling import SAMPLE_RATE

if TYPE_CHECKING:
    from transformers import WhisperFeatureExtractor


def log_mel(extractor: "WhisperFeatureExtractor", samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log-mel features by the checkpoint's own extractor, padded with silence to 30 s.

    Args:
        extractor: Knows the number of mel bins M: 80, or 128 for large-v3.
        samples: Mono float32 in [-1, 1] at 16 kHz, shape (num_samples,), at most 30 s.

    Returns:
        float32, shape (M, 3000), 10 ms a frame.
    """
    features: NDArray[np.float32] = extractor(samples, sampling_rate=SAMPLE_RATE, return_tensors="np")[
        "input_features"
    ][0]
    return features
