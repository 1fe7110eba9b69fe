"""The weights that a run publishes: those nearest the base model that keep the gain of training.

What fine-tuning gains on the recordings that it is given, it may lose on all other speech, of which little
is at hand to measure the loss. Weights on the line from the base model to the trained one often keep most of
both (WiSE-FT, Wortsman et al. 2022, https://arxiv.org/abs/2109.01903). So of those that keep the gain on the
held-out windows the nearest to the base model are taken, unless they lose too much on the other speech that
is at hand (`--other_dir`); docs/forgetting.md has the figures behind it.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from datasets import Dataset

from recipe.evaluation.comparison import Comparison, Verdict
from recipe.evaluation.keywords import GlossaryComparison
from recipe.evaluation.long_form_scores import LongFormComparison
from recipe.evaluation.other_speech import OtherSpeech
from recipe.evaluation.report import Evaluation, compare, judge_difference
from recipe.training.assembly import transcribe, validation_loss
from recipe.training.attempt import Attempt
from recipe.training.interpolation import Interpolation, Weights
from recipe.training.other_speech import OtherSpeechCheck
from recipe.training.published_dtype import PublishedDtype
from recipe.training.trainer import WhisperTrainer

logger = logging.getLogger(__name__)

ALPHAS = (0.5, 0.7, 0.9)
"""Fractions of the way from the base model to the trained one that are tried beside the whole of it."""

KEPT_GAIN = 0.95
"""Fraction of the gain, in loss and in word errors, that weights nearer to the base model have to keep."""

Rises = Mapping[str, float]
"""By how much weights raise the normalised WER on sets of other speech, by name; fractions of the words."""


@dataclass(frozen=True)
class Candidate:
    """Weights that may be published.

    Attributes:
        alpha: Fraction of the way from the base model (0) to the trained one (1).
        loss: Mean NLL of a label token in the windows of the selection, in nats; None if the weights are of
            no use.
        num_errors: Normalised word errors there; None if nothing was transcribed.
        rises: What they lose on other speech; None if that was not transcribed.
    """

    alpha: float
    loss: float | None
    num_errors: int | None = None
    rises: Rises | None = None


@dataclass(frozen=True)
class WeightSelection:
    """The weights taken, and what they were selected from.

    Attributes:
        selected: One of the candidates, never the base model.
        candidates: All of them, the base model first.
        evaluation: The selected weights' transcripts of the windows of the selection.
        max_rise: What weights might lose on other speech.
    """

    selected: Candidate
    candidates: list[Candidate]
    evaluation: Evaluation
    max_rise: float = 1.0

    @property
    def warning(self) -> str:
        """What the user is warned of: that the weights lose more on other speech than they might; or ""."""
        rises = self.selected.rises or {}
        name = max(rises, key=lambda name: rises[name], default="")
        if not name or rises[name] <= self.max_rise:
            return ""
        return (
            f"The selected weights lose {100 * rises[name]:.1f} points of WER on other_dir {name}, more than "
            f"max_forgetting allows ({100 * self.max_rise:g}): none that keep within it are better than the "
            "base model on the validation part. Train less, at a lower learning_rate, or with some such "
            "speech among the recordings."
        )


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes:
        before: The base model's transcripts of the test windows.
        after: Those of the selected weights.
        selection: How they were selected; None where there was nothing to select by.
        publish_if_worse: Whether the model is published whatever comes of it.
        long_form: Both models on whole recordings; None where that was not measured.
        other_speech: Both models on other speech, where any was given.
        dtype: Of the weights that are published; None where it was not settled.
        glossary: Both models with a glossary in the prompt; None where that was not measured.
    """

    before: Evaluation
    after: Evaluation
    selection: WeightSelection | None
    publish_if_worse: bool
    long_form: LongFormComparison | None = None
    other_speech: Sequence[OtherSpeech] = ()
    dtype: PublishedDtype | None = None
    glossary: GlossaryComparison | None = None

    @cached_property
    def comparison(self) -> Comparison:
        """What may be said of the difference."""
        return judge_difference(self.before, self.after)

    @property
    def is_published(self) -> bool:
        """Whether the model goes out: its error rate is lower, be it by chance, or it is asked for."""
        return self.comparison.is_lower or self.publish_if_worse

    @property
    def sentence(self) -> str:
        """The figure, and what became of the model."""
        figure = self.comparison.describe()
        if self.comparison.verdict is Verdict.BETTER:
            return figure
        if self.comparison.is_lower:
            return f"{figure} It is published all the same: try it, or train on more speech."
        if self.publish_if_worse:
            return f"{figure} It is published since publish_if_worse asks for it."
        return f"{figure} It is not published; the option publish_if_worse publishes it."

    def describe_comparison(self) -> dict[str, Any]:
        """What may be said of the difference, with the sentence that is shown everywhere; ready for JSON."""
        return {**self.comparison.as_dict(), "sentence": self.sentence}

    @property
    def warnings(self) -> list[str]:
        """What the user is warned of."""
        sentences = [] if self.comparison.verdict is Verdict.BETTER else [self.sentence]
        if self.comparison.is_lower and self.long_form:
            sentences.append(self.long_form.warning)
        if self.selection:
            sentences.append(self.selection.warning)
        sentences += [other.warning for other in self.other_speech]
        return [sentence for sentence in sentences if sentence]

    def describe_selection(self) -> dict[str, Any]:
        """The weights taken and all candidates; ready for JSON; empty where there was no choice."""
        if self.selection is None:
            return {}
        return {
            **asdict(self.selection.selected),
            "num_windows": len(self.selection.evaluation.transcripts),
            "candidates": [asdict(candidate) for candidate in self.selection.candidates],
        }

    def describe_long_form(self) -> dict[str, Any]:
        """The figures of whole recordings; ready for JSON; empty where they were not measured."""
        return self.long_form.summarise() if self.long_form else {}

    def describe_glossary(self) -> dict[str, Any]:
        """The figures with the glossary; ready for JSON; empty where they were not measured."""
        return self.glossary.summarise() if self.glossary else {}

    def describe_other_speech(self) -> list[dict[str, Any]]:
        """The figures of other speech; ready for JSON."""
        return [other.as_dict() for other in self.other_speech]

    def as_dict(self) -> dict[str, Any]:
        """Error rates as fractions, what may be said of them, and the selection; ready for JSON."""
        return {
            **compare(self.before, self.after),
            "comparison": self.describe_comparison(),
            "weight_selection": self.describe_selection(),
            "long_form": self.describe_long_form(),
            "glossary": self.describe_glossary(),
            "other_speech": self.describe_other_speech(),
            "dtype": asdict(self.dtype) if self.dtype else {},
        }


