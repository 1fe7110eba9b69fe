"""Transcripts in JSON: those of speech recognisers, and a video site's own (.json3).

Whisper, faster-whisper, WhisperX, stable-ts and whisper-timestamped write `segments`, whisper.cpp writes
`transcription`, Transformers' pipeline writes `chunks`, the video site `events`.
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import Any

from recipe.captions.cues import Action, Cue, Note, Word, shorten
from recipe.captions.line_finder import LineFinder
from recipe.captions.repair import Reading
from recipe.captions.screen import end_when_replaced
from recipe.errors import CaptionError

MAX_MS = 10**9
"""Latest time of a cue, 11 days; later ones are noise."""

_KINDS = ("segments", "transcription", "chunks", "events")
_TIMED_OBJECT = re.compile(r'"(?:start|timestamps?|offsets|tStartMs)"\s*:')
_NO_TIMES = "its times cannot be read"
_MACHINE_MADE = "the words are those of a speech recogniser"
_TOKEN = re.compile(r"\[_[A-Z]+_?[0-9]*_?\]|<\|[^<>|]*\|>")


def looks_like_transcript(text: str) -> bool:
    """Tell whether a text is JSON that holds other texts with times."""
    is_object = re.match(r"\s*(?:\{|\[\s*\{)", text) is not None
    names = rf'"(?:{"|".join(_KINDS)}|text|word)"\s*:'
    return is_object and _TIMED_OBJECT.search(text) is not None and re.search(names, text) is not None


def read_transcript(text: str) -> Reading:
    """Return the cues of a transcript.

    Raises:
        CaptionError: if it is no JSON, or none that holds timed text.
    """
    document = _parse(text)
    finder = LineFinder(text, partial(json.dumps, ensure_ascii=text.isascii()))
    if isinstance(document, list):
        document = {"segments": document}
    kind = next((kind for kind in _KINDS if isinstance(document.get(kind), list)), None)
    if kind is None:
        raise CaptionError(
            'this looks like JSON of another kind: "segments" as Whisper and WhisperX write them, '
            '"transcription" (whisper.cpp), "chunks" or "events" were expected. '
            "Export the captions as WebVTT or SubRip."
        )
    items = [item for item in document[kind] if isinstance(item, Mapping)]
    notes: list[Note] = []
    if kind == "events":
        cues = list(_read_events(items, finder, notes))
        cues = end_when_replaced(cues, notes, is_replaced=lambda cue: bool(cue.identifier) or bool(cue.words))
        cues = [replace(cue, identifier="") for cue in cues]
    else:
        cues = list(_read_segments(items, document.get("words"), finder, notes))
        notes += [Note(0, Action.FLAGGED, _MACHINE_MADE)] * bool(cues)
    num_dropped = sum(note.action is Action.DROPPED for note in notes)
    if num_dropped and not cues:
        raise CaptionError(
            f"this looks like JSON with {num_dropped} texts in its {kind!r}, none of which has a start and "
            "an end that can be read. Export the captions as WebVTT or SubRip."
        )
    return Reading(cues, notes, len(cues) + num_dropped)


def _parse(text: str) -> Any:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 0)
        place = f" in line {line}" if line else ""
        raise CaptionError(f"its JSON is broken{place}; export the captions again.") from error
    if not isinstance(document, (Mapping, list)):
        raise CaptionError("this looks like JSON of another kind: an object with timed texts was expected.")
    return document


_start_of = attrgetter("start_ms")


def _read_segments(
    segments: Iterable[Mapping[str, Any]], loose_words: object, finder: LineFinder, notes: list[Note]
) -> Iterator[Cue]:
    """Yield the cue of each segment.

    Args:
        segments: With a start and an end by any of the tools' names.
        loose_words: The words of all segments in one list, where a tool keeps them beside the segments.
        finder: Finds their lines.
        notes: Receives what is lost.
    """
    words = sorted(_read_words(loose_words if isinstance(loose_words, list) else []), key=_start_of)
    for segment in segments:
        text = segment.get("text", segment.get("word"))
        if not isinstance(text, str) or not text.strip():
            continue
        line = finder.line_of(text)
        times = _read_times(segment)
        if times is None:
            notes.append(Note(line, Action.DROPPED, _NO_TIMES, shorten(text)))
            continue
        start_ms, end_ms = times
        own = segment.get("words")
        inner = list(_read_words(own if isinstance(own, list) else []))
        if not inner:
            first, last = (bisect_left(words, time_ms, key=_start_of) for time_ms in times)
            inner = words[first:last]
        speaker = segment.get("speaker")
        name = speaker if isinstance(speaker, str) else ""
        text = _TOKEN.sub("", text)
        yield Cue("", start_ms, end_ms, text, text, name, _fit_words(inner, text), line)


def _read_times(item: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return start and end in milliseconds, as a tool writes them; None if they cannot be read."""
    offsets, stamps = item.get("offsets"), item.get("timestamp")
    if isinstance(offsets, Mapping):  # whisper.cpp
        times = (_to_ms(offsets.get("from"), 1), _to_ms(offsets.get("to"), 1))
    elif isinstance(stamps, Sequence) and not isinstance(stamps, str) and len(stamps) == 2:  # Transformers
        times = (_to_ms(stamps[0], 1000), _to_ms(stamps[1], 1000))
    else:
        times = (_to_ms(item.get("start"), 1000), _to_ms(item.get("end"), 1000))
    start_ms, end_ms = times
    return None if start_ms is None or end_ms is None else (start_ms, end_ms)


