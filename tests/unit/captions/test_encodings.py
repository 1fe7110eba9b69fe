# ruff: noqa: RUF001 - letters of all languages
from __future__ import annotations

import time
import unicodedata
from contextlib import suppress

import pytest

from recipe.captions.encodings import decode_text
from recipe.captions.reader import read_captions
from recipe.errors import CaptionError

TEXTS = {
    "pl": "Źrebię stoi za stodołą.\nWiosną kwitną jabłonie, są piękne.\nŚwięto, źródło, ćma.",
    "cs": "Hříbě stojí za stodolou.\nNa jaře kvetou jabloně, jsou krásné.\nŽádný strach, Šárko!",
    "sk": "Žriebä stojí za stodolou, vôňa jabloní, ľahký vietor, kôň.",
    "hu": "Őszi szél fúj a pajta mögött, tűz és füst.\nTavasszal nyílik a virág, öt évig.",
    "hr": "Ždrijebe stoji iza staje, čeka ga ljeto. Đak šeće.",
    "sl": "Žrebe stoji za hlevom, čaka ga poletje. Šest češenj.",
    "ro": "În fiecare primăvară înfloresc merii și suntem fericiţi.",
    "ru": "Жеребёнок стоит за сараем.\nВесной цветут яблони, очень красиво.",
    "uk": "Лоша стоїть за сараєм, його їжа — ґрунтовна.\nНавесні квітнуть яблуні.",
    "bg": "Жребчето стои зад плевнята. Всяка пролет цъфтят ябълките.",
    "sr": "Ждребе стоји иза стаје. Његова ограда је ђачка љуљашка.",
    "el": "Το πουλάρι στέκεται πίσω από τον αχυρώνα.\nΚάθε άνοιξη ανθίζουν οι μηλιές. Άλλη μία.",
    "he": "הסייח עומד מאחורי האסם\nבכל אביב פורחים עצי התפוח",
    "ar": "يقف المهر خلف المخزن\nوفي كل ربيع تزهر أشجار التفاح، هل ترى؟",
    "fa": "كره اسب پشت انبار ايستاده\nهر بهار درختان سيب گل مي‌دهند، چه زيبا",
    "th": "ลูกม้ายืนอยู่หลังโรงนา\nทุกฤดูใบไม้ผลิต้นแอปเปิลออกดอก",
    "tr": "Tay ahırın arkasında duruyor. Her ilkbahar ağaçlar çiçek açar, şu İzmir.",
    "lt": "Kumeliukas stovi už tvarto. Kiekvieną pavasarį žydi obelys, ąžuolų šešėlyje.",
    "lv": "Kumeļš stāv aiz šķūņa. Katru pavasari zied ābeles, ļoti skaisti.",
    "et": "Varss seisab küüni taga. Igal kevadel õitsevad õunapuud, šokolaad.",
    "vi": "Con ngựa non đứng sau nhà kho. Mỗi mùa xuân cây táo nở hoa.",
    "fr": "Le poulain se tient derrière l’étable. Chaque été, où va-t-il… ça alors !",
    "de": "Das Fohlen steht hinter der Scheune. Jedes Frühjahr blühen Äpfel, groß und süß.",
    "es": "¿Quién está detrás del establo? Cada año, mañana, el potro también.",
    "pt": "O potro está atrás do celeiro. Não são más, então março. É você?",
    "it": "Perché? È così: il puledro è più calmo, però no.",
    "sv": "Fölet står bakom ladan. Varje vår blommar träden, så här är det.",
    "da": "Føllet står bag laden. Hvert forår blomstrer æbletræerne.",
    "is": "Folaldið stendur á bak við hlöðuna. Það er þannig, öll ár.",
    "en": "The foal doesn’t move… “not here” – no. Café.",
    "ja": "子馬が納屋の裏に立っています\n毎年春にリンゴの花が咲きます",
    "ko": "망아지가 헛간 뒤에 서 있어요\n해마다 봄이면 사과꽃이 피어요",
    "zh": "小马站在谷仓后面\n每年春天苹果树都会开花",
}
ENCODINGS = {
    "pl": "cp1250 iso8859-2 cp852",
    "cs": "cp1250 iso8859-2 mac-latin2 cp852",
    "sk": "cp1250 iso8859-2",
    "hu": "cp1250 iso8859-2 cp852",
    "hr": "cp1250 iso8859-2 mac-croatian",
    "sl": "cp1250 iso8859-2",
    "ro": "cp1250",
    "ru": "cp1251 koi8-r cp866 iso8859-5 mac-cyrillic",
    "uk": "cp1251 koi8-u mac-cyrillic",
    "bg": "cp1251 koi8-r cp866",
    "sr": "cp1251 iso8859-5",
    "el": "cp1253 iso8859-7 cp737",
    "he": "cp1255 iso8859-8 cp862",
    "ar": "cp1256 iso8859-6",
    "fa": "cp1256",
    "th": "cp874",
    "tr": "cp1254 iso8859-9 cp857",
    "lt": "cp1257 iso8859-13 cp775",
    "lv": "cp1257 iso8859-4 cp775",
    "et": "cp1257 iso8859-15",
    "vi": "cp1258",
    "fr": "cp1252 mac-roman cp850",
    "de": "cp1252 iso8859-15 mac-roman cp437",
    "es": "cp1252 mac-roman cp850",
    "pt": "cp1252 mac-roman cp860",
    "it": "cp1252 mac-roman",
    "sv": "cp1252 mac-roman cp865",
    "da": "cp1252 cp865",
    "is": "cp1252 mac-iceland cp861",
    "en": "cp1252 mac-roman",
    "ja": "cp932 euc-jp iso2022-jp",
    "ko": "cp949 johab iso2022-kr",
    "zh": "gb18030 big5hkscs",
}
FILES = [(language, encoding) for language, names in ENCODINGS.items() for encoding in names.split()]
VIETNAMESE_MARKS = "\u0300\u0301\u0303\u0309\u0323"


