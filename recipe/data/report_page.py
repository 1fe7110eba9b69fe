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
"""Warnings on the page."""

MAX_LISTED = 1_000
"""Recordings on the page, and with suspect windows and warnings in JSON; a file of its own has more."""

MAX_SUSPECTS = 300
"""Suspect windows on the page, each with its words."""


def render_page(report: dict[str, Any], rows: Dataset) -> str:
    """The page; whatever came from files is escaped.

    Args:
        report: The dataset report, complete. Where `recordings_file` names a file that has all recordings,
            the page shows the first; likewise `suspect_windows_file`.
        rows: All windows, by which those to play are numbered.
    """
    recordings_file = report.get("recordings_file", "")
    recordings = report["recordings"][: MAX_LISTED if recordings_file else None]
    played = [*report["windows_to_review"], *report["test_windows"]]
    return render(
        Path(__file__).with_name("dataset_report.html.jinja"),
        {"name_of": name_of},
        report=report,
        charts=CHARTS,
        terms={name: asdict(term) for name, term in TERMS.items()} | report.get("terms", {}),
        sounds={item["row"]: sound_address(read_flac(rows[item["row"]]["audio"])) for item in played},
        recordings=recordings,
        recordings_file=recordings_file,
        suspects_file=report.get("suspect_windows_file", ""),
        flags_of_recordings=list(chain.from_iterable(item["flags"] for item in recordings)),
        max_warnings=MAX_WARNINGS,
        max_suspects=MAX_SUSPECTS,
    )
