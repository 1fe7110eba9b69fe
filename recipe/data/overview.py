"""What the windows of a dataset look like: histograms, flags, and those worth listening to."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from datasets import Dataset

NUM_LISTENED = 10
"""Windows in the listening list."""

HISTOGRAMS = {
    "window_seconds": np.arange(0, 31, 2),
    "label_tokens": np.arange(0, 449, 32),
    "chars_per_second": np.arange(0, 37, 2),
}
"""Edges of the bins; what lies beyond the last one is counted in the last bin."""


def describe_windows(rows: Dataset) -> dict[str, Any]:
    """Histograms of the windows in use, flags of all, and the most doubtful ones; ready for JSON.

    Args:
        rows: As `load_rows` gives them, those that are held back included.
    """
    columns = rows.select_columns(
        ["recording", "start_ms", "end_ms", "num_tokens", "chars_per_second", "flags", "doubt", "held_back"]
    )[:]
    is_used = np.array([not reason for reason in columns["held_back"]], dtype=bool)
    lengths_ms = np.array(columns["end_ms"]) - np.array(columns["start_ms"])
    has_words = np.array(columns["doubt"]) > 0
    figures = {
        "window_seconds": lengths_ms[is_used] / 1000,
        "label_tokens": np.array(columns["num_tokens"])[is_used],
        "chars_per_second": np.array(columns["chars_per_second"])[is_used & has_words],
    }
    return {
        "histograms": {name: count_bins(values, HISTOGRAMS[name]) for name, values in figures.items()},
        "num_flagged_windows": _count(flag for flags in columns["flags"] for flag in flags),
        "held_back_windows": _count(reason for reason in columns["held_back"] if reason),
        "listening": [describe_row(rows, int(row)) for row in _most_doubtful(columns["doubt"])],
    }


def count_bins(values: np.ndarray[Any, Any], edges: np.ndarray[Any, Any]) -> dict[str, list[int]]:
    """Edges of the bins and how many values lie in each; the counts sum to the number of values."""
    inside = np.clip(values, edges[0], edges[-1])
    return {"edges": edges.tolist(), "counts": np.histogram(inside, edges)[0].tolist()}


def _count(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())


def _most_doubtful(doubts: list[float]) -> list[int]:
    order = np.argsort(-np.array(doubts), kind="stable")[:NUM_LISTENED]
    return [int(row) for row in order if doubts[row] > 0]


def describe_row(rows: Dataset, row: int) -> dict[str, Any]:
    """A window for the listening list."""
    example = rows[row]
    return {
        "row": row,
        **{name: example[name] for name in ("recording", "start_ms", "end_ms", "flags", "held_back")},
        "doubt": round(example["doubt"], 2),
        "text": " ".join(s["text"] for s in example["segments"] if s["end_ms"] is not None),
    }
