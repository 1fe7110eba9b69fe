"""What is told of a model that hears several languages, each by its own rules."""

import numpy as np
import pytest
from datasets import Dataset
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from recipe.audio.decoding import encode_flac
from recipe.evaluation.metrics import score_text
from recipe.evaluation.report import Evaluation, Transcript, compare, evaluate_model
from recipe.evaluation.transcription import Decoding, Listener
from recipe.model.tiny import build_tiny_whisper

SENTENCE = "I won't pay twenty dollars."
LANGUAGES = ("en", "fr", "zh", "fr")


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    return build_tiny_whisper(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def examples() -> Dataset:
    """The same second of noise, said to be in several languages."""
    noise = encode_flac(np.random.default_rng(0).integers(-9000, 9000, 16_000).astype(np.int16))
    return Dataset.from_list(
        [
            {
                "recording": f"talk-{index}",
                "language": language,
                "start_ms": 0,
                "end_ms": 1_000,
                "audio": {"bytes": noise, "path": None},
                "segments": [{"start_ms": 0, "end_ms": 1_000, "text": SENTENCE}],
            }
            for index, language in enumerate(LANGUAGES)
        ]
    )


def make_listener(model_dir, task: str) -> Listener:
    model = WhisperForConditionalGeneration.from_pretrained(model_dir)
    return Listener(model, WhisperProcessor.from_pretrained(model_dir), Decoding(task))


@pytest.mark.parametrize(
    ("task", "num_words"),
    [
        pytest.param("transcribe", [5, 5, 23, 5], id="each by the rules of the language spoken"),
        pytest.param("translate", [5, 5, 5, 5], id="translations by those of English"),
    ],
)
def test_words_are_counted_by_the_language_that_they_are_written_in(model_dir, examples, task, num_words):
    evaluation = evaluate_model(make_listener(model_dir, task), examples)
    assert [t.language for t in evaluation.transcripts] == list(LANGUAGES)
    assert [t.scores.words.num_reference for t in evaluation.transcripts] == num_words


def evaluation_of(*heard: tuple[str, str]) -> Evaluation:
    return Evaluation(
        [
            Transcript("r", 0, 1_000, code, "a b c d", text, score_text("a b c d", text, language=code))
            for code, text in heard
        ],
        1.0,
    )


def test_several_languages_have_a_rate_each_before_and_after():
    before = evaluation_of(("fr", "a b c x"), ("en", "a b x x"), ("fr", "a b c d"))
    after = evaluation_of(("fr", "a b c d"), ("en", "a b c x"), ("fr", "a b c d"))
    figures = compare(before, after)
    assert (figures["wer_normalized_fr_before"], figures["wer_normalized_fr_after"]) == (1 / 8, 0.0)
    assert (figures["wer_normalized_en_before"], figures["wer_normalized_en_after"]) == (2 / 4, 1 / 4)
    assert figures["wer_normalized_before"] == 3 / 12
    assert list(before.as_dict()["languages"]) == ["en", "fr"]


def test_one_language_has_no_rates_beside_those_of_all():
    one = evaluation_of(("fr", "a b c x"))
    assert not [name for name in compare(one, one) if "_fr_" in name]
