"""Named sets of other speech (`--other_dir`): never trained on, they tell what training cost elsewhere.

A set has two halves, divided as what is held out of the training recordings is: by recording, or by time
where there is one. One half weighs when weights are selected, the other is reported, since whoever takes the
best of several by some windows cannot report its error rate on the same ones.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from datasets import Dataset

from recipe.data.dataset import PreparedDataset
from recipe.data.duplicates import find_shared, group_recordings
from recipe.data.quality import split_words
from recipe.data.shards import Shard, load_examples
from recipe.data.split import keep_together
from recipe.data.validation import HeldOutWindow, divide_held_out
from recipe.data.windows import segments_of, text_of
from recipe.errors import DataError

MIN_WORDS = 300
"""Words of a half that weighs: by fewer, one point is three words or less, and chance would choose."""

VALIDATION_FRACTION = 1 / 2
"""Part of a set that weighs. Two error rates are compared, so neither half may be much the smaller."""


@dataclass(frozen=True)
class OtherSet:
    """A set of other speech, ready to be transcribed.

    Attributes:
        name: Of the folder.
        validation: Windows that weigh when weights are selected; none if the set is too small.
        test: Windows that are reported.
        num_left_out: Windows that have words or sound in common with the training data.
        fingerprint: Equal for equal windows in the same halves.
        audio_hashes: Of the audio files of its recordings.
    """

    name: str
    validation: Dataset
    test: Dataset
    num_left_out: int
    fingerprint: str
    audio_hashes: frozenset[str] = frozenset()


def build_other_set(
    name: str, shards: Sequence[Shard], dataset: PreparedDataset, max_windows: int
) -> OtherSet:
    """The windows of a set that have words, without those that are trained on.

    Args:
        name: Of the set.
        shards: Of its recordings.
        dataset: What is trained on.
        max_windows: Most windows of a half; of more, some are taken evenly.

    Raises:
        DataError: if no window is left.
    """
    spoken = [shard for shard in shards if shard.report.outcome == "speech"]
    examples = load_examples(spoken)
    texts = list(_texts(examples))
    with_words = [index for index, text in enumerate(texts) if text]
    if not with_words:
        reasons = "; ".join(f"{s.report.name}: {s.report.reason}" for s in shards if s.report.reason)
        raise DataError(
            f"other_dir: no recording of the set {name} can be transcribed: "
            f"{reasons.rstrip('.') or 'no captions were found'}. Mend the folder, or leave it out."
        )
    sounds = {recording["audio_hash"] for recording in dataset.report["recordings"]} - {""}
    known = {shard.report.name for shard in spoken if shard.report.audio_hash in sounds}
    shared = find_shared(texts, _texts(dataset.train))
    names = examples["recording"][:]
    kept = [index for index in with_words if names[index] not in known and index not in shared]
    if not kept:
        raise DataError(
            f"other_dir: all of the set {name} is in the training data too, by its sound or its words; give "
            "recordings that are not trained."
        )
    validation, test = _divide(examples.select(kept), spoken, max_windows)
    return OtherSet(
        name,
        validation,
        test,
        len(with_words) - len(kept),
        _fingerprint(spoken, validation, test),
        frozenset(shard.report.audio_hash for shard in spoken),
    )


def _divide(examples: Dataset, shards: Sequence[Shard], max_windows: int) -> tuple[Dataset, Dataset]:
    """The half that weighs and the one that is reported; all is reported if a half has too few words."""
    columns = examples.select_columns(["recording", "start_ms", "end_ms", "num_tokens", "language"])[:]
    windows = [HeldOutWindow(*window) for window in zip(*columns.values(), strict=True)]
    reports = {shard.report.name: shard.report for shard in shards}
    texts: dict[str, str] = dict.fromkeys(reports, "")
    for window, text in zip(windows, _texts(examples), strict=True):
        texts[window.recording] += f" {text}"
    same = group_recordings(texts.items(), {name: report.audio_hash for name, report in reports.items()})
    groups = keep_together(same, {name: report.group for name, report in reports.items()})
    parts = divide_held_out(windows, groups, {}, same, test_fraction=1 - VALIDATION_FRACTION).parts
    halves = [
        examples.select([index for index, part in enumerate(parts) if part == half])
        for half in ("validation", "test")
    ]
    if min(map(_count_words, halves)) < MIN_WORDS:
        halves = [examples.select([]), examples]
    validation, test = (_take_evenly(half, max_windows) for half in halves)
    return validation, test


def _take_evenly(examples: Dataset, number: int) -> Dataset:
    if len(examples) <= number:
        return examples
    return examples.select([index * len(examples) // number for index in range(number)])


def _count_words(examples: Dataset) -> int:
    return sum(len(split_words(text)) for text in _texts(examples))


def _texts(examples: Dataset) -> Iterator[str]:
    return (text_of(segments_of(row)) for row in examples.select_columns(["segments"]))


def _fingerprint(shards: Sequence[Shard], *halves: Dataset) -> str:
    content = [shard.content_hash for shard in shards]
    for half in halves:
        content += [str(place) for place in zip(half["recording"], half["start_ms"], strict=True)]
        content.append("")
    return hashlib.sha256("\n".join(content).encode()).hexdigest()[:16]
