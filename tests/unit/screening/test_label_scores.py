import pytest
import torch
from datasets import Dataset
from tiny_trainers import make_examples
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from recipe.evaluation.transcription import Decoding, Listener
from recipe.model.tiny import build_tiny_whisper
from recipe.screening.label_scores import score_windows

WORDS = ["bonjour", "", "à demain", "une phrase bien plus longue que les autres"]


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    return build_tiny_whisper(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def examples() -> Dataset:
    return make_examples(WORDS)


def score(model_dir, examples, batch_size):
    torch.set_num_threads(1)
    model = WhisperForConditionalGeneration.from_pretrained(model_dir)
    processor = WhisperProcessor.from_pretrained(model_dir)
    return score_windows(Listener(model, processor, Decoding(batch_size=batch_size)), examples)


def test_every_window_with_words_is_scored_in_order(model_dir, examples):
    fits = score(model_dir, examples, 2)
    assert [(fit.index, fit.words) for fit in fits] == [(i, words) for i, words in enumerate(WORDS) if words]
    assert [fit.start_ms for fit in fits] == [0, 60_000, 90_000]


def test_an_untrained_model_finds_that_audio_tells_nothing_about_the_words(model_dir, examples):
    assert all(abs(fit.fit) < 0.01 and fit.timing < -1 for fit in score(model_dir, examples, 2))


def test_scores_do_not_depend_on_the_batch(model_dir, examples):
    alone, together = score(model_dir, examples, 1), score(model_dir, examples, 8)
    for first, second in zip(alone, together, strict=True):
        assert first.fit == pytest.approx(second.fit, abs=1e-4)
        assert first.timing == pytest.approx(second.timing, abs=1e-4)
