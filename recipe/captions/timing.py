"""Cue times that windows can be cut by: in order, apart, inside the audio, long enough for the text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from operator import attrgetter

from recipe.captions.cues import Action, Cue, Note, note_on, shift_cue
from recipe.captions.positions import row_of
from recipe.captions.rows import fold

MAX_CHARS_PER_SECOND = 25
"""Nobody speaks faster for long."""

ABSURD_CHARS_PER_SECOND = 100
"""Above this the times can only be wrong; finer judgement is left to the windows."""

ABSURD_FREE_CHARS = 20
"""A single word may have too short a time without harm."""

SMALL_OVERLAP_MS = 250
"""An overlap as short as this is carelessness, whatever the text."""

MAX_MERGED_MS = 30_000
"""Cues that overlap are merged up to the length of a window."""

HOUR_MS = 3_600_000

REPEATED = "the file has it twice"
ENDS_EARLIER = "it overlapped the next cue and now ends before it"
SAID_TOGETHER = "it is spoken at the same time as the cue before it"
CANNOT_BE_ONE = "it overlaps the cue before it, or the one after it, and they cannot be one"
SPANS_OTHERS = "it is longer than 30 s, and others are spoken meanwhile"
OVERLAPS = frozenset({ENDS_EARLIER, SAID_TOGETHER, CANNOT_BE_ONE, SPANS_OTHERS})
"""Reasons of the notes on cues that overlapped another one."""

_what_and_when = attrgetter("start_ms", "end_ms", "payload")


def sort_cues(cues: Sequence[Cue]) -> tuple[list[Cue], list[Note]]:
    """Return the cues in order of their start, rows shown together from the top, each cue once."""
    notes = [
        note_on(cue, Action.REPAIRED, "it starts before the cue above it, so the cues were sorted")
        for previous, cue in pairwise(cues)
        if cue.start_ms < previous.start_ms
    ]
    kept: list[Cue] = []
    for _, group in groupby(sorted(cues, key=attrgetter("start_ms")), key=attrgetter("start_ms")):
        once: dict[tuple[int, int, str], Cue] = {}
        repeats = [cue for cue in group if once.setdefault(_what_and_when(cue), cue) is not cue]
        notes += (note_on(cue, Action.MERGED, REPEATED) for cue in repeats)
        kept += _order_rows(list(once.values()))
    return kept, notes


def _order_rows(cues: list[Cue]) -> list[Cue]:
    """Return cues of the same start, those of the same end too as rows from the top to the bottom."""
    if len(cues) == 1:
        return cues
    ends: dict[int, list[Cue]] = {}
    for cue in cues:
        ends.setdefault(cue.end_ms, []).append(cue)
    rows = {end_ms: iter(sorted(group, key=row_of)) for end_ms, group in ends.items()}
    return [next(rows[cue.end_ms]) for cue in cues]


def undo_lateness(cues: Sequence[Cue], duration_ms: int | None) -> tuple[list[Cue], list[Note]]:
    """Return the cues hours earlier if only that has them all inside the audio.

    Broadcasters' clocks start at one or ten o'clock.

    Args:
        cues: Of the file.
        duration_ms: Length of the recording's audio, if known.
    """
    starts = [cue.start_ms for cue in cues if cue.text.strip()]
    if duration_ms is None or not starts or min(starts) < duration_ms:
        return list(cues), []
    num_hours = min(starts) // HOUR_MS
    last_ms = max(starts) - num_hours * HOUR_MS
    if num_hours and last_ms < duration_ms <= last_ms + HOUR_MS:
        reason = f"all times were {num_hours} h late, past the end of the audio, and were moved"
        moved = [shift_cue(cue, -num_hours * HOUR_MS) for cue in cues]
        return moved, [Note(0, Action.REPAIRED, reason)]
    reason = (
        f"all cues start at {min(starts)} ms or later, and the audio ends at {duration_ms} ms: are their "
        "times late, or is it another recording?"
    )
    return list(cues), [Note(0, Action.FLAGGED, reason)]


def settle_times(cues: Iterable[Cue], duration_ms: int | None) -> tuple[list[Cue], list[Note]]:
    """Return the cues whose times can be right, and mend those that can only be wrong in one way.

    Args:
        cues: In order of their start.
        duration_ms: Length of the recording's audio, if known.
    """
    notes: list[Note] = []
    possible: list[Cue] = []
    for cue in cues:
        fault = _find_fault(cue)
        if fault:
            notes.append(note_on(cue, Action.DROPPED, fault))
        else:
            possible.append(_start_with_words(cue, notes))
    if duration_ms is not None:
        possible = _end_with_audio(possible, duration_ms, notes)
    possible = _drop_spanning(sorted(possible, key=attrgetter("start_ms")), notes)
    return _set_apart(possible, notes), notes


def _find_fault(cue: Cue) -> str | None:
    length_ms = cue.end_ms - cue.start_ms
    if length_ms < 0:
        return "it ends before it starts"
    if length_ms == 0:
        return "it lasts no time"
    if len(cue.text) - ABSURD_FREE_CHARS > ABSURD_CHARS_PER_SECOND * length_ms / 1000:
        return "it has more text than can be said in its time"
    return None


def _start_with_words(cue: Cue, notes: list[Note]) -> Cue:
    """Return the cue with its start at its first word, or without word times that cannot be right."""
    if not cue.words:
        return cue
    times = [cue.start_ms, *(word.start_ms for word in cue.words), cue.end_ms]
    if times != sorted(times) or times[1] == cue.end_ms:
        notes.append(note_on(cue, Action.REPAIRED, "its inline times cannot be right and were left out"))
        return replace(cue, words=())
    return replace(cue, start_ms=times[1])


def _end_with_audio(cues: Sequence[Cue], duration_ms: int, notes: list[Note]) -> list[Cue]:
    kept: list[Cue] = []
    for cue in cues:
        if cue.end_ms <= duration_ms:
            kept.append(cue)
        elif _fits(cue, duration_ms):
            notes.append(note_on(cue, Action.REPAIRED, "it ended after the audio"))
            kept.append(_end_at(cue, duration_ms))
        else:
            notes.append(note_on(cue, Action.DROPPED, "it is past the end of the audio"))
    last_ms = max((cue.end_ms for cue in cues), default=0)
    if kept and len(cues) - len(kept) > len(cues) // 2 and last_ms > 2 * duration_ms:
        reason = f"the cues end at {last_ms} ms, the audio at {duration_ms} ms: is it another recording?"
        notes.append(Note(0, Action.FLAGGED, reason))
    return kept


def _drop_spanning(cues: Sequence[Cue], notes: list[Note]) -> list[Cue]:
    """Return the cues without those of more than a window's length that are shown through several others."""
    kept: list[Cue] = []
    for index, cue in enumerate(cues):
        others = cues[index + 1 : index + 3]
        is_long = cue.end_ms - cue.start_ms > MAX_MERGED_MS and not cue.words
        if (
            is_long
            and len(others) == 2
            and others[1].start_ms < cue.end_ms
            and not _can_end_early(cue, others[0])
        ):
            notes.append(note_on(cue, Action.DROPPED, SPANS_OTHERS))
        else:
            kept.append(cue)
    return kept


