"""Captions whose times are loose, and what their times ought to be.

Some of the recording is transcribed to see whether its captions are on time. Where they are not (late or
early by a constant, drifting since they were made for another speed, cut for another version), all of it is,
and each cue is put where its words are spoken; cues that were not found move as their neighbours do.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby
from operator import attrgetter

import numpy as np

from recipe.captions.plain_text import Phrase
from recipe.captions.reader import Cue
from recipe.screening.alignment import Alignment, TimedText, find_lost, find_span, settle_apart
from recipe.screening.matching import match_key
from recipe.screening.placement import Sound, TextWord, place_anchors, place_words
from recipe.screening.word_times import Span, TimedWord, WordTimer, cut_at_pauses

NUM_PROBES = 10
"""Spans, of up to 30 s each, by which captions are judged."""

MIN_CUES = 5
"""Cues found from which on times can be judged."""

MIN_MATCHED = 0.6
"""Fraction of the transcribed words, and of the captions' words, that must agree before times are touched."""

MAX_MEDIAN_MS = 250
"""Captions whose starts are off by less in the middle are on time: people set them a little early."""

MAX_MOST_MS = 1_500
"""Nine cues in ten of captions that are on time are off by less."""

MAX_DISAGREEMENT_MS = 1_000
"""Shifts of two cues further apart do not tell how a cue between them moves."""

NUM_DRIFT_CUES = 200


@dataclass(frozen=True, slots=True)
class Shift:
    """How far captions are from where their words are spoken.

    Attributes:
        median_ms: Of the starts; above 0 where the captions come too early.
        most_ms: Nine starts in ten are off by less, either way.
        drift: What the shift grows by, as a fraction of the time.
        num_cues: Cues that were measured.
    """

    median_ms: int
    most_ms: int
    drift: float
    num_cues: int

    @property
    def is_loose(self) -> bool:
        """Whether the captions are not on time."""
        return abs(self.median_ms) > MAX_MEDIAN_MS or self.most_ms > MAX_MOST_MS

    def __str__(self) -> str:
        drift = f", drifting by {100 * self.drift:+.2f} %" if abs(self.drift) >= MIN_DRIFT else ""
        return f"{self.median_ms / 1000:+.2f} s in the median{drift}"


MIN_DRIFT = 0.001
"""A drift worth a word: 25 against 23.976 frames a second is 0.04."""


@dataclass(frozen=True, slots=True)
class Retiming:
    """What is to be done about the times of captions.

    Attributes:
        problem: Why they were left as they are, or "".
        shift: How far off they are; None if it could not be measured.
        alignment: The captions with better times, unless they were left as they are.
    """

    problem: str
    shift: Shift | None = None
    alignment: Alignment | None = None


