import json
import math
from collections.abc import Mapping
from dataclasses import asdict

import pytest
from pydantic import TypeAdapter
from tiny_trainers import evaluation_with

from recipe.evaluation.long_form_scores import (
    Decoded,
    LongForm,
    LongFormComparison,
    Reference,
    score_recording,
)
from recipe.evaluation.report import Evaluation
from recipe.training.weight_selection import ALPHAS, Outcome, WeightSelection, select_weights

BASE = (2.0, 40)


def transcripts_with(num_errors: int, loss: float | None = None) -> Evaluation:
    return evaluation_with(num_errors, num_words=100, loss=loss)


class Line:
    """Loss, errors and points lost elsewhere at each fraction of the way; notes which had to transcribe."""

    def __init__(
        self,
        figures: Mapping[float, tuple[float, int]],
        rises: Mapping[float, Mapping[str, float]] | None = None,
    ) -> None:
        self.figures = {0.0: BASE, **figures}
        self.rises = rises or {}
        self.transcribed: list[float] = []
        self.transcribed_elsewhere: list[float] = []

    def measure_loss(self, alpha: float) -> float:
        assert alpha not in {0.0, 1.0}, "the ends have it with their transcripts"
        return self.figures[alpha][0]

    def transcribe(self, alpha: float) -> Evaluation:
        self.transcribed.append(alpha)
        loss, num_errors = self.figures[alpha]
        return transcripts_with(num_errors, loss if alpha == 1.0 and math.isfinite(loss) else None)

    def measure_rises(self, alpha: float) -> Mapping[str, float]:
        self.transcribed_elsewhere.append(alpha)
        return self.rises.get(alpha, {})

    def select(self, max_rise: float = 0.01) -> WeightSelection:
        alphas = sorted(set(self.figures) - {0.0, 1.0})
        before = transcripts_with(BASE[1], BASE[0])
        return select_weights(
            alphas, before, self.measure_loss, self.transcribe, self.measure_rises, max_rise
        )


def line_of(case: str, *rises: float) -> Line:
    fractions = (*ALPHAS, 1.0)
    elsewhere = {alpha: {"news": -0.02, "songs": rise} for alpha, rise in zip(fractions, rises, strict=False)}
    return Line(dict(zip(fractions, LINES[case][0], strict=True)), elsewhere)


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
def test_the_nearest_weights_that_keep_the_gain_are_selected_with_few_transcriptions(case: str):
    _, alpha, num_transcribed = LINES[case]
    line = line_of(case)
    selection = line.select()
    assert selection.selected.alpha == alpha
    assert len(line.transcribed) == num_transcribed
    assert len(set(line.transcribed)) == num_transcribed, "nothing is transcribed twice"
    assert selection.evaluation.scores == transcripts_with(selection.selected.num_errors or 0).scores
    assert [candidate.alpha for candidate in selection.candidates] == [0.0, *ALPHAS, 1.0]


@pytest.mark.parametrize("case", LINES)
def test_no_better_candidate_is_passed_over_and_none_that_is_worse_is_published(case: str):
    line = line_of(case)
    selection = line.select()
    is_any_better = any((errors, loss) < BASE[::-1] for loss, errors in line.figures.values())
    outcome = Outcome(transcripts_with(BASE[1]), selection.evaluation, selection, publish_if_worse=False)
    is_lower = outcome.comparison.is_lower
    assert outcome.is_published == is_lower
    assert is_lower <= is_any_better
    assert outcome.warnings or is_lower


def test_without_interpolation_the_trained_weights_are_all_there_is():
    selection = Line({1.0: (1.0, 20)}).select()
    assert [candidate.alpha for candidate in selection.candidates] == [0.0, 1.0]
    assert selection.selected == selection.candidates[1]


def test_the_errors_in_all_windows_decide_not_those_of_the_selection():
    selection = line_of("the nearest that keeps the gain").select()
    before, after = transcripts_with(40), transcripts_with(41)
    outcome = Outcome(before, after, selection, publish_if_worse=False)
    assert not outcome.is_published
    assert outcome.warnings[0].startswith(
        "The trained model is not shown to be better: 41.0% of the words are wrong (95 % interval "
        "41.0% to 41.0%), 40.0% (40.0% to 40.0%) by the base model. It makes no fewer errors. "
        "It is not published"
    )
    forced = Outcome(before, after, selection, publish_if_worse=True)
    assert forced.is_published
    assert "published since publish_if_worse asks for it" in forced.warnings[0]


