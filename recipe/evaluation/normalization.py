"""The forms of a text that error rates are taken on: as written, and normalised.

Normalised text is what Whisper's own normalisers make of it (Radford et al. 2022, appendix C), so that
figures compare with the literature: case, punctuation, symbols and bracketed notes go, and in English
also contractions, spelled-out numbers and British spellings. It differs from them in this:

- Marks that spell a word stay in it. Whisper's basic normaliser puts a space in place of every vowel sign
  of Devanagari, Thai, Burmese and the like, which cuts words into bare consonants and makes error rates
  look better than they are (Manohar et al. 2024, arXiv:2409.02449). Figures for these scripts are thus
  higher, and truer, than those computed the old way.
- The vowel points of Arabic and Hebrew, which ordinary writing leaves out, are dropped; Whisper cuts words
  at each of them.
- What cannot be seen (control and format characters, variation selectors) is never an error.
- Turkish capital dotted I is an i; Whisper cuts the word there.
- In English a typographic apostrophe is one too, so that contractions written with it are expanded.

Published figures are mostly taken with Whisper's own normalisers, faults included; `Normalizer` has them too.
"""

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import langcodes
import regex  # type: ignore[import-untyped]  # the package ships no types
from transformers.models.whisper.english_normalizer import BasicTextNormalizer, EnglishTextNormalizer
from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

from recipe.arguments import UNSPACED_LANGUAGES
from recipe.errors import DataError

LANGUAGES_WITHOUT_SPACES = UNSPACED_LANGUAGES | {"km"}
"""Codes of the languages whose "words" are characters here: Whisper's, and Khmer."""

WHISPER_CODES = {"jv": "jw", "nb": "no", "fil": "tl"}
"""Where Whisper has another code than the standard (IETF BCP 47), or knows the language by a kindred name."""

BREAKS = regex.compile(r"[\p{Cc}\u200b]")  # U+200B separates the words of Khmer and Thai, unseen
FORMAT_CHARACTERS = regex.compile(r"\p{Cf}")
# Enclosing marks and variation selectors belong to emoji; the blocks are those of Hebrew and Arabic.
OPTIONAL_MARKS = regex.compile(
    r"\p{Me}|\p{Variation_Selector}|[\p{M}&&[\u0590-\u06ff\u0870-\u08ff]]", regex.V1
)
# A mark without a letter before it is what NFKC leaves of a spacing accent, as typed for an apostrophe.
SYMBOLS = regex.compile(r"[\p{P}\p{S}]|(?<![\p{L}\p{M}\p{N}])\p{M}+")
APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u00b4`", "'"))


class WordPreservingNormalizer(BasicTextNormalizer):
    """Whisper's basic normaliser, but marks that spell a word stay in it."""

    def __init__(self) -> None:
        super().__init__()
        self.clean = remove_symbols  # type: ignore[assignment]  # only its argument's name differs


def remove_symbols(text: str) -> str:
    """The text in NFKC, with spaces for punctuation and symbols and without marks that spell nothing."""
    # Lower-casing "İ" leaves a dot over an i that already has one.
    composed = unicodedata.normalize("NFKC", text).replace("i\u0307", "i")
    return str(SYMBOLS.sub(" ", OPTIONAL_MARKS.sub("", composed)))


@lru_cache
def language_code(language: str | None) -> str | None:
    """Whisper's code of a language given as code ("fr", "fre"), tag ("fr-CA") or English name ("French")."""
    if language is None:
        return None
    name = language.strip().lower()
    if name in TO_LANGUAGE_CODE:
        return str(TO_LANGUAGE_CODE[name])
    try:
        code = langcodes.Language.get(name).prefer_macrolanguage().language or name
    except langcodes.tag_parser.LanguageTagError:
        return name
    return WHISPER_CODES.get(code, code)


def fold_text(text: str) -> str:
    """The text as written, in NFC, each run of whitespace as one space: what raw rates are taken on."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def normalize_text(text: str, language: str | None, spellings: Mapping[str, str] | None = None) -> str:
    """The words of a text, lower-case, in the form in which normalised error rates are taken.

    Args:
        text: A reference or a hypothesis.
        language: Language the text is written in, as code, tag or English name. An English-only or a
            translating model writes "en". Unknown or None: no rule of a language applies.
        spellings: British to American spellings, for English. They ship with Whisper's checkpoints
            (`normalizer.json`, on the tokenizer `english_spelling_normalizer`); without them a different
            spelling counts as an error, so give the same ones for every model that is compared.
    """
    code = language_code(language)
    visible = FORMAT_CHARACTERS.sub("", BREAKS.sub(" ", text))
    if code == "en":
        normalize = EnglishTextNormalizer(spellings or {})
        return fold_text(normalize(visible.translate(APOSTROPHES)))
    normalized = fold_text(WordPreservingNormalizer()(visible))
    # Spaces are no part of the spelling there: writers and models set them as they like.
    return normalized.replace(" ", "") if code in LANGUAGES_WITHOUT_SPACES else normalized


def normalize_as_whisper(text: str, language: str | None, spellings: Mapping[str, str]) -> str:
    """The words of a text as Whisper's own normalisers leave them, those that transformers ships.

    For the arguments see `normalize_text`.

    Raises:
        DataError: if the text is English and there are no spellings: the figure would be another.
    """
    code = language_code(language)
    if code != "en":
        normalized = fold_text(BasicTextNormalizer()(text))
        return normalized.replace(" ", "") if code in LANGUAGES_WITHOUT_SPACES else normalized
    if not spellings:
        raise DataError(
            "Whisper's own normalisation of English needs its table of British spellings, which is not "
            "beside the model. Copy normalizer.json of openai/whisper-base there, or leave out --normalizer."
        )
    return fold_text(EnglishTextNormalizer(spellings)(text))


@dataclass(frozen=True)
class Normalizer:
    """Makes of texts what normalised error rates are taken on.

    Attributes:
        name: "whispertrain" for `normalize_text`, "whisper" for `normalize_as_whisper`.
        spellings: See `normalize_text`.
    """

    name: str = "whispertrain"
    spellings: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, text: str, language: str | None) -> str:
        """The text normalised; for the arguments see `normalize_text`."""
        return _NORMALIZE[self.name](text, language, self.spellings)


_NORMALIZE: Mapping[str, Callable[[str, str | None, Mapping[str, str]], str]] = {
    "whispertrain": normalize_text,
    "whisper": normalize_as_whisper,
}

OURS = Normalizer()
"""The recipe's own, without a table of spellings."""

NORMALIZER_LABELS = {
    "whispertrain": "WhisperTrain's normalisation",
    "whisper": "Whisper's own normalisation, as published figures mostly are",
}
"""What people are told of a normaliser."""


def split_words(text: str, language: str | None) -> list[str]:
    """The units that WER counts: words between spaces, or characters where a language has no spaces.

    A character is what a reader takes for one (a grapheme cluster, Unicode UAX 29), a letter with its marks.
    """
    if language_code(language) in LANGUAGES_WITHOUT_SPACES:
        return [grapheme for grapheme in regex.findall(r"\X", text) if not grapheme.isspace()]
    return text.split()
