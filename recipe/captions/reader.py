"""Caption files as training sees them: the public door of the caption reader.

    file ─► lines ─► cues ─► in order ─► each word once ─► reading form ─► apart, in time
       file       repair     timing         rolling          cleaning         timing
                 webvtt, cue_text                       annotations, capitals

`webvtt` and `cue_text` follow the W3C to the letter and repair nothing. Every repair is a stage of its
own, and leaves a note. A cue that was found is kept, merged or dropped, so the counts of a file add up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from recipe.captions.cleaning import NO_SPEECH, clean_cues
from recipe.captions.cues import Action, Cue, Note, Word
from recipe.captions.file import decode_captions, open_captions
from recipe.captions.lost_speech import drop_lost_speech
from recipe.captions.repair import parse_subrip, read_blocks
from recipe.captions.rolling import undo_rolling
from recipe.captions.timing import settle_times, sort_cues
from recipe.captions.webvtt import format_webvtt, parse_webvtt
from recipe.errors import CaptionError

__all__ = [
    "Action",
    "Captions",
    "Cue",
    "Note",
    "Word",
    "decode_captions",
    "format_webvtt",
    "parse_subrip",
    "parse_webvtt",
    "read_captions",
    "read_language",
]


@dataclass(frozen=True, slots=True)
class Captions:
    """The cues of one file, and what was done to get there.

    `num_cues_in` = `len(cues)` + `num_merged` + `num_dropped`, always.

    Attributes:
        cues: In order, apart, each with text and with an end after its start.
        notes: Each change, loss and flag, in order of the file's lines.
        language: As the file's header says (`Language: en`), if it does.
        source_format: What the file is written in; empty where there is no file.
        num_cues_in: Cues that the file holds.
    """

    cues: tuple[Cue, ...]
    notes: tuple[Note, ...]
    language: str | None
    source_format: Literal["webvtt", "subrip", ""]
    num_cues_in: int

    @property
    def num_merged(self) -> int:
        """Cues whose words are in another cue."""
        return sum(note.action is Action.MERGED for note in self.notes)

    @property
    def num_dropped(self) -> int:
        """Cues that were lost, each with a note."""
        return sum(note.action is Action.DROPPED for note in self.notes)

    @property
    def lost_speech_ms(self) -> tuple[tuple[int, int], ...]:
        """Where cues that may hold speech were dropped, as (start, end): audio that is not silence."""
        return tuple(
            (note.start_ms, note.end_ms)
            for note in self.notes
            if note.action is Action.DROPPED and note.reason != NO_SPEECH
            if note.start_ms is not None and note.end_ms is not None
        )


def read_language(path: Path) -> str | None:
    """Return what the file's header says of its language (`Language: fr`); None if it says nothing."""
    try:
        return open_captions(path).language
    except CaptionError:
        return None


def read_captions(
    path: Path,
    *,
    language: str | None = None,
    duration_ms: int | None = None,
    suppressed_symbols: frozenset[str] = frozenset(),
) -> Captions:
    """Return the captions of a WebVTT or SubRip file; none when it is valid but has no cues.

    Args:
        path: The file.
        language: Code of the language that the captions are wanted in; None if nobody said it.
        duration_ms: Length of the recording's audio, to judge cues near its end.
        suppressed_symbols: Texts that the model can never produce.

    Raises:
        CaptionError: if the file is empty, cannot be read, or is not captions at all.
    """
    file = open_captions(path)
    cues, notes, num_found = read_blocks(
        file.lines, file.first_line, is_subrip=file.source_format == "subrip"
    )
    notes += file.notes
    stages: list[Callable[[list[Cue]], tuple[list[Cue], list[Note]]]] = [
        drop_lost_speech,
        sort_cues,
        undo_rolling,
        partial(clean_cues, suppressed_symbols=suppressed_symbols),
        partial(settle_times, duration_ms=duration_ms),
    ]
    for stage in stages:
        cues, stage_notes = stage(cues)
        notes += stage_notes
    notes.sort(key=lambda note: note.line)
    return Captions(tuple(cues), tuple(notes), file.language, file.source_format, num_found)
