"""Plain text, a transcript without times: its lines as people and programs write them, cut into phrases.

Times in the text are left out here. Whether a heading, a page's number or a speaker's name is spoken, only
the audio tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import regex  # type: ignore[import-untyped]  # the package ships no types

from recipe.captions.encodings import decode_text
from recipe.captions.file import name_file
from recipe.errors import CaptionError

MAX_BYTES = 16 * 2**20
"""A hundred hours of talk are 5 MB."""

WRAPPED_FRACTION = 0.75
"""A line of at least this fraction of the file's long lines was wrapped: its sentence may go on below."""

MIN_WRAPPED_CHARS = 40
MAX_CONTROL_FRACTION = 0.05

_LINE_END = regex.compile(r"\r\n|[\n\r\f\v\u2028\u2029]")
_TIME = r"(?:\d{1,2}:)?\d{1,3}:\d{2}(?:[.,]\d{1,3})?"
_TIMES = rf"{_TIME}(?:\s*(?:-->|[-\u2013\u2014])\s*{_TIME})?"
_BRACKETED_TIMES = regex.compile(rf"[\[(<]\s*{_TIMES}\s*[\])>]")
_LEADING_TIMES = regex.compile(rf"^\s*{_TIMES}(?:\s|$)")
# A sentence ends at its mark and what closes it; a space follows where the script has spaces.
_SENTENCE_END = regex.compile(
    r"[.?!\u2026\u061f\u06d4\u0964\u0965\u1362]+[\"'\u2019\u201d\xbb)\]]*(?=\s|$)"
    r"|[\u3002\uff01\uff1f]+[\u300d\u300f\u201d\uff09]*"
)
# A letter, a number, or a title without a vowel ("Mrs.", "Dr.").
_ABBREVIATION = regex.compile(r"(?:^|\s)(?:\p{L}|[A-Z][b-df-hj-np-tv-xz]{1,2}|\p{N}+)\.$")
_WORD_CHARACTER = regex.compile(r"[\p{L}\p{N}]")


@dataclass(frozen=True, slots=True)
class Phrase:
    r"""A sentence, or what stands on a line of its own.

    Attributes:
        text: Its words; `\n` where a line of the file ends inside it, a single space elsewhere.
        line: Line of the file where it begins, from 1.
        begins_line: Whether it is the first of its line, where a speaker's name may stand.
    """

    text: str
    line: int
    begins_line: bool


def read_plain_text(path: Path) -> list[Phrase]:
    """Return the phrases of a text file, in order.

    Raises:
        CaptionError: if it cannot be read, is too large, is no text, or has no words.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CaptionError(
                f"{path.name}: expected a transcript, found a text of more than {MAX_BYTES:,} bytes."
            )
        with name_file(path):
            text = decode_text(path.read_bytes()).text
    except OSError as error:
        raise CaptionError(f"{path.name}: the text file cannot be read: {error.strerror}.") from error
    if _is_binary(text):
        raise CaptionError(f"{path.name}: expected a transcript as plain text, found a binary file.")
    phrases = split_phrases(text)
    if not phrases:
        raise CaptionError(f"{path.name}: the text file has no words; expected what is said in the audio.")
    return phrases


def split_phrases(text: str) -> list[Phrase]:
    """Return the phrases of a text: sentences, and lines that were not wrapped."""
    lines = [_strip_line(line) for line in _LINE_END.split(text)]
    min_wrapped = _min_wrapped_chars(lines)
    found: list[tuple[list[str], int, bool]] = []  # the parts of a phrase, its line, whether it begins that
    is_open = False
    for number, line in enumerate(lines, start=1):
        sentences = _split_sentences(line)
        for index, sentence in enumerate(sentences):
            if is_open and index == 0:
                found[-1][0].append(sentence)
            else:
                found.append(([sentence], number, index == 0))
        is_open = bool(sentences) and len(line) >= min_wrapped and not _ends_sentence(line)
    phrases = (Phrase("\n".join(parts), number, begins_line) for parts, number, begins_line in found)
    return [phrase for phrase in phrases if _WORD_CHARACTER.search(phrase.text)]


def _is_binary(text: str) -> bool:
    start = text[:4096]
    num_odd = sum(character < " " and character not in "\t\n\r\f\v" for character in start)
    return num_odd + start.count("\ufffd") > MAX_CONTROL_FRACTION * len(start)


def _strip_line(line: str) -> str:
    """Return a line without times, whitespace folded."""
    return " ".join(_LEADING_TIMES.sub("", _BRACKETED_TIMES.sub(" ", line.replace("\0", " "))).split())


def _min_wrapped_chars(lines: list[str]) -> int:
    """Return the length from which on a line was ended by its width, not by what it says."""
    lengths = sorted(len(line) for line in lines if line)
    long_line = lengths[int(0.9 * (len(lengths) - 1))] if lengths else 0
    return max(MIN_WRAPPED_CHARS, int(WRAPPED_FRACTION * long_line))


def _split_sentences(line: str) -> list[str]:
    """Return the sentences of a line; the last may go on."""
    sentences, start = [], 0
    for match in _SENTENCE_END.finditer(line):
        if not _ABBREVIATION.search(line[: match.end()]):
            sentences.append(line[start : match.end()].strip())
            start = match.end()
    return [sentence for sentence in [*sentences, line[start:].strip()] if sentence]


def _ends_sentence(line: str) -> bool:
    ends = [match.end() for match in _SENTENCE_END.finditer(line)]
    return bool(ends) and ends[-1] == len(line) and not _ABBREVIATION.search(line)
