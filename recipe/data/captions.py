"""Caption files as training sees them: the public door of the caption reader.

    bytes ─► text ─► lines ─► cues ─► sorted ─► unrolled ─► cleaned ─► settled
          encoding    format (webvtt, cue_text,  (timing)  (rolling)  (cleaning)  (timing)
                              lenient)

The W3C's rules (`webvtt`, `cue_text`) are strict and repair nothing; every repair is a later stage, and
leaves a note. A cue that was found is kept, merged or dropped, so the counts of a file add up.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from recipe.data.cleaning import NO_SPEECH, Cleaning, clean_cues
from recipe.data.cues import Action, Cue, Note, Word
from recipe.data.lenient import find_timing_line, parse_subrip, read_blocks
from recipe.data.rolling import undo_rolling
from recipe.data.timing import settle_times, sort_cues
from recipe.data.webvtt import end_of_header, format_webvtt, has_signature, parse_webvtt, split_lines
from recipe.errors import CaptionError

__all__ = [
    "Action",
    "Captions",
    "Cleaning",
    "Cue",
    "Note",
    "Word",
    "decode_captions",
    "format_webvtt",
    "parse_subrip",
    "parse_webvtt",
    "read_captions",
]

MAX_BYTES = 64 * 2**20
"""A caption file of ten hours takes 5 MB."""


@dataclass(frozen=True, slots=True)
class Captions:
    """The cues of one file, and what was done to get there.

    `num_cues_in` = `len(cues)` + `num_merged` + `num_dropped`, always.

    Attributes:
        cues: In order, apart, each with text, a start and a later end.
        notes: Each change, loss and doubt, in order of the file's lines.
        language: As the file's header says (`Language: en`), if it does.
        source_format: "webvtt" or "subrip".
        num_cues_in: Cues that the file holds.
    """

    cues: tuple[Cue, ...]
    notes: tuple[Note, ...]
    language: str | None
    source_format: str
    num_cues_in: int

    @property
    def num_merged(self) -> int:
        """Cues whose words are in another cue."""
        return sum(note.action is Action.MERGED for note in self.notes)

    @property
    def num_dropped(self) -> int:
        """Cues that were lost, each with a note."""
        return sum(note.action is Action.DROPPED for note in self.notes)

    @property
    def lost_speech_ms(self) -> tuple[tuple[int, int], ...]:
        """Where cues with words were dropped, as (start, end): no audio to be labelled as silence."""
        return tuple(
            (note.start_ms, note.end_ms)
            for note in self.notes
            if note.action is Action.DROPPED and note.reason != NO_SPEECH
            if note.start_ms is not None and note.end_ms is not None
        )


def read_captions(
    path: Path,
    *,
    cleaning: Cleaning = Cleaning(),  # noqa: B008 - frozen, so one default for all is safe
    duration_ms: int | None = None,
    suppressed_symbols: frozenset[str] = frozenset(),
    language: str | None = None,
) -> Captions:
    """Return the captions of a WebVTT or SubRip file; none when it is valid but has no cues.

    Args:
        path: The file; its content decides the format, its name only when the content does not.
        cleaning: Rules that turn cue text into reading form.
        duration_ms: Length of the recording's audio, to judge cues near its end.
        suppressed_symbols: Texts that the model can never produce.
        language: Code of the speech's language; the file's own header counts where it is None.

    Raises:
        CaptionError: if the file is not captions at all.
    """
    data = _read_bytes(path)
    encoding = detect_encoding(data)
    lines = split_lines(data.decode(encoding, errors="replace").removeprefix("\ufeff"))
    source_format, first_line, notes = _recognize(lines, path)
    if encoding not in {"utf-8", "utf-16", "utf-32"}:
        notes.append(Note(0, Action.FLAGGED, f"the file is not UTF-8; it was read as {encoding}"))
    notes.extend(_flag_timestamp_map(lines))
    file_language = _header_value(lines, "Language")
    cues, more_notes, num_found = read_blocks(lines, first_line, is_subrip=source_format == "subrip")
    notes += more_notes
    cues, more_notes = sort_cues(cues)
    notes += more_notes
    if cleaning.rolling:
        cues, more_notes = undo_rolling(cues)
        notes += more_notes
    cues, more_notes = clean_cues(cues, cleaning, suppressed_symbols, language or file_language)
    notes += more_notes
    cues, more_notes = settle_times(cues, duration_ms)
    notes += more_notes
    notes.sort(key=lambda note: note.line)
    return Captions(tuple(cues), tuple(notes), file_language, source_format, num_found)


def decode_captions(data: bytes) -> str:
    """Return the text of a caption file, its byte order mark removed, undecodable bytes as U+FFFD."""
    return data.decode(detect_encoding(data), errors="replace").removeprefix("\ufeff")


def detect_encoding(data: bytes) -> str:
    """Return the name of the encoding: UTF-8, -16 or -32 by mark or content, else a Western one."""
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf-32"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    sample = data[:4096]
    nul_parities = Counter(index % 2 for index, byte in enumerate(sample) if byte == 0)
    if nul_parities.total() > len(sample) / 20:  # digits and line ends alone are more, in any language
        for parity, encoding in ((0, "utf-16-be"), (1, "utf-16-le")):
            if nul_parities[parity] > 0.9 * nul_parities.total():
                return encoding
    return _detect_byte_encoding(data)


def _detect_byte_encoding(data: bytes) -> str:
    """Return UTF-8 unless more of the file's special characters are broken than whole."""
    text = data.decode("utf-8", errors="replace")
    num_special = sum(character > "\x7f" for character in text) if not text.isascii() else 0
    if 2 * text.count("\ufffd") <= num_special:
        return "utf-8"
    try:
        data.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"
    return "cp1252"


