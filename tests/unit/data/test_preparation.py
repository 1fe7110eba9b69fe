import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from voices import make_noise

from recipe.audio.decoding import encode_flac
from recipe.data.preparation import SETTLED_SECONDS, build_shard, build_shards, longest_first
from recipe.run.files import _hashes


def written(folder: Path) -> dict[str, int]:
    """The shards of a folder, and when they were written."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.arrow")}


def count_bytes_read() -> int:
    """All that this process has read of files."""
    return int(Path("/proc/self/io").read_text().split()[1])


def test_workers_that_share_a_folder_make_each_shard_once(make_recording, tmp_path, preparation):
    recordings = [make_recording(f"talk-{number}") for number in range(6)]
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(
            lambda _: build_shards(recordings, preparation, tmp_path / "s", num_workers=1), range(2)
        )
    assert first == second
    assert [shard.report.name for shard in first] == [recording.name for recording in recordings]
    assert len(written(tmp_path / "s")) == 6
    assert not list((tmp_path / "s").glob("claims/*.claim-*"))


def test_the_recording_with_the_most_sound_is_begun_first(make_recording):
    seconds = {"a": 2, "b": 9, "c": 5}
    recordings = [make_recording(name, encode_flac(make_noise(number))) for name, number in seconds.items()]
    recordings.append(make_recording("silent", None, captions="WEBVTT\n" * 10_000))
    assert [recording.name for recording in longest_first(recordings)] == ["b", "c", "a", "silent"]


def test_one_recording_is_prepared_alone_as_among_others(make_recording, tmp_path, preparation):
    recording = make_recording()
    one = build_shard(recording, preparation, tmp_path / "s")
    before = written(tmp_path / "s")
    assert build_shards([recording], preparation, tmp_path / "s", num_workers=1) == [one]
    assert written(tmp_path / "s") == before


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="Linux only")
def test_a_recording_whose_files_are_as_they_were_is_not_read_again(
    make_recording, tmp_path, preparation, monkeypatch
):
    monkeypatch.setenv("LOCAL_RANK", "1")  # which does not verify shards
    recording = make_recording("long", encode_flac(make_noise(60)), captions=None)
    size = recording.audio.path.stat().st_size

    def build_again() -> int:
        """The bytes that it reads."""
        _hashes.clear()
        before = count_bytes_read()
        assert build_shards([recording], preparation, tmp_path / "s", num_workers=1) == [first]
        return count_bytes_read() - before

    time.sleep(SETTLED_SECONDS + 0.1)
    (first,) = build_shards([recording], preparation, tmp_path / "s", num_workers=1)
    (note,) = (tmp_path / "s" / "claims").iterdir()
    assert note.read_text() == first.path.stem
    assert build_again() < size
    os.utime(recording.audio.path, ns=(1, 1))  # which changes st_ctime as well
    assert build_again() >= size


def test_a_file_that_changed_just_now_leaves_no_note(make_recording, tmp_path, preparation):
    build_shards([make_recording()], preparation, tmp_path / "s", num_workers=1)
    assert list((tmp_path / "s" / "claims").iterdir()) == []


@pytest.mark.parametrize("content", ["", "../../etc/passwd", "0" * 32])
def test_a_note_of_no_shard_is_passed_over(make_recording, tmp_path, preparation, content):
    recording = make_recording()
    time.sleep(SETTLED_SECONDS + 0.1)
    (first,) = build_shards([recording], preparation, tmp_path / "s", num_workers=1)
    (note,) = (tmp_path / "s" / "claims").iterdir()
    note.write_text(content)
    assert build_shards([recording], preparation, tmp_path / "s", num_workers=1) == [first]
    assert note.read_text() == first.path.stem
