"""The encoding of a caption file: UTF by its marks, else the code page that makes its language's words.

Bytes of a code page are letters in every other one too, so the code page is chosen by what it makes of
them. A reading is scored by its characters beyond ASCII: letters of the language count for it; symbols
inside words, capitals behind small letters, controls and rare ideographs count against it. What no reading
makes sense of is refused, for a wrong letter in a label is worse than a lost file.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from operator import attrgetter
from typing import NamedTuple

from recipe.captions.cues import Action, Note
from recipe.errors import CaptionError, LanguageNeededError

MIN_SCORE = 0.7
"""A reading below this is no text of the language."""

MIN_SCORE_ALONE = 0.85
"""The same where nobody says the language."""

MIN_LEAD = 0.2
"""By how much the characters in which two readings differ must score apart; less is a tie."""

MIN_LIKENESS_LEAD = 0.05
"""By how much a reading must be more like its language than any other is like its own. Measured on 80 short
files in 32 languages: the right one leads by 0.05 to 0.4."""

_MIN_FREQUENCY_LEAD = 0.05  # between two readings in one language that suit equally well
_UNCOUNTED_FREQUENCY = 0.6  # of the letters of languages that nobody counted; that of others is 0.55 to 0.75
_RARE_ENCODING = 0.95  # the likeness of encodings that editors of captions seldom wrote
_SAMPLE_BYTES = 2048  # of lines beyond ASCII that are read in all languages: some twenty
_LANGUAGE_SAMPLE_BYTES = 32_768  # the same in one
_MAX_LINE_BYTES = 500
_MIN_EVIDENCE = 10  # characters beyond ASCII that two languages can be told by
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
_MAX_LATIN_SHARE = 0.5  # of letters beyond ASCII in Latin script; Vietnamese has a third
_OTHER_NAMES = {"Persian": "Farsi", "Slovenian": "Slovene"}  # as the detector calls them
_MIN_COMMON_SHARE = 0.08  # of the most frequent ideographs or syllables in a text
_HINT = "; name its language to be sure"
_REMEDY = "Save the file as UTF-8, or name the language that it is in."
_ESCAPES = re.compile(rb"\x1b(?:\$[@AB]|\$\([CDOPQ]|\$\)C|\([BIJ])")
_HEADER_BYTES = 65_536

_WESTERN = ("cp1252", "iso8859-15", "mac-roman", "cp850", "cp437")
_CENTRAL = ("cp1250", "iso8859-2", "mac-latin2", "cp852")
_CYRILLIC = ("cp1251", "koi8-r", "iso8859-5", "mac-cyrillic", "cp866", "cp855")
_UKRAINIAN = ("cp1251", "koi8-u", "iso8859-5", "mac-cyrillic", "cp1125", "cp866")
_BALTIC = ("cp1257", "iso8859-13", "iso8859-4", "cp775")
_NORDIC = ("cp1252", "iso8859-15", "mac-roman", "cp865", "cp850")
_ARABIC = ("cp1256", "iso8859-6", "cp720")
_CHINESE = ("gb18030", "big5hkscs")

_PROBABLE = frozenset(
    ["cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874"]
    + ["koi8-r", "koi8-u", "cp932", "euc-jp", "cp949", "gb18030", "big5hkscs"]
    + ["iso8859-2", "iso8859-5", "iso8859-6", "iso8859-7", "iso8859-8", "iso8859-9", "iso8859-15"]
)
"""What editors of captions wrote; the rest are DOS's and old Macs', which lose a tie."""

_RUSSIAN = "абвгдеёжзийклмнопрстуфхцчшщъыьэюя"
_ARABIC_LETTERS = "ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىيـًٌٍَُِّْ"
_HEBREW = "אבגדהוזחטיךכלםמןנסעףפץצקרשת" + "".join(map(chr, range(0x5B0, 0x5C3))) + "\u05f0\u05f1\u05f2"
_GREEK = "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ"
_SPANISH_MARKS = "¿¡ªº"

_LANGUAGES: dict[str, tuple[tuple[str, ...], str]] = {
    "en": (_WESTERN, "àâäçéèêëîïñôöùûüœæ"),
    "de": (_WESTERN, "äöüß"),
    "fr": ((*_WESTERN, "cp863"), "àâæçéèêëîïôœùûüÿ"),
    "es": (_WESTERN, "áéíñóúü" + _SPANISH_MARKS),
    "it": (_WESTERN, "àèéìíîòóùú"),
    "pt": ((*_WESTERN, "cp860"), "àáâãçéêíóôõúüªº"),
    "nl": (_WESTERN, "áâäèéêëíîïóôöúûü"),
    "ca": (_WESTERN, "àçèéíïòóúü·¿¡"),
    "gl": (_WESTERN, "áéíïñóúü" + _SPANISH_MARKS),
    "eu": (_WESTERN, "çñü¿¡"),
    "oc": (_WESTERN, "àáçèéíïòóú"),
    "br": (_WESTERN, "âêîñôùûü"),
    "lb": (_WESTERN, "äëéèêöôü"),
    "af": (_WESTERN, "áâäèéêëíîïóôöúû"),
    "sv": (_NORDIC, "åäöéàü"),
    "da": (_NORDIC, "æøåéèêàáíóúý"),
    "no": (_NORDIC, "æøåéèêóòôàâ"),
    "fi": (_NORDIC, "äöåšž"),
    "is": ((*_NORDIC, "mac-iceland", "cp861"), "áðéíóúýþæö"),
    "fo": ((*_NORDIC, "mac-iceland", "cp861"), "áðíóúýæø"),
    "sq": (_WESTERN, "çë"),
    "cy": (("iso8859-14", *_WESTERN), "âêîôûŵŷáéíóúàèìòùẁỳäëïöüÿ"),
    "mt": (("iso8859-3", *_WESTERN), "ċġħżàèìòù"),
    "pl": (_CENTRAL, "ąćęłńóśźż"),
    "cs": (_CENTRAL, "áčďéěíňóřšťúůýž"),
    "sk": (_CENTRAL, "áäčďéíĺľňóôŕšťúýž"),
    "hu": (_CENTRAL, "áéíóöőúüű"),
    "sl": ((*_CENTRAL, "mac-croatian"), "čšžćđ"),
    "hr": ((*_CENTRAL, "mac-croatian"), "čćđšž"),
    "bs": ((*_CENTRAL, "mac-croatian"), "čćđšž"),
    "ro": (("cp1250", "iso8859-16", "iso8859-2", "mac-romanian", "cp852"), "ăâîșțşţ"),
    "tr": (("cp1254", "iso8859-9", "mac-turkish", "cp857"), "çğıİöşüâîû"),
    "az": (("cp1254", "iso8859-9"), "çğıöşüə"),
    "et": ((*_BALTIC, "cp1252", "iso8859-15"), "äõöüšž"),
    "lv": (_BALTIC, "āčēģīķļņōŗšūž"),
    "lt": (_BALTIC, "ąčęėįšųūž"),
    "mi": (("cp1257", "iso8859-4", "cp1252"), "āēīōū"),
    "vi": (
        ("cp1258",),
        "ăâđêôơưàảãáạằẳẵắặầẩẫấậèẻẽéẹềểễếệìỉĩíịòỏõóọồổỗốộờởỡớợùủũúụừửữứựỳỷỹýỵ\u0300\u0301\u0303\u0309\u0323",
    ),
    "ru": (_CYRILLIC, _RUSSIAN),
    "bg": (_CYRILLIC, "абвгдежзийклмнопрстуфхцчшщъьюя"),
    "uk": (_UKRAINIAN, "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя"),
    "be": (_UKRAINIAN, "абвгдеёжзійклмнопрстуўфхцчшыьэюя"),
    "sr": (
        ("cp1251", "cp1250", "iso8859-5", "iso8859-2", "mac-cyrillic", "cp855"),
        "абвгдђежзијклљмнњопрстћуфхцчџшčćđšž",
    ),
    "mk": (("cp1251", "iso8859-5", "mac-cyrillic", "cp855"), "абвгдѓежзѕијклљмнњопрстќуфхцчџш"),
    "kk": (("kz1048", "ptcp154", "cp1251"), _RUSSIAN + "әғқңөұүһі"),
    "tg": (("koi8-t", "cp1251"), _RUSSIAN + "ғӣқӯҳҷ"),
    "mn": (("ptcp154", "cp1251"), _RUSSIAN + "өү"),
    "el": (("cp1253", "iso8859-7", "mac-greek", "cp737", "cp869"), _GREEK),
    "he": (("cp1255", "iso8859-8", "cp862"), _HEBREW),
    "yi": (("cp1255",), _HEBREW),
    "ar": (_ARABIC, _ARABIC_LETTERS),
    "fa": (_ARABIC, _ARABIC_LETTERS + "پچژگکی"),
    "ur": (_ARABIC, _ARABIC_LETTERS + "پچژگکیٹڈڑںےھہ"),
    "th": (("cp874", "iso8859-11"), "".join(map(chr, range(0xE01, 0xE5C)))),
    "ja": (("cp932", "euc-jp", "shift-jis-2004", "euc-jis-2004"), ""),
    "ko": (("cp949", "johab"), ""),
    "zh": (_CHINESE, ""),
    "yue": (("big5hkscs", "gb18030"), ""),
}
"""The encodings of each language's captions, the usual first, and its letters beyond ASCII (CLDR's main and
auxiliary exemplars, small). A language that is not here has no code page that Python knows, or needs none."""

_IDEOGRAPHIC = frozenset({"ja", "ko", "zh", "yue"})
_LOANS = frozenset("àáâãäåæçèéêëíîïñóôöøùúûüœ")
_LOAN_SCORE = 0.6
_PUNCTUATION = frozenset(
    "\xa0“”‘’„‚«»‹›…–—―•·°€£¥§©®™½¼¾№♪،؛؟٪´"  # noqa: RUF001
    "\u3000、。〈〉《》「」『』【】〜・…！？：；，．（）～ー—♪♫\u200c\u200d\u200e\u200f"  # noqa: RUF001
)
_WITHIN_WORDS = frozenset("\u2019\xad·\u2010\u2011\u00b4\u200c\u200d")
_CLOSING = frozenset("\u2019\u201d»›…")  # noqa: RUF001
_OPENING = frozenset("‘‚„«‹¿¡")  # noqa: RUF001
_FINAL_FORMS = frozenset("ךםןףץ")
_COMMON_IDEOGRAPHS = (("gb18030", 0xB0, 0xD7), ("big5hkscs", 0xA4, 0xC6), ("euc-jp", 0xB0, 0xCF))


class DecodedText(NamedTuple):
    """A file's text, and how it was come by.

    Attributes:
        text: Without byte order mark; bytes that cannot be decoded are U+FFFD.
        encoding: Python's name of the encoding.
        notes: One, if the encoding was chosen.
    """

    text: str
    encoding: str
    notes: list[Note]


class _Language(NamedTuple):
    code: str
    encodings: tuple[str, ...]
    letters: frozenset[str]  # beyond ASCII, small and capital
    is_latin: bool


@dataclass(frozen=True, eq=False)
class _Reading:
    """What an encoding makes of a sample, seen as a text in a language.

    Attributes:
        language: Its code.
        encoding: By Python's name.
        text: The sample decoded.
        scores: How well each character beyond ASCII suits its place, from 0 to 1, in order.
        score: Their mean; 0 if too many letters are beyond ASCII.
    """

    language: str
    encoding: str
    text: str
    scores: tuple[float, ...]
    score: float

    @cached_property
    def letters(self) -> str:
        """The letters alone: readings that differ only in marks are one."""
        return "".join(char for char in self.text if char.isalpha())

    @cached_property
    def frequency(self) -> float:
        """How frequent the letters are in the language, from 0 to 1, by the figures of a detector."""
        from charset_normalizer.constant import FREQUENCIES  # noqa: PLC0415 - for old files alone

        name = _name(self.language)
        ordered = FREQUENCIES.get(_OTHER_NAMES.get(name, name), [])
        letters = self.letters.lower()
        if self.language in _IDEOGRAPHIC:
            common = {
                letter for key, some in FREQUENCIES.items() if key.strip("—") == name for letter in some
            }
            share = sum(letter in common for letter in letters) / max(1, len(letters))
            return _UNCOUNTED_FREQUENCY if share >= _MIN_COMMON_SHARE else 0.8 * _UNCOUNTED_FREQUENCY
        if not ordered:
            return _UNCOUNTED_FREQUENCY
        ranks = {letter: 1 - rank / len(ordered) for rank, letter in enumerate(ordered)}
        return sum(ranks.get(letter, 0.0) for letter in letters) / max(1, len(letters))

    @cached_property
    def likeness(self) -> float:
        """How much the text is like its language, from 0 to 1."""
        prior = 1.0 if self.encoding in _PROBABLE else _RARE_ENCODING
        return prior * self.score * self.frequency


def decode_text(data: bytes, language: str | None = None) -> DecodedText:
    """Return the text of a file.

    Args:
        data: The file.
        language: Code of the language that it is in, if known; its code pages alone are then tried.

    Raises:
        CaptionError: if no encoding makes words of it, or two do; the message begins with a verb.
    """
    encoding = detect_unicode(data)
    if encoding is None:
        declared = find_declared_language(data) if language is None else None
        is_known = declared is not None and _find_language(declared) is not None
        encoding, notes = _choose_encoding(data, declared if is_known else language)
    else:
        notes = [_note(f"the file is not UTF-8; it was read as {encoding}")] if "-16-" in encoding else []
    return DecodedText(data.decode(encoding, errors="replace").removeprefix("\ufeff"), encoding, notes)


def decode_captions(data: bytes, language: str | None = None) -> str:
    """Return the text of a file alone; see `decode_text`."""
    return decode_text(data, language).text


def detect_unicode(data: bytes) -> str | None:
    """Return the name of the Unicode encoding that marks or content show, or None."""
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf-32"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    are_nul = [byte == 0 for byte in data[:4]]  # captions begin with ASCII, in any language
    if are_nul == [True, False, True, False]:
        return "utf-16-be"
    if are_nul == [False, True, False, True]:
        return "utf-16-le"
    return "utf-8" if _is_mostly_utf8(data) and not _ESCAPES.search(data) else None


def find_declared_language(data: bytes) -> str | None:
    """Return the language that a file says it is in: by a WebVTT header, an XML attribute or a JSON field."""
    encoding = detect_unicode(data[:_HEADER_BYTES]) or "latin-1"
    head = data[:_HEADER_BYTES].decode(encoding, errors="replace").removeprefix("\ufeff")
    start = head.lstrip()[:1]
    if start == "<":
        found = re.search(r"<(?:\w+:)?tt\b[^>]*?\bxml:lang\s*=\s*[\"']([A-Za-z]{2,8}(?:-\w+)*)", head)
    elif start == "{":  # transcribers write it below the segments
        tail = data[-_HEADER_BYTES:].decode(encoding, errors="replace")
        found = re.search(r'"language"\s*:\s*"([A-Za-z]{2,3}(?:-\w+)*)"', head + tail)
    elif re.match(r"WEBVTT\b", head.lstrip(), re.IGNORECASE):
        header = re.split(r"(?:\r\n|\n|\r){2}|-->", head, maxsplit=1)[0]
        found = re.search(r"^language[ \t]*:[ \t]*(\S.*?)[ \t]*$", header, re.IGNORECASE | re.MULTILINE)
    else:
        found = None
    return found[1] if found else None


def _is_mostly_utf8(data: bytes) -> bool:
    """Tell whether all is UTF-8, or more of the characters beyond ASCII are whole than broken."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("utf-8", errors="replace")
        return 2 * text.count("\ufffd") <= len(re.findall(r"[^\x00-\x7f]", text))
    return True


