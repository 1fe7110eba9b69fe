"""Packs consecutive cues into windows of at most 30 seconds, the model's input.

A window starts where a decoder that goes through the recording goes on: at the end of the last whole cue
before it. It takes whole cues as long as they fit in 30 s and in the decoder's 448 tokens. A cue that crosses
the end gives its start only (the model learns that speech goes on) and is the first of the next window. A cue
that cannot be learnt from is dropped with a reason, and a window never spans it: its audio would otherwise
stand there without words. A faulty window, whose words can only be wrong, is not used at all. What no cue
claims may become windows without words, if nothing is said there.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from recipe.captions.reader import Cue, Word

WINDOW_MS = 30_000
"""Length of the model's input: 3000 mel frames of 10 ms."""

TIMESTAMP_MS = 20
"""Resolution of Whisper's timestamp tokens."""

MAX_LABEL_TOKENS = 448
"""Positions of Whisper's decoder (`max_target_positions`)."""

MAX_PROMPT_TOKENS = 223
"""Longest text before a window, as openai/whisper uses it: half the decoder less one."""

MAX_PROMPT_CHARS = 1_000
"""Text kept before a window, in whole segments; more than 223 tokens of most languages."""

NUM_SPECIAL_TOKENS = 6
"""Start, language, task, `<|notimestamps|>` or a crossing cue's start, the end, and one to spare."""

MAX_GAP_MS = 5_000
"""A longer silence between cues ends the window: what is said there, if anything, has no caption."""

TAIL_MS = 500
"""Audio kept after the last cue of a window; captions tend to end a little before the voice does."""

MAX_CHARS_PER_SECOND = 25.0
"""Fastest reading speed that is taken for speech, with `FREE_CHARS` on top for short cues."""

FREE_CHARS = 10

MIN_CHARS_PER_SECOND = 1.0
"""Slower text, beyond `FREE_CHARS`, cannot be all that is said in its time."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Timed text inside a window.

    Attributes:
        start_ms: Start, in milliseconds from the start of the window.
        end_ms: End, likewise; None for a cue that goes on after the window (its text is not in it).
        text: What is said, in reading form.
    """

    start_ms: int
    end_ms: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Window:
    """At most 30 s of a recording with what is said in them.

    Attributes:
        start_ms: Start in the recording, in milliseconds.
        end_ms: End in the recording, exclusive; at most `WINDOW_MS` after the start.
        segments: Texts in order; only the last may have no end. Empty for silence.
        prompt: What was said before the window in the same recording, each segment with its times in its own
            window, as a decoder has written it; empty after a gap, a dropped cue or a faulty window.
        num_tokens: Tokens of the label with timestamps, at most `MAX_LABEL_TOKENS`.
    """

    start_ms: int
    end_ms: int
    segments: tuple[Segment, ...]
    prompt: tuple[Segment, ...] = ()
    num_tokens: int = NUM_SPECIAL_TOKENS

    @property
    def text(self) -> str:
        """The words of all segments that end inside the window."""
        return text_of(self.segments)


def segments_of(example: Mapping[str, Any], column: str = "segments") -> tuple[Segment, ...]:
    """The segments of an example of the Arrow dataset, or those of its prompt."""
    return tuple(Segment(**segment) for segment in example[column])


def text_of(segments: Iterable[Segment]) -> str:
    """The words of the segments that end inside their window."""
    return " ".join(segment.text for segment in segments if segment.end_ms is not None)


def text_of_row(segments: Iterable[Mapping[str, Any]]) -> str:
    """As `text_of`, of segments as Arrow has them: over a whole dataset, objects would take longest."""
    return " ".join(segment["text"] for segment in segments if segment["end_ms"] is not None)


def end_of_words(segments: Sequence[Segment], end_ms: int) -> int:
    """Where the audio must end, at the latest at `end_ms`, so that it holds no speech without its words.

    Without timestamps nothing can say that speech goes on, so a cue that crosses the end is cut off.
    """
    crossing = [segment.start_ms for segment in segments if segment.end_ms is None]
    return crossing[0] if crossing else end_ms


@dataclass(frozen=True, slots=True)
class DroppedCue:
    """A cue that is in no window, and why."""

    cue: Cue
    reason: str


@dataclass(frozen=True, slots=True)
class FaultyWindow:
    """A window whose words can only be wrong, and why."""

    window: Window
    reason: str


@dataclass
class Packing:
    """What became of the cues of a recording.

    Every cue is in exactly one of the windows, in a faulty one, or in `dropped`.
    """

    windows: list[Window] = field(default_factory=list)
    faulty: list[FaultyWindow] = field(default_factory=list)
    dropped: list[DroppedCue] = field(default_factory=list)


