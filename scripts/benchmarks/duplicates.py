"""How well, and at what cost, the same words are found in other recordings.

    python -m scripts.benchmarks.duplicates --hours 1000

Recordings of five minutes are made of words drawn by Zipf's law. First their copies, changed in several ways,
are compared with every shingle, with samples of them as sparse as many hours make them, and by the MinHash
LSH of datasketch (`pip install datasketch`; left out without). Then the hours are searched, each way in a
fresh process, for recordings that are the same and for held-out windows whose words are trained too.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np

from recipe.data import duplicates
from recipe.data.duplicates import MIN_SHARED, find_shared, group_recordings, shingles_of
from scripts.benchmarks.common import (
    build_parser,
    call_in_fresh_process,
    measure_seconds,
    peak_mib,
    print_table,
    run,
)

NUM_WORDS = 750
"""Of a recording: five minutes at 150 words a minute."""

WINDOW_WORDS = 70
NUM_HELD_OUT = 120
"""Recordings of ten hours, the most that is held out in a language."""

NUM_COPIES = 12
"""Of those, so many are in what is trained too."""

VOCABULARY = 50_000
EVERY = (1, 8, 16, 32, 64)
"""How sparse a sample is tried: one shingle in so many."""

NUM_PAIRS = 300
"""Recordings of each kind, each with its copy."""

MIN_JACCARD = MIN_SHARED / (2 - MIN_SHARED)
"""Of two texts of one length that have `MIN_SHARED` of each in common."""

Group = Callable[[Iterator[tuple[str, str]]], dict[str, str]]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = build_parser(__doc__)
    parser.add_argument("--hours", type=float, default=1000, help="speech to search (1000)")
    return parser


def measure(arguments: argparse.Namespace) -> None:
    """Print both tables."""
    searches = [f"every {every}" for every in EVERY] + ["datasketch"] * bool(find_spec("datasketch"))
    print_table(["copies found, of their text shared", *searches], measure_quality(searches))
    print()
    num_recordings = round(arguments.hours * 12)
    searches = ["none", "group", "shared"] + ["datasketch"] * bool(find_spec("datasketch"))
    costs = {name: call_in_fresh_process(measure_cost, name, num_recordings) for name in searches}
    print(json.dumps({"hours": arguments.hours, "num_recordings": num_recordings, **costs}, indent=1))


class Speech:
    """Words by Zipf's law; the same for the same number."""

    def __init__(self) -> None:
        ranks = np.arange(1, VOCABULARY + 1)
        words = np.array([f"w{rank:x}" for rank in ranks], object)
        counts = np.ceil((1 << 20) / ranks / np.log(VOCABULARY)).astype(int)
        self._words = np.repeat(words, counts)  # one draw from it is a draw by Zipf's law

    def say(self, number: int, num_words: int = NUM_WORDS) -> list[str]:
        """The words of a recording."""
        draw = np.random.default_rng(number)
        words: list[str] = self._words[draw.integers(0, len(self._words), num_words)].tolist()
        return words

    def mishear(self, words: list[str], fraction: float, number: int) -> list[str]:
        """The words, about a fraction of them changed."""
        others = self.say(-number % (1 << 40), len(words))
        is_changed = np.random.default_rng(number).random(len(words)) < fraction
        return [other if c else word for word, other, c in zip(words, others, is_changed, strict=True)]