@dataclass
class _Line:
    """What is known of the weights between the base model's and the trained ones, by their fraction."""

    before: Evaluation
    measure_loss: Callable[[float], float]
    transcribe: Callable[[float], Evaluation]
    measure_rises: Callable[[float], Rises]
    evaluations: dict[float, Evaluation] = field(default_factory=dict)
    losses: dict[float, float] = field(default_factory=dict)
    rises: dict[float, Rises] = field(default_factory=dict)

    def evaluate(self, alpha: float) -> Evaluation:
        if alpha not in self.evaluations:
            self.evaluations[alpha] = self.before if alpha == 0 else self.transcribe(alpha)
        return self.evaluations[alpha]

    def loss(self, alpha: float) -> float:
        """In one pass with the transcripts, where these are wanted anyway: at both ends."""
        if alpha not in self.losses:
            measured = self.evaluate(alpha).loss if alpha in {0.0, 1.0} else self.measure_loss(alpha)
            self.losses[alpha] = math.inf if measured is None else measured
        return self.losses[alpha]

    def num_errors(self, alpha: float) -> int:
        return self.evaluate(alpha).scores.words_normalized.num_errors

    def rank(self, alpha: float) -> tuple[int, float]:
        return self.num_errors(alpha), self.loss(alpha)

    def is_better(self, alpha: float) -> bool:
        return self.rank(alpha) < self.rank(0.0)

    def max_rise(self, alpha: float) -> float:
        if alpha not in self.rises:
            self.rises[alpha] = self.measure_rises(alpha)
        return max(self.rises[alpha].values(), default=0.0)

    def describe(self, alpha: float) -> Candidate:
        num_errors = self.num_errors(alpha) if alpha in self.evaluations else None
        loss = self.loss(alpha)
        return Candidate(
            alpha, loss if math.isfinite(loss) else None, num_errors, self.rises.get(alpha) or None
        )


