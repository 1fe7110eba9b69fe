"""The comparison's figures as tables and as a picture."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

import numpy as np

from recipe.evaluation.comparison import Comparison, compare_errors
from recipe.evaluation.metrics import ErrorCounts
from scripts.benchmarks.common import make_axes, print_table

SETS = {"windows": "whole windows", "single_cues": "single cues"}
WORDS = {"normalized": "normalised", "written": "as written"}
LABELS = {"ours": "this recipe", "usual": "usual recipe"}

Results = Mapping[str, Any]
"""What results.json holds."""

Figures = Mapping[str, Any]
"""What one measurement found."""


def print_report(results: Results) -> None:
    """Print all tables, and what they were measured on."""
    print("Medians and ranges of the repeats; compute is CPU seconds, or GPU seconds where there is a GPU\n")
    print_table(["", *LABELS.values(), "times better", "goal"], compare_speed(results["figures"]))
    if has_curves(results):
        panels = [*PANELS, *LONG_PANELS] if "evaluate/long/base/1" in results["figures"] else PANELS
        for panel in panels:
            print_errors(results, panel)
        for panel in PANELS:
            print_time_to(results, panel)
    for part in ("machine", "settings"):
        print(", ".join(f"{name} {value}" for name, value in results[part].items()))


def has_curves(results: Results) -> bool:
    """Whether error rates were measured."""
    return "evaluate/short/base/1" in results["figures"]


def update_rate(training: Figures) -> float:
    """Examples per compute second, without the first update, which warms up, unless there is no other."""
    seconds = training["compute_seconds"]
    start = seconds[0] if len(seconds) > 1 else 0.0
    return float(max(len(seconds) - 1, 1) * training["examples_per_update"] / (seconds[-1] - start))


def speech_rate(training: Figures) -> float:
    """Seconds inside cues that are trained in a second of compute."""
    return update_rate(training) * float(training["speech_seconds_per_example"])


def word_rate(training: Figures) -> float:
    """Words that are trained in a second of compute."""
    return update_rate(training) * float(training["words_per_example"])


def preparation_rate(preparation: Figures) -> float:
    """CPU seconds to prepare an hour of recordings."""
    return float(preparation["compute_seconds"] / preparation["audio_hours"])


def rate_beyond_decoding(preparation: Figures) -> float:
    """The same without what it takes to decode the files, which any recipe must."""
    return preparation_rate(preparation) - float(preparation["decoding_seconds"] / preparation["audio_hours"])


def disk_rate(preparation: Figures) -> float:
    """Megabytes of Arrow for an hour of recordings."""
    return float(preparation["num_bytes"] / 1e6 / preparation["audio_hours"])


def peak_memory(figures: Figures) -> float:
    """Peak of the GPU's memory where there is one, else of the process, in MiB."""
    return float(figures.get("peak_gpu_mib") or figures["peak_mib"])


class Row(NamedTuple):
    """A figure of both recipes.

    Attributes:
        name: What it is.
        kind: Of the measurement that has it.
        cues: Likewise.
        read: The figure of a measurement.
        goal: Least ratio wished for, how many times better ours is.
    """

    name: str
    kind: str
    cues: str
    read: Callable[[Figures], float]
    goal: str = ""


ROWS = [
    Row("speech seconds trained per compute second", "train", "short", speech_rate, "5"),
    Row("words trained per compute second", "train", "short", word_rate),
    Row("speech seconds trained per compute second", "train", "long", speech_rate, "1"),
    Row("preparation, CPU seconds per audio hour", "prepare", "short", preparation_rate, "10"),
    Row("the same beyond decoding", "prepare", "short", rate_beyond_decoding),
    Row("preparation, CPU seconds per audio hour", "prepare", "long", preparation_rate),
    Row("the same beyond decoding", "prepare", "long", rate_beyond_decoding),
    Row("disk, MB per audio hour", "prepare", "short", disk_rate, "2"),
    Row("disk, MB per audio hour", "prepare", "long", disk_rate, "2"),
    Row("peak memory of preparation, MiB", "prepare", "short", peak_memory),
    Row("peak memory of training, MiB", "train", "short", peak_memory),
]


