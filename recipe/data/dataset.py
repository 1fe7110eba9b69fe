"""The dataset of a run: the shards of all recordings, split into what is trained and what is held out."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset

from recipe.arguments import DataArguments
from recipe.data.manifest import Recording
from recipe.data.partition import partition_of_machine
from recipe.data.recording import PreparationSettings
from recipe.data.report import (
    RecordingReport,
    build_report,
    check_fallbacks,
    describe_windows,
    report_warnings,
)
from recipe.data.report_page import render_page
from recipe.data.shards import Shard, build_shards, load_rows
from recipe.data.split import split_examples
from recipe.run.files import write_json, write_text

NUM_SHOWN = 3
"""Recordings of which a row is named where some rows are not trained."""


@dataclass(frozen=True)
class PreparedDataset:
    """What a run trains and measures on.

    Attributes:
        train: Examples to train on.
        held_out: Examples of recordings, or of the end of the only one, that are never trained on.
        rows: All windows of the shards, those that are not used included.
        report: Where every recording, cue and millisecond ended up; ready for JSON.
        warnings: A sentence for each thing that the user should know.
        fingerprint: Equal for equal examples in the same split.
    """

    train: Dataset
    held_out: Dataset
    rows: Dataset
    report: dict[str, Any]
    warnings: list[str]
    fingerprint: str


def prepare_dataset(
    recordings: Sequence[Recording],
    settings: PreparationSettings,
    arguments: DataArguments,
    output_dir: Path,
    *,
    num_workers: int | None = None,
    on_recording: Callable[[Shard], None] = lambda _: None,
) -> PreparedDataset:
    """Make, or find on disk, the examples of all recordings, and hold some recordings out.

    Machines that share `output_dir` prepare a part each.

    Args:
        recordings: What came in.
        settings: What the examples depend on beside the files.
        arguments: How much is held out.
        output_dir: Receives the shards.
        num_workers: Processes; all cores if not given.
        on_recording: Called after each recording.

    Raises:
        DataError: if a recording without captions is not allowed (`empty_transcript="fail"`).
    """
    shards = build_shards(
        recordings,
        settings,
        output_dir / "shards",
        num_workers=num_workers,
        partition=partition_of_machine(os.environ),
        on_recording=on_recording,
    )
    reports = [shard.report for shard in shards]
    for recording, report in zip(recordings, reports, strict=True):
        report.describe_source(recording)
    split = split_examples(shards, arguments.eval_fraction)
    for report in reports:
        report.is_held_out = report.name in split.held_out_names
    rows = load_rows(shards)
    whole = build_report(reports, len(split.train), len(split.held_out), split.num_unused)
    whole |= describe_windows(rows)
    warnings = report_warnings(reports) + _warn_of_rows(recordings, reports) + split.warnings
    return PreparedDataset(split.train, split.held_out, rows, whole, warnings, _fingerprint(shards, whole))


def _warn_of_rows(recordings: Sequence[Recording], reports: Sequence[RecordingReport]) -> list[str]:
    """A sentence on the rows of tables that were read and are not trained, in recordings that are."""
    num_lost, examples = 0, list[str]()
    for recording, report in zip(recordings, reports, strict=True):
        if recording.clips and report.outcome == "speech" and report.lost_cues:
            num_lost += sum(report.lost_cues.values())
            dropped = [note for note in report.notes if note.startswith("row ") and ": dropped: " in note]
            examples.append(f"{report.name}: {next(iter(dropped or report.lost_cues))}")
    if not examples:
        return []
    shown = "; ".join(examples[:NUM_SHOWN])
    return [f"Rows of tables that are not trained: {num_lost}, such as {shown}. The dataset report has more."]


def check_dataset(data: PreparedDataset, arguments: DataArguments) -> None:
    """Refuse a dataset of which too much is bad; once its report is written, which shows what.

    Raises:
        DataError: if no recording can be trained on, or too many windows stand in for bad data.
    """
    reports = [RecordingReport(**recording) for recording in data.report["recordings"]]
    check_fallbacks(reports, arguments.max_fallback_fraction)


def write_dataset_report(output_dir: Path, data: PreparedDataset) -> None:
    """Write `dataset_report.json` for programs and `dataset_report.html` for people."""
    write_json(output_dir / "dataset_report.json", data.report)
    write_text(output_dir / "dataset_report.html", render_page(data.report, data.rows))


def _fingerprint(shards: Sequence[Shard], report: dict[str, Any]) -> str:
    content = [shard.content_hash for shard in shards]
    content += report["held_out"] + [str(report["num_train_windows"]), str(report["num_held_out_windows"])]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()[:16]
