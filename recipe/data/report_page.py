"""The dataset report as one HTML page that needs nothing else: findings, figures, and windows to play."""

import base64
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from datasets import Dataset
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from recipe.audio.decoding import decode_flac
from recipe.audio.playing import encode_mp3
from recipe.data.terms import TERMS, name_of

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
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"clock": format_clock, "hours": format_hours, "name_of": name_of}
    played = [*report["windows_to_review"], *report["test_windows"]]
    return environment.get_template("dataset_report.html.jinja").render(
        report=report,
        charts=CHARTS,
        terms={name: asdict(term) for name, term in TERMS.items()} | report.get("terms", {}),
        sounds={item["row"]: _data_address(rows[item["row"]]["audio"]["bytes"]) for item in played},
        flags_of_recordings=list(chain.from_iterable(item["flags"] for item in report["recordings"])),
        max_warnings=MAX_WARNINGS,
    )


def format_clock(time_ms: int) -> str:
    """A time as people read it: 754000 is "12:34"; hours only where there are any."""
    minutes, seconds = divmod(time_ms // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def format_hours(time_ms: int) -> str:
    """A length as people read it: in hours from an hour on, else in minutes or seconds."""
    for unit, unit_ms in (("h", 3_600_000), ("min", 60_000)):
        if time_ms >= unit_ms:
            return f"{time_ms / unit_ms:,.1f} {unit}"
    return f"{time_ms / 1000:.1f} s"


def _data_address(flac: bytes) -> str:
    return f"data:audio/mpeg;base64,{base64.b64encode(encode_mp3(decode_flac(flac))).decode()}"
