import random
import tracemalloc
from itertools import pairwise

import pytest

from recipe.data.duplicates import MIN_SHARED, SAMPLE_EVERY, find_shared, group_recordings, shingles_of

WORDS = [a + b + c for a in "bdfgklmnprst" for b in "aeiou" for c in "lmnrst"]


def talk(seed: int, num_words: int = 400) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=num_words))


def group_sizes(texts: dict[str, str], audio_hashes: dict[str, str] | None = None) -> list[int]:
    groups = group_recordings(texts.items(), audio_hashes or {})
    assert set(groups) == set(texts)
    return sorted(list(groups.values()).count(group) for group in set(groups.values()))


def test_uploads_of_the_same_recording_are_one_group():
    again = talk(1).upper().replace(" ", ", ", 90)
    assert group_sizes({"a": talk(1), "b": talk(2), "c": again, "d": talk(3), "e": talk(1)}) == [1, 1, 3]


def test_half_of_the_text_is_enough_and_an_introduction_is_not():
    assert group_sizes({"whole": talk(1), "part": talk(1)[:900], "other": talk(2)}) == [1, 2]
    intro = talk(9, 40)
    assert group_sizes({name: f"{intro} {talk(seed)}" for seed, name in enumerate("abcd")}) == [1, 1, 1, 1]


def test_the_same_audio_is_the_same_recording_whatever_its_captions():
    hashes = {"a": "1", "b": "2", "c": "1", "d": "", "e": ""}
    assert group_sizes({name: talk(seed) for seed, name in enumerate("abcde")}, hashes) == [1, 1, 1, 2]


def test_a_window_with_ten_words_of_the_other_side_is_found():
    intro = talk(9, 12)
    texts = [f"{intro} {talk(1, 60)}", talk(2, 60), f"{talk(9, 9)} {talk(3, 60)}"]
    assert find_shared(texts, [f"{talk(4)} {intro} {talk(5)}", talk(6)]) == {0}
    assert find_shared(texts, []) == set()


@pytest.mark.parametrize(("text", "num_shingles"), [("one two three", 0), (talk(1, 11), 2), ("字" * 25, 2)])
def test_scripts_without_spaces_need_more_characters_than_words(text, num_shingles):
    assert len(list(shingles_of(text))) == num_shingles


def plain_groups(texts: dict[str, str], every: int) -> set[frozenset[str]]:
    """The groups by Python's sets, however much memory they take."""
    holders: dict[int, list[str]] = {}
    samples = {name: {int(s) for s in shingles_of(text) if s % every == 0} for name, text in texts.items()}
    for name, sample in samples.items():
        for shingle in sample:
            holders.setdefault(shingle, []).append(name)
    groups = {name: {name} for name in texts}
    for first, second in {pair for names in holders.values() for pair in pairwise(names)}:
        num_shared = sum((first, second) in pairwise(holders[s]) for s in samples[first] & samples[second])
        if num_shared >= MIN_SHARED * min(len(samples[first]), len(samples[second])):
            groups[first] |= groups[second]
            groups |= dict.fromkeys(groups[first], groups[first])
    return {frozenset(group) for group in groups.values()}


@pytest.mark.parametrize("seed", range(20))
def test_the_groups_are_those_of_plain_sets(seed: int):
    draw = random.Random(seed)
    texts = {}
    for number in range(20):
        words = talk(draw.randrange(6), 300).split()
        first, last = sorted((draw.randint(0, 300), draw.randint(0, 300)))
        rate = draw.choice([0, 0, 0.02, 0.06, 0.1])
        heard = [draw.choice(WORDS) if draw.random() < rate else word for word in words[first:last]]
        texts[f"talk-{number}"] = " ".join(talk(99, draw.choice([0, 0, 40])).split() + heard)
    groups = group_recordings(texts.items(), {})
    found = {frozenset(name for name in texts if groups[name] == group) for group in groups.values()}
    assert found == plain_groups(texts, SAMPLE_EVERY)
    assert 1 < len(found) < len(texts)


def test_more_text_than_the_bound_is_compared_by_fewer_shingles():
    texts = {f"{name} {seed}": talk(seed, 1500) for name in ("here", "there") for seed in range(20)}
    texts |= {"half": talk(3, 750), "another": talk(100)}
    num_shingles = sum(len(shingles_of(text)) for text in texts.values())
    for every in (2, 4, 8):  # times as sparse
        groups = group_recordings(texts.items(), {}, max_sampled=num_shingles // (SAMPLE_EVERY * every))
        sizes = sorted(list(groups.values()).count(group) for group in set(groups.values()))
        assert sizes == [1, *[2] * 19, 3]


def test_memory_is_that_of_the_bound_however_many_texts_there_are():
    def peak_of(num_texts: int) -> int:
        tracemalloc.start()
        group_recordings(((f"{seed}", talk(seed)) for seed in range(num_texts)), {}, max_sampled=1 << 12)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    names = 600 * 250  # bytes of a name, in the list and in the answer
    assert peak_of(700) - peak_of(100) < names < 600 * 391 / SAMPLE_EVERY * 12
