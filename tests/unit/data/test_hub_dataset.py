"""Datasets that the datasets library reads, from folders as it writes them."""

import resource
from pathlib import Path

import pytest
from datasets import Audio, Dataset, DatasetDict, Features, Value
from table_folders import SENTENCES
from voices import make_voice

from recipe.arguments import SourceArguments
from recipe.audio.decoding import encode_flac
from recipe.data import hub_dataset
from recipe.data.hub_dataset import SoundStore, keep_tables, read_dataset
from recipe.data.rows import Table, pack_rows
from recipe.errors import DataError, DiskError

SOUNDS = {name: encode_flac(make_voice(2 + number / 10)) for number, name in enumerate(SENTENCES)}


def make_split(names=tuple(SENTENCES), audio="audio", text="sentence", **columns) -> Dataset:
    """Rows with their sounds inside, and columns of the same value in each."""
    sounds = [{"bytes": SOUNDS[name], "path": f"{name}.flac"} for name in names]
    values = {audio: sounds, text: [SENTENCES[name] for name in names]}
    values |= {name: [value] * len(names) for name, value in columns.items()}
    types = {audio: {"bytes": Value("binary"), "path": Value("string")}, text: Value("string")}
    types |= {name: Value("string") for name in columns}
    rows = Dataset.from_dict(values, features=Features(types))
    return rows.cast_column(audio, Audio(decode=False))


def read(folder: Path, tmp_path: Path, **options):
    source = SourceArguments(dataset_name=str(folder), **options)
    return read_dataset(source, tmp_path / "downloads", 2**20)


def said(tables) -> dict[str, list[str]]:
    return {table.name: [row.text for row in table.rows] for table in tables}


@pytest.fixture
def parquet(tmp_path) -> Path:
    folder = tmp_path / "dataset"
    (folder / "data").mkdir(parents=True)
    names = tuple(SENTENCES)
    make_split(names[:4]).to_parquet(folder / "data" / "train-00000-of-00001.parquet")
    make_split(names[4:]).to_parquet(folder / "data" / "validation-00000-of-00001.parquet")
    return folder


def test_a_folder_of_parquet_files_keeps_its_split(parquet, tmp_path):
    tables = read(parquet, tmp_path)
    texts = [*SENTENCES.values()]
    assert said(tables) == {"train": texts[:4], "validation": texts[4:]}
    recordings = pack_rows(tables)
    assert [(r.name, r.side, len(r.clips)) for r in recordings] == [
        ("train 1", "train", 4),
        ("validation 1", "validation", 2),
    ]
    assert [clip.audio.path.read_bytes() for clip in recordings[0].clips] == [*SOUNDS.values()][:4]


def test_a_dataset_that_was_saved_to_disk(tmp_path):
    splits = DatasetDict({"train": make_split(speaker_id="a"), "other": make_split()})
    splits.save_to_disk(tmp_path / "saved")
    (table,) = read(tmp_path / "saved", tmp_path)
    assert said([table]) == {"train": [*SENTENCES.values()]}
    assert {row.speaker for row in table.rows} == {"a"}
    assert any("split other was left alone" in note for note in table.notes)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({"dataset_split": "train"}, {"train": 4}, id="one"),
        pytest.param({"dataset_split": "validation+train"}, {"validation": 2, "train": 4}, id="two"),
        pytest.param({"dataset_max_rows": 1}, {"train": 1, "validation": 1}, id="first-rows"),
        pytest.param({"text_column": "sentence"}, {"train": 4, "validation": 2}, id="column"),
    ],
)
def test_what_is_read_can_be_chosen(parquet, tmp_path, options, expected):
    assert {name: len(texts) for name, texts in said(read(parquet, tmp_path, **options)).items()} == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            {"dataset_split": "dev"}, "expected splits among train, validation, found dev", id="split"
        ),
        pytest.param({"text_column": "wrong"}, "no column 'wrong', only 'audio', 'sentence'", id="column"),
        pytest.param({"audio_column": "wrong"}, "train: it has no column 'wrong'", id="audio-column"),
    ],
)
def test_what_is_not_there_is_refused_in_a_sentence(parquet, tmp_path, options, message):
    with pytest.raises(DataError, match=message):
        read(parquet, tmp_path, **options)


