"""Checkpoints are copied, then written in order beside training; a failure is told to training."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers import TrainerState, TrainingArguments

from recipe.errors import CheckpointError
from recipe.run.folder import COMPLETION_FILE
from recipe.training import checkpoint_writer
from recipe.training.checkpoint_writer import CheckpointWriter, SavedState, copy_to_memory, count_bytes
from recipe.training.checkpoints import record_file
from recipe.training.sharded_state import PARTS_DIR, ShardedState


def test_a_copy_shares_nothing_with_what_training_changes() -> None:
    weight, step = torch.ones(3), torch.tensor(1.0)
    state = {"state": {0: {"step": step, "exp_avg": weight}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    copied = copy_to_memory(state)
    weight.add_(1)
    step.add_(1)
    assert copied["state"][0]["exp_avg"].tolist() == [1.0, 1.0, 1.0]
    assert copied["state"][0]["step"] == 1.0
    assert copied["param_groups"] == state["param_groups"]
    assert count_bytes(copied) == 16


def test_what_is_written_is_what_it_was_when_it_was_added() -> None:
    writer, written, weight, may_write = CheckpointWriter(), [], torch.ones(1), threading.Event()

    def write(content: torch.Tensor) -> None:
        may_write.wait(10)
        written.append(content.item())

    writer.add(write, weight)
    writer.start(lambda: written.append("complete"))
    weight.add_(1)
    writer.raise_failure()  # none is known
    assert written == []
    may_write.set()
    writer.wait()
    assert written == [1.0, "complete"]


def test_without_room_for_a_copy_it_is_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_writer, "MEMORY_FACTOR", 1e12)
    writer, written = CheckpointWriter(), []
    writer.add(written.append, torch.ones(2))
    assert len(written) == 1


def test_a_write_that_fails_is_raised_where_training_stands_and_completes_nothing() -> None:
    writer, completed = CheckpointWriter(), []
    writer.add(lambda _: Path("/nowhere/at/all").write_bytes(b""), {})
    writer.start(lambda: completed.append(1))
    with pytest.raises(FileNotFoundError):
        writer.wait()
    writer.wait()
    assert completed == []


def test_callbacks_are_told_of_a_checkpoint_once_it_is_whole(tmp_path: Path) -> None:
    args, state, saved = (
        TrainingArguments(output_dir=str(tmp_path), use_cpu=True),
        TrainerState(),
        SavedState(),
    )
    state.global_step = 7
    saved.note(state)
    state.global_step = 8
    assert saved.take(args) is None
    (tmp_path / "checkpoint-7").mkdir()
    (tmp_path / "checkpoint-7" / COMPLETION_FILE).touch()
    found = saved.take(args)
    assert found
    assert found.global_step == 7
    assert saved.take(args) is None


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


class Optimizer:
    """As Accelerate wraps one."""

    def __init__(self, model: nn.Module) -> None:
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)


def build() -> tuple[nn.Module, Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 2))
    fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
    return model, Optimizer(model)


def update(model: nn.Module, optimizer: Optimizer) -> None:
    model(torch.ones(4, 8)).square().sum().backward()
    optimizer.optimizer.step()
    optimizer.optimizer.zero_grad()


def weights_of(model: nn.Module) -> list[torch.Tensor]:
    return [w.full_tensor().clone() if isinstance(w, DTensor) else w for w in model.parameters()]


@pytest.mark.usefixtures("one_process")
def test_parts_hold_the_state_as_it_was_and_training_goes_on_from_it(tmp_path: Path) -> None:
    model, optimizer = build()
    update(model, optimizer)
    saved, state = weights_of(model), ShardedState()
    state.save(model, optimizer, tmp_path)
    update(model, optimizer)  # while it is written
    records = state.finish()
    assert records == {
        f"{PARTS_DIR}/{path.name}": record_file(path) for path in (tmp_path / PARTS_DIR).glob("*.distcp")
    }
    resumed, its_optimizer = build()
    state.load(resumed, its_optimizer, tmp_path)
    assert all(map(torch.equal, weights_of(resumed), saved))
    update(resumed, its_optimizer)
    assert all(map(torch.equal, weights_of(resumed), weights_of(model)))
    whole = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 2))
    state.load_whole(whole, tmp_path)
    assert all(map(torch.equal, weights_of(whole), saved))


def test_a_checkpoint_in_one_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="was saved in one file"):
        ShardedState().load_whole(nn.Linear(1, 1), tmp_path)
