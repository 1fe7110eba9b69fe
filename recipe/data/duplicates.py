"""Finds text that is spoken in more than one place: recordings uploaded twice, and shared introductions.

Text is compared by its shingles, all runs of so many words in a row, without case and punctuation. That
many words in a row are the same by chance only in formulas that are learnt by heart anyway.

Whole recordings are compared by a sample of their shingles: those whose numbers are multiples of a power of
two, so all recordings sample the same ones (FracMinHash, Irber et al. 2022). Unlike the minima of MinHash
it tells how much of a short text is in a long one. The more hours, the sparser the sample: its memory has
a bound.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from recipe.data.groups import unite
from recipe.data.quality import split_words

SHINGLE_WORDS = 10
"""Words in a row that count as the same text: about four seconds of speech."""

SHINGLE_CHARACTERS = 24
"""The same for scripts without spaces, where a character counts as a word."""

MIN_SHARED = 0.5
"""Fraction of the shorter recording's text that makes it the same recording as another."""

SAMPLE_EVERY = 8
"""One shingle in so many is kept to compare whole recordings, unless that were over `MAX_SAMPLED`."""

MAX_SAMPLED = 1 << 23
"""Shingles kept of all recordings, 12 bytes each: every eighth of 7,400 hours at 150 words a minute."""

Shingles = npt.NDArray[np.uint64]


def shingles_of(text: str) -> Shingles:
    """A number for each run of words, shape (num_runs,); equal runs have equal numbers."""
    words = split_words(text)
    num_single = sum(len(word) == 1 for word in words)
    length = SHINGLE_CHARACTERS if num_single > len(words) / 2 else SHINGLE_WORDS
    if len(words) < length:
        return np.empty(0, np.uint64)
    numbers = np.fromiter(map(_number_of, words), np.uint64, len(words))
    runs = np.lib.stride_tricks.sliding_window_view(numbers, length)
    mixed: Shingles = runs @ _FACTORS[:length]  # modulo 2 ** 64
    return mixed ^ (mixed >> np.uint64(32))


_FACTORS = np.frombuffer(hashlib.shake_128(b"shingles").digest(8 * SHINGLE_CHARACTERS), "<u8") | np.uint64(1)
"""Odd, so that each word's number is told in the sum (multilinear hashing, Lemire and Kaser 2014)."""


@lru_cache(maxsize=1 << 17)
def _number_of(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")


def group_recordings(
    texts: Iterable[tuple[str, str]], audio_hashes: Mapping[str, str], *, max_sampled: int = MAX_SAMPLED
) -> dict[str, str]:
    """Each recording's group, named after one of its members: those that are the same recording.

    Args:
        texts: Name and whole text of each recording.
        audio_hashes: Hash of each recording's audio file; "" says nothing.
        max_sampled: Most shingles that are kept to compare texts.
    """
    names: list[str] = []

    def read_texts() -> Iterator[str]:
        for name, text in texts:
            names.append(name)
            yield text

    same = [
        (names[first], names[second]) for first, second in _find_same(*_sample(read_texts(), max_sampled))
    ]
    return unite(names, [*same, *_same_audio(names, audio_hashes)])


def _sample(texts: Iterable[str], max_sampled: int) -> tuple[Shingles, npt.NDArray[np.int32]]:
    """A sample of the texts' shingles, each once a text, and the index of the text that each is of."""
    shingles, owners = np.empty(max_sampled, np.uint64), np.empty(max_sampled, np.int32)
    every, num_kept = SAMPLE_EVERY, 0
    for owner, text in enumerate(texts):
        found = np.unique(shingles_of(text))
        found = found[found % every == 0]
        while num_kept + len(found) > max_sampled:
            every *= 2
            is_kept = shingles[:num_kept] % every == 0
            shingles[: is_kept.sum()] = shingles[:num_kept][is_kept]
            owners[: is_kept.sum()] = owners[:num_kept][is_kept]
            num_kept, found = int(is_kept.sum()), found[found % every == 0]
        kept = slice(num_kept, num_kept + len(found))
        shingles[kept], owners[kept] = found, owner
        num_kept += len(found)
    return shingles[:num_kept], owners[:num_kept]


def _find_same(shingles: Shingles, owners: npt.NDArray[np.int32]) -> list[list[int]]:
    """Pairs of texts, as indices: at least `MIN_SHARED` of the shorter one is in the other.

    Of the texts that have a shingle, each is compared with the next one.
    """
    order = np.argsort(shingles, kind="stable")
    shingles, owners = shingles[order], owners[order]
    is_shared = shingles[1:] == shingles[:-1]
    pairs = np.stack([owners[:-1][is_shared], owners[1:][is_shared]], axis=1)
    # Two 32-bit indices are compared as one number of 64 bits.
    pairs, num_shared = np.unique(pairs.view(np.int64), return_counts=True)
    pairs = pairs[:, None].view(np.int32)
    num_of_shorter = np.bincount(owners)[pairs].min(axis=1)
    same: list[list[int]] = pairs[num_shared >= MIN_SHARED * num_of_shorter].tolist()
    return sorted(same)


def _same_audio(names: Iterable[str], audio_hashes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    first_of: dict[str, str] = {}
    for name in names:
        audio_hash = audio_hashes.get(name)
        if audio_hash:
            yield first_of.setdefault(audio_hash, name), name


def find_shared(texts: Sequence[str], others: Iterable[str]) -> set[int]:
    """Indexes of the texts that have a run of words in common with any of the others.

    Only the shingles of `texts` are kept, 17 bytes each; `others` may be as many as there are.
    """
    found = [shingles_of(text) for text in texts]
    owners = np.repeat(np.arange(len(texts)), [len(shingles) for shingles in found])
    wanted, places = np.unique(np.concatenate([*found, np.empty(0, np.uint64)]), return_inverse=True)
    is_shared = np.zeros(len(wanted), bool)
    for other in others if len(wanted) else ():
        shingles = shingles_of(other)
        nearest = np.minimum(np.searchsorted(wanted, shingles), len(wanted) - 1)
        is_shared[nearest[wanted[nearest] == shingles]] = True
    return set(owners[is_shared[places]].tolist())
