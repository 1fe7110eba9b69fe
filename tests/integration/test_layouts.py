"""The mathematics of an update does not depend on how its windows are laid out."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load
from training_runs import (
    REPOSITORY,
    TWO_PROCESSES,
    TrainingRun,
    clean_environment,
    fingerprint_of,
    launch_on_cpu,
    run_script,
    send,
    write_recording,
)

from recipe.errors import CheckpointError
from recipe.training.checkpoints import find_checkpoint, list_checkpoints

LAYOUTS = {
    "batch 4": ((), 4, 1),
    "batch 1 x accumulation 4": ((), 1, 4),
    "two processes x batch 2": (TWO_PROCESSES, 2, 1),
    "two processes, FSDP x batch 2": ("fsdp", 2, 1),
}
TOLERANCE = {
    "two processes, FSDP x batch 2": 1e-5
}  # it sums up norms in another order, and Adam passes that on

PEER = "plain `Seq2SeqTrainer`"

Make = Callable[..., TrainingRun]
Train = Callable[[str, float], TrainingRun]


@pytest.fixture(scope="module")
def make(tiny_dir: Path, tones_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A run by layout, label smoothing and options."""
    return partial(make_run, tmp_path_factory.mktemp("layouts"), tones_dir, tiny_dir)


@pytest.fixture(scope="module")
def train(make: Make) -> Train:
    """Trains in one of the layouts, once for each label smoothing."""
    return cache(lambda layout, label_smoothing: make(layout, label_smoothing).finish())


def make_run(
    root: Path, data_dir: Path, model_dir: Path, layout: str, label_smoothing: float = 0.0, **options: object
) -> TrainingRun:
    launcher, batch_size, accumulation_steps = LAYOUTS[layout]
    if isinstance(launcher, str):
        launcher = launch_on_cpu(launcher, root)
    defaults = {
        "data_dir": data_dir,
        "model_name_or_path": model_dir,
        "language": "en",
        "num_train_epochs": 3,
        "per_device_train_batch_size": batch_size,
        "gradient_accumulation_steps": accumulation_steps,
        "label_smoothing_factor": label_smoothing,
        "learning_rate": 1e-3,
        "max_grad_norm": 0.5,  # below the norms that come: clipping shows a wrong scale
        "timestamp_fraction": 0.5,
        "prompt_fraction": 0.5,
        "eval_fraction": 0.0,
    }
    name = f"{layout}-{label_smoothing}-{len(options)}".replace(" ", "-")
    return TrainingRun(root / "runs" / name, defaults | options, launcher)


@pytest.mark.parametrize(
    "label_smoothing", [0.0, pytest.param(0.1, marks=pytest.mark.slow)], ids=["plain", "smoothed"]
)
@pytest.mark.parametrize(
    "layout", [pytest.param("batch 1 x accumulation 4", marks=pytest.mark.slow), "two processes x batch 2"]
)
def test_losses_norms_and_weights_agree(layout: str, label_smoothing: float, train: Train) -> None:
    reference, run = train("batch 4", label_smoothing), train(layout, label_smoothing)
    assert len(run.curve) == len(reference.curve) == 6
    for (step, loss, norm), (same_step, same_loss, same_norm) in zip(run.curve, reference.curve, strict=True):
        assert step == same_step
        assert loss == pytest.approx(same_loss, rel=TOLERANCE.get(layout, 1e-6))
        assert norm == pytest.approx(same_norm, rel=TOLERANCE.get(layout, 1e-6))
    assert min(norm for _, _, norm in run.curve) > 0.5, "every update was clipped"
    weights, same_weights = load(run.weights), load(reference.weights)
    for name, weight in weights.items():
        torch.testing.assert_close(weight, same_weights[name], rtol=0, atol=1e-6, msg=name)


def test_the_two_processes_are_one_training(train: Train) -> None:
    run = train("two processes x batch 2", 0.0)
    fingerprint = run.read(f"{list_checkpoints(run.folder)[0].name}/complete.json")["fingerprint"]
    assert fingerprint["num_processes"] == 2
    assert [event["status"] for event in run.events].count("completed") == 1


@pytest.fixture(scope="module")
def half_done(make: Make) -> TrainingRun:
    run = make("batch 4", save_strategy="steps", save_steps=1)
    run.interrupt(send(9, after=2))
    return run


