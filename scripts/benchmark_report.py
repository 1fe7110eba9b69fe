"""The benchmark's figures as tables and as a picture."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from recipe.evaluation.metrics import ErrorCounts, bootstrap_interval

SETS = {"windows": "whole windows", "single_cues": "single cues"}
WORDS = {"normalized": "normalised", "written": "as written"}
PANELS = [(name, words) for words in WORDS for name in SETS]
LABELS = {"ours": "this recipe", "usual": "usual recipe"}
NUM_RESAMPLES = 1000


@dataclass(frozen=True)
class Row:
    """A figure of both recipes.

    Attributes:
        name: What it is.
        ours: Of this recipe, over all repeats.
        usual: Of the usual recipe, over all repeats.
        goal: Least ratio wished for, how many times better ours is.
        is_more_better: Whether the larger figure is the better.
    """

    name: str
    ours: Sequence[float]
    usual: Sequence[float]
    goal: float | None = None
    is_more_better: bool = False

    @property
    def ratio(self) -> float:
        """How many times better ours is, of the medians."""
        ours, usual = median(self.ours), median(self.usual)
        return ours / usual if self.is_more_better else usual / ours


def print_report(results: Mapping[str, Any]) -> None:
    """Print all tables, and what they were measured on."""
    console = Console(width=120)
    figures, settings = results["figures"], results["settings"]
    device = next(iter(figures.values()))["device"]
    console.print(tabulate_speed(figures))
    if has_curves(results):
        for panel in PANELS:
            console.print(tabulate_errors(figures, settings, *panel))
        for panel in PANELS:
            table = tabulate_time_to(figures, settings, *panel)
            if table.row_count:
                console.print(table)
        console.print(tabulate_long(figures, settings))
    machine = ", ".join(f"{name} {value}" for name, value in results["machine"].items())
    console.print(f"device {device}, {settings['num_threads']} thread(s) each; {machine}")
    console.print(", ".join(f"{name} {value}" for name, value in settings.items() if name != "num_threads"))


def has_curves(results: Mapping[str, Any]) -> bool:
    """Whether error rates were measured."""
    return "evaluate/short/base/1" in results["figures"]


def tabulate_speed(figures: Mapping[str, Any]) -> Table:
    """Speed, preparation, disk and memory."""
    table = Table(
        title="Medians and ranges of the repeats; compute is CPU seconds, or GPU seconds where there is a GPU"
    )
    table.add_column("", no_wrap=True)
    for name in (*LABELS.values(), "times better", "goal"):
        table.add_column(name, justify="right")
    for row in compare_speed(figures):
        if not (row.ours and row.usual):
            continue  # not measured yet
        goal = f"{row.goal:g}" if row.goal else ""
        table.add_row(row.name, spread(row.ours), spread(row.usual), f"{row.ratio:.2f}", goal)
    return table


def spread(values: Sequence[float]) -> str:
    """The median, and the range of the repeats."""
    text = round_off(median(values))
    return text if len(values) == 1 else f"{text} [{round_off(min(values))}, {round_off(max(values))}]"


def round_off(value: float) -> str:
    """A figure with three significant digits, whole ones all."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def compare_speed(figures: Mapping[str, Any]) -> Iterator[Row]:
    """The rows of the first table."""

    def row(name: str, measure: Any, kind: str, data: str, **options: Any) -> Row:
        ours, usual = ([measure(item) for item in select(figures, kind, data, who)] for who in LABELS)
        return Row(f"{name}, {data} cues", ours, usual, **options)

    better = {"is_more_better": True}
    yield row("speech seconds trained per compute second", speech_rate, "train", "short", goal=5, **better)
    yield row("words trained per compute second", word_rate, "train", "short", **better)
    yield row("speech seconds trained per compute second", speech_rate, "train", "long", goal=1, **better)
    for data, goal in (("short", 10.0), ("long", None)):
        yield row("preparation, CPU seconds per audio hour", preparation_rate, "prepare", data, goal=goal)
        yield row("the same beyond decoding", rate_beyond_decoding, "prepare", data)
    for data, goal in (("short", 2.0), ("long", 2.0)):
        yield row("disk, MB per audio hour", disk_rate, "prepare", data, goal=goal)
    for kind, name in (("prepare", "preparation"), ("train", "training")):
        yield row(f"peak memory of {name}, MiB", peak_memory, kind, "short")