def compare_speed(figures: Mapping[str, Figures]) -> Iterator[list[str]]:
    """The cells of each of `ROWS` that is measured."""
    for row in ROWS:
        ours, usual = (
            [
                row.read(some)
                for name, some in figures.items()
                if name.startswith(f"{row.kind}/{row.cues}/{recipe}/")
            ]
            for recipe in LABELS
        )
        if ours and usual:
            ratio = median(usual) / median(ours)
            times_better = 1 / ratio if row.read in {speech_rate, word_rate} else ratio
            yield [
                f"{row.name}, {row.cues} cues",
                spread(ours),
                spread(usual),
                f"{times_better:.2f}",
                row.goal,
            ]


def spread(values: Sequence[float]) -> str:
    """The median, and the range of the repeats."""
    text = round_off(median(values))
    return text if len(values) == 1 else f"{text} [{round_off(min(values))}, {round_off(max(values))}]"


def round_off(value: float) -> str:
    """A figure with three significant digits, whole ones all."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


class Panel(NamedTuple):
    """The held-out examples and the words that errors are counted on.

    Attributes:
        examples: A key of `SETS`.
        words: A key of `WORDS`.
        cues: "short", or "long" after training on long ones.
    """

    examples: str
    words: str
    cues: str = "short"

    def __str__(self) -> str:
        where = SETS[self.examples]
        if self.cues == "long":
            where += " where consecutive cues are merged into cues of 20 to 29 s"
        return f"WER, {WORDS[self.words]}, on {where}"


PANELS = [Panel(examples, words) for words in WORDS for examples in SETS]
LONG_PANELS = [Panel("windows", words, "long") for words in WORDS]


@dataclass(frozen=True)
class Point:
    """The error rate of a recipe at one budget, over all seeds.

    Attributes:
        budget: Compute seconds after which it was to be judged.
        seconds: Compute spent by then, to the end of an update; the mean over the seeds.
        counts: Errors of each held-out example, summed over the seeds.
        rates: The error rate of each seed.
    """

    budget: float
    seconds: float
    counts: Sequence[ErrorCounts]
    rates: Sequence[float]

    @property
    def rate(self) -> float:
        """The error rate over all seeds."""
        return sum(self.counts, ErrorCounts()).rate

    @property
    def interval(self) -> tuple[float, float]:
        """The bootstrap interval of the rate, over the held-out examples."""
        return compare_points(self, self).after_interval

    def __str__(self) -> str:
        low, high = self.interval
        seeds = " ".join(f"{100 * rate:.1f}" for rate in self.rates)
        return f"{100 * self.rate:.1f} % [{100 * low:.1f}, {100 * high:.1f}] ({seeds})"


def read_curve(results: Results, recipe: str, panel: Panel) -> list[Point]:
    """The points of a recipe, from the untrained checkpoint on; of the seeds that are measured for both."""
    figures = results["figures"]
    points = [read_point(0.0, [(0.0, figures[f"evaluate/{panel.cues}/base/1"])], panel)]
    for budget in results["settings"]["budgets"]:
        measured = []
        for key, evaluation in figures.items():
            kind, cues, who, seed, *spent = key.split("/")
            pair = {"/".join([kind, cues, one, seed, *spent]) for one in LABELS}
            is_asked = (kind, cues, who, spent) == ("evaluate", panel.cues, recipe, [f"{budget:g}"])
            if is_asked and pair <= figures.keys():
                training = figures[f"train/{cues}/{recipe}/{seed}"]
                last_update = training["updates_at_budget"][spent[0]] - 1
                measured.append((training["compute_seconds"][last_update], evaluation))
        if measured:
            points.append(read_point(budget, measured, panel))
    return points


def read_point(budget: float, measured: Sequence[tuple[float, Figures]], panel: Panel) -> Point:
    """One point of the seeds' compute and evaluations."""
    seeds = [[ErrorCounts(**count) for count in some[panel.examples][panel.words]] for _, some in measured]
    summed = [sum(counts, ErrorCounts()) for counts in zip(*seeds, strict=True)]
    rates = [sum(counts, ErrorCounts()).rate for counts in seeds]
    return Point(budget, mean(seconds for seconds, _ in measured), summed, rates)


