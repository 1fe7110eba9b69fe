"""What the processes of one training agree on: who goes first, who is lost, whether they share a disk."""

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from transformers import TrainingArguments

from recipe.data.partition import count_machines
from recipe.errors import JobError
from recipe.run.folder import RunFolder

T = TypeVar("T")

SHARED_DISK_SECONDS = 60.0
"""Time after which what one machine wrote is seen by all others: NFS keeps what it knows that long."""

LONG_WAIT = timedelta(days=2)
"""Time that other processes wait for the main one's downloads and preparation; a collective's is minutes."""


@contextmanager
def local_main_first() -> Iterator[None]:
    """Let one process of each machine do the body first; the others then find its work on disk."""
    state = PartialState()
    if state.num_processes == 1:
        yield
        return
    # A group of its own, because a collective that waits longer than the default time-out aborts the job.
    group = torch.distributed.new_group(backend="gloo", timeout=LONG_WAIT)
    if not state.is_local_main_process:
        torch.distributed.barrier(group)
    yield
    if state.is_local_main_process:
        torch.distributed.barrier(group)


def tell_all(value: T) -> T:
    """The value of the main process, on every process; they wait for it as long as for its downloads."""
    if PartialState().num_processes == 1:
        return value
    group = torch.distributed.new_group(backend="gloo", timeout=LONG_WAIT)
    box = [value]
    torch.distributed.broadcast_object_list(box, src=0, group=group)
    return box[0]


def agree(args: TrainingArguments, *wishes: bool) -> list[bool]:
    """Each wish, true on every process as soon as it is on one of them."""
    if args.world_size == 1:
        return list(wishes)
    flags = torch.tensor(wishes, dtype=torch.int32, device=args.device)
    torch.distributed.all_reduce(flags, op=torch.distributed.ReduceOp.MAX)
    return [bool(flag) for flag in flags.tolist()]


def is_lost_process(error: BaseException) -> bool:
    """Whether a collective failed because another process ended or fell silent."""
    if PartialState().num_processes == 1 or not isinstance(error, RuntimeError):
        return False
    # Over gloo it is a plain RuntimeError that names where in gloo.
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)


def check_shared(folder: RunFolder) -> None:
    """See that all machines of a training share the disk of its folder.

    Raises:
        JobError: if one does not; all processes raise it.
    """
    num_machines = count_machines(os.environ)
    if num_machines == 1:
        return
    token = [uuid.uuid4().hex]
    if PartialState().is_main_process:
        folder.attempt.write_text(token[0])
    broadcast_object_list(token)
    deadline = time.monotonic() + SHARED_DISK_SECONDS
    while not (is_shared := folder.attempt.exists() and folder.attempt.read_text() == token[0]):
        if time.monotonic() > deadline:
            break
        time.sleep(0.5)
    if not all(gather_object([is_shared])):
        raise JobError(
            f"output_dir: {folder.path} is not the same folder on all {num_machines} machines. They prepare "
            "its data and go on from its checkpoints together: give a folder on a disk that they share."
        )