def test_a_gain_on_windows_that_whole_recordings_lack_is_told():
    words = [Decoded(0, 1_000, text) for text in ("un deux", "un x")]
    reference = Reference("talk", "fr", [(0, 2_000)], [0], "un deux")
    whole = [LongForm([score_recording(reference, [w], 2.0, 1.0, "transcribe")], {}, []) for w in words]
    selection = line_of("the nearest that keeps the gain").select()
    figures = LongFormComparison(*whole)
    outcome = Outcome(transcripts_with(40), transcripts_with(20), selection, False, figures)
    told = "on whole recordings more: 50.0% of the words are wrong there, 0.0% by the base"
    assert any(told in warning for warning in outcome.warnings)
    assert outcome.as_dict()["long_form"] == figures.summarise()
    alike = Outcome(
        transcripts_with(40), transcripts_with(20), selection, False, LongFormComparison(whole[0], whole[0])
    )
    assert not any("whole recordings" in warning for warning in alike.warnings)


def test_the_outcome_tells_every_candidates_figures():
    selection = line_of("the nearest that keeps the gain").select()
    outcome = Outcome(transcripts_with(40), selection.evaluation, selection, publish_if_worse=False)
    figures = outcome.as_dict()
    assert figures["wer_normalized_before"] == 0.4
    assert figures["wer_normalized_after"] == 0.2
    told = figures["weight_selection"]
    assert told == outcome.describe_selection()
    assert told["alpha"] == 0.7
    assert figures["comparison"]["sentence"] == outcome.sentence
    assert told["candidates"] == [asdict(candidate) for candidate in selection.candidates]
    assert [c["num_errors"] for c in told["candidates"]] == [40, None, 20, None, 20]


def test_weights_of_no_use_are_told_as_such_and_not_published():
    selection = Line({1.0: (math.inf, 100)}).select()
    outcome = Outcome(transcripts_with(40), selection.evaluation, selection, publish_if_worse=False)
    assert not outcome.is_published
    told = json.loads(json.dumps(outcome.as_dict(), allow_nan=False))["weight_selection"]
    assert told["loss"] is None


# Points that the weights at 0.5, 0.7, 0.9 and 1 lose on the worse of two sets of other speech.
FORGETTING = {
    "none loses too much": ("the nearest that keeps the gain", (0.0, 0.01, 0.02, 0.03), 0.7, [0.7]),
    "the nearest loses too much, the next does not": (
        *("the nearest that keeps the gain", (0.0, 0.02, 0.005, 0.03), 0.9, [0.7, 0.9]),
    ),
    "one that keeps less of the gain is within": (
        *("loss does not keep the gain", (0.005, 0.011, 0.02, 0.03), 0.5, [1.0, 0.9, 0.7, 0.5]),
    ),
    "of those within, the best": (
        *("words do not keep the gain", (0.0, 0.005, 0.02, 0.03), 0.7, [1.0, 0.5, 0.7, 0.9]),
    ),
    "all lose too much": (
        *("the nearest that keeps the gain", (0.02, 0.03, 0.04, 0.05), 0.5, [0.7, 0.9, 1.0, 0.5]),
    ),
}


@pytest.mark.parametrize("case", FORGETTING)
def test_weights_that_lose_too_much_elsewhere_are_passed_over_while_others_are_better_than_the_base(case):
    name, rises, alpha, transcribed = FORGETTING[case]
    line = line_of(name, *rises)
    selection = line.select()
    assert selection.selected.alpha == alpha
    assert (selection.selected.num_errors or 0) < BASE[1]
    assert sorted(line.transcribed_elsewhere) == sorted(transcribed), "nothing in vain, nothing twice"
    assert selection.selected.rises == {
        "news": -0.02,
        "songs": dict(zip((*ALPHAS, 1.0), rises, strict=True))[alpha],
    }
    is_warned = case == "all lose too much"
    assert bool(selection.warning) == is_warned
    if is_warned:
        assert (
            "lose 2.0 points of WER on other_dir songs, more than max_forgetting allows (1)"
            in selection.warning
        )


def test_where_none_is_better_other_speech_has_no_say():
    line = line_of("worse everywhere", 0.0, 0.05, 0.05, 0.05)
    assert line.select().selected.alpha == 0.7
    assert line.transcribed_elsewhere == []


def test_a_selection_is_kept_for_a_resume_as_it_was():
    for line in (
        line_of("the nearest that keeps the gain", 0.0, 0.01, 0.02, 0.03),
        Line({1.0: (math.inf, 100)}),
    ):
        selection = line.select()
        kept = TypeAdapter(WeightSelection).dump_python(selection, mode="json")
        again = TypeAdapter(WeightSelection).validate_python(json.loads(json.dumps(kept, allow_nan=False)))
        assert again == selection