def retime_cues(cues: Sequence[Cue], sound: Sound, timer: WordTimer) -> Retiming:
    """Better times for captions that are loose.

    Args:
        cues: In reading form, in order, apart.
        sound: The recording.
        timer: Transcribes it.
    """
    phrases = [Phrase(cue.text, number, begins_line=False) for number, cue in enumerate(cues)]
    spans = cut_at_pauses(sound.voice, sound.duration_ms)
    probes = spans[:: max(1, -(-len(spans) // NUM_PROBES))]
    transcript = _transcribe(sound, probes, timer)
    words, anchors = place_anchors(phrases, transcript, sound.language)
    if len(anchors) < MIN_MATCHED * max(1, len(transcript)):
        return Retiming("the base model recognises other words, so their times could not be judged")
    shift = _measure(cues, dict(_find_starts(words, sound)))
    if shift.num_cues < MIN_CUES:
        return Retiming("too few of their cues were recognised to judge their times", shift)
    if not shift.is_loose:
        return Retiming("their times are right", shift)
    if len(probes) < len(spans):
        transcript = _transcribe(sound, spans, timer)
    return _retime(cues, place_words(phrases, transcript, sound, timer), sound, len(transcript))


def _transcribe(sound: Sound, spans: Sequence[Span], timer: WordTimer) -> list[TimedWord]:
    transcript = timer.transcribe(sound.samples, spans, sound.language)
    return [word for word in transcript if match_key(word.text)]


def _find_starts(words: Sequence[TextWord], sound: Sound) -> Iterator[tuple[int, int]]:
    """The start of each cue whose first word was matched, by the cue's number."""
    for number, group in groupby(words, key=attrgetter("phrase")):
        of_cue = list(group)
        if of_cue[0].is_matched:
            yield number, find_span(of_cue[:1], sound.voice)[0]


def _measure(cues: Sequence[Cue], starts_ms: dict[int, int]) -> Shift:
    """How far the cues are from the starts that were found for some of them."""
    if not starts_ms:
        return Shift(0, 0, 0.0, 0)
    numbers = sorted(starts_ms)
    shifts = np.array([starts_ms[number] - cues[number].start_ms for number in numbers])
    times = np.array([cues[number].start_ms for number in numbers])
    step = max(1, len(numbers) // NUM_DRIFT_CUES)
    slopes = [
        (later_shift - shift) / (later - time)
        for (time, shift), (later, later_shift) in combinations(
            zip(times[::step].tolist(), shifts[::step].tolist(), strict=True), 2
        )
        if later > time
    ]
    drift = float(np.median(slopes)) if slopes else 0.0  # the slope of Theil and Sen
    return Shift(int(np.median(shifts)), int(np.percentile(np.abs(shifts), 90)), drift, len(numbers))


def _retime(cues: Sequence[Cue], words: Sequence[TextWord], sound: Sound, num_transcribed: int) -> Retiming:
    """The cues where their words are spoken, if enough of them were found."""
    of_cue = {number: list(group) for number, group in groupby(words, key=attrgetter("phrase"))}
    spans = {number: span for number, part in of_cue.items() if (span := _find_cue(part, sound))}
    spans = _keep_rising(spans)
    shift = _measure(cues, {number: start_ms for number, (start_ms, _) in spans.items()})
    num_matched = sum(word.is_matched for word in words)
    if num_matched < MIN_MATCHED * len(words) or 2 * len(spans) < len(cues):
        return Retiming("they are loose, and too few of their words were recognised to mend it", shift)
    timed = []
    for number, cue in enumerate(cues):
        span = spans.get(number) or _move_with_neighbours(number, cues, spans)
        part = of_cue.get(number, [])
        if span:
            confidence = sum(word.is_matched for word in part) / max(1, len(part))
            timed.append(TimedText(*span, cue.text, confidence, len(part)))
    timed.sort(key=attrgetter("start_ms"))
    settled = tuple(settle_apart(timed))
    lost = find_lost([(cue.start_ms, cue.end_ms) for cue in settled], sound)
    return Retiming("", shift, Alignment(settled, tuple(lost), len(words), num_transcribed, num_matched))


def _find_cue(words: Sequence[TextWord], sound: Sound) -> Span | None:
    """Where the words of a cue are spoken, if its first and last were timed and half of them matched."""
    if not (words[0].has_own_time and words[-1].is_spoken and words[0].is_spoken):
        return None
    if 2 * sum(word.is_matched for word in words) < len(words):
        return None
    return find_span(words, sound.voice)


def _keep_rising(spans: dict[int, Span]) -> dict[int, Span]:
    """The spans in order of their cues, without those that begin before an earlier one."""
    kept: dict[int, Span] = {}
    latest_ms = -1
    for number, (start_ms, end_ms) in spans.items():
        if start_ms >= latest_ms:
            kept[number] = (start_ms, end_ms)
            latest_ms = start_ms
    return kept


def _move_with_neighbours(number: int, cues: Sequence[Cue], spans: dict[int, Span]) -> Span | None:
    """Where a cue is that was not found, if the found ones before and after it moved alike; else None."""
    before = next((other for other in range(number - 1, -1, -1) if other in spans), None)
    after = next((other for other in range(number + 1, len(cues)) if other in spans), None)
    near = [other for other in (before, after) if other is not None]
    shifts = [spans[other][0] - cues[other].start_ms for other in near]
    if len(shifts) < 2 or abs(shifts[0] - shifts[1]) > MAX_DISAGREEMENT_MS:
        return None
    shift_ms = sum(shifts) // 2
    start_ms, end_ms = cues[number].start_ms + shift_ms, cues[number].end_ms + shift_ms
    return (start_ms, end_ms) if start_ms >= 0 else None
