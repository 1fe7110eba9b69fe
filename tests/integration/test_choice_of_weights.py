"""Which weights a run releases, and that it releases none that are no better than the base model's."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, load_file
from training_runs import REPOSITORY, TrainingRun, send, write_recording

from recipe.model.tiny import build_tiny_whisper
from recipe.training.weight_selection import ALPHAS

TWO_PROCESSES = (
    *(sys.executable, "-m", "accelerate.commands.launch", "--config_file"),
    str(REPOSITORY / "accelerate_configs" / "cpu_two_processes.yaml"),
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("choice")
    (root / "data").mkdir()
    for number in range(3):
        write_recording(root / "data" / f"tones-{number}", 6, seed=number)
    build_tiny_whisper(root / "tiny")
    return root


def make_run(root: Path, name: str, launcher: tuple[str, ...] = (sys.executable,), **options: object):
    defaults = {
        "data_dir": root / "data",
        "model_name_or_path": root / "tiny",
        "language": "en",
        "num_train_epochs": 4,
        "per_device_train_batch_size": 2,
        "learning_rate": 1e-3,
        "eval_fraction": 0.3,
        "eval_strategy": "no",  # the trained weights are the last ones, not those of the best epoch
        "average_checkpoints": 2,
    }
    return TrainingRun(root / "runs" / name, defaults | options, launcher)


@pytest.fixture(scope="module")
def quiet(root: Path) -> TrainingRun:
    return make_run(root, "quiet", publish_if_worse=True).finish()  # chance made the model


def test_the_report_the_event_the_card_and_the_result_tell_the_same_choice(quiet: TrainingRun) -> None:
    choice = quiet.read("report.json")["choice"]
    assert [c["alpha"] for c in choice["candidates"]] == [0.0, *ALPHAS, 1.0, 1.0]
    assert {c["end"] for c in choice["candidates"]} == {"trained", "average"}
    assert quiet.read("result.json")["evaluation"]["choice"] == choice
    assert quiet.read("model/training_metadata.json")["choice"] == choice
    assert [e["choice"] for e in quiet.events if e["status"] == "evaluation_completed"] == [choice]
    card = (quiet.folder / "model" / "README.md").read_text()
    assert f"| {choice['loss']:.4f} | {choice['num_errors']} |" in card


def test_the_released_weights_are_those_of_the_choice(quiet: TrainingRun, root: Path) -> None:
    choice = quiet.read("report.json")["choice"]
    base = load_file(root / "tiny" / "model.safetensors")
    updates = [int(path.name.removeprefix("checkpoint-")) for path in (quiet.folder / "averaged").iterdir()]
    ends = [load_file(quiet.folder / f"averaged/checkpoint-{u}/model.safetensors") for u in updates]
    if choice["end"] == "trained":
        ends = [ends[updates.index(max(updates))]]
    for name, weight in load(quiet.weights).items():
        end = torch.stack([weights[name] for weights in ends]).mean(0)
        expected = (1 - choice["alpha"]) * base[name] + choice["alpha"] * end
        torch.testing.assert_close(weight, expected, rtol=0, atol=1e-6, msg=name)


@pytest.mark.slow
def test_two_processes_choose_the_same(quiet: TrainingRun, root: Path) -> None:
    run = make_run(root, "two", TWO_PROCESSES, per_device_train_batch_size=1).finish()
    ours, theirs = run.read("report.json")["choice"], quiet.read("report.json")["choice"]
    assert (ours["end"], ours["alpha"]) == (theirs["end"], theirs["alpha"])
    for one, other in zip(ours["candidates"], theirs["candidates"], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-5)


@pytest.mark.slow
def test_a_run_killed_before_and_after_its_choice_releases_the_same_weights(
    quiet: TrainingRun, root: Path
) -> None:
    run = make_run(root, "killed", publish_if_worse=True, save_strategy="steps", save_steps=1)
    last = max(int(path.name.removeprefix("checkpoint-")) for path in (quiet.folder / "averaged").iterdir())
    run.interrupt(send(9, after=last - 1))
    run.interrupt(send(9, after=last, delay_seconds=0.1))
    run.finish()
    assert run.weights == quiet.weights
    assert run.read("report.json")["choice"] == quiet.read("report.json")["choice"]


@pytest.fixture(scope="module")
def no_better(root: Path) -> TrainingRun:
    return make_run(root, "same", learning_rate=1e-30, average_checkpoints=0, num_train_epochs=1).finish()


def test_a_model_that_is_no_better_is_not_released(no_better: TrainingRun) -> None:
    run = no_better
    assert not (run.folder / "model").exists()
    result = run.read("result.json")
    assert result["status"] == "completed"
    assert result["artifacts"]["model_path"] == ""
    assert "no better than the base model" in result["message"]
    assert any("No model was released" in warning for warning in result["warnings"])
    assert "No model was released" in run.output
    assert run.read("report.json")["choice"]["is_better_than_base"] is False
    statuses = [event["status"] for event in run.events]
    assert "saving_model" not in statuses
    assert statuses[-1] == "completed"


@pytest.mark.slow
def test_the_same_command_told_to_publish_releases_it(no_better: TrainingRun) -> None:
    told = TrainingRun(no_better.folder, {**no_better.options, "publish_if_worse": True}).finish()
    assert told.read("result.json")["artifacts"]["model_path"] == str(told.folder / "model")
    assert "no better than the base model" in (told.folder / "model" / "README.md").read_text()
