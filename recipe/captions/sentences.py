"""Sentences that a table gives one by one: the reader's stages for text and times, not those for files."""

from __future__ import annotations

from collections.abc import Sequence

from recipe.captions.cleaning import clean_cues
from recipe.captions.cues import Cue
from recipe.captions.reader import Captions
from recipe.captions.timing import settle_times, sort_cues


def read_sentences(
    cues: Sequence[Cue], *, duration_ms: int, suppressed_symbols: frozenset[str] = frozenset()
) -> Captions:
    """Return the captions that rows of a table are, in reading form.

    Args:
        cues: One for each row, with its number as line and the text as it stands.
        duration_ms: Length of the recording's audio.
        suppressed_symbols: Texts that the model can never produce.
    """
    in_order, notes = sort_cues(cues)
    cleaned, cleaning_notes = clean_cues(in_order, suppressed_symbols)
    settled, timing_notes = settle_times(cleaned, duration_ms)
    notes = sorted([*notes, *cleaning_notes, *timing_notes], key=lambda note: note.line)
    return Captions(tuple(settled), tuple(notes), None, "", len(cues))
