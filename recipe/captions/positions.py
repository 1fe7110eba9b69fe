"""Where on the screen a cue is shown: in what order rows are read, and what is a sign rather than speech."""

from __future__ import annotations

import re
from collections.abc import Sequence

from recipe.captions.capitals import is_all_capitals
from recipe.captions.cues import Action, Cue, Note, note_on

SIGN = "it is shown elsewhere on the screen, or in capitals, while another is spoken: a sign"
"""Why a cue is dropped that overlaps another one."""

MIN_OVERLAP_MS = 250
"""A shorter overlap is carelessness."""

_LINE = re.compile(r"(?:^|[ \t])line:(?P<number>-?[0-9]+(?:\.[0-9]+)?)(?P<percent>%?)")
# SubStation Alpha: `\an` counts as a keypad does, `\a` has 5 to 7 at the top and 9 to 11 in the middle.
_ELSEWHERE = re.compile(r"\{[^{}]*\\(?:an[4-9]|a(?:[5-7]|9|1[01])(?![0-9])|pos\(|move\()")
_TOP_LINES = 7  # of some fifteen
_BOTTOM = 1_000.0


def row_of(cue: Cue) -> float:
    """Return where the cue stands among rows shown together: the smaller, the higher."""
    if _ELSEWHERE.search(cue.payload):
        return -1.0
    match = _LINE.search(cue.settings)
    if match is None:
        return _BOTTOM
    number = float(match["number"])
    return number if number >= 0 else _BOTTOM + number


def drop_signs(cues: Sequence[Cue]) -> tuple[list[Cue], list[Note]]:
    """Return the cues without those that label the picture while another cue is spoken.

    A cue is a sign when it stands elsewhere than most, or alone in capitals; where most stand is for speech.

    Args:
        cues: In order of time.
    """
    candidates = {index for index, cue in enumerate(cues) if _is_elsewhere(cue)}
    if 2 * len(candidates) >= len(cues):
        candidates = set()
    in_capitals = {index for index, cue in enumerate(cues) if _is_in_capitals(cue.text)}
    if in_capitals and not is_all_capitals(cues):
        candidates |= in_capitals
    signs = _find_overlapping(cues, candidates)
    notes = [note_on(cues[index], Action.DROPPED, SIGN) for index in sorted(signs)]
    return [cue for index, cue in enumerate(cues) if index not in signs], notes


def _is_elsewhere(cue: Cue) -> bool:
    if cue.speaker:
        return False
    match = _LINE.search(cue.settings)
    if match is None:
        return _ELSEWHERE.search(cue.payload) is not None
    number = float(match["number"])
    return 0 <= number < (50 if match["percent"] else _TOP_LINES)


def _is_in_capitals(text: str) -> bool:
    return text.isupper() and len(text.split()) > 1


def _find_overlapping(cues: Sequence[Cue], candidates: set[int]) -> set[int]:
    """Return the candidates that are shown at the time of a cue that is none."""
    found: set[int] = set()
    spoken_until_ms = 0
    shown: list[int] = []  # candidates that may still be shown
    for index, cue in enumerate(cues):
        if index in candidates:
            shown.append(index)
            if spoken_until_ms - cue.start_ms > MIN_OVERLAP_MS:
                found.add(index)
        elif cue.text.strip():
            found.update(i for i in shown if cues[i].end_ms - cue.start_ms > MIN_OVERLAP_MS)
            shown = []
            spoken_until_ms = max(spoken_until_ms, cue.end_ms)
    return found
