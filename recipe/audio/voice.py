"""How much voice there is in a stretch of audio: silero-vad's network, run over up to 30 s at once.

The library steps through the audio 32 ms at a time, at about 80 times real time. All but its recurrent
layer sees one step alone, so the steps of a stretch pass through those layers together, which gives the
same figures some ten times faster (a test compares them). torch loads with the first call only.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recipe.audio.levels import is_silent
from recipe.audio.resampling import SAMPLE_RATE

if TYPE_CHECKING:
    from torch import Tensor

    Network = Callable[[Tensor], Tensor]

MAX_VOICE_MS = 500
"""Voice that a stretch labelled as silence may hold: less than a word, more than the detector's slips."""

VOICE_PROBABILITY = 0.5
"""From this on a step counts as voice; the library's own default."""

QUIET_PROBABILITY = 0.35
"""Below this a voice has ended; the library's own default."""

MIN_STRETCH_MS = 96
"""Shortest pause and shortest voice: three steps. Stop consonants are quiet for less."""

_STEP = 512  # samples judged together: 32 ms
_CONTEXT = 64  # samples before a step that the network sees as well
_BLOCK_SECONDS = 30  # judged at once; bounds the memory, and how far past the first voice it computes

VoiceMeter = Callable[[NDArray[np.int16]], int]
"""Milliseconds of voice in int16 samples at 16 kHz; may stop counting above `MAX_VOICE_MS`."""


def voice_ms(samples: NDArray[np.int16]) -> int:
    """Milliseconds with a voice; counting ends with the block that exceeds `MAX_VOICE_MS`.

    Args:
        samples: int16 at 16 kHz, shape (num_samples,).
    """
    total_ms = 0
    for start in range(0, len(samples), _BLOCK_SECONDS * SAMPLE_RATE):
        probabilities = voice_probabilities(samples[start : start + _BLOCK_SECONDS * SAMPLE_RATE])
        total_ms += int((probabilities > VOICE_PROBABILITY).sum()) * _STEP * 1000 // SAMPLE_RATE
        if total_ms > MAX_VOICE_MS:
            break
    return total_ms


def has_voice(samples: NDArray[np.int16], measure_voice: VoiceMeter = voice_ms) -> bool:
    """Whether anything is said; the detector is asked only where there is sound."""
    return not is_silent(samples) and measure_voice(samples) >= MAX_VOICE_MS


def find_voice(samples: NDArray[np.int16]) -> list[tuple[int, int]]:
    """Where a voice speaks, as (start, end) in milliseconds, in order, exact to a step of 32 ms.

    A voice begins where its probability reaches `VOICE_PROBABILITY` and ends below `QUIET_PROBABILITY`, so
    that it does not flicker at the limit; a pause or a voice shorter than `MIN_STRETCH_MS` is none.

    Args:
        samples: int16 at 16 kHz, shape (num_samples,).
    """
    block = _BLOCK_SECONDS * SAMPLE_RATE
    blocks = [voice_probabilities(samples[start : start + block]) for start in range(0, len(samples), block)]
    probabilities = np.concatenate([np.zeros(0, np.float32), *blocks])
    is_voice = np.zeros(len(probabilities) + 1, dtype=bool)
    for step, probability in enumerate(probabilities):
        limit = QUIET_PROBABILITY if is_voice[step - 1] else VOICE_PROBABILITY
        is_voice[step] = probability >= limit
    edges = np.flatnonzero(np.diff(is_voice, prepend=False)).tolist()
    stretches: list[tuple[int, int]] = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        start_ms, end_ms = (min(step * _STEP, len(samples)) * 1000 // SAMPLE_RATE for step in (start, end))
        if stretches and start_ms - stretches[-1][1] < MIN_STRETCH_MS:
            start_ms = stretches.pop()[0]
        stretches.append((start_ms, end_ms))
    return [(start_ms, end_ms) for start_ms, end_ms in stretches if end_ms - start_ms >= MIN_STRETCH_MS]


def voice_probabilities(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """Probability of voice in [0, 1] for each 32 ms, float32, shape (ceil(num_samples / 512),)."""
    import torch  # noqa: PLC0415 - seconds to load, and few recordings need it
    from torch.nn.functional import pad  # noqa: PLC0415

    with torch.inference_mode():
        sound = torch.from_numpy(samples.astype(np.float32) / 32768)
        steps = pad(sound, (_CONTEXT, -len(sound) % _STEP)).unfold(0, _CONTEXT + _STEP, _STEP)
        probabilities: NDArray[np.float32] = _load_network()(steps).numpy()
    return probabilities


@lru_cache(maxsize=1)
def _load_network() -> Network:
    """The network at 16 kHz: steps float32 (N, 576) in order, to probabilities float32 (N,)."""
    import torch  # noqa: PLC0415
    from silero_vad import load_silero_vad  # noqa: PLC0415
    from torch.nn.functional import conv1d, pad, relu  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit's format
        weights = load_silero_vad()._model.state_dict()  # that at 16 kHz
    recurrent = torch.nn.LSTM(128, 128)
    recurrent.load_state_dict({f"{name}_l0": weights[f"decoder.rnn.{name}"] for name in _RECURRENT_WEIGHTS})

    def run(steps: Tensor) -> Tensor:
        padded = pad(steps.unsqueeze(1), (0, _CONTEXT), mode="reflect")
        parts = conv1d(padded, weights["stft.forward_basis_buffer"], stride=128)
        hidden = torch.hypot(parts[:, :129], parts[:, 129:])  # magnitudes of 129 frequencies
        for layer, stride in enumerate((1, 2, 2, 1)):
            name = f"encoder.{layer}.reparam_conv"
            hidden = relu(
                conv1d(hidden, weights[f"{name}.weight"], weights[f"{name}.bias"], stride=stride, padding=1)
            )
        states, _ = recurrent(hidden.squeeze(-1))
        logits = conv1d(
            relu(states).T, weights["decoder.decoder.2.weight"], weights["decoder.decoder.2.bias"]
        )
        return torch.sigmoid(logits[0])

    return run


_RECURRENT_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
