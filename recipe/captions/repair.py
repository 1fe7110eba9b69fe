"""Caption files as people write them: SubRip, and WebVTT with the faults of the wild.

The W3C's rules stay the only parser. This layer turns a fault that can only mean one thing into the form
those rules read, line by line and cue by cue, and leaves a note for each; SubRip is read the same way,
since its blocks differ from WebVTT's in three points alone: commas in times, no header, and blank lines
that may stand inside a cue.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from recipe.captions.cue_text import CueText, format_timestamp, read_cue_text
from recipe.captions.cues import Action, Cue, Note, note_on, shorten
from recipe.captions.webvtt import ARROW, Block, collect_blocks, parse_timings, split_lines, to_cue

_TIME = (
    r"(?:([0-9]{1,9})[ \t]{0,2}:[ \t]{0,2})?([0-9]{1,3})[ \t]{0,2}:[ \t]{0,2}([0-9]{1,2})"
    r"(?:[ \t]?[.,][ \t]?([0-9]{1,9})|:([0-9]{3}))?(?![0-9])"
)
_ANY_ARROW = r"(?P<arrow>[-\u2013\u2014]{1,3}[ ]?(?:>|&gt;)|\u2192)"
_LOOSE_TIMINGS = re.compile(rf"[ \t]*{_TIME}[ \t]*{_ANY_ARROW}[ \t]*{_TIME}")
_SUBRIP_TIMINGS = re.compile(
    r"[0-9]{1,3}:[0-9]{2}:[0-9]{2},[0-9]{3}[ \t]+-->[ \t]+[0-9]{1,3}:[0-9]{2}:[0-9]{2},[0-9]{3}\b"
)
_NESTED_TIMINGS = re.compile(rf"(?:(?<!\S)[0-9]{{1,6}}\s{{1,3}})?{_TIME}[ \t]*-->[ \t]*{_TIME}")
_SILENT_BLOCKS = re.compile(
    r"(?:NOTE|STYLE|REGION|WEBVTT|Kind:|Language:|X-TIMESTAMP-MAP=)(?:(?<=\W)|(?!\S))"
)

# What the W3C's rules would misread: HTML's breaks between words, SubRip's `{\an8}`, SubStation's `\N`,
# MicroDVD's `{y:i}`, a comma in an inline time, a reference broken by spaces, and a `<` that opens nothing,
# from which on the text would be lost.
_BREAK = re.compile(r"</?(?:br|p|div)\b[^<>]*>", re.IGNORECASE)
_OVERRIDE = re.compile(r"\{\\[^{}]{0,99}\}|\{[yYcCfFsSpP]:[^{}\n]{0,30}\}")
_ESCAPED_BREAK = re.compile(r"\\[Nnh](?![a-z])")
_COMMA_TIME = re.compile(r"<([0-9:]{5,12}),([0-9]{3})>")
_SPACED_REFERENCE = re.compile(r"&[ \t]?(amp|lt|gt|quot|apos|nbsp|#39)[ \t]?;", re.IGNORECASE)
_UNKNOWN_TAG = re.compile(
    r"</?(?!(?:[cibuvs]|lang|ruby|r[tp]|font|span|em|strong|small|br|p|div)(?![A-Za-z]))[A-Za-z][^<>]*>",
    re.IGNORECASE,
)
_END_TAG = re.compile(r"</([^<>]{0,42})>")
_WORDS_IN_TAG = re.compile(r"<([A-Za-z][\w -]{0,40})>")
_LITERAL_LESS_THAN = re.compile(r"<(?![^<>]*>)|<(?!/?[A-Za-z]|[/.]|>|[0-9:]+\.[0-9]+>)")
UNKNOWN_TAG = "a tag that nobody knows was left out"
_NESTING_TOLERANCE_MS = 1000


class Reading(NamedTuple):
    """The cues of a file, read leniently.

    Attributes:
        cues: In file order, whatever their times.
        notes: What was repaired, lost or flagged.
        num_found: All cues that the file holds: those in `cues` and those dropped here.
    """

    cues: list[Cue]
    notes: list[Note]
    num_found: int


def parse_subrip(text: str) -> list[Cue]:
    """Return the cues of a SubRip file, in file order, their payloads as written."""
    return read_blocks(split_lines(text), 0, is_subrip=True).cues


def find_timing_line(lines: list[str]) -> int | None:
    """Return the index of the first line that can only be a cue's timing line."""
    return next((index for index, line in enumerate(lines) if mend_timing_line(line) is not None), None)