def _choose_encoding(data: bytes, language: str | None) -> tuple[str, list[Note]]:
    if escape := _ESCAPES.search(data):
        encoding = "iso2022-kr" if escape[0] == b"\x1b$)C" else "iso2022-jp-3"
        return encoding, [_note(f"the file is not UTF-8; it was read as {encoding}")]
    if language is None:
        best = _choose_by_likeness(_read_in_all_languages(data))
        return best.encoding, [_note(f"the file is not UTF-8; it was read as {best.encoding}{_HINT}")]
    best = _choose_by_language(data, language)
    return best.encoding, [_note(f"the file is not UTF-8; it was read as {best.encoding}")]


def _read_in_all_languages(data: bytes) -> list[_Reading]:
    return list(_read_sample(_take_sample(data, _SAMPLE_BYTES), _all_languages()))


def _choose_by_likeness(readings: Sequence[_Reading]) -> _Reading:
    """Return the reading that is most like its language, if it is so by far."""
    best = max(readings, key=attrgetter("likeness"))
    if best.score < MIN_SCORE_ALONE:
        raise LanguageNeededError(f"it is not UTF-8, and no other encoding makes words of it. {_REMEDY}")
    rivals = [reading for reading in readings if best.likeness - reading.likeness < MIN_LIKENESS_LEAD]
    rivals = [one for one in rivals if one.letters != best.letters and _lead(best, one) < MIN_LEAD]
    if rivals:
        raise LanguageNeededError(_explain_tie([best, *rivals]))
    return next(reading for reading in readings if reading.text == best.text)  # by the usual name


