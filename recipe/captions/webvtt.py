"""The W3C's file rules: WebVTT text to cues and back, nothing repaired.

Specification: https://www.w3.org/TR/webvtt1/#webvtt-parser-algorithm. Cue settings, regions and style
sheets place and colour a caption; they carry neither text nor time, so their blocks are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from recipe.captions.cue_text import CueText, format_timestamp, parse_timestamp, read_cue_text
from recipe.captions.cues import Cue

ARROW = "-->"
_SIGNATURE = re.compile(r"WEBVTT(?:[ \t]|$)")
_TIMINGS = re.compile(r"[\t\f ]*([0-9:.]+)[\t\f ]*-->[\t\f ]*([0-9:]+\.[0-9]+)")


class Block(NamedTuple):
    """Lines that belong together: a cue when it has a timing line, else a comment, style or region.

    Attributes:
        line: Line of the timing line, or of the first line, from 1.
        identifier: The line above the timing line, or empty.
        timing_line: The line that holds the arrow; None in a block that is no cue.
        payload: The lines below, joined.
    """

    line: int
    identifier: str
    timing_line: str | None
    payload: str


def parse_webvtt(text: str) -> list[Cue]:
    """Return the cues of a WebVTT file as the specification reads them, in file order.

    A file without the signature has no cues; a cue whose timing line is wrong is not one.
    """
    lines = split_lines(text)
    if not has_signature(lines):
        return []
    cues = (to_cue(block) for block in collect_blocks(lines, end_of_header(lines)))
    return [cue for cue in cues if cue is not None]


def format_webvtt(cues: Iterable[Cue]) -> str:
    """Return a WebVTT file of the cues: their identifiers, times and payloads as they are."""
    blocks = ["WEBVTT\n"]
    for cue in cues:
        timing_line = f"{format_timestamp(cue.start_ms)} {ARROW} {format_timestamp(cue.end_ms)}"
        blocks.append("\n".join(filter(None, (cue.identifier, timing_line, cue.payload))) + "\n")
    return "\n".join(blocks)


def split_lines(text: str) -> list[str]:
    """Return the lines of a file: CRLF, CR and LF each end one, and NUL is replaced."""
    return text.replace("\0", "\ufffd").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def has_signature(lines: list[str]) -> bool:
    """Tell whether the file begins as a WebVTT file must."""
    return _SIGNATURE.match(lines[0]) is not None


def end_of_header(lines: list[str]) -> int:
    """Return the index of the line where the header block ends: at an empty line or at an arrow."""
    return _end_of_payload(lines, 1)


def collect_blocks(lines: list[str], position: int = 0) -> Iterator[Block]:
    """Yield the blocks from line index `position` on.

    Only an empty line or an arrow ends a block: a line with a single space does not.
    https://www.w3.org/TR/webvtt1/#collect-a-webvtt-block
    """
    while position < len(lines):
        if not lines[position]:
            position += 1
            continue
        has_identifier = ARROW not in lines[position] and ARROW in "".join(lines[position + 1 : position + 2])
        timing_at = position + has_identifier
        is_cue = ARROW in lines[timing_at]
        end = _end_of_payload(lines, timing_at + 1)
        yield Block(
            line=timing_at + 1,
            identifier=lines[position] if has_identifier else "",
            timing_line=lines[timing_at] if is_cue else None,
            payload="\n".join(lines[timing_at + is_cue : end]),
        )
        position = end


def to_cue(block: Block, read_payload: Callable[[str, int], CueText] = read_cue_text) -> Cue | None:
    """Return the block's cue, or None when it has no timing line or one that cannot be read."""
    timings = parse_timings(block.timing_line or "")
    if timings is None:
        return None
    start_ms, end_ms = timings
    text, speaker, words = read_payload(block.payload, start_ms)
    settings = "".join((block.timing_line or "").partition(ARROW)[2].split(maxsplit=1)[1:])
    return Cue(block.identifier, start_ms, end_ms, block.payload, text, speaker, words, block.line, settings)


def parse_timings(line: str) -> tuple[int, int] | None:
    """Return the start and end, in milliseconds, that a timing line says; None when it cannot be read."""
    match = _TIMINGS.match(line)
    if match is None:
        return None
    start_ms, end_ms = parse_timestamp(match[1]), parse_timestamp(match[2])
    return None if start_ms is None or end_ms is None else (start_ms, end_ms)


def _end_of_payload(lines: list[str], position: int) -> int:
    while position < len(lines) and lines[position] and ARROW not in lines[position]:
        position += 1
    return position
