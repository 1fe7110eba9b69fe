"""How often a model that cannot be better is called so: two samplings of one model, compared as a run does.

python -m scripts.benchmarks.verdicts
"""

import argparse
from collections.abc import Iterator

import numpy as np

from recipe.evaluation.comparison import Comparison, Verdict, compare_errors
from recipe.evaluation.metrics import ErrorCounts
from scripts.benchmarks.common import build_parser, print_table, run


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = build_parser(__doc__)
    parser.add_argument("--num_pairs", type=int, default=400, help="comparisons for each size (400)")
    parser.add_argument("--words", type=int, default=75, help="words of a window (75)")
    parser.add_argument("--rate", type=float, default=0.25, help="error rate of the model (0.25)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[4, 6, 10, 14, 20, 40, 100], help="windows")
    return parser


def measure(arguments: argparse.Namespace) -> None:
    """Print the table."""

    def measure_rows() -> Iterator[list[str]]:
        for num_windows in arguments.sizes:
            generator = np.random.default_rng(num_windows)
            found = [compare(arguments, num_windows, generator) for _ in range(arguments.num_pairs)]
            verdicts = [comparison.verdict for comparison in found]
            counts = [verdicts.count(Verdict.BETTER), verdicts.count(Verdict.WORSE)]
            counts.append(sum(comparison.is_lower for comparison in found))
            yield [str(num_windows), *(f"{count / len(found):.1%}" for count in counts)]

    print_table(["windows of the test", "called better", "called worse", "fewer words wrong"], measure_rows())


def compare(arguments: argparse.Namespace, num_windows: int, generator: np.random.Generator) -> Comparison:
    """Two samplings of one model on the windows of one recording."""
    before, after = (
        [
            ErrorCounts(arguments.words - errors, num_substitutions=errors)
            for errors in generator.binomial(arguments.words, arguments.rate, num_windows).tolist()
        ]
        for _ in range(2)
    )
    return compare_errors(["one recording"] * num_windows, before, after)


if __name__ == "__main__":
    run(measure, parser())
