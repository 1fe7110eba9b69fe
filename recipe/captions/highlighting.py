"""Word-by-word highlighting undone: each line once, with the times of its words.

Aligners write a line again for each of its words and mark the word that is being said (`<u>word</u>`, a
colour, an override of SubStation Alpha), with or without cues of the bare line in between. The mark moves on
through the line; where it goes back, the line is said again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from recipe.captions.cues import Action, Cue, Note, Word, note_on
from recipe.captions.repair import read_loosely

MAX_PAUSE_MS = 30_000
"""Longest pause between two words of a line."""

TOUCHING_MS = 50
"""A bare line fills the time between two words, so it touches the cue before it."""

MAX_CHARS_PER_SECOND = 25
"""Nobody speaks faster for long, so repeats that have less time are not said."""

REPEATED_FOR_A_WORD = "it repeats its line to highlight a word"
REPEATED_WITHOUT_TIME = "it repeats its line, which has no time to be said again"

MIN_LINE_WORDS = 3
"""Words of a line that nobody says again at once."""

_MARKUP = re.compile(r"<(?P<close>/?)(?P<tag>[A-Za-z][^<>]*)>|\{(?P<override>\\[^{}]*)\}")
_PLACEMENT = re.compile(r"\\(?:an?[0-9]+|q[0-9]|(?:pos|move|org|i?clip|fade?)\([^()]*\))")
_RESET = re.compile(r"\\(?:[0-9]?[a-z]+0?)(?=\\|$)")  # a tag without a value, as `\r` and `\b0`


@dataclass(frozen=True, slots=True)
class _Shown:
    """A cue with the stretch of its text that is marked, as indices of characters that are no space."""

    cue: Cue
    start: int = 0
    end: int = 0

    @property
    def is_marked(self) -> bool:
        return self.start < self.end


def undo_highlighting(cues: Sequence[Cue]) -> tuple[list[Cue], list[Note]]:
    """Return the cues with each highlighted line once, and a note for each cue that was merged into it.

    Args:
        cues: In order of time.
    """
    lines = [line for group in _group_by_text(cues) for line in _split_into_lines(group)]
    is_highlighted = any(map(_has_moving_mark, lines))
    kept: list[Cue] = []
    notes: list[Note] = []
    for line in lines:
        is_for_a_word = _has_moving_mark(line) or (is_highlighted and _has_mark(line))
        if is_for_a_word or _has_no_time(line):
            kept.append(_join(line))
            reason = REPEATED_FOR_A_WORD if is_for_a_word else REPEATED_WITHOUT_TIME
            notes += (note_on(shown.cue, Action.MERGED, reason) for shown in line[1:])
        else:
            kept += (shown.cue for shown in line)
    return kept, notes


def _group_by_text(cues: Sequence[Cue]) -> Iterator[list[Cue]]:
    """Yield the cues in groups of the same text; a cue with inline times has no need of other marks."""
    for is_timed, timed in groupby(cues, key=lambda cue: bool(cue.words)):
        if is_timed:
            yield from ([cue] for cue in timed)
        else:
            yield from (list(group) for _, group in groupby(timed, key=lambda cue: _squeeze(cue.text)))


def _split_into_lines(group: Sequence[Cue]) -> list[list[_Shown]]:
    """Return the group's cues by the time that the line is said: a mark goes on, and a pause is short."""
    if len(group) == 1:
        return [[_Shown(group[0])]]
    lines: list[list[_Shown]] = []
    last_marked: _Shown | None = None
    for shown in _find_marks(group):
        goes_on = last_marked and (shown.start, shown.end) >= (last_marked.start, last_marked.end)
        max_gap_ms = MAX_PAUSE_MS if shown.is_marked and goes_on else TOUCHING_MS
        goes_back = shown.is_marked and last_marked and not goes_on
        if not lines or goes_back or shown.cue.start_ms - lines[-1][-1].cue.end_ms > max_gap_ms:
            lines.append([])
            last_marked = None
        lines[-1].append(shown)
        last_marked = shown if shown.is_marked else last_marked
    return lines