def pack_windows(
    cues: Sequence[Cue],
    duration_ms: int,
    count_tokens: Callable[[str], int],
    find_fault: Callable[[Window], str] = lambda _: "",
    lost_speech_ms: Sequence[tuple[int, int]] = (),
) -> Packing:
    """Pack the cues of one recording greedily into windows.

    Args:
        cues: In order and without overlap, as `read_captions` leaves them.
        duration_ms: Length of the recording's audio.
        count_tokens: Number of the model's tokens in a text.
        find_fault: Why a window must not be used, or "".
        lost_speech_ms: Where something may be said whose words were lost before, as (start, end); no window
            spans it, unless a cue that was kept does.
    """
    packing = Packing()
    ends_ms = sorted(start_ms for start_ms, _ in lost_speech_ms)
    for stretch in _usable_stretches(cues, [*ends_ms, duration_ms], count_tokens, packing.dropped):
        prompt, remaining, start_ms = tuple[Segment, ...](), stretch.cues, stretch.start_ms
        while remaining:
            window, num_taken = _take_window(remaining, start_ms, stretch.boundary_ms, count_tokens, prompt)
            start_ms = remaining[num_taken - 1].end_ms
            remaining = remaining[num_taken:]
            fault = find_fault(window)
            if fault:
                packing.faulty.append(FaultyWindow(window, fault))
                prompt = ()
            else:
                packing.windows.append(window)
                prompt = _last_segments([*prompt, *window.segments])
    return packing


