"""Plain text beside a recording, made into cues with the times at which they are spoken.

A cue is a sentence or a clause whose words were found (`placement`), with the fraction of them that the base
model's transcript has too as its confidence. It starts and ends where the voice does. Where a voice speaks
and no cue is, speech is lost: no window may span it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from operator import itemgetter

import numpy as np
import regex  # type: ignore[import-untyped]  # the package ships no types

from recipe.audio.voice import MAX_VOICE_MS
from recipe.captions.plain_text import Phrase
from recipe.screening.placement import Sound, TextWord, place_words
from recipe.screening.word_times import Span, TimedWord, WordTimer

MAX_CUE_MS = 10_000
"""A longer sentence is cut at a clause or a pause."""

MAX_SILENCE_MS = 2_000
"""A longer silence between two words ends a cue."""

MIN_CONFIDENCE = 0.5
"""Below this a cue's words must at least be probable to the model where they were aligned."""

MIN_PROBABILITY = 0.1
"""Geometric mean of the words' probabilities from which on a cue with few matched words is believed."""

SLIP_MS = 60
"""How far word times and the voice detector's steps may be apart by their own resolution."""

LEAD_MS = 60
"""Kept before a voice: the detector opens late on soft consonants."""

MAX_LATE_MS = 1_000
"""Silence at most between the time of a word that was put into silence and the voice that says it."""

CLAUSE_BONUS_MS = 3_000
"""How much nearer to the middle the end of a clause counts when a long sentence is cut."""

_CLAUSE_END = regex.compile(
    r"[,;:\u2013\u2014\u2026\u3001\uff0c\uff1b\uff1a\u060c\u061b.?!\u3002][\"'\u2019\u201d\xbb)]*$"
)


@dataclass(frozen=True, slots=True)
class TimedText:
    """A cue made of plain text.

    Attributes:
        start_ms: Start in the recording.
        end_ms: End in the recording.
        text: As the text has it, whitespace folded.
        confidence: Fraction of its words that the base model's transcript has too, in [0, 1].
        num_words: Its words.
    """

    start_ms: int
    end_ms: int
    text: str
    confidence: float
    num_words: int


@dataclass(frozen=True, slots=True)
class Alignment:
    """A text aligned with a recording.

    Attributes:
        cues: In order, apart.
        lost_ms: Where a voice speaks and no cue is.
        num_words: Words of the text.
        num_transcribed: Words that the base model writes of the recording.
        num_matched: Words that both have.
        left_out: What of the text is in no cue, as (line of the text, words).
    """

    cues: tuple[TimedText, ...]
    lost_ms: tuple[Span, ...]
    num_words: int
    num_transcribed: int
    num_matched: int
    left_out: tuple[tuple[int, str], ...] = ()

    @property
    def num_used(self) -> int:
        """Words that are in a cue."""
        return sum(cue.num_words for cue in self.cues)


def align_text(
    phrases: Sequence[Phrase], transcript: Sequence[TimedWord], sound: Sound, timer: WordTimer
) -> Alignment:
    """The cues of a text.

    Args:
        phrases: Of the text, in order.
        transcript: What the base model writes of the recording.
        sound: The recording.
        timer: Aligns what the transcript does not have.
    """
    words = place_words(phrases, transcript, sound, timer)
    parts = [part for run in _find_runs(words) for part in _cut_to_length(run)]
    for part in parts:
        if not _is_believed(part):
            for word in part:
                word.is_spoken = False
    cues = [_make_cue(phrases, part, sound.voice) for part in parts if part[0].is_spoken]
    settled = tuple(settle_apart(cues))
    return Alignment(
        settled,
        tuple(find_lost([(cue.start_ms, cue.end_ms) for cue in settled], sound)),
        len(words),
        len(transcript),
        sum(word.is_matched for word in words),
        tuple(_find_left_out(phrases, words)),
    )


def align_short_text(phrases: Sequence[Phrase], sound: Sound) -> Alignment:
    """The text as one cue over all speech of a recording of at most 30 s, which needs no model."""
    text = "\n".join(phrase.text for phrase in phrases)
    num_words = len(text.split())
    start_ms, end_ms = (sound.voice[0][0], sound.voice[-1][1]) if sound.voice else (0, sound.duration_ms)
    return Alignment((TimedText(start_ms, end_ms, text, 1.0, num_words),), (), num_words, 0, 0)


def _find_left_out(phrases: Sequence[Phrase], words: Sequence[TextWord]) -> Iterator[tuple[int, str]]:
    """Line and words of each run of words that are in no cue, phrase by phrase."""
    for (number, is_spoken), group in groupby(words, key=lambda word: (word.phrase, word.is_spoken)):
        run = list(group)
        if not is_spoken:
            yield run[0].line, " ".join(phrases[number].text[run[0].start : run[-1].end].split())


def _find_runs(words: Sequence[TextWord]) -> Iterator[list[TextWord]]:
    """Words of one phrase that are spoken one after the other."""
    run: list[TextWord] = []
    for previous, word in zip([None, *words], words, strict=False):
        goes_on = (
            bool(run)
            and previous is run[-1]
            and word.phrase == run[-1].phrase
            and not word.is_apart
            and word.start_ms - run[-1].end_ms <= MAX_SILENCE_MS
        )
        if run and not (goes_on and word.is_spoken):
            yield run
            run = []
        if word.is_spoken:
            run.append(word)
    if run:
        yield run


