"""Which recordings are held out of training to measure the error rate.

Whole recordings are held out, so that no voice or take is on both sides. The choice depends on each
recording's own name: adding files later moves none of the earlier ones, but for the very smallest sets.
"""

import hashlib
from collections.abc import Collection

from datasets import Dataset

GUARD_MS = 10_000
"""Audio left unused between the two parts of a single recording."""


def choose_held_out(names: Collection[str], fraction: float) -> frozenset[str]:
    """Names of the recordings to hold out: about `fraction` of them, at least one and never all.

    Empty if `fraction` is 0 or there is only one recording (see `split_by_time`).
    """
    if fraction == 0 or len(names) < 2:
        return frozenset()
    ranked = sorted(names, key=_position)
    num_held_out = sum(_position(name) < fraction for name in ranked)
    return frozenset(ranked[: min(max(num_held_out, 1), len(ranked) - 1)])


def split_by_time(examples: Dataset, fraction: float) -> tuple[Dataset, Dataset]:
    """Split the windows of a single recording in two: the beginning to train on, the end to measure on.

    A window that starts less than `GUARD_MS` before the held-out part ends in neither.
    Too few windows for both parts leave the second one empty.
    """
    if fraction == 0:
        return examples, examples.select([])
    first = len(examples) - max(1, round(fraction * len(examples)))
    starts, ends = examples["start_ms"][:], examples["end_ms"][:]
    train = [i for i in range(first) if ends[i] + GUARD_MS <= starts[first]]
    if not train:
        return examples, examples.select([])
    return examples.select(train), examples.select(range(first, len(examples)))


def _position(name: str) -> float:
    """A number in [0, 1) that depends on the name alone, evenly spread over names."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
