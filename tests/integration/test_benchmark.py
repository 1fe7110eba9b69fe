"""The benchmark at toy size: a tiny random model, recordings of tones."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training_runs import REPOSITORY, clean_environment, write_recording
from transformers import WhisperProcessor

from recipe.captions.reader import Cue, format_webvtt, read_captions
from recipe.data.dataset import PreparedDataset
from recipe.data.sources import list_recordings
from recipe.evaluation.metrics import ErrorCounts
from recipe.model.tiny import build_tiny_whisper
from scripts.benchmarks.usual_recipe.cues import isolate_cues, merge_cues, write_long_cues
from scripts.benchmarks.usual_recipe.measurements import (
    FEATURES_FILE,
    Measurement,
    Settings,
    describe_checkpoint,
    measure_errors,
    measure_preparation,
    measure_training,
    prepare_windows,
    select_cues,
)
from scripts.benchmarks.usual_recipe.recipe import Collator, list_cues
from scripts.benchmarks.usual_recipe.report import Panel, Point, read_curve, time_to, update_rate

NUM_CUES = 8
NUM_RECORDINGS = 3


@pytest.fixture(scope="module")
def toy_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`data/`, three recordings of eight cues, and `model/`."""
    folder = tmp_path_factory.mktemp("benchmark")
    (folder / "data").mkdir()
    for number in range(NUM_RECORDINGS):
        write_recording(folder / "data" / f"talk-{number}", NUM_CUES, seed=number)
    build_tiny_whisper(folder / "model")
    return folder


@pytest.fixture(scope="module")
def ours(toy_dir: Path) -> Measurement:
    """The training of this recipe, prepared."""
    settings = Settings(
        model=str(toy_dir / "model"),
        language="en",
        batch_size=2,
        learning_rate=1e-3,
        warmup_steps=1,
        eval_fraction=0.34,
        single_cue_fraction=0.1,
        num_threads=1,
        budgets=(0.1, 0.3),
    )
    measurement = Measurement(settings, toy_dir, toy_dir / "data", "train", "ours")
    measure_preparation(measurement)
    return measurement


@pytest.fixture(scope="module")
def usual(ours: Measurement) -> Measurement:
    """The training of the usual recipe, prepared."""
    measurement = replace(ours, recipe="usual")
    measure_preparation(measurement)
    return measurement


def prepare(measurement: Measurement) -> PreparedDataset:
    return prepare_windows(measurement, describe_checkpoint(measurement.settings.model))


def test_disk_space_counts_rows_and_sounds(ours: Measurement) -> None:
    figures = measure_preparation(ours)
    (shards,) = ours.prepared_dir("ours").rglob("shards")
    sounds, rows = (
        sum(path.stat().st_size for path in shards.glob(f"*.{kind}")) for kind in ("tar", "arrow")
    )
    assert min(sounds, rows) > 0
    assert figures["num_bytes"] >= sounds + rows


def test_the_usual_recipe_trains_every_cue_of_the_recordings_that_are_not_held_out(
    ours: Measurement, usual: Measurement
) -> None:
    data = prepare(ours)
    cues = select_cues(usual, data.report["validation"] + data.report["test"])
    assert set(cues["recording"]) == set(data.train["recording"])
    assert set(cues["recording"]).isdisjoint(data.test["recording"])
    assert len(cues) == len(set(cues["recording"])) * NUM_CUES
    assert (usual.prepared_dir("usual") / FEATURES_FILE).exists()


def test_the_usual_labels_are_the_prefix_the_text_and_the_end_and_nothing_of_the_padding(
    usual: Measurement,
) -> None:
    processor = WhisperProcessor.from_pretrained(usual.settings.model)
    tokenizer = processor.tokenizer
    tokenizer.set_prefix_tokens(language="en", task="transcribe")
    texts = ["A tone.", "A much longer tone."]
    frames = torch.zeros(80, 3000).tolist()
    rows = [{"input_features": frames, "labels": tokenizer(f" {text}").input_ids} for text in texts]
    batch = Collator(processor, tokenizer.convert_tokens_to_ids("<|startoftranscript|>"))(rows)
    for text, labels in zip(texts, batch["labels"].tolist(), strict=True):
        kept = [label for label in labels if label != -100]
        assert tokenizer.decode(kept) == f"<|en|><|transcribe|><|notimestamps|> {text}<|endoftext|>"
        assert labels == kept + [-100] * (len(labels) - len(kept))
    assert batch["input_features"].shape == (2, 80, 3000)


def test_both_recipes_train_until_each_budget_is_spent_and_leave_its_weights(
    ours: Measurement, usual: Measurement
) -> None:
    for measurement in (ours, usual):
        figures = measure_training(measurement)
        spent = figures["compute_seconds"]
        for budget in measurement.budgets:
            num_updates = figures["updates_at_budget"][f"{budget:g}"]
            assert spent[num_updates - 1] >= budget
            assert num_updates == 1 or spent[num_updates - 2] < budget
            assert measurement.weights_file(budget).exists()
        assert len(spent) == figures["updates_at_budget"]["0.3"]


