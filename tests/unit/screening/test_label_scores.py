import numpy as np
import pytest
from datasets import Dataset
from pydantic import TypeAdapter
from tiny_trainers import make_example, make_examples

from recipe.screening.label_scores import LabelFits, list_scores, score_labels

WORDS = ["bonjour", "", "à demain", "une phrase bien plus longue que les autres"]


@pytest.fixture(scope="module")
def examples() -> Dataset:
    return make_examples(
        make_example(words, start_ms=30_000 * index, end_ms=30_000 * index + 2_000)
        for index, words in enumerate(WORDS)
    )


def test_every_window_with_words_is_scored_in_order(whisper, examples):
    counts: list[int] = []
    fits = score_labels(whisper, examples, 2, on_batch=counts.append)
    scores = list_scores(examples, fits)
    assert [score.index for score in scores] == [index for index, words in enumerate(WORDS) if words]
    assert [(score.start_ms, score.end_ms) for score in scores] == [
        (at, at + 2_000) for at in (0, 60_000, 90_000)
    ]
    assert {(score.recording, score.language) for score in scores} == {("talk", "fr")}
    assert [score.fit for score in scores] == fits.fit[[0, 2, 3]].tolist()
    assert counts == [2, 1]


def test_what_is_kept_for_a_resume_is_what_was_measured():
    fits = LabelFits(*np.array([[0.1, np.nan, -3.0], [-1e-7, np.nan, -2.5]], np.float32))
    kept = TypeAdapter(LabelFits).validate_json(TypeAdapter(LabelFits).dump_json(fits))
    assert kept.fit.tobytes() == fits.fit.tobytes()
    assert kept.timing.tobytes() == fits.timing.tobytes()
    assert len(TypeAdapter(LabelFits).dump_json(fits)) < 60 + 3 * 2 * 4 * 4 / 3


def test_an_untrained_model_finds_that_audio_tells_nothing_about_the_words(whisper, examples):
    scores = list_scores(examples, score_labels(whisper, examples, 2))
    assert all(abs(score.fit) < 0.01 and score.timing < -1 for score in scores)


def test_scores_do_not_depend_on_the_batch(whisper, examples):
    alone, together = (list_scores(examples, score_labels(whisper, examples, size)) for size in (1, 8))
    for first, second in zip(alone, together, strict=True):
        assert first.fit == pytest.approx(second.fit, abs=1e-4)
        assert first.timing == pytest.approx(second.timing, abs=1e-4)
