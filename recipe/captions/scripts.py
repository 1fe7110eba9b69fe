"""Which script a language is written in, and captions whose letters are of another one.

The languages' scripts are CLDR's, those of the letters Unicode's. A file that is mostly in another script
than its language is not what the user takes it for: text read in a wrong encoding, the captions of another
recording, a translation, or a file name whose `.hi` means "hearing impaired".
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

import langcodes
import regex  # type: ignore[import-untyped]  # the package ships no types
from langcodes.tag_parser import LanguageTagError
from language_data.population_data import LANGUAGE_WRITING_POPULATION

from recipe.captions.cues import Action, Cue, Note, note_on
from recipe.errors import CaptionError

MIN_WRITERS_FRACTION = 0.01
"""Of a language's writers; what fewer use is not expected of captions (Hindi in Latin letters: 0.2 %)."""

MAX_FOREIGN_FRACTION = 0.5
"""Of the letters may be of another script than the language's; a file with more is another one."""

MIN_FOREIGN_FRACTION = 0.05
"""Names and terms of other languages are less; more is worth a look."""

SURELY_FOREIGN_FRACTION = 0.9
"""Of a single sentence's letters; with less it may be one with terms, such as names of programs."""

MIN_LETTERS = 12
"""Fewer prove nothing."""

BESIDE_HAN = frozenset({"Hira", "Hang"})
"""Scripts that stand beside Han in the languages that have both."""

MIN_BESIDE_HAN = 0.1
"""Letters of them for each one of Han; Japanese has some two, Korean hardly any Han."""

# Writing systems that are several scripts of Unicode, or a variety of one.
_UNICODE_SCRIPTS = {
    "Hans": ("Hani", "Bopo"),
    "Hant": ("Hani", "Bopo"),
    "Jpan": ("Hani", "Hira", "Kana"),
    "Kore": ("Hang", "Hani"),
}
_NAMES = {"CJK": "Han", "UNKNOWN": "of no script"}
_HAN = regex.compile(r"\p{Script=Hani}")
_BESIDE_HAN = regex.compile(r"[\p{Script=Hira}\p{Script=Kana}\p{Script=Hang}]")
_LETTER = regex.compile(r"[\p{L}--\p{Script=Zyyy}--\p{Script=Zinh}]", regex.V1)


@lru_cache(maxsize=256)
def scripts_of(language: str) -> tuple[str, ...]:
    """Return the scripts that a language is written in, as CLDR's codes, the most likely first.

    Args:
        language: Its code, with or without region (`fr`, `sr`, `zh-TW`); one that nobody knows has none.
    """
    try:
        tag = langcodes.Language.get(langcodes.standardize_tag(language))
    except LanguageTagError:
        return ()
    writers = {
        code[-4:]: number
        for code, number in LANGUAGE_WRITING_POPULATION.items()
        if code[:-4] == f"{tag.language}-"
    }
    least = MIN_WRITERS_FRACTION * sum(writers.values())
    likely = [tag.maximize().script] if writers else []
    common = [script for script, number in writers.items() if number >= least]
    return tuple(dict.fromkeys(filter(None, [*likely, *common])))


def unicode_scripts(language: str) -> tuple[str, ...]:
    """Return the codes of the scripts of Unicode that a language is written in, the most likely first."""
    scripts = scripts_of(language)
    return tuple(dict.fromkeys(name for code in scripts for name in _UNICODE_SCRIPTS.get(code, (code,))))


@lru_cache(maxsize=256)
def _foreign_letter(language: str) -> regex.Pattern[str]:
    """Match a letter of none of the language's scripts."""
    own = "".join(rf"--\p{{Script={name}}}" for name in unicode_scripts(language))
    return regex.compile(rf"[\p{{L}}--\p{{Script=Zyyy}}--\p{{Script=Zinh}}{own}]", regex.V1)


def foreign_letters(text: str, language: str) -> str:
    """Return the letters that no script of the language has; none for a language that nobody knows."""
    return "".join(_foreign_letter(language).findall(text)) if scripts_of(language) else ""


