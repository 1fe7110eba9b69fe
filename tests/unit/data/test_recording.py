import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recipe.arguments import DataArguments
from recipe.data.audio import encode_flac
from recipe.data.dataset import build_shards, load_examples
from recipe.data.manifest import LocalFile, Recording
from recipe.data.preparation import prepare_dataset
from recipe.data.quality import compression_ratio, is_silent
from recipe.data.recording import PreparationSettings, read_recording
from recipe.data.report import build_report, check_fallbacks
from recipe.errors import DataError
from recipe.training.tiny import build_tiny_whisper

VTT = "WEBVTT\n\n00:01.000 --> 00:03.000\nHello there.\n\n00:03.500 --> 00:06.000\nHow are you?\n"


@pytest.fixture(scope="module")
def preparation(tmp_path_factory) -> PreparationSettings:
    return PreparationSettings(build_tiny_whisper(tmp_path_factory.mktemp("tiny")) / "tokenizer.json", "en")


def make_sound(seconds: float, level: int = 3_000) -> bytes:
    samples = np.random.default_rng(0).integers(-level, level + 1, round(seconds * 16_000))
    return encode_flac(samples.astype(np.int16))


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
        pytest.param(make_sound(40), None, "auto", "skipped", 0, 0, id="captions-missing-over-speech"),
        pytest.param(make_sound(40), "WEBVTT\n", "auto", "skipped", 0, 0, id="captions-empty-over-speech"),
        pytest.param(
            make_sound(40, 3), "WEBVTT\n", "auto", "silence", 2, 0, id="captions-empty-over-silence"
        ),
        pytest.param(make_sound(40), "WEBVTT\n", "minimal", "silence", 2, 0, id="minimal"),
        pytest.param(make_sound(40, 3), "WEBVTT\n", "skip", "skipped", 0, 0, id="skip"),
        pytest.param(make_sound(8), '{"error": 1}', "auto", "skipped", 0, 0, id="json-instead-of-captions"),
    ],
)
def test_bad_data_ends_as_the_contract_says(
    tmp_path, preparation, audio, captions, rule, outcome, num_windows, num_words
):
    recording = make_recording(tmp_path, audio=audio, captions=captions)
    samples, packing, report = read_recording(
        recording, PreparationSettings(preparation.tokenizer_file, "en", rule)
    )
    assert (report.outcome, len(packing.windows)) == (outcome, num_windows)
    assert sum(len(window.text.split()) for window in packing.windows) == num_words
    assert bool(report.reason) == (outcome != "speech")
    if audio is None or audio.startswith(b"<"):
        assert not samples.any()


def test_missing_captions_can_be_made_an_error(tmp_path, preparation):
    recording = make_recording(tmp_path, audio=make_sound(8), captions=None)
    with pytest.raises(DataError, match="talk: there is no vtt; empty_transcript is set to fail"):
        read_recording(recording, PreparationSettings(preparation.tokenizer_file, "en", "fail"))


def check_sums(report) -> None:
    assert report.audio_ms == report.kept_ms + sum(report.lost_ms.values())
    assert report.num_cues == report.num_cues_kept + sum(report.lost_cues.values())
    assert report.num_cues_kept >= 0


cue_times = st.tuples(st.integers(0, 90_000), st.integers(-500, 40_000))
cue_texts = st.text(alphabet="ab é<>&\n-[]♪:", max_size=60)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(cue_times, cue_texts), max_size=12), st.floats(0.1, 70))
def test_the_sums_hold_on_broken_captions(tmp_path, preparation, cues, seconds):
    def stamp(time_ms: int) -> str:
        return f"{time_ms // 60_000:02}:{time_ms // 1_000 % 60:02}.{time_ms % 1_000:03}"

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


def test_the_whole_dataset_adds_up_and_holds_a_recording_out(tmp_path, preparation):
    recordings = [make_recording(tmp_path, f"talk-{number}", make_sound(8)) for number in range(4)]
    recordings.append(make_recording(tmp_path, "untold", make_sound(8), None))
    data = prepare_dataset(recordings, preparation, DataArguments(), tmp_path / "prepared")
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
    with pytest.raises(DataError, match=r"1 of 2 windows .* bad: silence: bad\.flac: "):
        check_fallbacks(reports, 0.1)
    check_fallbacks(reports, 0.5)
    with pytest.raises(DataError, match="None of the 1 recordings can be trained on"):
        check_fallbacks(reports[1:], 1.0)
    assert build_report(reports, 1, 0)["num_fallback_recordings"] == 1


def test_silence_is_quiet_and_hardly_interrupted():
    noise = np.random.default_rng(0).integers(-20, 20, 160_000).astype(np.int16)
    assert is_silent(noise)
    noise[8_000:40_000] *= 200
    assert not is_silent(noise)
    assert is_silent(np.zeros(0, np.int16))


def test_repetition_shows_in_the_compression_ratio():
    assert compression_ratio("so so so " * 40) > 2.4 > compression_ratio("Nothing is said here twice.")
