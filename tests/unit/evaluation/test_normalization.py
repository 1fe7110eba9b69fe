# ruff: noqa: RUF001 - the texts are in many scripts on purpose
import unicodedata
from typing import get_args, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.whisper.english_normalizer import BasicTextNormalizer, EnglishTextNormalizer

from recipe.arguments import EvaluationArguments
from recipe.errors import DataError
from recipe.evaluation.metrics import score_text
from recipe.evaluation.normalization import (
    NORMALIZER_LABELS,
    Normalizer,
    fold_text,
    language_code,
    normalize_text,
    split_words,
)

APOSTROPHE = "\u2019"
LETTERS = "abcdefgzéèêëàçñöüßøåœæабвгдежзийёαβγδλσ"
PLAIN_TEXT = st.text(alphabet=LETTERS + LETTERS.upper() + "0123456789 \n.,;:!?'\"-()[]<>&%$€…«»—")


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        pytest.param("fr", "L'eau, c'est la vie !", "l eau c est la vie", id="fr apostrophes part words"),
        pytest.param("fr", f"d{APOSTROPHE}Éric", "d éric", id="fr typographic apostrophe"),
        pytest.param("fr", "l\u00b4eau", "l eau", id="fr acute accent typed for an apostrophe"),
        pytest.param("fr", "Où ça ? À l'été…", "où ça à l été", id="fr accents stay"),
        pytest.param("fr", "e\u0301te\u0301", "été", id="fr decomposed accents are composed"),
        pytest.param("fr", "3,5 % de 1 000 €", "3 5 de 1 000", id="fr numbers are not rewritten"),
        pytest.param("fr", "[Musique] Bonjour (rires) <i>", "bonjour", id="fr annotations in brackets go"),
        pytest.param("en", "I'm gonna pay $20 million.", "i am going to pay $20000000", id="en numbers"),
        pytest.param("en", "twenty-one, 1,000", "21 1000", id="en numerals"),
        pytest.param(
            "en", f"Don{APOSTROPHE}t we{APOSTROPHE}ll", "do not we will", id="en typographic apostrophes"
        ),
        pytest.param("en", "Um, Mr. Café", "mister cafe", id="en fillers, titles and accents"),
        pytest.param("English", "can't", "can not", id="english by name"),
        pytest.param("de", "Die Straße, 21. März: Fünf Äpfel!", "die straße 21 märz fünf äpfel", id="de"),
        pytest.param("tr", "İyi günler", "iyi günler", id="tr dotted capital i"),
        pytest.param(
            "ja",
            "今日は、いい天気ですね。ﾊﾟﾝ 2個",
            "今日はいい天気ですねパン2個",
            id="ja no spaces, full width",
        ),
        pytest.param("zh", "今天 天气，很好！", "今天天气很好", id="zh no spaces"),
        pytest.param("hi", "नमस्ते, दुनिया।", "नमस्ते दुनिया", id="hi vowel signs and virama stay"),
        pytest.param("ta", "தமிழ் மொழி!", "தமிழ் மொழி", id="ta vowel signs stay"),
        pytest.param("ar", "مُحَمَّدٌ، قال: نَعَم", "محمد قال نعم", id="ar vowel points go, words stay whole"),
        pytest.param("he", "שָׁלוֹם, עולם", "שלום עולם", id="he vowel points go, words stay whole"),
        pytest.param("th", "สวัสดี ครับ", "สวัสดีครับ", id="th vowel signs stay, spaces go"),
        pytest.param("yo", "Ọ̀rọ̀ kan", "ọ̀rọ̀ kan", id="yo marks that no letter composes with stay"),
        pytest.param("fa", "می\u200cخواهم", "میخواهم", id="fa unseen joiner goes"),
        pytest.param("fr", "a\x00b\x1fc\u200bd", "a b c d", id="control characters part words"),
        pytest.param("fr", "\ufeffpa\u00adris\u200f", "paris", id="format characters vanish"),
        pytest.param("fr", "❤️ oui 1️⃣ 👩🏽‍🚀", "oui 1", id="emoji leave nothing behind"),
        pytest.param(None, "Hello, don't!", "hello don t", id="language unknown"),
        pytest.param("fr", " \n\t", "", id="nothing but whitespace"),
        pytest.param("ja", "", "", id="empty"),
    ],
)
def test_normalized_text_holds_only_the_words(language: str | None, text: str, expected: str) -> None:
    assert normalize_text(text, language) == expected


def test_english_spellings_are_those_given() -> None:
    text = "The colour, the theatre"
    assert normalize_text(text, "en") == "the colour the theatre"
    assert normalize_text(text, "en", {"colour": "color", "theatre": "theater"}) == "the color the theater"


def test_spellings_are_left_alone_in_other_languages() -> None:
    assert normalize_text("colour", "fr", {"colour": "color"}) == "colour"


SPELLINGS = {"colour": "color"}


