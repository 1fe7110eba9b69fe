"""Which windows are held out of training to measure the error rate.

Whole recordings are held out, so that no voice or take is on both sides, some in each language, so that
its error rate is known. They are ranked by a hash of their names, and of the first ones as many are held out
as bring their speech (the time of the cues in their windows) nearest to the fraction asked for: files that
are added later take their places in the rank, and move only the end of the choice. Uploads of the same
recording go to one side together. Where other text is on both sides (an introduction, a jingle), the windows
that have it leave the held-out side: there they cost the fewest, and training keeps all it can use.

Recordings of one speaker, session or channel stay together too, unless all are of one. Where a dataset brings
a split of its own, that one is taken.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, groupby
from operator import itemgetter
from typing import Self

from datasets import Dataset

from recipe.data.duplicates import find_shared, group_recordings
from recipe.data.groups import unite
from recipe.data.partition import position_of
from recipe.data.report import RecordingReport
from recipe.data.shards import Shard, load_examples
from recipe.data.windows import segments_of, text_of
from recipe.run.warning import DataWarning, Importance

GUARD_MS = 10_000
"""Audio left unused between the two parts of a single recording."""

MIN_WORDS = 1_500
"""Words held out in a language at least, where twice as many are left to train on."""

MAX_SPEECH_MS = 10 * 3_600_000
"""Most speech asked for in a language: more would be lost to training for no truer error rate."""

MAX_FRACTION = 1 / 3
"""Fraction of the speech that no choice of recordings exceeds, unless more is asked for."""

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
        duplicates: Names of recordings that are the same one, by their sound or their words.
        num_unused: Windows that are on neither side, by reason.
        warnings: A sentence for each thing that makes the measurement worth less.
    """

    train: Dataset
    held_out: Dataset
    held_out_names: frozenset[str] = frozenset()
    duplicates: list[list[str]] = field(default_factory=list)
    num_unused: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Speech:
    """What is said in recordings.

    Attributes:
        duration_ms: Time of the cues that end inside their windows.
        num_words: Their words.
    """

    duration_ms: int = 0
    num_words: int = 0

    def __add__(self, other: Self) -> "Speech":
        return Speech(self.duration_ms + other.duration_ms, self.num_words + other.num_words)


def split_examples(shards: Sequence[Shard], fraction: float) -> Split:
    """Hold out about `fraction` of the speech in each language; of a single recording, its end."""
    spoken = [shard for shard in shards if shard.report.outcome == "speech"]
    reports = {shard.report.name: shard.report for shard in spoken}
    groups = group_recordings(
        _texts_of_recordings(spoken), {name: report.audio_hash for name, report in reports.items()}
    )
    parts = split_by_language(groups, {name: report.language for name, report in reports.items()})
    draws = [_draw(part, reports, fraction) for part in parts]
    held_out_names = frozenset[str]().union(*(names for names, _ in draws))
    with_speech = [[name for name in part if reports[name].speech_ms] for part in parts]
    alone = {names[0] for names in with_speech if len(names) == 1} - held_out_names
    if not held_out_names and not alone:
        single = {name: name for name in groups}
        together = keep_together(single, {name: report.group for name, report in reports.items()})
        held_out_names = choose_held_out(together, reports, fraction) or choose_held_out(
            single, reports, fraction
        )
    split = _divide(load_examples(shards), held_out_names, alone if fraction else set(), fraction)
    split.duplicates = _list_groups(groups)
    split.warnings += [warning for _, warning in draws if warning]
    if fraction == 0 and not held_out_names:
        split.warnings.append(
            DataWarning(
                "No recording is held out (eval_fraction is 0), so the error rate is not measured.",
                Importance.CHOSEN,
            )
        )
    _leave_unmeasurable(split)
    _keep_apart(split)
    return split


def _list_groups(groups: Mapping[str, str]) -> list[list[str]]:
    """The members of each group that has several."""
    return [names for names in _group_members(groups).values() if len(names) > 1]


def _group_members(groups: Mapping[str, str]) -> dict[str, list[str]]:
    members: defaultdict[str, list[str]] = defaultdict(list)
    for name, group in groups.items():
        members[group].append(name)
    return members


def split_by_language(groups: Mapping[str, str], languages: Mapping[str, str]) -> list[dict[str, str]]:
    """The groups of the recordings in each language: recordings in one never move those in another.

    A group is in the language of the recording that it is named after.
    """
    parts: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for name, group in groups.items():
        parts[languages[group]][name] = group
    return list(parts.values())


