"""Which windows are held out of training to measure the error rate.

Whole recordings are held out, so that no voice or take is on both sides, some in each language, so that
its error rate is known. They are ranked by a hash of their names, and of the first ones as many are held out
as bring their speech (the time of the cues in their windows) nearest to the fraction asked for: files that
are added later take their places in the rank, and move only the end of the choice. Uploads of the same
recording go to one side together. Where other text is on both sides (an introduction, a jingle), the windows
that have it leave the held-out side: there they cost the fewest, and training keeps all it can use.

Recordings of one speaker, session or channel stay together too, unless all are of one. Where a dataset brings
a split of its own, that one is taken. What is held out is divided once more: see `recipe.data.validation`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

from datasets import Dataset

from recipe.data.duplicates import find_shared, group_recordings
from recipe.data.groups import unite
from recipe.data.held_out import choose_ends, choose_held_out
from recipe.data.manifest import HELD_OUT
from recipe.data.partition import position_of
from recipe.data.report import RecordingReport
from recipe.data.validation import HeldOutWindow, divide_held_out, split_by_time
from recipe.data.windows import text_of_row
from recipe.run.warning import DataWarning, Importance

MIN_END_WINDOWS = 3
"""Windows held out of a single recording that has three times as many: to choose, to part, to measure."""

BOTH_SIDES = "its words are trained too"
TOLD_IN_BOTH = "its words are in the test part too"
NO_WORDS = "it has no words to measure"
GUARD = "too near the held-out part of the same recording"


@dataclass(frozen=True)
class Split:
    """The windows of the three sides, and those of none.

    Attributes:
        train: Examples to train on.
        validation: Examples by which weights are chosen.
        test: Examples by which the chosen weights are measured.
        held_out_names: Recordings that are held out whole.
        duplicates: Names of recordings that are the same one, by their sound or their words.
        num_unused: Windows that are on no side, by reason.
        warnings: A sentence for each thing that makes the measurement worth less.
    """

    train: Dataset
    validation: Dataset
    test: Dataset
    held_out_names: frozenset[str]
    duplicates: list[list[str]]
    num_unused: dict[str, int]
    warnings: list[str]


@dataclass
class _Sides:
    """The windows that are trained and those that are held out, until these are divided; see `Split`."""

    train: Dataset
    held_out: Dataset
    num_unused: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def split_examples(examples: Dataset, recordings: Iterable[RecordingReport], fraction: float) -> Split:
    """Hold out about `fraction` of the speech in each language; of a single recording, its end.

    Args:
        examples: The windows, those of a recording together; their sound is not read.
        recordings: What became of the recordings, in the order of their windows.
        fraction: Share to hold out, in [0, 0.5].
    """
    reports = {report.name: report for report in recordings if report.outcome == "speech"}
    groups = group_recordings(
        _texts_of_recordings(examples, reports), {name: report.audio_hash for name, report in reports.items()}
    )
    parts = split_by_language(groups, {name: report.language for name, report in reports.items()})
    draws = [_draw(part, reports, fraction) for part in parts]
    held_out_names = frozenset[str]().union(*(names for names, _ in draws))
    ends: dict[str, float] = {}
    for part, (names, _) in zip(parts, draws, strict=True):
        voices = _voices_of(part, reports)
        if not names and (_count_spoken(voices, reports) > 1 or len(part) == 1):
            found = choose_ends(voices, reports, fraction)
            is_short = any(reports[name].num_windows < 3 * MIN_END_WINDOWS for name in found)
            if is_short and any(reports[name].speech_ms for name in part.keys() - found.keys()):
                held_out_names |= found.keys()  # more than a third, but an end would measure nothing
            else:
                ends |= found
    if not held_out_names and not ends:
        single = {name: name for name in groups}
        held_out_names = choose_held_out(_voices_of(single, reports), reports, fraction)
        held_out_names = held_out_names or choose_held_out(single, reports, fraction)
    if not held_out_names and not ends:  # copies of one recording
        ends = choose_ends(dict.fromkeys(groups, ""), reports, fraction)
    sides = _divide(examples, held_out_names, ends)
    sides.warnings += [warning for _, warning in draws if warning]
    if fraction == 0 and not held_out_names:
        sides.warnings.append(
            DataWarning(
                "No recording is held out (eval_fraction is 0), so the error rate is not measured.",
                Importance.CHOSEN,
            )
        )
    _leave_unmeasurable(sides)
    _keep_apart(sides)
    together = keep_together(groups, {name: report.group for name, report in reports.items()})
    given = {name: report.side for name, report in reports.items()}
    validation, test = _divide_held_out(sides, together, given, groups)
    return Split(
        sides.train,
        validation,
        test,
        held_out_names,
        _list_groups(groups),
        sides.num_unused,
        sides.warnings,
    )


def _voices_of(groups: Mapping[str, str], reports: Mapping[str, RecordingReport]) -> Mapping[str, str]:
    """The groups, those united that have a voice in common, unless that leaves only one with speech."""
    together = keep_together(groups, {name: reports[name].group for name in groups})
    return together if _count_spoken(together, reports) > 1 else groups


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
    given = frozenset(name for name in groups if reports[name].side in HELD_OUT)
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
    return any(report.speech_ms and report.side not in HELD_OUT for report in reports.values())


def _count_spoken(groups: Mapping[str, str], reports: Mapping[str, RecordingReport]) -> int:
    """How many groups hold speech."""
    return len({group for name, group in groups.items() if reports[name].speech_ms})


def _name_group(groups: Iterable[str], reports: Mapping[str, RecordingReport]) -> str:
    return next((reports[name].group for name in groups if reports[name].group), "")


def _divide(examples: Dataset, held_out_names: frozenset[str], ends: Mapping[str, float]) -> _Sides:
    """The recordings on the two sides; of those in `ends` such a part, the last windows, is on the second."""
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(examples["recording"][:]):
        rows[name].append(index)
    train: list[int] = []
    held_out: list[int] = []
    warnings = []
    languages = dict(zip(examples["recording"][:], examples["language"][:], strict=True)).values()
    for name, indices in rows.items():
        if name in held_out_names:
            held_out += indices
        elif name in ends:
            recording = examples.select(indices)
            least = MIN_END_WINDOWS / len(indices) if len(indices) >= 3 * MIN_END_WINDOWS else 0
            first, last = split_by_time(
                recording["start_ms"][:], recording["end_ms"][:], max(ends[name], least)
            )
            train += [indices[i] for i in first]
            held_out += [indices[i] for i in last]
            is_single = list(languages).count(recording["language"][0]) == 1
            warnings.append(
                _explain_end(name, recording["language"][0], is_single=is_single, has_end=bool(last))
            )
        else:
            train += indices
    sides = _Sides(examples.select(train), examples.select(held_out), warnings=warnings)
    _count_unused(sides, GUARD, len(examples) - len(train) - len(held_out))
    return sides


def _divide_held_out(
    sides: _Sides, groups: Mapping[str, str], given: Mapping[str, str], copies: Mapping[str, str]
) -> tuple[Dataset, Dataset]:
    """The held-out windows that choose, and those that measure; what is unused is counted."""
    examples = sides.held_out
    columns = examples.select_columns(["recording", "start_ms", "end_ms", "num_tokens", "language"])[:]
    windows = [HeldOutWindow(*window) for window in zip(*columns.values(), strict=True)]
    rank = sorted(
        range(len(windows)),
        key=lambda index: (position_of(windows[index].recording), windows[index].start_ms),
    )
    division = divide_held_out([windows[index] for index in rank], groups, given, copies)
    parts = dict(zip(rank, division.parts, strict=True))
    sides.warnings += division.warnings
    _count_unused(sides, GUARD, sum(part == "guard" for part in division.parts))
    validation, test = (
        examples.select([index for index in range(len(windows)) if parts[index] == part])
        for part in ("validation", "test")
    )
    shared = find_shared(list(_texts(validation)), _texts(test))
    if len(shared) < len(validation):
        _count_unused(sides, TOLD_IN_BOTH, len(shared))
        validation = validation.select([i for i in range(len(validation)) if i not in shared])
    return validation, test


def _explain_end(name: str, language: str, *, is_single: bool, has_end: bool) -> str:
    if has_end:
        what = "its end is held out, so the same voice is on both sides"
    else:
        what = "it has too little speech to hold any out, so the error rate is not measured"
    why = "the single recording" if is_single else "over a third of the speech"
    return f"{name} is {why} in language {language}: {what}."


def _leave_unmeasurable(sides: _Sides) -> None:
    """Take the windows without words out of the held-out side: an error rate counts words."""
    with_words = [index for index, text in enumerate(_texts(sides.held_out)) if text]
    _count_unused(sides, NO_WORDS, len(sides.held_out) - len(with_words))
    sides.held_out = sides.held_out.select(with_words)


def _keep_apart(sides: _Sides) -> None:
    """Take the windows whose words are trained too out of the held-out side, unless that leaves none."""
    shared = find_shared(list(_texts(sides.held_out)), _texts(sides.train))
    if shared and len(shared) == len(sides.held_out):
        sides.warnings.append(
            "All held-out windows have words in them that are trained too, so the error rate flatters."
        )
        return
    _count_unused(sides, BOTH_SIDES, len(shared))
    sides.held_out = sides.held_out.select([i for i in range(len(sides.held_out)) if i not in shared])


def _count_unused(sides: _Sides, reason: str, num_windows: int) -> None:
    if num_windows:
        sides.num_unused[reason] = sides.num_unused.get(reason, 0) + num_windows


def _texts_of_recordings(
    examples: Dataset, reports: Mapping[str, RecordingReport]
) -> Iterator[tuple[str, str]]:
    for name, of_recording in groupby(_words(examples), key=itemgetter(0)):
        if name in reports:
            yield name, " ".join(text for _, text in of_recording)
    yield from ((report.name, "") for report in reports.values() if not report.num_windows)


def _texts(examples: Dataset) -> Iterator[str]:
    return (text for _, text in _words(examples))


def _words(examples: Dataset) -> Iterator[tuple[str, str]]:
    """Recording and words of each window; nothing but them is read."""
    for batch in examples.select_columns(["recording", "segments"]).iter(batch_size=1000):
        for name, segments in zip(batch["recording"], batch["segments"], strict=True):
            yield name, text_of_row(segments)
