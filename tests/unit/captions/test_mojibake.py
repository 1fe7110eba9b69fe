# ruff: noqa: RUF001 - a table of other languages' lines
"""Text that was read in a wrong encoding before it was saved."""

from __future__ import annotations

import pytest
from caption_files import read_written, write_srt

from recipe.captions.mojibake import mend_text
from recipe.captions.reader import is_uncertain

SAID = {
    "fr": ["Où êtes-vous allés ?", "À la mer, évidemment.", "C'est déjà l'été…", "Et toi ?"],
    "de": ["Wir müssen übermorgen los.", "Schöne Grüße!", "Weißt du „wann“?", "Um elf."],
    "es": ["¿Dónde estáis, niños?", "Aquí, en el jardín.", "Mañana volverá el señor.", "Sí."],
    "pt": ["Não sei o que é.", "A irmã já chegou.", "Às três da manhã.", "Então vá."],
    "pl": ["Książka leży na półce.", "Źle się czuję.", "Być może później.", "Tak."],
    "tr": ["Şimdi gidiyoruz.", "Çocuklar ağlıyor.", "Güneş battı bile.", "Öyle mi?"],
    "en": ["It’s over, isn’t it?", "“So they say.”", "He went — quietly.", "Then go."],
    "ru": ["Мы ждали поезд.", "Он так и не пришёл.", "Пойдём домой.", "Да."],
    "uk": ["Ми чекали на потяг.", "Він так і не прийшов.", "Ходімо додому.", "Так."],
    "el": ["Περιμέναμε το τρένο.", "Δεν ήρθε ποτέ.", "Πάμε σπίτι.", "Ναι."],
    "ar": ["انتظرنا القطار.", "لم يأت أبدا.", "لنذهب إلى البيت.", "نعم."],
    "ja": ["電車を待っていました", "来ませんでした", "家に帰りましょう", "はい"],
    "zh": ["我们一直在等火车", "它没有来", "我们回家吧", "好"],
    "ko": ["우리는 기차를 기다렸다", "오지 않았다", "집에 가자", "그래"],
}  # fmt: skip

PAGES = [("cp1252", language) for language in SAID] + [("cp1251", language) for language in SAID]


def misread(text, code_page):
    return "".join(bytes([byte]).decode(code_page, "ignore") or chr(byte) for byte in text.encode())


def read(tmp_path, texts, language=None):
    cues = ((n * 4_000, n * 4_000 + 3_500, text) for n, text in enumerate(texts))
    return read_written(tmp_path, write_srt(cues), language=language)


@pytest.mark.parametrize(("code_page", "language"), PAGES, ids=map("-".join, PAGES))
def test_utf_8_that_was_read_byte_by_byte_is_mended(tmp_path, code_page, language):
    captions = read(tmp_path, [misread(text, code_page) for text in SAID[language]], language)
    plain = read(tmp_path, SAID[language], language)
    assert [cue.text for cue in captions.cues] == [cue.text for cue in plain.cues]
    assert any("read byte by byte" in note.reason for note in captions.notes)


@pytest.mark.parametrize("language", ["fr", "de", "es", "ru", "pl", "ja"])
def test_what_was_misread_twice_is_mended_too(language):
    for text in SAID[language]:
        assert mend_text(misread(misread(text, "cp1252"), "cp1252")) == text


@pytest.mark.parametrize("language", SAID)
def test_text_that_was_read_right_is_left(tmp_path, language):
    captions = read(tmp_path, SAID[language], language)
    assert not captions.notes
    assert all(mend_text(text) == text for text in SAID[language])


def test_a_chance_is_no_proof(tmp_path):
    captions = read(tmp_path, ["On va au « CAFÉ»", "Là-bas.", "Déjà ?", "CAFÉ»"], "fr")
    assert [cue.text for cue in captions.cues][-1] == "CAFÉ»"


def test_signs_inside_words_are_flagged(tmp_path):
    said = ["Książka leży na półce.", "Wszyscy byliśmy zmęczeni.", "Słońce świeciło.", "Tak."]
    texts = [text.encode("cp1250").decode("cp1252", "replace") for text in said]
    captions = read(tmp_path, texts, "pl")
    assert sum(map(is_uncertain, captions.notes)) >= 1
