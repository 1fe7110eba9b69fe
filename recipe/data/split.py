"""Which windows are held out of training to measure the error rate.

Whole recordings are held out, so that no voice or take is on both sides. The choice depends on each
recording's own name: adding files later moves none of the earlier ones, but for the very smallest sets.
Uploads of the same recording go to one side together. Where other text is on both sides (an introduction,
a jingle), the windows that have it leave the held-out side: there they cost the fewest, and training
keeps all it can use.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

from datasets import Dataset

from recipe.data.dataset import Shard, load_examples
from recipe.data.duplicates import find_shared, group_recordings
from recipe.data.shares import position_of

GUARD_MS = 10_000
"""Audio left unused between the two parts of a single recording."""

BOTH_SIDES = "its words are trained too"
NO_WORDS = "it has no words to measure"
GUARD = "too near the held-out part of the same recording"


@dataclass
class Split:
    """The windows of both sides, and those of neither.

    Attributes:
        train: Examples to train on.
        held_out: Examples to measure on.
        held_out_names: Recordings that are held out whole.
        num_unused: Windows that are on neither side, by reason.
        warnings: A sentence for each thing that makes the measurement worth less.
    """

    train: Dataset
    held_out: Dataset
    held_out_names: frozenset[str] = frozenset()
    num_unused: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def split_examples(shards: Sequence[Shard], fraction: float) -> Split:
    """Hold out about `fraction` of the recordings; of a single one, its end."""
    spoken = [shard for shard in shards if shard.report.outcome == "speech"]
    names = {shard.report.name: shard.report.name for shard in spoken}
    groups = group_recordings(
        _texts_of_recordings(spoken), {shard.report.name: shard.report.audio_hash for shard in spoken}
    )
    held_out_names = choose_held_out(groups, fraction) or choose_held_out(names, fraction)
    split = Split(
        load_examples([shard for shard in shards if shard.report.name not in held_out_names]),
        load_examples([shard for shard in shards if shard.report.name in held_out_names]),
        held_out_names,
    )
    if not held_out_names:
        num_windows = len(split.train)
        split.train, split.held_out = split_by_time(split.train, fraction)
        _count_unused(split, GUARD, num_windows - len(split.train) - len(split.held_out))
        split.warnings += _explain_split(fraction, len(split.held_out))
    _leave_unmeasurable(split)
    _keep_apart(split)
    return split


def choose_held_out(groups: Mapping[str, str], fraction: float) -> frozenset[str]:
    """Names of the recordings to hold out: about `fraction` of the groups, at least one and never all.

    A group of over half of the recordings is always trained on. Empty if `fraction` is 0 or there is only
    one group (see `split_by_time`).

    Args:
        groups: The group of each recording; a group is on one side.
        fraction: Share to hold out, in [0, 1).
    """
    members: defaultdict[str, list[str]] = defaultdict(list)
    for name, group in groups.items():
        members[group].append(name)
    # By the first of its members: a file added to a group never takes the group back into training.
    positions = {group: min(map(position_of, names)) for group, names in members.items()}
    ranked = sorted(
        (group for group in members if len(members[group]) <= len(groups) / 2), key=positions.__getitem__
    )
    if fraction == 0 or len(members) < 2:
        return frozenset()
    num_held_out = max(1, sum(positions[group] < fraction for group in ranked))
    chosen = ranked[: min(num_held_out, len(members) - 1)]
    return frozenset(name for group in chosen for name in members[group])


def split_by_time(examples: Dataset, fraction: float) -> tuple[Dataset, Dataset]:
    """Split the windows of a single recording in two: the beginning to train on, the end to measure on.

    A window that starts less than `GUARD_MS` before the held-out part ends in neither.
    Too few windows for both parts leave the second one empty.
    """
    if fraction == 0:
        return examples, examples.select([])
    first = len(examples) - max(1, round(fraction * len(examples)))
    starts, ends = examples["start_ms"][:], examples["end_ms"][:]
    train = [i for i in range(first) if ends[i] + GUARD_MS <= starts[first]]
    if not train:
        return examples, examples.select([])
    return examples.select(train), examples.select(range(first, len(examples)))


def _explain_split(fraction: float, num_held_out: int) -> list[str]:
    if fraction == 0:
        return ["No recording is held out (eval_fraction is 0), so the error rate is not measured."]
    if num_held_out == 0:
        return ["There is too little speech to hold any out, so the error rate is not measured."]
    return ["There is a single recording: its end is held out, so the same voice is on both sides."]


def _leave_unmeasurable(split: Split) -> None:
    """Take the windows without words out of the held-out side: an error rate counts words."""
    with_words = [index for index, text in enumerate(_texts(split.held_out)) if text]
    _count_unused(split, NO_WORDS, len(split.held_out) - len(with_words))
    split.held_out = split.held_out.select(with_words)


def _keep_apart(split: Split) -> None:
    """Take the windows whose words are trained too out of the held-out side, unless that leaves none."""
    shared = find_shared(list(_texts(split.held_out)), _texts(split.train))
    if shared and len(shared) == len(split.held_out):
        split.warnings.append(
            "All held-out windows have words in them that are trained too, so the error rate flatters."
        )
        return
    _count_unused(split, BOTH_SIDES, len(shared))
    split.held_out = split.held_out.select([i for i in range(len(split.held_out)) if i not in shared])


def _count_unused(split: Split, reason: str, num_windows: int) -> None:
    if num_windows:
        split.num_unused[reason] = num_windows


def _texts_of_recordings(shards: Sequence[Shard]) -> Iterator[tuple[str, str]]:
    windows = _words(load_examples(shards))
    for name, of_recording in groupby(windows, key=itemgetter(0)):
        yield name, " ".join(text for _, text in of_recording)
    yield from ((shard.report.name, "") for shard in shards if not shard.report.num_windows)


def _texts(examples: Dataset) -> Iterator[str]:
    return (text for _, text in _words(examples))


def _words(examples: Dataset) -> Iterator[tuple[str, str]]:
    """Recording and words of each window; nothing but them is read."""
    for batch in examples.select_columns(["recording", "segments"]).iter(batch_size=1000):
        for name, segments in zip(batch["recording"], batch["segments"], strict=True):
            yield name, " ".join(s["text"] for s in segments if s["end_ms"] is not None)
