"""Captions that tell how long a text stands on the screen, not how long it is said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from recipe.captions.cues import Action, Cue, Note


def end_when_replaced(
    cues: Sequence[Cue], notes: list[Note], *, is_replaced: Callable[[Cue], bool] = lambda _: True
) -> list[Cue]:
    """Return the cues, each that scrolls up on the screen ending where the next one is begun to be said.

    Args:
        cues: In file order.
        notes: Receives one note, about the whole file, if there was such a cue.
        is_replaced: Tells the cues that scroll.
    """
    ends = [later.start_ms if is_replaced(cue) else cue.end_ms for cue, later in pairwise(cues)]
    ended = [
        replace(cue, end_ms=end_ms) if cue.start_ms < end_ms < cue.end_ms else cue
        for cue, end_ms in zip(cues, ends, strict=False)
    ]
    ended += cues[-1:]
    if any(before.end_ms != after.end_ms for before, after in zip(cues, ended, strict=True)):
        reason = "lines stood on the screen while the next was said; each now ends where the next begins"
        notes.append(Note(0, Action.REPAIRED, reason))
    return ended
