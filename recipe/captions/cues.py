"""What every stage of the caption reader passes on: cues, and notes of what happened to them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Word:
    """A run of cue text that begins at an inline timestamp (`<00:00:01.000>`), or at the cue's start.

    Attributes:
        start_ms: When the run begins, in milliseconds from the start of the recording.
        text: The run as it reads. In a cue as parsed, the runs joined are the cue's text.
    """

    start_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class Cue:
    r"""One timed text of a caption file.

    Attributes:
        identifier: The line above the timing line, often empty or a number.
        start_ms: Start, in milliseconds from the start of the recording.
        end_ms: End (exclusive), in milliseconds.
        payload: The text as the file has it, markup included, lines joined by `\n`.
        text: The text as it reads: references decoded, markup gone.
        speaker: Name from `<v Name>` or a speaker mark; empty when unknown.
        words: Timed runs, when the payload has inline timestamps; else empty.
        line: Line of the timing line in the file, from 1; where it stood is no part of what a cue is.
        settings: WebVTT's cue settings (`line:0 align:start`): where it is shown; no part of it either.
    """

    identifier: str
    start_ms: int
    end_ms: int
    payload: str
    text: str
    speaker: str = ""
    words: tuple[Word, ...] = ()
    line: int = field(default=0, compare=False)
    settings: str = field(default="", compare=False)


class Action(StrEnum):
    """What became of a cue. A cue that was found is kept, dropped or merged, and nothing else."""

    REPAIRED = "repaired"  # kept, but not as the file had it
    FLAGGED = "flagged"  # kept as it was, but worth a look
    MERGED = "merged"  # its words are in another cue
    DROPPED = "dropped"  # its words, if any, are lost


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that the reader changed, lost or is not sure of.

    Attributes:
        line: Line in the file, from 1; 0 when the note is about the whole file.
        action: What was done.
        reason: Why, in one short sentence.
        excerpt: The text concerned, shortened.
        start_ms: Start of the cue concerned, in milliseconds, where known.
        end_ms: End of the cue concerned, in milliseconds, where known.
    """

    line: int
    action: Action
    reason: str
    excerpt: str = ""
    start_ms: int | None = None
    end_ms: int | None = None


def note_on(cue: Cue, action: Action, reason: str) -> Note:
    """Return a note about a cue."""
    return Note(cue.line, action, reason, shorten(cue.text), cue.start_ms, cue.end_ms)


def shift_cue(cue: Cue, by_ms: int) -> Cue:
    """Return the cue later by `by_ms` milliseconds, its words too."""
    words = tuple(replace(word, start_ms=word.start_ms + by_ms) for word in cue.words)
    return replace(cue, start_ms=cue.start_ms + by_ms, end_ms=cue.end_ms + by_ms, words=words)


def shorten(text: str, max_chars: int = 60) -> str:
    """Return the text on one line, cut to `max_chars` characters."""
    line = " ".join(text[: 2 * max_chars].split())
    return line if len(line) <= max_chars else line[: max_chars - 1] + "…"