def _last_segments(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Those that a prompt may hold: whole ones from the end, `MAX_PROMPT_CHARS` together."""
    whole = [segment for segment in segments if segment.end_ms is not None]
    num_chars = 0
    for first in range(len(whole) - 1, -1, -1):
        num_chars += len(whole[first].text)
        if num_chars > MAX_PROMPT_CHARS:
            return tuple(whole[first + 1 :])
    return tuple(whole)


def silent_windows(duration_ms: int) -> list[Window]:
    """Windows without words that cover `duration_ms` of audio; the last may be shorter than 30 s."""
    return [Window(start_ms, end_ms, ()) for start_ms, end_ms in _cut(0, duration_ms)]


def gap_windows(packing: Packing, lost_ms: Iterable[tuple[int, int]], duration_ms: int) -> list[Window]:
    """Windows without words over what no cue claims: to be trained as silence if nothing is said there.

    Args:
        packing: Of the recording's cues.
        lost_ms: Where else the captions held words that were lost, as (start, end).
        duration_ms: Length of the recording's audio.
    """
    claimed = [(window.start_ms, window.end_ms) for window in packing.windows]
    claimed += [(faulty.window.start_ms, faulty.window.end_ms) for faulty in packing.faulty]
    claimed += [(dropped.cue.start_ms, dropped.cue.end_ms) for dropped in packing.dropped]
    windows, free_from_ms = [], 0
    for start_ms, end_ms in [*sorted([*claimed, *lost_ms]), (duration_ms, duration_ms)]:
        pieces = _cut(free_from_ms, min(start_ms, duration_ms))
        windows += [Window(start, end, ()) for start, end in pieces if end - start >= MAX_GAP_MS]
        free_from_ms = max(free_from_ms, end_ms)
    return windows


def _cut(start_ms: int, end_ms: int) -> list[tuple[int, int]]:
    """The stretch in pieces of 30 s; the last may be shorter."""
    return [(piece_ms, min(piece_ms + WINDOW_MS, end_ms)) for piece_ms in range(start_ms, end_ms, WINDOW_MS)]


def split_long_cues(cues: Iterable[Cue]) -> list[Cue]:
    """The same cues, those over 30 s cut into shorter ones where inline times say when each word starts."""
    return [part for cue in cues for part in _split_cue(cue)]


def _split_cue(cue: Cue) -> Iterator[Cue]:
    if cue.end_ms - cue.start_ms <= WINDOW_MS or not cue.words:
        yield cue
        return
    ends_ms = [*(word.start_ms for word in cue.words[1:]), cue.end_ms]
    part: list[Word] = []
    part_end_ms = cue.start_ms
    for word, end_ms in zip(cue.words, ends_ms, strict=True):
        if part and end_ms - part[0].start_ms > WINDOW_MS:
            yield _cue_of_words(cue, part, part_end_ms)
            part = []
        part.append(word)
        part_end_ms = end_ms
    yield _cue_of_words(cue, part, part_end_ms)


def _cue_of_words(cue: Cue, words: Sequence[Word], end_ms: int) -> Cue:
    text = " ".join(" ".join(word.text for word in words).split())
    return replace(cue, start_ms=words[0].start_ms, end_ms=end_ms, text=text, words=tuple(words))


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Cues with neither a dropped cue nor a long gap between them; a chain of prompts spans one stretch."""

    cues: Sequence[Cue]
    start_ms: int  # where the audio of the first window starts
    boundary_ms: int  # where the audio of the last window must end at the latest


def _usable_stretches(
    cues: Sequence[Cue], ends_ms: Sequence[int], count_tokens: Callable[[str], int], dropped: list[DroppedCue]
) -> Iterator[_Stretch]:
    """Stretches between the times in `ends_ms`, in order, of which the last is the end of the audio."""
    taken: list[Cue] = []
    start_ms, boundary_ms = 0, ends_ms[-1]
    for cue in cues:
        reason = _unusable_reason(cue, ends_ms[-1], count_tokens)
        if taken and (reason or boundary_ms <= cue.start_ms or cue.start_ms - taken[-1].end_ms > MAX_GAP_MS):
            yield _Stretch(taken, start_ms, min(cue.start_ms, boundary_ms))
            taken = []
        if reason:
            dropped.append(DroppedCue(cue, reason))
        else:
            if not taken:
                is_near = cue is cues[0] and cue.start_ms <= min(MAX_GAP_MS, ends_ms[0])
                start_ms = 0 if is_near else cue.start_ms  # before another something may be said
            taken.append(cue)
            boundary_ms = ends_ms[min(bisect_left(ends_ms, cue.end_ms), len(ends_ms) - 1)]
    if taken:
        yield _Stretch(taken, start_ms, boundary_ms)


def _unusable_reason(  # noqa: PLR0911 - a list of rules, in order
    cue: Cue, duration_ms: int, count_tokens: Callable[[str], int]
) -> str | None:
    """Why a cue cannot be learnt from, as counted in the dataset report; None if it can."""
    length_ms = cue.end_ms - cue.start_ms
    if cue.end_ms > duration_ms:
        return "ends after the audio"
    if length_ms <= 0:
        return "has no length"
    if length_ms > WINDOW_MS:
        return "longer than 30 s, without word times to split it at"
    if len(cue.text) > MAX_CHARS_PER_SECOND * length_ms / 1000 + FREE_CHARS:
        return "more text than can be said in its time"
    if len(cue.text) + FREE_CHARS < MIN_CHARS_PER_SECOND * length_ms / 1000:
        return "less text than is said in its time"
    if _num_tokens(cue, count_tokens) > MAX_LABEL_TOKENS - NUM_SPECIAL_TOKENS:
        return "more tokens than the decoder holds"
    return None


def _take_window(
    cues: Sequence[Cue],
    start_ms: int,
    boundary_ms: int,
    count_tokens: Callable[[str], int],
    prompt: tuple[Segment, ...],
) -> tuple[Window, int]:
    """The next window of a stretch, and how many cues are in it whole (at least one)."""
    start_ms = max(start_ms, cues[0].end_ms - WINDOW_MS)
    limit_ms = start_ms + WINDOW_MS
    num_tokens, num_taken = NUM_SPECIAL_TOKENS, 0
    for cue in cues:
        num_cue_tokens = _num_tokens(cue, count_tokens)
        if cue.end_ms > limit_ms or num_tokens + num_cue_tokens > MAX_LABEL_TOKENS:
            break
        num_tokens += num_cue_tokens
        num_taken += 1
    taken, following = cues[:num_taken], cues[num_taken : num_taken + 1]
    segments = [Segment(cue.start_ms - start_ms, cue.end_ms - start_ms, cue.text) for cue in taken]
    end_ms = min(taken[-1].end_ms + TAIL_MS, limit_ms, boundary_ms)
    if following:
        next_start_ms = following[0].start_ms
        if next_start_ms < limit_ms < following[0].end_ms:
            segments.append(Segment(next_start_ms - start_ms, None, ""))
            end_ms = limit_ms
        else:
            end_ms = min(limit_ms, next_start_ms)
    return Window(start_ms, end_ms, tuple(segments), prompt, num_tokens), num_taken


def _num_tokens(cue: Cue, count_tokens: Callable[[str], int]) -> int:
    """Label tokens of a cue: its text between two timestamps."""
    return count_tokens(f" {cue.text}") + 2
