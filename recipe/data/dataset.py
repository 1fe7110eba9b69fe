"""The dataset of a run: the shards of all recordings, split into what is trained and what is held out."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset

from recipe.arguments import DataArguments
from recipe.data.attention import list_findings
from recipe.data.index import load_rows
from recipe.data.manifest import Recording
from recipe.data.preparation import build_shards
from recipe.data.recording import PreparationSettings
from recipe.data.report import (
    RecordingReport,
    build_report,
    check_fallbacks,
    describe_windows,
    report_warnings,
)
from recipe.data.report_page import render_page
from recipe.data.shards import FORMAT_VERSION, Shard
from recipe.data.split import split_examples
from recipe.run.files import write_json, write_text
from recipe.run.warning import most_important_first


@dataclass(frozen=True)
class ReportOrigin:
    """Whose report it is. The windows, their split and the fingerprint do not depend on it.

    Attributes:
        name: Of the run: its job or its folder.
        base_model: What is trained: hub id or path, with its revision if one is pinned.
        task: "transcribe" or "translate".
        source: Where the recordings are from: a folder, a dataset, or the platform.
        created: When the report was made, in UTC.
        warnings: Those of the stages before the dataset was made.
    """

    name: str
    base_model: str
    task: str
    source: str
    created: str
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, str]:
        """What the report's head says: all but the warnings, which the report has with its own."""
        fields = {key: value for key, value in vars(self).items() if key != "warnings"}
        return {**fields, "preparation": f"version {FORMAT_VERSION}"}


NUM_SHOWN = 3
"""Recordings of which a row is named where some rows are not trained."""


@dataclass(frozen=True)
class PreparedDataset:
    """What a run trains and measures on.

    Attributes:
        train: Examples to train on.
        validation: Examples, never trained on, by which weights are chosen.
        test: Examples, never trained on nor chosen by, on which the chosen weights are measured.
        rows: All windows of the shards, those that are not used included.
        report: Where every recording, cue and millisecond ended up; ready for JSON.
        warnings: A sentence for each thing that the user should know.
        fingerprint: Equal for equal examples in the same split.
    """

    train: Dataset
    validation: Dataset
    test: Dataset
    rows: Dataset
    report: dict[str, Any]
    warnings: list[str]
    fingerprint: str

    def count_samples(self) -> dict[str, int]:
        """Numbers of examples by side, as the platform is told; what is held out also together."""
        held_out = {"validation_samples": len(self.validation), "test_samples": len(self.test)}
        return {**held_out, "train_samples": len(self.train), "eval_samples": sum(held_out.values())}


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

    Machines that share `output_dir` prepare it together.

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
        on_recording=on_recording,
    )
    reports = [shard.report for shard in shards]
    for recording, report in zip(recordings, reports, strict=True):
        report.describe_source(recording)
    split = split_examples(shards, arguments.eval_fraction)
    sides = {"train": split.train, "validation": split.validation, "test": split.test}
    names = {side: {*examples["recording"]} for side, examples in sides.items()}
    for report in reports:
        report.sides = [side for side in sides if report.name in names[side]]
    rows = load_rows(shards)
    num_windows = {side: len(examples) for side, examples in sides.items()}
    whole = build_report(reports, num_windows, split.num_unused)
    whole |= {"duplicates": split.duplicates, **describe_windows(rows, split.test)}
    warnings = [*report_warnings(reports), *_warn_of_rows(recordings, reports), *split.warnings]
    return PreparedDataset(
        split.train, split.validation, split.test, rows, whole, warnings, _fingerprint(shards, whole)
    )


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


def write_dataset_report(output_dir: Path, data: PreparedDataset, origin: ReportOrigin) -> None:
    """Write `dataset_report.json` for programs and `dataset_report.html` for people.

    Args:
        output_dir: Receives both.
        data: The dataset, and what became of it so far.
        origin: Whose report it is.
    """
    warnings = most_important_first([*origin.warnings, *data.warnings])
    report = {
        **data.report,
        "run": origin.as_dict(),
        "warnings": warnings,
        "needs_a_person": list_findings(data.report, warnings),
    }
    write_json(output_dir / "dataset_report.json", report)
    write_text(output_dir / "dataset_report.html", render_page(report, data.rows))


def _fingerprint(shards: Sequence[Shard], report: dict[str, Any]) -> str:
    content = [shard.content_hash for shard in shards]
    for side in ("train", "validation", "test"):
        content += [side, str(report[f"num_{side}_windows"])]
        content += [recording["name"] for recording in report["recordings"] if side in recording["sides"]]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()[:16]
