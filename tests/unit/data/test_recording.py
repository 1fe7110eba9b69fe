from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from voices import make_noise, make_voice

from recipe.arguments import DataArguments
from recipe.audio.decoding import encode_flac
from recipe.captions.reader import Cleaning
from recipe.data.dataset import prepare_dataset
from recipe.data.manifest import LocalFile, Recording
from recipe.data.partition import NodeShare
from recipe.data.recording import PreparationSettings, read_recording
from recipe.data.report import RecordingReport, build_report, check_fallbacks
from recipe.data.shards import Shard, build_shards, load_examples, load_rows
from recipe.errors import DataError
from recipe.model.tiny import build_tiny_whisper

VTT = "WEBVTT\n\n00:01.000 --> 00:03.000\nHello there.\n\n00:03.500 --> 00:06.000\nHow are you?\n"


@pytest.fixture(scope="module")
def preparation(tmp_path_factory) -> PreparationSettings:
    return PreparationSettings(build_tiny_whisper(tmp_path_factory.mktemp("tiny")) / "tokenizer.json")


def make_sound(seconds: float, level: int = 3_000) -> bytes:
    return encode_flac(make_noise(seconds, level))


VOICE = encode_flac(make_voice(40))


def make_recording(
    folder, name="talk", audio: bytes | None = b"", captions: str | bytes | None = VTT
) -> Recording:
    paths = {}
    for extension, content in (("flac", audio), ("vtt", captions)):
        if content is not None:
            paths[extension] = folder / f"{name}.{extension}"
            paths[extension].write_bytes(content.encode() if isinstance(content, str) else content)
    files = [
        LocalFile(paths.get(extension), "" if extension in paths else f"there is no {extension}")
        for extension in ("flac", "vtt")
    ]
    return Recording(name, *files)


@pytest.mark.parametrize(
    ("audio", "captions", "rule", "outcome", "num_windows", "num_words"),
    [
        pytest.param(make_sound(8), VTT, "auto", "speech", 1, 5, id="good"),
        pytest.param(None, VTT, "auto", "silence", 1, 0, id="audio-missing"),
        pytest.param(b"<!DOCTYPE html><html>", VTT, "auto", "silence", 1, 0, id="html-instead-of-audio"),
        pytest.param(VOICE, None, "auto", "skipped", 0, 0, id="captions-missing-over-speech"),
        pytest.param(VOICE, "WEBVTT\n", "auto", "skipped", 0, 0, id="captions-empty-over-speech"),
        pytest.param(make_sound(40), None, "auto", "silence", 2, 0, id="captions-missing-over-noise"),
        pytest.param(
            make_sound(40, 3), "WEBVTT\n", "auto", "silence", 2, 0, id="captions-empty-over-silence"
        ),
        pytest.param(make_sound(40), "WEBVTT\n", "minimal", "silence", 2, 0, id="minimal"),
        pytest.param(make_sound(40, 3), "WEBVTT\n", "skip", "skipped", 0, 0, id="skip"),
        pytest.param(VOICE, '{"error": 1}', "auto", "skipped", 0, 0, id="json-instead-of-captions"),
    ],
)
def test_bad_data_ends_as_the_contract_says(
    tmp_path, preparation, audio, captions, rule, outcome, num_windows, num_words
):
    recording = make_recording(tmp_path, audio=audio, captions=captions)
    samples, packing, report = read_recording(
        recording, PreparationSettings(preparation.tokenizer_file, empty_transcript=rule)
    )
    assert (report.outcome, len(packing.windows)) == (outcome, num_windows)
    assert sum(len(window.text.split()) for window in packing.windows) == num_words
    assert bool(report.reason) == (outcome != "speech")
    if audio is None or audio.startswith(b"<"):
        assert not samples.any()


def test_missing_captions_can_be_made_an_error(tmp_path, preparation):
    recording = make_recording(tmp_path, audio=make_sound(8), captions=None)
    with pytest.raises(DataError, match="talk: there is no vtt; empty_transcript is set to fail"):
        read_recording(recording, PreparationSettings(preparation.tokenizer_file, empty_transcript="fail"))


CAPITALS = VTT.replace("Hello there.", "AND SO I SAID HELLO TO YOU").replace(
    "How are you?", "AND I SAID IT TWICE"
)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        pytest.param("transcribe", "And so i said hello to you", id="French captions"),
        pytest.param("translate", "And so I said hello to you", id="English captions of French speech"),
    ],
)
def test_captions_are_recased_in_the_language_that_they_are_written_in(tmp_path, preparation, task, expected):
    recording = replace(make_recording(tmp_path, audio=make_sound(8), captions=CAPITALS), language="fr")
    settings_ = replace(preparation, task=task, cleaning=Cleaning(recase_capitals=True))
    _, packing, report = read_recording(recording, settings_)
    assert packing.windows[0].segments[0].text == expected
    assert report.language == "fr"


