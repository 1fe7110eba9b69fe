"""Sentences that a table gives one by one: the reader's stages for text and times, not those for files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from recipe.captions.cleaning import clean_cues
from recipe.captions.cues import Cue, Note
from recipe.captions.mojibake import mend_mojibake
from recipe.captions.reader import Captions
from recipe.captions.scripts import drop_foreign
from recipe.captions.timing import settle_times, sort_cues


def read_sentences(
    cues: Sequence[Cue],
    *,
    language: str | None = None,
    duration_ms: int,
    suppressed_symbols: frozenset[str] = frozenset(),
) -> Captions:
    """Return the captions that rows of a table are, in reading form.

    Args:
        cues: One for each row, with its number as line and the text as it stands.
        language: Code of the language that they should be in; None if nobody said it.
        duration_ms: Length of the recording's audio.
        suppressed_symbols: Texts that the model can never produce.
    """
    stages: list[Callable[[list[Cue]], tuple[list[Cue], list[Note]]]] = [
        sort_cues,
        mend_mojibake,
        partial(clean_cues, suppressed_symbols=suppressed_symbols),
        partial(drop_foreign, language=language),
        partial(settle_times, duration_ms=duration_ms),
    ]
    kept, notes = list(cues), list[Note]()
    for stage in stages:
        kept, stage_notes = stage(kept)
        notes += stage_notes
    notes.sort(key=lambda note: note.line)
    return Captions(tuple(kept), tuple(notes), None, "", len(cues))
