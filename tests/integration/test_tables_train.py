"""A folder with a table, and a dataset of parquet files, through `train.py`: two updates of a tiny model."""

from pathlib import Path

import pytest
from datasets import Dataset, Features, Value
from table_folders import write_lines, write_sounds
from training_runs import TrainingRun

WORDS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett")
SENTENCES = {
    f"s{number:02}": f"Sentence {number} says {WORDS[number % 10]} and {WORDS[(3 * number + 1) % 10]}."
    for number in range(24)
}
VOICES = ("anna", "béla", "chloé")


def speaker_of(number: int) -> str:
    return VOICES[number % 3]


def write_folder(folder: Path) -> dict[str, object]:
    """AudioFolder, of which one row has no sound and one sound is broken."""
    write_sounds(folder / "clips", tuple(SENTENCES))
    (folder / "clips" / "s06.flac").write_bytes(b"")
    rows = [
        f'clips/{name}.flac,"{text}",{speaker_of(number)}'
        for number, (name, text) in enumerate(SENTENCES.items())
    ]
    write_lines(
        folder / "metadata.csv", "file_name,transcription,speaker_id", *rows, "clips/x.flac,Gone.,anna"
    )
    return {"data_dir": folder}


def write_parquet(folder: Path) -> dict[str, object]:
    """A split of its own by voice; one row has no words and one sound is broken."""
    sounds = write_sounds(folder.with_name("sounds"), tuple(SENTENCES))
    for side, voices in (("train", VOICES[:2]), ("test", VOICES[2:])):
        chosen = [(n, *item) for n, item in enumerate(SENTENCES.items()) if speaker_of(n) in voices]
        values = {
            "audio": [
                {"bytes": (sounds / f"{name}.flac").read_bytes(), "path": name} for _, name, _ in chosen
            ],
            "sentence": [text for _, _, text in chosen],
            "client_id": [speaker_of(number) for number, _, _ in chosen],
        }
        if side == "train":
            values["audio"][0]["bytes"] = b"no sound"
            values["sentence"][1] = ""
        types = {"audio": {"bytes": Value("binary")}}
        types |= {"sentence": Value("string"), "client_id": Value("string")}
        rows = Dataset.from_dict(values, features=Features(types))
        (folder / "data").mkdir(parents=True, exist_ok=True)
        rows.to_parquet(folder / "data" / f"{side}-00000-of-00001.parquet")
    return {"dataset_name": folder}


@pytest.mark.parametrize(
    ("write", "broken", "warning", "test"),
    [
        pytest.param(
            write_folder,
            "row 8: dropped: its sound cannot be used: the file is empty (0 bytes)",
            "metadata.csv: 1 of 25 rows cannot be used, such as: metadata.csv: row 26 was left out: column "
            "file_name: there is no audio file 'clips/x.flac' below the folder.",
            None,
            id="metadata-csv",
        ),
        pytest.param(
            write_parquet,
            "row 1: dropped: its sound cannot be used: expected audio or video, found plain text",
            "train: 1 of 16 rows cannot be used, such as: train: row 2 was left out: column sentence: it is "
            "empty, expected what is said.",
            ["test chloé 1"],
            id="parquet",
        ),
    ],
)
def test_it_trains_two_updates(tmp_path, tiny_dir, write, broken, warning, test):
    source = write(tmp_path / "source")
    options = {"model_name_or_path": tiny_dir, "language": "en", "max_steps": 2}
    run = TrainingRun(tmp_path / "run", {**source, **options, "publish_if_worse": True}).finish()
    report = run.read("prepared/dataset_report.json")
    assert report["num_recordings"] == 3
    assert report["num_windows"] == sum(
        report[f"num_{side}_windows"] for side in ("train", "validation", "test")
    )
    assert report["num_cues_kept"] == report["num_cues"] - 1
    assert test is None or report["test"] == test
    assert len(report["test"]) == 1
    assert any(note.startswith(broken) for recording in report["recordings"] for note in recording["notes"])
    assert warning in run.read("result.json")["warnings"]
