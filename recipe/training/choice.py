"""Which weights a run ends with: those nearest the base model that keep what training gained.

What fine-tuning gains on the recordings that it is given, it may lose on all other speech, of which nothing
is at hand to measure the loss. Weights on the line from the base model to the trained one often keep most of
both (WiSE-FT, Wortsman et al. 2022, https://arxiv.org/abs/2109.01903). So of those that keep the gain on the
held-out windows the nearest to the base model are taken; docs/forgetting.md has the figures behind it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from recipe.evaluation.report import Evaluation, compare

ALPHAS = (0.5, 0.7, 0.9)
"""Shares of the way from the base model to the trained one that are tried beside the whole of it."""

KEPT_GAIN = 0.95
"""Share of the gain, in loss and in word errors, that weights nearer to the base model have to keep."""


@dataclass(frozen=True)
class Candidate:
    """Weights that may be released.

    Attributes:
        end: What training made, at the end of the line: "trained", or "average" of checkpoints.
        alpha: Share of the way to it from the base model: 0 is the base model, 1 the end itself.
        loss: Mean surprise of a label token in the windows of the choice, in nats; infinite if the weights
            are of no use.
        num_errors: Normalised word errors there; None if nothing was transcribed.
    """

    end: str
    alpha: float
    loss: float
    num_errors: int | None = None


@dataclass(frozen=True)
class Choice:
    """The weights taken, and what they were chosen from.

    Attributes:
        chosen: One of the candidates, never the base model.
        candidates: All of them, the base model first.
        evaluation: What the chosen weights hear in the windows of the choice.
    """

    chosen: Candidate
    candidates: list[Candidate]
    evaluation: Evaluation


@dataclass(frozen=True)
class Verdict:
    """What came of a run.

    Attributes:
        before: What the base model hears in all held-out windows.
        after: What the chosen weights hear in them.
        choice: How they were chosen.
        publish_if_worse: Whether the model is to go out whatever comes of it.
    """

    before: Evaluation
    after: Evaluation
    choice: Choice
    publish_if_worse: bool

    @property
    def is_better(self) -> bool:
        """Whether fewer words are heard wrong than before; or as many, and what was said surprises less."""
        base, chosen = self.choice.candidates[0], self.choice.chosen
        return (_count_errors(self.after), chosen.loss) < (_count_errors(self.before), base.loss)

    @property
    def is_released(self) -> bool:
        """Whether the model goes out."""
        return self.is_better or self.publish_if_worse

    @property
    def remark(self) -> str:
        """What the user is told of a model that is not better, "" of one that is."""
        if self.is_better:
            return ""
        before, after = (heard.scores.words_normalized.rate for heard in (self.before, self.after))
        fate = (
            "It was released as publish_if_worse says" if self.publish_if_worse else "No model was released"
        )
        advice = "" if self.publish_if_worse else "; the option publish_if_worse would release it"
        return (
            "The trained model hears the held-out recordings no better than the base model "
            f"(normalised WER {before:.2%} before, {after:.2%} after). {fate}{advice}."
        )

    def describe_choice(self) -> dict[str, Any]:
        """The weights taken and all candidates; ready for JSON."""
        return {
            **_as_dict(self.choice.chosen),
            "is_better_than_base": self.is_better,
            "num_windows": len(self.choice.evaluation.transcripts),
            "candidates": [_as_dict(candidate) for candidate in self.choice.candidates],
        }

    def as_dict(self) -> dict[str, Any]:
        """Error rates before and after as fractions, and the choice; ready for JSON."""
        return {**compare(self.before, self.after), "choice": self.describe_choice()}


def choose_weights(
    ends: Sequence[str],
    alphas: Sequence[float],
    before: Evaluation,
    measure_loss: Callable[[str, float], float],
    transcribe: Callable[[str, float], Evaluation],
) -> Choice:
    """The candidate nearest to the base that keeps `KEPT_GAIN`; if none is better, the best of all.

    The loss of every candidate is measured: it costs little, and tells apart what writes the same. Windows
    are transcribed by one candidate after the other, only until one will do: by one or two as a rule.

    Args:
        ends: What training made, by name.
        alphas: Shares of the way to try, ascending, between 0 and 1.
        before: What the base model hears in the windows of the choice.
        measure_loss: The loss of the weights at a share of the way to an end.
        transcribe: What these weights hear.
    """
    base = Candidate(ends[0], 0.0, measure_loss(ends[0], 0.0), _count_errors(before))
    tips = [Candidate(end, 1.0, measure_loss(end, 1.0)) for end in ends]
    tip = min(tips, key=lambda candidate: candidate.loss)
    between = [Candidate(tip.end, alpha, measure_loss(tip.end, alpha)) for alpha in alphas]
    heard: dict[Candidate, Evaluation] = {}

    def count_errors(candidate: Candidate) -> int:
        if candidate not in heard:
            heard[candidate] = transcribe(candidate.end, candidate.alpha)
        return _count_errors(heard[candidate])

    max_loss = _keep_gain(base.loss, min(candidate.loss for candidate in [*tips, *between]))
    max_errors = _keep_gain(_count_errors(before), count_errors(tip))

    def will_do(candidate: Candidate) -> bool:
        errors = count_errors(candidate)
        return errors <= max_errors and (errors, candidate.loss) < (_count_errors(before), base.loss)

    near = [candidate for candidate in between if candidate.loss <= max_loss]
    rest = sorted({*tips, *between} - {tip, *near}, key=lambda candidate: candidate.loss)
    chosen = next(filter(will_do, [*near, tip, *rest]), None)
    chosen = chosen or min(heard, key=lambda candidate: (count_errors(candidate), candidate.loss))
    known = {c: replace(c, num_errors=count_errors(c)) if c in heard else c for c in [*between, *tips]}
    return Choice(known[chosen], [base, *known.values()], heard[chosen])


def _as_dict(candidate: Candidate) -> dict[str, Any]:
    return {**asdict(candidate), "loss": candidate.loss if math.isfinite(candidate.loss) else None}


def _keep_gain(before: float, after: float) -> float:
    """The highest figure that keeps enough of a gain; without a gain, any that is no worse than before."""
    return before - KEPT_GAIN * max(0.0, before - after)


def _count_errors(evaluation: Evaluation) -> int:
    return evaluation.scores.words_normalized.num_errors
