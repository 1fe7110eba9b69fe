import unicodedata

import pytest

from recipe.data.caption_names import Kind, fold_name, is_quality, primary_language, read_suffix


def read(suffix: str):
    return read_suffix(fold_name(suffix))


@pytest.mark.parametrize(
    ("suffix", "tag"),
    [
        ("", ""),
        (".en", "en"),
        (".fr-CA", "fr-CA"),
        (".en_US", "en-US"),
        ("_pt_br", "pt-BR"),
        ("-DE", "de"),
        (" nl", "nl"),
        ("(it)", "it"),
        ("[ja]", "ja"),
        (".eng", "en"),
        ("_ger", "de"),
        (".cze", "cs"),
        (".iw", "he"),
        (".es-419", "es-419"),
        (".jp", "ja"),
        ("_cht", "zh-Hant"),
        (".pob", "pt-BR"),
        (".zh-Hans", "zh-Hans"),
        (".zh-Hant-TW", "zh-Hant-TW"),
        (".sr-Latn-RS", "sr-Latn-RS"),
        (".yue", "yue"),
        (".kab", "kab"),
        (".English", "en"),
        (" - English", "en"),
        ("_Français", "fr"),
        (".deutsch", "de"),
        (".Čeština", "cs"),
        (".Русский", "ru"),
        (".українська", "uk"),
        (".日本語", "ja"),
        (".한국어", "ko"),
        (" (العربية)", "ar"),
        (".हिन्दी", "hi"),
        (".Tiếng Việt", "vi"),
        (".ไทย", "th"),
        (".中文\uff08繁體\uff09", "zh-Hant"),
        ("_简体中文", "zh-Hans"),
        (" Chinese Simplified", "zh-Hans"),
        (" - Portuguese (Brazil)", "pt-BR"),
        (" Spanish - Latin America", "es-419"),
        (" Norsk bokmål", "nb"),
        (".English.en", "en"),
        (".en-nP7-2PuUl7o", "en"),
        ("_track3_[eng]", "en"),
    ],
)
def test_languages_are_read_as_people_and_tools_write_them(suffix, tag):
    for form in ("NFC", "NFD"):
        found = read(unicodedata.normalize(form, suffix))
        assert found is not None
        assert (found.language, found.unusable) == (tag, "")


@pytest.mark.parametrize(
    ("suffix", "tag", "kind"),
    [
        (".en.sdh", "en", Kind.HEARING_IMPAIRED),
        (".en.hi", "en", Kind.HEARING_IMPAIRED),
        (".hi.en", "en", Kind.HEARING_IMPAIRED),
        ("_de_hi", "de", Kind.HEARING_IMPAIRED),
        (".cc", "", Kind.HEARING_IMPAIRED),
        (".en.cc", "en", Kind.HEARING_IMPAIRED),
        (" (Closed Captions)", "", Kind.HEARING_IMPAIRED),
        (".transcript", "", Kind.PLAIN),
        (".mp3", "", Kind.PLAIN),
        (".webm.es", "es", Kind.PLAIN),
        ("_captions", "", Kind.PLAIN),
        ("-sous-titres-fr", "fr", Kind.PLAIN),
        (".Untertitel", "", Kind.PLAIN),
        (".字幕", "", Kind.PLAIN),
        (".en-orig", "en", Kind.ORIGINAL),
        (".pt-BR-orig", "pt-BR", Kind.ORIGINAL),
        (".auto", "", Kind.AUTOMATIC),
        (" [English (auto-generated)]", "en", Kind.AUTOMATIC),
        (".ru.asr", "ru", Kind.AUTOMATIC),
        ("_otter_ai", "", Kind.AUTOMATIC),
        (".whisper.pl", "pl", Kind.AUTOMATIC),
        ("_Captions_English (United States)", "en-US", Kind.PLAIN),
        (".verbatim", "", Kind.PLAIN),
        (".en.forced", "en", Kind.FORCED),
        (" - Signs & Songs", "", Kind.FORCED),
        (".chapters", "", Kind.OTHER),
        (".live_chat", "", Kind.OTHER),
        ("-thumbnails", "", Kind.OTHER),
        (".commentary.en", "en", Kind.OTHER),
    ],
)
def test_words_say_what_kind_of_captions_they_are(suffix, tag, kind):
    found = read(suffix)
    assert found is not None
    assert (found.language, kind in found.kinds) == (tag, True)
    assert bool(found.unusable) == (kind in {Kind.FORCED, Kind.OTHER})


def test_captions_translated_by_a_machine_say_from_what():
    found = read(".de-en")
    assert found is not None
    assert (found.language, found.translated_from) == ("de", "en")


@pytest.mark.parametrize(
    "suffix",
    [
        " part 2",
        "-2",
        ".final",
        "_old",
        "-new",
        " one",
        ".en.2",
        "-teil-zwei",
        " (Take 3)",
        ".première",
        "_最終",
    ],
)
def test_other_words_make_it_the_name_of_something_else(suffix):
    assert read(suffix) is None


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [
        ("_1920x1080", True),
        (".f137", True),
        (" 720p", True),
        ("_gallery_1280x720", True),
        ("-4K", True),
        (".audio", True),
        ("_part2", False),
        (" 3", False),
    ],
)
def test_words_of_quality_tell_files_of_one_recording_apart(suffix, expected):
    assert is_quality(fold_name(suffix)) == expected


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("en-US", "en"),
        ("nb", "no"),
        ("nn-NO", "no"),
        ("jw", "jv"),
        ("tl", "fil"),
        ("cmn-Hans", "zh"),
        ("", ""),
    ],
)
def test_kindred_codes_are_one_language(tag, language):
    assert primary_language(tag) == language
