"""How often a model that cannot be better is called so, as a run chooses and compares, and as one did before.

python -m scripts.benchmarks.verdicts

Base and trained model are samplings of one model: recordings and windows differ in how hard they are, and
given that every word is wrong by chance alone. Training leaves several candidates (checkpoints,
interpolations). A run chooses the best of them by validation speech, a third as much as that of the test, and
compares it with the base on the test; before, it chose by the windows that it reported, and called fewer
errors better. With --spread every candidate is better on some recordings and worse on others, by chance, and
on all speech together the same.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recipe.evaluation.comparison import Comparison, Verdict, compare_errors
from recipe.evaluation.metrics import ErrorCounts
from scripts.benchmarks.common import build_parser, print_table, run

LAYOUTS = ("1x4", "1x10", "1x20", "1x40", "3x7", "5x4", "5x20", "6x4", "10x2", "10x10", "30x3")
"""Recordings of the test, and windows of each."""

EVENNESS = 20.0
"""Of the beta distribution of how hard recordings are, and in them windows: rates of 0.25 spread by 0.09."""

Errors = npt.NDArray[np.int64]
"""Wrong words of the base and each candidate (first axis) in each window."""


@dataclass(frozen=True)
class Speech:
    """Windows of recordings.

    Attributes:
        recordings: Of each window.
        errors: What the models get wrong there.
    """

    recordings: list[str]
    errors: Errors


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = build_parser(__doc__)
    parser.add_argument("--num_runs", type=int, default=400, help="runs for each layout (400)")
    parser.add_argument("--words", type=int, default=75, help="words of a window (75)")
    parser.add_argument("--rate", type=float, default=0.25, help="error rate of the model (0.25)")
    parser.add_argument("--num_candidates", type=int, default=6, help="what is chosen from (6)")
    parser.add_argument("--spread", type=float, default=0.0, help="of candidates by recording, WER (0)")
    parser.add_argument("--layouts", nargs="+", default=LAYOUTS, help="recordings x windows of the test")
    return parser


def measure(arguments: argparse.Namespace) -> None:
    """Print how often each word is said, by the size of the test."""

    def measure_rows() -> Iterator[list[str]]:
        for layout in arguments.layouts:
            num_recordings, num_windows = map(int, layout.split("x"))
            generator = np.random.default_rng([num_recordings, num_windows])
            found = [
                imitate_run(arguments, num_recordings, num_windows, generator)
                for _ in range(arguments.num_runs)
            ]
            verdicts = [comparison.verdict for comparison, _ in found]
            counts = [verdicts.count(Verdict.BETTER), verdicts.count(Verdict.WORSE)]
            counts += [
                sum(comparison.is_lower for comparison, _ in found),
                sum(is_lower for _, is_lower in found),
            ]
            yield [
                f"{num_recordings} x {num_windows}",
                found[0][0].drawn,
                *(f"{count / len(found):.1%}" for count in counts),
            ]

    print_table(
        [
            "recordings x windows",
            "drawn",
            "called better",
            "called worse",
            "fewer errors",
            "chosen and better before",
        ],
        measure_rows(),
    )


def imitate_run(
    arguments: argparse.Namespace, num_recordings: int, num_windows: int, generator: np.random.Generator
) -> tuple[Comparison, bool]:
    """What a run says of its model, and whether it would have been called better before."""
    test = speak(arguments, num_recordings, num_windows, generator)
    # A third as much speech: fewer recordings, or of one or two fewer windows.
    fewer = (max(1, num_recordings // 3), num_windows if num_recordings >= 3 else max(1, num_windows // 3))
    validation = speak(arguments, *fewer, generator)
    chosen = int(validation.errors[1:].sum(axis=1).argmin())
    before, *candidates = (
        [ErrorCounts(arguments.words - wrong, num_substitutions=wrong) for wrong in errors]
        for errors in test.errors.tolist()
    )
    totals = test.errors.sum(axis=1)
    return compare_errors(test.recordings, before, candidates[chosen]), bool(totals[1:].min() < totals[0])


def speak(
    arguments: argparse.Namespace, num_recordings: int, num_windows: int, generator: np.random.Generator
) -> Speech:
    """Windows of new recordings, with what base and candidates get wrong in them."""
    hard = draw_rates(np.full((num_recordings, 1), arguments.rate), generator)
    hard = draw_rates(np.repeat(hard, num_windows, axis=1), generator)
    shifts = generator.normal(0, arguments.spread, (1 + arguments.num_candidates, num_recordings, 1))
    shifts[0] = 0
    errors = generator.binomial(arguments.words, np.clip(hard + shifts, 0, 1))
    names = [f"talk {number}" for number in range(num_recordings) for _ in range(num_windows)]
    return Speech(names, errors.reshape(len(errors), -1))


def draw_rates(means: npt.NDArray[np.float64], generator: np.random.Generator) -> npt.NDArray[np.float64]:
    """Error rates that spread about their means."""
    means = np.clip(means, 0.01, 0.99)
    return generator.beta(EVENNESS * means, EVENNESS * (1 - means))


if __name__ == "__main__":
    run(measure, parser())
