"""`train.py` with adapters: a plain Whisper comes out, the same one from any layout and after any kill."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, load_file
from training_runs import TWO_PROCESSES, TrainingRun, fingerprint_of, send

from recipe.errors import CheckpointError
from recipe.training.checkpoints import find_checkpoint, list_checkpoints

Make = Callable[..., TrainingRun]


@pytest.fixture(scope="module")
def make(tiny_dir: Path, tones_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A run by name, launcher and options."""
    return partial(make_run, tmp_path_factory.mktemp("lora"), tones_dir, tiny_dir)


def make_run(
    root: Path, data_dir: Path, model_dir: Path, name: str, launcher: tuple[str, ...] = (), **options: object
) -> TrainingRun:
    defaults = {
        "data_dir": data_dir,
        "model_name_or_path": model_dir,
        "language": "en",
        "num_train_epochs": 3,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-3,
        "max_grad_norm": 0.5,  # below the norms that come: clipping shows a wrong scale
        "timestamp_fraction": 0.5,
        "prompt_fraction": 0.5,
        "eval_fraction": 0.0,
        "lora_rank": 4,
        "lora_alpha": 8,
        "save_strategy": "steps",
        "save_steps": 1,
    }
    return TrainingRun(root / "runs" / name, defaults | options, launcher)


@pytest.fixture(scope="module")
def quiet(make: Make) -> TrainingRun:
    return make("quiet").finish()


def test_checkpoints_hold_adapters_and_the_model_has_them_merged(quiet: TrainingRun, tiny_dir: Path) -> None:
    base, model = load_file(tiny_dir / "model.safetensors"), load(quiet.weights)
    checkpoint = load_file(list_checkpoints(quiet.folder)[0] / "model.safetensors")
    assert any("lora_A" in name for name in checkpoint)
    assert base.keys() == model.keys()
    changed = {name for name in base if not torch.equal(base[name], model[name])}
    assert changed
    assert all(name.split(".")[-2].endswith(("_proj", "fc1", "fc2")) for name in changed)


def test_a_resume_with_another_rank_is_refused(quiet: TrainingRun) -> None:
    assert find_checkpoint(quiet.folder, fingerprint_of(quiet))
    with pytest.raises(CheckpointError, match="lora_rank was 4 and is 8"):
        find_checkpoint(quiet.folder, fingerprint_of(quiet, lora_rank=8))


@pytest.mark.slow
def test_a_run_that_was_killed_publishes_the_same_weights(quiet: TrainingRun, make: Make) -> None:
    run = make("killed")
    run.interrupt(send(9, after=2))
    assert run.finish().weights == quiet.weights


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "batch_size", "num_accumulated"),
    [((), 1, 4), (TWO_PROCESSES, 2, 1)],  # FSDP refuses adapters
    ids=["batch 1 x accumulation 4", "two processes x batch 2"],
)
def test_losses_norms_and_weights_agree(
    quiet: TrainingRun, make: Make, launcher: tuple[str, ...], batch_size: int, num_accumulated: int
) -> None:
    layout = {"per_device_train_batch_size": batch_size, "gradient_accumulation_steps": num_accumulated}
    run = make(f"{len(launcher)}-{batch_size}", launcher, **layout).finish()
    assert len(run.curve) == 6
    for row, same_row in zip(run.curve, quiet.curve, strict=True):
        assert row == pytest.approx(same_row, rel=1e-5)
    torch.testing.assert_close(load(run.weights), load(quiet.weights), rtol=0, atol=1e-6)
