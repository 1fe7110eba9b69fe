"""The dataset of a run: the shards of all recordings, split into what is trained and what is held out."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset

from recipe.arguments import DataArguments
from recipe.data.dataset import Shard, build_shards, load_examples
from recipe.data.manifest import Recording
from recipe.data.recording import PreparationSettings
from recipe.data.report import build_report, check_fallbacks, report_warnings
from recipe.data.split import choose_held_out, split_by_time


@dataclass(frozen=True)
class PreparedDataset:
    """What a run trains and measures on.

    Attributes:
        train: Examples to train on.
        held_out: Examples of recordings, or of the end of the only one, that are never trained on.
        report: Where every recording, cue and millisecond ended up; ready for JSON.
        warnings: A sentence for each thing that the user should know.
        fingerprint: Equal for equal examples in the same split.
    """

    train: Dataset
    held_out: Dataset
    report: dict[str, Any]
    warnings: list[str]
    fingerprint: str


def prepare_dataset(
    recordings: Sequence[Recording],
    settings: PreparationSettings,
    arguments: DataArguments,
    output_dir: Path,
    on_recording: Callable[[Shard], None] = lambda _: None,
) -> PreparedDataset:
    """Make, or find on disk, the examples of all recordings, and hold some recordings out.

    Raises:
        DataError: if no recording can be trained on, or too much data is bad.
    """
    shards = build_shards(recordings, settings, output_dir / "shards", on_recording=on_recording)
    reports = [shard.report for shard in shards]
    check_fallbacks(reports, arguments.max_fallback_fraction)
    spoken = [report.name for report in reports if report.outcome == "speech"]
    held_out_names = choose_held_out(spoken, arguments.eval_fraction)
    for report in reports:
        report.is_held_out = report.name in held_out_names
    train = load_examples([shard for shard in shards if not shard.report.is_held_out])
    held_out = load_examples([shard for shard in shards if shard.report.is_held_out])
    warnings = report_warnings(reports)
    if not held_out_names:
        train, held_out = split_by_time(train, arguments.eval_fraction)
        warnings += _explain_split(arguments.eval_fraction, len(held_out))
    dataset_report = build_report(reports, len(train), len(held_out))
    write_dataset_report(output_dir, dataset_report)
    return PreparedDataset(train, held_out, dataset_report, warnings, _fingerprint(shards, dataset_report))


def write_dataset_report(output_dir: Path, report: dict[str, Any]) -> None:
    """Write the report where users look for it."""
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
    (output_dir / "dataset_report.json").write_text(text)


def _explain_split(eval_fraction: float, num_held_out: int) -> list[str]:
    if eval_fraction == 0:
        return ["No recording is held out (eval_fraction is 0), so the error rate is not measured."]
    if num_held_out == 0:
        return ["There is too little speech to hold any out, so the error rate is not measured."]
    return ["There is a single recording: its end is held out, so the same voice is on both sides."]


def _fingerprint(shards: Sequence[Shard], report: dict[str, Any]) -> str:
    content = [shard.path.stem for shard in shards]
    content += report["held_out"] + [str(report["num_train_windows"]), str(report["num_held_out_windows"])]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()[:16]
