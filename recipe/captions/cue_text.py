"""The W3C's cue text rules: the payload of a cue as its text nodes, its speaker and its timed runs.

Specification: https://www.w3.org/TR/webvtt1/#cue-text-parsing-rules and, for character references,
https://html.spec.whatwg.org/multipage/parsing.html#character-reference-state.
"""

from __future__ import annotations

import re
from html.entities import html5 as NAMED_REFERENCES  # noqa: N812 - a constant table
from typing import NamedTuple

from recipe.captions.cues import Word

# A tag ends at `>` or with the input. No reference contains either sign, so text and tags never overlap.
_TAG = re.compile(r"<([^>]*)>?")
_START_TAG = re.compile(r"([^\t\n\f .]*)(?:\.[^\t\n\f ]*)?(.*)", re.DOTALL)  # name, classes, annotation
_CONTAINERS = frozenset({"c", "i", "b", "u", "ruby", "v", "lang"})  # `rt` only counts inside `ruby`
_REFERENCE = re.compile(
    r"&(?:#[xX](?P<hex>[0-9a-fA-F]+);?|#(?P<decimal>[0-9]+);?|(?P<name>[0-9A-Za-z]{2,32};?))"
)
_TIMESTAMP = re.compile(r"(?:([0-9]+):)?([0-9]{2}):([0-9]{2})\.([0-9]{3})")
_MAX_HOUR_DIGITS = 9  # a hundred thousand years; longer numbers are noise, and slow to convert


class CueText(NamedTuple):
    """What a payload says.

    Attributes:
        text: The text nodes joined, ruby annotations left out, whitespace as written.
        speaker: The first named voice (`<v Name>`), or empty.
        words: The timed runs, which joined are `text`; empty without inline timestamps.
    """

    text: str
    speaker: str
    words: tuple[Word, ...]


def read_cue_text(payload: str, start_ms: int = 0) -> CueText:
    """Return the text, speaker and timed runs of a payload whose cue starts at `start_ms`."""
    if "<" not in payload:
        return CueText(decode_references(payload), "", ())
    reader = _CueTextReader(start_ms)
    text, *rest = _TAG.split(payload)  # text and tags by turns
    reader.add_text(decode_references(text))
    for tag, text in zip(rest[::2], rest[1::2], strict=True):
        reader.add_tag(tag)
        reader.add_text(decode_references(text))
    return reader.finish()


class _CueTextReader:
    """The tree construction of the specification, reduced to what carries text, speaker and time."""

    def __init__(self, start_ms: int) -> None:
        self.open_tags: list[str] = []
        self.num_open_annotations = 0
        self.speaker = ""
        self.start_ms = start_ms
        self.pieces: list[str] = []
        self.words: list[Word] = []
        self.is_timed = False

    def add_text(self, text: str) -> None:
        if not self.num_open_annotations:
            self.pieces.append(text)

    def add_tag(self, tag: str) -> None:
        first = tag[:1]
        if first == "/":
            self._close(tag[1:])
        elif "0" <= first <= "9":
            self._start_run(parse_timestamp(tag))
        else:
            self._open(tag)

    def finish(self) -> CueText:
        self._end_run()
        text = "".join(word.text for word in self.words)
        return CueText(text, self.speaker, tuple(self.words) if self.is_timed else ())

    def _open(self, tag: str) -> None:
        name, annotation = _START_TAG.findall(tag)[0]
        if name == "rt" and self.open_tags[-1:] == ["ruby"]:
            self.num_open_annotations += 1
        elif name not in _CONTAINERS:
            return
        self.open_tags.append(name)
        if name == "v" and not self.speaker:
            self.speaker = " ".join(decode_references(annotation).split())

    def _close(self, name: str) -> None:
        current = self.open_tags[-1:]
        if current == ["rt"] and name in {"rt", "ruby"}:
            self.num_open_annotations -= 1
            del self.open_tags[-1 if name == "rt" else -2 :]
        elif current == [name]:
            self.open_tags.pop()

    def _start_run(self, start_ms: int | None) -> None:
        if start_ms is None:
            return
        self._end_run()
        self.start_ms = start_ms
        self.is_timed = True

    def _end_run(self) -> None:
        if text := "".join(self.pieces):
            self.words.append(Word(self.start_ms, text))
        self.pieces = []


def decode_references(text: str) -> str:
    """Return the text with HTML's character references decoded, with or without their semicolon."""
    if "&" not in text:
        return text
    text = text.replace("&lt;", "<").replace("&gt;", ">")  # by far the most frequent, so without the pattern
    return _REFERENCE.sub(_decode_reference, text)


def _decode_reference(match: re.Match[str]) -> str:
    if match["hex"]:
        return _decode_number(match["hex"], 16)
    if match["decimal"]:
        return _decode_number(match["decimal"], 10)
    name = match["name"]
    for length in range(len(name), 1, -1):
        if name[:length] in NAMED_REFERENCES:
            return NAMED_REFERENCES[name[:length]] + name[length:]
    return match[0]


def _decode_number(digits: str, base: int) -> str:
    """Return the character of a numeric reference, by the rules of its end state in HTML."""
    significant = digits.lstrip("0")
    number = int(significant, base) if 0 < len(significant) <= len("1114111") else 0
    if number == 0 or number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
        return "\ufffd"
    if 0x80 <= number <= 0x9F:  # HTML reads these as Windows-1252, but for the five it leaves undefined
        return bytes([number]).decode("cp1252", errors="ignore") or chr(number)
    return chr(number)


def parse_timestamp(text: str) -> int | None:
    """Return the milliseconds that a WebVTT timestamp says, or None when it is not one, whole.

    https://www.w3.org/TR/webvtt1/#collect-a-webvtt-timestamp
    """
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        return None
    hours, minutes, seconds, milliseconds = match.groups(default="0")
    if len(hours) > _MAX_HOUR_DIGITS or int(minutes) > 59 or int(seconds) > 59:
        return None
    return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(milliseconds)


def format_timestamp(time_ms: int) -> str:
    """Return a time as `HH:MM:SS.mmm`; the hours take as many digits as they need."""
    seconds, milliseconds = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}.{milliseconds:03}"
