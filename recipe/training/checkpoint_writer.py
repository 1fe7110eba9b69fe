"""Checkpoints written beside training: what is to be written is copied first, then a thread writes it.

Training stands still for the copy only, seconds for the largest model; writing, syncing and hashing take
longer. One checkpoint is written at a time, in the order of the updates.
"""

import copy
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerState, TrainingArguments

from recipe.run.folder import COMPLETION_FILE, RunFolder
from recipe.run.machine import available_memory

logger = logging.getLogger(__name__)

MEMORY_FACTOR = 1.5
"""Free memory that a copy needs, as a multiple of its bytes; with less the checkpoint is written at once."""


def copy_to_memory(value: Any) -> Any:
    """A copy of the tensors in nested mappings, lists and tuples, on the CPU; other values as they are."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: copy_to_memory(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(copy_to_memory(entry) for entry in value)
    return value


def count_bytes(value: Any) -> int:
    """The bytes of the tensors in nested mappings, lists and tuples."""
    if isinstance(value, torch.Tensor):
        return value.nbytes
    if isinstance(value, Mapping):
        return sum(map(count_bytes, value.values()))
    return sum(map(count_bytes, value)) if isinstance(value, list | tuple) else 0


class CheckpointWriter:
    """Writes one checkpoint after another in a thread."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writes: list[Callable[[], object]] = []
        self._future: Future[None] | None = None

    def add(self, write: Callable[[Any], object], content: Any) -> None:
        """Have `write` called with a copy of the content; at once where memory has no room for a copy."""
        if available_memory() < MEMORY_FACTOR * count_bytes(content):
            logger.info(
                "Memory has no room for a copy of the checkpoint: training waits while it is written."
            )
            write(content)
            return
        copied = copy_to_memory(content)
        self._writes.append(lambda: write(copied))

    def start(self, complete: Callable[[], object]) -> None:
        """Begin with the writes that were added; `complete` comes last."""
        writes, self._writes = [*self._writes, complete], []
        self._future = self._threads.submit(_run_all, writes)

    def raise_failure(self) -> None:
        """Raise the error of a checkpoint that could not be written, if one is known by now."""
        if self._future and self._future.done():
            self.wait()

    def wait(self) -> None:
        """Return once the checkpoint is whole; raises what kept it from that."""
        future, self._future = self._future, None
        if future:
            future.result()

    def close(self) -> None:
        """Let the checkpoint become whole before the process ends for another reason."""
        try:
            self.wait()
        except Exception:
            logger.exception("The last checkpoint could not be written.")


def _run_all(writes: list[Callable[[], object]]) -> None:
    while writes:
        writes.pop(0)()  # and the copy it holds is gone


class SavedState:
    """The state of a checkpoint that callbacks are told of before it is whole."""

    def __init__(self) -> None:
        self._state: TrainerState | None = None

    def note(self, state: TrainerState) -> None:
        """Remember the state as it is now, of a checkpoint that is being written."""
        self._state = copy.copy(state)

    def take(self, args: TrainingArguments) -> TrainerState | None:
        """The state, once, as soon as its checkpoint is whole."""
        state = self._state
        if state is None:
            return None
        checkpoint = RunFolder(Path(str(args.output_dir))).checkpoint(state.global_step)
        if not (checkpoint / COMPLETION_FILE).exists():
            return None
        self._state = None
        return state