def _choose_by_language(data: bytes, tag: str) -> _Reading:
    """Return the best reading in the language, unless the bytes are far more like words of another."""
    language = _find_language(tag)
    if language is None:
        raise CaptionError(f"it is not UTF-8, and no older encoding of {_name(tag)} is known. {_REMEDY}")
    own = list(_read_sample(_take_sample(data, _LANGUAGE_SAMPLE_BYTES), [language]))
    best = max(own, key=attrgetter("score"))
    if best.score < MIN_SCORE:
        names = ", ".join(language.encodings)
        found = f"none of the encodings of {_name(language.code)} ({names}) makes words of it"
        raise CaptionError(f"it is not UTF-8, and {found}{_describe_likeness(data)}. {_REMEDY}")
    rivals = [reading for reading in own if _is_rival(reading, best)]
    best = _settle_tie([best, *rivals]) if rivals else best
    if len(best.scores) >= _MIN_EVIDENCE:
        _refuse_other_language(data, best.encoding, language)
    return best


def _describe_likeness(data: bytes) -> str:
    """What the bytes are most like in any language, as the end of a sentence; "" if that is not clear."""
    try:
        other = _choose_by_likeness(_read_in_all_languages(data))
    except LanguageNeededError:
        return ""
    return f"; it is most like {_name(other.language)} in {other.encoding}"


