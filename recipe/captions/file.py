"""The lines of a caption file, whatever its encoding, and which of the two formats they are in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, NamedTuple

from recipe.captions.cues import Action, Note
from recipe.captions.repair import find_timing_line
from recipe.captions.webvtt import end_of_header, has_signature, split_lines
from recipe.errors import CaptionError

MAX_BYTES = 64 * 2**20
"""Captions of ten hours take 5 MB."""

_FOREIGN_FORMATS = (
    (r"<!doctype html|<html|<head|<body", "an HTML page"),
    (r"<\?xml|<tt|<transcript|<timedtext", "an XML document"),
    (r'\{\s*["}]|\[\s*[\[{"\]]', "JSON"),
    (r"\[script info\]", "SubStation Alpha (.ass)"),
    (r"%PDF|PK\x03\x04|RIFF|ID3|OggS|fLaC|\x1aE", "a binary file"),
)
_MAX_CONTROL_SHARE = 0.05  # of the characters of a text file


class CaptionFile(NamedTuple):
    """A file that is captions.

    Attributes:
        lines: All of its lines.
        source_format: What their blocks follow.
        first_line: Index of the line where the blocks begin, below the header.
        language: As the header says (`Language: en`), if it does.
        notes: What was odd about encoding and header.
    """

    lines: list[str]
    source_format: Literal["webvtt", "subrip"]
    first_line: int
    language: str | None
    notes: list[Note]


def open_captions(path: Path) -> CaptionFile:
    """Return a file's lines and format; its content decides, and its name only where the content does not.

    Raises:
        CaptionError: if it cannot be read, is empty, or is something else.
    """
    data = _read_bytes(path)
    lines = split_lines(decode_captions(data))
    first_text = next((index for index, line in enumerate(lines) if line.strip()), None)
    if first_text is None:
        raise CaptionError(f"{path.name}: the caption file is empty; WebVTT or SubRip was expected.")
    source_format, first_line, notes = _recognize(lines, first_text, path)
    encoding = detect_encoding(data)
    if encoding not in {"utf-8", "utf-16", "utf-32"}:
        notes.append(Note(0, Action.FLAGGED, f"the file is not UTF-8; it was read as {encoding}"))
    header = lines[first_text + 1 : first_line] if source_format == "webvtt" else []
    notes += _flag_timestamp_map(header, first_text + 2)
    return CaptionFile(lines, source_format, first_line, _header_value(header, "language"), notes)


def decode_captions(data: bytes) -> str:
    """Return the text of a caption file, its byte order mark removed, undecodable bytes as U+FFFD."""
    return data.decode(detect_encoding(data), errors="replace").removeprefix("\ufeff")


def detect_encoding(data: bytes) -> str:
    """Return the name of the encoding: UTF-8, -16 or -32 by mark or content, else a Western one."""
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf-32"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    are_nul = [byte == 0 for byte in data[:4]]  # captions begin with ASCII, in any language
    if are_nul == [True, False, True, False]:
        return "utf-16-be"
    if are_nul == [False, True, False, True]:
        return "utf-16-le"
    if _is_mostly_utf8(data):
        return "utf-8"
    return "cp1252" if _can_decode(data, "cp1252") else "latin-1"


def _is_mostly_utf8(data: bytes) -> bool:
    """Tell whether all is UTF-8, or more of the characters beyond ASCII are whole than broken."""
    if _can_decode(data, "utf-8"):
        return True
    text = data.decode("utf-8", errors="replace")
    return 2 * text.count("\ufffd") <= len(re.findall(r"[^\x00-\x7f]", text))


def _can_decode(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _read_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise CaptionError(f"{path.name}: expected a caption file, found nothing or no regular file.")
        num_bytes = path.stat().st_size
        if num_bytes > MAX_BYTES:
            raise CaptionError(
                f"{path.name}: {num_bytes} bytes are too many for captions; at most {MAX_BYTES} are read."
            )
        return path.read_bytes()
    except OSError as error:
        raise CaptionError(f"{path.name}: the caption file cannot be read: {error.strerror}.") from error


def _recognize(
    lines: list[str], first_text: int, path: Path
) -> tuple[Literal["webvtt", "subrip"], int, list[Note]]:
    """Return the format, the index of the line where its blocks begin, and what was odd about the header."""
    if has_signature(lines):
        return "webvtt", end_of_header(lines), []
    foreign = _foreign_format("\n".join(lines[first_text : first_text + 50])[:4096].lstrip())
    first_timing = find_timing_line(lines)
    if (
        first_timing is not None
        and not foreign
        and re.match(r"\s*WEBVTT\b", lines[first_text], re.IGNORECASE)
    ):
        note = Note(
            first_text + 1, Action.REPAIRED, "the WEBVTT line was not as it must be", lines[first_text]
        )
        return "webvtt", first_text + end_of_header(lines[first_text:]), [note]
    if foreign is not None or first_timing is None:
        raise CaptionError(
            f"{path.name}: this looks like {foreign or 'plain text'}, not like captions: WebVTT or SubRip "
            "with lines such as '00:00:01.000 --> 00:00:03.500' was expected. Export it as one of them."
        )
    if path.suffix.lower() == ".srt":
        return "subrip", 0, []
    if "," in lines[first_timing] or lines[max(first_timing - 1, 0)].strip().isdigit():
        return "subrip", 0, [Note(first_text + 1, Action.REPAIRED, "the file is SubRip and was read as that")]
    return "webvtt", 0, [Note(first_text + 1, Action.REPAIRED, "the WEBVTT line at the top is missing")]


def _foreign_format(start: str) -> str | None:
    for pattern, name in _FOREIGN_FORMATS:
        if re.match(pattern, start, re.IGNORECASE):
            return name
    num_controls = sum(character < " " and character not in "\t\n\f" for character in start)
    if num_controls + start.count("\ufffd") > _MAX_CONTROL_SHARE * len(start):
        return "a binary file"
    return None


def _header_value(header: list[str], name: str) -> str | None:
    for line in header:
        key, _, value = line.partition(":")
        if key.strip().lower() == name and value.strip():
            return value.strip()
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
