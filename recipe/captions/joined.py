"""Files joined from several: the segments of a stream, or the parts of a recording, one below the other.

A segment's times may be those of the recording, or begin at zero in each. `X-TIMESTAMP-MAP` (RFC 8216,
section 3.5) says how far a segment's clock is from the stream's; without it a clock that restarts cannot be
read.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import attrgetter

from recipe.captions.cue_text import parse_timestamp
from recipe.captions.cues import Action, Cue, Note, note_on, shift_cue
from recipe.captions.webvtt import ARROW, has_signature
from recipe.errors import CaptionError

CLOCK_HZ = 90_000
"""Of MPEG-2 timestamps, which count to `CLOCK_RANGE` and begin again."""

CLOCK_RANGE = 2**33

TOUCHING_MS = 50
"""A cue that a boundary cuts in two goes on at once."""

CUT_IN_TWO = "it is the rest of a cue that the boundary of two parts cut"
REPEATED = "the file has it twice"

MIN_CUES = 3
"""Fewer cues out of order are no second clock."""

_MAP = re.compile(r"X-TIMESTAMP-MAP=(.*)")
_MPEGTS = re.compile(r"MPEGTS:([0-9]{1,20})")
_LOCAL = re.compile(r"LOCAL:([0-9:.]+)")


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of lines with a header of its own.

    Attributes:
        line: Of its header, from 1.
        offset_ms: From its cues' times to the stream's clock, in milliseconds; None if no header says it.
    """

    line: int
    offset_ms: int | None = None


def find_parts(lines: Sequence[str]) -> tuple[list[str], list[Part]]:
    """Return the lines with every header but the file's own blank, and the parts that the headers begin."""
    lines, parts = list(lines), [Part(1, _read_offset(lines))]
    for index in range(1, len(lines)):
        line = lines[index].removeprefix("\ufeff")
        if line.startswith("WEBVTT") and has_signature([line]) and ARROW not in lines[index - 1]:
            end = next((i for i in range(index, len(lines)) if not lines[i] or ARROW in lines[i]), len(lines))
            parts.append(Part(index + 1, _read_offset(lines[index:end])))
            lines[index:end] = [""] * (end - index)
    return lines, parts


def _read_offset(header: Iterable[str]) -> int | None:
    for line in header:
        if not line or ARROW in line:
            break
        if found := _MAP.match(line):
            ticks, local = _MPEGTS.search(found[1]), _LOCAL.search(found[1])
            local_ms = parse_timestamp(local[1]) if local else 0
            return None if ticks is None or local_ms is None else _to_ms(int(ticks[1])) - local_ms
    return None


def _to_ms(ticks: int) -> int:
    return round(ticks % CLOCK_RANGE * 1000 / CLOCK_HZ)


def join_parts(
    cues: Sequence[Cue], parts: Sequence[Part], duration_ms: int | None
) -> tuple[list[Cue], list[Note]]:
    """Return the cues on the clock of the first part, those whole that a boundary cut in two.

    Args:
        cues: In order of their lines.
        parts: Of the file.
        duration_ms: Length of the recording's audio, if known.
    """
    if len(parts) < 2:
        return list(cues), []
    shifts = _find_shifts(parts)
    part_of = [_part_index(cue, parts) for cue in cues]
    shifted = [shift_cue(cue, shifts[index]) for cue, index in zip(cues, part_of, strict=True)]
    if duration_ms is not None and _last_ms(cues) <= duration_ms < _last_ms(shifted):
        shifts, shifted = [0] * len(parts), list(cues)  # the cues are on the recording's clock already
    notes = [
        Note(part.line, Action.REPAIRED, f"its times were moved by {shift} ms, as its X-TIMESTAMP-MAP says")
        for part, shift in zip(parts, shifts, strict=True)
        if shift
    ]
    return _join_cut(shifted, part_of, notes), notes


def _find_shifts(parts: Sequence[Part]) -> list[int]:
    """Return by how many milliseconds each part's clock is behind the first one's."""
    shifts: list[int] = []
    first_ms = next((part.offset_ms for part in parts if part.offset_ms is not None), 0)
    for part in parts:
        shift = shifts[-1] if shifts else 0
        if part.offset_ms is not None:
            shift = part.offset_ms - first_ms
            if shift < -_to_ms(CLOCK_RANGE - 1) // 2:
                shift += _to_ms(CLOCK_RANGE - 1)
        shifts.append(shift)
    return shifts


def _part_index(cue: Cue, parts: Sequence[Part]) -> int:
    return max(0, bisect_right(parts, cue.line, key=attrgetter("line")) - 1)


