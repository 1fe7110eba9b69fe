from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from voices import make_noise, make_voice

from recipe.audio.decoding import AudioLimits, encode_flac
from recipe.data.recording import PreparationSettings, read_recording
from recipe.errors import DataError

VTT = "WEBVTT\n\n00:01.000 --> 00:03.000\nHello there.\n\n00:03.500 --> 00:06.000\nHow are you?\n"


def make_sound(seconds: float, level: int = 3_000) -> bytes:
    return encode_flac(make_noise(seconds, level))


VOICE = encode_flac(make_voice(40))


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
    make_recording, preparation, audio, captions, rule, outcome, num_windows, num_words
):
    recording = make_recording(audio=audio, captions=captions)
    samples, packing, report = read_recording(
        recording, PreparationSettings(preparation.tokenizer_file, empty_transcript=rule)
    )
    assert (report.outcome, len(packing.windows)) == (outcome, num_windows)
    assert sum(len(window.text.split()) for window in packing.windows) == num_words
    assert bool(report.reason) == (outcome != "speech")
    if audio is None or audio.startswith(b"<"):
        assert not samples.any()


@pytest.mark.parametrize(
    ("changes", "outcome", "reason"),
    [
        pytest.param(
            {"limits": AudioLimits(max_seconds=None)},
            "silence",
            "its audio cannot be used: it cannot be read (TypeError)",
            id="audio",
        ),
        pytest.param(
            {"suppressed_symbols": frozenset({5})},
            "silence",
            "the caption file cannot be read (AttributeError)",
            id="captions",
        ),
    ],
)
def test_whatever_a_library_raises_is_the_error_of_its_file(
    make_recording, preparation, changes, outcome, reason
):
    """Settings of a wrong type stand for a fault that only some file brings out."""
    _, _, report = read_recording(make_recording(), replace(preparation, **changes))
    assert report.outcome == outcome
    assert report.reason.startswith(reason)


def test_missing_captions_can_be_made_an_error(make_recording, preparation):
    recording = make_recording(audio=make_sound(8), captions=None)
    with pytest.raises(DataError, match="talk: there is no vtt; empty_transcript is set to fail"):
        read_recording(recording, PreparationSettings(preparation.tokenizer_file, empty_transcript="fail"))


def check_sums(report) -> None:
    assert report.audio_ms == report.kept_ms + sum(report.lost_ms.values())
    assert report.num_cues == report.num_cues_kept + sum(report.lost_cues.values())
    assert report.num_cues_kept >= 0


cue_times = st.tuples(st.integers(0, 90_000), st.integers(-500, 40_000))
cue_texts = st.text(alphabet="ab é<>&\n-[]♪:", max_size=60)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(cue_times, cue_texts), max_size=12), st.floats(0.1, 70))
def test_the_sums_hold_on_broken_captions(make_recording, write_vtt, preparation, cues, seconds):
    captions = write_vtt(*((start, start + length, text) for (start, length), text in cues))
    recording = make_recording(audio=make_sound(seconds), captions=captions)
    _, packing, report = read_recording(recording, preparation)
    check_sums(report)
    num_kept = sum(s.end_ms is not None for window in packing.windows for s in window.segments)
    assert report.num_cues_kept == num_kept


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
    make_recording, write_vtt, preparation, fraction, voiced_ms, num_windows
):
    starts_ms = range(60_000, 420_000, 90_000)
    sparse = write_vtt(*((start, start + 4_000, f"These are the words at {start}.") for start in starts_ms))
    recording = make_recording(audio=make_sound(430), captions=sparse)
    settings_ = PreparationSettings(preparation.tokenizer_file, no_speech_fraction=fraction)
    _, packing, report = read_recording(recording, settings_, lambda samples: voiced_ms)
    silent = [window for window in packing.windows if not window.segments]
    assert report.num_no_speech_windows == len(silent) == num_windows
    assert [window.start_ms for window in packing.windows] == sorted(w.start_ms for w in packing.windows)
    check_sums(report)


def test_a_cue_that_was_lost_is_never_inside_a_window_without_speech(make_recording, write_vtt, preparation):
    captions = write_vtt((60_000, 64_000, "These are words."), (30_000, 30_010, "x" * 300))
    recording = make_recording(audio=make_sound(70), captions=captions)
    settings_ = PreparationSettings(preparation.tokenizer_file, no_speech_fraction=1.0)
    _, packing, _ = read_recording(recording, settings_, lambda samples: 0)
    silent = [(window.start_ms, window.end_ms) for window in packing.windows if not window.segments]
    assert silent
    assert all(end <= 30_000 or start >= 30_010 for start, end in silent)


