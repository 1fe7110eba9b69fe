r"""Dialogue of SubStation Alpha (.ass, .ssa), MicroDVD (.sub) and MPL2, parsed by pysubs2.

A script of SubStation Alpha holds all that appears on the screen: comments of its makers, drawings, signs
and titles set where they belong in the picture. What is spoken stands in the main style, or in others that
are set nowhere in particular.
"""

from __future__ import annotations

import re
import warnings
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pysubs2
from pysubs2 import SSAEvent
from pysubs2.exceptions import UnknownFPSError
from pysubs2.formats.microdvd import MICRODVD_LINE
from pysubs2.formats.mpl2 import MPL2_FORMAT

from recipe.captions.cleaning import NO_SPEECH
from recipe.captions.cues import Action, Cue, Note, Word, note_on, shorten
from recipe.captions.repair import Reading
from recipe.errors import CaptionError

_IS_VERSION_4 = re.compile(r"^(?:Format:[^\n]*\bMarked\b|\[V4 Styles\])", re.MULTILINE | re.IGNORECASE)
_EVENT = re.compile(r"[ \t\ufeff]*(?:Dialogue|Comment):")
_OVERRIDES = re.compile(r"\{[^{}]*\}")
_PLACED = re.compile(r"\\(?:pos|move|org|clip|iclip)[ ]*\(|\\fr[xyz]?-?[1-9]")
_ON_TOP = re.compile(r"\\an[789]|\\a(?:[567]|9|1[01])(?![0-9])")
_KARAOKE = re.compile(r"\\[kK][fot]?([0-9]{1,6}(?:\.[0-9]+)?)")
_SIGN_STYLE = re.compile(
    r"(?<![a-z])(?:signs?|titles?|typeset\w*|ts|logos?|credits?|staff|notes?|caption|screen|eyecatch|preview"
    r"|op|ed|opening|ending|songs?|karaoke|kara|lyrics?|romaji|kanji)(?![a-z])",
    re.IGNORECASE,
)
_SIGN = "it is shown in the picture (a sign, a title, a song), not said"
_NO_TIMES = "its times cannot be read"
_NO_TEXT = re.compile(r"[ ]*(?:\{[0-9]+\}\{[0-9]+\}|\[[0-9]+\]\[[0-9]+\])\s*")
_NUM_FIELDS = 10
_MAX_OPEN = 100  # braces without an end, each of which is looked for to the end of the line
_MAX_OVERRIDES = 2000  # of one line; a line of karaoke has a hundred
MIN_FRAME_RATE, MAX_FRAME_RATE = 5.0, 240.0


class _Event(NamedTuple):
    event: SSAEvent
    line: int

    @property
    def style(self) -> str:
        return self.event.style.strip().lstrip("*")


def read_substation(text: str) -> Reading:
    """Return the dialogue of a script of SubStation Alpha, version 4 or 4+."""
    lines = text.split("\n")
    version = "ssa" if _IS_VERSION_4.search(text) else "ass"
    notes: list[Note] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of margins that are no numbers
        events = _parse_events(lines, version, notes)
    texts = [event for event in events if event.event.is_text]
    if len(events) > len(texts):
        num_others = len(events) - len(texts)
        notes.append(Note(0, Action.FLAGGED, f"{num_others} comments and drawings were left out"))
    texts = _merge_layers(texts, notes)
    dialogue = _leave_out_signs(texts, notes)
    cues = [_to_cue(event) for event in dialogue]
    num_lost = sum(note.action in (Action.DROPPED, Action.MERGED) for note in notes)
    return Reading(cues, notes, len(cues) + num_lost)


def _parse_events(lines: Sequence[str], version: str, notes: list[Note]) -> list[_Event]:
    """Parse the events one by one, so that a broken one costs itself."""
    events = []
    for number, line in enumerate(lines, start=1):
        if not _EVENT.match(line):
            continue
        if line.count(",") < _NUM_FIELDS - 1 or _is_overloaded(line):
            notes.append(Note(number, Action.DROPPED, "it is no whole event", shorten(line)))
            continue
        try:
            (event,) = pysubs2.SSAFile.from_string(f"[Events]\n{line.strip()}\n", format_=version).events
        except (ValueError, TypeError, OverflowError):
            event = None
        if event is None or min(event.start, event.end) < 0:
            notes.append(Note(number, Action.DROPPED, _NO_TIMES, shorten(line)))
        else:
            events.append(_Event(event, number))
    return events


def _is_overloaded(line: str) -> bool:
    """Tell whether a line holds more braces than any text, each of which costs the parser time."""
    num_open = line[line.rfind("}") + 1 :].count("{")
    return num_open > _MAX_OPEN or line.count("{") > _MAX_OVERRIDES


def _merge_layers(events: Sequence[_Event], notes: list[Note]) -> list[_Event]:
    """Return the events without those that show the same text at the same time: shadows and glows."""
    seen: dict[tuple[int, int, str], _Event] = {}
    for event in events:
        key = (event.event.start, event.event.end, event.event.plaintext.strip())
        if key in seen:
            notes.append(note_on(_to_cue(event), Action.MERGED, "another layer shows the same"))
        else:
            seen[key] = event
    return list(seen.values())


