"""The weights that a run publishes: those nearest the base model that keep the gain of training.

What fine-tuning gains on the recordings that it is given, it may lose on all other speech, of which nothing
is at hand to measure the loss. Weights on the line from the base model to the trained one often keep most of
both (WiSE-FT, Wortsman et al. 2022, https://arxiv.org/abs/2109.01903). So of those that keep the gain on the
held-out windows the nearest to the base model are taken; docs/forgetting.md has the figures behind it.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor, nn

from recipe.evaluation.comparison import Comparison, Verdict
from recipe.evaluation.long_form_scores import LongFormComparison
from recipe.evaluation.report import Evaluation, compare, judge_difference
from recipe.model.inference import IGNORED, label_nll, map_batches, move_batch, split_into_batches
from recipe.model.inputs import load_captions
from recipe.model.whisper import Whisper, load_whisper
from recipe.training.assembly import decoding_of, transcribe
from recipe.training.attempt import Attempt
from recipe.training.published_dtype import PublishedDtype
from recipe.training.trainer import WhisperTrainer

logger = logging.getLogger(__name__)

ALPHAS = (0.5, 0.7, 0.9)
"""Fractions of the way from the base model to the trained one that are tried beside the whole of it."""

KEPT_GAIN = 0.95
"""Fraction of the gain, in loss and in word errors, that weights nearer to the base model have to keep."""

Weights = Mapping[str, Tensor]
"""Parameters by name, tied ones once; float32 on the CPU."""


@dataclass(frozen=True)
class Candidate:
    """Weights that may be published.

    Attributes:
        alpha: Fraction of the way from the base model (0) to the trained one (1).
        loss: Mean NLL of a label token in the windows of the selection, in nats; infinite if the weights are
            of no use.
        num_errors: Normalised word errors there; None if nothing was transcribed.
    """

    alpha: float
    loss: float
    num_errors: int | None = None


@dataclass(frozen=True)
class WeightSelection:
    """The weights taken, and what they were selected from.

    Attributes:
        selected: One of the candidates, never the base model.
        candidates: All of them, the base model first.
        evaluation: The selected weights' transcripts of the windows of the selection.
    """

    selected: Candidate
    candidates: list[Candidate]
    evaluation: Evaluation


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes:
        before: The base model's transcripts of the test windows.
        after: Those of the selected weights.
        selection: How they were selected; None where there was nothing to select by.
        publish_if_worse: Whether the model is published whatever comes of it.
        long_form: Both models on whole recordings; None where that was not measured.
        dtype: Of the weights that are published; None where it was not settled.
    """

    before: Evaluation
    after: Evaluation
    selection: WeightSelection | None
    publish_if_worse: bool
    long_form: LongFormComparison | None = None
    dtype: PublishedDtype | None = None

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
    def warning(self) -> str:
        """What the user is warned of, "" if the model is better."""
        sentences = [] if self.comparison.verdict is Verdict.BETTER else [self.sentence]
        if self.comparison.is_lower and self.long_form:
            sentences += filter(None, [self.long_form.warning])
        return " ".join(sentences)

    def describe_selection(self) -> dict[str, Any]:
        """The weights taken and all candidates; ready for JSON; empty where there was no choice."""
        if self.selection is None:
            return {}
        return {
            **_as_dict(self.selection.selected),
            "num_windows": len(self.selection.evaluation.transcripts),
            "candidates": [_as_dict(candidate) for candidate in self.selection.candidates],
        }

    def describe_long_form(self) -> dict[str, Any]:
        """The figures of whole recordings; ready for JSON; empty where they were not measured."""
        return self.long_form.summarise() if self.long_form else {}

    def as_dict(self) -> dict[str, Any]:
        """Error rates as fractions, what may be said of them, and the selection; ready for JSON."""
        return {
            **compare(self.before, self.after),
            "comparison": self.describe_comparison(),
            "weight_selection": self.describe_selection(),
            "long_form": self.describe_long_form(),
            "dtype": asdict(self.dtype) if self.dtype else {},
        }


class Interpolation:
    """Gives a model the weights at a fraction of the way from the base model's to the trained ones.

    Both are copies in the memory of the CPU, of four bytes a parameter.

    Args:
        model: Takes the weights; it has the trained ones now.
        base: The base model's.
    """

    def __init__(self, model: nn.Module, base: Weights) -> None:
        self._model = model
        self._base = base
        self._trained = copy_weights(model)

    @torch.no_grad()
    def take(self, alpha: float) -> None:
        """Give the model the weights; at 0 and 1 exactly the base model's and the trained ones."""
        for name, weight in self._model.named_parameters():
            weight.copy_(torch.lerp(self._base[name], self._trained[name], alpha))


def copy_weights(model: nn.Module) -> Weights:
    """The weights that the model has now, whatever becomes of it."""
    return {name: weight.detach().to("cpu", copy=True) for name, weight in model.named_parameters()}


