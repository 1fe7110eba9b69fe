# ruff: noqa: RUF001 - the texts are in many scripts on purpose
"""Where terms stand in texts, and which words are mined."""

import pytest

from recipe.data.glossary import RARE_FRACTION, TermFinder, mine_rare_words

FOUND = {
    "case": ("nasa", "NASA and Nasa", ["NASA", "Nasa"]),
    "whole words": ("port", "Port, ports, airport: the port.", ["Port", "port"]),
    "several words": ("New York", "in New\nYork, new-york; New Yorkers", ["New\nYork", "new-york"]),
    "no overlap with itself": ("la la", "la la la la la", ["la la", "la la"]),
    "an elided article": ("équipe", "L'équipe, l\u2019Équipe, équipement", ["équipe", "Équipe"]),
    "an apostrophe inside": ("Coeur d'Alene", "near Coeur d\u2019Alene", ["Coeur d\u2019Alene"]),
    "Turkish capitals": ("İstanbul", "ISTANBUL, istanbul'da, İSTANBUL", ["ISTANBUL", "istanbul", "İSTANBUL"]),
    "Turkish i without a dot": ("Işık", "IŞIK ve ışık", ["IŞIK", "ışık"]),
    "marks in another form": ("Coyoacán", "a Coyoaca\u0301n house", ["Coyoaca\u0301n"]),
    "Japanese": ("京都タワー", "昨日京都タワーに行った。", ["京都タワー"]),
    "Japanese of wide letters": ("GPT", "\uff27\uff30\uff34を使う", ["\uff27\uff30\uff34"]),
    "Thai": ("กรุงเทพ", "ไปกรุงเทพมหานคร", ["กรุงเทพ"]),
    "Korean is spaced": ("서울", "서울 서울은", ["서울"]),
    "Arabic without its vowel points": ("مُحَمَّد", "قال محمد", ["محمد"]),
    "Persian with an unseen joiner": ("می\u200cخواهم", "می\u200cخواهم", ["می\u200cخواهم"]),
    "numbers": ("A320", "an a320, an A3200", ["a320"]),
}


@pytest.mark.parametrize("name", FOUND)
def test_a_term_is_found_as_people_would(name: str) -> None:
    term, text, expected = FOUND[name]
    found = TermFinder(["else", term]).find(text)
    assert [text[occurrence.start : occurrence.end] for occurrence in found] == expected
    assert {occurrence.term for occurrence in found} == {1}


def test_terms_that_differ_only_in_case_are_one() -> None:
    assert TermFinder(["Rome", "ROME", "roma"]).count("rome Rome roma") == {0: 2, 2: 1}


def test_a_term_inside_another_counts_for_both() -> None:
    assert TermFinder(["New York", "York"]).count("New York") == {0: 1, 1: 1}


def test_words_of_few_windows_are_mined_as_they_are_mostly_written() -> None:
    texts = ["Charlie says hello", "charlie and Charlie: hello", "hello tango 12345", "hello tangos", "a b"]
    assert mine_rare_words(texts) == ["Charlie", "says", "tango", "tangos"]


def test_in_much_speech_a_word_is_rare_by_its_share_of_the_windows() -> None:
    num_windows = 2_000
    often = round(RARE_FRACTION * num_windows)
    texts = ["rarely" if n < often else "common" if n < 2 * often + 1 else "" for n in range(num_windows)]
    assert mine_rare_words(texts) == ["rarely"]


def test_scripts_without_spaces_give_no_words() -> None:
    assert mine_rare_words(["昨日京都タワーに行った", "ไปกรุงเทพมหานคร"]) == []
