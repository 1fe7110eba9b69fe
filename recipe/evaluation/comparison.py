"""Whether a trained model is better than its base: intervals, a test of the difference, and the word for it.

Both models are drawn together. What is drawn is a recording where there are enough of them, since windows of
one recording are alike, and else a window. Intervals are those of the paired bootstrap (Bisani and Ney 2004);
whether a difference is more than chance is judged by swapping the models at random (Fisher's randomisation
test; Yeh 2000 for language tasks): that holds for a handful of draws too, where the bootstrap promises too
much.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from recipe.evaluation.metrics import ErrorCounts

MIN_RECORDINGS = 6
"""Recordings from which on they are drawn: of five, two swaps in 32 are over one in twenty."""

CONFIDENCE = 0.95
NUM_RESAMPLES = 10_000
BATCH = 500
"""Resamples at once: for a thousand windows, 4 MB."""
MAX_EXACT_SWAPS = 13
"""Draws of which all swaps are tried (2^13 = 8,192)."""

POWER_QUANTILES = 1.96 + 0.84
"""Standard errors by which a difference shows at 95 % confidence in four of five tests."""

Floats = npt.NDArray[np.float64]


class Verdict(StrEnum):
    """The three words, used alike wherever a model is compared with its base."""

    BETTER = "better"
    NOT_SHOWN = "not shown to be better"
    WORSE = "worse"


@dataclass(frozen=True)
class Comparison:
    """Word errors of two models on the same windows; rates are fractions of the reference's words.

    Attributes:
        num_words: Words of the references.
        before: Errors of the base model.
        after: Errors of the trained model.
        before_interval: Of the base model's rate.
        after_interval: Of the trained model's rate.
        difference_interval: Of the trained model's rate less the base model's.
        probability: Share of the resamples in which the trained model has the lower rate.
        p_value: Probability of so large a difference, in either direction, if the models were alike.
        drawn: "recordings", or "windows" where there are too few of them: then nothing is known of others.
        num_drawn: How many there are.
        num_words_needed: Words of a test in which this difference would probably show; None without one.
    """

    num_words: int
    before: int
    after: int
    before_interval: tuple[float, float]
    after_interval: tuple[float, float]
    difference_interval: tuple[float, float]
    probability: float
    p_value: float
    drawn: str
    num_drawn: int
    num_words_needed: int | None

    @property
    def is_lower(self) -> bool:
        """Whether the trained model makes fewer errors, be it by chance."""
        return self.after < self.before

    @property
    def verdict(self) -> Verdict:
        """What may be said of the trained model."""
        if self.p_value > 1 - CONFIDENCE or self.after == self.before:
            return Verdict.NOT_SHOWN
        return Verdict.BETTER if self.is_lower else Verdict.WORSE

    def describe(self) -> str:
        """The figure in a sentence."""
        rates = (
            f"{self.after / max(1, self.num_words):.1%} of the words are wrong "
            f"(95 % interval {_percent(self.after_interval)}), {self.before / max(1, self.num_words):.1%} "
            f"({_percent(self.before_interval)}) by the base model"
        )
        if self.verdict is not Verdict.NOT_SHOWN:
            few = f" The test has fewer than {MIN_RECORDINGS} recordings: it may be otherwise on others."
            return f"The trained model is {self.verdict}: {rates}.{few * (self.drawn == 'windows')}"
        if not self.is_lower:
            return f"The trained model is not shown to be better: {rates}. It makes no fewer errors."
        needed = self.num_words_needed or 0
        would_tell = f"; about {needed:,} would tell" if needed > self.num_words else ""
        return (
            f"The trained model is not shown to be better: {rates}. "
            f"On {self.num_words:,} words of test speech that may be chance{would_tell}."
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON: rates are normalised WERs, as fractions."""
        return {
            "verdict": str(self.verdict),
            "sentence": self.describe(),
            "before_interval": list(self.before_interval),
            "after_interval": list(self.after_interval),
            "difference_interval": list(self.difference_interval),
            "probability_of_improvement": self.probability,
            "p_value": self.p_value,
            "num_words": self.num_words,
            "num_words_needed": self.num_words_needed,
            "drawn": self.drawn,
            "num_drawn": self.num_drawn,
        }


