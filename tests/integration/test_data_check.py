"""A look at the data before a GPU is paid for."""

from pathlib import Path

from training_runs import TrainingRun, write_recording


def check(folder: Path, data_dir: Path, tiny_dir: Path) -> TrainingRun:
    options = {"data_dir": data_dir, "model_name_or_path": tiny_dir, "language": "en", "check_data": True}
    return TrainingRun(folder / "run", options)


def test_a_check_prints_what_would_be_trained_and_trains_nothing(tmp_path: Path, tiny_dir: Path) -> None:
    (tmp_path / "data").mkdir()
    for number in range(3):
        write_recording(tmp_path / "data" / f"talk-{number}", 9, seed=number)
    (tmp_path / "data" / "other.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nhi\n")
    (tmp_path / "data" / "notes.pdf").touch()
    run = check(tmp_path, tmp_path / "data", tiny_dir).finish()
    lines = [" ".join(line.split()) for line in run.output.splitlines()]
    told = [line for line in lines if line.startswith("- ")]
    assert told[0] == "- 1 caption file is not used, since no one audio file has that name: other.vtt."
    assert told[-1] == "- Files that are no recordings were passed over: 1 .pdf (notes.pdf)."
    assert run.read("prepared/dataset_report.json")["warnings"] == [line[2:] for line in told]
    origin = run.read("prepared/dataset_report.json")["run"]
    assert (origin["name"], origin["base_model"]) == ("run", str(tiny_dir))
    assert (origin["source"], origin["task"]) == (str(tmp_path / "data"), "transcribe")
    assert "Recordings 3 speech" in lines
    assert "Languages 3 en" in lines
    assert any(line.startswith("Training about") and "on this processor" in line for line in lines)
    assert f"Report {run.folder / 'prepared' / 'dataset_report.html'}" in lines
    assert not list(run.folder.glob("checkpoint-*"))
    assert not (run.folder / "result.json").exists()


def test_a_check_of_what_cannot_be_trained_on_ends_with_the_sentence(tmp_path: Path, tiny_dir: Path) -> None:
    (tmp_path / "data").mkdir()
    write_recording(tmp_path / "data" / "talk", 9)
    (tmp_path / "data" / "talk.vtt").write_text("WEBVTT\n\n")
    run = check(tmp_path, tmp_path / "data", tiny_dir)
    assert run.attempt() == 1
    assert "talk.vtt: the caption file holds no usable cue" in run.read("error.json")["error"]
