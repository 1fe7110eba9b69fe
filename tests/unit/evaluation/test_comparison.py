import re

import numpy as np
import pytest

from recipe.evaluation.comparison import MIN_RECORDINGS, Verdict, bootstrap_interval, compare_errors
from recipe.evaluation.metrics import ErrorCounts

WORDS = 75
"""Of a window."""


def wrong(*errors: float) -> list[ErrorCounts]:
    return [ErrorCounts(WORDS - int(number), num_substitutions=int(number)) for number in errors]


def in_one(windows: list[ErrorCounts]) -> list[str]:
    return ["talk"] * len(windows)


def draw_errors(generator: np.random.Generator, num_windows: int, rate: float) -> list[ErrorCounts]:
    return wrong(*generator.binomial(WORDS, rate, num_windows))


def test_the_interval_is_that_of_the_binomial_where_windows_are_right_or_wrong() -> None:
    windows = [ErrorCounts(num_hits=10)] * 50 + [ErrorCounts(num_substitutions=10)] * 50
    assert bootstrap_interval(in_one(windows), windows) == pytest.approx(
        (0.5 - 1.96 * 0.05, 0.5 + 1.96 * 0.05), abs=0.02
    )


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        pytest.param([ErrorCounts(num_hits=3, num_deletions=1)], (0.25, 0.25), id="one window"),
        pytest.param([ErrorCounts(), ErrorCounts()], (0.0, 0.0), id="silence alone"),
        pytest.param([ErrorCounts(num_insertions=1)] * 3, (3.0, 3.0), id="words in silence alone"),
    ],
)
def test_the_interval_has_no_width_where_nothing_varies(
    windows: list[ErrorCounts], expected: tuple[float, float]
) -> None:
    assert bootstrap_interval(in_one(windows), windows) == expected


def test_both_models_are_drawn_together() -> None:
    before, after = wrong(20, 30, 40, 50), wrong(13, 23, 33, 43)
    comparison = compare_errors(in_one(before), before, after)
    assert comparison.difference_interval == pytest.approx((-7 / WORDS, -7 / WORDS))
    assert comparison.probability == 1


@pytest.mark.parametrize(
    ("num_windows", "num_fewer", "verdict"),
    [
        pytest.param(3, 10, Verdict.NOT_SHOWN, id="three windows show nothing, whatever is in them"),
        pytest.param(5, 10, Verdict.NOT_SHOWN, id="five either: two swaps in 32"),
        pytest.param(6, 10, Verdict.BETTER, id="six do"),
        pytest.param(40, 1, Verdict.BETTER, id="one word in each of forty"),
        pytest.param(40, 0, Verdict.NOT_SHOWN, id="no difference"),
        pytest.param(6, -10, Verdict.WORSE, id="worse"),
    ],
)
def test_the_word_is_what_the_windows_can_show(num_windows: int, num_fewer: int, verdict: Verdict) -> None:
    before = wrong(*[20 + number % 5 for number in range(num_windows)])
    after = wrong(*[20 + number % 5 - num_fewer for number in range(num_windows)])
    comparison = compare_errors(in_one(before), before, after)
    assert comparison.verdict is verdict
    assert comparison.is_lower == (num_fewer > 0)
    assert f" {verdict}: " in comparison.describe()
    few = "The test has fewer than 6 recordings: it may be otherwise on others."
    assert (few in comparison.describe()) == (verdict is not Verdict.NOT_SHOWN)


def test_recordings_are_drawn_where_there_are_enough() -> None:
    errors = wrong(*range(12))
    names = [f"talk-{index % MIN_RECORDINGS}" for index in range(12)]
    comparison = compare_errors(names, errors, errors)
    assert (comparison.drawn, comparison.num_drawn) == ("recordings", MIN_RECORDINGS)
    few = compare_errors(["a", "b"] * 6, errors, errors)
    assert (few.drawn, few.num_drawn) == ("windows", 12)


def test_one_lucky_recording_of_many_windows_shows_nothing() -> None:
    """Its windows alone would: that they are alike is what drawing recordings is for."""
    names = ["lucky"] * 30 + [f"talk-{index}" for index in range(6)]
    before, after = wrong(*[20] * 36), wrong(*[10] * 30, *[20, 21, 19, 20, 21, 19])
    assert compare_errors(names, before, after).verdict is Verdict.NOT_SHOWN
    assert compare_errors(in_one(before), before, after).verdict is Verdict.BETTER


@pytest.mark.parametrize("num_windows", [6, 16])
def test_two_samplings_of_one_model_are_called_better_in_at_most_five_of_a_hundred(num_windows: int) -> None:
    generator = np.random.default_rng(num_windows)
    verdicts = [
        compare_errors(
            ["talk"] * num_windows,
            draw_errors(generator, num_windows, 0.25),
            draw_errors(generator, num_windows, 0.25),
        ).verdict
        for _ in range(200)
    ]
    assert verdicts.count(Verdict.BETTER) <= 10
    assert verdicts.count(Verdict.NOT_SHOWN) >= 180


def test_the_words_needed_are_those_that_show_the_difference() -> None:
    generator = np.random.default_rng(0)

    def compare(num_windows: int) -> tuple[Verdict, int | None]:
        before, after = (draw_errors(generator, num_windows, rate) for rate in (0.25, 0.22))
        comparison = compare_errors(in_one(before), before, after)
        return comparison.verdict, comparison.num_words_needed

    needed = [words for _, words in (compare(40) for _ in range(20)) if words]
    num_windows = round(float(np.median(needed)) / WORDS)
    shown = [compare(num_windows)[0] is Verdict.BETTER for _ in range(20)]
    assert 12 <= sum(shown) < 20


def test_the_sentence_says_how_many_words_would_tell() -> None:
    before, after = wrong(20, 25, 18, 30), wrong(19, 22, 19, 26)
    sentence = compare_errors(in_one(before), before, after).describe()
    assert sentence.startswith(
        "The trained model is not shown to be better: 28.7% of the words are wrong (95 %"
    )
    assert "31.0% (" in sentence
    assert re.search(r"On 300 words of test speech that may be chance; about [\d,]+ would tell\.$", sentence)


def test_the_same_windows_give_the_same_answer() -> None:
    before, after = wrong(*range(20)), wrong(*range(1, 21))
    assert compare_errors(in_one(before), before, after) == compare_errors(in_one(before), before, after)
