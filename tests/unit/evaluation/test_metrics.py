import jiwer
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipe.evaluation.metrics import (
    ErrorCounts,
    Scores,
    count_character_errors,
    count_word_errors,
    score_text,
    score_texts,
    sum_scores,
)

SENTENCE = st.lists(st.sampled_from(["le", "la", "Eau", "eau", "vie,", "été"]), max_size=8).map(" ".join)
PAIRS = st.lists(st.tuples(SENTENCE, SENTENCE), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "hits", "substitutions", "deletions", "insertions", "rate"),
    [
        pytest.param("a b c d", "a b c d", 4, 0, 0, 0, 0.0, id="the same"),
        pytest.param("a b c d", "a x c d", 3, 1, 0, 0, 1 / 4, id="one substituted"),
        pytest.param("a b c d", "a c d", 3, 0, 1, 0, 1 / 4, id="one deleted"),
        pytest.param("a b c d", "a b x c d", 4, 0, 0, 1, 1 / 4, id="one inserted"),
        pytest.param("a b c d e f", "x b d e f g h", 4, 1, 1, 2, 4 / 6, id="one of each and one more"),
        pytest.param("a b", "", 0, 0, 2, 0, 2 / 2, id="nothing written"),
        pytest.param("", "a b c", 0, 0, 0, 3, 3.0, id="words in silence"),
        pytest.param("", "", 0, 0, 0, 0, 0.0, id="silence taken as silence"),
        pytest.param("a", "b c d", 0, 1, 0, 2, 3.0, id="rates may exceed one"),
    ],
)
def test_word_errors_are_those_counted_by_hand(
    reference: str,
    hypothesis: str,
    hits: int,
    substitutions: int,
    deletions: int,
    insertions: int,
    rate: float,
) -> None:
    counts = count_word_errors(reference.split(), hypothesis.split())
    assert counts == ErrorCounts(hits, substitutions, deletions, insertions)
    assert counts.rate == rate


def test_character_errors_count_spaces() -> None:
    assert count_character_errors("ab cd", "abcd") == ErrorCounts(num_hits=4, num_deletions=1)
    assert count_character_errors("", "ab") == ErrorCounts(num_insertions=2)


@given(SENTENCE.filter(bool), SENTENCE)
@settings(deadline=None)
def test_counts_agree_with_jiwer_and_with_the_lengths(reference: str, hypothesis: str) -> None:
    counts = count_word_errors(reference.split(), hypothesis.split())
    assert counts.rate == jiwer.wer(reference, hypothesis)
    assert counts.num_reference == len(reference.split())
    assert counts.num_hits + counts.num_substitutions + counts.num_insertions == len(hypothesis.split())


@given(PAIRS, PAIRS)
@settings(deadline=None)
def test_the_corpus_is_the_sum_of_its_parts(
    first: list[tuple[str, str]], second: list[tuple[str, str]]
) -> None:
    def score(pairs: list[tuple[str, str]]) -> Scores:
        return score_texts([r for r, _ in pairs], [h for _, h in pairs], language="fr")

    assert score(first + second) == score(first) + score(second)
    assert score(first) == sum_scores(score_text(*pair, language="fr") for pair in first)


def test_the_corpus_rate_weighs_windows_by_their_length() -> None:
    scores = score_texts(["a", "a b c d e f g h i"], ["x", "a b c d e f g h i"], language=None)
    assert scores.words.rate == 1 / 10  # the mean of the two rates would be 1/2


def test_insertions_in_silence_count_against_the_words_of_the_corpus() -> None:
    scores = score_texts(
        ["un deux trois quatre", ""], ["un deux trois quatre", "merci beaucoup"], language="fr"
    )
    assert scores.words == ErrorCounts(num_hits=4, num_insertions=2)
    assert scores.words.rate == 2 / 4


def test_scores_are_taken_as_written_and_normalized() -> None:
    scores = score_texts(["Bonjour, l'eau est là."], ["bonjour l'eau était là"], language="fr")
    assert scores.as_dict() == {
        "wer": 3 / 4,  # "Bonjour,", "est" and "là."
        "cer": 7 / 22,  # the capital, the comma, four of "était" for "est", the full stop
        "wer_normalized": 1 / 5,  # "l eau" is two words
        "cer_normalized": 4 / 20,
        "substitutions": 3,
        "deletions": 0,
        "insertions": 0,
        "reference_words": 4,
        "substitutions_normalized": 1,
        "deletions_normalized": 0,
        "insertions_normalized": 0,
        "reference_words_normalized": 5,
    }


def test_where_no_spaces_are_written_words_are_characters() -> None:
    scores = score_texts(["今天 天气很好。"], ["今天天气很坏"], language="zh")
    assert scores.words.rate == 2 / 7  # a wrong character and the full stop; the space is no error
    assert scores.characters.rate == 3 / 8  # as written, space included
    assert scores.words_normalized.rate == scores.characters_normalized.rate == 1 / 6


def test_scoring_nothing_or_uneven_lists_is_a_mistake() -> None:
    with pytest.raises(AssertionError):
        score_texts([], [], language="fr")
    with pytest.raises(ValueError, match="shorter"):
        score_texts(["a", "b"], ["a"], language="fr")