def encode(language: str, encoding: str) -> tuple[bytes, str]:
    """A file in an encoding, and what it says: characters that the encoding has not are left out."""
    text = (
        TEXTS[language].replace("’", "'") if encoding.startswith(("cp8", "cp4", "cp7")) else TEXTS[language]
    )
    if encoding == "big5hkscs":
        text = "小馬站在穀倉後面\n每年春天蘋果樹都會開花"
    if encoding == "cp1258":
        text = "".join(map(_part_tone, unicodedata.normalize("NFC", text)))
    lines = "".join(
        f"{n}\n00:00:0{n},000 --> 00:00:0{n},900\n{line}\n\n" for n, line in enumerate(text.split("\n"))
    )
    data = lines.encode(encoding, errors="ignore")
    return data, data.decode(encoding)


def _part_tone(letter: str) -> str:
    parts = unicodedata.normalize("NFD", letter)
    tone = "".join(mark for mark in parts if mark in VIETNAMESE_MARKS)
    return unicodedata.normalize("NFC", "".join(part for part in parts if part not in tone)) + tone


@pytest.mark.parametrize(("language", "encoding"), FILES)
def test_the_words_of_a_language_are_read_in_its_encodings(language, encoding):
    data, text = encode(language, encoding)
    decoded = decode_text(data, language)
    assert decoded.text == text
    assert len(decoded.notes) == 1
    assert decoded.encoding in decoded.notes[0].reason


@pytest.mark.parametrize(("language", "encoding"), FILES)
def test_without_a_language_words_are_read_right_or_refused(language, encoding):
    data, text = encode(language, encoding)
    with suppress(CaptionError):
        decoded = decode_text(data)
        assert decoded.text == text
        assert "name its language" in decoded.notes[0].reason or "iso2022" in decoded.encoding


def test_without_a_language_most_files_in_usual_encodings_are_read():
    usual = [(language, names.split()[0]) for language, names in ENCODINGS.items()]
    num_read = 0
    for language, encoding in usual:
        with suppress(CaptionError):
            decode_text(encode(language, encoding)[0])
            num_read += 1
    assert num_read >= 0.75 * len(usual)