def select_weights(
    alphas: Sequence[float],
    before: Evaluation,
    measure_loss: Callable[[float], float],
    transcribe: Callable[[float], Evaluation],
    measure_rises: Callable[[float], Rises] = lambda _: {},
    max_rise: float = 1.0,
) -> WeightSelection:
    """The candidate nearest to the base that keeps `KEPT_GAIN`; if none is better, the best of all.

    The loss of every candidate is measured: it costs little, and tells apart what writes the same. Windows
    are transcribed by one candidate after the other, only until one will do: by one or two as a rule.

    One that raises the WER of other speech by more than `max_rise` is passed over. If none is left that keeps
    the gain, the best is taken of those that are better than the base model and stay below; if there is none
    either, of those that are better the one that raises it least.

    Args:
        alphas: Fractions of the way to try, ascending, between 0 and 1.
        before: The base model's transcripts of the windows of the selection, with its loss.
        measure_loss: The loss of the weights at a fraction of the way.
        transcribe: Their transcripts; of the trained weights with their loss.
        measure_rises: What they lose on other speech.
        max_rise: What they may lose there, as a fraction of the words.
    """
    line = _Line(before, measure_loss, transcribe, measure_rises)
    max_loss = _keep_gain(line.loss(0.0), min(line.loss(alpha) for alpha in (1.0, *alphas)))
    max_errors = _keep_gain(line.num_errors(0.0), line.num_errors(1.0))
    near = [alpha for alpha in alphas if line.loss(alpha) <= max_loss]
    rest = sorted(set(alphas) - set(near), key=line.loss)
    tried = [*near, 1.0, *rest]

    def keeps_within(alpha: float) -> bool:
        return line.max_rise(alpha) <= max_rise

    def will_do(alpha: float) -> bool:
        return line.num_errors(alpha) <= max_errors and line.is_better(alpha) and keeps_within(alpha)

    selected = next(filter(will_do, tried), None)
    if selected is None:
        better = [alpha for alpha in tried if line.is_better(alpha)]
        within = [alpha for alpha in better if keeps_within(alpha)]
        selected = min(
            within or better or [1.0, *tried], key=line.rank if within or not better else line.max_rise
        )
    candidates = {alpha: line.describe(alpha) for alpha in (0.0, *alphas, 1.0)}
    return WeightSelection(candidates[selected], list(candidates.values()), line.evaluate(selected), max_rise)


def select_published_weights(
    attempt: Attempt,
    trainer: WhisperTrainer,
    windows: Dataset,
    before: Evaluation | None,
    base: Weights,
    other_speech: OtherSpeechCheck,
) -> WeightSelection | None:
    """Give the model the weights that are published, selected on some windows. Kept for a resume.

    Without windows there is no choice, and the model keeps the trained weights.

    Args:
        attempt: Of the run.
        trainer: Its model has the trained weights.
        windows: Those of the selection.
        before: The base model's transcripts of these windows; None if there are none.
        base: The base model's weights.
        other_speech: What weights may lose elsewhere.
    """
    if before is None:
        return None
    arguments, whisper = attempt.arguments, trainer.whisper
    interpolation = Interpolation(whisper.model, base)

    def loss_at(alpha: float) -> float:
        interpolation.take(alpha)
        return validation_loss(attempt, whisper, windows)

    def transcribe_at(alpha: float) -> Evaluation:
        if alpha == 1.0 and trainer.best_evaluation:
            return trainer.best_evaluation
        interpolation.take(alpha)
        return transcribe(attempt, whisper, windows, "validation", with_loss=alpha == 1.0)

    def rises_at(alpha: float) -> Rises:
        interpolation.take(alpha)
        return other_speech.measure_rises()

    alphas = ALPHAS if arguments.evaluation.interpolate else ()
    max_rise = arguments.evaluation.max_forgetting / 100
    selection = attempt.cached(
        "weight_selection",
        WeightSelection,
        {
            **trainer.fingerprint,
            "alphas": list(alphas),
            "num_windows": len(windows),
            "other_speech": other_speech.weighing,
            "max_rise": max_rise,
        },
        lambda: select_weights(alphas, before, loss_at, transcribe_at, rises_at, max_rise),
    )
    interpolation.take(selection.selected.alpha)
    logger.info("Took the weights %s.", selection.selected)
    return selection


def _keep_gain(before: float, after: float) -> float:
    """The highest figure that keeps enough of a gain; without a gain, any that is no worse than before."""
    return before - KEPT_GAIN * max(0.0, before - after)
