"""What captions write in brackets and other marks: sounds, speech that is not written down, and words.

A sound goes and its cue stays. Where speech is not written down (`[inaudible]`, `f***`), or where a bracket
inside a sentence holds what may have been said (`a [CLS] token`) or not (`moved [it]`), no label can be
right: the cue is lost, and the audio is not taken for silence.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import NamedTuple

import langcodes
import regex  # type: ignore[import-untyped]  # the package ships no types

from recipe.captions.vocabulary import (
    ARTICLES,
    DISCLAIMERS,
    FUNCTION_WORDS,
    LOST_SPEECH,
    MANNER,
    SOUNDS,
    SPEAKER_TURN,
    SPEAKING,
    THINGS,
    TOWARDS,
)

UNWRITTEN = "it stands for speech that is not written down"
AMBIGUOUS = "it holds words in brackets that may have been said, or not"
PARTIAL = "letters in brackets that complete a word were kept"

# `\uff08`, `\uff3b` and their like are the wide forms of Chinese and Japanese.
_MARKED = regex.compile(
    r"\[(?P<bracket>[^\[\]]{0,120})\]|\uff3b(?P<bracket>[^\uff3b\uff3d]{0,120})\uff3d|\u3010(?P<bracket>[^\u3010\u3011]{0,120})\u3011"
    r"|\u3014(?P<bracket>[^\u3014\u3015]{0,120})\u3015"
    r"|[(\uff08](?P<parenthesis>[^()\uff08\uff09]{1,120})[)\uff09]"
    r"|(?<![\p{L}\p{N}*)\]])\*{1,3}(?P<starred>\p{L}[\p{L}\p{M} ,.'\u2019-]{0,60})(?<=\S)"
    r"\*{1,3}(?![\p{L}\p{N}*(])"
)
_MUSIC = regex.compile("[\u2669-\u266f\U0001d11e\U0001f3b5\U0001f3b6\U0001f3bc]+")
_LYRICS_MARK = regex.compile(
    r"^[ \t]*[#~\u00b6][ \t]+(?=\p{L})|(?<=[\p{L}\p{P}])[ \t]+[#~\u00b6][ \t]*$", regex.MULTILINE
)
_TIME = regex.compile(r"[0-9]{1,2}(?::[0-9]{2}){1,2}(?:[.,][0-9]{1,3})?")
_HOLE = regex.compile(
    r"[\s_]*|[\s*]+|[?\uff1f]+|\.{2,}|\u2026+|[-\u2013\u2014\s]+|x{2,}|unk", regex.IGNORECASE
)

# Words masked without brackets: `***`, `f**k`, `____`, `???` in a row of words. Not `x**2`, `**kwargs`,
# `__init__`, French `Quoi ???`, nor `f*pi`, which looks like a word with one letter masked.
_MASKED = regex.compile(
    r"(?<![\p{L}\p{N}_*])(?:\*{3,}|\p{L}{1,3}\*{2,}|\p{L}{1,12}\*{2,}\p{L}{1,12})(?![\p{L}\p{N}_*])"
    r"|(?<![\p{L}\p{N}_])_{2,}(?![\p{L}\p{N}_])"
    r"|^[ \t]*\?{2,}(?=\s|$)|(?<=\p{L}[ \t])\?{3,}(?=[ \t]+\p{Ll})",
    regex.MULTILINE,
)
# Coordinates, matrices, arguments: `[1, 0]`, `(x, y)`, `(3-λ)`. They are read out.
_FORMULA = regex.compile(r"(?=.*[\p{N}\p{Sm},;|=^/-])(?:\p{L}{1,3}(?!\p{L})|[^\p{L}])+")
_SHOUTED = regex.compile(r"(?=.*\p{Lu}{3})\p{Lu}+(?:[^\p{L}]+\p{Lu}+)+\P{L}*")
_QUOTED = regex.compile(r"[\p{Pi}\p{Pf}\u201e\"\u300c].*\p{L}.*[\p{Pi}\p{Pf}\"\u300d]")
_FOOTNOTE = regex.compile(r"[0-9]{1,3}")
_CONTEXT_CHARS = 130  # looked at on each side of a bracket: longer than any
_MAX_ASIDE_WORDS = 4
_MAX_ASIDE_IDEOGRAPHS = 8
_NO_SPACE = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")


class _Meaning(Enum):
    SOUND = "is not said, and goes"
    UNWRITTEN = "stands for words"
    AMBIGUOUS = "may be said"
    LETTERS = "completes a word"
    SPOKEN = "is said, marks and all"
    EMPHASIS = "is said without its marks"


class Judgement(NamedTuple):
    """What the annotations of a cue say about its words.

    Attributes:
        loss: Why they cannot be all that is said; empty where they can.
        has_partial_words: Whether letters in brackets complete a word: `[I]t`.
    """

    loss: str
    has_partial_words: bool


def judge_annotations(text: str, *, is_in_capitals: bool = False) -> Judgement:
    """Return what a cue's annotations, and words masked as in `f***`, say about its words."""
    meanings = {_meaning(match, is_in_capitals=is_in_capitals) for match in _MARKED.finditer(text)}
    if _Meaning.UNWRITTEN in meanings or _MASKED.search(text):
        loss = UNWRITTEN
    else:
        loss = AMBIGUOUS if _Meaning.AMBIGUOUS in meanings else ""
    return Judgement(loss, _Meaning.LETTERS in meanings)


