import json
import math
from dataclasses import asdict

import pytest

from recipe.evaluation.metrics import ErrorCounts, Scores
from recipe.evaluation.report import Evaluation, Transcript
from recipe.training.weight_selection import ALPHAS, Choice, Verdict, choose_weights

NUM_WORDS = 100
BASE = (2.0, 40)


def hear(num_errors: int) -> Evaluation:
    words = ErrorCounts(num_hits=NUM_WORDS - num_errors, num_substitutions=num_errors)
    return Evaluation(
        [Transcript("talk", 0, 1000, "en", "said", "heard", Scores(words_normalized=words))], 1.0
    )


class Models:
    """Loss and errors of the weights at each place; notes who had to transcribe."""

    def __init__(self, figures: dict[tuple[str, float], tuple[float, int]]) -> None:
        self.figures = {("trained", 0.0): BASE, **figures}
        self.transcribed: list[tuple[str, float]] = []

    def measure_loss(self, end: str, alpha: float) -> float:
        return self.figures[end, alpha][0]

    def transcribe(self, end: str, alpha: float) -> Evaluation:
        self.transcribed.append((end, alpha))
        return hear(self.figures[end, alpha][1])

    def choose(self, ends: tuple[str, ...] = ("trained",), alphas: tuple[float, ...] = ALPHAS) -> Choice:
        return choose_weights(ends, alphas, hear(BASE[1]), self.measure_loss, self.transcribe)


def line(end: str, *figures: tuple[float, int]) -> dict[tuple[str, float], tuple[float, int]]:
    return dict(zip([(end, alpha) for alpha in (*ALPHAS, 1.0)], figures, strict=True))


# Loss and errors at 0.5, 0.7, 0.9 and 1; the base model has 2.0 and 40.
LINES = {
    "the nearest that keeps the gain": (((1.3, 22), (1.04, 20), (1.01, 20), (1.0, 20)), 0.7, 2),
    "loss does not keep the gain": (((1.3, 20), (1.2, 20), (1.1, 20), (1.0, 20)), 1.0, 1),
    "words do not keep the gain": (((1.01, 30), (1.01, 25), (1.0, 22), (1.0, 20)), 1.0, 4),
    "one word more is within the gain": (((1.01, 21), (1.0, 20), (1.0, 20), (1.0, 20)), 0.5, 2),
    "trained too far": (((1.5, 30), (1.6, 32), (1.9, 38), (2.5, 45)), 0.5, 2),
    "as many errors and a lower loss": (((1.9, 41), (1.8, 41), (1.7, 41), (1.6, 40)), 1.0, 1),
    "as many errors and the same loss": (((2.0, 40), (2.0, 40), (2.0, 40), (2.0, 40)), 1.0, 4),
    "worse everywhere": (((2.2, 44), (2.1, 42), (2.3, 43), (2.4, 45)), 0.7, 4),
    "loss falls and errors rise": (((1.8, 42), (1.6, 43), (1.4, 44), (1.2, 41)), 1.0, 4),
}


@pytest.mark.parametrize("case", LINES)
def test_the_nearest_weights_that_keep_the_gain_are_chosen_with_few_transcriptions(case: str):
    figures, alpha, num_transcribed = LINES[case]
    models = Models(line("trained", *figures))
    choice = models.choose()
    assert choice.chosen.alpha == alpha
    assert len(models.transcribed) == num_transcribed
    assert len(set(models.transcribed)) == num_transcribed, "nothing is transcribed twice"
    assert choice.evaluation == hear(choice.chosen.num_errors or 0)
    assert [candidate.alpha for candidate in choice.candidates] == [0.0, *ALPHAS, 1.0]


@pytest.mark.parametrize("case", LINES)
def test_no_better_candidate_is_passed_over_and_none_that_is_worse_is_released(case: str):
    models = Models(line("trained", *LINES[case][0]))
    choice = models.choose()
    is_any_better = any((errors, loss) < BASE[::-1] for loss, errors in models.figures.values())
    verdict = Verdict(hear(BASE[1]), choice.evaluation, choice, publish_if_worse=False)
    assert verdict.is_better == verdict.is_released == is_any_better
    assert bool(verdict.remark) != is_any_better


def test_without_interpolation_the_trained_weights_are_all_there_is():
    choice = Models({("trained", 1.0): (1.0, 20)}).choose(alphas=())
    assert [candidate.alpha for candidate in choice.candidates] == [0.0, 1.0]
    assert choice.chosen == choice.candidates[1]


@pytest.mark.parametrize(("loss", "end"), [(0.9, "average"), (1.1, "trained"), (1.0, "trained")])
def test_the_line_goes_to_the_end_with_the_lower_loss(loss: float, end: str):
    figures = {("average", 1.0): (loss, 20), ("trained", 1.0): (1.0, 20), (end, 0.7): (0.89, 20)}
    choice = Models(figures).choose(("trained", "average"), alphas=(0.7,))
    assert (choice.chosen.end, choice.chosen.alpha) == (end, 0.7)
    assert len(choice.candidates) == 4


def test_what_all_windows_say_decides_not_those_of_the_choice():
    choice = Models(line("trained", *LINES["the nearest that keeps the gain"][0])).choose()
    verdict = Verdict(hear(40), hear(41), choice, publish_if_worse=False)
    assert not verdict.is_released
    assert "40.00% before, 41.00% after" in verdict.remark
    assert "No model was released" in verdict.remark
    told = Verdict(hear(40), hear(41), choice, publish_if_worse=True)
    assert told.is_released
    assert "released as publish_if_worse says" in told.remark


def test_the_verdict_tells_every_candidates_figures():
    choice = Models(line("trained", *LINES["the nearest that keeps the gain"][0])).choose()
    told = Verdict(hear(40), choice.evaluation, choice, publish_if_worse=False).as_dict()
    assert told["wer_normalized_before"] == 0.4
    assert told["wer_normalized_after"] == 0.2
    assert told["choice"]["alpha"] == 0.7
    assert told["choice"]["is_better_than_base"] is True
    assert told["choice"]["candidates"] == [asdict(candidate) for candidate in choice.candidates]
    assert [c["num_errors"] for c in told["choice"]["candidates"]] == [40, None, 20, None, 20]


def test_weights_of_no_use_are_told_as_such_and_not_released():
    models = Models({("trained", 1.0): (math.inf, 100)})
    choice = models.choose(alphas=())
    verdict = Verdict(hear(40), choice.evaluation, choice, publish_if_worse=False)
    assert not verdict.is_released
    assert json.loads(json.dumps(verdict.as_dict(), allow_nan=False))["choice"]["loss"] is None
