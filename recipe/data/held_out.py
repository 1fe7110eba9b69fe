"""Which recordings are held out: the first ones in the rank of a hash of their names, by their speech."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Self

from recipe.data.partition import position_of
from recipe.data.report import RecordingReport

MIN_WORDS = 1_900
"""Words held out in a language at least, where the data allows: about 1,500 of them measure."""

MIN_TRAINED_WORDS = 3_000
"""Words of a language that training gets before the measurement has its `MIN_WORDS`."""

NUM_FOR_TWO = 6
"""Recordings in a language from which on two at least are held out: one to choose by, one to measure."""

MAX_SPEECH_MS = 10 * 3_600_000
"""Most speech asked for in a language: more would be lost to training for no truer error rate."""

MAX_FRACTION = 1 / 3
"""Fraction of the speech that no choice of recordings exceeds, unless more is asked for."""


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


def choose_held_out(
    groups: Mapping[str, str], reports: Mapping[str, RecordingReport], fraction: float
) -> frozenset[str]:
    """Names of the recordings to hold out: the first groups in rank that come nearest to what is asked.

    Asked for is `fraction` of the speech, at most `MAX_SPEECH_MS`, and with it the words that are beyond
    `MIN_TRAINED_WORDS`, up to `MIN_WORDS`: training gets its words first, then the measurement. At least one
    group is held out (two of `NUM_FOR_TWO` or more, so that one chooses and one measures), and at most
    `MAX_FRACTION` of the speech (or `fraction`, if more). A longer group is trained on, and so is one of over
    twice the speech that is asked for, unless the others lack the words or have under a quarter of what is
    asked.

    Empty if `fraction` is 0, if only one group has speech, or if both of two are too long (see
    `choose_ends`).

    Args:
        groups: The group of each recording; a group is on one side.
        reports: Speech and words of each recording.
        fraction: Share to hold out, in [0, 0.5].
    """
    members: defaultdict[str, list[str]] = defaultdict(list)
    for name, group in groups.items():
        members[group].append(name)
    # By the first of its members: a file added to a group never moves the group down.
    rank = sorted(members, key=lambda group: min(map(position_of, members[group])))
    speech = {group: _speech_of(reports[name] for name in members[group]) for group in rank}
    ranked = {group: amount for group, amount in speech.items() if amount.duration_ms}
    chosen = _choose_first(ranked, fraction) if fraction and len(ranked) > 1 else []
    return frozenset(name for group in chosen for name in members[group])


def choose_ends(
    groups: Mapping[str, str], reports: Mapping[str, RecordingReport], fraction: float
) -> dict[str, float]:
    """The recordings of the shortest group, and the part of each, its end, that is held out.

    Args:
        groups: As in `choose_held_out`, which chooses none of them.
        reports: Speech and words of each recording.
        fraction: Share to hold out, in [0, 0.5].
    """
    spoken = {name: group for name, group in groups.items() if reports[name].speech_ms}
    if not fraction or not spoken:
        return {}
    speech = {
        group: _speech_of(reports[name] for name, of in spoken.items() if of == group)
        for group in {*spoken.values()}
    }
    shortest = min(speech, key=lambda group: (speech[group].duration_ms, position_of(group)))
    total = sum(speech.values(), Speech())
    share = min(_share_asked(total, fraction), max(fraction, MAX_FRACTION))
    part = min(1.0, share * total.duration_ms / speech[shortest].duration_ms)
    return {name: part for name, group in spoken.items() if group == shortest}


def _share_asked(total: Speech, fraction: float) -> float:
    """Part of the speech that is asked for; see `choose_held_out`."""
    asked = min(fraction, MAX_SPEECH_MS / total.duration_ms)
    return max(asked, _needed_words(total, asked) / max(1, total.num_words))


def _needed_words(total: Speech, asked: float) -> float:
    return max(min(MIN_WORDS, total.num_words - MIN_TRAINED_WORDS), asked / 4 * total.num_words)


def _choose_first(ranked: Mapping[str, Speech], fraction: float) -> list[str]:
    """The first of the groups, which are in rank: what comes nearest to what is asked."""
    total = sum(ranked.values(), Speech())
    needed_words = _needed_words(total, min(fraction, MAX_SPEECH_MS / total.duration_ms))
    asked_ms = _share_asked(total, fraction) * total.duration_ms
    limit_ms = max(fraction, MAX_FRACTION) * total.duration_ms
    num_needed = 2 if len(ranked) >= NUM_FOR_TWO else 1

    def distance(choice: tuple[list[str], Speech]) -> tuple[float, int, float]:
        groups, speech = choice
        is_long = speech.duration_ms >= MAX_SPEECH_MS  # its time can be divided
        num_lacking = 0 if is_long else max(0, num_needed - len(groups))
        return max(0, needed_words - speech.num_words), num_lacking, abs(asked_ms - speech.duration_ms)

    choices = (_beginnings(ranked, longest_ms, limit_ms) for longest_ms in (2 * asked_ms, limit_ms))
    return min(chain.from_iterable(choices), key=distance, default=([], Speech()))[0]


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
