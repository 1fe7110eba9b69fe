"""The order in which windows are trained: drawn anew each epoch, rows of about a length together.

The decoder's rows are padded to the longest of a micro-batch. So the windows of an update, which the seed and
the epoch decide alone, are dealt out to its micro-batches by their length. The update's gradient is that of
all its windows, in whichever order.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from datasets import Dataset as ArrowDataset
from torch.utils.data import Sampler

from recipe.data.windows import MAX_PROMPT_TOKENS

PADDING = -1
"""Index of an example that fills up the last update and counts for nothing."""


class RowSize(NamedTuple):
    """What decides how long a window's row is in the decoder.

    Attributes:
        num_tokens: Of the label of the whole window with timestamps.
        num_cues: Cues that end in the window.
        num_prompt_tokens: Of the prompt, about.
    """

    num_tokens: int
    num_cues: int
    num_prompt_tokens: int


def measure_rows(examples: ArrowDataset) -> list[RowSize]:
    """The sizes of examples in their order; prompts have the tokens per character of all labels."""
    segments, prompts = examples["segments"], examples["prompt"]
    num_tokens = [int(number) for number in examples["num_tokens"]]
    num_cues = [sum(segment["end_ms"] is not None for segment in window) for window in segments]
    tokens_per_char = sum(num_tokens) / max(1, sum(map(_count_chars, segments)))
    num_prompt_tokens = [
        min(MAX_PROMPT_TOKENS, round(tokens_per_char * _count_chars(prompt))) for prompt in prompts
    ]
    return [RowSize(*size) for size in zip(num_tokens, num_cues, num_prompt_tokens, strict=True)]


def _count_chars(segments: Sequence[Mapping[str, Any]]) -> int:
    return sum(len(segment["text"]) for segment in segments)


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields (epoch, index) in an order that depends on the seed and the epoch alone.

    The last update of an epoch is filled up with `PADDING`, so that every process and every accumulation
    step has its part of every update and no window is trained twice. In an update the longest rows come
    first, where memory that does not suffice is found out soonest. Accelerate deals the batches of an update
    out in turn, so those that processes work on at the same time are of about a length too.
    """

    def __init__(
        self,
        num_examples: int,
        windows_per_update: int,
        seed: int,
        epoch_of: Callable[[], int],
        length_of: Callable[[int, int], int] = lambda _epoch, _index: 0,
    ) -> None:
        """Order `num_examples` windows, those of an update by `length_of` their (epoch, index)."""
        self._num_examples = num_examples
        self._windows_per_update = windows_per_update
        self._seed = seed
        self._epoch_of = epoch_of
        self._length_of = length_of

    def __len__(self) -> int:
        return -(-self._num_examples // self._windows_per_update) * self._windows_per_update

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self._epoch_of()
        order = np.random.default_rng([self._seed, epoch]).permutation(self._num_examples).tolist()
        order += [PADDING] * (len(self) - self._num_examples)
        for first in range(0, len(order), self._windows_per_update):
            update = order[first : first + self._windows_per_update]
            # What fills up shows the first window.
            for index in sorted(update, key=lambda index: -self._length_of(epoch, max(index, 0))):
                yield epoch, index