def _refuse_other_language(data: bytes, encoding: str, language: _Language) -> None:
    """Raise CaptionError if the bytes make far better words of another language, in other letters."""
    (best,) = _read_sample(_take_sample(data, _SAMPLE_BYTES), [language._replace(encodings=(encoding,))])
    others = [reading for reading in _read_in_all_languages(data) if reading.letters != best.letters]
    other = max(others, key=attrgetter("likeness"), default=best)
    if other.language != best.language and other.likeness - best.likeness > MIN_LIKENESS_LEAD:
        raise CaptionError(
            f"it is not UTF-8, and its bytes are more like {_name(other.language)} in {other.encoding} than "
            f"like {_name(best.language)}. {_REMEDY}"
        )


def _note(reason: str) -> Note:
    return Note(0, Action.FLAGGED, reason)


def _name(tag: str) -> str:
    """Return the English name of a language; the tag itself if it is none."""
    import langcodes  # noqa: PLC0415 - for old files alone

    return langcodes.Language.get(tag).display_name() if langcodes.tag_is_valid(tag) else tag


@cache
def _find_language(tag: str) -> _Language | None:
    """Return what is known of a language by its tag (`fr-CA`, `iw`, `nb`); None if no code page is."""
    import langcodes  # noqa: PLC0415 - for old files alone

    if not langcodes.tag_is_valid(tag):
        return None
    language = langcodes.Language.get(tag)
    codes = (language.language, language.prefer_macrolanguage().language)
    code = next((code for code in codes if code in _LANGUAGES), None)
    if code is not None:
        return _describe_language(code)
    # Most languages of Latin script that have no letters of their own are written as English is.
    is_latin = language.maximize().script == "Latn"
    return _Language(str(codes[0]), _WESTERN, frozenset(), is_latin=True) if is_latin else None


