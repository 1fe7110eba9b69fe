"""What is told of transcripts in several languages, each by its own rules."""

from dataclasses import replace

import pytest
from datasets import Dataset
from tiny_trainers import make_example, make_examples

from recipe.evaluation.metrics import score_text
from recipe.evaluation.report import Evaluation, Transcript, compare, evaluate_model
from recipe.evaluation.transcription import Decoding

SENTENCE = "I won't pay twenty dollars."
LANGUAGES = ("en", "fr", "zh", "fr")


@pytest.fixture(scope="module")
def examples() -> Dataset:
    """The same noise, said to be in several languages."""
    return make_examples(
        make_example(SENTENCE, recording=f"talk-{index}", language=language)
        for index, language in enumerate(LANGUAGES)
    )


@pytest.mark.parametrize(
    ("task", "num_words"),
    [
        pytest.param("transcribe", [5, 5, 23, 5], id="each by the rules of the language spoken"),
        pytest.param("translate", [5, 5, 5, 5], id="translations by those of English"),
    ],
)
def test_words_are_counted_by_the_language_that_they_are_written_in(whisper, examples, task, num_words):
    evaluation = evaluate_model(replace(whisper, task=task), examples, Decoding())
    assert [t.language for t in evaluation.transcripts] == list(LANGUAGES)
    assert [t.scores.words.num_reference for t in evaluation.transcripts] == num_words


def evaluation_of(*hypotheses: tuple[str, str]) -> Evaluation:
    return Evaluation(
        [
            Transcript("r", 0, 1_000, code, "a b c d", text, score_text("a b c d", text, language=code))
            for code, text in hypotheses
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