def select_weights(
    alphas: Sequence[float],
    before: Evaluation,
    measure_loss: Callable[[float], float],
    transcribe: Callable[[float], Evaluation],
) -> WeightSelection:
    """The candidate nearest to the base that keeps `KEPT_GAIN`; if none is better, the best of all.

    The loss of every candidate is measured: it costs little, and tells apart what writes the same. Windows
    are transcribed by one candidate after the other, only until one will do: by one or two as a rule.

    Args:
        alphas: Fractions of the way to try, ascending, between 0 and 1.
        before: The base model's transcripts of the windows of the selection.
        measure_loss: The loss of the weights at a fraction of the way.
        transcribe: Their transcripts.
    """
    base = Candidate(0.0, measure_loss(0.0), _count_errors(before))
    trained = Candidate(1.0, measure_loss(1.0))
    between = [Candidate(alpha, measure_loss(alpha)) for alpha in alphas]
    evaluations: dict[Candidate, Evaluation] = {}

    def count_errors(candidate: Candidate) -> int:
        if candidate not in evaluations:
            evaluations[candidate] = transcribe(candidate.alpha)
        return _count_errors(evaluations[candidate])

    max_loss = _keep_gain(base.loss, min(candidate.loss for candidate in [trained, *between]))
    max_errors = _keep_gain(_count_errors(before), count_errors(trained))

    def will_do(candidate: Candidate) -> bool:
        errors = count_errors(candidate)
        return errors <= max_errors and (errors, candidate.loss) < (_count_errors(before), base.loss)

    near = [candidate for candidate in between if candidate.loss <= max_loss]
    rest = sorted(set(between) - set(near), key=lambda candidate: candidate.loss)
    selected = next(filter(will_do, [*near, trained, *rest]), None)
    selected = selected or min(evaluations, key=lambda c: (count_errors(c), c.loss))
    known = {
        c: replace(c, num_errors=count_errors(c)) if c in evaluations else c for c in [*between, trained]
    }
    return WeightSelection(known[selected], [base, *known.values()], evaluations[selected])


def select_published_weights(
    attempt: Attempt, trainer: WhisperTrainer, windows: Dataset, before: Evaluation | None
) -> WeightSelection | None:
    """Give the model the weights that are published, selected on some windows. Kept for a resume.

    Without windows there is no choice, and the model keeps the trained weights.

    Args:
        attempt: Of the run.
        trainer: Its model has the trained weights.
        windows: Those of the selection.
        before: The base model's transcripts of these windows; None if there are none.
    """
    if before is None:
        return None
    arguments, whisper = attempt.arguments, trainer.whisper
    decoding = decoding_of(arguments)
    base = dict(load_whisper(arguments.model).model.named_parameters())
    interpolation = Interpolation(whisper.model, base)

    def loss_at(alpha: float) -> float:
        interpolation.take(alpha)
        num_workers = arguments.training.dataloader_num_workers
        with attempt.bar("select weights", len(windows), "window") as bar:
            return measure_loss(whisper, windows, decoding.batch_size, num_workers, bar.update)

    def transcribe_at(alpha: float) -> Evaluation:
        if alpha == 1.0 and trainer.best_evaluation:
            return trainer.best_evaluation
        interpolation.take(alpha)
        return transcribe(attempt, whisper, windows, "validation")

    alphas = ALPHAS if arguments.evaluation.interpolate else ()
    selection = attempt.cached(
        "weight_selection",
        WeightSelection,
        {**trainer.fingerprint, "alphas": list(alphas), "num_windows": len(windows)},
        lambda: select_weights(alphas, before, loss_at, transcribe_at),
    )
    interpolation.take(selection.selected.alpha)
    logger.info("Took the weights %s.", selection.selected)
    return selection


def measure_loss(
    whisper: Whisper,
    examples: Dataset,
    batch_size: int,
    num_workers: int = 0,
    on_batch: Callable[[int], object] = lambda _: None,
) -> float:
    """Mean NLL of a label token in nats, times included (teacher forced); the same in any layout.

    It is infinite if the weights are of no use.

    Args:
        whisper: The model, on its device.
        examples: Windows with their words; at least one.
        batch_size: Windows at once.
        num_workers: Processes that make features.
        on_batch: Called with the number of windows just run.
    """
    batches = split_into_batches(range(len(examples)), batch_size)
    load = partial(load_captions, whisper, examples, num_workers)
    sums = map_batches(whisper.model, batches, load, partial(_sum_nll, whisper.model), on_batch)
    nll, counts = zip(*sums, strict=True)
    mean = float(sum(nll) / sum(counts))
    return mean if math.isfinite(mean) else math.inf


def _sum_nll(model: nn.Module, batch: Mapping[str, Tensor]) -> tuple[float, int]:
    """The NLL of a batch's label tokens, added up, and their number."""
    inputs = move_batch(batch, model)
    labels = inputs.pop("labels")
    logits = model(**inputs, use_cache=False).logits
    return label_nll(logits, labels).item(), int((labels != IGNORED).sum())


def _as_dict(candidate: Candidate) -> dict[str, Any]:
    return {**asdict(candidate), "loss": candidate.loss if math.isfinite(candidate.loss) else None}


def _keep_gain(before: float, after: float) -> float:
    """The highest figure that keeps enough of a gain; without a gain, any that is no worse than before."""
    return before - KEPT_GAIN * max(0.0, before - after)


def _count_errors(evaluation: Evaluation) -> int:
    return evaluation.scores.words_normalized.num_errors