def test_a_shard_depends_on_its_own_recordings_language_and_no_others(tmp_path, preparation):
    talk = make_recording(tmp_path, "talk", make_sound(8))
    other = make_recording(tmp_path, "other", make_sound(8))

    def build(talk_language: str, other_language: str) -> list[Shard]:
        recordings = [replace(talk, language=talk_language), replace(other, language=other_language)]
        return build_shards(recordings, preparation, tmp_path / "shards")

    first, changed = build("fr", "en"), build("fr", "de")
    assert changed[0].path == first[0].path
    assert changed[1].path != first[1].path
    assert load_examples(changed)["language"][:] == ["fr", "de"]
    assert [shard.report.language for shard in changed] == ["fr", "de"]


def test_the_report_names_languages_with_recordings_and_audio():
    reports = [
        RecordingReport("a", language="fr", audio_ms=5),
        RecordingReport("b", language="fr", audio_ms=2),
        RecordingReport("c", audio_ms=1),
    ]
    assert build_report(reports, 1, 0, {})["languages"] == {
        "fr": {"num_recordings": 2, "audio_ms": 7},
        "unknown": {"num_recordings": 1, "audio_ms": 1},
    }


def check_sums(report) -> None:
    assert report.audio_ms == report.kept_ms + sum(report.lost_ms.values())
    assert report.num_cues == report.num_cues_kept + sum(report.lost_cues.values())
    assert report.num_cues_kept >= 0


cue_times = st.tuples(st.integers(0, 90_000), st.integers(-500, 40_000))
cue_texts = st.text(alphabet="ab é<>&\n-[]♪:", max_size=60)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(cue_times, cue_texts), max_size=12), st.floats(0.1, 70))
def test_the_sums_hold_on_broken_captions(tmp_path, preparation, cues, seconds):
    blocks = [f"{stamp(start)} --> {stamp(max(0, start + length))}\n{text}" for (start, length), text in cues]
    recording = make_recording(
        tmp_path, audio=make_sound(seconds), captions="WEBVTT\n\n" + "\n\n".join(blocks) + "\n"
    )
    _, packing, report = read_recording(recording, preparation)
    check_sums(report)
    num_kept = sum(s.end_ms is not None for window in packing.windows for s in window.segments)
    assert report.num_cues_kept == num_kept


def test_a_shard_is_made_once_and_again_when_a_file_changes(tmp_path, preparation):
    recording = make_recording(tmp_path, audio=make_sound(8))
    (first,) = build_shards([recording], preparation, tmp_path / "shards")
    written = first.path.stat().st_mtime_ns
    (again,) = build_shards([recording], preparation, tmp_path / "shards")
    assert again == first
    assert again.path.stat().st_mtime_ns == written
    changed = make_recording(tmp_path, audio=make_sound(8), captions=VTT.replace("Hello", "Goodbye"))
    (other,) = build_shards([changed], preparation, tmp_path / "shards")
    assert other.path != first.path
    assert load_examples([other])[0]["segments"][0]["text"] == "Goodbye there."


def test_several_processes_make_the_same_shards_in_order(tmp_path, preparation):
    recordings = [make_recording(tmp_path, f"talk-{number}", make_sound(8 + number)) for number in range(3)]
    one = build_shards(recordings, preparation, tmp_path / "one", num_workers=1)
    two = build_shards(recordings, preparation, tmp_path / "two", num_workers=2)
    assert [shard.path.name for shard in one] == [shard.path.name for shard in two]
    assert load_examples(one).to_list() == load_examples(two).to_list()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="Linux only")
def test_a_shard_that_is_loaded_twice_is_mapped_once(tmp_path, preparation):
    shards = build_shards([make_recording(tmp_path, audio=make_sound(8))], preparation, tmp_path / "shards")
    first, second = load_rows(shards), load_examples(shards)
    assert first.to_list() == second.to_list()
    assert Path("/proc/self/maps").read_text().count(shards[0].path.name) == 1


def test_the_whole_dataset_adds_up_and_holds_a_recording_out(tmp_path, preparation):
    recordings = [make_recording(tmp_path, f"talk-{number}", make_sound(8)) for number in range(4)]
    recordings.append(make_recording(tmp_path, "untold", VOICE, None))
    data = prepare_dataset(recordings, preparation, DataArguments(), tmp_path / "prepared", num_workers=1)
    assert len(data.held_out) == 1
    assert len(data.train) == 3
    assert data.report["num_recordings"] == 5
    assert data.report["recordings_by_outcome"] == {"speech": 4, "skipped": 1}
    assert data.report["audio_ms"] == data.report["kept_ms"] + sum(data.report["lost_ms"].values())
    assert data.warnings == ["untold: skipped: there is no vtt"]
    assert not set(data.train["recording"]) & set(data.held_out["recording"])


def test_too_many_substitutes_are_refused_with_the_list(tmp_path, preparation):
    good = make_recording(tmp_path, "good", make_sound(8))
    bad = make_recording(tmp_path, "bad", b"<html>")
    reports = [shard.report for shard in build_shards([good, bad], preparation, tmp_path / "shards")]
    with pytest.raises(DataError, match=r"1 of 2 windows .* bad: silence: "):
        check_fallbacks(reports, 0.1)
    check_fallbacks(reports, 0.5)
    with pytest.raises(DataError, match="None of the 1 recordings can be trained on"):
        check_fallbacks(reports[1:], 1.0)
    assert build_report(reports, 1, 0, {})["num_fallback_recordings"] == 1


