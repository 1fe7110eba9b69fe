"""Which weights a run publishes, and that it publishes none that are no better than the base model's."""

import html
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, load_file
from training_runs import TWO_PROCESSES, TrainingRun, run_script, send, write_recording

from recipe.training.attempt import NOTHING_PUBLISHED
from recipe.training.checkpoints import list_checkpoints
from recipe.training.weight_selection import ALPHAS

NOT_LOWER = "The trained model is not shown to be better: "

Make = Callable[..., TrainingRun]


@pytest.fixture(scope="module")
def make(tiny_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A run by name and options, on six recordings."""
    root = tmp_path_factory.mktemp("weights")
    (root / "data").mkdir()
    for number in range(6):
        write_recording(root / "data" / f"tones-{number}", 6, seed=number)
    return partial(make_run, root, tiny_dir)


def make_run(root: Path, tiny_dir: Path, name: str, launcher: tuple[str, ...] = (), **options: object):
    defaults = {
        "data_dir": root / "data",
        "model_name_or_path": tiny_dir,
        "language": "en",
        "num_train_epochs": 4,
        "per_device_train_batch_size": 2,
        "learning_rate": 1e-3,
        "eval_fraction": 0.3,
        "eval_strategy": "no",  # the trained weights are the last ones, not those of the best epoch
    }
    return TrainingRun(root / "runs" / name, defaults | options, launcher)


@pytest.fixture(scope="module")
def quiet(make: Make) -> TrainingRun:
    return make("quiet", publish_if_worse=True).finish()  # chance made the model


def test_the_report_the_event_the_card_and_the_result_tell_the_same_selection(quiet: TrainingRun) -> None:
    selection = quiet.read("report.json")["weight_selection"]
    assert [c["alpha"] for c in selection["candidates"]] == [0.0, *ALPHAS, 1.0]
    assert quiet.read("result.json")["evaluation"]["weight_selection"] == selection
    assert quiet.read("model/training_metadata.json")["weight_selection"] == selection
    completed = [event for event in quiet.events if event["status"] == "evaluation_completed"]
    assert [event["weight_selection"] for event in completed] == [selection]
    card = (quiet.folder / "model" / "README.md").read_text()
    assert f"| {selection['loss']:.4f} | {selection['num_errors']} |" in card


def test_console_page_event_and_card_say_the_same_sentence(quiet: TrainingRun) -> None:
    [sentence] = [e["comparison"]["sentence"] for e in quiet.events if e["status"] == "evaluation_completed"]
    page = html.unescape((quiet.folder / "report.html").read_text())
    assert sentence in page
    assert sentence in (quiet.folder / "model" / "README.md").read_text()
    assert sentence in quiet.output
    assert sentence in quiet.read("result.json")["message"]


def test_the_selection_tells_where_it_is_and_the_job_ends_with_the_test_part(quiet: TrainingRun) -> None:
    told = [event for event in quiet.events if event["status"] == "stage_progress"]
    tasks = [event["task"] for event in told if event["stage"] == "evaluate_after"]
    assert tasks[0] == "transcribe validation"
    assert "select weights" in tasks
    assert tasks[-1] == "transcribe test"
    base = next(event for event in quiet.events if event["status"] == "base_evaluated")
    assert base["validation"].keys() == base["test"].keys() >= {"wer", "wer_normalized", "num_windows"}
    (*_, last) = (event for event in quiet.events if event["status"] == "training_progress")
    assert last["eta_seconds"] == 0.0, "nothing is evaluated at the end of an epoch"
    assert last["job_eta_seconds"] > 0.0


def test_the_published_weights_are_the_selected_ones(quiet: TrainingRun, tiny_dir: Path) -> None:
    alpha = quiet.read("report.json")["weight_selection"]["alpha"]
    base = load_file(tiny_dir / "model.safetensors")
    trained = load_file(list_checkpoints(quiet.folder)[0] / "model.safetensors")
    for name, weight in load(quiet.weights).items():
        expected = (1 - alpha) * base[name] + alpha * trained[name]
        assert weight.dtype == torch.float16
        torch.testing.assert_close(weight.float(), expected, rtol=2**-11, atol=1e-6, msg=name)


def test_all_that_tells_of_the_dtype_tells_the_same(quiet: TrainingRun) -> None:
    result = quiet.read("result.json")
    dtype = result["evaluation"]["dtype"]
    assert dtype["name"] == "float16"
    assert "the loss on the validation windows is" in dtype["sentence"]
    assert result["artifacts"]["model_dtype"] == quiet.read("model/config.json")["dtype"] == "float16"
    sizes = dtype["num_bytes"], result["artifacts"]["model_bytes"]
    assert sizes == (sum(weight.nbytes for weight in load(quiet.weights).values()),) * 2
    assert quiet.read("model/training_metadata.json")["dtype"] == "float16"
    assert dtype["sentence"] in (quiet.folder / "model" / "README.md").read_text()
    assert quiet.read("report.json")["dtype"] == dtype


def test_the_test_figure_is_of_the_weights_that_are_shipped(quiet: TrainingRun, tmp_path: Path) -> None:
    again, report = tmp_path / "again.json", quiet.folder / "report.json"
    given = ["--model", quiet.folder / "model", "--data_dir", quiet.options["data_dir"], "--report", report]
    run_script("scripts/evaluate_wer.py", *given, "--json", again)
    figures, told = json.loads(again.read_text()), quiet.read("report.json")["after"]
    assert figures["worst_windows"] == told["worst_windows"]


@pytest.mark.slow
def test_two_processes_select_the_same(quiet: TrainingRun, make: Make) -> None:
    run = make("two", TWO_PROCESSES, per_device_train_batch_size=1, publish_if_worse=True).finish()
    ours, theirs = (each.read("report.json")["weight_selection"] for each in (run, quiet))
    assert ours["alpha"] == theirs["alpha"]
    for one, other in zip(ours["candidates"], theirs["candidates"], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-5)


@pytest.mark.slow
def test_a_run_killed_before_and_after_the_selection_publishes_the_same_weights(
    quiet: TrainingRun, make: Make
) -> None:
    run = make("killed", publish_if_worse=True, save_strategy="steps", save_steps=1)
    last = quiet.num_updates_saved()
    run.interrupt(send(9, after=last - 1))
    run.interrupt(send(9, after=last, delay_seconds=0.1))
    run.finish()
    assert run.weights == quiet.weights
    selections = [each.read("report.json")["weight_selection"] for each in (run, quiet)]
    assert selections[0] == selections[1]


@pytest.fixture(scope="module")
def no_better(make: Make) -> TrainingRun:
    run = make("same", learning_rate=1e-30, num_train_epochs=1)
    assert run.attempt() == NOTHING_PUBLISHED
    return run


def test_a_model_that_is_no_better_is_not_published(no_better: TrainingRun) -> None:
    run = no_better
    assert not (run.folder / "model").exists()
    result = run.read("result.json")
    assert result["status"] == "completed"
    assert result["artifacts"]["model_path"] == ""
    assert NOT_LOWER in result["message"]
    assert any("It is not published" in warning for warning in result["warnings"])
    assert "It is not published" in run.output
    assert run.read("report.json")["comparison"]["verdict"] == "not shown to be better"
    statuses = [event["status"] for event in run.events]
    assert "saving_model" not in statuses
    assert statuses[-1] == "completed"


def test_the_same_command_again_says_that_nothing_was_published(no_better: TrainingRun) -> None:
    before, events = no_better.output, no_better.events
    assert no_better.attempt() == NOTHING_PUBLISHED
    [line] = no_better.output.removeprefix(before).splitlines()
    assert "is finished already, it published no model" in line
    assert no_better.events == events


@pytest.mark.slow
def test_the_same_command_told_to_publish_does(no_better: TrainingRun) -> None:
    before = no_better.output
    told = TrainingRun(no_better.folder, {**no_better.options, "publish_if_worse": True}).finish()
    assert "is ignored" not in told.output.removeprefix(before)
    assert told.read("result.json")["artifacts"]["model_path"] == str(told.folder / "model")
    assert "no better than the base model" in (told.folder / "model" / "README.md").read_text()
