"""Keyword recall and precision: counted by hand."""

from dataclasses import replace

import pytest

from recipe.data.glossary import TermFinder
from recipe.evaluation.keywords import (
    BothModels,
    GlossaryComparison,
    KeywordCounts,
    WithGlossary,
    count_keywords,
    count_said,
    tabulate_glossary,
)

TERMS = ["Frida Kahlo", "Coyoacán", "equipo"]

COUNTED = {
    "all right": ([("Frida Kahlo in Coyoacán", "frida kahlo, in coyoacán")], (2, 2, 2)),
    "half of a name is nothing": ([("Frida Kahlo", "Frida Calo")], (1, 0, 0)),
    "an accent is a letter": ([("Coyoacán", "Coyoacan")], (1, 0, 0)),
    "written, not said": ([("hello", "Coyoacán Coyoacán")], (0, 2, 0)),
    "said twice, written once": ([("Coyoacán, Coyoacán", "Coyoacán")], (2, 1, 1)),
    "one for another": ([("equipo", "Coyoacán")], (1, 1, 0)),
    "in another window": ([("equipo", ""), ("", "equipo")], (1, 1, 0)),
    "nothing": ([("", "")], (0, 0, 0)),
}


@pytest.mark.parametrize("name", COUNTED)
def test_terms_are_counted_window_by_window(name: str) -> None:
    pairs, expected = COUNTED[name]
    assert count_keywords(TermFinder(TERMS), pairs) == KeywordCounts(*expected)


def test_rates_of_nothing_are_unknown() -> None:
    counts = KeywordCounts(num_said=4, num_written=0, num_right=0)
    assert (counts.recall, counts.precision) == (0.0, None)
    assert KeywordCounts(0, 4, 0).as_dict() == {
        "num_said": 0,
        "num_written": 4,
        "num_right": 0,
        "recall": None,
        "precision": 0.0,
    }


def test_terms_said_are_counted_once_each() -> None:
    assert count_said(TERMS, ["equipo equipo", "un Equipo", "coyoacán"]) == 2


def compare(num_terms: int) -> GlossaryComparison:
    said = [KeywordCounts(8, written, right) for written, right in ((4, 4), (6, 5), (5, 5), (8, 7))]
    sides = [WithGlossary(*said[:2], 0.25, 0.2), WithGlossary(*said[2:], 0.15, 0.125)]
    return GlossaryComparison(TERMS, num_terms, 2, BothModels(*sides))


def test_the_sentence_says_what_was_used_and_what_it_gains() -> None:
    assert compare(3).sentence == (
        "All 3 terms of the glossary fit into the prompt. 2 of them are said 8 times in the test speech: the "
        "base model writes 4 of these without the glossary and 5 with it, the trained model 5 and 7."
    )
    assert compare(9).sentence.startswith(
        "Of the glossary's 9 terms the first 3 fit into the prompt and are used. 2 of them"
    )


def test_the_table_has_the_four_sides() -> None:
    rows = tabulate_glossary(compare(3).summarise())
    assert [row[1:] for row in rows] == [
        ("50.0 %", "62.5 %", "62.5 %", "87.5 %"),
        ("100.0 %", "83.3 %", "100.0 %", "87.5 %"),
        ("25.0 %", "20.0 %", "15.0 %", "12.5 %"),
    ]
    both = replace(compare(3), whole=compare(3).windows)
    assert [row[0] for row in tabulate_glossary(both.summarise())][3:] == [
        f"Whole recordings: {row[0]}" for row in rows
    ]
    assert "terms" not in compare(3).summarise(), "they are not published"
