"""The index of a run: what its first process finds out of the dataset, for all others and for later attempts.

The first process of all splits and describes the windows; rows, sides, reports and warnings are files beside
`dataset.json`, which is written last and says what they depend on. The other processes map them. An attempt
with the same files and arguments finds them and does nothing of it again.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from datasets import Dataset

from recipe.arguments import DataArguments
from recipe.data.compaction import check_files, check_fits, load_compacted, measure_files, read_description
from recipe.data.dataset import PreparedDataset
from recipe.data.index import has_rows, read_shard, without_faults, write_rows
from recipe.data.manifest import Recording
from recipe.data.partition import is_first_of_all, is_first_of_machine
from recipe.data.preparation import build_shards, stamp_recording
from recipe.data.recording import PreparationSettings
from recipe.data.recordings_table import map_table, reports_of, tabulate_recordings, write_table
from recipe.data.report import (
    RecordingReport,
    build_report,
    describe_windows,
    report_warnings,
)
from recipe.data.shards import Shard
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
    write_state,
)
from recipe.run.warning import DataWarning, Finding, Importance

NUM_SHOWN = 3
"""Recordings of which a row is named where some rows are not trained."""


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
                    for recording, shard in zip(recordings, shards, strict=True):
                        shard.report.describe_source(recording)
                    rows = (read_shard(shard.path) for shard in shards if has_rows(shard))
                    lost = warn_of_rows(recordings, [shard.report for shard in shards])
                    _write_index(index, key, shards, rows, lost, arguments)
        version = hash_file(index / HANDOVER) if is_first_of_all(os.environ) else ""
    return open_dataset(index, tell(version))


def prepare_compacted(
    folder: Path,
    settings: PreparationSettings,
    arguments: DataArguments,
    output_dir: Path,
    *,
    address: str = "",
    tell: Callable[[str], str] = str,
) -> PreparedDataset:
    """As `prepare_dataset`, from a compacted dataset.

    Args:
        folder: Of `dataset.json`, `index.arrow` and `recordings.parquet`.
        settings: Those for the model that is trained.
        arguments: How much is held out.
        output_dir: Receives the index.
        address: Where the parts are, if they are not in the folder.
        tell: As in `prepare_dataset`.

    Raises:
        DataError: if it is not there, not whole, or for another model or task.
    """
    index, version = output_dir / "index", ""
    where = address or str(folder.absolute())
    if is_first_of_all(os.environ):
        description = read_description(folder)
        check_fits(description, settings, where)
        if not address:
            check_files(description, measure_files(description, folder), where)
        ingredients = [INDEX_VERSION, where, asdict(description), arguments.eval_fraction]
        key = hashlib.sha256(json.dumps(ingredients).encode()).hexdigest()
        with remembering_hashes(output_dir / "hashes.json"):
            if not _is_current(index, key):
                shards, rows = load_compacted(description, folder, where)
                _write_index(index, key, shards, rows, description.row_warnings, arguments)
        version = hash_file(index / HANDOVER)
    return open_dataset(index, tell(version))


def open_dataset(index: Path, version: str, *, wait_seconds: float = SHARED_DISK_SECONDS) -> PreparedDataset:
    """What the first process left, mapped.

    Args:
        index: The folder of the index.
        version: SHA-256 of its last file.
        wait_seconds: How long it may take until this machine sees it.

    Raises:
        DataError: if it is not there, as other machines see the disk.
    """
    deadline = time.monotonic() + wait_seconds
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


def _is_current(index: Path, key: str, shards_dir: Path | None = None) -> bool:
    """Whether there is an index of this key, and it and the sounds of shards are as they were written."""
    found = read_state(index / HANDOVER, _Handover)
    if found is None or found.key != key:
        return False
    try:
        if any(hash_once(index / name) != content_hash for name, content_hash in found.files.items()):
            return False
        return shards_dir is None or _are_whole(map_table(index / RECORDINGS), shards_dir)
    except OSError:
        return False


def _are_whole(recordings: pa.Table, shards_dir: Path) -> bool:
    places = zip(recordings["shard"].to_pylist(), recordings["sounds_hash"].to_pylist(), strict=True)
    return all(hash_once(shards_dir / f"{shard}.tar") == sounds_hash for shard, sounds_hash in places)


def _write_index(
    index: Path,
    key: str,
    shards: Sequence[Shard],
    tables: Iterable[pa.Table],
    row_warnings: Sequence[str],
    arguments: DataArguments,
) -> None:
    """Write what `open_dataset` maps.

    Args:
        index: The folder.
        key: Of all that it depends on.
        shards: Of all recordings, their reports with what is known beside the files.
        tables: Their rows, with the addresses of their sounds.
        row_warnings: Sentences on the rows of tables.
        arguments: How much is held out.
    """
    reports = [shard.report for shard in shards]
    index.mkdir(parents=True, exist_ok=True)
    path = index / f"{key[:32]}.arrow"
    write_rows(path, tables)
    rows = Dataset.from_file(str(path))
    numbered = rows.remove_columns("audio").add_column("row", np.arange(len(rows)))
    split = split_examples(without_faults(numbered), reports, arguments.eval_fraction)
    sides = {"train": split.train, "validation": split.validation, "test": split.test}
    names = {side: {*examples["recording"][:]} for side, examples in sides.items()}
    for report in reports:
        report.sides = [side for side in sides if report.name in names[side]]
    num_windows = {side: len(examples) for side, examples in sides.items()}
    whole = build_report(reports, num_windows, split.num_unused)
    whole |= {"duplicates": split.duplicates, **describe_windows(rows, split.test)}
    warnings = [*report_warnings(reports), *row_warnings, *split.warnings]
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


def warn_of_rows(recordings: Sequence[Recording], reports: Sequence[RecordingReport]) -> list[str]:
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


def _fingerprint(shards: Sequence[Shard], report: dict[str, Any]) -> str:
    content = [shard.content_hash for shard in shards]
    for side in ("train", "validation", "test"):
        content += [side, str(report[f"num_{side}_windows"])]
        content += [recording["name"] for recording in report["recordings"] if side in recording["sides"]]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()[:16]
