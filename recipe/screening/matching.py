"""The words of a text matched with those of a transcript, and the islands that can be relied on.

Both are matched as a whole (Levenshtein distance on words), so that nothing is found twice or out of order.
In two texts that have nothing to do with each other common words match too, but hardly ever several in a
row: only runs of matched words, islands, are anchors, and words near them that match as well.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from operator import itemgetter

from rapidfuzz.distance import Indel, Levenshtein

from recipe.evaluation.normalization import LANGUAGES_WITHOUT_SPACES, normalize_text

MIN_ISLAND = 3
"""Words matched in a row that are an anchor."""

MIN_CHARACTER_ISLAND = 6
"""Characters matched in a row, where a language is written without spaces."""

MIN_SIMILARITY = 0.7
"""Words opposite one another are the same from this similarity on: transcripts misspell names and endings."""

MAX_NEAR_WORDS = 12
"""Words between two anchors, on either side at most, so that a single match between them is no chance."""


@lru_cache(maxsize=1 << 16)
def match_key(word: str) -> str:
    """What of a word must agree: its letters and digits, in lower case; "" for a mark alone."""
    return normalize_text(word, None).replace(" ", "")


def min_island(language: str | None) -> int:
    """Units matched in a row that are an anchor in a language, given as a code."""
    return MIN_CHARACTER_ISLAND if language in LANGUAGES_WITHOUT_SPACES else MIN_ISLAND


def find_anchors(reference: Sequence[str], hypothesis: Sequence[str], island: int) -> list[tuple[int, int]]:
    """Places in both of the words that can be relied on, rising in both.

    Args:
        reference: Keys of the text's words, none empty.
        hypothesis: Keys of the transcript's words, none empty.
        island: Words matched in a row that are an anchor.
    """
    matches = _match(reference, hypothesis)
    islands = [pair for run in _find_runs(matches) if len(run) >= island for pair in run]
    anchors = set(islands)
    for (left, left_other), (right, right_other) in pairwise(islands):
        if max(right - left, right_other - left_other) <= MAX_NEAR_WORDS + 1:
            anchors.update(_between(matches, left, right))
    return sorted(anchors)


def _match(reference: Sequence[str], hypothesis: Sequence[str]) -> list[tuple[int, int]]:
    """All pairs of words that stand opposite one another and are the same, in order."""
    numbers: dict[str, int] = {}
    coded = [[numbers.setdefault(word, len(numbers)) for word in words] for words in (reference, hypothesis)]
    pairs: list[tuple[int, int]] = []
    for block in Levenshtein.opcodes(*coded):
        places, others = (
            range(block.src_start, block.src_end),
            range(block.dest_start, block.dest_end),
        )
        opposite = zip(places, others, strict=False)
        if block.tag == "equal":
            pairs += opposite
        elif block.tag == "replace":
            pairs += [(i, j) for i, j in opposite if is_similar(reference[i], hypothesis[j])]
    return pairs


def is_similar(word: str, other: str) -> bool:
    """Whether two words may be one that is misspelt."""
    return Indel.normalized_similarity(word, other, score_cutoff=MIN_SIMILARITY) > 0


def _find_runs(pairs: Sequence[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """The pairs, those that follow one another in both texts together."""
    runs: list[list[tuple[int, int]]] = []
    for pair in pairs:
        if runs and runs[-1][-1] == (pair[0] - 1, pair[1] - 1):
            runs[-1].append(pair)
        else:
            runs.append([pair])
    return runs


def _between(pairs: Sequence[tuple[int, int]], left: int, right: int) -> Sequence[tuple[int, int]]:
    """The pairs whose word lies between two places of the reference."""
    first = bisect_right(pairs, left, key=itemgetter(0))
    return pairs[first : bisect_left(pairs, right, key=itemgetter(0))]