def compare_errors(
    recordings: Sequence[str], before: Sequence[ErrorCounts], after: Sequence[ErrorCounts], seed: int = 0
) -> Comparison:
    """Compare two models on the same windows; the same windows give the same answer.

    Args:
        recordings: Of each window; at least one.
        before: The base model's errors in each window.
        after: The trained model's, in the same order.
        seed: Of the drawing.
    """
    kind, sums = draw_units(recordings, before, after)
    words, first, second = sums.T
    generator = np.random.default_rng(seed)
    rates = _resample(sums, generator)
    difference = rates[:, 1] - rates[:, 0]
    num_words = int(words.sum())
    return Comparison(
        num_words,
        int(first.sum()),
        int(second.sum()),
        _interval(rates[:, 0]),
        _interval(rates[:, 1]),
        _interval(difference),
        float((difference < 0).mean() + (difference == 0).mean() / 2),
        _swap(second - first, generator),
        kind,
        len(sums),
        _needed_words(num_words, float((second - first).sum()) / max(1, num_words), float(difference.std())),
    )


def bootstrap_interval(recordings: Sequence[str], errors: Sequence[ErrorCounts]) -> tuple[float, float]:
    """The interval of one model's rate; see `compare_errors`."""
    _, sums = draw_units(recordings, errors, errors)
    return _interval(_resample(sums, np.random.default_rng(0))[:, 1])


def draw_units(
    recordings: Sequence[str], before: Sequence[ErrorCounts], after: Sequence[ErrorCounts]
) -> tuple[str, Floats]:
    """What is drawn, and of each of them words and errors of both models, shape (n, 3)."""
    assert recordings, "there is nothing to draw from"
    rows = [
        (first.num_reference, first.num_errors, second.num_errors)
        for first, second in zip(before, after, strict=True)
    ]
    if len({*recordings}) < MIN_RECORDINGS:
        return "windows", np.array(rows, dtype=np.float64)
    sums: defaultdict[str, Floats] = defaultdict(lambda: np.zeros(3))
    for name, row in zip(recordings, rows, strict=True):
        sums[name] += row
    return "recordings", np.array([sums[name] for name in sorted(sums)])


def _resample(sums: Floats, generator: np.random.Generator) -> Floats:
    """The rates of both models in each resample, shape (`NUM_RESAMPLES`, 2)."""
    totals = np.concatenate(
        [
            generator.multinomial(len(sums), [1 / len(sums)] * len(sums), size=BATCH) @ sums
            for _ in range(NUM_RESAMPLES // BATCH)
        ]
    )
    rates: Floats = totals[:, 1:] / np.maximum(1, totals[:, :1])
    return rates


def _swap(differences: Floats, generator: np.random.Generator) -> float:
    """Share of the swaps of the two models that give as large a sum of differences, either way."""
    observed = abs(differences.sum())
    if len(differences) <= MAX_EXACT_SWAPS:
        signs = np.array(list(product((-1, 1), repeat=len(differences))))
        return float((abs(signs @ differences) >= observed).mean())
    num_as_large = sum(
        (abs(generator.choice((-1, 1), size=(BATCH, len(differences))) @ differences) >= observed).sum()
        for _ in range(NUM_RESAMPLES // BATCH)
    )
    # The observed one is a swap too: Phipson and Smyth 2010.
    return float((num_as_large + 1) / (NUM_RESAMPLES + 1))


def _interval(values: Floats) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _needed_words(num_words: int, difference: float, standard_error: float) -> int | None:
    """Words, to two digits, at which a gain of this size lies `POWER_QUANTILES` standard errors from none."""
    if difference >= 0:
        return None
    needed = num_words * (POWER_QUANTILES * standard_error / difference) ** 2
    return int(float(f"{needed:.2g}"))


def _percent(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.1%} to {interval[1]:.1%}"
