"""Captions that are all in capitals: told apart, and re-cased where the language allows it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from recipe.captions.cues import Cue

CAPITALS_FRACTION = 0.9
"""Of a file's letters that have case; beyond it the file is in capitals."""

MIN_LETTERS = 20
"""Fewer prove nothing."""

RECASABLE_LANGUAGES = frozenset(
    {"ca", "cs", "da", "en", "es", "fi", "fr", "it", "nl", "no", "pl", "pt", "ro", "ru", "sv", "uk"}
)
"""Where only names and sentence starts have capitals. German nouns and the Turkish i would be lost."""

_ENGLISH_I = re.compile(r"\bi\b(?!\.)")
_NEXT_SENTENCE = re.compile(r"([.!?…][\"'\u201d\u2019)]*\s+)(\w)")
_CLOSING_MARKS = "\"'\u201d\u2019)"


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


def is_recasable(language: str | None) -> bool:
    """Tell whether lower case loses little more than the capitals of names in a language (`en`, `pt-BR`)."""
    return _primary(language) in RECASABLE_LANGUAGES


def recase(cues: Sequence[Cue], language: str | None) -> list[Cue]:
    """Return the cues in lower case, with capitals at sentence starts and, in English, for I."""
    recased: list[Cue] = []
    starts_sentence = True
    for cue in cues:
        text = _NEXT_SENTENCE.sub(lambda match: match[1] + match[2].upper(), cue.text.lower())
        if _primary(language) == "en":
            text = _ENGLISH_I.sub("I", text)
        if starts_sentence:
            text = text[:1].upper() + text[1:]
        starts_sentence = text.rstrip(_CLOSING_MARKS).endswith((".", "!", "?", "…"))
        recased.append(replace(cue, text=text, words=()))
    return recased


def _primary(language: str | None) -> str:
    return (language or "").lower().replace("_", "-").partition("-")[0]
