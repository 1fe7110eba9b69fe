"""The long form in whole runs, in the script, and on real weights and real speech."""

import json
from pathlib import Path

import pytest
import torch
from training_runs import TWO_PROCESSES, TrainingRun, run_script, write_recording

from recipe.arguments import ModelArguments
from recipe.evaluation.ctranslate import write_converted
from recipe.model.whisper import load_whisper

FIGURES = ("wer_normalized", "start_error_median_ms", "words_on_silence", "num_loops", "real_time_factor")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tones")
    for number in range(3):
        write_recording(folder / f"tones-{number}", 3, seed=number)
    return folder


def make_run(folder: Path, data_dir: Path, tiny_dir: Path, launcher: tuple[str, ...] = (), **more: object):
    options = {"data_dir": data_dir, "model_name_or_path": tiny_dir, "language": "en", "long_form": "on"}
    options |= {"learning_rate": 1e-3, "eval_fraction": 0.5, "publish_if_worse": True}
    return TrainingRun(folder, options | more, launcher).finish()


@pytest.fixture(scope="module")
def run(data_dir, tiny_dir, tmp_path_factory) -> TrainingRun:
    return make_run(tmp_path_factory.mktemp("runs") / "run", data_dir, tiny_dir)


def test_report_result_card_and_metadata_tell_the_same_figures(run):
    told = run.read("report.json")["long_form"]
    assert told["settings"]["beam_size"] == 1
    result = run.read("result.json")["evaluation"]["long_form"]
    assert run.read("model/training_metadata.json")["long_form"] == result
    for side in ("before", "after"):
        assert {name: told[side][name] for name in FIGURES} == {name: result[side][name] for name in FIGURES}
        assert set(told[side]["recordings"]) <= {"tones-0", "tones-1", "tones-2"}
    assert told["comparison"] == result["comparison"]
    card = (run.folder / "model" / "README.md").read_text()
    assert (
        f"| WER, normalized | {told['before']['wer_normalized']:.2%} |" in card.split("Whole recordings")[1]
    )
    seconds = run.read("result.json")["seconds_by_stage"]
    assert min(seconds["long_form_before"], seconds["long_form_after"]) > 0


def test_word_times_are_told_and_the_heads_they_come_from_are_published(run):
    times = run.read("report.json")["long_form"]["word_times"]
    assert times["alignment_heads"] == run.read("model/generation_config.json")["alignment_heads"]
    assert times["before"]["num_cues"] == times["after"]["num_cues"] > 0
    card = (run.folder / "model" / "README.md").read_text()
    assert f"Word times at the starts of {times['after']['num_cues']} cues" in card


def evaluate(model: Path, data_dir: Path, answer: Path, *more: object) -> dict:
    given = ("--model", model, "--data_dir", data_dir, "--json", answer, "--long_form", *more)
    run_script("scripts/evaluate_wer.py", *given)
    return json.loads(answer.read_text())["long_form"]


def test_the_script_gets_the_published_models_figures_also_of_its_converted_folder(run, data_dir, tmp_path):
    told = run.read("report.json")["long_form"]["after"]
    report = ("--report", run.folder / "report.json")
    ours = evaluate(run.folder / "model", data_dir, tmp_path / "ours.json", *report)
    whisper = load_whisper(ModelArguments(str(run.folder / "model")))
    (tmp_path / "converted").mkdir()
    write_converted(whisper.model, whisper.processor, "float32", tmp_path / "converted")
    given = (*report, "--language", "en")
    converted = evaluate(tmp_path / "converted", data_dir, tmp_path / "converted.json", *given)
    for figures in (ours, converted):
        for name in ("wer", "cer", "start_error_median_ms", "num_segments", "words_on_noise"):
            assert figures[name] == told[name], name


@pytest.mark.slow
def test_of_two_processes_one_transcribes_for_both(run, data_dir, tiny_dir, tmp_path):
    two = make_run(tmp_path / "two", data_dir, tiny_dir, TWO_PROCESSES, per_device_train_batch_size=1)
    ours, theirs = (each.read("report.json")["long_form"]["before"] for each in (two, run))
    assert ours["recordings"].keys() == theirs["recordings"].keys()
    assert ours["wer"] == theirs["wer"]


@pytest.mark.slow
@pytest.mark.network
def test_real_speech_is_transcribed_whole_and_silence_is_silence(base_model_dir, corpus_fr_dir, tmp_path):
    torch.set_num_threads(1)
    for path in corpus_fr_dir.glob("*-fr-01.*"):
        (tmp_path / path.name).symlink_to(path)
    figures = evaluate(base_model_dir, tmp_path, tmp_path / "answer.json", "--language", "fr")
    assert figures["wer_normalized"] < 0.3
    assert figures["start_error_median_ms"] < 200
    assert figures["num_cues_without_start"] < 10
    assert {name: figures[f"words_on_{name}"] for name in ("silence", "noise", "music")} == {
        "silence": 0,
        "noise": 0,
        "music": 0,
    }