@pytest.mark.parametrize("first", [True, False])
def test_a_damaged_file_costs_itself(parquet, tmp_path, first):
    name = f"train-0000{0 if first else 2}-of-00003.parquet"
    (parquet / "data" / name).write_bytes(b"PAR1 this is no parquet file")
    tables = read(parquet, tmp_path)
    assert {name: len(texts) for name, texts in said(tables).items()} == {"train": 4, "validation": 2}
    assert any(name in note and "damaged" in note for table in tables for note in table.notes)


def test_a_broken_row_costs_itself_and_is_named(tmp_path):
    rows = make_split()
    sounds = [dict(sound) for sound in rows["audio"]]
    sounds[1] = {"bytes": None, "path": "/etc/hostname"}
    sounds[2] = {"bytes": b"", "path": "x.wav"}
    texts = [*SENTENCES.values()]
    texts[4] = " "
    types = {"audio": {"bytes": Value("binary"), "path": Value("string")}, "sentence": Value("string")}
    broken = Dataset.from_dict({"audio": sounds, "sentence": texts}, features=Features(types))
    (tmp_path / "rows").mkdir()
    broken.to_parquet(tmp_path / "rows" / "train.parquet")
    (table,) = read(tmp_path / "rows", tmp_path)
    assert [row.number for row in table.rows] == [1, 4, 6]
    assert [note for note in table.notes if "left out" in note] == [
        "train: row 2 was left out: column audio: '/etc/hostname' leads out of the dataset's folder",
        "train: row 3 was left out: column audio: it is empty (0 bytes)",
        "train: row 5 was left out: column sentence: it is empty, expected what is said",
    ]


def test_sounds_are_written_once(parquet, tmp_path):
    read(parquet, tmp_path)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "downloads").iterdir()}
    assert len(times) == len(SENTENCES)
    read(parquet, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "downloads").iterdir()} == times


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../x.wav",
        "file:///etc/passwd",
        "https://10.0.0.1/x",
        "hf://datasets/another/one@main/a.wav",
    ],
)
def test_a_row_of_the_hub_reaches_no_file_of_this_machine(tmp_path, path):
    store = SoundStore(tmp_path, "owner/name", 100)
    assert store.keep({"bytes": None, "path": path}).path is None
    assert not [*tmp_path.iterdir()]


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_a_hub_that_cannot_be_reached_is_a_sentence(tmp_path, offline):
    with pytest.raises(DataError, match=r"^nobody/nothing: .*the hub cannot be reached"):
        read(Path("nobody/nothing"), tmp_path)


def test_what_was_fetched_from_the_hub_is_not_fetched_again(parquet, tmp_path, offline):
    tables = read(parquet, tmp_path)
    source = SourceArguments(dataset_name="owner/name", dataset_split="train")
    keep_tables(source, tables, tmp_path / "downloads")
    assert read_dataset(source, tmp_path / "downloads", 2**20) == tables
    tables[0].rows[0].audio.path.unlink()
    with pytest.raises(DataError, match=r"owner/name: .*the hub cannot be reached"):
        read_dataset(source, tmp_path / "downloads", 2**20)


def test_a_disk_that_takes_no_sound_is_the_disks_fault(parquet, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(DiskError, match="may not grow as large as it must"):
            read(parquet, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_any_error_of_the_library_is_a_sentence(parquet, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("a thing of its own")

    monkeypatch.setattr(hub_dataset, "load_dataset", fail)
    with pytest.raises(DataError, match=r"the dataset cannot be read \(RuntimeError\)"):
        read(parquet, tmp_path)


def test_a_row_whose_file_the_hub_has_not_costs_itself(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(hub_dataset, "xopen", fail)
    file = SoundStore(tmp_path, "owner/name", 100).keep({"path": "hf://datasets/owner/name@main/a.wav"})
    assert file.error == "there is no file 'hf://datasets/owner/name@main/a.wav'"


def test_the_example_of_a_row_is_a_row():
    table = Table(
        "train", num_rows=3, notes=["train: file 1 of 2 was left out: it cannot be read to its end"]
    )
    table.leave_out(2, "column text: it is empty")
    assert "1 of 3 rows cannot be used, such as: train: row 2 was left out: column text" in table.describe()
