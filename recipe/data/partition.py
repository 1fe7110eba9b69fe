"""Draws that depend on a name alone: the same on every machine, and not changed by files that are added."""

import hashlib
from collections.abc import Mapping


def position_of(name: str) -> float:
    """A number in [0, 1), evenly spread over names."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64


def count_machines(environment: Mapping[str, str]) -> int:
    """The machines of the training, as torchrun and `accelerate launch` number them; 1 without them."""
    return int(environment.get("GROUP_WORLD_SIZE", 1))


def is_first_of_machine(environment: Mapping[str, str]) -> bool:
    """Whether this process is the first of its machine, which does what the others need not do again."""
    return int(environment.get("LOCAL_RANK", 0)) == 0


def is_first_of_all(environment: Mapping[str, str]) -> bool:
    """Whether this process is the main one of the training, as can be told before the processes meet."""
    return int(environment.get("RANK", 0)) == 0
