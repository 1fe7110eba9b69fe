"""The mathematics of an update does not depend on how its windows are laid out."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load
from training_runs import (
    REPOSITORY,
    TrainingRun,
    clean_environment,
    launch_on_cpu,
    make_site,
    send,
    write_recording,
)

from recipe.training.checkpoints import list_checkpoints

NUM_CUES = 26  # 7 windows: the second update of an epoch has three and one that fills up
TWO_PROCESSES = (
    *(sys.executable, "-m", "accelerate.commands.launch", "--config_file"),
    str(REPOSITORY / "accelerate_configs" / "cpu_two_processes.yaml"),
)
LAYOUTS = {
    "batch 4": ((sys.executable,), 4, 1),
    "batch 1 x accumulation 4": ((sys.executable,), 1, 4),
    "two processes x batch 2": (TWO_PROCESSES, 2, 1),
    "two processes, FSDP x batch 2": ("fsdp", 2, 1),
}
TOLERANCE = {
    "two processes, FSDP x batch 2": 1e-5
}  # it sums up norms in another order, and Adam passes that on

PEER = "plain `Seq2SeqTrainer`"

Train = Callable[[str, float], TrainingRun]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_site(tmp_path_factory.mktemp("layouts"), NUM_CUES)


@pytest.fixture(scope="module")
def train(root: Path) -> Train:
    """Trains in one of the layouts, once for each label smoothing."""
    finished: dict[tuple[str, float], TrainingRun] = {}

    def train_in(layout: str, label_smoothing: float) -> TrainingRun:
        key = (layout, label_smoothing)
        if key not in finished:
            finished[key] = make_run(root, layout, label_smoothing).finish()
        return finished[key]

    return train_in


def make_run(root: Path, layout: str, label_smoothing: float = 0.0, **options: object) -> TrainingRun:
    launcher, batch_size, accumulation_steps = LAYOUTS[layout]
    if isinstance(launcher, str):
        launcher = launch_on_cpu(launcher, root)
    defaults = {
        "data_dir": root / "data",
        "model_name_or_path": root / "tiny",
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
def half_done(root: Path) -> TrainingRun:
    run = make_run(root, "batch 4", save_strategy="steps", save_steps=1)
    run.interrupt(send(9, after=2))
    return run


def test_a_resume_in_another_layout_is_refused_with_a_sentence(half_done: TrainingRun) -> None:
    options = {**half_done.options, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    assert replace(half_done, options=options).attempt() == 1
    error = half_done.read("error.json")
    assert error["error_type"] == "CheckpointError"
    assert "batch_size was 4 and is 2; gradient_accumulation_steps was 1 and is 2" in error["error"]
    assert "or another output_dir" in error["error"]
    assert not (half_done.folder / "model").exists()


def test_a_resume_with_other_data_is_refused_with_a_sentence(half_done: TrainingRun, root: Path) -> None:
    (root / "other").mkdir()
    write_recording(root / "other" / "tones", NUM_CUES, seed=1)
    options = {**half_done.options, "data_dir": root / "other"}
    assert replace(half_done, options=options).attempt() == 1
    error = half_done.read("error.json")
    assert error["error_type"] == "CheckpointError"
    assert "dataset was " in error["error"]


Curves = dict[str, dict[str, list[list[float]]]]


@pytest.fixture(
    scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)], ids=["two processes", "four"]
)
def curves(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Curves:
    """Losses and norms of each option in each layout, as the README's table shows them."""
    path = tmp_path_factory.mktemp("exactness") / "curves.json"
    command = [sys.executable, "scripts/measure_exactness.py", "--json", str(path)]
    command += ["--max_processes", str(request.param)]
    output = subprocess.run(
        command, cwd=REPOSITORY, env=clean_environment(), check=True, timeout=600, stdout=subprocess.PIPE
    ).stdout.decode()
    curves: Curves = json.loads(path.read_text())
    assert len(curves["plain"]) == {2: 4, 4: 5}[request.param]
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
