"""What `--check_data True` prints: what would be trained, what not and why, how long it would take."""

import sys
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

from transformers import WhisperConfig

from recipe.data.dataset import PreparedDataset
from recipe.data.other_sets import OtherSet
from recipe.model.whisper import Whisper
from recipe.page.rendering import format_hours
from recipe.run.warning import most_important_first
from recipe.training.arguments import Arguments
from recipe.training.attempt import Attempt
from recipe.training.estimate import Estimate, Work, estimate

MAX_NAMED = 20
"""Warnings shown; the dataset report has all."""


def show_check(
    attempt: Attempt, whisper: Whisper, dataset: PreparedDataset, other_sets: Sequence[OtherSet]
) -> None:
    """Print the check of a dataset that can be trained on; what cannot be was refused before."""
    attempt.warnings += dataset.warnings
    if attempt.is_main:
        needs = estimate(plan_work(attempt.arguments, whisper.model.config, dataset))
        lines = [
            *describe_check(dataset, most_important_first(attempt.warnings), needs),
            *map(describe_other_set, other_sets),
            f"Report         {attempt.folder.prepared / 'dataset_report.html'}",
        ]
        sys.stdout.write("\n".join(lines) + "\n")


def describe_check(dataset: PreparedDataset, warnings: list[str], needs: Estimate) -> Iterator[str]:
    """The lines; the warnings, the most important first, come before the figures."""
    report = dataset.report
    num_skipped = report["num_recordings"] - report["recordings_by_outcome"].get("speech", 0)
    if num_skipped:
        yield f"{num_skipped} of {report['num_recordings']} recordings are not trained with their words."
    for warning in warnings[:MAX_NAMED]:
        yield f"- {warning}"
    if len(warnings) > MAX_NAMED:
        yield f"- and {len(warnings) - MAX_NAMED} more, in the report"
    yield "These recordings can be trained on."
    yield f"Recordings     {_list_counts(report['recordings_by_outcome'])}"
    languages = {code: counts["num_recordings"] for code, counts in report["languages"].items()}
    yield f"Languages      {_list_counts(languages)}"
    used = format_hours(report["kept_ms"])
    yield f"Audio          {format_hours(report['audio_ms'])}, of which {used} are used"
    yield f"Windows        {len(dataset.train):,} to train on"
    validation, test = len(dataset.validation), len(dataset.test)
    yield f"Held out       {validation:,} windows to choose weights by, {test:,} to measure them"
    yield f"Training       {_describe_needs(needs)}"


def describe_other_set(other: OtherSet) -> str:
    """The line of a set of other speech."""
    sides = f"{len(other.validation):,} windows to choose weights by, {len(other.test):,} to measure them"
    return f"Other speech   {other.name}: {sides}"


def plan_work(arguments: Arguments, config: WhisperConfig, dataset: PreparedDataset) -> Work:
    """What these arguments would train of this dataset."""
    training = arguments.training
    num_windows = round(len(dataset.train) * training.num_train_epochs)
    if training.max_steps >= 0:
        num_windows = training.max_steps * training.windows_per_update
    is_kept = arguments.model.freeze_encoder and arguments.model.keep_encoder_states
    return Work(
        config,
        arguments.model,
        num_windows,
        min(num_windows, len(dataset.train)) if is_kept else num_windows,
        round(fmean(dataset.train["num_tokens"][:])),
        training.per_device_train_batch_size,
        keeps_activations=not training.activation_checkpointing,
    )


def _describe_needs(needs: Estimate) -> str:
    memory = f"{needs.num_bytes / 2**30:,.1f} of {needs.num_bytes_there / 2**30:,.0f} GiB of memory"
    if needs.seconds is None:
        return f"on {needs.device}, whose speed is not known: about {memory}"
    return f"about {format_hours(round(needs.seconds * 1000))} on {needs.device}, and {memory} (estimates)"


def _list_counts(counts: dict[str, Any]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items())
