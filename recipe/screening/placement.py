"""When each word of a text is spoken in a recording, if it is spoken at all.

Words that the base model's transcript has too are anchors (`matching`). What lies between two anchors is
aligned with the sound between them, kept between its neighbours where it is a few words inside a phrase, or
left out where the voice there has no time for it: headings, page numbers, what an editor added.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter

import numpy as np
import regex  # type: ignore[import-untyped]  # the package ships no types
from numpy.typing import NDArray

from recipe.audio.resampling import SAMPLES_PER_MS
from recipe.captions.plain_text import Phrase
from recipe.evaluation.normalization import LANGUAGES_WITHOUT_SPACES
from recipe.screening.matching import find_anchors, match_key, min_island
from recipe.screening.word_times import SPAN_MS, Span, TimedWord, WordTimer

MIN_CHAR_MS = 40
"""Voice that a character takes at least: 25 characters a second, as fast as captions may be."""

USUAL_CHAR_MS = 80
"""Voice that a character usually takes."""

FREE_CHARS = 10
"""Characters of a gap that need no time of their own: word times are not exact."""

MAX_SLIP_WORDS = 3
"""Words inside a phrase that a transcript may well have got wrong or left out; they are kept unjudged."""

MIN_EXTRA_WORDS = 3
"""Words more than the text has between two of its words: something is said there that the text leaves out."""

_BRACKETED = regex.compile(r"\[[^\[\]]*\]|\([^()]*\)|【[^【】]*】|\uff08[^\uff08\uff09]*\uff09|\*[^*\n]+\*")
_LABEL = regex.compile(
    r"\s*(?:[-\u2013\u2014>]+\s*)?((?:[^\s:\uff1a]+\s+){0,3}[^\s:\uff1a]+)\s*[:\uff1a](?=\s|$)"
)


@dataclass(frozen=True, slots=True)
class Sound:
    """A recording as it is aligned with.

    Attributes:
        samples: int16 at 16 kHz, shape (num_samples,).
        voice: Where a voice speaks, in order.
        language: Code of the language spoken.
    """

    samples: NDArray[np.int16]
    voice: Sequence[Span]
    language: str

    @property
    def duration_ms(self) -> int:
        """Length in whole milliseconds."""
        return len(self.samples) // SAMPLES_PER_MS

    def voice_ms(self, start_ms: int, end_ms: int) -> int:
        """Time with a voice between two moments."""
        return sum(end - start for start, end in self.voice_between(start_ms, end_ms))

    def voice_between(self, start_ms: int, end_ms: int) -> list[Span]:
        """Where a voice speaks between two moments, in order."""
        first = bisect_right(self.voice, start_ms, key=itemgetter(1))
        last = bisect_left(self.voice, end_ms, key=itemgetter(0))
        return [(max(start, start_ms), min(end, end_ms)) for start, end in self.voice[first:last]]


@dataclass(slots=True)
class TextWord:
    """A word of a text, and when it is spoken.

    Attributes:
        text: As it is written, with its punctuation.
        key: What of it must agree.
        phrase: Number of its phrase.
        start: Where it begins in the phrase's text.
        end: Where the next word begins, or the text ends.
        line: Line of the text, to tell which words stand on a line of their own.
        is_spoken: False if it was left out.
        is_matched: Whether the transcript has it.
        has_own_time: Whether its time was measured; False where it lies between its neighbours'.
        start_ms: When it begins.
        end_ms: When it ends.
        earliest_ms: Where the word spoken before it ends.
        latest_ms: Where the word spoken after it begins.
        probability: How probable the model finds it where it was aligned.
        is_apart: Whether something is said before it that the text leaves out.
    """

    text: str
    key: str
    phrase: int
    start: int
    end: int
    line: int
    is_spoken: bool = True
    is_matched: bool = False
    has_own_time: bool = False
    start_ms: int = 0
    end_ms: int = 0
    earliest_ms: int = 0
    latest_ms: int = 0
    probability: float = 0.0
    is_apart: bool = False

    def take_time(self, timed: TimedWord) -> None:
        """Give the word the time that was measured."""
        self.start_ms, self.end_ms, self.probability = timed.start_ms, timed.end_ms, timed.probability
        self.earliest_ms, self.latest_ms = timed.earliest_ms, timed.latest_ms
        self.has_own_time = True


@dataclass(frozen=True, slots=True)
class _Gap:
    """Words between two anchors.

    Attributes:
        words: Of the text, by their places.
        num_transcribed: Words that the transcript has there.
        start_ms: End of the anchor before.
        end_ms: Start of the anchor after.
        voice_ms: Voice that the words may be in.
    """

    words: range
    num_transcribed: int
    start_ms: int
    end_ms: int
    voice_ms: int


def split_words(phrases: Sequence[Phrase], language: str) -> list[TextWord]:
    """The words of phrases, in order; a mark alone belongs to the word before it, and brackets to none."""
    pattern = r"\S" if language in LANGUAGES_WITHOUT_SPACES else r"\S+"
    words: list[TextWord] = []
    for number, phrase in enumerate(phrases):
        spoken = _BRACKETED.sub(lambda match: " " * len(match[0]), phrase.text)
        matches = [match for match in regex.finditer(pattern, spoken) if match_key(match[0])]
        ends = [*(match.start() for match in matches[1:]), len(phrase.text)]
        line_ends = [match.start() for match in regex.finditer("\n", phrase.text)]
        for match, end in zip(matches, ends, strict=False):
            line = phrase.line + bisect_left(line_ends, match.start())
            words.append(TextWord(match[0], match_key(match[0]), number, match.start(), end, line))
    return words


def place_words(
    phrases: Sequence[Phrase], transcript: Sequence[TimedWord], sound: Sound, timer: WordTimer
) -> list[TextWord]:
    """The words of the phrases with their times; those that are not spoken are marked.

    Args:
        phrases: Of the text, in order.
        transcript: What the base model writes of the recording.
        sound: The recording.
        timer: Aligns what lies between anchors.
    """
    transcript = [word for word in transcript if match_key(word.text)]
    words, anchors = place_anchors(phrases, transcript, sound.language)
    if not anchors:
        for word in words:
            word.is_spoken = False
        return words
    _leave_out_labels(phrases, words)
    gaps = list(_find_gaps(words, anchors, len(transcript), sound))
    to_align = [gap for gap in gaps if gap.words and _settle_gap(words, gap)]
    for group in _group_gaps(words, to_align):
        _align_group(words, group, sound, timer)
    return words


def place_anchors(
    phrases: Sequence[Phrase], transcript: Sequence[TimedWord], language: str
) -> tuple[list[TextWord], list[tuple[int, int]]]:
    """The words of the phrases, those with their times that the transcript has too; and the places of these.

    Args:
        phrases: Of the text, in order.
        transcript: Words, no mark alone among them.
        language: Code of the language spoken.
    """
    words = split_words(phrases, language)
    keys = [word.key for word in words]
    anchors = find_anchors(keys, [match_key(word.text) for word in transcript], min_island(language))
    for place, other in anchors:
        words[place].take_time(transcript[other])
        words[place].is_matched = True
    return words, anchors


def _leave_out_labels(phrases: Sequence[Phrase], words: Sequence[TextWord]) -> None:
    """Mark the names of speakers before a colon as not spoken, where the transcript has them seldom."""
    labels: dict[int, tuple[str, int]] = {}
    for number, phrase in enumerate(phrases):
        match = _LABEL.match(phrase.text) if phrase.begins_line else None
        if match:
            labels[number] = (match[1], match.end())
    of_label = [
        (labels[word.phrase][0], word)
        for word in words
        if word.phrase in labels and word.start < labels[word.phrase][1]
    ]
    num_words = Counter(label for label, _ in of_label)
    num_matched = Counter(label for label, word in of_label if word.is_matched)
    for label, word in of_label:
        if 2 * num_matched[label] < num_words[label]:
            word.is_spoken = word.is_matched = word.has_own_time = False


def _find_gaps(
    words: Sequence[TextWord], anchors: Sequence[tuple[int, int]], num_transcribed: int, sound: Sound
) -> Iterator[_Gap]:
    """What lies before, between and after the anchors; marks words before which the text leaves some out."""
    edges = [(-1, -1), *anchors, (len(words), num_transcribed)]
    for (left, left_other), (right, right_other) in pairwise(edges):
        num_extra = right_other - left_other - 1
        places = [place for place in range(left + 1, right) if words[place].is_spoken]
        start_ms = words[left].end_ms if left >= 0 else 0
        is_last = right == len(words)
        end_ms = sound.duration_ms if is_last else words[right].start_ms
        # A missed word counts as a pause before the next one, and so as a part of that.
        limit_ms = (
            end_ms if is_last else max(end_ms, words[right].end_ms - _usual_ms(words[right : right + 1]))
        )
        if num_extra - len(places) >= MIN_EXTRA_WORDS:
            for place in {left + 1, right} - {len(words), 0}:
                words[place].is_apart = True
        if right - left > 1 or num_extra:
            span = range(left + 1, right) if places else range(0)
            yield _Gap(span, num_extra, start_ms, end_ms, sound.voice_ms(start_ms, limit_ms))


def _usual_ms(words: Sequence[TextWord]) -> int:
    return USUAL_CHAR_MS * sum(len(word.key) for word in words)


def _settle_gap(words: Sequence[TextWord], gap: _Gap) -> bool:
    """Decide on a gap's words: True if they are to be aligned, else they are left out or put in between."""
    if not gap.num_transcribed:
        _leave_out_lines(words, gap)
    left = [words[place] for place in gap.words if words[place].is_spoken]
    num_chars = sum(len(word.key) for word in left)
    has_time = (num_chars - FREE_CHARS) * MIN_CHAR_MS <= gap.voice_ms
    if len(left) > MAX_SLIP_WORDS and not has_time:
        for word in left:
            word.is_spoken = False
        return False
    _interpolate(left, gap.start_ms, gap.end_ms)
    return len(left) > MAX_SLIP_WORDS or any(_begins_phrase(words, place) for place in gap.words)