def make_kinds(speech: Speech) -> dict[str, Callable[[list[str], int], list[str]]]:
    """The ways to make a second recording from the words of the first."""
    kinds: dict[str, Callable[[list[str], int], list[str]]] = {
        f"{percent} % of the words changed": (
            lambda words, number, fraction=percent / 100: speech.mishear(words, fraction, number)  # type: ignore[misc]
        )
        for percent in (0, 2, 5, 8, 20, 40)
    }
    intro = speech.say(0, 60)
    return kinds | {
        "its first half": lambda words, _: words[: NUM_WORDS // 2],
        "a tenth of it": lambda words, _: words[NUM_WORDS // 2 : NUM_WORDS * 6 // 10],
        "a fifth of it in other words": lambda words, number: (
            speech.say(7 * number + 1, NUM_WORDS * 4 // 5) + words[: NUM_WORDS // 5]
        ),
        "half of it in other words": lambda words, number: (
            speech.say(7 * number + 1, NUM_WORDS // 2) + words[: NUM_WORDS // 2]
        ),
        "an introduction that all share": lambda _, number: intro + speech.say(7 * number + 1),
    }


def measure_quality(searches: list[str]) -> Iterator[list[str]]:
    """For each kind of copy: how much of the shorter text is shared, and the pairs found by each search."""
    speech = Speech()
    for place, (kind, change) in enumerate(make_kinds(speech).items()):
        numbers = range(1_000_000 + 10_000 * place, 1_000_000 + 10_000 * place + NUM_PAIRS)
        intro = speech.say(0, 60) if kind.startswith("an introduction") else []
        texts = {}
        for number in numbers:
            words = speech.say(number)
            texts[f"{number}"] = " ".join(intro + words)
            texts[f"{number} again"] = " ".join(change(words, number))
        shared = [share_of_shorter(texts[f"{number}"], texts[f"{number} again"]) for number in numbers]
        row = [f"{kind} ({100 * np.mean(shared):.0f} %)"]
        for search in searches:
            groups = group_by(search, iter(texts.items()))
            num_found = sum(groups[f"{number}"] == groups[f"{number} again"] for number in numbers)
            num_wrong = 2 * NUM_PAIRS - num_found - len({*groups.values()})
            row.append(f"{num_found / NUM_PAIRS:.0%}" + f", {num_wrong} others wrongly" * bool(num_wrong))
        yield row


def share_of_shorter(first: str, second: str) -> float:
    """Fraction of the shorter text's shingles that are in the other one."""
    some, others = {*shingles_of(first).tolist()}, {*shingles_of(second).tolist()}
    return len(some & others) / min(len(some), len(others))


def group_by(search: str, texts: Iterator[tuple[str, str]]) -> dict[str, str]:
    """The groups that a search finds."""
    if search == "datasketch":
        return group_by_lsh(texts)
    duplicates.SAMPLE_EVERY = int(search.removeprefix("every "))
    return group_recordings(texts, {})


def group_by_lsh(texts: Iterator[tuple[str, str]]) -> dict[str, str]:
    """Recordings whose MinHashes fall together, by datasketch at 128 permutations."""
    from datasketch import MinHash, MinHashLSH  # noqa: PLC0415 - not among the requirements

    from recipe.data.groups import unite  # noqa: PLC0415 - beside it

    index = MinHashLSH(threshold=MIN_JACCARD, num_perm=128)
    empty = MinHash(num_perm=128, hashfunc=int)
    names, pairs = [], []
    for name, text in texts:
        sketch = empty.copy()
        sketch.update_batch((shingles_of(text) >> np.uint64(32)).tolist())
        pairs += [(found, name) for found in index.query(sketch)]
        index.insert(name, sketch, check_duplication=False)
        names.append(name)
    return unite(names, pairs)


def measure_cost(search: str, num_recordings: int) -> dict[str, Any]:
    """CPU seconds and memory of one search in all recordings, 1 % of them twice; "none" makes texts only."""
    speech = Speech()

    def texts() -> Iterator[tuple[str, str]]:
        for number in range(num_recordings):
            yield f"talk-{number:06}", " ".join(speech.say(number - 99 if number % 100 == 99 else number))

    def windows(numbers: range) -> Iterator[str]:
        for number in numbers:
            words = speech.say(number)
            yield from (" ".join(words[i : i + WINDOW_WORDS]) for i in range(0, NUM_WORDS, WINDOW_WORDS))

    held_out = range(num_recordings - NUM_COPIES, num_recordings + NUM_HELD_OUT - NUM_COPIES)
    searches: dict[str, Callable[[], int]] = {
        "none": lambda: sum(1 for _ in texts()),
        "group": lambda: num_recordings - len({*group_recordings(texts(), {}).values()}),
        "datasketch": lambda: num_recordings - len({*group_by_lsh(texts()).values()}),
        "shared": lambda: len(find_shared([*windows(held_out)], windows(range(num_recordings)))),
    }
    before_mib = peak_mib()
    num_found, seconds = measure_seconds(searches[search])
    return {
        "num_found": num_found,
        "cpu_seconds": round(seconds["cpu_seconds"], 1),
        "memory_mib": round(peak_mib() - before_mib),
    }


if __name__ == "__main__":
    run(measure, parser())