def _set_apart(cues: Iterable[Cue], notes: list[Note]) -> list[Cue]:
    """Return the cues without overlap.

    Most overlaps are captions left standing while the next is spoken: the earlier one ends where the later
    starts, provided that it can be said in that time. Else two people talk at once; both texts are spoken in
    the time of both cues, so they become one. Of cues that cannot be one (too much text) neither is kept, nor
    another one of their time: the audio holds both. One of over 30 s cannot be trained on anyway.
    """
    kept: list[Cue] = []
    lost_until_ms = 0
    for cue in cues:
        if lost_until_ms - cue.start_ms > SMALL_OVERLAP_MS:
            notes.append(note_on(cue, Action.DROPPED, CANNOT_BE_ONE))
        elif not kept or kept[-1].end_ms <= cue.start_ms:
            kept.append(cue)
        elif _can_end_early(kept[-1], cue):
            notes.append(note_on(kept[-1], Action.REPAIRED, ENDS_EARLIER))
            kept[-1:] = [_end_at(kept[-1], cue.start_ms), cue]
        elif _can_merge(kept[-1], cue):
            notes.append(note_on(cue, Action.MERGED, SAID_TOGETHER))
            kept[-1] = _merge(kept[-1], cue)
        else:
            notes.append(note_on(cue, Action.DROPPED, CANNOT_BE_ONE))
            if kept[-1].end_ms - kept[-1].start_ms <= MAX_MERGED_MS:
                previous = kept.pop()
                notes.append(note_on(previous, Action.DROPPED, CANNOT_BE_ONE))
                lost_until_ms = max(previous.end_ms, cue.end_ms)
    return kept


def _can_end_early(cue: Cue, following: Cue) -> bool:
    overlap_ms = cue.end_ms - following.start_ms
    if cue.start_ms == following.start_ms:
        return False
    is_crosstalk = bool(cue.speaker and following.speaker and cue.speaker != following.speaker)
    return overlap_ms <= SMALL_OVERLAP_MS or (not is_crosstalk and _fits(cue, following.start_ms))


def _can_merge(cue: Cue, following: Cue) -> bool:
    length_ms = max(cue.end_ms, following.end_ms) - cue.start_ms
    num_chars = len(cue.text) + len(following.text)
    return length_ms <= MAX_MERGED_MS and num_chars <= MAX_CHARS_PER_SECOND * length_ms / 1000


def _fits(cue: Cue, end_ms: int) -> bool:
    """Tell whether the cue could be said if it ended at `end_ms`."""
    last_word_ms = cue.words[-1].start_ms if cue.words else cue.start_ms
    return last_word_ms < end_ms and len(cue.text) <= MAX_CHARS_PER_SECOND * (end_ms - cue.start_ms) / 1000


def _end_at(cue: Cue, end_ms: int) -> Cue:
    """Return the cue with an earlier end, and without word times if some would lie after it."""
    words = cue.words if all(word.start_ms < end_ms for word in cue.words) else ()
    return replace(cue, end_ms=end_ms, words=words)


def _merge(first: Cue, second: Cue) -> Cue:
    return replace(
        first,
        end_ms=max(first.end_ms, second.end_ms),
        payload=f"{first.payload}\n{second.payload}",
        text=fold(f"{first.text}\n{second.text}"),
        speaker=first.speaker if first.speaker == second.speaker else "",
        words=(),
    )
