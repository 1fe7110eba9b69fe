"""What the first process finds out is found again, and handed to the others."""

import json
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from damages import DAMAGES, Damage
from made_shards import describe

from recipe.arguments import DataArguments
from recipe.data.dataset import PreparedDataset
from recipe.data.manifest import Recording
from recipe.data.opening import HANDOVER, RECORDINGS, SIDES, open_dataset, prepare_dataset
from recipe.data.preparation import SETTLED_SECONDS
from recipe.errors import DataError
from recipe.run.files import hash_file


@pytest.fixture
def recordings(make_recording) -> list[Recording]:
    told = [make_recording(f"talk-{number}") for number in range(4)]
    return [*told, make_recording("untold", captions=None)]


@pytest.fixture
def prepare(preparation, tmp_path):
    def call(recordings: Sequence[Recording], **options: object) -> PreparedDataset:
        arguments = DataArguments(eval_fraction=options.pop("eval_fraction", 0.1))
        return prepare_dataset(
            recordings, preparation, arguments, tmp_path / "prepared", num_workers=1, **options
        )

    return call


def test_an_attempt_with_the_same_files_does_nothing_again(prepare, recordings, tmp_path):
    time.sleep(SETTLED_SECONDS)  # a file that changed just now is read again
    first, made = prepare(recordings), []
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "prepared" / "index").iterdir()}
    again = prepare(recordings, on_recording=made.append)
    assert describe(again) == describe(first)
    assert not made
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "prepared" / "index").iterdir()} == before


def test_other_arguments_and_other_captions_are_never_answered_with_an_old_index(
    prepare, recordings, make_recording, tmp_path
):
    time.sleep(SETTLED_SECONDS)
    prepare(recordings)
    assert len(prepare(recordings, eval_fraction=0.0).test) == 0
    told = replace(recordings[0], group="a speaker", side="test")
    assert prepare([told, *recordings[1:]]).report["recordings"][0]["side"] == "test"
    assert len(prepare(recordings[1:]).report["recordings"]) == len(recordings) - 1
    changed = make_recording(
        "talk-0", captions=recordings[1].transcript.path.read_text().replace("Hello", "Hallo")
    )
    data = prepare([changed, *recordings[1:]])
    assert data.rows[0]["segments"][0]["text"].startswith("Hallo")
    assert len(list((tmp_path / "prepared" / "index").glob("*.arrow"))) == 2  # rows and recordings


@pytest.mark.parametrize("name", [HANDOVER, RECORDINGS, SIDES, "rows"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_index_is_made_anew(prepare, recordings, tmp_path, name: str, damage: Damage):
    index = tmp_path / "prepared" / "index"
    first = describe(prepare(recordings))
    if name == "rows":
        name = json.loads((index / HANDOVER).read_text())["rows"]
    damage(index / name)
    assert describe(prepare(recordings)) == first


def test_an_index_that_was_left_half_written_is_made_anew(prepare, recordings, tmp_path):
    index = tmp_path / "prepared" / "index"
    time.sleep(SETTLED_SECONDS)
    first = describe(prepare(recordings))
    old = {path.name: path.read_bytes() for path in index.iterdir()}
    prepare(recordings[1:])
    for name in (HANDOVER, SIDES):  # the newer rows and recordings, and the older rest
        (index / name).write_bytes(old[name])
    assert describe(prepare(recordings)) == first


def test_a_sound_that_is_damaged_after_the_index_was_made_is_made_anew(prepare, recordings, tmp_path):
    time.sleep(SETTLED_SECONDS)
    first = describe(prepare(recordings))
    for path in (tmp_path / "prepared" / "shards").glob("*.tar"):
        path.write_bytes(path.read_bytes()[:2_000])
    assert describe(prepare(recordings)) == first


def test_another_process_maps_what_the_first_one_found(prepare, recordings, tmp_path, monkeypatch):
    told: list[str] = []

    def tell(version: str) -> str:
        told.append(version)
        return told[0]

    first = describe(prepare(recordings, tell=tell))
    for path in (tmp_path / "prepared" / "shards").glob("*.arrow"):
        path.unlink()
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert describe(prepare([], tell=tell)) == first
    assert told[1] == ""


def test_another_index_than_that_of_the_first_process_is_refused(prepare, recordings, tmp_path):
    index = tmp_path / "prepared" / "index"
    prepare(recordings)
    version = hash_file(index / HANDOVER)
    prepare(recordings[1:])
    with pytest.raises(DataError, match="finds another or none"):
        open_dataset(index, version, wait_seconds=0)