def remove_sound_marks(text: str, *, is_in_capitals: bool = False) -> str:
    """Return the text without `[Music]`, `(applause)`, `*coughs*` and notes of music; lyrics stay."""
    text = _MARKED.sub(lambda match: _what_is_said(match, is_in_capitals=is_in_capitals), text)
    return str(_MUSIC.sub(" ", _LYRICS_MARK.sub(" ", text)))


def _what_is_said(match: regex.Match[str], *, is_in_capitals: bool) -> str:
    meaning = _meaning(match, is_in_capitals=is_in_capitals)
    remains = {
        _Meaning.SPOKEN: match[0],
        _Meaning.LETTERS: match["bracket"],
        _Meaning.EMPHASIS: match["starred"],
    }
    return str(remains.get(meaning, " "))


def _meaning(match: regex.Match[str], *, is_in_capitals: bool = False) -> _Meaning:
    if match["starred"]:
        return _meaning_of_stars(match["starred"])
    content = (match["bracket"] or match["parenthesis"] or "").strip()
    return _meaning_of_signs(match, content) or _meaning_of_words(
        match, content, is_shouted=not is_in_capitals and _is_shouted(content)
    )


def _meaning_of_signs(match: regex.Match[str], content: str) -> _Meaning | None:
    """Return what a bracket without words means, or None where it holds words."""
    if _HOLE.fullmatch(content) and content not in {"-", "*"}:  # signs, in talks of signs
        return _Meaning.SPOKEN if _is_operand(match) else _Meaning.UNWRITTEN
    if _TIME.fullmatch(content):
        return _Meaning.SOUND if _starts_line(match) else _Meaning.UNWRITTEN
    return _Meaning.SPOKEN if _FORMULA.fullmatch(content) and not _is_footnote(match, content) else None


def _meaning_of_words(match: regex.Match[str], content: str, *, is_shouted: bool) -> _Meaning:
    is_aside = bool(match["parenthesis"]) and not _starts_line(match)
    if is_unwritten(content) if not is_aside else _is_short(content) and _tells_of_speech(content):
        return _Meaning.UNWRITTEN
    if match["parenthesis"]:
        return _meaning_of_parentheses(match, content, is_shouted=is_shouted)
    is_manner = MANNER.occur_in(content) and not _QUOTED.search(content)  # what is said softly may follow
    if (
        is_shouted
        or is_manner
        or any(table.occur_in(content) for table in (SOUNDS, SPEAKER_TURN, DISCLAIMERS))
    ):
        return _Meaning.SOUND
    is_alone = _is_alone(match) and not (_is_open(match) or _before(match).rstrip().endswith(":"))
    return _meaning_alone(content) if is_alone else _meaning_in_sentence(match, content)


def is_unwritten(content: str) -> bool:
    """Tell whether an annotation stands for words: `inaudible`, `speaks Spanish`, `Spanish`."""
    return _tells_of_speech(content) or (not SOUNDS.occur_in(content) and _names_language(content))


def _tells_of_speech(content: str) -> bool:
    is_described = MANNER.occur_in(content) or TOWARDS.occur_in(content)
    return LOST_SPEECH.occur_in(content) or (SPEAKING.occur_in(content) and not is_described)


@lru_cache(maxsize=4096)
def _names_language(content: str) -> bool:
    words = regex.findall(r"[\p{L}\p{M}]+", content)
    if not 1 <= len(words) <= 3 or (len(words[-1]) < 5 and words[-1].lower() != words[-1].upper()):
        return False
    try:
        return (
            len(langcodes.find(words[-1]).language or "") == 2
        )  # rarer languages are named like other things
    except LookupError:
        return False