def _describe_language(code: str) -> _Language:
    encodings, letters = _LANGUAGES[code]
    is_latin = any("LATIN" in unicodedata.name(letter, "") for letter in letters)
    return _Language(code, encodings, frozenset(letters + letters.upper()), is_latin)


@cache
def _all_languages() -> tuple[_Language, ...]:
    return tuple(map(_describe_language, _LANGUAGES))


def _take_sample(data: bytes, max_bytes: int) -> bytes:
    """Return the first lines that are not ASCII; their letters stand beside those of their words."""
    lines, num_bytes, position = [], 0, 0
    while num_bytes < max_bytes and (match := _BEYOND_ASCII.search(data, position)):
        start = max(data.rfind(b"\n", position, match.start()) + 1, match.start() - _MAX_LINE_BYTES)
        end = data.find(b"\n", match.start(), match.start() + _MAX_LINE_BYTES)
        position = end if end >= 0 else match.start() + _MAX_LINE_BYTES
        lines.append(data[start:position])
        num_bytes += len(lines[-1])
    return b"\n".join(lines)


def _read_sample(sample: bytes, languages: Sequence[_Language]) -> Iterator[_Reading]:
    for language in languages:
        for encoding in language.encodings:
            try:
                text = sample.decode(encoding, errors="replace")
            except LookupError:  # a build of Python without it
                continue
            scores = tuple(_score_characters(text, language, encoding))
            is_dense = language.is_latin and _latin_share(text) > _MAX_LATIN_SHARE
            mean = sum(scores) / max(1, len(scores))
            yield _Reading(language.code, encoding, text, scores, 0.0 if is_dense else mean)


