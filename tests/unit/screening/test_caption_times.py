"""Recordings as they come from a folder, and the captions that preparation reads."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from speech import StandInTimer
from voices import make_voice

from recipe.audio.decoding import AudioLimits
from recipe.captions.reader import format_webvtt, parse_webvtt, read_captions
from recipe.data.sources import list_recordings, read_folder
from recipe.errors import TrainingError
from recipe.screening.caption_times import TimingSettings, settle_times
from recipe.screening.word_times import TimedWord

WORDS = [f"word{n}" for n in range(60)]
TEXT = ". ".join(" ".join(WORDS[n : n + 5]).capitalize() for n in range(0, 60, 5)) + "."


@pytest.fixture(scope="module")
def sounds() -> dict[str, np.ndarray]:
    voice, pause = make_voice(2.5), np.zeros(16 * 500, np.int16)
    return {"short": np.concatenate([pause, voice, pause]), "long": np.concatenate([pause, voice] * 14)}


def transcript() -> list[TimedWord]:
    """Five words in each of the first twelve stretches of voice."""
    starts = [500 + 3_000 * (n // 5) + 500 * (n % 5) for n in range(60)]
    return [
        TimedWord(word, start, start + 500, 0.9, start, start + 500)
        for word, start in zip(WORDS, starts, strict=True)
    ]


class Bench:
    """A folder of recordings, and a stand-in for the base model that counts how often it is made ready."""

    def __init__(self, folder: Path, **settings) -> None:
        self.folder = folder / "recordings"
        self.folder.mkdir()
        self.timer = StandInTimer(transcript())
        self.num_started = 0
        self.settings = TimingSettings(
            folder=folder / "aligned",
            task="transcribe",
            is_retiming=False,
            limits=AudioLimits(),
            start_timer=self._start,
            identify_model=lambda: "model",
        )
        self.settings = replace(self.settings, **settings)

    def _start(self) -> StandInTimer:
        self.num_started += 1
        return self.timer

    def add(self, name: str, samples: np.ndarray, text: str | bytes, suffix: str = ".txt") -> None:
        soundfile.write(self.folder / f"{name}.wav", samples, 16_000)
        path = self.folder / f"{name}{suffix}"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def settle(self):
        found = [replace(item, language="en") for item in read_folder(self.folder).recordings]
        recordings, warnings = settle_times(found, self.settings)
        return {recording.name: recording for recording in recordings}, warnings


def test_a_short_recordings_text_is_one_cue_over_its_speech_and_needs_no_model(tmp_path, sounds):
    bench = Bench(tmp_path)
    bench.add("talk", sounds["short"], "All that is said.\nNothing & <no one> else.")
    recordings, warnings = bench.settle()
    captions = read_captions(recordings["talk"].transcript.path)
    (cue,) = captions.cues
    assert cue.text == "All that is said. Nothing & <no one> else."
    assert abs(cue.start_ms - 500) < 200
    assert abs(cue.end_ms - 3_000) < 200
    assert bench.num_started == 0
    assert not warnings
    assert recordings["talk"].notes


def test_a_long_recordings_text_becomes_captions_and_the_rest_lost_speech(tmp_path, sounds):
    bench = Bench(tmp_path)
    bench.add("talk", sounds["long"], TEXT)
    recordings, warnings = bench.settle()
    captions = read_captions(recordings["talk"].transcript.path)
    assert " ".join(cue.text for cue in captions.cues) == TEXT
    assert all(cue.end_ms - cue.start_ms <= 3_000 for cue in captions.cues)
    (lost,) = captions.lost_speech_ms  # two more stretches of voice, of which nobody wrote a word
    assert lost == pytest.approx((36_500, 42_000), abs=600)
    assert "100% of its words" in warnings[0]
    assert "60 of 60 words" in recordings["talk"].notes[0]


def test_a_long_row_of_a_table_is_aligned_as_a_text_is(tmp_path, sounds):
    bench = Bench(tmp_path)
    bench.add("talk", sounds["long"], TEXT)
    bench.add("wrong", np.flip(sounds["long"]), "Quite another story about things that nobody said. " * 8)
    bench.add("short", sounds["short"], "Said fast.")
    rows = [
        json.dumps({"file_name": path.with_suffix(".wav").name, "text": path.read_text(), "speaker_id": "a"})
        for path in sorted(bench.folder.glob("*.txt"))
    ]
    for path in bench.folder.glob("*.txt"):
        path.unlink()
    (bench.folder / "metadata.jsonl").write_text("\n".join(rows))
    recordings, warnings = bench.settle()
    assert [*recordings] == ["metadata a 1", "metadata row 2", "metadata row 3"]
    assert len(recordings["metadata a 1"].clips) == 1
    talk, wrong = recordings["metadata row 2"], recordings["metadata row 3"]
    assert " ".join(cue.text for cue in read_captions(talk.transcript.path).cues) == TEXT
    assert (talk.clips, wrong.clips, talk.group) == ((), (), wrong.group)
    assert "does not match its audio" in wrong.transcript.error
    assert "100% of its words" in warnings[0]


def test_a_text_that_does_not_match_is_refused_by_name(tmp_path, sounds):
    bench = Bench(tmp_path)
    bench.add("talk", sounds["long"], "Quite another story about things that nobody ever said aloud.")
    recordings, _ = bench.settle()
    assert recordings["talk"].transcript.path is None
    assert "does not match its audio: 0% of the 10 words" in recordings["talk"].transcript.error


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "no words"), (b"PK\x03\x04" + bytes(99), "binary")],
    ids=["empty", "binary"],
)
def test_what_is_no_text_costs_its_recording_alone(tmp_path, sounds, content, problem):
    bench = Bench(tmp_path)
    bench.add("bad", sounds["long"], content)
    bench.add("good", sounds["long"], TEXT)
    recordings, _ = bench.settle()
    assert problem in recordings["bad"].transcript.error
    assert recordings["good"].transcript.path


def test_a_text_that_has_times_after_all_is_read_as_captions(tmp_path, sounds):
    bench = Bench(tmp_path)
    bench.add("talk", sounds["long"], "1\n00:00:01,000 --> 00:00:02,000\nHello\n")
    recordings, _ = bench.settle()
    assert recordings["talk"].transcript.path == bench.folder / "talk.txt"
    assert bench.num_started == 0


def test_a_long_text_for_translation_is_refused(tmp_path, sounds):
    bench = Bench(tmp_path, task="translate")
    bench.add("talk", sounds["long"], TEXT)
    recordings, _ = bench.settle()
    assert "translation" in recordings["talk"].transcript.error


def test_audio_that_cannot_be_read_is_left_to_the_preparation(tmp_path):
    bench = Bench(tmp_path)
    (bench.folder / "talk.wav").write_bytes(b"no sound")
    (bench.folder / "talk.txt").write_text(TEXT)
    recordings, _ = bench.settle()
    assert recordings["talk"].transcript.path == bench.folder / "talk.txt"


def test_a_resumed_run_finds_the_times_and_makes_damaged_ones_anew(tmp_path, sounds):
    bench = Bench(tmp_path)
    bench.add("talk", sounds["long"], TEXT)
    bench.add("wrong", sounds["long"], "Quite another story about things that nobody ever said aloud.")
    first, _ = bench.settle()
    assert bench.num_started == 1
    assert bench.settle()[0] == first
    assert bench.num_started == 1
    path = first["talk"].transcript.path
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    assert bench.settle()[0] == first
    assert bench.num_started == 2
    assert path.read_bytes() == content


@pytest.mark.parametrize("change", ["text", "audio", "model", "language"])
def test_times_are_made_anew_for_anything_else(tmp_path, sounds, change):
    bench = Bench(tmp_path)
    bench.add("talk", sounds["long"], TEXT)
    bench.settle()
    if change == "text":
        bench.add("talk", sounds["long"], TEXT + " ")
    if change == "audio":
        bench.add("talk", sounds["long"][:-16], TEXT)
    if change == "model":
        bench.settings = replace(bench.settings, identify_model=lambda: "another")
    language = "fr" if change == "language" else "en"
    settle_times(list_recordings(bench.folder, language), bench.settings)
    assert bench.num_started == 2


class BrokenTimer(StandInTimer):
    def transcribe(self, *_arguments):
        raise RuntimeError("out of something")


def test_whatever_goes_wrong_costs_the_recording_alone(tmp_path, sounds, caplog):
    bench = Bench(tmp_path)
    bench.timer = BrokenTimer([])
    bench.add("talk", sounds["long"], TEXT)
    recordings, _ = bench.settle()
    assert recordings["talk"].transcript.error == "the words of its text cannot be timed (RuntimeError)"
    assert "cannot be given times" in caplog.text


def test_what_failed_is_tried_again_by_the_next_attempt(tmp_path, sounds, monkeypatch):
    bench = Bench(tmp_path)
    bench.add("talk", sounds["long"], TEXT)
    good, bench.timer = bench.timer, BrokenTimer([])
    first, _ = bench.settle()
    bench.timer = good
    with monkeypatch.context() as second_process:
        second_process.setenv("LOCAL_RANK", "1")
        assert bench.settle()[0] == first
    assert bench.settle()[0]["talk"].transcript.path


def test_captions_that_cannot_be_judged_stay_and_say_so(tmp_path, sounds):
    bench = Bench(tmp_path, is_retiming=True)
    bench.timer = BrokenTimer([])
    bench.add("talk", sounds["long"], late_captions(), ".vtt")
    recordings, _ = bench.settle()
    assert recordings["talk"].transcript.path == bench.folder / "talk.vtt"
    assert recordings["talk"].notes == (
        "its captions were not re-timed: the words cannot be timed (RuntimeError)",
    )


def test_a_model_that_cannot_be_made_ready_is_no_fault_of_the_recordings(tmp_path, sounds):
    def start() -> StandInTimer:
        raise MemoryError

    bench = Bench(tmp_path, start_timer=start)
    bench.add("talk", sounds["long"], TEXT)
    with pytest.raises(TrainingError, match=r"cannot be made ready to time words \(MemoryError\)"):
        bench.settle()
    bench.settings = replace(bench.settings, start_timer=lambda: bench.timer)
    assert bench.settle()[0]["talk"].transcript.path


def late_captions() -> str:
    cues = [
        f"00:{(2_500 + 3_000 * n) // 60_000:02d}:{(2_500 + 3_000 * n) % 60_000 / 1000:06.3f} --> "
        f"00:{(4_800 + 3_000 * n) // 60_000:02d}:{(4_800 + 3_000 * n) % 60_000 / 1000:06.3f}\n"
        f"{' '.join(WORDS[5 * n : 5 * n + 5])}\n"
        for n in range(12)
    ]
    return "\n".join(["WEBVTT\n", *cues])


def test_loose_captions_are_re_timed_and_the_user_is_told(tmp_path, sounds):
    bench = Bench(tmp_path, is_retiming=True)
    bench.add("talk", sounds["long"], late_captions(), ".vtt")
    recordings, warnings = bench.settle()
    cues = read_captions(recordings["talk"].transcript.path).cues
    assert [cue.text for cue in cues] == [" ".join(WORDS[n : n + 5]) for n in range(0, 60, 5)]
    assert all(abs(cue.start_ms - 500 - 3_000 * n) < 200 for n, cue in enumerate(cues))
    assert "re-timed by -2." in recordings["talk"].notes[0]
    assert recordings["talk"].flags[0].startswith("captions re-timed: -2.")
    assert "talk: its captions were re-timed by -2." in warnings[0]


def test_captions_on_time_stay_the_users_own_file(tmp_path, sounds):
    bench = Bench(tmp_path, is_retiming=True)
    on_time = [
        replace(cue, start_ms=cue.start_ms - 2_000, end_ms=cue.end_ms - 2_000)
        for cue in parse_webvtt(late_captions())
    ]
    bench.add("talk", sounds["long"], format_webvtt(on_time), ".vtt")
    recordings, warnings = bench.settle()
    assert recordings["talk"].transcript.path == bench.folder / "talk.vtt"
    assert "not re-timed: their times are right" in recordings["talk"].notes[0]
    assert not warnings


def test_captions_are_not_judged_unless_asked(tmp_path, sounds):
    bench = Bench(tmp_path)
    bench.add("talk", sounds["long"], late_captions(), ".vtt")
    recordings, _ = bench.settle()
    assert recordings["talk"].transcript.path == bench.folder / "talk.vtt"
    assert not recordings["talk"].notes
    assert bench.num_started == 0


def test_timed_captions_come_before_a_text_and_a_readme_is_no_recording(tmp_path, sounds):
    bench = Bench(tmp_path)
    bench.add("talk", sounds["long"], TEXT)
    bench.add("talk", sounds["long"], late_captions(), ".vtt")
    (bench.folder / "README.txt").write_text("About these recordings.")
    recordings, _ = bench.settle()
    assert {name: item.transcript.path.name for name, item in recordings.items()} == {"talk": "talk.vtt"}
