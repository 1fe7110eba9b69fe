"""A compacted dataset trains as its recordings do, and what does not fit is refused by name."""

import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from damages import flip_bit, tear
from made_shards import describe

from recipe.arguments import DataArguments
from recipe.data.compaction import DESCRIPTION, PROGRESS, RECORDINGS, ROWS, Description, compact_dataset
from recipe.data.opening import prepare_compacted, prepare_dataset
from recipe.data.preparation import build_shards
from recipe.data.shards import Shard, sounds_path
from recipe.data.sounds import read_flac
from recipe.errors import DataError
from recipe.run.files import read_state, write_state

PART_BYTES = 300_000
"""Some recordings of the tests."""


@pytest.fixture
def recordings(make_recording):
    told = [replace(make_recording(f"talk-{number}"), group=f"voice {number}") for number in range(6)]
    return [*told, make_recording("untold", captions=None)]


@pytest.fixture
def shards(recordings, preparation, tmp_path) -> list[Shard]:
    made = build_shards(recordings, preparation, tmp_path / "shards", num_workers=1)
    for recording, shard in zip(recordings, made, strict=True):
        shard.report.describe_source(recording)
    return made


@pytest.fixture
def compact(shards, preparation, tmp_path):
    def call(**options: object) -> Description:
        return compact_dataset(shards, preparation, tmp_path / "dataset", part_bytes=PART_BYTES, **options)

    return call


@pytest.fixture
def open_folder(preparation, tmp_path):
    def call(settings=preparation):
        return prepare_compacted(tmp_path / "dataset", settings, DataArguments(), tmp_path / "run")

    return call


def test_it_is_the_dataset_of_the_recordings_bit_for_bit(
    recordings, preparation, compact, open_folder, tmp_path
):
    compact(removes_shards=True)
    assert not [*(tmp_path / "shards").glob("*.*")]
    source = prepare_dataset(recordings, preparation, DataArguments(), tmp_path / "source", num_workers=1)
    assert describe(open_folder()) == describe(source)
    assert describe(open_folder()) == describe(source)  # as a later attempt finds it


def test_its_parts_are_tars_of_about_the_size_that_was_asked_for(compact, shards, tmp_path):
    description = compact()
    parts = sorted((tmp_path / "dataset").glob("part-*.tar"))
    assert [path.name for path in parts] == [f"part-{number:05}.tar" for number in range(len(parts))]
    assert len(parts) > 1
    assert all(path.stat().st_size >= PART_BYTES for path in parts[:-1])
    members = []
    for path in parts:
        assert description.files[path.name].num_bytes == path.stat().st_size
        with tarfile.open(path) as tar:
            members += [(member.name, tar.extractfile(member).read()) for member in tar]
    of_shards = []
    for shard in shards:
        with tarfile.open(sounds_path(shard.path)) as tar:
            of_shards += [(member.name, tar.extractfile(member).read()) for member in tar]
    assert members == of_shards


def test_it_goes_on_with_the_part_that_was_not_done(compact, shards, open_folder, tmp_path):
    folder, path = tmp_path / "dataset", sounds_path(shards[4].path)
    content = path.read_bytes()
    flip_bit(path)
    with pytest.raises(DataError, match="has changed since it was made; prepare the recordings again"):
        compact()
    assert not (folder / DESCRIPTION).exists()
    with pytest.raises(DataError, match="holds no compacted dataset"):
        open_folder()
    whole = {path: path.stat().st_ino for path in folder.glob("part-*.tar")}
    assert whole
    flip_bit(min(whole))  # nobody takes its word for a part that changed meanwhile
    path.write_bytes(content)
    compact()
    assert [read_flac(row["audio"]) for row in open_folder().rows]
    kept = [path for path, inode in whole.items() if path.stat().st_ino == inode]
    assert sorted(kept) == sorted(whole)[1:]
    assert not (folder / PROGRESS).exists()


def test_a_folder_with_another_dataset_is_left_as_it_is(compact, shards, preparation, tmp_path):
    compact()
    before = {path: path.read_bytes() for path in (tmp_path / "dataset").iterdir()}
    with pytest.raises(DataError, match="holds another compacted dataset; give an empty folder"):
        compact_dataset(shards[1:], preparation, tmp_path / "dataset")
    compact()
    assert {path: path.read_bytes() for path in (tmp_path / "dataset").iterdir()} == before


def change(**fields: object):
    def apply(folder: Path) -> None:
        write_state(folder / DESCRIPTION, read_state(folder / DESCRIPTION, dict) | fields)

    return apply


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (
            lambda folder: (folder / "part-00001.tar").unlink(),
            r"part-00001.tar of .*: expected .* found none",
        ),
        (lambda folder: tear(folder / "part-00000.tar"), r"part-00000.tar of .*: expected .* bytes, found"),
        (lambda folder: flip_bit(folder / ROWS), "index.arrow of .* is damaged; copy it anew"),
        (lambda folder: flip_bit(folder / RECORDINGS), "recordings.parquet of .* is damaged; copy it anew"),
        (lambda folder: flip_bit(folder / DESCRIPTION), "dataset.json is damaged"),
        (
            lambda folder: (folder / DESCRIPTION).unlink(),
            "holds no compacted dataset: there is no dataset.json",
        ),
        (change(format_version=0), "expected a compacted dataset of version 1, found 0"),
        (change(preparation_version=1), "was prepared by version 1 of this code"),
    ],
)
def test_what_is_damaged_or_of_another_version_is_refused(compact, open_folder, tmp_path, damage, sentence):
    compact()
    damage(tmp_path / "dataset")
    with pytest.raises(DataError, match=sentence):
        open_folder()


def test_another_task_or_model_is_refused(compact, open_folder, preparation, tmp_path):
    compact()
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text(json.dumps(json.loads(preparation.tokenizer_file.read_text()) | {"other": 1}))
    for settings, sentence in (
        (replace(preparation, task="translate"), "for task translate"),
        (replace(preparation, tokenizer_file=tokenizer), "for the tokenizer of this model"),
        (
            replace(preparation, suppressed_symbols=frozenset("♪")),
            "for the symbols that this model can",
        ),
    ):
        with pytest.raises(DataError, match=sentence):
            open_folder(settings)


def test_a_sound_that_is_damaged_in_a_part_is_named_when_it_is_read(compact, open_folder, tmp_path):
    compact()
    path = tmp_path / "dataset" / "part-00000.tar"
    content = bytearray(path.read_bytes())
    content[1_000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"part-00000.tar, bytes .* is not what was written"):
        [read_flac(row["audio"]) for row in open_folder().rows]