def test_an_example_of_ours_shows_more_speech_than_one_cue(ours: Measurement, usual: Measurement) -> None:
    briefly = replace(ours.settings, budgets=(0.01,))
    packed, single = (
        measure_training(replace(measurement, settings=briefly)) for measurement in (ours, usual)
    )
    assert single["speech_seconds_per_example"] == 7.0
    assert 14.0 < packed["speech_seconds_per_example"] <= 28.0


def test_errors_are_counted_on_the_same_words_as_windows_and_as_single_cues(ours: Measurement) -> None:
    figures = measure_errors(ours)
    sums = {
        name: sum((ErrorCounts(**count) for count in counts["written"]), ErrorCounts()).num_reference
        for name, counts in figures.items()
    }
    assert sums["windows"] == sums["single_cues"] > 0
    assert len(figures["single_cues"]["written"]) == NUM_CUES


def test_a_cue_alone_is_its_part_of_the_windows_audio(ours: Measurement) -> None:
    for cue in isolate_cues(prepare(ours).test):
        assert cue["end_ms"] - cue["start_ms"] == 7_000
        assert [segment["start_ms"] for segment in cue["segments"]] == [0]


def test_long_cues_have_the_same_words_in_fewer_cues_of_at_most_29_seconds(
    toy_dir: Path, tmp_path: Path
) -> None:
    folder = write_long_cues(toy_dir / "data", tmp_path)
    for path in sorted((toy_dir / "data").glob("*.vtt")):
        before, after = read_captions(path).cues, read_captions(folder / path.name).cues
        assert " ".join(cue.text for cue in after) == " ".join(cue.text for cue in before)
        assert [cue.end_ms - cue.start_ms for cue in after] == [28_000, 28_000]


def test_a_cue_that_is_long_already_stays_as_it_is() -> None:
    cues = [Cue("", 0, 29_500, "long", "long"), Cue("", 30_000, 31_000, "short", "short")]
    assert [cue.text for cue in merge_cues(cues)] == ["long", "short"]


def test_cues_over_30_seconds_are_left_out_of_the_usual_recipe(tmp_path: Path) -> None:
    write_recording(tmp_path / "talk", 5)
    cues = [Cue("", 0, 31_000, "long", "long"), Cue("", 31_000, 33_000, "short", "short")]
    (tmp_path / "talk.vtt").write_text(format_webvtt(cues))
    assert list_cues(list_recordings(tmp_path))["text"][:] == ["short"]


def counts(*errors: int) -> list[ErrorCounts]:
    return [ErrorCounts(num_hits=10 - error, num_substitutions=error) for error in errors]


def test_the_time_to_a_rate_lies_on_the_line_between_two_points() -> None:
    curve = [Point(at, at, counts(errors), [errors / 10]) for at, errors in ((0, 5), (10, 3), (20, 2))]
    assert time_to(curve, 0.4) == pytest.approx(5)
    assert time_to(curve, 0.2) == pytest.approx(20)
    assert time_to(curve, 0.1) is None


def test_a_seed_that_only_one_recipe_has_is_in_no_point() -> None:
    def evaluate(*errors: int) -> dict[str, Any]:
        return {"windows": {"normalized": [asdict(count) for count in counts(*errors)]}}

    training = {"compute_seconds": [30.0, 61.0], "updates_at_budget": {"60": 2}}
    figures = {f"train/short/{recipe}/{seed}": training for recipe in ("ours", "usual") for seed in (1, 2)}
    figures |= {f"evaluate/short/{recipe}/1/60": evaluate(3, 3) for recipe in ("ours", "usual")}
    figures |= {"evaluate/short/base/1": evaluate(5, 5), "evaluate/short/ours/2/60": evaluate(9, 9)}
    results = {"figures": figures, "settings": {"budgets": [60.0]}}
    for recipe in ("ours", "usual"):
        point = read_curve(results, recipe, Panel("windows", "normalized"))[-1]
        assert point.rates == [0.3]
        assert point.seconds == 61.0


def test_speed_leaves_out_the_first_update() -> None:
    assert update_rate({"compute_seconds": [9.0, 10.0, 11.0], "examples_per_update": 4}) == 4.0
    assert update_rate({"compute_seconds": [2.0], "examples_per_update": 4}) == 2.0


@pytest.mark.slow
@pytest.mark.parametrize("mode", [["--quick"], []], ids=["quick", "full"])
def test_the_script_measures_prints_its_tables_and_resumes(
    mode: list[str], toy_dir: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "scripts.benchmarks.usual_recipe", *mode, "--workdir", str(tmp_path)]
    command += ["--data_dir", str(toy_dir / "data"), "--model", str(toy_dir / "model"), "--language", "en"]
    command += ["--seeds", "1", "--budgets", "0.3", "--eval_fraction", "0.34"]
    output = run(command)
    assert "speech seconds trained per compute second" in output
    assert ("Held-out WER" in output) == ("merged into cues of" in output) == (not mode)
    assert (tmp_path / "benchmark.png").exists() == (not mode)
    results: Mapping[str, Any] = json.loads((tmp_path / "results.json").read_text())
    assert "measuring" not in run([*command, "--resume"])
    assert json.loads((tmp_path / "results.json").read_text())["figures"] == results["figures"]


def run(command: list[str]) -> str:
    """What it prints, errors included."""
    result = subprocess.run(
        command,
        cwd=REPOSITORY,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=clean_environment(),
    )
    assert result.returncode == 0, result.stdout
    return result.stdout
