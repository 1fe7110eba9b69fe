"""Other speech in a run: never trained, measured before and after, told alike, kept for a resume."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml
from training_runs import TWO_PROCESSES, TrainingRun, send, write_recording

Make = Callable[..., TrainingRun]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six recordings to train on, a set of six more, and a set that is too small to choose by."""
    root = tmp_path_factory.mktemp("other")
    for name, num_recordings, num_cues, first in (
        ("data", 6, 6, 0),
        ("news", 6, 24, 10),
        ("songs", 1, 6, 20),
    ):
        (root / name).mkdir()
        for number in range(num_recordings):
            write_recording(root / name / f"tones-{number}", num_cues, seed=first + number)
    return root


@pytest.fixture(scope="module")
def make(root: Path, tiny_dir: Path) -> Make:
    return partial(make_run, root, tiny_dir)


def make_run(root: Path, tiny_dir: Path, name: str, **options: object) -> TrainingRun:
    defaults = {
        "data_dir": str(root / "data"),
        "model_name_or_path": str(tiny_dir),
        "language": "en",
        "num_train_epochs": 4,
        "per_device_train_batch_size": 2,
        "learning_rate": 1e-3,
        "eval_fraction": 0.3,
        "eval_strategy": "no",
        "publish_if_worse": True,
        "other_dir": [f"{root / 'news'}:en", f"{root / 'songs'}:en"],
    }
    return OptionsFileRun(root / "runs" / name, defaults | options)


class OptionsFileRun(TrainingRun):
    """A run whose options are in a file: flags of the other runs have one value each."""

    @property
    def arguments(self) -> list[str]:
        path = self.folder.with_suffix(".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({"output_dir": str(self.folder), **self.options}))
        return [str(path)]


@pytest.fixture(scope="module")
def quiet(make: Make) -> TrainingRun:
    return make("quiet").finish()


def test_report_event_result_card_and_console_tell_the_same_of_other_speech(quiet: TrainingRun) -> None:
    told = quiet.read("report.json")["other_speech"]
    assert [(item["name"], item["has_weighed"]) for item in told] == [("news", True), ("songs", False)]
    assert quiet.read("result.json")["evaluation"]["other_speech"] == told
    assert quiet.read("model/training_metadata.json")["other_speech"] == told
    (completed,) = (event for event in quiet.events if event["status"] == "evaluation_completed")
    assert completed["other_speech"] == told
    card = (quiet.folder / "model" / "README.md").read_text()
    page = (quiet.folder / "report.html").read_text()
    for item in told:
        before, after = item["wer_normalized_before"], item["wer_normalized_after"]
        assert (
            f"| {item['name']} | {item['comparison']['num_words']:,} | {before:.2%} | {after:.2%} |" in card
        )
        verdict = item["comparison"]["verdict"]
        assert verdict in {"better", "not shown to be better", "worse"}
        row = rf"Words wrong in {item['name']} +{before:.1%} +{after:.1%} .*{verdict}"
        assert re.search(row, quiet.output)
        assert f"<tr><td>{item['name']}</td>" in page
    assert "What was forgotten" in page
    assert any("songs has too little speech to weigh" in w for w in quiet.read("result.json")["warnings"])


def test_the_windows_that_weighed_are_not_those_that_are_reported(quiet: TrainingRun) -> None:
    places = [
        {(t["recording"], t["start_ms"]) for t in quiet.read(f"cached/{name}.json")["content"]["transcripts"]}
        for name in ("base_other_validation_1", "base_other_test_1", "published_other_test_1")
    ]
    assert places[0].isdisjoint(places[1])
    assert places[1] == places[2]
    selection = quiet.read("report.json")["weight_selection"]
    assert selection["rises"].keys() == {"news"}


def test_other_speech_changes_no_trained_weight_and_is_never_trained(quiet: TrainingRun, make: Make) -> None:
    alone = make("alone", other_dir=None).finish()
    assert alone.curve == quiet.curve
    assert alone.read("report.json")["other_speech"] == []
    assert "What was forgotten" not in (alone.folder / "report.html").read_text()
    dataset = quiet.read("prepared/dataset_report.json")
    assert dataset["num_recordings"] == 6


def test_a_run_killed_after_it_learned_about_other_speech_ends_with_the_same(
    quiet: TrainingRun, make: Make
) -> None:
    run = make("killed", save_strategy="steps", save_steps=1)
    run.interrupt(send(9, after=2))
    kept = (run.folder / "cached" / "base_other_test_1.json").stat().st_mtime_ns
    run.finish()
    assert (run.folder / "cached" / "base_other_test_1.json").stat().st_mtime_ns == kept
    assert run.weights == quiet.weights
    for name in ("other_speech", "weight_selection"):
        assert run.read("report.json")[name] == quiet.read("report.json")[name]


@pytest.mark.slow
def test_two_processes_tell_the_same(quiet: TrainingRun, make: Make) -> None:
    run = make("two", per_device_train_batch_size=1)
    run.launcher = TWO_PROCESSES
    run.finish()
    for ours, theirs in zip(
        *(each.read("report.json")["other_speech"] for each in (run, quiet)), strict=True
    ):
        assert ours["num_windows"] == theirs["num_windows"]
        assert ours["wer_normalized_before"] == theirs["wer_normalized_before"]
        assert ours["wer_normalized_after"] == pytest.approx(theirs["wer_normalized_after"], abs=0.05)


def test_a_check_of_the_data_shows_the_sets(make: Make) -> None:
    lines = [" ".join(line.split()) for line in make("check", check_data=True).finish().output.splitlines()]
    assert any(
        re.match(r"Other speech news: \d+ windows to choose weights by, \d+ to measure", x) for x in lines
    )
    assert any(
        re.match(r"Other speech songs: 0 windows to choose weights by, \d+ to measure", x) for x in lines
    )


def test_what_is_trained_is_no_other_speech(make: Make, root: Path) -> None:
    run = make("same", other_dir=[f"{root / 'data'}:en"])
    assert run.attempt() == 1
    assert "all of the set data is in the training data too" in run.read("error.json")["error"]


def test_a_language_that_nobody_knows_is_refused_by_the_name_of_its_set(make: Make, root: Path) -> None:
    run = make("klingon", other_dir=[f"{root / 'news'}:klingon"])
    assert run.attempt() == 1
    assert "other_dir news: language: 'klingon' is not known" in run.read("error.json")["error"]
