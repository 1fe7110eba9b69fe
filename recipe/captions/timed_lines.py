"""Captions whose times stand in lines of their own kind: SubViewer (.sub, .sbv) and lyrics (.lrc)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from recipe.captions.cue_text import format_timestamp
from recipe.captions.cues import Action, Cue, Note, Word, shorten
from recipe.captions.repair import Reading, read_blocks
from recipe.captions.webvtt import ARROW

_TIME = r"([0-9]{1,3}):([0-9]{2}):([0-9]{2})[.,:]([0-9]{1,3})"
SUBVIEWER_TIMINGS = re.compile(rf"[ \t]*{_TIME}[ \t]?,[ \t]?{_TIME}[ \t]*\Z")
_SUBVIEWER_HEADER = re.compile(r"[ \t]*\[(?!br\])[^\[\]]*\]", re.IGNORECASE)

LYRICS_TIME = re.compile(r"\[([0-9]{1,3}):([0-9]{2})(?:[.:,]([0-9]{1,3}))?\]")
LYRICS_TAG = re.compile(
    r"\[(?:ar|ti|al|au|by|re|ve|la|length|offset|id|tool|encoding|#)[ ]?:[^\]]*\]", re.IGNORECASE
)
_WORD_TIME = re.compile(r"<([0-9]{1,3}):([0-9]{2})(?:[.:,]([0-9]{1,3}))?>")
_OFFSET = re.compile(r"\[offset[ ]?:[ ]?([+-]?[0-9]{1,7})[ ]?\]", re.IGNORECASE)
MAX_LINE_MS = 20_000
"""Longest time given to a line of lyrics, of which only the start is known."""


def read_subviewer(text: str) -> Reading:
    """Return the cues of SubViewer's files and of those a video site made of them.

    A cue is a line of two times with a comma between, and the lines below it, as SubRip's are below an arrow.
    """
    lines = [_to_subrip(line) for line in text.split("\n")]
    first = next((index for index, line in enumerate(lines) if ARROW in line), len(lines))
    lines[:first] = ["" if _SUBVIEWER_HEADER.match(line) else line for line in lines[:first]]
    return read_blocks(lines, 0, is_subrip=True)


def _to_subrip(line: str) -> str:
    match = SUBVIEWER_TIMINGS.match(line)
    if match is None:
        return re.sub(r"\[br\]", "<br>", line, flags=re.IGNORECASE)
    hours, minutes, seconds, fraction = match.groups()[:4]
    start_ms = _to_ms(minutes, seconds, fraction, hours)
    hours, minutes, seconds, fraction = match.groups()[4:]
    end_ms = _to_ms(minutes, seconds, fraction, hours)
    times = (format_timestamp(start_ms), ARROW, format_timestamp(end_ms))
    return " ".join(times).replace(".", ",")


def _to_ms(minutes: str, seconds: str, fraction: str | None, hours: str = "0") -> int:
    whole = (int(hours) * 60 + int(minutes)) * 60 + int(seconds)
    return 1000 * whole + int(f"{fraction or '':0<3}"[:3])


def read_lyrics(text: str) -> Reading:
    """Return the cues of a lyrics file: each line's start is written, its end is where the next begins.

    A line that is sung again has several times before it. An empty line clears the screen.
    """
    offset = _OFFSET.search(text)
    offset_ms = int(offset[1]) if offset else 0
    notes: list[Note] = []
    starts = sorted(_find_lyrics(text, offset_ms, notes), key=lambda cue: cue.start_ms)
    cues = [_end_by(cue, later.start_ms) for cue, later in pairwise(starts)]
    cues += (_end_by(cue, cue.start_ms + MAX_LINE_MS) for cue in starts[-1:])
    cues = [cue for cue in cues if cue.text.strip()]
    if cues:
        reason = "the file has no ends: a line ends where the next begins, and after 20 s at most"
        notes.append(Note(0, Action.FLAGGED, reason))
    if offset_ms:
        notes.append(Note(0, Action.REPAIRED, f"times were shifted by the file's offset of {offset_ms} ms"))
    return Reading(cues, notes, len(cues) + sum(note.action is Action.DROPPED for note in notes))


def _find_lyrics(text: str, offset_ms: int, notes: list[Note]) -> Iterator[Cue]:
    """Yield a cue for each time of each line, which ends by its last word's time or when it must."""
    for number, line in enumerate(text.split("\n"), start=1):
        times, end = [], 0
        while match := LYRICS_TIME.match(line, end):
            times.append(max(0, _to_ms(*match.groups()) - offset_ms))
            end = match.end() + len(line[match.end() :]) - len(line[match.end() :].lstrip(" \t"))
        if not times:
            if line.strip() and not LYRICS_TAG.match(line.strip()):
                notes.append(Note(number, Action.DROPPED, "it has no time", shorten(line)))
            continue
        for start_ms in times:
            words = _read_words(line[end:], start_ms, offset_ms) if len(times) == 1 else ()
            sung = "".join(word.text for word in words) if words else _WORD_TIME.sub("", line[end:])
            last_ms = words[-1].start_ms if words and not words[-1].text.strip() else start_ms + MAX_LINE_MS
            yield Cue("", start_ms, last_ms, line[end:], sung, words=words, line=number)


def _read_words(line: str, start_ms: int, offset_ms: int) -> tuple[Word, ...]:
    first, *rest = re.split(f"({_WORD_TIME.pattern})", line)
    if not rest:
        return ()
    words = [Word(start_ms, first)] if first.strip() else []
    for at in range(0, len(rest), 5):
        _, minutes, seconds, fraction, sung = rest[at : at + 5]
        words.append(Word(max(0, _to_ms(minutes, seconds, fraction) - offset_ms), sung))
    return tuple(word for word in words[:-1] if word.text) + tuple(words[-1:])


def _end_by(cue: Cue, end_ms: int) -> Cue:
    return replace(cue, end_ms=min(end_ms, cue.end_ms))