def test_a_resume_with_other_settings_and_data_is_refused_with_a_sentence(
    half_done: TrainingRun, tmp_path: Path
) -> None:
    write_recording(tmp_path / "tones", 2, seed=1)
    changes = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "data_dir": tmp_path}
    assert replace(half_done, options={**half_done.options, **changes}).attempt() == 1
    error = half_done.read("error.json")
    assert error["error_type"] == "CheckpointError"
    assert "batch_size was 4 and is 2; dataset was " in error["error"]
    assert "; gradient_accumulation_steps was 1 and is 2" in error["error"]
    assert "or another output_dir" in error["error"]
    assert not (half_done.folder / "model").exists()


def test_the_same_command_may_go_on(half_done: TrainingRun) -> None:
    found = find_checkpoint(half_done.folder, fingerprint_of(half_done))
    assert found == half_done.folder / f"checkpoint-{half_done.num_updates_saved()}"


CHANGES: dict[str, tuple[object, str]] = {
    "per_device_train_batch_size": (2, "batch_size was 4 and is 2"),
    "gradient_accumulation_steps": (2, "gradient_accumulation_steps was 1 and is 2"),
    "num_train_epochs": (4, "epochs was 3.0 and is 4.0"),
    "learning_rate": (1e-4, "learning_rate was 0.001 and is 0.0001"),
    "seed": (1, "seed was 42 and is 1"),
    "optim": ("adafactor", "optim was 'adamw_torch_fused' and is 'adafactor'"),
    "model_name_or_path": ("other", "and is 'other'"),
    "lora_rank": (4, "lora_rank was 0 and is 4"),
    "freeze_encoder": (True, "freeze_encoder was False and is True"),
    "keep_encoder_states": (False, "keep_encoder_states was True and is False"),
    "timestamp_fraction": (0.4, "views was [0.5, 0.5, "),
    "glossary_fraction": (0.4, "glossary was [0.0] and is [0.4, 1.0, "),
    "speed_fraction": (0.4, "augmentation was "),
    "channel_fraction": (0.4, "augmentation was "),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_setting_that_shapes_the_weights_refuses_a_resume(name: str, half_done: TrainingRun) -> None:
    value, sentence = CHANGES[name]
    with pytest.raises(CheckpointError) as refusal:
        find_checkpoint(half_done.folder, fingerprint_of(half_done, **{name: value}))
    assert sentence in str(refusal.value)
    assert ";" not in str(refusal.value), "nothing else was changed"


Curves = dict[str, dict[str, list[list[float]]]]


@pytest.fixture(scope="module", params=["", pytest.param("all", marks=pytest.mark.slow)], ids=["two", "all"])
def curves(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Curves:
    """Losses and norms of each option, in the layouts that differ most or in all of the README's table."""
    path = tmp_path_factory.mktemp("exactness") / "curves.json"
    if request.param != "all":
        run_script("tests/support/layout_curves.py", path, "2x1x2", "1x4x1", "1x1x4")
        return dict(json.loads(path.read_text()))
    command = [sys.executable, "-m", "scripts.benchmarks.exactness", "--json", str(path)]
    output = subprocess.run(
        command, cwd=REPOSITORY, env=clean_environment(), check=True, timeout=600, stdout=subprocess.PIPE
    ).stdout.decode()
    curves: Curves = json.loads(path.read_text())
    assert len(curves["plain"]) == 5
    assert "| plain | " in output
    return curves


def test_every_option_gives_the_same_losses_and_norms_in_every_layout(curves: Curves) -> None:
    for option in set(curves) - {PEER}:
        for layout, curve in curves[option].items():
            assert len(curve) == 2, "the second update has a window that fills up"
            for figures, expected in zip(curve, curves[option]["1x4x1"], strict=True):
                assert figures == pytest.approx(expected, rel=1e-5), f"{option}, {layout}"


def test_every_option_changes_what_it_should(curves: Curves) -> None:
    first_norms = {option: by_layout["1x4x1"][0][1] for option, by_layout in curves.items()}
    plain = first_norms.pop("plain")
    assert min(first_norms.values()) > 0.5, "every update was clipped"
    assert first_norms.pop("activation checkpointing") == pytest.approx(plain, rel=1e-6)
    for option, norm in first_norms.items():
        assert norm != pytest.approx(plain, rel=2e-6), option


def test_the_plain_trainer_still_scales_loss_and_gradient_by_the_layout(curves: Curves) -> None:
    """If this fails, an upgrade has mended transformers: see whether `token_loss` is still needed."""
    (loss, norm), (loss_in_parts, norm_in_parts) = (curves[PEER][name][0] for name in ("1x4x1", "1x1x4"))
    assert loss_in_parts / loss == pytest.approx(4, rel=0.1)
    assert norm_in_parts / norm == pytest.approx(4, rel=0.1)