@pytest.mark.parametrize(
    ("language", "encoding", "wanted"),
    [
        *[("ru", "cp1251", wanted) for wanted in ("en", "pl", "el", "ar", "th", "tr", "ja")],
        *[("ru", "koi8-r", wanted) for wanted in ("el", "he", "ar")],
        *[("he", "cp1255", wanted) for wanted in ("el", "ru", "ar")],
        *[("ko", "cp949", wanted) for wanted in ("zh", "ja", "th")],
        *[("el", "cp1253", wanted) for wanted in ("de", "en", "fr", "he", "zh")],
        *[("ja", "cp932", wanted) for wanted in ("en", "ko", "ru", "zh")],
        *[("ar", "cp1256", wanted) for wanted in ("es", "en")],
        ("th", "cp874", "vi"),
        ("pl", "cp1250", "en"),
        ("zh", "gb18030", "sw"),
    ],
)
def test_a_file_in_another_language_is_refused_by_name(language, encoding, wanted):
    data, _ = encode(language, encoding)
    with pytest.raises(
        CaptionError, match=r"it is not UTF-8, and (none of the|may be|its bytes are more like)"
    ):
        decode_text(data, wanted)


@pytest.mark.parametrize("wanted", ["hi", "ka", "am", "ta"])
def test_a_language_without_code_pages_is_refused_by_name(wanted):
    data, _ = encode("ru", "cp1251")
    with pytest.raises(CaptionError, match=r"no older encoding of \w+ is known"):
        decode_text(data, wanted)


@pytest.mark.parametrize(
    ("tag", "language", "encoding"),
    [
        *[(tag, "pl", "cp1250") for tag in ("pl", "pl-PL", "pol")],
        *[
            ("zh-TW", "zh", "big5hkscs"),
            ("cmn", "zh", "gb18030"),
            ("iw", "he", "cp1255"),
            ("fre", "fr", "cp1252"),
        ],
    ],
)
def test_a_language_may_be_given_by_any_tag(tag, language, encoding):
    data, text = encode(language, encoding)
    assert decode_text(data, tag).text == text


def test_a_declared_language_that_is_none_is_as_none():
    head = "WEBVTT\nLanguage: Unknown language\n\n00:01.000 --> 00:02.000\n"
    assert TEXTS["de"] in decode_text(f"{head}{TEXTS['de']}".encode("cp1252")).text


@pytest.mark.parametrize("language", ["en", "fr", "ja", "ru", None])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be"])
def test_unicode_needs_no_language(language, encoding):
    text = "WEBVTT\n\n00:01.000 --> 00:02.000\nКаждый été 春\n"
    assert decode_text(text.encode(encoding), language).text == text


@pytest.mark.parametrize(
    "word", ["It’s late.", "50 °C", "© Anna", "a £5 note", "well — no", "“Yes.”", "Zoë", "a naïve café"]
)
def test_english_with_a_single_character_beyond_ascii_is_read(word):
    data = f"WEBVTT\n\n00:01.000 --> 00:02.000\n{word}\n".encode("cp1252")
    assert word in decode_text(data, "en").text


def test_the_file_s_own_language_is_enough():
    head = "WEBVTT\nKind: captions\nLanguage: is\n\n00:01.000 --> 00:02.000\n"
    data = f"{head}{TEXTS['is']}".encode("cp1252")
    assert TEXTS["is"] in decode_text(data).text


def test_a_refusal_names_the_file(tmp_path):
    path = tmp_path / "talk.srt"
    path.write_bytes(encode("ru", "cp1251")[0])
    with pytest.raises(
        CaptionError, match=r"^talk.srt: it is not UTF-8, and none of the encodings of English"
    ):
        read_captions(path, language="en")


def test_a_large_file_is_read_in_linear_time():
    data = encode("fr", "cp1252")[0] * 10_000  # 1.5 MB
    started = time.process_time()
    decode_text(data, "fr")
    decode_text(data)
    assert time.process_time() - started < 4, "a second"


@pytest.mark.parametrize("byte", [b"\xff", b"\x80", b"\xe9", b"\x1b$B", b"\x81\x40", b"a\xe9"])
def test_much_of_one_byte_is_read_or_refused_in_time(byte):
    started = time.process_time()
    for language in ("fr", "ja", None):
        try:
            decode_text(byte * 200_000, language)
        except CaptionError:
            continue
    assert time.process_time() - started < 4, "a second"