def _leave_out_signs(events: Sequence[_Event], notes: list[Note]) -> list[_Event]:
    """Return the events that are said.

    Where most are placed in the picture, as captions with several speakers are, a place says nothing. What
    stands on top only because something stands below is a sign.
    """
    styles = Counter(event.style for event in events if not _PLACED.search(event.event.text))
    main_style = styles.most_common(1)[0][0] if styles else ""
    is_placing_usual = 2 * sum(map(_is_placed, events)) > len(events)
    is_sign = {event.line: _is_sign(event, main_style, is_placing_usual=is_placing_usual) for event in events}
    if not is_placing_usual:
        below = _Spans(event for event in events if not (is_sign[event.line] or _is_on_top(event)))
        is_sign |= {event.line: True for event in events if _is_on_top(event) and below.overlap(event)}
    dialogue = [event for event in events if not is_sign[event.line]]
    said = _Spans(dialogue)
    notes += (_note_sign(event, is_over=said.overlap(event)) for event in events if is_sign[event.line])
    return dialogue


class _Spans:
    """The time that some events cover."""

    def __init__(self, events: Iterable[_Event]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in sorted((event.event.start, event.event.end) for event in events):
            if self._ends and start <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end)
            else:
                self._starts.append(start)
                self._ends.append(end)

    def overlap(self, event: _Event) -> bool:
        """Tell whether the event is shown within that time."""
        at = bisect_left(self._starts, event.event.end)
        return at > 0 and self._ends[at - 1] > event.event.start


def _is_on_top(event: _Event) -> bool:
    return bool(_ON_TOP.search(event.event.text))


def _is_placed(event: _Event) -> bool:
    return bool(_PLACED.search(event.event.text)) or _is_on_top(event)


def _is_sign(event: _Event, main_style: str, *, is_placing_usual: bool) -> bool:
    if re.match(r"(?:Banner|Scroll)\b", event.event.effect):
        return True
    if _PLACED.search(event.event.text) and not is_placing_usual:
        return True
    return event.style != main_style and bool(_SIGN_STYLE.search(event.style))


def _note_sign(event: _Event, *, is_over: bool) -> Note:
    """Note a sign; with times where it stands alone, since it may be speech after all."""
    note = note_on(_to_cue(event), Action.DROPPED, _SIGN)
    return Note(note.line, note.action, note.reason, note.excerpt) if is_over else note


def _to_cue(event: _Event) -> Cue:
    source = event.event
    text = source.plaintext
    words = _read_karaoke(source)
    return Cue(
        "",
        source.start,
        source.end,
        source.text,
        text,
        speaker=source.name.strip(),
        words=words,
        line=event.line,
    )


def _read_karaoke(event: SSAEvent) -> tuple[Word, ...]:
    r"""Return the syllables of a text with `{\k25}` before each: how long it is sung, in hundredths."""
    if not _KARAOKE.search(event.text):
        return ()
    words, start_ms = [], float(event.start)
    position, length_ms = 0, 0.0
    plain = event.__class__()
    for match in [*_OVERRIDES.finditer(event.text), None]:
        plain.text = event.text[position : match.start() if match else len(event.text)]
        if plain.text:
            words.append(Word(round(start_ms), plain.plaintext))
        if match:
            position = match.end()
            for length in _KARAOKE.findall(match[0]):
                start_ms += length_ms
                length_ms = 10 * float(length)
    return tuple(words)


def read_microdvd(text: str) -> Reading:
    """Return the cues of a MicroDVD file, whose times are frames.

    Raises:
        CaptionError: if its first line does not say the frame rate.
    """
    lines, numbers, notes = _find_lines(text, MICRODVD_LINE)
    try:
        subtitles = pysubs2.SSAFile.from_string(lines, format_="microdvd")
    except UnknownFPSError as error:
        raise CaptionError(
            "its times are frames, and it does not say how many a second has. Write a first line such as "
            "{1}{1}25, or export it as SubRip."
        ) from error
    if subtitles.fps is None or not MIN_FRAME_RATE <= subtitles.fps <= MAX_FRAME_RATE:
        raise CaptionError(f"its first line says {subtitles.fps} frames a second; 23.976 to 60 are usual.")
    return _number_events(subtitles.events, numbers[1:], notes)


def read_mpl2(text: str) -> Reading:
    """Return the cues of an MPL2 file, whose times are tenths of a second."""
    lines, numbers, notes = _find_lines(text, MPL2_FORMAT)
    return _number_events(pysubs2.SSAFile.from_string(lines, format_="mpl2").events, numbers, notes)


def _find_lines(text: str, pattern: re.Pattern[str]) -> tuple[str, list[int], list[Note]]:
    """Return the lines that match, their numbers, and a note on each other one that says something."""
    lines, numbers, notes = [], [], []
    for number, line in enumerate(text.split("\n"), start=1):
        if pattern.match(line) and not _is_overloaded(line):
            lines.append(line)
            numbers.append(number)
        elif line.strip():
            reason = NO_SPEECH if _NO_TEXT.fullmatch(line) else _NO_TIMES
            notes.append(Note(number, Action.DROPPED, reason, shorten(line)))
    return "\n".join(lines), numbers, notes


def _number_events(events: Iterable[SSAEvent], numbers: Sequence[int], notes: list[Note]) -> Reading:
    cues = []
    for event, number in zip(events, numbers, strict=True):
        if min(event.start, event.end) < 0:
            notes.append(Note(number, Action.DROPPED, _NO_TIMES, shorten(event.plaintext)))
        else:
            cues.append(_to_cue(_Event(event, number)))
    return Reading(cues, notes, len(cues) + len(notes))
