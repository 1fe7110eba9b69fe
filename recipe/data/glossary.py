"""Where terms stand in texts, and the rare words of texts that are trained on.

A term is found as people would find it: whole words in a row, whatever their case, punctuation and
apostrophes (`équipe` is in "l'Équipe", not in "équipement"). In scripts without spaces each character is a
word, so `京都` is also found in `東京都`.
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import regex  # type: ignore[import-untyped]  # the package ships no types

from recipe.data.quality import SPACELESS

_JOINERS = "\u00ad\u200c\u200d"
"""Unseen characters inside words: soft hyphen, zero-width non-joiner and joiner."""

_WORD = regex.compile(
    rf"[{SPACELESS}\u30fc]\p{{M}}*|[[\p{{L}}\p{{M}}\p{{N}}{_JOINERS}]--[{SPACELESS}\u30fc]]+", regex.V1
)
# Ordinary writing leaves out the vowel points of Hebrew and Arabic.
_UNSEEN = regex.compile(rf"[{_JOINERS}]|[\p{{M}}&&[\u0590-\u06ff\u0870-\u08ff]]", regex.V1)

MIN_LETTERS = 4
"""Shortest word that is mined."""

MIN_RARE_WINDOWS = 3
RARE_FRACTION = 0.005
"""A word is rare that is in so many windows at most, or in this fraction of them if that is more."""

MAX_MINED = 20_000
"""Most words that are mined, those in the most windows first: they are drawn most often."""


class Occurrence(NamedTuple):
    """Where a term stands in a text.

    Attributes:
        term: Number of the term.
        start: First character.
        end: Character after the last.
    """

    term: int
    start: int
    end: int


class _Word(NamedTuple):
    folded: str
    start: int
    end: int


class TermFinder:
    """Finds terms in texts.

    Args:
        terms: As they are written; of those that differ only in what finding does not see, the first.
    """

    def __init__(self, terms: Sequence[str]) -> None:
        self.terms = terms
        self._by_first_word: defaultdict[str, list[tuple[int, list[str]]]] = defaultdict(list)
        known = set[tuple[str, ...]]()
        for number, term in enumerate(terms):
            words = fold_words(term)
            if words and tuple(words) not in known:
                known.add(tuple(words))
                self._by_first_word[words[0]].append((number, words))

    def find(self, text: str) -> list[Occurrence]:
        """The occurrences in a text, by their start; those of one term never overlap."""
        words = list(_split(text))
        found, next_free = list[Occurrence](), dict[int, int]()
        for place, word in enumerate(words):
            for number, wanted in self._by_first_word.get(word.folded, ()):
                end = place + len(wanted)
                if [w.folded for w in words[place:end]] == wanted and next_free.get(number, 0) <= place:
                    found.append(Occurrence(number, word.start, words[end - 1].end))
                    next_free[number] = end
        return found

    def count(self, text: str) -> Counter[int]:
        """How often each term stands in a text, by its number."""
        return Counter(occurrence.term for occurrence in self.find(text))


def fold_words(text: str) -> list[str]:
    """The words of a text as they are compared."""
    return [word.folded for word in _split(text)]


def _split(text: str) -> Iterator[_Word]:
    for match in _WORD.finditer(text):
        if folded := _fold(match.group()):
            yield _Word(folded, match.start(), match.end())


def _fold(word: str) -> str:
    """A word without case: Turkish letters i with a dot and without are one, as a capital does not tell."""
    composed = unicodedata.normalize("NFKC", _UNSEEN.sub("", word).lower())
    return composed.replace("i\u0307", "i").replace("\u0131", "i")


def mine_rare_words(texts: Iterable[str]) -> list[str]:
    """Words that are in few of the texts, as they are mostly written, in alphabetical order.

    Scripts without spaces give none: nothing says where a word of theirs ends.

    Args:
        texts: One of each window that is trained on; never of one that is held out.
    """
    spellings: defaultdict[str, Counter[str]] = defaultdict(Counter)
    num_windows: Counter[str] = Counter()
    num_texts = 0
    for text in texts:
        num_texts += 1
        words = [(word.folded, text[word.start : word.end]) for word in _split(text)]
        words = [(folded, spelled) for folded, spelled in words if _may_be_mined(folded)]
        num_windows.update({folded for folded, _ in words})
        for folded, spelled in words:
            spellings[folded][spelled] += 1
    limit = max(MIN_RARE_WINDOWS, int(RARE_FRACTION * num_texts))
    rare = sorted((-number, word) for word, number in num_windows.items() if number <= limit)
    words_found = sorted(word for _, word in rare[:MAX_MINED])
    return [min(spellings[word].items(), key=lambda item: (-item[1], item[0]))[0] for word in words_found]


def _may_be_mined(word: str) -> bool:
    return len(word) >= MIN_LETTERS and not any(character.isdigit() for character in word)
