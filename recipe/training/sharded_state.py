"""The state of a training whose weights are shared out: each process writes and reads its own part.

The parts are those of `torch.distributed.checkpoint`, written beside training; from them the whole weights
can be put together again, by any number of processes.
"""

import warnings
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save

from recipe.errors import CheckpointError
from recipe.training.checkpoints import FileRecord, record_file

PARTS_DIR = "parts"
"""Folder of the parts in a checkpoint."""


class ShardedState:
    """Writes and reads the weights and the optimizer's state, each process its own part."""

    def __init__(self) -> None:
        self._group: Any = None
        self._written: Future[Any] | None = None
        self._folder = Path()

    def save(self, model: nn.Module | None, optimizer: Any, checkpoint: Path) -> None:
        """Copy this process's part, and begin to write it; all processes must take part.

        Args:
            model: Whose weights are shared out.
            optimizer: Its optimizer.
            checkpoint: Folder of the checkpoint.
        """
        if self._group is None:  # of its own: it is used beside training's
            self._group = torch.distributed.new_group(backend="gloo")
        self._folder = checkpoint / PARTS_DIR
        state = _state_of(model, optimizer)
        written = async_save(state, checkpoint_id=self._folder, process_group=self._group)
        assert isinstance(written, Future), "the copy is made by now"
        self._written = written

    def finish(self) -> dict[str, FileRecord]:
        """Return once all processes have written their parts: on the main process what they wrote.

        Each process hashes its own files. A thread may call it, while training goes on.
        """
        assert self._written is not None
        self._written.result()
        rank = torch.distributed.get_rank()
        own = {
            f"{PARTS_DIR}/{path.name}": record_file(path) for path in self._folder.glob(f"__{rank}_*.distcp")
        }
        gathered: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(gathered, own, group=self._group)
        return {name: record for records in gathered for name, record in records.items()}

    def load(self, model: nn.Module | None, optimizer: Any, checkpoint: Path) -> None:
        """Take up this process's part.

        Raises:
            CheckpointError: the checkpoint has no parts.
        """
        _check_parts(checkpoint)
        state = _state_of(model, optimizer)
        load(state, checkpoint_id=checkpoint / PARTS_DIR)
        assert model is not None
        set_state_dict(
            model,
            optimizer.optimizer,
            model_state_dict=state["model"],
            optim_state_dict=state["optimizer"],
        )

    def load_whole(self, model: nn.Module, checkpoint: Path) -> None:
        """Put the whole weights together in a model that is not shared out; each process by itself."""
        _check_parts(checkpoint)
        weights = model.state_dict()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # it is meant
            load({"model": weights}, checkpoint_id=checkpoint / PARTS_DIR, no_dist=True)
        model.load_state_dict(weights)


def _state_of(model: nn.Module | None, optimizer: Any) -> dict[str, Any]:
    assert model is not None
    weights, moments = get_state_dict(model, optimizer.optimizer)
    return {"model": weights, "optimizer": moments}


def _check_parts(checkpoint: Path) -> None:
    if not (checkpoint / PARTS_DIR).is_dir():
        raise CheckpointError(
            f"{checkpoint.name} in {checkpoint.parent} has no folder {PARTS_DIR}: it was saved in one file, "
            "by an earlier version. Use another output_dir."
        )
