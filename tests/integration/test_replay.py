"""Replay in a run: some of what is trained is other speech, with captions or the model's own words."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from training_runs import TrainingRun, write_recording

Make = Callable[..., TrainingRun]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("replay")
    for name, first in (("data", 0), ("news", 10)):
        (root / name).mkdir()
        for number in range(3):
            write_recording(root / name / f"tones-{number}", 12, seed=first + number)
    return root


@pytest.fixture(scope="module")
def make(root: Path, tiny_dir: Path) -> Make:
    def make(name: str, **options: object) -> TrainingRun:
        usual = {"data_dir": root / "data", "model_name_or_path": tiny_dir, "language": "en"}
        usual |= {"eval_fraction": 0.0, "learning_rate": 1e-3}
        return TrainingRun(root / "runs" / name, usual | options)

    return make


def test_a_third_of_what_is_trained_is_replayed_and_the_user_is_told(make: Make, root: Path) -> None:
    alone, run = make("alone").finish(), make("some", replay_dir=f"{root / 'news'}:en", replay_fraction=0.4)
    run.finish()
    num_windows, num_trained = (
        len(each.curve) * 2
        for each in (alone, run)  # two windows an update
    )
    assert num_trained == pytest.approx(num_windows / 0.6, abs=2)
    (sentence,) = (w for w in run.read("result.json")["warnings"] if "(replay)" in w)
    assert "windows of news (replay) are trained" in sentence
    assert run.weights != alone.weights
    assert run.read("result.json")["dataset"] == alone.read("result.json")["dataset"]


def test_a_check_tells_what_would_be_replayed(make: Make, root: Path) -> None:
    run = make("check", replay_dir=f"{root / 'news'}:en", check_data=True).finish()
    assert "windows of news (replay) are trained" in run.output


def test_words_that_the_base_model_is_not_sure_of_are_not_replayed(make: Make, root: Path) -> None:
    run = make("unsure", replay_audio_dir=f"{root / 'news'}:en")
    assert run.attempt() == 1
    assert "replay_audio_dir: nothing of news can be trained" in run.read("error.json")["error"]


@pytest.mark.slow
def test_a_real_model_replays_its_own_words_of_real_speech(
    make: Make, tiny_en_model_dir: Path, corpus_en_dir: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "audio"
    folder.mkdir()
    shutil.copy(min(corpus_en_dir.glob("*.flac")), folder)
    run = make(
        "sure", model_name_or_path=tiny_en_model_dir, replay_audio_dir=folder, replay_fraction=0.5
    ).finish()
    (path,) = (run.folder / "aligned").glob("*.vtt")
    assert len(path.read_text().split()) > 100
    assert "windows of audio (replay) are trained" in run.output
