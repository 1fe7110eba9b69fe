import pytest

from recipe.captions.plain_text import read_plain_text, split_phrases
from recipe.errors import CaptionError

TEXTS = {
    "sentences": ("One. Two! Three?", ["One.", "Two!", "Three?"]),
    "lines": ("first line\nsecond line", ["first line", "second line"]),
    "wrapped": (
        "Der alte Mann ging am Morgen hinunter zum Hafen, um nach dem Boot zu\nsehen, das dort lag.",
        ["Der alte Mann ging am Morgen hinunter zum Hafen, um nach dem Boot zu\nsehen, das dort lag."],
    ),
    "abbreviations": ("Dr. Novák přišel. Pak č. 5 odešla.", ["Dr. Novák přišel.", "Pak č. 5 odešla."]),
    "quotation": ("« Bonjour ! » Il partit.", ["« Bonjour !", "» Il partit."]),
    "japanese": ("これは本です。「はい。」そう言った", ["これは本です。", "「はい。」", "そう言った"]),
    "hindi": ("यह एक किताब है। वह घर गया।", ["यह एक किताब है।", "वह घर गया।"]),
    "arabic": ("هل جاء؟ نعم جاء.", ["هل جاء؟", "نعم جاء."]),
    "times in brackets": ("[00:01:02] Hola.\n(1:05) Adiós.", ["Hola.", "Adiós."]),
    "times at the start": ("00:12 Привет\n00:15 - 00:18 Пока", ["Привет", "Пока"]),
    "mac line ends": ("uno\rdos\r\ntre", ["uno", "dos", "tre"]),
    "rules of dashes": ("one\n-----\n* * *\ntwo", ["one", "two"]),
}


@pytest.mark.parametrize(("text", "phrases"), TEXTS.values(), ids=TEXTS)
def test_a_phrase_is_a_sentence_or_a_line(text, phrases):
    assert [phrase.text for phrase in split_phrases(text)] == phrases


def test_a_phrase_knows_its_line():
    phrases = split_phrases("Anna: yes. No.\n\nBen: well")
    assert [(phrase.line, phrase.begins_line) for phrase in phrases] == [(1, True), (1, False), (3, True)]


@pytest.mark.parametrize(
    ("data", "found"),
    [(b"", "no words"), (b" \n--\n", "no words"), (b"PK\x03\x04" + bytes(range(9)) * 40, "binary")],
    ids=["empty", "marks alone", "binary"],
)
def test_what_is_no_text_is_refused_by_name(tmp_path, data, found):
    path = tmp_path / "talk.txt"
    path.write_bytes(data)
    with pytest.raises(CaptionError, match=rf"talk\.txt: .*{found}"):
        read_plain_text(path)


def test_a_text_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(CaptionError, match=r"talk\.txt: the text file cannot be read"):
        read_plain_text(tmp_path / "talk.txt")
