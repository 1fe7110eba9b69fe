import random

import pytest

from recipe.data.duplicates import find_shared, group_recordings, shingles_of

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