def _to_ms(value: object, unit_ms: int) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,12}(?:\.[0-9]{1,12})?", value):
        value = float(value)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        return None
    time = unit_ms * value
    return round(time) if 0 <= time <= MAX_MS else None


def _read_words(items: Iterable[object]) -> Iterator[Word]:
    """Yield the words with their starts; one that was not aligned begins with the one before it."""
    start_ms: int | None = None
    for item in items:
        if not isinstance(item, Mapping):
            continue
        text = item.get("word", item.get("text"))
        own_ms = _to_ms(item.get("start"), 1000)
        start_ms = own_ms if own_ms is not None else start_ms
        if isinstance(text, str) and text and start_ms is not None:
            yield Word(start_ms, text)


def _fit_words(words: Sequence[Word], text: str) -> tuple[Word, ...]:
    """Return the words as runs that joined are the text; none if they are not its words."""
    runs: list[Word] = []
    position = 0
    for word in words:
        written = word.text.strip()
        at = text.find(written, position)
        if at < 0 or text[position:at].strip():
            return ()
        end = at + len(written)
        runs.append(Word(word.start_ms, text[position:end]))
        position = end
    if not runs or text[position:].strip():
        return ()
    return tuple(runs)


def _read_events(events: Iterable[Mapping[str, Any]], finder: LineFinder, notes: list[Note]) -> Iterator[Cue]:
    """Yield the cues of a video site's events; the identifier of one that scrolls is its window."""
    for event in events:
        pieces = [Word(offset_ms, text) for offset_ms, text in _read_pieces(event.get("segs"))]
        text = "".join(piece.text for piece in pieces)
        if not text.strip():
            continue
        line = finder.line_of(pieces[0].text)
        start_ms, length_ms = _to_ms(event.get("tStartMs"), 1), _to_ms(event.get("dDurationMs"), 1)
        if start_ms is None or length_ms is None:
            notes.append(Note(line, Action.DROPPED, _NO_TIMES, shorten(text)))
            continue
        is_timed = len({piece.start_ms for piece in pieces}) > 1
        words = tuple(replace(piece, start_ms=start_ms + piece.start_ms) for piece in pieces if is_timed)
        window = str(event.get("wWinId", ""))
        yield Cue(window, start_ms, start_ms + length_ms, text, text, words=words, line=line)


def _read_pieces(pieces: object) -> Iterator[tuple[int, str]]:
    """Yield when each piece of an event is said, in milliseconds from its start, and the piece."""
    for piece in pieces if isinstance(pieces, list) else []:
        if isinstance(piece, Mapping) and isinstance(piece.get("utf8"), str) and piece["utf8"]:
            yield _to_ms(piece.get("tOffsetMs"), 1) or 0, piece["utf8"]
