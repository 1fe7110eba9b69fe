"""The dataset report as one HTML page that needs nothing else: findings, figures, and windows to play."""

from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from datasets import Dataset

from recipe.data.sounds import read_flac
from recipe.data.terms import TERMS, name_of
from recipe.page.rendering import render, sound_address

CHARTS = {
    "window_seconds": ("Length of the windows", "s"),
    "label_tokens": ("Tokens of their labels", "tokens"),
    "chars_per_second": ("Reading speed", "characters a second"),
}
"""Title and unit of each histogram."""

MAX_WARNINGS = 50
"""Warnings on the page; `dataset_report.json` has all."""


def render_page(report: dict[str, Any], rows: Dataset) -> str:
    """The page; whatever came from files is escaped.

    Args:
        report: The dataset report, as it is saved in JSON.
        rows: All windows, by which those to play are numbered.
    """
    played = [*report["windows_to_review"], *report["test_windows"]]
    return render(
        Path(__file__).with_name("dataset_report.html.jinja"),
        {"name_of": name_of},
        report=report,
        charts=CHARTS,
        terms={name: asdict(term) for name, term in TERMS.items()} | report.get("terms", {}),
        sounds={item["row"]: sound_address(read_flac(rows[item["row"]]["audio"])) for item in played},
        flags_of_recordings=list(chain.from_iterable(item["flags"] for item in report["recordings"])),
        max_warnings=MAX_WARNINGS,
    )
