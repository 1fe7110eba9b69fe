"""Whisper's own normalisation in a whole run: named with the figures, refused where it lacks its table."""

import json

from training_runs import TrainingRun, run_script, write_recording


def make_run(folder, tiny_dir, language: str) -> TrainingRun:
    (folder / "data").mkdir()
    for number in range(3):
        write_recording(folder / "data" / f"tones-{number}", 3, seed=number)
    options = {"data_dir": folder / "data", "model_name_or_path": tiny_dir, "language": language}
    options |= {
        "normalizer": "whisper",
        "publish_if_worse": True,
        "eval_fraction": 0.5,
        "learning_rate": 1e-3,
    }
    return TrainingRun(folder / "run", options)


def test_the_normaliser_is_named_with_the_figures_and_the_script_takes_it_too(tiny_dir, tmp_path):
    run = make_run(tmp_path, tiny_dir, "fr").finish()
    report = run.read("report.json")
    assert report["normalizer"] == run.read("result.json")["evaluation"]["normalizer"] == "whisper"
    assert "by Whisper's own normalisation" in (run.folder / "model" / "README.md").read_text()
    assert "Whisper&#39;s own normalisation" in (run.folder / "report.html").read_text()
    answer = tmp_path / "answer.json"
    given = ("--model", run.folder / "model", "--data_dir", tmp_path / "data", "--json", answer)
    run_script("scripts/evaluate_wer.py", *given, "--report", run.folder / "report.json")
    figures = json.loads(answer.read_text())
    assert figures["normalizer"] == "whisper"
    assert figures["wer_normalized"] == report["wer_normalized_after"]


def test_english_without_the_table_of_spellings_is_refused_before_training(tiny_dir, tmp_path):
    run = make_run(tmp_path, tiny_dir, "en")
    assert run.attempt() == 1
    assert "Copy normalizer.json of openai/whisper-base there" in run.read("error.json")["error"]
    assert not list(run.folder.glob("checkpoint-*"))
