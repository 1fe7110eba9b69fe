import pytest
from datasets import Dataset
from tiny_trainers import make_example, make_examples

from recipe.screening.label_scores import score_labels

WORDS = ["bonjour", "", "à demain", "une phrase bien plus longue que les autres"]


@pytest.fixture(scope="module")
def examples() -> Dataset:
    return make_examples(
        make_example(words, start_ms=30_000 * index, end_ms=30_000 * index + 2_000)
        for index, words in enumerate(WORDS)
    )


def test_every_window_with_words_is_scored_in_order(whisper, examples):
    counts: list[int] = []
    scores = score_labels(whisper, examples, 2, on_batch=counts.append)
    assert [(s.index, s.words) for s in scores] == [(i, words) for i, words in enumerate(WORDS) if words]
    assert [score.start_ms for score in scores] == [0, 60_000, 90_000]
    assert counts == [2, 1]


def test_an_untrained_model_finds_that_audio_tells_nothing_about_the_words(whisper, examples):
    scores = score_labels(whisper, examples, 2)
    assert all(abs(score.fit) < 0.01 and score.timing < -1 for score in scores)


def test_scores_do_not_depend_on_the_batch(whisper, examples):
    alone, together = score_labels(whisper, examples, 1), score_labels(whisper, examples, 8)
    for first, second in zip(alone, together, strict=True):
        assert first.fit == pytest.approx(second.fit, abs=1e-4)
        assert first.timing == pytest.approx(second.timing, abs=1e-4)
