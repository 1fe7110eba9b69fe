"""What only a GPU does: bfloat16, the fused optimizer, padded labels, memory that runs out for real."""

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_trainers import build_trainer, curve, make_windows, tiny_whisper, trained, weights
from training_runs import (
    PYTHON,
    REPOSITORY,
    TrainingRun,
    assert_same_curve,
    clean_environment,
    find_free_port,
    send,
)

from recipe.data.windows import MAX_LABEL_TOKENS
from recipe.model.inference import has_bfloat16
from recipe.training.arguments import LABEL_BUCKET
from recipe.training.checkpoints import COMPLETION_FILE, list_checkpoints
from recipe.training.trainer import TOO_LITTLE_MEMORY, WhisperTrainer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
    pytest.mark.filterwarnings("default"),  # libraries warn of cards and drivers
]

IN_TWO_PARTS = "micro-batches are processed in 2 parts; the result is the same."

Build = Callable[..., WhisperTrainer]
Make = Callable[[str], TrainingRun]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A trainer on the GPU, in float32 unless told otherwise; activations of a window take some 60 MB."""
    root = tmp_path_factory.mktemp("gpu")
    whisper = tiny_whisper(root / "model", d_model=256, num_layers=2)
    defaults = {"use_cpu": False, "bf16": False, "save_strategy": "no", "dataloader_num_workers": 0}

    def build(**changes: Any) -> WhisperTrainer:
        return build_trainer(whisper, make_windows(whisper), root / "run", **(defaults | changes))

    return build


def assert_close(run: WhisperTrainer, other: WhisperTrainer, tolerance: float) -> None:
    assert len(curve(run)) == len(curve(other)) == 4
    for figures, expected in zip(curve(run), curve(other), strict=True):
        assert figures == pytest.approx(expected, rel=tolerance)


def test_float32_on_the_gpu_gives_the_losses_of_the_processor(build: Build) -> None:
    assert_close(trained(build()), trained(build(use_cpu=True)), tolerance=1e-3)


@pytest.mark.skipif(
    torch.cuda.is_available() and not has_bfloat16(torch.device("cuda")), reason="the GPU has no bfloat16"
)
def test_bfloat16_is_the_default_with_the_losses_of_float32_and_float32_weights(build: Build) -> None:
    low, full = trained(build(bf16=None)), trained(build())
    assert low.args.bf16 is True
    assert {weight.dtype for weight in weights(low).values()} == {torch.float32}
    assert curve(low) != curve(full), "autocast lowers the precision"
    for (loss, norm), (full_loss, full_norm) in zip(curve(low), curve(full), strict=True):
        assert loss == pytest.approx(full_loss, rel=1e-2)
        assert norm == pytest.approx(full_norm, rel=1e-1)


def test_the_fused_optimizer_is_the_default_and_steps_as_the_plain_one(build: Build) -> None:
    fused, plain = trained(build()), trained(build(optim="adamw_torch"))
    assert fused.optimizer.param_groups[0]["fused"] is True
    assert not plain.optimizer.param_groups[0]["fused"]
    assert_close(fused, plain, tolerance=1e-3)
    # Where a gradient is next to nothing, Adam makes a whole step of rounding.
    differences = [(weights(fused)[name] - weight).abs().mean() for name, weight in weights(plain).items()]
    assert max(differences) < 1e-4 < plain.args.learning_rate


def test_labels_are_padded_to_buckets_which_changes_no_loss(build: Build) -> None:
    trainer, exact = build(), build(label_multiple=1)
    assert trainer.args.label_multiple == LABEL_BUCKET
    lengths = [batch["labels"].shape[1] for batch in trainer.get_train_dataloader()]
    assert lengths
    assert all(length % LABEL_BUCKET == 0 or length == MAX_LABEL_TOKENS for length in lengths)
    assert_close(trained(trainer), trained(exact), tolerance=1e-3)


def train_and_measure(build: Build, **changes: Any) -> dict[str, Any]:
    """What came of a run, and the memory it took at most: of its tensors, and of the GPU."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    trainer = trained(build(**changes))
    return {
        "curve": curve(trainer),
        "num_splits": trainer.num_splits,
        "warnings": trainer.warnings,
        "allocated": torch.cuda.max_memory_allocated(),
        "reserved": torch.cuda.max_memory_reserved(),
    }


