import json
from pathlib import Path

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from recipe.run.machine import gpu_stats
from recipe.training.telemetry import TelemetryCallback


@pytest.fixture
def args(tmp_path: Path) -> TrainingArguments:
    return TrainingArguments(output_dir=str(tmp_path), use_cpu=True)


def train(callback: TelemetryCallback, args: TrainingArguments, *, is_main: bool = True, steps: int = 1):
    state, control = TrainerState(is_local_process_zero=is_main), TrainerControl()
    callback.on_train_begin(args, state, control)
    for step in range(1, steps + 1):
        state.global_step = step
        callback.on_step_end(args, state, control)
    callback.on_train_end(args, state, control)


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "telemetry.jsonl").read_text().splitlines()]


def test_even_the_shortest_training_leaves_a_sample_with_its_last_update(tmp_path, args):
    train(TelemetryCallback(tmp_path / "logs", interval_seconds=3600), args, steps=7)
    (row,) = rows(tmp_path / "logs")
    assert row["step"] == 7
    assert {"time", "cpu_percent", "memory_percent", "disk_usage_percent", "gpu_available"} <= row.keys()
    assert len(row["gpus"]) == len(gpu_stats())
    assert list((tmp_path / "logs" / "telemetry").glob("events.out.tfevents.*"))


def test_a_resumed_training_adds_to_the_samples(tmp_path, args):
    callback = TelemetryCallback(tmp_path / "logs", interval_seconds=3600)
    train(callback, args)
    train(callback, args, steps=2)
    assert [row["step"] for row in rows(tmp_path / "logs")] == [1, 2]


def test_samples_keep_coming(tmp_path, args):
    callback = TelemetryCallback(tmp_path / "logs", interval_seconds=0.01)
    state, control = TrainerState(), TrainerControl()
    callback.on_train_begin(args, state, control)
    while not (tmp_path / "logs" / "telemetry.jsonl").exists() or len(rows(tmp_path / "logs")) < 3:
        callback.on_step_end(args, state, control)
    callback.on_train_end(args, state, control)
    times = [row["time"] for row in rows(tmp_path / "logs")]
    assert times == sorted(times)


def test_only_one_process_of_a_machine_samples(tmp_path, args):
    train(TelemetryCallback(tmp_path / "logs"), args, is_main=False)
    assert not (tmp_path / "logs").exists()
