"""Sentences of tables made into windows: times, pauses, and what a broken one costs."""

import numpy as np
import pytest
from table_folders import SENTENCES, write_sounds
from voices import make_noise, make_voice

from recipe.audio.decoding import AudioLimits, encode_flac
from recipe.data.clips import PAUSE_MS, read_beginning
from recipe.data.manifest import Clip, LocalFile, Recording
from recipe.data.preparation import build_shards
from recipe.data.recording import read_recording
from recipe.data.rows import IN_CLIPS
from recipe.data.shards import shard_path

TEXTS = [*SENTENCES.values()]


@pytest.fixture
def make_clips(tmp_path):
    """A recording of sentences; each sound may be replaced by other bytes."""

    def make(replaced=(), voices=(), names=tuple(SENTENCES), **changes) -> Recording:
        folder = write_sounds(tmp_path / "sounds", names)
        for number, data in dict(replaced).items():
            (folder / f"{names[number]}.flac").write_bytes(data)
        voices = voices or [""] * len(names)
        clips = tuple(
            Clip(LocalFile(folder / f"{name}.flac"), SENTENCES[name], row=number, voice=voice)
            for number, (name, voice) in enumerate(zip(names, voices, strict=True), start=2)
        )
        return Recording("metadata 1", IN_CLIPS, IN_CLIPS, clips=clips, **changes)

    return make


def test_sentences_fill_a_window_with_true_times(make_clips, preparation):
    samples, packing, report = read_recording(make_clips(), preparation)
    (window,) = packing.windows
    assert [segment.text for segment in window.segments] == TEXTS
    assert (report.outcome, report.num_cues, report.num_cues_kept) == ("speech", 6, 6)
    assert report.audio_ms == report.kept_ms + sum(report.lost_ms.values())
    for number, segment in enumerate(window.segments):
        length_ms = 3_000 + 100 * number
        assert length_ms - 200 <= segment.end_ms - segment.start_ms <= length_ms
        under = samples[16 * (window.start_ms + segment.start_ms) : 16 * (window.start_ms + segment.end_ms)]
        assert np.abs(under[:3_200]).max() > 300
    ends = [segment.end_ms for segment in window.segments]
    pauses = [after.start_ms - end for after, end in zip(window.segments[1:], ends, strict=False)]
    assert all(PAUSE_MS[0] <= pause <= PAUSE_MS[1] + 300 for pause in pauses)
    assert len({*pauses}) > 2


def test_a_recording_is_the_same_each_time(make_clips, preparation):
    first, second = (read_recording(make_clips(), preparation) for _ in range(2))
    assert (first[0] == second[0]).all()
    assert first[1] == second[1]


BROKEN = {
    "no-audio": (b'{"error": "gone"}', "its sampling rate is 0 Hz"),
    "empty": (b"", "the file is empty (0 bytes)"),
    "cut-off": (encode_flac(make_voice(3))[:50], "found damaged or unknown data"),
    "silent": (encode_flac(np.zeros(32_000, np.int16)), "there is no sound in it"),
    "too-long": (encode_flac(make_noise(31)), "the limit is 30 s"),
}