def select(figures: Mapping[str, Any], kind: str, data: str, recipe: str) -> list[dict[str, Any]]:
    """The figures of all repeats."""
    return [item for name, item in figures.items() if name.startswith(f"{kind}/{data}/{recipe}/")]


def update_rate(training: Mapping[str, Any]) -> float:
    """Examples per compute second, without the first update, which warms up, unless there is no other."""
    seconds = training["compute_seconds"]
    start = seconds[0] if len(seconds) > 1 else 0.0
    return float(max(len(seconds) - 1, 1) * training["examples_per_update"] / (seconds[-1] - start))


def speech_rate(training: Mapping[str, Any]) -> float:
    """Seconds inside cues that are trained in a second of compute."""
    return update_rate(training) * float(training["speech_seconds_per_example"])


def word_rate(training: Mapping[str, Any]) -> float:
    """Words that are trained in a second of compute."""
    return update_rate(training) * float(training["words_per_example"])


def preparation_rate(preparation: Mapping[str, Any]) -> float:
    """CPU seconds to prepare an hour of recordings."""
    return float(preparation["compute_seconds"] / preparation["audio_hours"])


def rate_beyond_decoding(preparation: Mapping[str, Any]) -> float:
    """The same without what it takes to decode the files, which any recipe must."""
    seconds = preparation["compute_seconds"] - preparation["decoding_seconds"]
    return float(seconds / preparation["audio_hours"])


def disk_rate(preparation: Mapping[str, Any]) -> float:
    """Megabytes of Arrow for an hour of recordings."""
    return float(preparation["num_bytes"] / 1e6 / preparation["audio_hours"])


def peak_memory(figures: Mapping[str, Any]) -> float:
    """Peak of the GPU's memory where there is one, else of the process."""
    return float(figures.get("peak_gpu_mib") or figures["peak_mib"])


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
        return bootstrap_interval(self.counts, num_resamples=NUM_RESAMPLES)


def read_curve(
    figures: Mapping[str, Any],
    settings: Mapping[str, Any],
    recipe: str,
    name: str,
    words: str,
    data: str = "short",
) -> list[Point]:
    """The points of a recipe that are measured, from the untrained checkpoint on."""
    points = [read_point(0.0, [(0.0, figures[f"evaluate/{data}/base/1"])], name, words)]
    for budget in settings["budgets"]:
        measured = []
        for key, figure in figures.items():
            kind, *path = key.split("/")
            if kind == "evaluate" and path[:2] == [data, recipe] and path[-1] == f"{budget:g}":
                training = figures[f"train/{data}/{recipe}/{path[2]}"]
                measured.append(
                    (training["compute_seconds"][training["updates_at_budget"][path[-1]] - 1], figure)
                )
        if measured:
            points.append(read_point(budget, measured, name, words))
    return points


def read_point(
    budget: float, measured: Sequence[tuple[float, Mapping[str, Any]]], name: str, words: str
) -> Point:
    """One point of the seeds' compute and evaluations."""
    seeds = [[ErrorCounts(**count) for count in figure[name][words]] for _, figure in measured]
    summed = [sum(counts, ErrorCounts()) for counts in zip(*seeds, strict=True)]
    rates = [sum(counts, ErrorCounts()).rate for counts in seeds]
    return Point(budget, mean(seconds for seconds, _ in measured), summed, rates)


def tabulate_errors(figures: Mapping[str, Any], settings: Mapping[str, Any], name: str, words: str) -> Table:
    """The error rates of both recipes at every budget, and whether they differ."""
    ours, usual = (read_curve(figures, settings, recipe, name, words) for recipe in LABELS)
    num_words = sum(count.num_reference for count in ours[0].counts)
    title = (
        f"Held-out WER, {WORDS[words]}, on {SETS[name]} ({len(ours[0].counts)}, {num_words} words), "
        "95 % intervals (each seed)"
    )
    table = Table(title=title)
    for column in ("compute s", *LABELS.values(), "difference, points"):
        table.add_column(column, justify="right")
    opponents = {point.budget: point for point in usual}
    for first in ours:
        if first.budget in opponents:  # else not measured yet
            table.add_row(f"{first.budget:g}", *compare(first, opponents[first.budget]))
    return table


