"""Sounds of windows in their files."""

import tarfile

import pytest

from recipe.data.index import load_rows
from recipe.data.preparation import build_shards
from recipe.data.shards import sounds_path
from recipe.data.sounds import SoundFile, read_flac
from recipe.errors import DataError

SOUNDS = [b"fLaC" + bytes([number]) * (500 * number + 1) for number in range(5)]


def write_sounds(path, name: str = "talk") -> list[dict]:
    with SoundFile(path) as file:
        places = [file.add(name, n * 1_000, n * 1_000 + 900, sound) for n, sound in enumerate(SOUNDS)]
    return [{**place, "file": str(path)} for place in places]


@pytest.mark.parametrize("name", ["talk", "un café / deux: ?", "x" * 200, "..", "日本語" * 50])
def test_sounds_are_read_from_their_places_in_a_tar_that_any_program_opens(tmp_path, name):
    places = write_sounds(tmp_path / "a.tar", name)
    assert [read_flac(place) for place in places] == SOUNDS
    with tarfile.open(tmp_path / "a.tar") as tar:
        members = tar.getmembers()
        assert [tar.extractfile(member).read() for member in members] == SOUNDS
        assert [member.offset_data for member in members] == [place["offset"] for place in places]
        tar.extractall(tmp_path / "out", filter="data")
    assert len(list((tmp_path / "out").rglob("00000000-00000900.flac"))) == 1


def test_a_member_is_named_after_recording_and_time(make_recording, tmp_path, preparation):
    (shard,) = build_shards([make_recording("a:b")], preparation, tmp_path / "shards")
    with tarfile.open(sounds_path(shard.path)) as tar:
        row = load_rows([shard])[0]
        assert tar.getnames() == [f"a_b/{row['start_ms']:08}-{row['end_ms']:08}.flac"]


def test_equal_sounds_make_equal_files(tmp_path):
    write_sounds(tmp_path / "a.tar")
    write_sounds(tmp_path / "b.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def flip(path) -> None:
    content = bytearray(path.read_bytes())
    content[1_600] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (flip, "is not what was written. Remove this file"),
        (lambda path: path.write_bytes(path.read_bytes()[:1_600]), "is not what was written"),
        (lambda path: path.unlink(), "cannot be read"),
    ],
    ids=["a bit", "cut short", "gone"],
)
def test_a_damaged_sound_is_named_with_its_file(tmp_path, damage, sentence):
    place = write_sounds(tmp_path / "a.tar")[1]
    damage(tmp_path / "a.tar")
    with pytest.raises(DataError, match=sentence) as caught:
        read_flac(place)
    assert str(tmp_path / "a.tar") in str(caught.value)
