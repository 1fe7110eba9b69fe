"""The report of a run as one HTML page: the figure, what it was before and after, and what is still wrong."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from datasets import Dataset

from recipe.arguments import caption_language
from recipe.data.sounds import read_flac
from recipe.evaluation.keywords import GLOSSARY_COLUMNS, tabulate_glossary
from recipe.evaluation.long_form_table import VIEW_TITLES, describe_view, describe_word_times, tabulate
from recipe.evaluation.mistakes import Step, Text, mark_differences
from recipe.evaluation.normalization import NORMALIZER_LABELS
from recipe.page.rendering import render, sound_address

NUM_SHOWN = 4
"""Windows shown that gained most, that gained least, and that chance takes."""

MAX_WARNINGS = 50
"""Warnings on the page; result.json has all."""

MAX_RECORDINGS = 500
"""Test recordings on the page; report.json has all."""

CHART = (300, 110)
"""Width and height of a curve, in the units of its drawing."""


@dataclass(frozen=True)
class ShownWindow:
    """A test window with both transcripts.

    Attributes:
        window: As `report.json` has it.
        why: Why it is shown.
        before: The base model's words against the reference's.
        after: The trained model's.
        sound: An address that holds its sound.
    """

    window: Mapping[str, Any]
    why: str
    before: list[Step]
    after: list[Step]
    sound: str


@dataclass(frozen=True)
class Curve:
    """A figure over the updates of a run, ready to draw.

    Attributes:
        title: What it is.
        points: Update and figure of each.
        places: The same in the units of the drawing.
        low: Figure at the bottom.
        high: Figure at the top.
        form: How a figure is written.
    """

    title: str
    points: list[tuple[int, float]]
    places: list[tuple[float, float]]
    low: float
    high: float
    form: str


def render_page(report: Mapping[str, Any], test: Dataset, warnings: Sequence[str]) -> str:
    """The page; whatever came from files is escaped.

    Args:
        report: As `report.json` has it.
        test: The test windows.
        warnings: Of the run, in the order in which they are shown.
    """
    return render(
        Path(__file__).with_name("evaluation_report.html.jinja"),
        {
            "percent": format_percent,
            "wer": lambda rate: f"{100 * rate:.0f}",
            "describe_view": describe_view,
            "describe_word_times": describe_word_times,
            "tabulate": tabulate,
            "tabulate_glossary": tabulate_glossary,
        },
        report=report,
        shown=show_windows(report, test),
        recordings=choose_recordings(report["recordings"]),
        curves=list(draw_curves(report["curve"])),
        chart=CHART,
        view_titles=VIEW_TITLES,
        glossary_columns=GLOSSARY_COLUMNS,
        normalizers=NORMALIZER_LABELS,
        warnings=warnings[:MAX_WARNINGS],
        num_more_warnings=len(warnings[MAX_WARNINGS:]),
    )


def format_percent(rate: float) -> str:
    """0.1613 is "16.1 %"."""
    return f"{100 * rate:.1f} %"


def show_windows(report: Mapping[str, Any], test: Dataset) -> list[ShownWindow]:
    """The windows to show, ready to be."""
    return [
        _show(window, why, find_row(test, window), report["task"])
        for why, window in choose_windows(report["windows"], NUM_SHOWN)
    ]


def choose_windows(
    windows: Sequence[Mapping[str, Any]], num_each: int
) -> list[tuple[str, Mapping[str, Any]]]:
    """The windows that gained most, those that gained least, and some that chance takes, each with why."""
    windows = sorted(windows, key=lambda w: w["num_errors_after"] - w["num_errors"])
    best, rest = windows[:num_each], windows[num_each:]
    worst = rest[::-1][:num_each]
    others = rest[: len(rest) - len(worst)]
    drawn = Random(0).sample(others, min(num_each, len(others)))  # noqa: S311 - no secret
    kinds = {"gained most": best, "gained least": worst, "drawn by chance": drawn}
    return [(why, window) for why, some in kinds.items() for window in some]


def choose_recordings(rows: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    """All recordings; of more than `MAX_RECORDINGS` those with the most words wrong, the worst first."""
    if len(rows) <= MAX_RECORDINGS:
        return rows
    names = sorted(rows, key=lambda name: rows[name]["after"] * rows[name]["num_words"], reverse=True)
    return {name: rows[name] for name in names[:MAX_RECORDINGS]}


def find_row(test: Dataset, window: Mapping[str, Any]) -> Mapping[str, Any]:
    """The example of a window of `report.json`."""
    places = zip(test["recording"], test["start_ms"], strict=True)
    number = list(places).index((window["recording"], window["start_ms"]))
    row: Mapping[str, Any] = test[number]
    return row


def _show(window: Mapping[str, Any], why: str, row: Mapping[str, Any], task: str | None) -> ShownWindow:
    language = caption_language(window["language"], task)
    before, after = (
        mark_differences(Text(window["reference"], window[name], language)) for name in ("before", "after")
    )
    return ShownWindow(window, why, before, after, sound_address(read_flac(row["audio"])))


def draw_curves(entries: Iterable[Mapping[str, Any]]) -> Iterable[Curve]:
    """A curve of each figure that was taken at two updates or more, the base model's first."""
    entries = list(entries)
    titles = {
        "wer_normalized": "Words wrong on the validation part",
        "validation_loss": "Loss on the validation part, nats a token",
        "train_loss": "Loss in training, nats a token",
    }
    for name, title in titles.items():
        points = [(entry["step"], entry[name]) for entry in entries if entry.get(name) is not None]
        if len(points) > 1:
            yield _draw(title, points, "{:.1%}" if name == "wer_normalized" else "{:.3f}")


def _draw(title: str, points: list[tuple[int, float]], form: str) -> Curve:
    width, height = CHART
    last = max(step for step, _ in points) or 1
    low, high = min(figure for _, figure in points), max(figure for _, figure in points)
    room = (high - low) or 1.0
    places = [
        (round(step / last * width, 1), round((1 - (figure - low) / room) * height, 1))
        for step, figure in points
    ]
    return Curve(title, points, places, low, high, form)
