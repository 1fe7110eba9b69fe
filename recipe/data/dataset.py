"""The dataset of a run: the shards of all recordings, split into what is trained and what is held out."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from datasets import Dataset

from recipe.arguments import DataArguments
from recipe.data.attention import list_findings
from recipe.data.index import load_rows, rows_path, without_faults
from recipe.data.manifest import Recording
from recipe.data.partition import is_first_of_all, is_first_of_machine
from recipe.data.preparation import build_shards, stamp_recording
from recipe.data.recording import PreparationSettings
from recipe.data.recordings_table import Mapped, map_table, reports_of, tabulate_recordings, write_table
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
from recipe.errors import DataError
from recipe.run.files import (
    hash_file,
    hash_once,
    parse_state,
    read_state,
    remembering_hashes,
    remove_file,
    replacing,
    write_json,
    write_state,
    write_text,
)
from recipe.run.warning import DataWarning, Finding, Importance, most_important_first


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


@dataclass(frozen=True)
class _Warning:
    """A `DataWarning`, ready for JSON; without importance a plain sentence."""

    text: str
    importance: Importance | None = None
    findings: list[Finding] | None = None

    @classmethod
    def of(cls, warning: str) -> Self:
        if not isinstance(warning, DataWarning):
            return cls(str(warning))
        findings = None if warning.findings is None else list(warning.findings)
        return cls(str(warning), warning.importance, findings)

    def restore(self) -> str:
        return (
            self.text if self.importance is None else DataWarning(self.text, self.importance, self.findings)
        )


@dataclass(frozen=True)
class _Handover:
    """What the first process found out, for the other processes and for later attempts.

    Attributes:
        key: Of all that it depends on.
        rows: Name of the file of all rows.
        files: SHA-256 of the files beside it, by name.
        report: The dataset report but for the recordings, which have a file of their own.
        warnings: As in `PreparedDataset`.
        fingerprint: As in `PreparedDataset`.
    """

    key: str
    rows: str
    files: dict[str, str]
    report: dict[str, Any]
    warnings: list[_Warning]
    fingerprint: str


INDEX_VERSION = 1
"""Raised whenever this code would split the same examples otherwise, or describe them otherwise."""

HANDOVER, RECORDINGS, SIDES = "dataset.json", "recordings.arrow", "sides.npz"
"""Files of an index beside that of its rows; the first one is written last."""

SHARED_DISK_SECONDS = 90.0
"""Time after which what one machine wrote is seen by all others."""


def prepare_dataset(
    recordings: Sequence[Recording],
    settings: PreparationSettings,
    arguments: DataArguments,
    output_dir: Path,
    *,
    num_workers: int | None = None,
    on_recording: Callable[[Shard], None] = lambda _: None,
    tell: Callable[[str], str] = str,
) -> PreparedDataset:
    """Make, or find on disk, the examples of all recordings, and hold some recordings out.

    The first process of each machine sees that the shards are there; the very first one puts them into an
    index, splits and describes them; all others only map what it found. Nothing of it is done again while
    neither files nor arguments change.

    Args:
        recordings: What came in.
        settings: What the examples depend on beside the files.
        arguments: How much is held out.
        output_dir: Receives shards and index.
        num_workers: Processes; all cores if not given.
        on_recording: Called after each recording that is not in the index already.
        tell: Called by every process; returns what the first of all was called with, once it was.

    Raises:
        DataError: if a recording without captions is not allowed (`empty_transcript="fail"`).
    """
    index, shards_dir, version = output_dir / "index", output_dir / "shards", ""
    if is_first_of_machine(os.environ):
        with remembering_hashes(output_dir / "hashes.json"):
            key = _key_of(recordings, settings, arguments, shards_dir)
            if not _is_current(index, key, shards_dir):
                shards = build_shards(
                    recordings,
                    settings,
                    shards_dir,
                    num_workers=num_workers,
                    on_recording=on_recording,
                )
                if is_first_of_all(os.environ):
                    _write_index(index, key, shards, recordings, arguments)
        version = hash_file(index / HANDOVER) if is_first_of_all(os.environ) else ""
    return open_dataset(index, tell(version))


def open_dataset(index: Path, version: str) -> PreparedDataset:
    """What the first process left, mapped.

    Args:
        index: The folder of the index.
        version: SHA-256 of its last file.

    Raises:
        DataError: if it is not there, as other machines see the disk.
    """
    deadline = time.monotonic() + SHARED_DISK_SECONDS
    while not ((index / HANDOVER).exists() and hash_file(index / HANDOVER) == version):
        if time.monotonic() > deadline:
            raise DataError(
                f"{index / HANDOVER}: the first process wrote this file, and this one finds another or none. "
                "Give output_dir on a disk that all machines share, and start again."
            )
        time.sleep(0.5)
    found = parse_state(index / HANDOVER, _Handover)
    rows = Dataset.from_file(str(index / found.rows))
    with np.load(index / SIDES) as sides:
        train, validation, test = (rows.select(sides[side]) for side in ("train", "validation", "test"))
    return PreparedDataset(
        train,
        validation,
        test,
        rows,
        found.report | {"recordings": reports_of(map_table(index / RECORDINGS))},
        [warning.restore() for warning in found.warnings],
        found.fingerprint,
    )


def _key_of(
    recordings: Sequence[Recording], settings: PreparationSettings, arguments: DataArguments, shards_dir: Path
) -> str:
    parts = [[stamp_recording(recording, settings), *_describe_source(recording)] for recording in recordings]
    ingredients = [INDEX_VERSION, str(shards_dir.absolute()), arguments.eval_fraction, parts]
    return hashlib.sha256(json.dumps(ingredients).encode()).hexdigest()


def _describe_source(recording: Recording) -> list[Any]:
    """What the report takes from a recording beside its files; see `RecordingReport.describe_source`."""
    return [recording.group, recording.side, recording.is_automatic, recording.flags, recording.notes]


def _is_current(index: Path, key: str, shards_dir: Path) -> bool:
    """Whether there is an index of this key, and it and the sounds are as they were written."""
    found = read_state(index / HANDOVER, _Handover)
    if found is None or found.key != key:
        return False
    try:
        if any(hash_once(index / name) != content_hash for name, content_hash in found.files.items()):
            return False
        table = map_table(index / RECORDINGS)
        places = zip(table["shard"].to_pylist(), table["sounds_hash"].to_pylist(), strict=True)
        return all(hash_once(shards_dir / f"{shard}.tar") == sounds_hash for shard, sounds_hash in places)
    except OSError:
        return False


def _write_index(
    index: Path,
    key: str,
    shards: Sequence[Shard],
    recordings: Sequence[Recording],
    arguments: DataArguments,
) -> None:
    reports = [shard.report for shard in shards]
    for recording, report in zip(recordings, reports, strict=True):
        report.describe_source(recording)
    index.mkdir(parents=True, exist_ok=True)
    path = rows_path(shards, index)
    remove_file(path)  # it may be damaged
    rows = load_rows(shards, index)
    numbered = rows.remove_columns("audio").add_column("row", np.arange(len(rows)))
    split = split_examples(without_faults(numbered), reports, arguments.eval_fraction)
    sides = {"train": split.train, "validation": split.validation, "test": split.test}
    names = {side: {*examples["recording"]} for side, examples in sides.items()}
    for report in reports:
        report.sides = [side for side in sides if report.name in names[side]]
    num_windows = {side: len(examples) for side, examples in sides.items()}
    whole = build_report(reports, num_windows, split.num_unused)
    whole |= {"duplicates": split.duplicates, **describe_windows(rows, split.test)}
    warnings = [*report_warnings(reports), *_warn_of_rows(recordings, reports), *split.warnings]
    fingerprint = _fingerprint(shards, whole)
    del whole["recordings"]
    write_table(index / RECORDINGS, tabulate_recordings(shards))
    with replacing(index / SIDES) as partial, partial.open("wb") as file:
        train, validation, test = (np.array(part["row"][:], np.int64) for part in sides.values())
        np.savez(file, train=train, validation=validation, test=test)
    files = {name: hash_once(index / name) for name in (path.name, RECORDINGS, SIDES)}
    handover = _Handover(key, path.name, files, whole, [*map(_Warning.of, warnings)], fingerprint)
    write_state(index / HANDOVER, asdict(handover))
    for other in index.glob("*.arrow"):
        if other.name not in files:
            remove_file(other)


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
    reports = Mapped(data.report["recordings"], lambda recording: RecordingReport(**recording))
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
        "recordings": [*data.report["recordings"]],
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