def stamp(time_ms: int) -> str:
    return f"{time_ms // 60_000:02}:{time_ms // 1_000 % 60:02}.{time_ms % 1_000:03}"


def write_vtt(*cues: tuple[int, int, str]) -> str:
    return "WEBVTT\n\n" + "".join(f"{stamp(a)} --> {stamp(b)}\n{text}\n\n" for a, b, text in cues)


SPARSE = write_vtt(
    *((start, start + 4_000, f"These are the words at {start}.") for start in range(60_000, 420_000, 90_000))
)
"""Speech of four seconds every minute and a half."""


@pytest.mark.parametrize(
    ("fraction", "voiced_ms", "num_windows"),
    [
        pytest.param(0.0, 0, 0, id="not asked for"),
        pytest.param(1.0, 0, 4, id="one for each window with speech"),
        pytest.param(0.5, 0, 2, id="capped"),
        pytest.param(1.0, 500, 0, id="voice in the gaps"),
    ],
)
def test_gaps_without_a_voice_become_windows_without_speech(
    tmp_path, preparation, fraction, voiced_ms, num_windows
):
    recording = make_recording(tmp_path, audio=make_sound(430), captions=SPARSE)
    settings_ = PreparationSettings(preparation.tokenizer_file, no_speech_fraction=fraction)
    _, packing, report = read_recording(recording, settings_, lambda samples: voiced_ms)
    silent = [window for window in packing.windows if not window.segments]
    assert report.num_no_speech_windows == len(silent) == num_windows
    assert [window.start_ms for window in packing.windows] == sorted(w.start_ms for w in packing.windows)
    check_sums(report)


def test_a_cue_that_was_lost_is_never_inside_a_window_without_speech(tmp_path, preparation):
    captions = write_vtt((60_000, 64_000, "These are words."), (30_000, 30_010, "x" * 300))
    recording = make_recording(tmp_path, audio=make_sound(70), captions=captions)
    settings_ = PreparationSettings(preparation.tokenizer_file, no_speech_fraction=1.0)
    _, packing, _ = read_recording(recording, settings_, lambda samples: 0)
    silent = [(window.start_ms, window.end_ms) for window in packing.windows if not window.segments]
    assert silent
    assert all(end <= 30_000 or start >= 30_010 for start, end in silent)


def test_words_over_which_no_voice_is_heard_are_held_back(tmp_path, preparation):
    captions = write_vtt((0, 25_000, "There is very little said here."), (26_000, 29_000, "Or is there?"))
    recording = make_recording(tmp_path, audio=make_sound(40), captions=captions)
    for voiced_ms, num_held_back in ((0, 1), (3_000, 0)):
        _, packing, report = read_recording(recording, preparation, lambda samples, ms=voiced_ms: ms)
        assert len(packing.held_back) == report.num_broken_windows == num_held_back
        check_sums(report)
    assert report.lost_ms == {"no captions over it": 10_500}


def test_a_window_that_repeats_itself_is_a_row_that_is_never_loaded(tmp_path, preparation):
    lines = ("I will say this once", "I will say this once")
    cues = [(at, at + 3_000, f"{lines[0]}\n{lines[1]}") for at in range(0, 27_000, 3_000)]
    captions = write_vtt(*cues, (40_000, 43_000, "Something else is said."))
    recording = make_recording(tmp_path, audio=make_sound(50), captions=captions)
    (shard,) = build_shards([recording], preparation, tmp_path / "shards")
    assert (shard.report.num_windows, shard.report.num_broken_windows) == (1, 1)
    assert load_examples([shard])["segments"][0][0]["text"] == "Something else is said."
    assert load_rows([shard])["held_back"][:] == ["each thing is said twice or more", ""]
    assert shard.report.lost_cues == {"window held back: each thing is said twice or more": 9}


def test_each_machine_makes_its_share_and_takes_the_others(tmp_path, preparation):
    recordings = [make_recording(tmp_path, f"talk-{number}", make_sound(8)) for number in range(6)]
    shares = [NodeShare(index, 2) for index in range(2)]
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(
            lambda share: build_shards(recordings, preparation, tmp_path / "s", num_workers=1, share=share),
            shares,
        )
    assert first == second
    assert len(list((tmp_path / "s").iterdir())) == 12


def test_the_share_of_a_machine_that_gives_no_sign_is_made_here(tmp_path, preparation, caplog):
    recordings = [make_recording(tmp_path, f"talk-{number}", make_sound(8)) for number in range(4)]
    shards = build_shards(
        recordings, preparation, tmp_path / "s", num_workers=1, share=NodeShare(0, 2), patience_seconds=0
    )
    assert [shard.report.name for shard in shards] == [recording.name for recording in recordings]
    assert "gave no sign" in caplog.text