def foreign_fraction(texts: Iterable[str], language: str) -> float:
    """Return the fraction of the letters that no script of the language has, in [0, 1]; 0 for no letters.

    Han is of several languages: without kana it is not Japanese, without Hangul not Korean.
    """
    text = "".join(texts)
    num_letters = len(_LETTER.findall(text))
    num_foreign = len(foreign_letters(text, language))
    num_han, num_beside = len(_HAN.findall(text)), len(_BESIDE_HAN.findall(text))
    if BESIDE_HAN.intersection(unicode_scripts(language)) and num_beside < MIN_BESIDE_HAN * num_han:
        num_foreign += num_han
    return num_foreign / num_letters if num_letters else 0.0


def check_script(cues: Sequence[Cue], name: str, language: str | None) -> list[Note]:
    """Return a note if some of the letters are not of the language's scripts.

    Raises:
        CaptionError: if most of them are not.
    """
    if language is None:
        return []
    texts = [cue.text for cue in cues]
    fraction = foreign_fraction(texts, language)
    if fraction <= MIN_FOREIGN_FRACTION:
        return []
    found = f"{fraction:.0%} of the letters are {_name_foreign(texts, language)}"
    if fraction <= MAX_FOREIGN_FRACTION or _count_letters(texts) < MIN_LETTERS:
        return [Note(0, Action.FLAGGED, f"{found}, which {describe_language(language)} is not written in")]
    raise CaptionError(
        f"{name}: {found}; captions in {describe_language(language)} were expected, which is written in "
        f"{_name_scripts(language)}. Give the captions of this recording "
        "in its language, saved as UTF-8, or set the language that they are in."
    )


def drop_foreign(cues: Sequence[Cue], language: str | None) -> tuple[list[Cue], list[Note]]:
    """Return the cues whose letters are of the language's scripts, and a note for each other one.

    Where the cues together are in other letters, the short ones are taken for what the others are. Han alone
    is then no Japanese; in a single sentence of a Japanese table it may be a name.

    Args:
        cues: Each to be judged by itself, as rows of a table are.
        language: Code of the language that they should be in; None if nobody said it.
    """
    if language is None:
        return list(cues), []
    texts = [cue.text for cue in cues]
    if _count_letters(texts) >= MIN_LETTERS and foreign_fraction(texts, language) > MAX_FOREIGN_FRACTION:
        foreign = [cue for cue in cues if foreign_fraction([cue.text], language) > MAX_FOREIGN_FRACTION]
    else:
        foreign = [cue for cue in cues if _is_surely_foreign(cue.text, language)]
    notes = [note_on(cue, Action.DROPPED, _explain_foreign(cue.text, language)) for cue in foreign]
    return [cue for cue in cues if cue not in foreign], notes


def _is_surely_foreign(text: str, language: str) -> bool:
    num_letters = _count_letters([text])
    num_foreign = len(foreign_letters(text, language))
    return num_letters >= MIN_LETTERS and num_foreign > SURELY_FOREIGN_FRACTION * num_letters


def _explain_foreign(text: str, language: str) -> str:
    return (
        f"most of its letters are {_name_foreign([text], language)}, and {describe_language(language)} is "
        f"written in {_name_scripts(language)}"
    )


def _count_letters(texts: Iterable[str]) -> int:
    return len(_LETTER.findall("".join(texts)))


def _name_foreign(texts: Iterable[str], language: str) -> str:
    """The script of most letters that are not of the language's."""
    scripts = count_scripts(foreign_letters(text, language) for text in texts)
    most = next(iter(scripts), "Han without other letters")
    return _NAMES.get(most, most.capitalize())


def describe_language(language: str) -> str:
    """Return a language's name with its code: `French (fr)`."""
    return f"{langcodes.Language.get(language).display_name()} ({language})"


def _name_scripts(language: str) -> str:
    names = (langcodes.Language.make(script=code).script_name() for code in unicode_scripts(language))
    return " or ".join(names)


def count_scripts(texts: Iterable[str]) -> dict[str, int]:
    """Letters by script, most first: {"LATIN": 812, "GREEK": 3}."""
    characters = Counter(character for text in texts for character in text if character.isalpha())
    scripts: Counter[str] = Counter()
    for character, number in characters.items():
        scripts[_script_of(character)] += number
    return dict(scripts.most_common())


@lru_cache(maxsize=65_536)
def _script_of(character: str) -> str:
    """The first word of the character's Unicode name, which is its script's but for "CJK UNIFIED"."""
    return unicodedata.name(character, "UNKNOWN").split()[0]
