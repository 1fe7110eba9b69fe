"""Speech that is known and not written down, as a caption file can say it: a cue of the class lost-speech.

Captions that the recipe makes itself hold such cues where a voice speaks whose words nobody wrote. Reading
drops them with their times, so that no window spans that speech and none takes it for silence.
"""

from __future__ import annotations

from collections.abc import Sequence

from recipe.captions.cues import Action, Cue, Note, note_on

REASON = "it is spoken and not written down"

_PAYLOAD = "<c.lost-speech>…</c>"


def mark_lost_speech(start_ms: int, end_ms: int) -> Cue:
    """Return the cue that stands for speech without words."""
    return Cue("", start_ms, end_ms, _PAYLOAD, "…")


def drop_lost_speech(cues: Sequence[Cue]) -> tuple[list[Cue], list[Note]]:
    """Return the cues that have words, and a note with times for each that stands for lost speech."""
    kept = [cue for cue in cues if cue.payload != _PAYLOAD]
    return kept, [note_on(cue, Action.DROPPED, REASON) for cue in cues if cue.payload == _PAYLOAD]
