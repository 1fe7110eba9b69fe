"""Real speech whose captions lost their times, and what the base models make of it."""

import random
import shutil

import numpy as np
import pytest
import torch

from recipe.arguments import ModelArguments
from recipe.audio.decoding import AudioLimits
from recipe.captions.reader import Cue, read_captions
from recipe.data.sources import list_recordings
from recipe.model.whisper import Whisper, load_whisper
from recipe.screening.caption_times import TimingSettings, settle_times
from recipe.screening.word_times import Ctranslate2WordTimer

pytestmark = pytest.mark.network


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


def settle(folder, whisper: Whisper, language: str, **settings):
    made = TimingSettings(
        folder=folder.parent / f"aligned-{folder.name}",
        task=whisper.task,
        is_retiming=settings.get("is_retiming", False),
        limits=AudioLimits(),
        start_timer=lambda: Ctranslate2WordTimer(whisper),
        identify_model=lambda: "",
    )
    (recording,), _ = settle_times(list_recordings(folder, language), made)
    return recording


def copy_recording(corpus, name: str, folder) -> list[Cue]:
    """Put the audio into a new folder; the true cues."""
    folder.mkdir()
    (audio,) = [path for path in corpus.glob(f"{name}.*") if path.suffix != ".vtt"]
    shutil.copy(audio, folder)
    return list(read_captions(corpus / f"{name}.vtt").cues)


def start_errors_ms(made: list[Cue], true: list[Cue]) -> list[int]:
    texts = [cue.text for cue in true]
    starts = {cue.text: cue.start_ms for cue in true if texts.count(cue.text) == 1}
    return [abs(cue.start_ms - starts[cue.text]) for cue in made if cue.text in starts]


def test_an_english_only_model_finds_a_texts_times(tiny_en_model_dir, corpus_en_dir, tmp_path):
    true = copy_recording(corpus_en_dir, "prompts-en-01", tmp_path / "text")
    chance = random.Random(0)
    lines = [
        " ".join("changed" if chance.random() < 0.05 else word for word in cue.text.split()) for cue in true
    ]
    lines[20:20] = [
        "3",
        "",
        "CHAPTER TWO",
        "An added sentence that nobody says, about nothing in particular.",
    ]
    (tmp_path / "text/prompts-en-01.txt").write_text("\n".join(lines))
    recording = settle(tmp_path / "text", load_whisper(ModelArguments(str(tiny_en_model_dir))), "en")
    captions = read_captions(recording.transcript.path)
    errors = start_errors_ms(list(captions.cues), true)
    assert len(errors) > len(true) / 2
    assert np.median(errors) < 150
    assert np.percentile(errors, 90) < 500
    text = " ".join(cue.text for cue in captions.cues)
    assert len(text) > 0.9 * len(" ".join(cue.text for cue in true))
    assert "CHAPTER" not in text
    assert "nobody" not in text


@pytest.mark.slow
def test_a_multilingual_model_mends_captions_that_drift(base_model_dir, corpus_fr_dir, tmp_path):
    true = copy_recording(corpus_fr_dir, "prompts-fr-02", tmp_path / "drift")
    moved = [(cue.start_ms * 25 / 23.976, cue.end_ms * 25 / 23.976, cue.text) for cue in true]
    blocks = [
        f"{int(start // 60_000):02d}:{start % 60_000 / 1000:06.3f} --> "
        f"{int(end // 60_000):02d}:{end % 60_000 / 1000:06.3f}\n{text}\n"
        for start, end, text in moved
    ]
    (tmp_path / "drift/prompts-fr-02.vtt").write_text("\n".join(["WEBVTT\n", *blocks]))
    whisper = load_whisper(ModelArguments(str(base_model_dir)))
    recording = settle(tmp_path / "drift", whisper, "fr", is_retiming=True)
    made = list(read_captions(recording.transcript.path).cues)
    assert "drifting by -4.0" in recording.notes[0]
    errors = start_errors_ms(made, true)
    assert len(errors) > 0.7 * len(true)
    assert np.median(errors) < 150