def _read_bytes(path: Path) -> bytes:
    try:
        num_bytes = path.stat().st_size
        if num_bytes > MAX_BYTES:
            raise CaptionError(
                f"{path.name}: {num_bytes} bytes are too many for captions; at most {MAX_BYTES} are read."
            )
        return path.read_bytes()
    except OSError as error:
        raise CaptionError(f"{path.name}: the caption file cannot be read: {error.strerror}.") from error


def _recognize(lines: list[str], path: Path) -> tuple[str, int, list[Note]]:
    """Return the format, the index of the line where the blocks begin, and what was odd about the header."""
    if has_signature(lines):
        return "webvtt", end_of_header(lines), []
    text_at = next((index for index, line in enumerate(lines) if line.strip()), None)
    if text_at is None:
        raise CaptionError(f"{path.name}: the caption file is empty; WebVTT or SubRip was expected.")
    looks_like = _foreign_format(lines, text_at)
    timing_at = find_timing_line(lines)
    if re.match(r"\s*WEBVTT\b", lines[text_at], re.IGNORECASE) and not looks_like:
        header = lines[text_at:]
        notes = [Note(text_at + 1, Action.REPAIRED, "the WEBVTT line was not as it must be", lines[text_at])]
        return "webvtt", text_at + end_of_header(header), notes
    if looks_like or timing_at is None:
        raise CaptionError(
            f"{path.name}: this looks like {looks_like or 'plain text'}, not like captions: WebVTT or SubRip "
            "with lines such as '00:00:01.000 --> 00:00:03.500' was expected; export the captions as one of them."
        )
    above = lines[timing_at - 1].strip() if timing_at else ""
    if "," in lines[timing_at] or above.isdigit() or path.suffix.lower() == ".srt":
        notes = (
            []
            if path.suffix.lower() == ".srt"
            else [Note(1, Action.REPAIRED, "the file is SubRip; it was read as that")]
        )
        return "subrip", 0, notes
    return "webvtt", 0, [Note(1, Action.REPAIRED, "the WEBVTT line at the top is missing")]


def _foreign_format(lines: list[str], text_at: int) -> str | None:
    start = "\n".join(lines[text_at : text_at + 50])[:4096].lstrip()
    if re.match(r"<!doctype html|<html|<head|<body", start, re.IGNORECASE):
        return "an HTML page"
    if start.startswith(("<?xml", "<tt", "<transcript", "<timedtext")):
        return "an XML document"
    if re.match(r"\{\s*[\"}]|\[\s*[\[{\"\]]", start):
        return "JSON"
    if start.startswith("[Script Info]") or re.search(r"^Dialogue:", start, re.MULTILINE):
        return "SubStation Alpha (.ass)"
    num_controls = sum(
        character < " " and character not in "\t\n\f" or character == "\ufffd" for character in start
    )
    if num_controls > len(start) / 20:
        return "a binary file"
    return None


def _header_value(lines: list[str], name: str) -> str | None:
    for line in lines[1 : end_of_header(lines)]:
        key, colon, value = line.partition(":")
        if colon and key.strip().lower() == name.lower():
            return value.strip() or None
    return None


def _flag_timestamp_map(lines: list[str]) -> list[Note]:
    """Note a header that maps the times to a stream's clock; where the audio begins on it is not known."""
    return [
        Note(
            index + 1,
            Action.FLAGGED,
            "the header maps the times to a stream's clock; they were left as written",
            line,
        )
        for index, line in enumerate(lines[1 : end_of_header(lines)], start=1)
        if line.startswith("X-TIMESTAMP-MAP")
    ]