@pytest.mark.parametrize(("data", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_broken_sound_costs_its_sentence(make_clips, preparation, data, reason):
    _, packing, report = read_recording(make_clips({2: data}), preparation)
    assert [window.text for window in packing.windows] == [" ".join(TEXTS[:2] + TEXTS[3:])]
    (note,) = report.notes
    assert note.startswith("row 4: dropped: its sound cannot be used: ")
    assert reason in note
    assert report.lost_cues == {"dropped: its sound cannot be used": 1}


def test_without_any_usable_sound_it_is_skipped(make_clips, preparation):
    _, packing, report = read_recording(make_clips(dict.fromkeys(range(6), b"")), preparation)
    assert (report.outcome, report.is_fallback, packing.windows) == ("skipped", False, [])
    assert "none of its sentences can be used, such as row 2: dropped" in report.reason


def test_no_window_mixes_two_voices(make_clips, preparation):
    _, packing, report = read_recording(make_clips(voices=["a", "a", "b", "b", "b", "c"]), preparation)
    texts = [" ".join(part) for part in (TEXTS[:2], TEXTS[2:5], TEXTS[5:])]
    assert [window.text for window in packing.windows] == texts
    assert [window.prompt for window in packing.windows] == [(), (), ()]
    assert report.num_cues_kept == 6


def make_long_file(tmp_path, spans, gap) -> Recording:
    """A file of 20 s with a voice but in the middle, where `gap` is, and rows at the spans."""
    samples = np.concatenate([make_voice(8), gap, make_voice(8)])
    path = tmp_path / "talk.flac"
    path.write_bytes(encode_flac(samples))
    clips = [
        Clip(LocalFile(path), f"{text} ({number})", *span, row=number)
        for number, (text, span) in enumerate(zip(TEXTS, spans, strict=False), start=1)
    ]
    return Recording("talk", LocalFile(path), IN_CLIPS, clips=tuple(clips))


@pytest.mark.parametrize(
    ("gap", "num_windows"),
    [
        pytest.param(make_noise(4, 3), 1, id="silence"),
        pytest.param(make_voice(4), 2, id="words-that-no-row-has"),
    ],
)
def test_rows_of_one_file_are_its_captions(tmp_path, preparation, gap, num_windows):
    spans = [(0, 4_000), (4_000, 8_000), (12_000, 16_000), (16_000, 20_000)]
    recording = make_long_file(tmp_path, spans, gap)
    samples, packing, report = read_recording(recording, preparation, lambda part: len(part) // 16)
    assert len(samples) == 20 * 16_000
    assert len(packing.windows) == num_windows
    times = [
        (window.start_ms + segment.start_ms, window.start_ms + segment.end_ms)
        for window in packing.windows
        for segment in window.segments
    ]
    assert times == spans
    assert any("no row has its words" in note for note in report.notes) == (num_windows == 2)


def test_a_part_of_a_file_is_a_sentence_too(tmp_path, preparation):
    path = tmp_path / "talk.flac"
    path.write_bytes(encode_flac(np.concatenate([make_noise(5), make_voice(3), make_noise(2)])))
    clip = Clip(LocalFile(path), TEXTS[0], 5_000, 8_000, row=1)
    samples, packing, _ = read_recording(Recording("t 1", IN_CLIPS, IN_CLIPS, clips=(clip,)), preparation)
    assert len(samples) == 3 * 16_000
    assert (samples == make_voice(3)).all()
    assert [window.text for window in packing.windows] == [TEXTS[0]]


def test_the_shard_is_made_anew_when_a_sound_or_its_words_change(make_clips, preparation, tmp_path):
    recording = make_clips()
    paths = {shard_path(recording, preparation, tmp_path)}
    changed = (*recording.clips[:-1], Clip(recording.clips[-1].audio, "Andere Worte.", row=7))
    paths.add(shard_path(Recording("metadata 1", IN_CLIPS, IN_CLIPS, clips=changed), preparation, tmp_path))
    recording.clips[0].audio.path.write_bytes(encode_flac(make_voice(4)))
    paths.add(shard_path(recording, preparation, tmp_path))
    assert len(paths) == 3


def test_the_same_sounds_are_known_by_their_hash(make_clips, preparation, tmp_path):
    names = tuple(SENTENCES)
    recordings = [make_clips(), make_clips(names=names[:3])]
    hashes = [
        build_shards([recording], preparation, tmp_path / str(number), num_workers=1)[0].report.audio_hash
        for number, recording in enumerate([*recordings, recordings[0]])
    ]
    assert hashes[0] == hashes[2] != hashes[1]


def test_the_beginning_is_read_past_damaged_sounds(make_clips):
    recording = make_clips({0: b""})
    samples = read_beginning(recording.clips, AudioLimits(), 5_000)
    assert len(samples) == (3_100 + 3_200) * 16