def _find_marks(group: Sequence[Cue]) -> list[_Shown]:
    """Return what is marked in each cue: what looks unlike the line's end when its first word is said."""
    styles = [_read_styles(cue) for cue in group]
    plain = styles[0][-1] if styles[0] else ""
    found = []
    for cue, cue_styles in zip(group, styles, strict=True):
        marked = [index for index, style in enumerate(cue_styles) if style != plain]
        found.append(_Shown(cue, marked[0], marked[-1] + 1) if marked else _Shown(cue))
    return found


def _read_styles(cue: Cue) -> list[str]:
    """Return how each character of the text is marked, spaces left out; nothing where that is unclear."""
    styles: list[str] = []
    open_tags: list[str] = []
    override = ""
    position = 0
    for match in [*_MARKUP.finditer(cue.payload), None]:
        piece = cue.payload[position : match.start() if match else len(cue.payload)]
        style = f"{open_tags}{override}"
        styles += [style] * len(_squeeze(read_loosely(piece).text))
        if match is None:
            break
        position = match.end()
        if match["override"]:
            override = _RESET.sub("", _PLACEMENT.sub("", match["override"]))
        elif not match["close"]:
            open_tags.append(match["tag"])
        elif open_tags:
            open_tags.pop()
    return styles if len(styles) == len(_squeeze(cue.text)) else []


def _has_mark(line: Sequence[_Shown]) -> bool:
    return any(shown.is_marked for shown in line)


def _has_moving_mark(line: Sequence[_Shown]) -> bool:
    return len({(shown.start, shown.end) for shown in line if shown.is_marked}) > 1


def _has_no_time(line: Sequence[_Shown]) -> bool:
    """Tell whether the line is shown again more often than it can be said in that time.

    A word or two may well be said again: "no, no". Where they have no time either, who aligned them failed.
    """
    if len(line[0].cue.text.split()) < MIN_LINE_WORDS:
        return False
    length_ms = line[-1].cue.end_ms - line[0].cue.start_ms
    num_chars = len(line) * len(line[0].cue.text)
    return len(line) > 1 and num_chars > MAX_CHARS_PER_SECOND * max(0, length_ms) / 1000


def _join(line: Sequence[_Shown]) -> Cue:
    """Return the line as one cue, from the start of its first word to the end of its last."""
    first, last = line[0].cue, line[-1].cue
    marked = [shown for shown in line if shown.is_marked]
    if not marked:
        return replace(first, end_ms=max(shown.cue.end_ms for shown in line))
    text = first.text
    places = [index for index, character in enumerate(text) if not character.isspace()]
    starts = _word_starts(marked)
    start_ms = marked[0].cue.start_ms if starts[0][0] == 0 else first.start_ms
    end_ms = marked[-1].cue.end_ms if marked[-1].end == len(places) else last.end_ms
    bounds = [0, *(places[index] for index, _ in starts[1:]), len(text)]
    times = [start_ms, *(time_ms for _, time_ms in starts[1:])]
    words = [Word(time_ms, text[a:b]) for time_ms, (a, b) in zip(times, pairwise(bounds), strict=True)]
    return replace(first, start_ms=start_ms, end_ms=end_ms, words=tuple(words))


def _word_starts(marked: Sequence[_Shown]) -> list[tuple[int, int]]:
    """Return the index of each word's first character and when it is said; a mark may also grow."""
    starts: list[tuple[int, int]] = []
    said_until = 0
    for shown in marked:
        start = said_until if starts and shown.start <= starts[0][0] else shown.start
        if not starts or start > starts[-1][0]:
            starts.append((start, shown.cue.start_ms))
        said_until = shown.end
    return starts


def _squeeze(text: str) -> str:
    return "".join(text.split())
