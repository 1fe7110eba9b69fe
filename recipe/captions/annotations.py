"""What captions write in brackets and other marks: sounds, speech that is not written down, and words.

A sound goes and its cue stays. Where speech is not written down (`[inaudible]`, `f***`), or where a bracket
inside a sentence holds what may have been said (`a [CLS] token`) or not (`moved [it]`), no label can be
right: the cue is lost, and the audio is not taken for silence.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache

import langcodes
import regex  # type: ignore[import-untyped]  # the package ships no types

from recipe.captions.vocabulary import (
    FUNCTION_WORDS,
    LOST_SPEECH,
    MANNER,
    SOUNDS,
    SPEAKER_TURN,
    SPEAKING,
)

UNWRITTEN = "it stands for speech that is not written down"
DOUBTFUL = "it holds words in brackets that may have been said, or not"
PARTIAL = "letters in brackets that complete a word were kept"

# `\uff08`, `\uff3b` and their like are the wide forms of Chinese and Japanese.
_MARKED = regex.compile(
    r"\[(?P<bracket>[^\[\]]{0,120})\]|\uff3b(?P<bracket>[^\uff3b\uff3d]{0,120})\uff3d|\u3010(?P<bracket>[^\u3010\u3011]{0,120})\u3011"
    r"|\u3014(?P<bracket>[^\u3014\u3015]{0,120})\u3015"
    r"|[(\uff08](?P<parenthesis>[^()\uff08\uff09]{1,120})[)\uff09]"
    r"|(?<![\w*])(?P<stars>\*{1,3})(?=[^\s*])(?P<starred>[^*\n]{1,60})(?<=\S)\*{1,3}(?![\w*])"
)
_MUSIC = regex.compile("[\u2669-\u266f\U0001d11e\U0001f3b5\U0001f3b6\U0001f3bc]+")
_LYRICS_MARK = regex.compile(
    r"^[ \t]*[#~\u00b6][ \t]+(?=\p{L})|(?<=[\p{L}\p{P}])[ \t]+[#~\u00b6][ \t]*$", regex.MULTILINE
)
_TIME = regex.compile(r"[0-9]{1,2}(?::[0-9]{2}){1,2}(?:[.,][0-9]{1,3})?")
_HOLE = regex.compile(
    r"[\s_]*|[\s*]+|[?\uff1f]+|\.{2,}|\u2026+|[-\u2013\u2014\s]+|x{2,}|unk", regex.IGNORECASE
)

# Words masked without brackets: `***`, `f**k`, `sh*t`, `____`, `???` in a row of words. Not `x**2`, `a*b`,
# `**kwargs`, `__init__` nor French `Quoi ???`.
_MASKED = regex.compile(
    r"(?<![\p{L}\p{N}_*])(?:\*{3,}|\p{L}{1,3}\*{2,}|\p{L}{1,12}\*{2,}\p{L}{1,12}|\p{L}{1,12}\*\p{L}{2,12}|\p{L}{2,12}\*\p{L})"
    r"(?![\p{L}\p{N}_*])"
    r"|(?<![\p{L}\p{N}_])_{2,}(?![\p{L}\p{N}_])"
    r"|^[ \t]*\?{2,}(?=\s|$)|(?<=\p{L}[ \t])\?{3,}(?=[ \t]+\p{Ll})",
    regex.MULTILINE,
)
_CONTEXT_CHARS = 130  # looked at on each side of a bracket: longer than any
_MAX_ASIDE_WORDS = 4
_MAX_ASIDE_IDEOGRAPHS = 8
_NO_SPACE = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")


class _Meaning(Enum):
    SOUND = "is not said, and goes"
    UNWRITTEN = "stands for words"
    DOUBTFUL = "may be said"
    LETTERS = "completes a word"
    SPOKEN = "is said, marks and all"
    EMPHASIS = "is said without its marks"


def find_loss(text: str, *, is_in_capitals: bool = False) -> str:
    """Return why a cue's words cannot be all that is said in it, or an empty string."""
    if _MASKED.search(text):
        return UNWRITTEN
    meanings = {_meaning(match, is_in_capitals=is_in_capitals) for match in _MARKED.finditer(text)}
    if _Meaning.UNWRITTEN in meanings:
        return UNWRITTEN
    return DOUBTFUL if _Meaning.DOUBTFUL in meanings else ""


