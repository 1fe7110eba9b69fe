import multiprocessing
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from damages import DAMAGES, Damage, flip_bit
from voices import make_noise

from recipe.audio.decoding import encode_flac
from recipe.data.index import load_examples, load_rows
from recipe.data.preparation import build_shards
from recipe.data.recording import PreparationSettings, read_recording
from recipe.data.shards import Shard
from recipe.data.sounds import read_flac


def test_a_shard_depends_on_its_own_recordings_language_and_no_others(make_recording, tmp_path, preparation):
    talk = make_recording("talk")
    other = make_recording("other")

    def build(talk_language: str, other_language: str) -> list[Shard]:
        recordings = [replace(talk, language=talk_language), replace(other, language=other_language)]
        return build_shards(recordings, preparation, tmp_path / "shards", num_workers=1)

    first, changed = build("fr", "en"), build("fr", "de")
    assert changed[0].path == first[0].path
    assert changed[1].path != first[1].path
    assert load_examples(changed)["language"][:] == ["fr", "de"]
    assert [shard.report.language for shard in changed] == ["fr", "de"]


def test_a_shard_is_made_once_and_again_when_a_file_changes(make_recording, tmp_path, preparation):
    recording = make_recording()
    (first,) = build_shards([recording], preparation, tmp_path / "shards")
    written = first.path.stat().st_mtime_ns
    (again,) = build_shards([recording], preparation, tmp_path / "shards")
    assert again == first
    assert again.path.stat().st_mtime_ns == written
    changed = make_recording(captions="WEBVTT\n\n00:01.000 --> 00:03.000\nGoodbye there.\n")
    (other,) = build_shards([changed], preparation, tmp_path / "shards")
    assert other.path != first.path
    assert load_examples([other])[0]["segments"][0]["text"] == "Goodbye there."


class Killer:
    """Kills processes of this one that have a file open, up to so many times."""

    def __init__(self, path: Path, num_kills: int):
        self._path = path
        self.num_left = num_kills
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join()

    def _watch(self):
        while self.num_left and not self._is_over.wait(0.002):
            for process in multiprocessing.active_children():
                if self._has_it_open(process.pid):
                    process.kill()
                    process.join()
                    self.num_left -= 1

    def _has_it_open(self, process_id: int) -> bool:
        with suppress(OSError):
            return any(link.resolve() == self._path for link in Path(f"/proc/{process_id}/fd").iterdir())
        return False


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="Linux only")
@pytest.mark.parametrize(
    ("num_names", "num_kills", "outcome", "num_cores"),
    [
        pytest.param(3, 1, "speech", 2, id="once"),
        pytest.param(3, 2, "silence", 2, id="twice"),
        pytest.param(1, 2, "silence", 1, id="twice_over_the_only_one_on_one_core"),
    ],
)
def test_a_process_that_dies_costs_at_most_its_own_recording(
    make_recording, tmp_path, preparation, monkeypatch, num_names, num_kills, outcome, num_cores
):
    monkeypatch.setattr("os.cpu_count", lambda: num_cores)
    names = ["a deadly one", "good", "good too"][:num_names]
    recordings = [make_recording(name) for name in names]
    recordings[0] = make_recording(names[0], encode_flac(make_noise(900)))
    with Killer(recordings[0].audio.path, num_kills) as killer:
        shards = build_shards(recordings, preparation, tmp_path / "shards")
    assert killer.num_left == 0
    assert [shard.report.name for shard in shards] == names
    assert [shard.report.outcome for shard in shards] == [outcome, "speech", "speech"][:num_names]
    assert ("died twice" in shards[0].report.reason) == (num_kills == 2)
    assert shards[0].report.is_fallback == (num_kills == 2)
    assert shards[0].report.audio_hash
    assert len(load_examples(shards)) == sum(shard.report.num_windows for shard in shards)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_recording_that_takes_too_long_costs_itself_only(
    make_recording, tmp_path, preparation, num_workers
):
    recordings = [make_recording("endless", encode_flac(make_noise(1200))), make_recording("good")]
    started = time.process_time()
    read_recording(recordings[0], preparation)
    limit = round((time.process_time() - started) / 4, 3)  # a time that this machine, fast or slow, needs
    settings = replace(preparation, max_cpu_seconds=limit)
    shards = build_shards(recordings, settings, tmp_path / "shards", num_workers=num_workers)
    assert [shard.report.outcome for shard in shards] == ["silence", "speech"]
    assert f"more than {limit:g} s of a processor" in shards[0].report.reason


