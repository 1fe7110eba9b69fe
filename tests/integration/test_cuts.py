"""Test recordings in cuts of 30 seconds, as a run takes them, and the script with the same."""

import json
from pathlib import Path

import pytest
from training_runs import TWO_PROCESSES, TrainingRun, run_script, write_recording


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tones")
    for number in range(3):
        write_recording(folder / f"tones-{number}", 6, seed=number)
    return folder


def make_run(folder: Path, data_dir: Path, tiny_dir: Path, launcher: tuple[str, ...] = (), **more: object):
    options = {"data_dir": data_dir, "model_name_or_path": tiny_dir, "language": "en", "long_form": "cuts"}
    options |= {"learning_rate": 1e-3, "eval_fraction": 0.5, "publish_if_worse": True}
    return TrainingRun(folder, options | more, launcher).finish()


@pytest.fixture(scope="module")
def run(data_dir, tiny_dir, tmp_path_factory) -> TrainingRun:
    return make_run(tmp_path_factory.mktemp("runs") / "run", data_dir, tiny_dir)


def test_report_page_card_console_and_result_tell_the_same_figures(run):
    told = run.read("report.json")["long_form"]
    assert told["view"] == "cuts"
    assert told["settings"] == {"batch_size": 8, "engine": "transformers", "max_cuts": 120}
    assert told["audio_seconds"] == pytest.approx(42.5, abs=1), "a recording of 42 s in two cuts"
    assert "words_on_silence" not in told["before"]
    result = run.read("result.json")["evaluation"]["long_form"]
    assert run.read("model/training_metadata.json")["long_form"] == result
    assert result["comparison"] == told["comparison"]
    before, after = (told[side]["wer_normalized"] for side in ("before", "after"))
    row = f"| WER, normalized | {before:.2%} | {after:.2%} |"
    assert row in (run.folder / "model" / "README.md").read_text().split("## Cuts of 30 seconds")[1]
    assert "cut every 30 seconds" in (run.folder / "report.html").read_text()
    figures = f"{before:9.1%}{after:9.1%}"
    assert f"Words wrong, cuts of 30 s       {figures}" in run.output
    seconds = run.read("result.json")["seconds_by_stage"]
    assert min(seconds["long_form_before"], seconds["long_form_after"]) > 0
    tasks = {event.get("task") for event in run.events if event["status"] == "stage_progress"}
    assert "transcribe cuts" in tasks
    assert {path.name for path in (run.folder / "cached").glob("*long_form*")} == {
        "base_long_form.json",
        "published_long_form.json",
    }


def test_the_script_gets_the_published_models_figures(run, data_dir, tmp_path):
    answer = tmp_path / "answer.json"
    given = ("--model", run.folder / "model", "--data_dir", data_dir, "--json", answer)
    run_script(
        "scripts/evaluate_wer.py", *given, "--long_form", "cuts", "--report", run.folder / "report.json"
    )
    ours, told = json.loads(answer.read_text())["long_form"], run.read("report.json")["long_form"]["after"]
    for name in ("wer", "cer_normalized", "start_error_median_ms", "num_segments", "audio_seconds"):
        assert ours[name] == told[name], name


@pytest.mark.slow
def test_two_processes_share_the_cuts_and_write_the_same(run, data_dir, tiny_dir, tmp_path):
    two = make_run(tmp_path / "two", data_dir, tiny_dir, TWO_PROCESSES, per_device_train_batch_size=1)
    ours, theirs = (each.read("report.json")["long_form"]["before"] for each in (two, run))
    assert ours["recordings"].keys() == theirs["recordings"].keys()
    for name, item in ours["recordings"].items():
        assert item["hypothesis"] == theirs["recordings"][name]["hypothesis"]