def _begins_phrase(words: Sequence[TextWord], place: int) -> bool:
    return words[place].is_spoken and (place == 0 or words[place - 1].phrase != words[place].phrase)


def _leave_out_lines(words: Sequence[TextWord], gap: _Gap) -> None:
    """Mark whole lines as not spoken for which there is no voice."""
    for _, places in groupby(gap.words, key=lambda place: words[place].line):
        line = list(places)
        first, last = line[0], line[-1]
        is_whole = (first == 0 or words[first - 1].line != words[first].line) and (
            last + 1 == len(words) or words[last + 1].line != words[last].line
        )
        if is_whole and gap.voice_ms < _usual_ms([words[place] for place in line]):
            for place in line:
                words[place].is_spoken = False


def _interpolate(words: Sequence[TextWord], start_ms: int, end_ms: int) -> None:
    """Give words times between two moments, by their lengths."""
    lengths = np.cumsum([0, *(len(word.key) for word in words)])
    span_ms = max(0, end_ms - start_ms)
    for word, before, after in zip(words, lengths, lengths[1:], strict=False):
        word.start_ms = word.earliest_ms = start_ms + int(span_ms * before / lengths[-1])
        word.end_ms = word.latest_ms = start_ms + int(span_ms * after / lengths[-1])


def _group_gaps(words: Sequence[TextWord], gaps: Sequence[_Gap]) -> Iterator[list[_Gap]]:
    """Gaps that are aligned at once, with all the words between them: those near enough, nothing left out."""
    group: list[_Gap] = []
    for gap in gaps:
        between = range(group[-1].words.stop, gap.words.start) if group else range(0)
        is_near = bool(group) and _sound_of(words, [group[0], gap])[1] - _sound_of(words, group)[0] <= SPAN_MS
        is_whole = all(words[place].is_spoken and not words[place].is_apart for place in between)
        if group and not (is_near and is_whole):
            yield group
            group = []
        group.append(gap)
    if group:
        yield group