def _latin_share(text: str) -> float:
    """Return the fraction of Latin letters that are beyond ASCII, and with it how much is mojibake."""
    letters = [char for char in text if char.isalpha() and char < "\u0250"]
    return sum(not char.isascii() for char in letters) / max(1, len(letters))


def _score_characters(text: str, language: _Language, encoding: str) -> Iterator[float]:
    """Yield how well each character beyond ASCII suits its place, from 0 to 1."""
    padded = f" {text} "
    for index, char in enumerate(text, start=1):
        if char.isascii():
            continue
        before, after = padded[index - 1], padded[index + 1]
        if language.code in _IDEOGRAPHIC:
            yield _score_ideograph(char, language.code, encoding) * (0.2 if _is_in_word(before, after) else 1)
        elif char in language.letters:
            yield _score_letter(char, before, after)
        elif char.isalpha() or unicodedata.category(char).startswith("M"):
            yield _LOAN_SCORE if _is_loan(char, before, language) else 0.0
        else:
            yield _score_mark(char, before, after)


def _is_loan(char: str, before: str, language: _Language) -> bool:
    return language.is_latin and char.lower() in _LOANS and not (char.isupper() and before.islower())


def _is_in_word(before: str, after: str) -> bool:
    return (before.isascii() and before.isalpha()) or (after.isascii() and after.isalpha())


