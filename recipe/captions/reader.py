"""Caption files as training sees them: the public door of the caption reader.

    file ─► lines ─► cues ─► one clock ─► one language ─► each word once ─► reading form ─► apart, in time
       file      repair     joined, timing   bilingual     highlighting       cleaning          timing
             webvtt, cue_text, payloads      positions       rolling    speakers, annotations,  scripts
                                                                       credits, rows, capitals

`webvtt` and `cue_text` follow the W3C to the letter and repair nothing. Every repair is a stage of its
own, and leaves a note. A cue that was found is kept, merged or dropped, so the counts of a file add up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from recipe.captions.bilingual import keep_language
from recipe.captions.cleaning import NO_SPEECH, clean_cues
from recipe.captions.credits import CREDIT
from recipe.captions.cues import Action, Cue, Note, Word
from recipe.captions.encodings import decode_captions
from recipe.captions.file import CaptionFile, name_file, open_captions, read_declared_language
from recipe.captions.formats import read_format
from recipe.captions.highlighting import undo_highlighting
from recipe.captions.joined import Part, check_clock, find_parts, join_parts
from recipe.captions.lost_speech import drop_lost_speech
from recipe.captions.mojibake import mend_mojibake
from recipe.captions.payloads import check_payloads
from recipe.captions.positions import SIGN, drop_signs
from recipe.captions.repair import UNKNOWN_TAG, Reading, parse_subrip, read_blocks
from recipe.captions.rolling import undo_rolling
from recipe.captions.scripts import check_script
from recipe.captions.timing import settle_times, sort_cues, undo_lateness
from recipe.captions.webvtt import format_webvtt, parse_webvtt

__all__ = [
    "Action",
    "Captions",
    "Cue",
    "Note",
    "Word",
    "decode_captions",
    "explain_emptiness",
    "format_webvtt",
    "is_uncertain",
    "parse_subrip",
    "parse_webvtt",
    "read_captions",
    "read_language",
    "takes_speech",
]


@dataclass(frozen=True, slots=True)
class Captions:
    """The cues of one file, and what was done to get there.

    `num_cues_in` = `len(cues)` + `num_merged` + `num_dropped`, always.

    Attributes:
        cues: In order, apart, each with text and with an end after its start.
        notes: Each change, loss and flag, in order of the file's lines.
        language: As the file says (`Language: en`), if it does.
        source_format: What the file is written in: "webvtt", "subrip" or a name in `formats.FORMATS`; empty
            where there is no file.
        num_cues_in: Cues that the file holds.
        breaks_ms: What no window may span, as (start, end): speech that no cue has, a change of voice.
        encoding: Of the file, by Python's name.
    """

    cues: tuple[Cue, ...]
    notes: tuple[Note, ...]
    language: str | None
    source_format: str
    num_cues_in: int
    breaks_ms: tuple[tuple[int, int], ...] = ()
    encoding: str = "utf-8"

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
        """Where cues that may hold speech were dropped, and `breaks_ms`, as (start, end): not silence."""
        return self.breaks_ms + tuple(
            (note.start_ms, note.end_ms)
            for note in self.notes
            if note.action is Action.DROPPED and note.reason != NO_SPEECH
            if note.start_ms is not None and note.end_ms is not None
        )


def takes_speech(note: Note) -> bool:
    """Tell whether a cue was dropped that may have been spoken."""
    return note.action is Action.DROPPED and note.reason not in {NO_SPEECH, SIGN, CREDIT}


def is_uncertain(note: Note) -> bool:
    """Tell whether a cue was kept whose words are uncertain; a tag that nobody knows says nothing of them."""
    return note.action is Action.FLAGGED and note.start_ms is not None and note.reason != UNKNOWN_TAG


def explain_emptiness(captions: Captions) -> str:
    """Return why captions have no cue: what was said of the whole file, and why most cues were dropped."""
    flags = [note.reason for note in captions.notes if note.line == 0 and note.action is Action.FLAGGED]
    lost = Counter(note.reason for note in captions.notes if note.action is Action.DROPPED)
    reasons = [*flags[:1], *(f"most cues were dropped: {reason}" for reason, _ in lost.most_common(1))]
    return ": ".join(["the caption file holds no usable cue", *reasons])


def read_language(path: Path) -> str | None:
    """Return what the file says of its language (`Language: fr`); None if it says nothing."""
    return read_declared_language(path)


def read_captions(
    path: Path,
    *,
    language: str | None = None,
    duration_ms: int | None = None,
    suppressed_symbols: frozenset[str] = frozenset(),
) -> Captions:
    """Return the captions of a file in any format; none when it is valid but has no cues.

    Args:
        path: The file.
        language: Code of the language that the captions are wanted in; None if nobody said it.
        duration_ms: Length of the recording's audio, to judge cues near its end.
        suppressed_symbols: Texts that the model can never produce.

    Raises:
        CaptionError: if the file is empty, cannot be read, or is not captions at all; if its clock restarts,
            if everything is said in two languages, or if its letters are not those of the wanted one.
    """
    with name_file(path):
        file, parts = _find_parts(open_captions(path, language))
        cues, notes, num_found = _read_cues(file)
    notes = [*notes, *file.notes]
    check_payloads(path.name, cues)
    stages: list[Callable[[list[Cue]], tuple[list[Cue], list[Note]]]] = [
        drop_lost_speech,
        partial(join_parts, parts=parts, duration_ms=duration_ms),
        sort_cues,
        partial(undo_lateness, duration_ms=duration_ms),
        mend_mojibake,
        partial(keep_language, name=path.name, language=language),
        drop_signs,
        *[partial(check_clock, name=path.name, parts=parts)] * file.has_blocks,
        undo_highlighting,
        undo_rolling,
        partial(clean_cues, suppressed_symbols=suppressed_symbols),
        partial(settle_times, duration_ms=duration_ms),
    ]
    for stage in stages:
        cues, stage_notes = stage(cues)
        notes += stage_notes
    notes += check_script(cues, path.name, language)
    notes.sort(key=lambda note: note.line)
    return Captions(
        tuple(cues), tuple(notes), file.language, file.source_format, num_found, encoding=file.encoding
    )


def _find_parts(file: CaptionFile) -> tuple[CaptionFile, list[Part]]:
    """Return the file without the headers inside it, and the parts that they begin."""
    if not file.has_blocks:
        return file, [Part(1)]
    lines, parts = find_parts(file.lines)
    return file._replace(lines=lines), parts


def _read_cues(file: CaptionFile) -> Reading:
    if file.has_blocks:
        return read_blocks(file.lines, file.first_line, is_subrip=file.source_format == "subrip")
    return read_format(file.source_format, "\n".join(file.lines))
