"""Named sets of other speech (`--other_dir`): never trained on, they tell what training cost elsewhere.

A set has two halves, divided as what is held out of the training recordings is: by recording, or by time
where there is one. One half weighs when weights are selected, the other is reported, since whoever takes the
best of several by some windows cannot report its error rate on the same ones.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from datasets import Dataset

from recipe.data.dataset import PreparedDataset
from recipe.data.duplicates import find_shared, group_recordings
from recipe.data.index import load_examples
from recipe.data.quality import split_words
from recipe.data.shards import Shard, texts_of
from recipe.data.split import keep_together
from recipe.data.validation import HeldOutWindow, divide_held_out
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
    num_with_words = sum(bool(text) for text in texts_of(examples))
    if not num_with_words:
        raise DataError(
            f"other_dir: no recording of the set {name} can be transcribed: "
            f"{join_reasons(shards) or 'no captions were found'}. Mend the folder, or leave it out."
        )
    sounds = {recording["audio_hash"] for recording in dataset.report["recordings"]} - {""}
    kept = find_apart(spoken, examples, sounds, [dataset.train])
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
        num_with_words - len(kept),
        _fingerprint(spoken, validation, test),
        frozenset(shard.report.audio_hash for shard in spoken),
    )


def find_apart(
    shards: Sequence[Shard], examples: Dataset, sounds: Collection[str], elsewhere: Iterable[Dataset]
) -> list[int]:
    """Indexes of the windows that have words, and neither sound nor words in common with other speech.

    Args:
        shards: Of the recordings.
        examples: Their windows.
        sounds: Hashes of the other audio files.
        elsewhere: The other windows.
    """
    texts, names = list(texts_of(examples)), examples["recording"][:]
    known = {shard.report.name for shard in shards if shard.report.audio_hash in sounds}
    shared = find_shared(texts, (text for part in elsewhere for text in texts_of(part)))
    return [i for i, text in enumerate(texts) if text and names[i] not in known and i not in shared]


def _divide(examples: Dataset, shards: Sequence[Shard], max_windows: int) -> tuple[Dataset, Dataset]:
    """The half that weighs and the one that is reported; all is reported if a half has too few words."""
    columns = examples.select_columns(["recording", "start_ms", "end_ms", "num_tokens", "language"])[:]
    windows = [HeldOutWindow(*window) for window in zip(*columns.values(), strict=True)]
    reports = {shard.report.name: shard.report for shard in shards}
    texts: dict[str, str] = dict.fromkeys(reports, "")
    for window, text in zip(windows, texts_of(examples), strict=True):
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
    validation, test = (take_evenly(half, max_windows) for half in halves)
    return validation, test


def join_reasons(shards: Sequence[Shard]) -> str:
    """Why recordings have no windows, as a part of a sentence; "" if none says."""
    reasons = (f"{shard.report.name}: {shard.report.reason}" for shard in shards if shard.report.reason)
    return "; ".join(reasons).rstrip(".")


def take_evenly(examples: Dataset, number: int) -> Dataset:
    """So many of the examples, from all of their range; all if there are no more."""
    if len(examples) <= number:
        return examples
    return examples.select([index * len(examples) // number for index in range(number)])


def _count_words(examples: Dataset) -> int:
    return sum(len(split_words(text)) for text in texts_of(examples))


def _fingerprint(shards: Sequence[Shard], *halves: Dataset) -> str:
    content = [shard.content_hash for shard in shards]
    for half in halves:
        content += [str(place) for place in zip(half["recording"], half["start_ms"], strict=True)]
        content.append("")
    return hashlib.sha256("\n".join(content).encode()).hexdigest()[:16]
