"""The dataset of a run: the shards of all recordings, split into what is trained and what is held out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset

from recipe.arguments import DataArguments
from recipe.data.attention import list_findings
from recipe.data.recordings_table import Mapped
from recipe.data.report import (
    RecordingReport,
    check_fallbacks,
)
from recipe.data.report_files import write_report
from recipe.data.shards import FORMAT_VERSION
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


def check_dataset(data: PreparedDataset, arguments: DataArguments) -> None:
    """Refuse a dataset of which too much is bad; once its report is written, which shows what.

    Raises:
        DataError: if no recording can be trained on, or too many windows stand in for bad data.
    """
    reports = Mapped(data.report["recordings"], lambda recording: RecordingReport(**recording))
    check_fallbacks(reports, arguments.max_fallback_fraction)


def write_dataset_report(output_dir: Path, data: PreparedDataset, origin: ReportOrigin) -> None:
    """Write the dataset report for programs and for people: see `write_report`.

    Args:
        output_dir: Receives it.
        data: The dataset, and what became of it so far.
        origin: Whose report it is.
    """
    warnings = most_important_first([*origin.warnings, *data.warnings])
    report = {
        **data.report,
        "recordings": [*data.report["recordings"]],
        "run": origin.as_dict(),
        "warnings": warnings,
        "needs_a_person": list_findings(data.report, warnings),
    }
    write_report(output_dir, report, data.rows)