def print_errors(results: Results, panel: Panel) -> None:
    """Print the error rates of both recipes at every budget, and whether they differ."""
    ours, usual = (read_curve(results, recipe, panel) for recipe in LABELS)
    counts, opponents = ours[0].counts, {point.budget: point for point in usual}
    num_words = sum(count.num_reference for count in counts)
    print(f"Held-out {panel} ({len(counts)}, {num_words} words), 95 % intervals (each seed)\n")
    rows = (
        [f"{point.budget:g}", *compare(point, opponents[point.budget])]
        for point in ours
        if point.budget in opponents  # else not measured yet
    )
    print_table(["compute s", *LABELS.values(), "difference, points"], rows)


def compare_points(before: Point, after: Point) -> Comparison:
    """The difference of two rates over the same examples, which are drawn."""
    return compare_errors([""] * len(before.counts), before.counts, after.counts)


def compare(ours: Point, usual: Point) -> tuple[str, str, str]:
    """Both rates, and the difference with its interval."""
    low, high = compare_points(usual, ours).difference_interval
    difference = f"{100 * (ours.rate - usual.rate):+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
    return str(ours), str(usual), difference


def print_time_to(results: Results, panel: Panel) -> None:
    """Print the compute to the error rates that the usual recipe has at its budgets, if it has any lower."""
    ours, usual = (read_curve(results, recipe, panel) for recipe in LABELS)
    rows = []
    for point in usual[1:]:
        if point.rate < usual[0].rate:
            times = [time_to(curve, point.rate) for curve in (ours, usual)]
            ratio = f"{times[1] / times[0]:.2f}" if times[0] and times[1] else ""
            cells = [f"{seconds:.0f}" if seconds else "not reached" for seconds in times]
            rows.append([f"{100 * point.rate:.1f} %", *cells, ratio])
    if rows:
        print(f"Compute seconds to a {panel}\n")
        print_table(["WER", *LABELS.values(), "times faster"], rows)


def time_to(curve: Sequence[Point], rate: float) -> float | None:
    """Compute seconds at which the curve first is at the rate; None if it never is."""
    for before, after in pairwise(curve):
        if after.rate <= rate < before.rate:
            fraction = (before.rate - rate) / (before.rate - after.rate)
            return before.seconds + fraction * (after.seconds - before.seconds)
    return None


def plot_curves(results: Results, path: Path) -> None:
    """Write a picture of the error rates over compute, with their intervals."""
    drawing, axes = make_axes(len(WORDS), len(SETS), (10, 8))
    for axis, panel in zip(axes.flat, PANELS, strict=True):
        for recipe, color in (("ours", "tab:blue"), ("usual", "tab:orange")):
            draw_curve(axis, read_curve(results, recipe, panel), color, LABELS[recipe])
        axis.set(title=f"Held-out {SETS[panel.examples]}", ylabel=f"WER, {WORDS[panel.words]}, %")
        axis.grid(alpha=0.3)
    for axis in axes[-1]:
        axis.set_xlabel("seconds of compute in training")
    axes[0, 0].legend()
    drawing.savefig(path, dpi=100)


def draw_curve(axis: Any, curve: Sequence[Point], color: str, label: str) -> None:
    """The rate over all seeds with its interval, and each seed as a dash."""
    seconds = [point.seconds for point in curve]
    low, high = zip(*(point.interval for point in curve), strict=True)
    axis.plot(seconds, [100 * point.rate for point in curve], "o-", color=color, label=label)
    axis.fill_between(seconds, 100 * np.array(low), 100 * np.array(high), color=color, alpha=0.15)
    for point in curve:
        axis.plot([point.seconds] * len(point.rates), [100 * rate for rate in point.rates], "_", color=color)
