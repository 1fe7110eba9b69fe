"""From one pass of a model over a window to all that it hears there, whichever engine runs the model.

A pass may stop before the end of its window: the model wrote that a phrase begins which it cannot finish,
or it ran out of tokens. As in any long-form decoder (openai/whisper, `generate`) the window is then heard
again from the last time that the model wrote (whisper-base on 70 French windows: 23.9 % WER with one pass
each, 20.9 % so). A pass that only repeats itself is cut.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

MAX_NEW_TOKENS = 224
"""Longest transcript of a pass, as in openai/whisper: half the decoder."""

MAX_PASSES = 10
"""Passes over a window: a model that went wrong may come on by 20 ms each time, or not at all."""

NUM_FRAMES = 3000
"""Frames of a window: 30 s at 10 ms."""

FRAMES_PER_TIMESTAMP = 2
"""Timestamps are 20 ms apart."""

MIN_REPEATS = 6
MIN_LOOP_TOKENS = 48
"""A runaway: the same tokens at least six times in a row, over at least 48 tokens without a timestamp."""


class Engine(Protocol):
    """Runs a model's encoder and greedy decoder on a batch."""

    def write(self, features: Tensor, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        """The tokens that follow each prompt, timestamps among them, without the end of text.

        Args:
            features: Log-mel of the windows, float32, shape (B, M, `NUM_FRAMES`).
            prompts: Tokens to begin with, all of one length.
        """
        ...


def hear_windows(
    engine: Engine, features: Tensor, prompts: Sequence[Sequence[int]], first_timestamp: int
) -> list[list[int]]:
    """The tokens of all passes over each window.

    Args:
        engine: Runs the model.
        features: As in `Engine.write`.
        prompts: As in `Engine.write`.
        first_timestamp: Token of 0.00 s; the later times follow it.
    """
    heard: list[list[int]] = [[] for _ in prompts]
    starts = dict.fromkeys(range(len(prompts)), 0)  # frame from which a window is still to be heard
    for _ in range(MAX_PASSES):
        if not starts:
            break
        rest = [features[row, :, start:] for row, start in starts.items()]
        batch = [pad(part, (0, NUM_FRAMES - part.shape[1])) for part in rest]
        passes = engine.write(torch.stack(batch), [prompts[row] for row in starts])
        for row, tokens in zip(list(starts), passes, strict=True):
            kept, num_frames = _take_finished(cut_loop(tokens, first_timestamp), first_timestamp)
            heard[row] += kept
            starts[row] += num_frames
            if starts[row] >= NUM_FRAMES:
                del starts[row]
    return heard


def _take_finished(tokens: list[int], first_timestamp: int) -> tuple[list[int], int]:
    """Tokens of the finished phrases of a pass, and the frames that they cover: `NUM_FRAMES` if all are."""
    is_time = [token >= first_timestamp for token in tokens]
    pairs = [i for i in range(1, len(tokens)) if is_time[i - 1] and is_time[i]]
    if not pairs or is_time[-2:] == [False, True]:
        return tokens, NUM_FRAMES
    return tokens[: pairs[-1] + 1], (tokens[pairs[-1] - 1] - first_timestamp) * FRAMES_PER_TIMESTAMP


def is_looping(tokens: Sequence[int], first_timestamp: int) -> bool:
    """Whether the end of a transcript is a runaway repetition."""
    num_plain = next((i for i, token in enumerate(reversed(tokens)) if token >= first_timestamp), len(tokens))
    return any(
        tokens[-length:-period] == tokens[-length + period :]
        for period in range(1, num_plain // MIN_REPEATS + 1)
        if (length := max(MIN_LOOP_TOKENS, MIN_REPEATS * period)) <= num_plain
    )


def cut_loop(tokens: list[int], first_timestamp: int) -> list[int]:
    """The tokens up to where a runaway repetition shows; all of them if none does."""
    lengths = range(MIN_LOOP_TOKENS, len(tokens))
    return next((tokens[:n] for n in lengths if is_looping(tokens[:n], first_timestamp)), tokens)
