"""Captions that are all in capitals, told apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from recipe.captions.cues import Cue

CAPITALS_FRACTION = 0.9
"""Of a file's letters that have case; beyond it the file is in capitals."""

MIN_LETTERS = 20
"""Fewer prove nothing."""


def is_all_capitals(cues: Sequence[Cue]) -> bool:
    """Tell whether nearly all letters are capitals."""
    num_cased = sum(character.isupper() or character.islower() for cue in cues for character in cue.text)
    return num_cased >= MIN_LETTERS and capitals_fraction(cue.text for cue in cues) > CAPITALS_FRACTION


def capitals_fraction(texts: Iterable[str]) -> float:
    """Return the fraction of the cased letters that are capitals, in [0, 1]; 0 where none has a case."""
    num_upper = num_lower = 0
    for text in texts:
        num_upper += sum(map(str.isupper, text))
        num_lower += sum(map(str.islower, text))
    return num_upper / (num_upper + num_lower) if num_upper else 0.0