def _sound_of(words: Sequence[TextWord], group: Sequence[_Gap]) -> Span:
    """The stretch of the gaps with the anchors beside them; at the ends, no more than the words may need."""
    first, last = group[0], group[-1]
    start_ms = words[first.words.start - 1].start_ms if first.words.start else first.start_ms
    end_ms = words[last.words.stop].end_ms if last.words.stop < len(words) else last.end_ms
    if not first.words.start:
        start_ms = max(start_ms, first.end_ms - _generous_ms(words, first))
    if last.words.stop == len(words):
        end_ms = min(end_ms, last.start_ms + _generous_ms(words, last))
    return start_ms, end_ms


def _generous_ms(words: Sequence[TextWord], gap: _Gap) -> int:
    return 2 * _usual_ms([words[place] for place in gap.words]) + 2_000


def _align_group(words: Sequence[TextWord], group: Sequence[_Gap], sound: Sound, timer: WordTimer) -> None:
    """Give the words of gaps the times at which they are spoken, or mark them as not spoken."""
    first = max(0, group[0].words.start - 1)
    last = min(len(words), group[-1].words.stop + 1)
    places = [place for place in range(first, last) if words[place].is_spoken]
    span = _sound_of(words, group)
    timed: Sequence[TimedWord] = ()
    if span[0] < span[1] <= span[0] + SPAN_MS:
        timed = timer.align(sound.samples, span, [words[place].text for place in places], sound.language)
    times = dict(zip(places, timed, strict=True)) if len(timed) == len(places) else {}
    for gap in group:
        for place in gap.words:
            _settle_word(words[place], times.get(place), gap)


def _settle_word(word: TextWord, timed: TimedWord | None, gap: _Gap) -> None:
    if not word.is_spoken:
        return
    if timed is None:
        word.is_spoken = len(gap.words) <= MAX_SLIP_WORDS
        return
    word.take_time(timed)
    # The anchors beside the gap keep their times.
    word.start_ms = max(word.start_ms, gap.start_ms)
    word.end_ms = max(word.end_ms, word.start_ms)
