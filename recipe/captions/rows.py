"""Rows of a cue joined into one line: without a space where the script has none, or where a word was cut."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import regex  # type: ignore[import-untyped]  # the package ships no types

from recipe.captions.vocabulary import COMPOUND_HEADS, COMPOUND_TAILS, CONJUNCTIONS

# Korean parts its words by spaces, and so does a row that begins with one.
_UNSPACED = (
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
    r"\u3001-\u3003\u3008-\u3011\u30fc\uff01-\uff0f\uff1a-\uff1f]"
)
_UNSPACED_BREAK = regex.compile(rf"(?<={_UNSPACED})(?:[ \t\r\f]*\n)+(?={_UNSPACED})")
_MIN_PART_CHARS = 4  # of a compound; a syllable tends to be shorter
_CUT_WORD = regex.compile(
    r"(?<![\p{L}\p{M}'\u2019-])(?P<head>[\p{L}\p{M}'\u2019-]*\p{Ll}\p{M}*)(?P<hyphen>[-\u2010\xad])"
    r"[ \t]*\n[ \t]*(?P<tail>\p{Ll}[\p{L}\p{M}\u2019']*+)"
)


def fold(text: str) -> str:
    """Return the text on one line: no space between rows of scripts that have none, else one space."""
    return " ".join(_UNSPACED_BREAK.sub("", text).split() if "\n" in text else text.split())


def is_parted(before: str, after: str) -> bool:
    """Tell whether whitespace that stays stands between two texts that follow each other."""
    if not (before[-1:].isspace() or after[:1].isspace()):
        return False
    return not _UNSPACED_BREAK.search(before[-8:] + after[:8])


class CutWords:
    """The words that a file cuts at the end of a row, with a hyphen.

    The file itself tells which hyphens are spelling: `well-` and `known` occur as words of their own, `bee-`
    and `keeper` do not, or `beekeeper` does.

    Args:
        texts: The text of each cue.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = texts

    def join(self, text: str) -> str:
        """Return the text with its cut words whole."""
        return str(_CUT_WORD.sub(self._join_word, text)) if "\n" in text else text

    def _join_word(self, match: regex.Match[str]) -> str:
        whole, head, hyphen, tail = map(str, match.group(0, "head", "hyphen", "tail"))
        if hyphen != "-":
            return head + tail  # a soft hyphen, or the one that is never spelling
        is_suspended = tail in CONJUNCTIONS
        is_stutter = tail.startswith(head.lower())
        if is_suspended or is_stutter:
            return whole
        return f"{head}-{tail}" if self._is_compound(head.lower(), tail) else head + tail

    def _is_compound(self, head: str, tail: str) -> bool:
        if head + tail in self._words:
            return False
        if "-" in head or head in COMPOUND_HEADS or tail in COMPOUND_TAILS:
            return True
        if f"{head}-{tail}" in self._words or (head in self._words and tail in self._words):
            return True
        return min(len(head), len(tail)) >= _MIN_PART_CHARS

    @cached_property
    def _words(self) -> frozenset[str]:
        """The words of the file in lower case, the cut ones left out."""
        return frozenset(
            word
            for text in self._texts
            for word in regex.findall(r"[\p{L}\p{M}'\u2019-]*\p{L}\p{M}*", _CUT_WORD.sub(" ", text.lower()))
        )