def _draw(
    groups: Mapping[str, str], reports: Mapping[str, RecordingReport], fraction: float
) -> tuple[frozenset[str], str]:
    """Names of the recordings in one language to hold out, and what makes them worth less, or "".

    A dataset's own held-out side is held out, and nothing beside it.
    """
    given = frozenset(name for name in groups if reports[name].side == "held_out")
    if any(reports[name].speech_ms for name in given) and _can_train(reports):
        return given, ""
    together = keep_together(groups, {name: reports[name].group for name in groups})
    if _count_spoken(together, reports) < 2 <= _count_spoken(groups, reports):
        sentence = (
            f"All recordings in language {reports[next(iter(groups))].language} are of one group "
            f"({_name_group(groups, reports)}): its voices are on both sides, so the error rate flatters."
        )
        warning = DataWarning(sentence, Importance.MISLEADING) if fraction else ""
        return choose_held_out(groups, reports, fraction), warning
    return choose_held_out(together, reports, fraction), ""


def keep_together(groups: Mapping[str, str], voices: Mapping[str, str]) -> dict[str, str]:
    """The groups of recordings, those united that have a voice in common.

    Args:
        groups: The group of each recording, named after one of its members.
        voices: Speaker, session or channel of each recording; "" is unknown.
    """
    first_of: dict[str, str] = {}
    pairs = [(group, name) for name, group in groups.items() if group in groups]
    pairs += [(first_of.setdefault(voice, name), name) for name, voice in voices.items() if voice]
    return unite(groups, pairs)


def _can_train(reports: Mapping[str, RecordingReport]) -> bool:
    """Whether a dataset's own split leaves anything to train on."""
    return any(report.speech_ms and report.side != "held_out" for report in reports.values())


def _count_spoken(groups: Mapping[str, str], reports: Mapping[str, RecordingReport]) -> int:
    """How many groups hold speech."""
    return len({group for name, group in groups.items() if reports[name].speech_ms})


def _name_group(groups: Iterable[str], reports: Mapping[str, RecordingReport]) -> str:
    return next((reports[name].group for name in groups if reports[name].group), "")


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


def choose_held_out(
    groups: Mapping[str, str], reports: Mapping[str, RecordingReport], fraction: float
) -> frozenset[str]:
    """Names of the recordings to hold out: the first groups in rank that come nearest to what is asked.

    Asked for is `fraction` of the speech, at most `MAX_SPEECH_MS`, and with it the words that are beyond
    twice `MIN_WORDS`, up to `MIN_WORDS`: training gets its words first, then the measurement. At least one
    group is held out and, of three or more, at most `MAX_FRACTION` of the speech (or `fraction`, if more);
    of two, the shorter. A longer group is trained on, and so is one of over twice the speech that is asked
    for, unless the others lack the words or have under a quarter of what is asked.

    Empty if `fraction` is 0 or only one group has speech (see `split_by_time`).

    Args:
        groups: The group of each recording; a group is on one side.
        reports: Speech and words of each recording.
        fraction: Share to hold out, in [0, 0.5].
    """
    members = _group_members(groups)
    # By the first of its members: a file added to a group never moves the group down.
    rank = sorted(members, key=lambda group: min(map(position_of, members[group])))
    speech = {group: _speech_of(reports[name] for name in members[group]) for group in rank}
    ranked = {group: amount for group, amount in speech.items() if amount.duration_ms}
    chosen = _choose_first(ranked, fraction) if fraction and len(ranked) > 1 else []
    return frozenset(name for group in chosen for name in members[group])


def _choose_first(ranked: Mapping[str, Speech], fraction: float) -> list[str]:
    """The first of the groups, which are in rank: what comes nearest to what is asked."""
    total = sum(ranked.values(), Speech())
    asked = min(fraction, MAX_SPEECH_MS / total.duration_ms)
    needed_words = max(min(MIN_WORDS, total.num_words - 2 * MIN_WORDS), asked / 4 * total.num_words)
    asked_ms = max(asked, needed_words / max(1, total.num_words)) * total.duration_ms
    limit_ms = max(fraction, MAX_FRACTION if len(ranked) > 2 else 1 / 2) * total.duration_ms

    def distance(choice: tuple[list[str], Speech]) -> tuple[float, float]:
        speech = choice[1]
        return max(0, needed_words - speech.num_words), abs(asked_ms - speech.duration_ms)

    choices = (_beginnings(ranked, longest_ms, limit_ms) for longest_ms in (2 * asked_ms, limit_ms))
    return min(chain.from_iterable(choices), key=distance)[0]


def _beginnings(
    ranked: Mapping[str, Speech], longest_ms: float, limit_ms: float
) -> Iterator[tuple[list[str], Speech]]:
    """The first one, two, ... of the groups of at most `longest_ms`, with their speech: up to `limit_ms`."""
    groups = [group for group, speech in ranked.items() if speech.duration_ms <= longest_ms]
    for number, speech in enumerate(accumulate(ranked[group] for group in groups), start=1):
        if speech.duration_ms > limit_ms:
            return
        yield groups[:number], speech


def _speech_of(reports: Iterable[RecordingReport]) -> Speech:
    return sum((Speech(report.speech_ms, report.num_words) for report in reports), Speech())


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
