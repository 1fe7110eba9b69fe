"""Whole recordings through the real faster-whisper, on a tiny model; and the sounds that are made."""

import importlib
import shutil
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tiny_trainers import make_example, make_examples, tiny_whisper

from recipe.audio.decoding import AudioLimits
from recipe.data.manifest import Clip, LocalFile, Recording
from recipe.errors import DataError, TrainingError
from recipe.evaluation import ctranslate
from recipe.evaluation.ctranslate import load_cublas
from recipe.evaluation.long_form import Recogniser, measure_long_form, open_recogniser
from recipe.evaluation.long_form_scores import Decoded, build_references
from recipe.evaluation.made_sounds import NOISE_DB, make_sounds

CPU = torch.device("cpu")


def recording_of(path: Path, name: str = "talk") -> Recording:
    return Recording(name, LocalFile(path), LocalFile(None))


@pytest.fixture
def sound(tmp_path) -> Path:
    path = tmp_path / "talk.flac"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 40 * 16_000), 16_000)
    return path


class Ear:
    """Stands where the model is, to see what it is given; writes one word a second."""

    task = "transcribe"

    def __init__(self) -> None:
        self.given: list[int] = []
        self.terms: list[tuple[str, ...]] = []

    def transcribe(self, samples, language, terms):
        self.terms.append(tuple(terms))
        self.given.append(len(samples) // 16)
        return [Decoded(ms, ms + 500, "un") for ms in range(0, 2_000, 1_000)]


def references(partly: frozenset[str] = frozenset()):
    text = [{"start_ms": 0, "end_ms": 1_000, "text": "un un"}]
    examples = [make_example(start_ms=10_000, end_ms=12_000, segments=text)]
    return build_references(make_examples(examples), partly, "transcribe")


def test_a_recording_that_is_only_partly_for_the_test_is_transcribed_there_and_times_stay_its_own(sound):
    ear = Ear()
    whole = measure_long_form(ear, references(), [recording_of(sound)], AudioLimits())
    part = measure_long_form(ear, references(frozenset({"talk"})), [recording_of(sound)], AudioLimits())
    assert ear.given[0] == 40_000
    assert ear.given[4] == 2_000
    assert whole.recordings[0].scores.words.num_hits == 0, "it wrote in the first two seconds"
    assert part.recordings[0].scores.words.num_hits == 2
    assert part.recordings[0].start_errors_ms == [0]
    assert part.words_on == {"silence": 2, "noise": 2, "music": 2}


def test_recordings_and_made_sounds_are_transcribed_with_the_terms(sound):
    ear = Ear()
    measure_long_form(ear, references(), [recording_of(sound)], AudioLimits(), terms=["Ana", "Benito"])
    assert ear.terms == [("Ana", "Benito")] * 4


def test_sentences_with_sounds_of_their_own_are_transcribed_one_after_another(sound, tmp_path):
    short = tmp_path / "clip.wav"
    soundfile.write(short, np.random.default_rng(0).normal(0, 0.1, 5 * 16_000), 16_000)
    clips = tuple(Clip(LocalFile(short), "un", row=row) for row in (1, 2))
    recording = Recording("talk", LocalFile(None), LocalFile(None), clips=clips)
    ear = Ear()
    measure_long_form(ear, references(), [recording], AudioLimits())
    assert 10_300 <= ear.given[0] <= 10_800


def test_a_recording_that_cannot_be_read_is_named_and_nothing_read_is_refused(sound, tmp_path):
    text = [{"start_ms": 0, "end_ms": 1_000, "text": "un"}]
    examples = make_examples(make_example(recording=name, segments=text) for name in ("talk", "gone"))
    found = build_references(examples, frozenset(), "transcribe")
    recordings = [recording_of(sound), recording_of(tmp_path / "gone.wav", "gone")]
    long_form = measure_long_form(Ear(), found, recordings, AudioLimits())
    assert [item.recording for item in long_form.recordings] == ["talk"]
    (sentence,) = long_form.unread
    assert sentence.startswith("gone was not transcribed whole: ")
    with pytest.raises(DataError, match="No recording could be transcribed whole"):
        measure_long_form(Ear(), found[:1], recordings[1:], AudioLimits())


def test_a_model_goes_through_faster_whisper(sound, tmp_path):
    # To CTranslate2 a vocabulary as small as this model's is that of an English-only one.
    with open_recogniser(tiny_whisper(tmp_path / "tiny"), CPU) as recogniser:
        first, second = (
            measure_long_form(recogniser, references(), [recording_of(sound)], AudioLimits())
            for _ in range(2)
        )
    assert first.recordings[0].audio_seconds == 40
    assert first.scores == second.scores, "greedy, so the same each time"
    assert first.words_on == second.words_on
    assert set(first.words_on) == {"silence", "noise", "music"}


def test_a_folder_that_holds_no_model_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="faster-whisper cannot open the model in"):
        Recogniser(tmp_path, CPU)


def test_the_made_sounds_are_the_same_each_time_and_as_loud_as_they_say():
    sounds, again = make_sounds(), make_sounds()
    for name, samples in sounds.items():
        assert samples.dtype == np.float32
        assert samples.shape == (60 * 16_000,)
        np.testing.assert_array_equal(samples, again[name])
    assert not sounds["silence"].any()
    assert 20 * np.log10(np.sqrt(np.mean(sounds["noise"] ** 2))) == pytest.approx(NOISE_DB, abs=0.1)
    assert 0.1 < abs(sounds["music"]).max() < 0.5


@pytest.fixture
def cuda_package(tmp_path, monkeypatch) -> str:
    """A package like NVIDIA's, with a library where those have it."""
    library = Path(sysconfig.get_config_var("DESTSHARED")).glob("_bisect*.so")
    (tmp_path / "site" / "maker" / "blas" / "lib").mkdir(parents=True)
    shutil.copy(next(library), tmp_path / "site" / "maker" / "blas" / "lib" / "libmade.so.12")
    monkeypatch.syspath_prepend(tmp_path / "site")
    importlib.invalidate_caches()
    yield "maker.blas"
    sys.modules.pop("maker", None)


def test_a_library_is_found_in_its_package_and_a_missing_one_is_told(cuda_package, monkeypatch):
    assert load_cublas(("libmade.so.12",), cuda_package)
    assert not load_cublas(("libmade.so.12", "libabsent.so.12"), cuda_package)
    assert not load_cublas(("libmade.so.12",), "maker.absent")
    assert load_cublas(("libc.so.6",), "no.such.package"), "the system's own"
    monkeypatch.setattr(ctranslate, "load_cublas", lambda: False)
    assert "nvidia-cublas-cu12" in ctranslate.find_gpu_problem(torch.device("cuda"))
    assert ctranslate.find_gpu_problem(CPU) == ""
