"""The lines of a caption file, whatever its encoding, and which format they are in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from recipe.captions.cues import Action, Note
from recipe.captions.encodings import decode_text, detect_unicode, find_declared_language
from recipe.captions.formats import recognize_format
from recipe.captions.repair import find_timing_line
from recipe.captions.webvtt import end_of_header, has_signature, split_lines
from recipe.errors import CaptionError

MAX_BYTES = 64 * 2**20
"""Captions of ten hours take 5 MB."""

EXPECTED = "captions with times, as WebVTT or SubRip or another of the formats in the README"

_NO_TEXT = "a binary file"
_VOBSUB = "VobSub, whose captions are pictures"
_STL = "EBU's binary subtitles (.stl)"
_BINARY = frozenset({_NO_TEXT, _VOBSUB, _STL})
_FOREIGN_FORMATS = (
    (r"<!doctype html|<html|<head|<body", "an HTML page"),
    (r"<sami", "SAMI (.smi)"),
    (r"<\?xml|<[a-z]", "an XML document of another kind"),
    (r"\{\\rtf", "a text document (RTF)"),
    (r'\{\s*["}]|\[\s*[\[{"\]]', "JSON of another kind"),
    (r"Scenarist_SCC", "Scenarist's captions in codes (.scc)"),
    (r"# VobSub index|[\x00\ufffd]*\x01\xba", _VOBSUB),
    (r"[0-9]{3}STL[0-9]{2}", _STL),
    (r"%PDF|PK\x03\x04|RIFF|ID3|OggS|fLaC|\x1aE", _NO_TEXT),
)
_MAX_CONTROL_SHARE = 0.05  # of the characters of a text file
_NEEDS_NO_ARROW = frozenset({"subviewer", "lyrics"})  # told by lines that may be text among WebVTT's


class CaptionFile(NamedTuple):
    """A file that is captions.

    Attributes:
        lines: All of its lines.
        source_format: What they follow: "webvtt", "subrip" or a name in `formats.FORMATS`.
        first_line: Index of the line where the blocks of WebVTT begin, below the header.
        language: As the file says (`Language: en`), if it does.
        encoding: Python's name of it.
        notes: What was odd about encoding and header.
    """

    lines: list[str]
    source_format: str
    first_line: int
    language: str | None
    encoding: str
    notes: list[Note]

    @property
    def has_blocks(self) -> bool:
        """Whether its cues stand one below the other as they are said; others have rows and layers."""
        return self.source_format in {"webvtt", "subrip"}


@contextmanager
def name_file(path: Path) -> Iterator[None]:
    """Put a file's name in front of what is wrong with it."""
    try:
        yield
    except CaptionError as error:
        raise type(error)(f"{path.name}: {error}") from error


def open_captions(path: Path, language: str | None = None) -> CaptionFile:
    """Return a file's lines and format; its content decides, and its name only where the content does not.

    Args:
        path: The file.
        language: Code of the language that it should be in, whose encodings are tried.

    Raises:
        CaptionError: if it cannot be read, is empty, or is something else.
    """
    data = _read_bytes(path)
    if detect_unicode(data) is None:
        _refuse_binary(data[:4096].decode("latin-1"))
    text, encoding, notes = decode_text(data, language)
    lines = split_lines(text)
    first_text = next((index for index, line in enumerate(lines) if line.strip()), None)
    if first_text is None:
        raise CaptionError(f"the caption file is empty; {EXPECTED} were expected.")
    source_format, first_line, format_notes = _recognize(lines, first_text, path)
    header = lines[first_text + 1 : first_line] if source_format == "webvtt" else []
    notes = [*format_notes, *notes, *_flag_timestamp_map(header, first_text + 2)]
    declared = find_declared_language(data)
    return CaptionFile(lines, source_format, first_line, declared, encoding, notes)


def read_declared_language(path: Path) -> str | None:
    """Return the language that a file says it is in; None if it says nothing or cannot be read."""
    try:
        return find_declared_language(_read_bytes(path))
    except CaptionError:
        return None


def _read_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise CaptionError("expected a caption file, found nothing or no regular file.")
        num_bytes = path.stat().st_size
        if num_bytes > MAX_BYTES:
            raise CaptionError(f"{num_bytes} bytes are too many for captions; at most {MAX_BYTES} are read.")
        return path.read_bytes()
    except OSError as error:
        raise CaptionError(f"the caption file cannot be read: {error.strerror}.") from error


def _recognize(lines: list[str], first_text: int, path: Path) -> tuple[str, int, list[Note]]:
    """Return the format, the index of the line where its blocks begin, and what was odd about the header."""
    if has_signature(lines):
        return "webvtt", end_of_header(lines), []
    start = "\n".join(lines[first_text : first_text + 50])[:4096].lstrip()
    first_timing = find_timing_line(lines)
    is_webvtt = re.match(r"\s*WEBVTT\b", lines[first_text], re.IGNORECASE)
    if first_timing is not None and is_webvtt:
        note = Note(
            first_text + 1, Action.REPAIRED, "the WEBVTT line was not as it must be", lines[first_text]
        )
        return "webvtt", first_text + end_of_header(lines[first_text:]), [note]
    other = recognize_format("\n".join(lines[first_text:]))
    if other is not None and not (first_timing is not None and other.name in _NEEDS_NO_ARROW):
        is_named = path.suffix.lower() in other.extensions or path.suffix.lower() == ".json"
        reason = f"the file is {other.title} and was read as that"
        return other.name, 0, [] if is_named else [Note(first_text + 1, Action.REPAIRED, reason)]
    foreign = _foreign_format(start)
    if foreign is not None or first_timing is None:
        raise CaptionError(_explain_foreign(foreign or "plain text"))
    if path.suffix.lower() == ".srt":
        return "subrip", 0, []
    if "," in lines[first_timing] or lines[max(first_timing - 1, 0)].strip().isdigit():
        return "subrip", 0, [Note(first_text + 1, Action.REPAIRED, "the file is SubRip and was read as that")]
    return "webvtt", 0, [Note(first_text + 1, Action.REPAIRED, "the WEBVTT line at the top is missing")]


def _explain_foreign(found: str | None) -> str:
    return f"this looks like {found}, not like captions: {EXPECTED} were expected. Export it as one of them."


def _refuse_binary(start: str) -> None:
    """Refuse what is no text before the encoding of its words is looked for."""
    found = _foreign_format(start)
    if found in _BINARY:
        raise CaptionError(_explain_foreign(found))


def _foreign_format(start: str) -> str | None:
    for pattern, name in _FOREIGN_FORMATS:
        if re.match(pattern, start, re.IGNORECASE):
            return name
    num_controls = sum(character < " " and character not in "\t\n\r\f\x1b" for character in start)
    if num_controls + start.count("\ufffd") > _MAX_CONTROL_SHARE * len(start):
        return _NO_TEXT
    return None


def _flag_timestamp_map(header: list[str], first_number: int) -> list[Note]:
    """Note a header that maps the times to a stream's clock.

    `X-TIMESTAMP-MAP` (RFC 8216, section 3.5) says which instant of the MPEG-2 clock a cue time is. Only the
    stream's audio segments say where on that clock the audio begins; a file that was made of them starts at
    zero and says it no more. Packagers let both begin together, so the times are right as written; to shift
    them by the header alone (usually 10 s, the start that packagers choose) would be wrong far more often.
    """
    reason = "the header maps the times to a stream's clock; they were left as written"
    return [
        Note(number, Action.FLAGGED, reason, line)
        for number, line in enumerate(header, start=first_number)
        if line.startswith("X-TIMESTAMP-MAP")
    ]