def has_partial_words(text: str) -> bool:
    """Tell whether letters in brackets complete a word: `[I]t`."""
    return "[" in text and any(_meaning(match) is _Meaning.LETTERS for match in _MARKED.finditer(text))


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
    if _HOLE.fullmatch(content):
        return _Meaning.UNWRITTEN
    if match["parenthesis"]:
        return _meaning_of_parentheses(match, content, is_in_capitals=is_in_capitals)
    if _TIME.fullmatch(content):
        return _Meaning.SOUND if _starts_line(match) else _Meaning.UNWRITTEN
    if _is_alone(match):
        return _meaning_of_line(content, num_words=1, ends="?\uff1f\u061f")
    return _meaning_beside_words(match, content, is_in_capitals=is_in_capitals)


def _meaning_beside_words(match: regex.Match[str], content: str, *, is_in_capitals: bool) -> _Meaning:
    if is_unwritten(content):
        return _Meaning.UNWRITTEN
    is_shouted = content.isupper() and " " in content and not is_in_capitals
    if is_shouted or any(table.occur_in(content) for table in (SOUNDS, SPEAKER_TURN, MANNER)):
        return _Meaning.SOUND
    return _meaning_in_sentence(match, content)


def is_unwritten(content: str) -> bool:
    """Tell whether an annotation stands for words: `inaudible`, `speaks Spanish`, `Spanish`."""
    if LOST_SPEECH.occur_in(content):
        return True
    if SPEAKING.occur_in(content):
        return not MANNER.occur_in(content)
    return not SOUNDS.occur_in(content) and _names_language(content)


@lru_cache(maxsize=4096)
def _names_language(content: str) -> bool:
    words = regex.findall(r"[\p{L}\p{M}]+", content)
    if not 1 <= len(words) <= 3 or (len(words[-1]) < 5 and words[-1].lower() != words[-1].upper()):
        return False
    try:
        langcodes.find(words[-1])
    except LookupError:
        return False
    return True


def _meaning_of_stars(content: str) -> _Meaning:
    if LOST_SPEECH.occur_in(content):
        return _Meaning.UNWRITTEN
    return _Meaning.SOUND if SOUNDS.occur_in(content) else _Meaning.EMPHASIS


def _meaning_of_line(content: str, num_words: int, ends: str) -> _Meaning:
    """Return what an annotation means that has a line to itself: a sentence may be said, all else is not."""
    if is_unwritten(content):
        return _Meaning.UNWRITTEN
    is_sentence = content.endswith(tuple(ends)) and len(content.split()) >= num_words
    return _Meaning.DOUBTFUL if is_sentence and not SOUNDS.occur_in(content) else _Meaning.SOUND


def _meaning_of_parentheses(match: regex.Match[str], content: str, *, is_in_capitals: bool) -> _Meaning:
    """Return what parentheses mean: among words they are mostly said as well."""
    if _is_alone(match):
        return _meaning_of_line(content, num_words=3, ends=".!?\u2026\u3002\uff01\uff1f\u061f")
    is_short = (
        len(content) <= _MAX_ASIDE_IDEOGRAPHS
        if _NO_SPACE.search(content)
        else len(content.split()) <= _MAX_ASIDE_WORDS
    )
    if not is_short or FUNCTION_WORDS.occur_in(content):
        return _Meaning.SPOKEN
    if LOST_SPEECH.occur_in(content) or (SPEAKING.occur_in(content) and not MANNER.occur_in(content)):
        return _Meaning.UNWRITTEN
    is_shouted = content.isupper() and " " in content and not is_in_capitals  # (DOOR SLAMS), but not (UN)
    return _Meaning.SOUND if is_shouted or SOUNDS.occur_in(content) else _Meaning.SPOKEN


def _meaning_in_sentence(match: regex.Match[str], content: str) -> _Meaning:
    """Return what an unknown bracket beside words means, by where it stands in their sentence."""
    before, after = _before(match), _after(match)
    if _completes_word(before[-1:], content, after[:1]):
        return _Meaning.LETTERS
    last, first = before.rstrip()[-1:], after.lstrip()[:1]
    is_open = (last.isalnum() or last in {*",'\u2019\u060c\u3001\uff0c"}) and not _starts_line(match)
    goes_on = first.islower() or first in {*",;.!?"}
    return _Meaning.DOUBTFUL if is_open or goes_on else _Meaning.SOUND


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
    rest = _after(match).partition("\n")[0]
    return _starts_line(match) and not _MARKED.sub("", rest).strip(" \t.\u266a")


def _before(match: regex.Match[str]) -> str:
    text: str = match.string
    return text[max(match.start() - _CONTEXT_CHARS, 0) : match.start()]


def _after(match: regex.Match[str]) -> str:
    text: str = match.string
    return text[match.end() : match.end() + _CONTEXT_CHARS]