def test_an_update_that_runs_out_of_memory_is_made_in_parts_with_the_same_result(build: Build) -> None:
    ample = train_and_measure(build)
    halves = train_and_measure(build, per_device_train_batch_size=2, gradient_accumulation_steps=2)
    assert halves["reserved"] < ample["allocated"], "half a micro-batch takes clearly less"
    limit = (halves["reserved"] + ample["allocated"]) / 2
    torch.cuda.set_per_process_memory_fraction(limit / torch.cuda.get_device_properties(0).total_memory)
    try:
        short = train_and_measure(build)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert (ample["num_splits"], ample["warnings"]) == (1, [])
    assert short["num_splits"] == 2
    assert short["warnings"] == [f"Out of memory at update 1: from there on {IN_TWO_PARTS}"]
    for figures, expected in zip(short["curve"], ample["curve"], strict=True):
        assert figures == pytest.approx(expected, rel=1e-3)


def gpu_environment(**more: str) -> dict[str, str]:
    """As `clean_environment`, with the GPUs that the tests see."""
    names = ("CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")
    hidden = {name: value for name, value in clean_environment().items() if name not in names}
    return hidden | {name: os.environ[name] for name in names if name in os.environ} | more


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What became of the scenarios of gpu_memory.py."""
    folder = tmp_path_factory.mktemp("memory")
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(find_free_port())}
    environment = gpu_environment(**group, WORLD_SIZE="1", RANK="0", LOCAL_RANK="0")
    command = [sys.executable, "tests/support/gpu_memory.py", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, timeout=600)
    return dict(json.loads((folder / "outcomes.json").read_text()))


def test_the_trial_leaves_no_trace_where_memory_is_ample(outcomes: dict[str, Any], build: Build) -> None:
    assert outcomes["ample"]["num_splits"] == 1
    assert outcomes["ample"]["warnings"] == []
    for figures, expected in zip(outcomes["ample"]["curve"], curve(trained(build())), strict=True):
        assert figures == pytest.approx(expected, rel=1e-3)


def test_the_trial_finds_how_many_parts_the_largest_micro_batch_needs(outcomes: dict[str, Any]) -> None:
    assert outcomes["short"]["num_splits"] == 2
    sentence = f"The largest micro-batch does not fit into memory: all {IN_TWO_PARTS}"
    assert outcomes["short"]["warnings"] == [sentence]
    for figures, expected in zip(outcomes["short"]["curve"], outcomes["ample"]["curve"], strict=True):
        assert figures == pytest.approx(expected, rel=1e-3)


def test_the_trial_refuses_a_gpu_without_room_for_a_window(outcomes: dict[str, Any]) -> None:
    assert outcomes["none"] == {"error": TOO_LITTLE_MEMORY}


@pytest.fixture(scope="module")
def make(
    tiny_dir: Path, tones_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., TrainingRun]:
    """A whole run on the GPU, by name."""
    options = {
        "data_dir": tones_dir,
        "model_name_or_path": tiny_dir,
        "language": "en",
        "num_train_epochs": 3,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-3,
        "save_strategy": "steps",
        "save_steps": 1,
        "publish_if_worse": True,  # chance made the model
    }
    root = tmp_path_factory.mktemp("runs")
    make_run = partial(TrainingRun, options=options, launcher=PYTHON, environment=gpu_environment())
    return lambda name: make_run(root / name)


def test_a_run_is_trained_and_published_and_goes_on_after_a_kill(make: Make) -> None:
    quiet, killed = make("quiet").finish(), make("killed")
    fingerprint = quiet.read(f"{list_checkpoints(quiet.folder)[0].name}/{COMPLETION_FILE}")["fingerprint"]
    assert fingerprint["bf16"] is has_bfloat16(torch.device("cuda"))
    assert quiet.read("result.json")["artifacts"]["model_path"] == str(quiet.folder / "model")
    killed.interrupt(send(9, after=3))
    assert_same_curve(killed.finish(), quiet, tolerance=1e-2)
    assert "resumed" in [event["status"] for event in killed.events]