def _last_ms(cues: Iterable[Cue]) -> int:
    return max((cue.end_ms for cue in cues), default=0)


def _join_cut(cues: Sequence[Cue], part_of: Sequence[int], notes: list[Note]) -> list[Cue]:
    """Return the cues, one that goes on in the next part as one."""
    kept: list[Cue] = []
    seen: dict[str, tuple[int, int]] = {}  # by text: place in `kept`, and the last part that shows it
    for cue, part in zip(cues, part_of, strict=True):
        place, last_part = seen.get(cue.text, (-1, part))
        earlier = kept[place] if last_part == part - 1 else None
        if earlier and earlier.start_ms <= cue.start_ms <= earlier.end_ms + TOUCHING_MS:
            kept[place] = replace(earlier, end_ms=max(earlier.end_ms, cue.end_ms))
            is_same = (earlier.start_ms, earlier.end_ms) == (cue.start_ms, cue.end_ms)
            notes.append(note_on(cue, Action.MERGED, REPEATED if is_same else CUT_IN_TWO))
            seen[cue.text] = place, part
        else:
            seen[cue.text] = len(kept), part
            kept.append(cue)
    return kept


def check_clock(cues: Sequence[Cue], name: str, parts: Sequence[Part]) -> tuple[list[Cue], list[Note]]:
    """Return the cues if their times are of one clock.

    Args:
        cues: Each once, in any order.
        name: Of the file.
        parts: Of the file.

    Raises:
        CaptionError: if the clock restarts within the file.
    """
    stretches = _split_where_times_fall(sorted(cues, key=attrgetter("line")))
    num_shown, num_begun = _count_overlaps(stretches)
    for number, (earlier, later) in enumerate(pairwise(stretches), start=1):
        is_part = _part_index(later[0], parts) != _part_index(earlier[-1], parts)
        is_covered = 2 * (num_shown if is_part else num_begun)[number] > len(later)
        if _begins_anew(earlier, later, parts) or (is_covered and (is_part or len(later) >= MIN_CUES)):
            raise CaptionError(
                f"{name}: the clock restarts at line {later[0].line}: {later[0].start_ms} ms stands below "
                f"{earlier[-1].start_ms} ms. The file is joined from several whose times begin anew, and "
                "nothing says how far they are apart; one clock was expected. Export the captions of the "
                "whole recording."
            )
    return list(cues), []


def _split_where_times_fall(cues: Sequence[Cue]) -> list[list[Cue]]:
    stretches: list[list[Cue]] = []
    for cue in cues:
        if not stretches or cue.start_ms < stretches[-1][-1].start_ms:
            stretches.append([])
        stretches[-1].append(cue)
    return stretches


def _count_overlaps(stretches: Sequence[Sequence[Cue]]) -> tuple[list[int], list[int]]:
    """Return how many cues of each stretch are shown with one of another, and how many not from its start on.

    Rows and speakers of one time may stand in two stretches; they begin together.
    """
    shown, begun = set[tuple[int, int]](), set[tuple[int, int]]()
    numbered = (
        (cue, (number, i)) for number, stretch in enumerate(stretches) for i, cue in enumerate(stretch)
    )
    longest: tuple[Cue, tuple[int, int]] | None = None
    for cue, place in sorted(numbered, key=lambda item: item[0].start_ms):
        if longest and place[0] != longest[1][0] and cue.start_ms + TOUCHING_MS < longest[0].end_ms:
            shown |= {place, longest[1]}
            begun |= {place, longest[1]} if cue.start_ms > longest[0].start_ms + TOUCHING_MS else set()
        if longest is None or cue.end_ms > longest[0].end_ms:
            longest = cue, place
    return _count_by_stretch(shown, len(stretches)), _count_by_stretch(begun, len(stretches))


def _count_by_stretch(places: Iterable[tuple[int, int]], num_stretches: int) -> list[int]:
    counts = Counter(number for number, _ in places)
    return [counts[number] for number in range(num_stretches)]


def _begins_anew(earlier: Sequence[Cue], later: Sequence[Cue], parts: Sequence[Part]) -> bool:
    """Tell whether a later stretch is a part with a clock of its own, by its header or its first number."""
    part = _part_index(later[0], parts)
    first, last = _number(earlier[0]), _number(earlier[-1])
    is_numbered_anew = first == _number(later[0]) in {0, 1} and last > first
    is_untold = part != _part_index(earlier[-1], parts) and parts[part].offset_ms is None
    return (
        later[0].start_ms < 0 or is_numbered_anew or (is_untold and later[0].start_ms < earlier[0].start_ms)
    )


def _number(cue: Cue) -> int:
    """Return the number above the timing line; -1 where there is none."""
    text = cue.identifier.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