def _score_letter(char: str, before: str, after: str) -> float:
    if char.isupper() and before.islower():
        return 0.0
    is_latin = char <= "\u036f" or "\u1e00" <= char <= "\u1eff"  # with the marks that Vietnamese sets apart
    if not is_latin and _is_in_word(before, after):
        return 0.0  # of two scripts in one word, one is wrong
    if char in _FINAL_FORMS and not before.isalpha():
        return 0.0  # written from left to right, as screens without Hebrew had it
    return 1.0


def _score_mark(char: str, before: str, after: str) -> float:
    if char == "\ufffd" or unicodedata.category(char) in {"Cc", "Co", "Cn"}:
        return 0.0
    if before.isalpha() and after.isalpha():
        return float(char in _WITHIN_WORDS)
    if char in _CLOSING and not before.strip() and after.isalpha():
        return 0.5
    if char in _OPENING and not after.strip():
        return 0.2
    if after.isalpha() and char != "°" and unicodedata.category(char) in {"So", "Sm", "Sc", "No"}:
        return 0.2
    return 1.0 if char in _PUNCTUATION else 0.2


def _score_ideograph(char: str, code: str, encoding: str) -> float:
    if char in _PUNCTUATION or "\uff01" <= char <= "\uff5e":
        return 1.0
    if code == "ja" and "\u3041" <= char <= "\u30ff":
        return 1.0
    if code == "ko" and "\uac00" <= char <= "\ud7a3":
        return 1.0 if _lead_byte(char, "euc-kr") else 0.3  # the 2,350 that words are made of
    if "\u4e00" <= char <= "\u9fff" and code != "ko":
        return 1.0 if _is_common_ideograph(char, code, encoding) else 0.3
    return 0.2 if char.isalpha() and not 0xFF61 <= ord(char) <= 0xFF9F else 0.1


def _is_common_ideograph(char: str, code: str, encoding: str) -> bool:
    """Tell whether the standard that the encoding is of has the character on its first level."""
    standard = "euc-jp" if code == "ja" else "gb18030" if encoding == "gb18030" else "big5hkscs"
    first, last = next((low, high) for name, low, high in _COMMON_IDEOGRAPHS if name == standard)
    return first <= _lead_byte(char, standard) <= last


def _lead_byte(char: str, encoding: str) -> int:
    """Return the first of a character's two bytes; 0 if it has not two."""
    encoded = char.encode(encoding, errors="ignore")
    return encoded[0] if len(encoded) == 2 else 0


def _is_rival(reading: _Reading, best: _Reading) -> bool:
    """Tell whether a reading makes other letters of the bytes, and as good ones."""
    if reading.encoding == best.encoding or reading.letters == best.letters:
        return False
    if reading.encoding not in _PROBABLE and best.encoding in _PROBABLE and reading.score <= best.score:
        return False
    return _lead(best, reading) < MIN_LEAD


def _lead(best: _Reading, other: _Reading) -> float:
    """Return how much better the characters of `best` are where the two readings differ."""
    if len(best.text) != len(other.text):
        return best.score - other.score
    own = [char for char in range(len(best.text)) if best.text[char] != other.text[char]]
    difference = sum(best.scores) - sum(other.scores)
    return difference / max(1, len(own))


def _settle_tie(readings: Sequence[_Reading]) -> _Reading:
    """Return the reading, of some in one language, whose letters are the most frequent ones in it."""
    best = max(readings, key=attrgetter("frequency"))
    others = [reading for reading in readings if reading.letters != best.letters]
    rivals = [one for one in others if best.frequency - one.frequency < _MIN_FREQUENCY_LEAD]
    if rivals:
        raise CaptionError(_explain_tie([best, *rivals]))
    return best


def _explain_tie(readings: Iterable[_Reading]) -> str:
    names = _join_names(dict.fromkeys(reading.encoding for reading in readings))
    return f"it is not UTF-8, and may be {names}. {_REMEDY}"


def _join_names(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
