"""Finds text that is spoken in more than one place: recordings uploaded twice, and shared introductions.

Text is compared by its shingles, all runs of so many words in a row, without case and punctuation. That
many words in a row are the same by chance only in formulas that are learnt by heart anyway.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from recipe.data.quality import split_words

SHINGLE_WORDS = 10
"""Words in a row that count as the same text: about four seconds of speech."""

SHINGLE_CHARACTERS = 24
"""The same for scripts without spaces, where a character counts as a word."""

MIN_SHARED = 0.5
"""Fraction of the shorter recording's text that makes it the same recording as another."""

SAMPLE_EVERY = 8
"""One shingle in so many is kept to compare whole recordings: memory for a hundred hours stays small."""


def shingles_of(text: str) -> Iterator[int]:
    """A 64-bit number for each run of words; equal runs have equal numbers."""
    words = split_words(text)
    num_single = sum(len(word) == 1 for word in words)
    length = SHINGLE_CHARACTERS if num_single > len(words) / 2 else SHINGLE_WORDS
    for start in range(len(words) - length + 1):
        run = " ".join(words[start : start + length])
        yield int.from_bytes(hashlib.blake2b(run.encode(), digest_size=8).digest())


def group_recordings(texts: Iterable[tuple[str, str]], audio_hashes: Mapping[str, str]) -> dict[str, str]:
    """Each recording's group, named after one of its members: those that are the same recording.

    Args:
        texts: Name and whole text of each recording.
        audio_hashes: Hash of each recording's audio file; "" says nothing.
    """
    holders: defaultdict[int | str, list[str]] = defaultdict(list)
    num_shingles: dict[str, int] = {}
    for name, text in texts:
        sample = {shingle for shingle in shingles_of(text) if shingle % SAMPLE_EVERY == 0}
        num_shingles[name] = len(sample)
        for shingle in sample:
            holders[shingle].append(name)
    num_shared: defaultdict[tuple[str, str], int] = defaultdict(int)
    for names in holders.values():
        for first, second in pairwise(names):
            num_shared[first, second] += 1
    same = [
        pair
        for pair, number in num_shared.items()
        if number >= MIN_SHARED * min(num_shingles[name] for name in pair)
    ]
    return unite(num_shingles, [*same, *_same_audio(num_shingles, audio_hashes)])


def _same_audio(names: Iterable[str], audio_hashes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    first_of: dict[str, str] = {}
    for name in names:
        audio_hash = audio_hashes.get(name)
        if audio_hash:
            yield first_of.setdefault(audio_hash, name), name


def unite(names: Iterable[str], pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Each name's group, where the names of a pair are in the same one."""
    group = {name: name for name in names}

    def find(name: str) -> str:
        while group[name] != name:
            name = group[name]
        return name

    for first, second in pairs:
        group[find(second)] = find(first)
    return {name: find(name) for name in group}


def find_shared(texts: Sequence[str], others: Iterable[str]) -> set[int]:
    """Indexes of the texts that have a run of words in common with any of the others."""
    holders: defaultdict[int, list[int]] = defaultdict(list)
    for index, text in enumerate(texts):
        for shingle in shingles_of(text):
            holders[shingle].append(index)
    shared: set[int] = set()
    for other in others:
        for shingle in shingles_of(other):
            shared.update(holders.get(shingle, ()))
    return shared