def tabulate_long(figures: Mapping[str, Any], settings: Mapping[str, Any]) -> Table:
    """The error rates of both recipes where a cue fills a window, after training on such cues."""
    table = Table(title="Held-out WER where consecutive cues are merged into cues of 20 to 29 s")
    for column in ("words", "compute s", *LABELS.values(), "difference, points"):
        table.add_column(column, justify="left" if column == "words" else "right")
    for words in WORDS if "evaluate/long/base/1" in figures else ():
        curves = [read_curve(figures, settings, recipe, "windows", words, "long") for recipe in LABELS]
        for first, second in zip(*curves, strict=False):
            table.add_row(WORDS[words], f"{first.budget:g}", *compare(first, second))
    return table


def compare(ours: Point, usual: Point) -> tuple[str, str, str]:
    """Both rates, and the difference with its interval."""
    low, high = difference_interval(ours.counts, usual.counts)
    difference = f"{100 * (ours.rate - usual.rate):+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
    return describe(ours), describe(usual), difference


def describe(point: Point) -> str:
    """A rate with its interval and its seeds, in percent."""
    low, high = point.interval
    seeds = " ".join(f"{100 * rate:.1f}" for rate in point.rates)
    return f"{100 * point.rate:.1f} % [{100 * low:.1f}, {100 * high:.1f}] ({seeds})"


def difference_interval(ours: Sequence[ErrorCounts], usual: Sequence[ErrorCounts]) -> tuple[float, float]:
    """The 95 % interval of the difference of two rates over the same examples, drawn together."""
    table = np.array(
        [
            (first.num_errors, first.num_reference, second.num_errors, second.num_reference)
            for first, second in zip(ours, usual, strict=True)
        ]
    )
    draws = np.random.default_rng(0).integers(len(table), size=(NUM_RESAMPLES, len(table)))
    sums = table[draws].sum(axis=1)
    low, high = np.quantile(sums[:, 0] / sums[:, 1] - sums[:, 2] / sums[:, 3], [0.025, 0.975])
    return float(low), float(high)


def tabulate_time_to(figures: Mapping[str, Any], settings: Mapping[str, Any], name: str, words: str) -> Table:
    """Compute to the error rates that the usual recipe has at its budgets."""
    ours, usual = (read_curve(figures, settings, recipe, name, words) for recipe in LABELS)
    table = Table(title=f"Compute seconds to a WER, {WORDS[words]}, on {SETS[name]}")
    for column in ("WER", *LABELS.values(), "times faster"):
        table.add_column(column, justify="right")
    for point in usual[1:]:
        if point.rate < usual[0].rate:
            first, second = time_to(ours, point.rate), time_to(usual, point.rate)
            cells = [f"{seconds:.0f}" if seconds else "not reached" for seconds in (first, second)]
            ratio = f"{second / first:.2f}" if first and second else ""
            table.add_row(f"{100 * point.rate:.1f} %", *cells, ratio)
    return table


def time_to(curve: Sequence[Point], rate: float) -> float | None:
    """Compute seconds at which the curve first is at the rate; None if it never is."""
    for before, after in pairwise(curve):
        if after.rate <= rate < before.rate:
            share = (before.rate - rate) / (before.rate - after.rate)
            return before.seconds + share * (after.seconds - before.seconds)
    return None


def plot_curves(results: Mapping[str, Any], path: Path) -> None:
    """Write a picture of the error rates over compute, with their intervals."""
    import matplotlib as mpl  # noqa: PLC0415 - only the full benchmark draws

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the backend is chosen

    drawing, axes = plt.subplots(len(WORDS), len(SETS), figsize=(10, 8), sharex=True, layout="constrained")
    for axis, (name, words) in zip(axes.flat, PANELS, strict=True):
        for recipe, color in (("ours", "tab:blue"), ("usual", "tab:orange")):
            curve = read_curve(results["figures"], results["settings"], recipe, name, words)
            draw_curve(axis, curve, color, LABELS[recipe])
        axis.set(title=f"Held-out {SETS[name]}", ylabel=f"WER, {WORDS[words]}, %")
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