@pytest.mark.parametrize(
    ("language", "text", "as_whisper", "as_ours"),
    [
        pytest.param("en", "Uh, the Colour's 20%", "the color is 20%", "the color is 20%", id="en"),
        pytest.param("en", f"Don{APOSTROPHE}t", "don t", "do not", id="en typographic apostrophe"),
        pytest.param("fr", "L'été (rires) à 3,5 %", "l été à 3 5", "l été à 3 5", id="fr diacritics stay"),
        pytest.param("de", "Straße, Äpfel!", "straße äpfel", "straße äpfel", id="de"),
        pytest.param("hi", "नमस्ते दुनिया।", "नमस त द न य", "नमस्ते दुनिया", id="hi words are cut at vowel signs"),
        pytest.param("ar", "مُحَمَّد", "م ح م د", "محمد", id="ar words are cut at vowel points"),
        pytest.param("tr", "İyi", "i yi", "iyi", id="tr dotted capital i"),
        pytest.param("zh", "今天 好。", "今天好", "今天好", id="zh no spaces"),
        pytest.param("th", "ครับ", "ครบ", "ครับ", id="th vowel signs go"),
    ],
)
def test_whispers_own_normaliser_and_ours_differ_as_told(language, text, as_whisper, as_ours) -> None:
    assert Normalizer("whisper", SPELLINGS)(text, language) == as_whisper
    assert Normalizer("whispertrain", SPELLINGS)(text, language) == as_ours


@given(PLAIN_TEXT)
@settings(deadline=None)
def test_whispers_own_is_what_transformers_ships(text: str) -> None:
    assert Normalizer("whisper")(text, "fr") == BasicTextNormalizer()(text).strip()
    assert Normalizer("whisper", SPELLINGS)(text, "en") == EnglishTextNormalizer(SPELLINGS)(text).strip()


def test_whispers_own_english_is_refused_without_its_spellings() -> None:
    with pytest.raises(DataError, match=r"Copy normalizer\.json of openai/whisper-base there"):
        Normalizer("whisper")("colour", "en")


def test_a_normaliser_decides_what_an_error_is() -> None:
    ours, theirs = (
        score_text("मैं घर में", "मैं घर मे", language="hi", normalizer=Normalizer(name))
        for name in ("whispertrain", "whisper")
    )
    assert ours.words_normalized.rate == pytest.approx(1 / 3)
    assert theirs.words_normalized.num_errors == 0, "the sign that differs is cut away"
    assert ours.words == theirs.words, "words as written do not depend on it"


def test_every_normaliser_has_a_label() -> None:
    choices = get_args(get_type_hints(EvaluationArguments)["normalizer"])
    assert set(NORMALIZER_LABELS) == set(choices)
    assert all(Normalizer(name, SPELLINGS)("Un", "fr") == "un" for name in choices)


@given(PLAIN_TEXT)
@settings(deadline=None)
def test_plain_text_is_normalized_as_whisper_does(text: str) -> None:
    assert normalize_text(text, "fr") == BasicTextNormalizer()(text).strip()
    assert normalize_text(text, "en") == EnglishTextNormalizer({})(text).strip()


@given(st.text(alphabet="今天気世界のはがパー学生ab12 、。，！？（）"))
@settings(deadline=None)
def test_languages_without_spaces_are_split_as_whisper_does(text: str) -> None:
    expected = BasicTextNormalizer(split_letters=True)(text).split()
    assert split_words(normalize_text(text, "ja"), "ja") == expected


@given(st.text(), st.sampled_from(["fr", "hi", "zh"]))
@settings(deadline=None)
def test_any_text_loses_its_punctuation_and_all_that_is_unseen(text: str, language: str) -> None:
    normalized = normalize_text(text, language)
    assert normalized == fold_text(normalized)
    assert not {unicodedata.category(c) for c in normalized} & {
        "Cc",
        "Cf",
        "Me",
        "Po",
        "Ps",
        "Pd",
        "Sm",
        "Sc",
        "So",
    }


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        pytest.param("fr", "l'eau  est\nlà", ["l'eau", "est", "là"], id="fr by spaces"),
        pytest.param(None, "今天 很好", ["今天", "很好"], id="unknown language by spaces"),
        pytest.param("hi", "नमस्ते दुनिया", ["नमस्ते", "दुनिया"], id="hi by spaces"),
        pytest.param("zh", "今天 好。", ["今", "天", "好", "。"], id="zh by character, as written"),
        pytest.param("yue", "你好", ["你", "好"], id="yue by character"),
        pytest.param("ko", "안녕 하세요", ["안녕", "하세요"], id="ko by spaces"),
        pytest.param("Thai", "สวัสดี", ["ส", "วั", "ส", "ดี"], id="th by letter with its marks"),
        pytest.param("zh", "", [], id="empty"),
    ],
)
def test_words_are_split_as_the_language_writes_them(
    language: str | None, text: str, expected: list[str]
) -> None:
    assert split_words(text, language) == expected


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("fr", "fr"),
        ("FR", "fr"),
        ("French", "fr"),
        ("fr-CA", "fr"),
        ("zh_Hant", "zh"),
        ("Mandarin", "zh"),
        ("yue", "yue"),
        ("eng", "en"),
        ("fre", "fr"),
        ("iw", "he"),
        ("cmn-Hans", "zh"),
        ("nb", "no"),
        ("jv", "jw"),
        ("und", "und"),
        ("no language", "no language"),
        (None, None),
    ],
)
def test_a_language_is_known_by_code_tag_or_name(language: str | None, expected: str | None) -> None:
    assert language_code(language) == expected


def test_folded_text_keeps_all_but_whitespace_and_composition() -> None:
    assert fold_text(" Où\u00a0vas-tu ?\r\n\u3000E\u0301té… ") == "Où vas-tu ? Été…"
