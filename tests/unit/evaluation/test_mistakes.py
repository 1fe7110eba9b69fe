import pytest

from recipe.evaluation.mistakes import (
    Step,
    Text,
    align_words,
    describe_mistakes,
    judge_style,
    mark_differences,
)


def test_an_alignment_has_every_word_once() -> None:
    said, written = ["a", "b", "c", "d", "e", "g", "h"], ["a", "x", "c", "e", "g", "h", "f"]
    assert list(align_words(said, written)) == [
        Step("equal", "a", "a"),
        Step("substitute", "b", "x"),
        Step("equal", "c", "c"),
        Step("delete", "d", ""),
        Step("equal", "e g h", "e g h"),
        Step("insert", "", "f"),
    ]


@pytest.mark.parametrize(
    ("said", "written", "steps"),
    [
        pytest.param("", "", [], id="silence taken for silence"),
        pytest.param("", "a b", [Step("insert", "", "a b")], id="words in silence"),
        pytest.param("a b", "", [Step("delete", "a b", "")], id="nothing written"),
    ],
)
def test_an_alignment_of_nothing(said: str, written: str, steps: list[Step]) -> None:
    assert list(align_words(said.split(), written.split())) == steps


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        pytest.param(
            Text("Well, we saw Anna.", "well we saw Hannah!", "en"),
            [Step("equal", "Well, we saw", "well we saw"), Step("substitute", "Anna.", "Hannah!")],
            id="case and punctuation are no difference, and are shown as written",
        ),
        pytest.param(
            Text("— Oui — dit-il", "oui dit-il", "fr"),
            [
                Step("equal", "—", ""),
                Step("equal", "Oui", "oui"),
                Step("equal", "—", ""),
                Step("equal", "dit-il", "dit-il"),
            ],
            id="a dash alone",
        ),
        pytest.param(
            Text("今天天气", "今天气", "zh"),
            [Step("equal", "今 天", "今 天"), Step("delete", "天", ""), Step("equal", "气", "气")],
            id="characters where no spaces are written",
        ),
    ],
)
def test_words_are_marked_as_they_are_written(text: Text, steps: list[Step]) -> None:
    found = mark_differences(text)
    assert sorted(found) == sorted(steps)
    assert [step.reference for step in found if step.reference] == [
        step.reference for step in steps if step.reference
    ]


def test_the_tables_count_what_was_taken_for_what() -> None:
    texts = [
        Text("We met Anna in Rome at 7.", "we met Hanna in Rome at 7", "en"),
        Text("Then Anna left.", "then Hanna left", "en"),
        Text("So I'm told by Peter, aged 12.", "so told by Peter aged 20", "en"),
    ]
    mistakes = describe_mistakes(texts)
    assert mistakes["substituted"][0] == {"said": "anna", "written": "hanna", "times": 2}
    assert mistakes["never_got"] == [{"word": "anna", "times": 2}]
    assert {"word": "i", "times": 1} in mistakes["omitted"] or {"word": "am", "times": 1} in mistakes[
        "omitted"
    ]
    assert mistakes["inserted"] == []
    assert mistakes["names_and_numbers"] == {"names": 4, "names_got": 2, "numbers": 2, "numbers_got": 1}


def test_style_is_told_from_content() -> None:
    style = judge_style([Text("He said: NO, two.", "he said no 2", "en"), Text("Yes.", "Yes.", "en")])
    assert [counts.num_errors for counts in vars(style).values()] == [4, 3, 1, 0]


def test_the_order_of_windows_plays_no_part() -> None:
    texts = [Text(f"a b{number} c", f"a x{number} c", "fr") for number in range(50)]
    assert describe_mistakes(texts)["substituted"] == describe_mistakes(texts[::-1])["substituted"]