def read_blocks(lines: list[str], position: int, *, is_subrip: bool) -> Reading:
    """Return the cues from line index `position` on."""
    lines, notes = _mend_timing_lines(lines, is_subrip=is_subrip)
    blocks = _move_leaked_numbers(list(collect_blocks(lines, position)))
    blocks = _join_split_payloads(blocks, notes) if is_subrip else _settle_untimed_text(blocks, notes)
    cues: list[Cue] = []
    for block in blocks:
        cue = to_cue(_take_text_off_timing_line(block, notes), read_loosely)
        if cue is None:
            excerpt = shorten(f"{block.timing_line}\n{block.payload}")
            notes.append(Note(block.line, Action.DROPPED, "its timing line cannot be read", excerpt))
            continue
        if _UNKNOWN_TAG.search(block.payload):
            notes.append(note_on(cue, Action.FLAGGED, UNKNOWN_TAG))
        cues.extend(_split_nested(cue, notes))
    num_dropped = sum(note.action is Action.DROPPED for note in notes)
    return Reading(cues, notes, len(cues) + num_dropped)


def mend_timing_line(line: str) -> str | None:
    """Return the line as a WebVTT timing line, or None when it is not certain to be one.

    A comma or nothing before the milliseconds, fewer or more digits, missing hours, stray spaces and other
    arrows are mended. An arrow that WebVTT does not know must stand between full times: `10:30 -> 11:00`
    may be what someone says.
    """
    match = _LOOSE_TIMINGS.match(line)
    if match is None:
        return None
    groups = match.groups()
    start, arrow, end = groups[:5], groups[5], groups[6:]
    start_ms, end_ms = _to_milliseconds(start), _to_milliseconds(end)
    has_fractions = any(start[3:]) and any(end[3:])
    if start_ms is None or end_ms is None or (arrow != ARROW and not has_fractions):
        return None
    return f"{format_timestamp(start_ms)} {ARROW} {format_timestamp(end_ms)}{line[match.end() :]}"


def read_loosely(payload: str, start_ms: int = 0) -> CueText:
    """Return what a payload says, with a `<` that opens no tag read as text."""
    return read_cue_text(_mend_payload(payload), start_ms)


def _mend_payload(payload: str) -> str:
    if "&" in payload:
        payload = _SPACED_REFERENCE.sub(r"&\1;", payload)
    if "\\" in payload:
        payload = _ESCAPED_BREAK.sub("\n", payload)
    if "{" in payload:
        payload = _OVERRIDE.sub("", payload)
    if "<" in payload:
        payload = _BREAK.sub("\n", payload)
        payload = _put_unknown_tags_in_brackets(payload)
        payload = _COMMA_TIME.sub(r"<\1.\2>", payload)
        payload = _LITERAL_LESS_THAN.sub("&lt;", payload)
    return payload


def _put_unknown_tags_in_brackets(payload: str) -> str:
    """Return the payload, unknown tags that nothing closes made annotations: `<laughs>`, `<pad>`."""
    closed = set(_END_TAG.findall(payload))

    def put_in_brackets(tag: re.Match[str]) -> str:
        words = _WORDS_IN_TAG.fullmatch(tag[0])
        return f"[{words[1]}]" if words is not None and words[1] not in closed else tag[0]

    return _UNKNOWN_TAG.sub(put_in_brackets, payload)


def _to_milliseconds(fields: tuple[str | None, ...]) -> int | None:
    hours, minutes, seconds, fraction, milliseconds = fields
    if int(seconds or 0) > 59 or (hours and int(minutes or 0) > 59):
        return None
    whole_ms = ((int(hours or 0) * 60 + int(minutes or 0)) * 60 + int(seconds or 0)) * 1000
    return whole_ms + int(milliseconds or f"{fraction or '':0<3}"[:3])


def _mend_timing_lines(lines: list[str], *, is_subrip: bool) -> tuple[list[str], list[Note]]:
    mended_lines, notes = list(lines), []
    for index, line in enumerate(lines):
        mended = mend_timing_line(line) if parse_timings(line) is None else None
        if mended is None:
            continue
        mended_lines[index] = mended
        if not (is_subrip and _SUBRIP_TIMINGS.match(line)):
            notes.append(Note(index + 1, Action.REPAIRED, "its timing line was mended", shorten(line)))
    return mended_lines, notes


def _move_leaked_numbers(blocks: list[Block]) -> list[Block]:
    """Take a number that stands right above a timing line from the payload that W3C's rules give it to.

    Whoever leaves out the empty line before a cue writes SubRip, where that line is the cue's number. A
    payload that is a number alone is text, unless its cue encloses the next: then it encloses a whole file.
    """
    moved = list(blocks)
    for index, (block, following) in enumerate(pairwise(blocks)):
        head, _, last = block.payload.rpartition("\n")
        num_lines = block.payload.count("\n") + 1
        is_adjacent = following.line == block.line + num_lines + (block.timing_line is not None)
        if not (is_adjacent and following.timing_line and not following.identifier and _is_number(last)):
            continue
        if head or _encloses(block, following):
            moved[index] = moved[index]._replace(payload=head)
            moved[index + 1] = following._replace(identifier=last.strip())
    return moved


