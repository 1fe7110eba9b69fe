"""Which language each recording has, by what is said of it and by what the model detects."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from deadly import decode_or_die
from tiny_trainers import tiny_whisper

from recipe.arguments import ModelArguments
from recipe.audio.decoding import encode_flac
from recipe.data.manifest import Clip, LocalFile, Recording
from recipe.data.rows import IN_CLIPS
from recipe.errors import DataError, JobError
from recipe.model.checkpoint import load_outline
from recipe.model.whisper import Whisper
from recipe.screening.languages import check_language, check_task, detect_languages, settle_languages

LANGUAGES = ("en", "zh", "de", "es", "ru", "ko", "fr")


@pytest.fixture(scope="module")
def multilingual(tmp_path_factory) -> Whisper:
    return tiny_whisper(tmp_path_factory.mktemp("tiny"), languages=LANGUAGES)


@pytest.fixture(scope="module")
def english(tmp_path_factory) -> Whisper:
    return tiny_whisper(tmp_path_factory.mktemp("tiny-en"), is_multilingual=False)


def make_recording(folder: Path, name: str, tag: str = "", header: str = "") -> Recording:
    """Half a second of noise with captions: a tag in their name, a header in their text."""
    audio, captions = folder / f"{name}.flac", folder / f"{name}.vtt"
    noise = np.random.default_rng(0).integers(-3_000, 3_000, 8_000)
    audio.write_bytes(encode_flac(noise.astype(np.int16)))
    captions.write_text(f"WEBVTT\n{header}\n\n00:00.000 --> 00:00.400\nHello.\n")
    return Recording(name, LocalFile(audio), LocalFile(captions), tag)


def settle(recordings, whisper, **options) -> dict[str, str]:
    settled, _ = settle_languages(recordings, ModelArguments(**options), whisper)
    return {recording.name: recording.language for recording in settled}


@pytest.mark.parametrize(
    ("tag", "header", "options", "expected"),
    [
        pytest.param("fr-CA", "", {}, "fr", id="the file name's tag"),
        pytest.param("fre", "", {}, "fr", id="a tag of three letters"),
        pytest.param("", "Language: de", {}, "de", id="the file's header"),
        pytest.param("new", "Language: de", {}, "de", id="a tag that names no language"),
        pytest.param("fr", "Language: de", {}, "fr", id="the name before the header"),
        pytest.param("fr", "", {"language": "Spanish"}, "es", id="the job before the tag"),
        pytest.param("en", "", {"language": "fr", "task": "translate"}, "fr", id="translated from French"),
    ],
)
def test_the_first_that_says_it_tells_the_language(tmp_path, multilingual, tag, header, options, expected):
    assert settle([make_recording(tmp_path, "talk", tag, header)], multilingual, **options) == {
        "talk": expected
    }


def test_languages_are_settled_recording_by_recording_and_not_detected_in_the_tagged(tmp_path, multilingual):
    recordings = [make_recording(tmp_path, "a", "fr"), make_recording(tmp_path, "b", "en")]
    settled, warnings = settle_languages(recordings, ModelArguments(), multilingual)
    assert [recording.language for recording in settled] == ["fr", "en"]
    assert warnings == []


def test_what_nobody_says_is_detected_and_told(tmp_path, multilingual):
    recordings = [make_recording(tmp_path, "a"), make_recording(tmp_path, "b", "fr")]
    settled, (warning,) = settle_languages(recordings, ModelArguments(), multilingual)
    assert settled[0].language in LANGUAGES
    assert settled[1].language == "fr"
    assert "for 1 recordings; the base model detected" in warning
    assert f"({settled[0].language}) in 1" in warning


def test_a_file_that_crashes_the_decoder_costs_only_its_own_answer(tmp_path, multilingual, monkeypatch):
    monkeypatch.setattr("recipe.screening.language_detection.decode_beginning", decode_or_die)
    names = ("a", "deadly", "z")
    found = settle([make_recording(tmp_path, name) for name in names], multilingual)
    assert found == settle([make_recording(tmp_path, name) for name in ("a", "z")], multilingual) | {
        "deadly": found["a"]
    }


def test_tags_of_translations_do_not_say_what_is_spoken(tmp_path, multilingual):
    recordings = [make_recording(tmp_path, "a", "en"), make_recording(tmp_path, "b", "fr")]
    arguments = ModelArguments(task="translate")
    settled, (warning,) = settle_languages(recordings, arguments, multilingual)
    assert "for 2 recordings" in warning
    assert settled[0].transcript == recordings[0].transcript
    assert settled[1].transcript == LocalFile(
        None, "its captions are in French (fr), and the task translate learns from English ones"
    )


def test_an_english_only_checkpoint_takes_all_for_english(tmp_path, english):
    assert settle([make_recording(tmp_path, "a", "fr")], english, language="fr") == {"a": "en"}


def test_a_recording_in_a_language_that_the_checkpoint_has_no_token_for_is_named(tmp_path, multilingual):
    recordings = [make_recording(tmp_path, "talk", "fr"), make_recording(tmp_path, "lecture", "ja")]
    with pytest.raises(JobError, match=r"Recording 'lecture' is in Japanese \(ja\), for which"):
        settle(recordings, multilingual)


@pytest.mark.parametrize(
    ("language", "message"),
    [("Klingon", "'Klingon' is not known to Whisper"), ("ja", "no token for 'ja'")],
)
def test_a_job_in_an_unknown_language_is_refused(multilingual, language, message):
    with pytest.raises(JobError, match=message):
        check_language(language, multilingual)


FRENCH, ENGLISH, UNSURE = ("fr", 0.99), ("en", 0.99), ("de", 0.5)


@pytest.mark.parametrize(
    ("answers", "known", "expected", "num_asked"),
    [
        pytest.param([FRENCH] * 40, [], ["fr"] * 40, 8, id="a sample that agrees speaks for all"),
        pytest.param([FRENCH, UNSURE] * 3, [], ["fr"] * 6, 6, id="an unsure one goes with most"),
        pytest.param([FRENCH, ENGLISH, ENGLISH], [], ["fr", "en", "en"], 3, id="two languages"),
        pytest.param(
            [FRENCH, ENGLISH, FRENCH, ENGLISH, FRENCH] * 7,
            [],
            ["fr", "en", "fr", "en", "fr"] * 7,
            35,
            id="a sample that disagrees: all are asked",
        ),
        pytest.param([None, FRENCH], ["en"], ["fr", "fr"], 2, id="one without sound goes with most"),
        pytest.param([None], ["en", "fr", "fr"], ["fr"], 1, id="or with most of the tagged"),
    ],
)
def test_languages_follow_the_answers_of_the_model(answers, known, expected, num_asked):
    missing = LocalFile(None)
    recordings = [Recording(f"r{index:02}", missing, missing) for index in range(len(answers))]
    asked = []

    def detect(recording):
        asked.append(recording.name)
        return answers[int(recording.name[1:])]

    detected = detect_languages(recordings, known, detect)
    assert [detected[recording.name] for recording in recordings] == expected
    assert len(asked) == len(set(asked)) == num_asked


def test_nothing_said_and_nothing_detected_is_an_error():
    recording = Recording("r", LocalFile(None), LocalFile(None))
    with pytest.raises(DataError, match="set the option language"):
        detect_languages([recording], [], lambda _: None)


def test_an_english_only_checkpoint_cannot_translate(english):
    with pytest.raises(JobError, match="English-only checkpoint and cannot translate"):
        check_task(ModelArguments(task="translate"), english)
    assert check_task(ModelArguments(), english) == []


def test_a_cut_down_decoder_is_warned_of_before_it_translates(multilingual, tmp_path):
    assert check_task(ModelArguments(task="translate"), multilingual) == []
    cut_down = tiny_whisper(tmp_path, num_layers=3, num_decoder_layers=1)
    (warning,) = check_task(ModelArguments(task="translate"), cut_down)
    assert check_task(ModelArguments(), cut_down) == []
    assert "1 of 3 layers" in warning


def make_sentences(folder: Path, name: str, tag: str = "", *, num_damaged: int = 0) -> Recording:
    """Two sentences with half a second of noise each."""
    sounds = [make_recording(folder, f"{name}-{number}").audio for number in range(2)]
    for sound in sounds[:num_damaged]:
        sound.path.write_bytes(b"")
    clips = tuple(Clip(sound, "Hello.", row=number) for number, sound in enumerate(sounds, start=1))
    return Recording(name, IN_CLIPS, IN_CLIPS, tag, clips=clips)


@pytest.mark.parametrize(
    ("tag", "options", "expected"),
    [
        pytest.param("fr", {}, "fr", id="its column"),
        pytest.param("zh-TW", {}, "zh", id="a locale"),
        pytest.param("french", {"language": "de"}, "de", id="the option first"),
        pytest.param("fr", {"task": "translate"}, "fr", id="a column says what is spoken"),
    ],
)
def test_sentences_are_in_the_language_of_their_column(tmp_path, multilingual, tag, options, expected):
    assert settle([make_sentences(tmp_path, "a", tag)], multilingual, **options) == {"a": expected}


@pytest.mark.parametrize("num_damaged", [0, 1])
def test_the_language_of_sentences_is_detected_from_their_sounds(tmp_path, multilingual, num_damaged):
    recording = make_sentences(tmp_path, "a", num_damaged=num_damaged)
    assert settle([recording], multilingual)["a"] in LANGUAGES


def test_sentences_without_any_sound_leave_their_language_open(tmp_path, multilingual):
    with pytest.raises(DataError, match="no recording has sound to detect it from"):
        settle([make_sentences(tmp_path, "a", num_damaged=2)], multilingual)


def test_many_recordings_take_a_moment(tmp_path, multilingual):
    one = make_recording(tmp_path, "talk", "fr")
    recordings = [replace(one, name=f"talk-{number}", transcript=LocalFile(None)) for number in range(20_000)]
    began = time.process_time()
    assert set(settle(recordings, multilingual, language="fr").values()) == {"fr"}
    assert time.process_time() - began < 3


def test_a_language_is_detected_where_the_weights_were_not_loaded(tmp_path, multilingual):
    multilingual.model.save_pretrained(tmp_path / "model")
    multilingual.processor.save_pretrained(tmp_path / "model")
    recordings = [make_recording(tmp_path, "a"), make_recording(tmp_path, "b", "fr")]
    arguments = ModelArguments(str(tmp_path / "model"))
    expected = settle_languages(recordings, arguments, multilingual)
    assert settle_languages(recordings, arguments, load_outline(arguments)) == expected