def _cut_to_length(words: list[TextWord]) -> Iterator[list[TextWord]]:
    """The words in parts of at most `MAX_CUE_MS`, cut at clauses, pauses, or near the middle."""
    start_ms, end_ms = words[0].start_ms, words[-1].end_ms
    if end_ms - start_ms <= MAX_CUE_MS or len(words) == 1:
        yield words
        return
    middle_ms = (start_ms + end_ms) / 2

    def cost(place: int) -> float:
        before, after = words[place - 1], words[place]
        distance_ms = abs(after.start_ms - middle_ms) - (after.start_ms - before.end_ms)
        is_clause = _CLAUSE_END.search(before.text) is not None
        return distance_ms - CLAUSE_BONUS_MS * is_clause + CLAUSE_BONUS_MS * (not after.has_own_time)

    best = min(range(1, len(words)), key=cost)
    yield from _cut_to_length(words[:best])
    yield from _cut_to_length(words[best:])


def _confidence(words: Sequence[TextWord]) -> float:
    return sum(word.is_matched for word in words) / len(words)


def _is_believed(words: Sequence[TextWord]) -> bool:
    """Whether enough of a cue's words were found in the recording."""
    if _confidence(words) >= MIN_CONFIDENCE:
        return True
    timed = [word.probability for word in words if word.has_own_time]
    return bool(timed) and float(np.exp(np.mean(np.log(np.maximum(timed, 1e-9))))) >= MIN_PROBABILITY


def _make_cue(phrases: Sequence[Phrase], words: Sequence[TextWord], voice: Sequence[Span]) -> TimedText:
    text = phrases[words[0].phrase].text[words[0].start : words[-1].end]
    start_ms, end_ms = find_span(words, voice)
    return TimedText(start_ms, end_ms, " ".join(text.split()), _confidence(words), len(words))


def find_span(words: Sequence[TextWord], voice: Sequence[Span]) -> Span:
    """From where the voice sets in for the first word to where it ends after the last."""
    start_ms = _snap_start(words[0], voice)
    return start_ms, max(_snap_end(words[-1], voice), start_ms + 1)


def _snap_start(word: TextWord, voice: Sequence[Span]) -> int:
    """The onset of a voice that a word's start belongs to: after the word before it, within its own time."""
    earliest_ms, latest_ms = word.earliest_ms - SLIP_MS, max(word.end_ms, word.start_ms + SLIP_MS)
    first = bisect_left(voice, earliest_ms, key=itemgetter(0))
    last = bisect_left(voice, latest_ms, key=itemgetter(0))
    onsets = [start_ms for start_ms, _ in voice[first:last]]
    if not onsets and not _is_voiced(word.start_ms, voice):
        onsets = [
            start_ms for start_ms, _ in voice[last : last + 1] if start_ms < word.start_ms + MAX_LATE_MS
        ]
    if not onsets:
        return word.start_ms
    onset_ms = min(onsets, key=lambda onset: abs(onset - word.start_ms))
    previous = bisect_left(voice, onset_ms, key=itemgetter(0)) - 1
    return max(onset_ms - LEAD_MS, voice[previous][1] if previous >= 0 else 0)


def _snap_end(word: TextWord, voice: Sequence[Span]) -> int:
    """The end of a voice that a word's end belongs to: within its own time, before the word after it."""
    latest_ms = max(word.latest_ms, word.end_ms) + SLIP_MS
    first = bisect_right(voice, word.start_ms, key=itemgetter(1))
    last = bisect_right(voice, latest_ms, key=itemgetter(1))
    ends = [end_ms for _, end_ms in voice[first:last]]
    return min(ends, key=lambda end_ms: abs(end_ms - word.end_ms), default=word.end_ms)


def _is_voiced(time_ms: int, voice: Sequence[Span]) -> bool:
    following = bisect_right(voice, time_ms, key=itemgetter(0))
    return following > 0 and time_ms < voice[following - 1][1]


def settle_apart(cues: Sequence[TimedText]) -> Iterator[TimedText]:
    """The cues, each ended where the next one begins at the latest; those that are left without time go."""
    for index, cue in enumerate(cues):
        end_ms = min([cue.end_ms, *(following.start_ms for following in cues[index + 1 : index + 2])])
        if cue.start_ms < end_ms:
            yield replace(cue, end_ms=end_ms)


def find_lost(spans: Sequence[Span], sound: Sound) -> list[Span]:
    """Where a voice speaks outside the spans, which are in order and apart, for longer than a slip."""
    edges = [(0, 0), *spans, (sound.duration_ms, sound.duration_ms)]
    lost = []
    for (_, start_ms), (end_ms, _) in pairwise(edges):
        if sound.voice_ms(start_ms, end_ms) >= MAX_VOICE_MS:
            inside = sound.voice_between(start_ms, end_ms)
            lost.append((inside[0][0], inside[-1][1]))
    return lost
