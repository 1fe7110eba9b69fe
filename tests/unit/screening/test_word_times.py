import numpy as np
import pytest
import torch
from tiny_trainers import tiny_whisper

from recipe.screening.word_times import Ctranslate2WordTimer, split_text

SPANS = [(0, 5_000), (5_000, 30_000), (40_000, 40_700)]


@pytest.fixture(scope="module")
def samples():
    return np.random.default_rng(0).integers(-3_000, 3_000, 16 * 45_000).astype(np.int16)


@pytest.fixture(scope="module")
def timer(tmp_path_factory):
    return Ctranslate2WordTimer(tiny_whisper(tmp_path_factory.mktemp("model") / "tiny"))


def test_words_of_a_random_model_lie_in_their_spans_in_order(timer, samples):
    words = timer.transcribe(samples, SPANS, "en")  # often none: it knows no word
    for word in words:
        assert any(start <= word.start_ms <= word.end_ms <= end for start, end in SPANS)
        assert 0 <= word.probability <= 1
    assert [word.start_ms for word in words] == sorted(word.start_ms for word in words)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("— Bonjour, dit-elle ; « qui est là ? »", "fr"),
        ("¿Qué hora es? ¡No lo sé!", "es"),
        ("это «книга» — да", "ru"),
        ("これは本です。", "ja"),
        ("यह किताब है।", "hi"),
        ("3,5 % of 100 $", "en"),
        ("…", "en"),
        ("word", "en"),
    ],
)
def test_each_word_of_a_text_gets_a_time(timer, samples, text, language):
    words = split_text(text, language)
    timed = timer.align(samples, (1_000, 9_000), words, language)
    assert [word.text for word in timed] == words
    for word in timed:
        assert 1_000 <= word.earliest_ms <= word.start_ms + 20
        assert word.start_ms <= word.end_ms <= word.latest_ms + 20 <= 9_020


def test_a_text_that_the_decoder_cannot_hold_has_no_times(timer, samples):
    assert timer.align(samples, (0, 20_000), ["word"] * 3_000, "en") == []


def test_the_model_keeps_its_weights(tmp_path):
    whisper = tiny_whisper(tmp_path / "tiny")
    before = {name: weight.clone() for name, weight in whisper.model.state_dict().items()}
    Ctranslate2WordTimer(whisper)
    for name, weight in whisper.model.state_dict().items():
        assert torch.equal(weight, before[name]), name


def test_no_words_have_no_times(timer, samples):
    assert timer.align(samples, (0, 20_000), [], "en") == []
