"""Rows of tables whose letters are not those of their language: what is mended, dropped, kept."""

import pytest

from recipe.captions.cues import Cue
from recipe.captions.sentences import read_sentences

FRENCH = ["Le train part à huit heures.", "Elle a dit « oui ».", "La gare est fermée.", "Où est-elle ?"]
RUSSIAN = ["Поезд отправляется в восемь часов.", "Нет.", "Вокзал сегодня закрыт.", "Где она?"]
JAPANESE = ["電車は八時に出ます。", "彼女は「はい」と言った。", "東京都千代田区永田町一丁目", "駅"]
CHINESE = ["火车早上八点从这里出发请上车", "她说好的然后就不再说话了", "车站今天关闭", "是"]


def read(texts, language):
    cues = [
        Cue("", 4_000 * index, 4_000 * index + 3_500, text, text, line=index + 2)
        for index, text in enumerate(texts)
    ]
    captions = read_sentences(cues, language=language, duration_ms=4_000 * len(texts))
    assert captions.num_cues_in == len(captions.cues) + captions.num_dropped
    return captions


@pytest.mark.parametrize(
    ("texts", "language", "lost"),
    [
        pytest.param(FRENCH, "fr", [], id="its-own"),
        pytest.param(RUSSIAN, "ru", [], id="its-own-script"),
        pytest.param(JAPANESE, "ja", [], id="japanese"),
        pytest.param(RUSSIAN, "fr", [2, 3, 4, 5], id="all-of-another-language"),
        pytest.param(RUSSIAN, None, [], id="nobody-knows"),
        pytest.param([*FRENCH, *RUSSIAN[:3]], "fr", [6, 8], id="a-second-language-by-rows-that-prove-it"),
        pytest.param([*FRENCH[:1], *RUSSIAN], "fr", [3, 4, 5, 6], id="mostly-a-second-language"),
        pytest.param(CHINESE, "ja", [2, 3, 4, 5], id="chinese-is-no-japanese"),
        pytest.param(["Откройте Windows Update, потом PowerShell.", *RUSSIAN], "ru", [], id="terms"),
        pytest.param(["Москва", "Bonjour à tous, et merci."], "fr", [], id="a-short-one-proves-nothing"),
    ],
)
def test_rows_in_other_letters_are_dropped_by_number(texts, language, lost):
    captions = read(texts, language)
    assert [cue.line for cue in captions.cues] == [n for n in range(2, len(texts) + 2) if n not in lost]
    assert [note.line for note in captions.notes] == lost
    assert all("most of its letters are" in note.reason for note in captions.notes)


def test_the_reason_says_what_was_found_and_what_was_expected():
    (note,) = read([*FRENCH, RUSSIAN[0]], "fr").notes
    assert note.reason == "most of its letters are Cyrillic, and French (fr) is written in Latin"
    (note,) = read(CHINESE[:1], "ja").notes
    assert note.reason.startswith("most of its letters are Han without other letters, and Japanese (ja) is")


@pytest.mark.parametrize("texts", [FRENCH, RUSSIAN], ids=["fr", "ru"])
def test_rows_that_were_read_byte_by_byte_are_mended(texts):
    broken = [text.encode().decode("latin-1") for text in texts]
    captions = read(broken, "ru" if texts is RUSSIAN else "fr")
    assert [cue.text for cue in captions.cues] == texts
    assert {note.reason for note in captions.notes} == {captions.notes[0].reason}
