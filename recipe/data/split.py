"""Which windows are held out of training to measure the error rate.

Whole recordings are held out, so that no voice or take is on both sides, some in each language, so that
its error rate is known. The choice depends on each recording's own name: adding files later moves none of
the earlier ones, but for the very smallest sets. Uploads of the same recording go to one side together.
Where other text is on both sides (an introduction, a jingle), the windows that have it leave the held-out
side: there they cost the fewest, and training keeps all it can use.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

from datasets import Dataset

from recipe.data.duplicates import find_shared, group_recordings
from recipe.data.partition import position_of
from recipe.data.shards import Shard, load_examples
from recipe.data.windows import segments_of, text_of

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
    """Hold out about `fraction` of the recordings in each language; of a single one, its end."""
    spoken = [shard for shard in shards if shard.report.outcome == "speech"]
    groups = group_recordings(
        _texts_of_recordings(spoken), {shard.report.name: shard.report.audio_hash for shard in spoken}
    )
    parts = split_by_language(groups, {shard.report.name: shard.report.language for shard in spoken})
    held_out_names = frozenset[str]().union(*(choose_held_out(part, fraction) for part in parts))
    alone = {name for part in parts if len(part) == 1 for name in part}
    if not held_out_names and not alone:
        held_out_names = choose_held_out({name: name for name in groups}, fraction)
    split = _divide(load_examples(shards), held_out_names, alone if fraction else set(), fraction)
    if fraction == 0:
        split.warnings.append(
            "No recording is held out (eval_fraction is 0), so the error rate is not measured."
        )
    _leave_unmeasurable(split)
    _keep_apart(split)
    return split


def split_by_language(groups: Mapping[str, str], languages: Mapping[str, str]) -> list[dict[str, str]]:
    """The groups of the recordings in each language: recordings in one never move those in another.

    A group is in the language of the recording that it is named after.
    """
    parts: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for name, group in groups.items():
        parts[languages[group]][name] = group
    return list(parts.values())


def _divide(
    examples: Dataset, held_out_names: frozenset[str], alone: Collection[str], fraction: float
) -> Split:
    """The recordings on the two sides; of those that are `alone`, the last windows are on the second."""
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(examples["recording"][:]):
        rows[name].append(index)
    train: list[int] = []
    held_out: list[int] = []
    warnings = []
    for name, indices in rows.items():
        if name in held_out_names:
            held_out += indices
        elif name in alone:
            recording = examples.select(indices)
            first, last = split_by_time(recording["start_ms"][:], recording["end_ms"][:], fraction)
            train += [indices[i] for i in first]
            held_out += [indices[i] for i in last]
            warnings.append(_explain_end(name, recording["language"][0], has_end=bool(last)))
        else:
            train += indices
    split = Split(examples.select(train), examples.select(held_out), held_out_names, warnings=warnings)
    _count_unused(split, GUARD, len(examples) - len(train) - len(held_out))
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


def select_from_each(examples: Dataset, num_windows: int) -> Dataset:
    """About `num_windows` of the examples: the first of each language, as many as its share of them."""
    languages = examples["language"][:]
    totals = Counter(languages)
    num_seen: Counter[str] = Counter()
    selected = []
    for index, language in enumerate(languages):
        if num_seen[language] * len(languages) < num_windows * totals[language]:
            selected.append(index)
        num_seen[language] += 1
    return examples.select(selected)


def split_by_time(
    starts_ms: Sequence[int], ends_ms: Sequence[int], fraction: float
) -> tuple[list[int], list[int]]:
    """Split the windows of a recording in two: the beginning to train on, the end to measure on; as indices.

    A window that starts less than `GUARD_MS` before the held-out part ends in neither.
    Too few windows for both parts leave the second one empty.
    """
    num_windows = len(starts_ms)
    first = num_windows - max(1, round(fraction * num_windows))
    train = [i for i in range(first) if ends_ms[i] + GUARD_MS <= starts_ms[first]]
    return (train, list(range(first, num_windows))) if train else (list(range(num_windows)), [])


def _explain_end(name: str, language: str, *, has_end: bool) -> str:
    if has_end:
        what = "its end is held out, so the same voice is on both sides"
    else:
        what = "it has too little speech to hold any out, so the error rate is not measured"
    return f"{name} is the single recording in language {language}: {what}."


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
            yield name, text_of(segments_of({"segments": segments}))