def _encloses(outer: Block, inner: Block) -> bool:
    outer_times, inner_times = parse_timings(outer.timing_line or ""), parse_timings(inner.timing_line or "")
    if outer_times is None or inner_times is None:
        return False
    return outer_times[0] <= inner_times[0] and inner_times[1] <= outer_times[1]


def _join_split_payloads(blocks: list[Block], notes: list[Note]) -> list[Block]:
    """Give SubRip text below a blank line back to its cue; above a timing line, all but a number is text."""
    joined: list[tuple[Block, list[str]]] = []
    for block in blocks:
        text = block.payload if block.timing_line is None else block.identifier
        if text.strip() and not _is_number(text):
            if joined:
                joined[-1][1].append(text)
            else:
                reason = "text before the first cue was left out"
                notes.append(Note(block.line, Action.FLAGGED, reason, shorten(text)))
        if block.timing_line is not None:
            joined.append((block, [block.payload]))
    return [block._replace(payload="\n".join(texts)) for block, texts in joined]


def _settle_untimed_text(blocks: list[Block], notes: list[Note]) -> list[Block]:
    """Give text below an empty cue to that cue; flag other text that has no time and is no comment.

    Automatic captions begin some cues with a line of one space. Where an editor has removed it, the text
    stands below an empty line, which has ended the cue.
    """
    timed: list[Block] = []
    for block in blocks:
        if block.timing_line is not None:
            timed.append(block)
        elif _SILENT_BLOCKS.match(block.payload) or not block.payload.strip():
            continue
        elif timed and not timed[-1].payload and block.line == timed[-1].line + 2:
            reason = "its text stood below an empty line"
            notes.append(Note(block.line, Action.REPAIRED, reason, shorten(block.payload)))
            timed[-1] = timed[-1]._replace(payload=f"\n{block.payload}")
        else:
            reason = "text without a timing line was left out"
            notes.append(Note(block.line, Action.FLAGGED, reason, shorten(block.payload)))
    return timed


def _take_text_off_timing_line(block: Block, notes: list[Note]) -> Block:
    """Return the block with its text in the payload when it stands behind the times, where settings do."""
    match = _LOOSE_TIMINGS.match(block.timing_line or "")
    rest = (block.timing_line or "")[match.end() :].strip() if match else ""
    if not rest or block.payload or re.search(r"[:=%]|-->", rest.split()[0]):
        return block
    notes.append(Note(block.line, Action.REPAIRED, "its text stood on the timing line", shorten(rest)))
    return block._replace(payload=rest)


def _split_nested(cue: Cue, notes: list[Note]) -> list[Cue]:
    """Return the cues of a SubRip file pasted into a cue's payload, when their times lie within the cue."""
    matches = list(_NESTED_TIMINGS.finditer(cue.text)) if ARROW in cue.text else []
    if not matches:
        return [cue]
    ends = [*(match.start() for match in matches[1:]), len(cue.text)]
    inner = [_nested_cue(cue, match, end) for match, end in zip(matches, ends, strict=True)]
    cues = [nested for nested in inner if nested is not None]
    first_ms, last_ms = cue.start_ms - _NESTING_TOLERANCE_MS, cue.end_ms + _NESTING_TOLERANCE_MS
    starts = [nested.start_ms for nested in cues]
    if (
        len(cues) < len(inner)
        or [first_ms, *starts] != sorted([first_ms, *starts])
        or cues[-1].end_ms > last_ms
    ):
        notes.append(note_on(cue, Action.DROPPED, "it holds a caption file with times that are not its own"))
        return []
    lead = replace(cue, text=cue.text[: matches[0].start()])
    if lead.text.strip():
        notes.append(note_on(lead, Action.FLAGGED, "text before the cues inside it was left out"))
    notes += (note_on(nested, Action.REPAIRED, "it stood inside the text of another cue") for nested in cues)
    return cues


def _nested_cue(outer: Cue, match: re.Match[str], end: int) -> Cue | None:
    groups = match.groups()
    start_ms, end_ms = _to_milliseconds(groups[:5]), _to_milliseconds(groups[5:])
    if start_ms is None or end_ms is None:
        return None
    text = outer.text[match.end() : end].strip()
    return replace(outer, identifier="", start_ms=start_ms, end_ms=end_ms, payload=text, text=text, words=())


def _is_number(line: str) -> bool:
    line = line.strip()
    return line.isascii() and line.isdigit()
