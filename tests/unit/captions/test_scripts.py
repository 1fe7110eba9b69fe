# ruff: noqa: RUF001 - a table of other languages' lines
"""The letters of a file against the scripts of its language."""

from __future__ import annotations

import pytest
from caption_files import read_written, write_srt
from hypothesis import given
from hypothesis import strategies as st

from recipe.captions.scripts import count_scripts, foreign_fraction, scripts_of
from recipe.errors import CaptionError

SAID = {
    "en": "We keep the bees behind the barn and open the boxes in spring.",
    "fr": "Nous élevons des abeilles derrière la grange, là-bas.",
    "de": "Wir halten Bienen hinter der Scheune, übrigens schon lange.",
    "vi": "Chúng tôi nuôi ong sau kho và mở thùng mỗi mùa xuân.",
    "ru": "Мы держим пчёл за сараем и открываем ульи весной.",
    "uk": "Ми тримаємо бджіл за сараєм і відкриваємо їх навесні.",
    "el": "Έχουμε μέλισσες πίσω από τον αχυρώνα εδώ και χρόνια.",
    "ar": "نربي النحل خلف الحظيرة ونفتح الصناديق كل ربيع.",
    "fa": "ما پشت انبار زنبور نگه می‌داریم و بهار باز می‌کنیم.",
    "he": "אנחנו מגדלים דבורים מאחורי האסם ופותחים אותן באביב.",
    "hi": "हम खलिहान के पीछे मधुमक्खियाँ पालते हैं।",
    "bn": "আমরা গোলাঘরের পিছনে মৌমাছি পালন করি।",
    "ta": "நாங்கள் களஞ்சியத்தின் பின்னால் தேனீ வளர்க்கிறோம்.",
    "th": "เราเลี้ยงผึ้งหลังยุ้งข้าวและเปิดกล่องทุกปี",
    "ja": "納屋の裏で蜂を飼っています。毎年春に箱を開けます。",
    "ko": "우리는 헛간 뒤에서 벌을 치고 봄마다 상자를 연다.",
    "zh": "我们在谷仓后面养蜜蜂每年春天都要打开箱子它们很安静",
    "ka": "ჩვენ ფუტკარს ბეღლის უკან ვინახავთ და გაზაფხულზე ვხსნით.",
    "hy": "Մենք մեղուներ ենք պահում գոմի հետևում արդեն երկար։",
    "am": "ከጎተራው በስተጀርባ ንቦችን እናረባለን በየዓመቱም እንከፍታለን።",
}  # fmt: skip

BOTH = [
    ("sr", "ru"),
    ("sr", "en"),
    ("az", "en"),
    ("uz", "ru"),
    ("pa", "fa"),
    ("no", "de"),
    ("yue", "zh"),
    ("jw", "en"),
]


def read(tmp_path, texts, language):
    cues = ((n * 5_000, n * 5_000 + 4_500, text) for n, text in enumerate(texts))
    return read_written(tmp_path, write_srt(cues), language=language)


@pytest.mark.parametrize("language", SAID)
def test_a_language_in_its_own_script_is_read_without_a_note(tmp_path, language):
    captions = read(tmp_path, [SAID[language]] * 2, language)
    assert len(captions.cues) == 2
    assert not captions.notes


@pytest.mark.parametrize(("language", "written"), BOTH, ids=map("-".join, BOTH))
def test_a_language_may_have_several_scripts_or_an_old_code(tmp_path, language, written):
    assert not read(tmp_path, [SAID[written]], language).notes


WRONG = {
    "arabic read as cp1252": ("ar", SAID["ar"].encode("cp1256", "ignore").decode("cp1252", "ignore")),
    "greek read as cp1252": ("el", SAID["el"].encode("cp1253").decode("cp1252", "ignore")),
    "hebrew read as latin-1": ("he", SAID["he"].encode("cp1255").decode("latin-1")),
    "russian read as latin-1": ("ru", SAID["ru"].encode("cp1251").decode("latin-1")),
    "russian koi8 read as cp1252": ("ru", SAID["ru"].encode("koi8-r").decode("cp1252", "ignore")),
    "thai read as latin-1": ("th", SAID["th"].encode("cp874").decode("latin-1")),
    "japanese read as latin-1": ("ja", SAID["ja"].encode("cp932").decode("latin-1")),
    "korean read as latin-1": ("ko", SAID["ko"].encode("cp949").decode("latin-1")),
    "chinese read as cp1251": ("zh", SAID["zh"].encode("gb18030").decode("cp1251", "ignore")),
    "german read as cp1251": ("de", "Größe, für, schöne, Übung, äöüß " * 2 + "ЯЯЯЯЯЯЯЯ" * 12),
    "for the hearing impaired": ("hi", SAID["en"]),
    "a translation": ("ja", SAID["en"]),
    "another recording": ("en", SAID["ru"]),
    "another alphabet": ("uk", SAID["el"]),
    "chinese for japanese": ("ja", SAID["zh"]),
    "chinese for korean": ("ko", SAID["zh"]),
    "japanese for chinese": ("zh", SAID["ja"]),
    "hindi in latin letters": ("hi", "hum subah jaldi uthte hain aur khet mein jaate hain"),
}  # fmt: skip


@pytest.mark.parametrize(("language", "text"), WRONG.values(), ids=WRONG)
def test_a_file_that_is_mostly_in_other_letters_is_refused(tmp_path, language, text):
    with pytest.raises(
        CaptionError, match=rf"^talk.srt: .* of the letters .*\({language}\).* set the language"
    ):
        read(tmp_path, [text], language)


@pytest.mark.parametrize("language", ["ru", "ar", "hi", "th", "el", "ko", "he", "uk"])
def test_a_lesser_share_of_other_letters_is_flagged(tmp_path, language):
    captions = read(tmp_path, [SAID[language]] * 4 + [SAID["en"]], language)
    assert len(captions.cues) == 5
    (note,) = captions.notes
    assert (note.line, str(note.action)) == (0, "flagged")
    assert "of the letters are Latin" in note.reason


def test_names_of_other_languages_are_not_worth_a_note(tmp_path):
    assert not read(tmp_path, [SAID["en"], SAID["en"], "It is called Αθήνα."], "en").notes


def test_few_letters_prove_nothing(tmp_path):
    assert len(read(tmp_path, ["OK, OK."], "ru").cues) == 1


@pytest.mark.parametrize("language", [None, "xx", "nobody", ""])
def test_a_language_that_nobody_knows_refuses_nothing(tmp_path, language):
    assert len(read(tmp_path, list(SAID.values()), language).cues) == len(SAID)


@given(st.text(max_size=40), st.sampled_from([*SAID, "sr", "yue", "xx"]))
def test_a_fraction_is_a_fraction(text, language):
    assert 0 <= foreign_fraction([text], language) <= 1


def test_scripts_are_counted_by_their_names():
    assert count_scripts(["été 12", "да"]) == {"LATIN": 3, "CYRILLIC": 2}


def test_every_language_of_whisper_has_a_script():
    from transformers.models.whisper.tokenization_whisper import LANGUAGES  # noqa: PLC0415 - slow

    assert not [code for code in LANGUAGES if not scripts_of(code)]