def test_a_fault_of_the_preparation_costs_its_recording_only(make_recording, tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")  # asked for where there are words
    recordings = [make_recording("told"), make_recording("untold", captions=None)]
    settings = PreparationSettings(tmp_path / "tokenizer.json")
    shards = build_shards(recordings, settings, tmp_path / "shards", num_workers=1)
    reasons = [shard.report.reason for shard in shards]
    assert reasons == ["it cannot be prepared (Exception)", "there is no vtt"]


def test_several_processes_make_the_same_shards_in_order(make_recording, tmp_path, preparation):
    recordings = [
        make_recording(f"talk-{number}", encode_flac(make_noise(8 + number))) for number in range(3)
    ]
    one = build_shards(recordings, preparation, tmp_path / "one", num_workers=1)
    two = build_shards(recordings, preparation, tmp_path / "two", num_workers=2)
    assert [shard.path.name for shard in one] == [shard.path.name for shard in two]
    assert [shard.content_hash for shard in one] == [shard.content_hash for shard in two]
    assert [read_flac(row["audio"]) for row in load_rows(one)] == [
        read_flac(row["audio"]) for row in load_rows(two)
    ]


def test_a_window_that_repeats_itself_is_a_row_that_is_never_loaded(
    make_recording, write_vtt, tmp_path, preparation
):
    lines = ("I will say this once", "I will say this once")
    cues = [(at, at + 3_000, f"{lines[0]}\n{lines[1]}") for at in range(0, 6_000, 3_000)]
    others = [(30_000, "Something else is said."), (36_000, "Then one goes on."), (44_000, "And ends there.")]
    captions = write_vtt(*cues, *((at, at + 3_000, text) for at, text in others))
    recording = make_recording(audio=encode_flac(make_noise(50)), captions=captions)
    (shard,) = build_shards([recording], preparation, tmp_path / "shards")
    assert (shard.report.num_windows, shard.report.num_faulty_windows) == (1, 1)
    assert load_examples([shard])["segments"][0][0]["text"] == "Something else is said."
    assert load_rows([shard])["fault"][:] == ["each thing is said twice or more", ""]
    assert shard.report.lost_cues == {"faulty window: each thing is said twice or more": 2}


@pytest.mark.parametrize("suffix", [".json", ".arrow"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_shard_is_set_aside_and_made_anew(
    make_recording, tmp_path, preparation, caplog, damage: Damage, suffix: str
):
    (first,) = build_shards([make_recording()], preparation, tmp_path / "shards")
    rows = load_rows([first]).to_list()
    path = first.path.with_suffix(suffix)
    damage(path)
    (again,) = build_shards([make_recording()], preparation, tmp_path / "shards")
    assert again == first
    assert load_rows([again]).to_list() == rows
    assert path.with_name(f"{path.name}.damaged").exists()
    assert f"{path.name} is damaged" in caplog.text
    caplog.clear()
    build_shards([make_recording()], preparation, tmp_path / "shards")
    assert not caplog.records


def test_one_letter_changed_in_the_captions_of_a_shard_is_never_trained(
    make_recording, tmp_path, preparation, caplog
):
    (first,) = build_shards([make_recording()], preparation, tmp_path / "shards")
    content = first.path.read_bytes()
    assert b"Hello there" in content
    first.path.write_bytes(content.replace(b"Hello there", b"Hollo there"))
    (again,) = build_shards([make_recording()], preparation, tmp_path / "shards")
    assert load_examples([again])[0]["segments"][0]["text"] == "Hello there."
    assert "has changed since it was made" in caplog.text


def test_only_the_first_process_of_a_machine_reads_a_shard_to_verify_it(
    make_recording, tmp_path, preparation, monkeypatch, caplog
):
    (first,) = build_shards([make_recording()], preparation, tmp_path / "shards")
    flip_bit(first.path)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert build_shards([make_recording()], preparation, tmp_path / "shards") == [first]
    assert not caplog.records


def test_a_worker_that_need_not_read_shards_takes_them_as_they_are(
    make_recording, tmp_path, preparation, caplog
):
    (first,) = build_shards([make_recording()], preparation, tmp_path / "shards")
    flip_bit(first.path)
    assert build_shards([make_recording()], preparation, tmp_path / "shards", reads_shards=False) == [first]
    assert not caplog.records
    assert build_shards([make_recording()], preparation, tmp_path / "shards") == [first]
    assert "has changed since it was made" in caplog.text
