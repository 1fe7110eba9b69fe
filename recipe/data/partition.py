"""Draws that depend on a name alone: the same on every machine, and not changed by files that are added."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass


def position_of(name: str) -> float:
    """A number in [0, 1), evenly spread over names."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64


@dataclass(frozen=True)
class Partition:
    """The recordings that one of several machines prepares.

    Attributes:
        index: The machine's number, from 0.
        count: Machines in all.
    """

    index: int = 0
    count: int = 1

    def holds(self, name: str) -> bool:
        """Whether the recording is this machine's; every recording is exactly one machine's."""
        return int(position_of(name) * self.count) == self.index


def partition_of_machine(environment: Mapping[str, str]) -> Partition:
    """This machine's part, as torchrun and `accelerate launch` number the machines; all without them."""
    index, count = int(environment.get("GROUP_RANK", 0)), int(environment.get("GROUP_WORLD_SIZE", 1))
    return Partition(index, count)


def is_first_of_machine(environment: Mapping[str, str]) -> bool:
    """Whether this process is the first of its machine, which does what the others need not do again."""
    return int(environment.get("LOCAL_RANK", 0)) == 0


def is_first_of_all(environment: Mapping[str, str]) -> bool:
    """Whether this process is the main one of the training, as can be told before the processes meet."""
    return int(environment.get("RANK", 0)) == 0