def _meaning_of_stars(content: str) -> _Meaning:
    if LOST_SPEECH.occur_in(content) and _is_short(content):
        return _Meaning.UNWRITTEN
    return _Meaning.SOUND if SOUNDS.occur_in(content) and _is_short(content) else _Meaning.EMPHASIS


def _meaning_alone(content: str) -> _Meaning:
    """Return what an unknown annotation means that has a line to itself: a sentence may be said."""
    return _Meaning.SOUND if _is_short(content) else _Meaning.AMBIGUOUS


def _meaning_of_parentheses(match: regex.Match[str], content: str, *, is_shouted: bool) -> _Meaning:
    """Return what parentheses mean: among words they are mostly said as well."""
    is_sound = SOUNDS.occur_in(content)
    if _is_alone(match) and not _is_open(match):
        return _Meaning.SOUND if is_shouted or is_sound else _Meaning.AMBIGUOUS
    is_phrase = " " in content and (THINGS.occur_in(content) or ARTICLES.occur_in(content))
    is_certain = is_sound and _is_short(content) and not is_phrase
    return _Meaning.SOUND if is_shouted or is_certain else _Meaning.SPOKEN


def _is_shouted(content: str) -> bool:
    """Tell whether capitals mark a sound: (DOOR SLAMS), but not (UN), nor [HAVE YOU?], a guess at words."""
    return (
        _SHOUTED.fullmatch(content) is not None
        and not content.endswith("?")
        and not FUNCTION_WORDS.occur_in(content)
    )


def _is_short(content: str) -> bool:
    """Tell whether an annotation is no sentence: four words at most, and none that only sentences have."""
    is_question = content.endswith(("?", "\uff1f", "\u061f", "\u037e"))
    if is_question or _QUOTED.search(content) or FUNCTION_WORDS.occur_in(content):
        return False
    if _NO_SPACE.search(content):
        return len(content) <= _MAX_ASIDE_IDEOGRAPHS
    return len(content.split()) <= _MAX_ASIDE_WORDS


def _meaning_in_sentence(match: regex.Match[str], content: str) -> _Meaning:
    """Return what an unknown bracket beside words means, by where it stands in their sentence."""
    first, last = _after(match).lstrip()[:1], _before(match).rstrip()[-1:]
    if _is_operand(match) or _completes_word(_before(match)[-1:], content, _after(match)[:1]):
        return _Meaning.LETTERS
    is_inside = (_is_open(match) or last == ":") and not (_starts_line(match) and first.isupper())
    goes_on = first.islower() or first in {*",;.!?"}
    is_sentence = not _is_short(content)
    return _Meaning.AMBIGUOUS if is_inside or goes_on or is_sentence else _Meaning.SOUND


def _is_operand(match: regex.Match[str]) -> bool:
    """Tell whether the bracket is part of a formula: `2*[pi]*r`, `1/(...)`."""
    return bool({_after(match).lstrip()[:1], _before(match).rstrip()[-1:]} & {*"*^=+/"})


def _is_open(match: regex.Match[str]) -> bool:
    """Tell whether a sentence has begun before the bracket, and not ended."""
    last = _before(match).rstrip()[-1:]
    return last.isalnum() or last in {*",'\u2019\u060c\u3001\uff0c"}


def _is_footnote(match: regex.Match[str], content: str) -> bool:
    """Tell whether a number refers to a note: `as they said.[2]`."""
    return bool(match["bracket"] and _FOOTNOTE.fullmatch(content)) and not _before(match)[-1:].isspace()


def _completes_word(before: str, content: str, after: str) -> bool:
    """Tell whether letters that have case touch the bracket, as in `[I]t`, `word[s]`, `[H]e`."""
    touches = any(
        letter.isalpha() and letter.lower() != letter.upper() for letter in (before, after) if letter
    )
    return touches and content.isalpha() and len(content) <= 12


def _starts_line(match: regex.Match[str]) -> bool:
    return not _before(match).rpartition("\n")[2].strip(" \t-\u2013\u2014>\u266a")


def _is_alone(match: regex.Match[str]) -> bool:
    """Tell whether the annotation has its line, or lines, to itself, but for other annotations."""
    if not _starts_line(match):
        return False
    rest = _after(match).partition("\n")[0].strip(" \t.\u266a")
    return not rest or (not rest[0].isalnum() and not _MARKED.sub("", rest).strip(" \t.\u266a"))


def _before(match: regex.Match[str]) -> str:
    text: str = match.string
    return text[max(match.start() - _CONTEXT_CHARS, 0) : match.start()]


def _after(match: regex.Match[str]) -> str:
    text: str = match.string
    return text[match.end() : match.end() + _CONTEXT_CHARS]