def test_words_over_which_there_is_no_voice_are_not_used(make_recording, write_vtt, preparation):
    captions = write_vtt((0, 25_000, "There is very little said here."), (26_000, 29_000, "Or is there?"))
    recording = make_recording(audio=make_sound(40), captions=captions)
    for voiced_ms, num_faulty in ((0, 1), (3_000, 0)):
        _, packing, report = read_recording(recording, preparation, lambda samples, ms=voiced_ms: ms)
        assert len(packing.faulty) == report.num_faulty_windows == num_faulty
        check_sums(report)
    assert report.lost_ms == {"no captions over it": 10_500}


def said(*numbers: int, length_ms: int = 3_000) -> list[tuple[int, int, str]]:
    """A cue every five seconds, each with words of its own."""
    texts = [
        "The river rises.",
        "We wait here.",
        "Nobody crosses.",
        "It comes at six.",
        "So we sleep.",
        "And eat.",
    ]
    return [(n * 5_000, n * 5_000 + length_ms, texts[n % len(texts)]) for n in numbers]


FAST = [(n * 5_000, n * 5_000 + 100, "far more than anybody says in that time " * 3) for n in range(6, 12)]
SOUNDS = [(n * 5_000, n * 5_000 + 3_000, "[Music]") for n in range(6, 14)]
CREDITS = [(n * 5_000, n * 5_000 + 3_000, f"Subtitles by www.example{n}.org") for n in (0, 2, 3)]
PAST_THE_END = [(n * 5_000, n * 5_000 + 3_000, "Said elsewhere.") for n in range(20, 26)]
TOO_LONG = [(40_000, 75_000, "It is all in here, and goes on and on. " * 12)]


@pytest.mark.parametrize(
    ("cues", "outcome", "reason"),
    [
        pytest.param(said(*range(6)), "speech", "", id="nothing lost"),
        pytest.param([*said(0), *SOUNDS], "speech", "", id="sounds are no loss"),
        pytest.param([CREDITS[0], *said(1), *CREDITS[1:]], "speech", "", id="credits are no loss"),
        pytest.param([*said(*range(6)), *FAST[:3]], "speech", "", id="a third lost"),
        pytest.param(
            [*said(*range(5)), *FAST[:6]], "skipped", "6 of its 11 cues", id="more than half too fast"
        ),
        pytest.param(
            [*said(*range(4)), *PAST_THE_END], "skipped", "past the end of the audio", id="another recording"
        ),
        pytest.param(
            [*said(*range(4)), *TOO_LONG], "skipped", "1 of its 5 cues", id="more than half of the time"
        ),
        pytest.param(FAST, "skipped", "more text than can be said", id="all lost"),
        pytest.param(PAST_THE_END, "skipped", "late, or is it another recording?", id="all past the end"),
        pytest.param(
            [(start + 36_000_000, end + 36_000_000, text) for start, end, text in said(*range(6))],
            "speech",
            "",
            id="all ten hours late",
        ),
    ],
)
def test_a_file_that_is_mostly_lost_is_skipped_with_the_reason(
    make_recording, write_vtt, preparation, cues, outcome, reason
):
    recording = make_recording(audio=make_sound(90), captions=write_vtt(*cues))
    _, packing, report = read_recording(recording, preparation, lambda samples: 0)
    assert (report.outcome, bool(packing.windows)) == (outcome, outcome == "speech"), report.reason
    assert reason in report.reason
    assert bool(report.reason) == (outcome != "speech")
    check_sums(report)


def test_captions_in_other_letters_are_named_in_the_report(make_recording, write_vtt, preparation):
    for language, outcome in (("", "speech"), ("en", "speech"), ("ru", "skipped")):
        recording = make_recording(audio=VOICE, captions=write_vtt(*said(*range(6))))
        _, _, report = read_recording(replace(recording, language=language), preparation)
        assert report.outcome == outcome
    assert "100% of the letters are Latin" in report.reason
    recording = make_recording(
        audio=VOICE, captions=write_vtt(*said(*range(5)), (25_000, 28_000, "Мы ждём парома."))
    )
    _, _, report = read_recording(replace(recording, language="en"), preparation)
    assert any(flag.startswith("letters of another script: ") for flag in report.flags)
