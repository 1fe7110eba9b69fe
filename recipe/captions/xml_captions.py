"""Captions in XML: TTML (.ttml, .dfxp), its times by ttconv, and a video site's (.srv1, .srv2, .srv3)."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple
from xml.etree import ElementTree as ET

from ttconv.imsc import attributes as imsc

from recipe.captions.cue_text import decode_references
from recipe.captions.cues import Action, Cue, Note, Word, shorten
from recipe.captions.repair import Reading
from recipe.captions.screen import end_when_replaced
from recipe.captions.xml_document import XmlDocument, local_name, parse_xml
from recipe.errors import CaptionError

logging.getLogger("ttconv").setLevel(logging.CRITICAL)  # what it logs becomes a note here

_OLD_NAMESPACE = re.compile(r"http://www\.w3\.org/2006/(?:04|10)/ttaf1")
_TTML = "http://www.w3.org/ns/ttml"
_NO_TIMES = "its times cannot be read"
_MENDED = "its times were mended"
_RUBY = f"{{{_TTML}#styling}}ruby"
_NOT_SAID = frozenset({"text", "textContainer", "delimiter"})  # what ruby puts above the letters


class _Span(NamedTuple):
    """From when to when an element is shown; None for an end that nobody says."""

    start: Fraction
    end: Fraction | None


class _Run(NamedTuple):
    text: str
    span: _Span


def read_ttml(text: str) -> Reading:
    """Return the cues of a TTML document: a paragraph each, its times within those of its ancestors."""
    document = parse_xml(_OLD_NAMESPACE.sub(_TTML, text))
    reader = _TtmlReader(document)
    cues = list(reader.read())
    if not cues and document.find("image"):
        raise CaptionError("its captions are pictures; captions as text were expected.")
    num_dropped = sum(note.action is Action.DROPPED for note in reader.notes)
    return Reading(cues, reader.notes, len(cues) + num_dropped)


class _TtmlReader:
    """The timing rules of TTML 2 (section 12): an element's times count from where its parent begins."""

    def __init__(self, document: XmlDocument) -> None:
        self.notes: list[Note] = []
        self._root = document.root
        self._lines = {id(element): line for element, line in document.find("p")}
        self._context = imsc.TemporalAttributeParsingContext(
            frame_rate=imsc.FrameRateAttribute.extract(document.root),
            tick_rate=imsc.TickRateAttribute.extract(document.root),
            time_base=imsc.TimeBaseAttribute.extract(document.root),
            drop_mode=imsc.DropModeAttribute.extract(document.root),
        )

    def read(self) -> Iterator[Cue]:
        """Yield the cue of each paragraph that has times."""
        for body in self._root:
            if local_name(body) == "body":
                yield from self._walk(body, _Span(Fraction(0), None))

    def _walk(self, element: ET.Element, outer: _Span) -> Iterator[Cue]:
        span = self._span_of(element, outer)
        cue = self._to_cue(element, span) if span and local_name(element) == "p" else None
        if cue is not None:
            yield cue
        elif span is None or local_name(element) == "p":
            self._note_loss(element)
        else:
            for child, inner in self._place_children(element, span):
                yield from self._walk(child, inner)

    def _note_loss(self, element: ET.Element) -> None:
        for paragraph in element.iter():
            written = "".join(paragraph.itertext()) if id(paragraph) in self._lines else ""
            if written.strip():
                line = self._lines[id(paragraph)]
                self.notes.append(Note(line, Action.DROPPED, _NO_TIMES, shorten(written)))

    def _place_children(self, element: ET.Element, span: _Span) -> Iterator[tuple[ET.Element, _Span]]:
        """Yield the children with the span they count from; in a sequence it begins where the last ended."""
        is_sequence = element.get("timeContainer") == "seq"
        start = span.start
        for child in element:
            outer = _Span(start, span.end)
            yield child, outer
            inner = self._span_of(child, outer) if is_sequence else None
            start = inner.end if inner and inner.end is not None else start

    def _span_of(self, element: ET.Element, outer: _Span) -> _Span | None:
        """Return the times of an element within its parent's; None if they cannot be read."""
        try:
            begin, end, length = (self._parse(element, name) for name in ("begin", "end", "dur"))
        except (ValueError, ZeroDivisionError):
            return None
        start = outer.start + (begin or 0)
        ends = [
            outer.end,
            None if end is None else outer.start + end,
            None if length is None else start + length,
        ]
        return _Span(start, min((time for time in ends if time is not None), default=None))

    def _parse(self, element: ET.Element, name: str) -> Fraction | None:
        written = element.get(name)
        if written is None:
            return None
        if len(written) > 40:
            raise ValueError(written)
        mended = re.sub(
            r"\A([0-9]{1,2}:[0-9]{2}(?:\.[0-9]+)?)\Z", r"00:\1", written.strip().replace(",", ".")
        )
        mended = re.sub(r"\A(?=[0-9]:)", "0", mended)
        if mended != written and id(element) in self._lines:
            self.notes.append(Note(self._lines[id(element)], Action.REPAIRED, _MENDED, written))
        time: Fraction = imsc.parse_time_expression(self._context, mended, strict=False)
        return time

    def _to_cue(self, paragraph: ET.Element, span: _Span) -> Cue | None:
        runs = list(self._walk_text(paragraph, span))
        spoken = [run.span for run in runs if run.text.strip()]
        ends = [run.end for run in spoken if run.end is not None]
        end = span.end if span.end is not None else max(ends, default=None)
        if end is None or not spoken:
            return None
        text = "".join(run.text for run in runs)
        words = tuple(Word(_to_ms(run.span.start), run.text) for run in runs)
        starts = {run.start for run in spoken}
        return Cue(
            "",
            _to_ms(min(starts)),
            _to_ms(end),
            text,
            text,
            words=words if len(starts) > 1 else (),
            line=self._lines[id(paragraph)],
        )

    def _walk_text(self, element: ET.Element, span: _Span) -> Iterator[_Run]:
        """Yield the text below an element; what ruby puts above letters is left out, and metadata."""
        if element.text:
            yield _Run(re.sub(r"\s+", " ", element.text), span)
        for child in element:
            name = local_name(child)
            if name == "br":
                yield _Run("\n", span)
            elif name == "span" and child.get(_RUBY) not in _NOT_SAID:
                yield from self._walk_text(child, self._span_of(child, span) or span)
            if child.tail:
                yield _Run(re.sub(r"\s+", " ", child.tail), span)


def _to_ms(seconds: Fraction) -> int:
    return round(1000 * seconds)


def read_timed_text(text: str) -> Reading:
    """Return the cues of a video site's timed text in any of its three versions."""
    document = parse_xml(text)
    unit_ms = 1000 if local_name(document.root) == "transcript" else 1
    notes: list[Note] = []
    cues = []
    rolling: set[int] = set()
    for element, line in document.find("text") + document.find("p"):
        written = "".join(element.itertext())
        if not written.strip():
            continue
        cue = _to_timed_text_cue(element, line, unit_ms)
        if cue is None:
            notes.append(Note(line, Action.DROPPED, _NO_TIMES, shorten(written)))
            continue
        if element.get("w") is not None:
            rolling.add(line)
        cues.append(cue)
    cues = end_when_replaced(cues, notes, is_replaced=lambda cue: cue.line in rolling or bool(cue.words))
    return Reading(cues, notes, len(cues) + sum(note.action is Action.DROPPED for note in notes))


def _to_timed_text_cue(element: ET.Element, line: int, unit_ms: int) -> Cue | None:
    start_ms = _read_number(element.get("start", element.get("t")), unit_ms)
    length_ms = _read_number(element.get("dur", element.get("d")), unit_ms)
    if start_ms is None or length_ms is None:
        return None
    runs = [Word(start_ms, element.text or "")] if element.text else []
    for child in element:
        offset_ms = _read_number(child.get("t"), 1) or 0
        runs.append(Word(start_ms + offset_ms, "".join(child.itertext())))
        if child.tail:
            runs[-1] = Word(runs[-1].start_ms, runs[-1].text + child.tail)
    runs = [Word(run.start_ms, decode_references(run.text)) for run in runs if run.text]  # escaped twice
    text = "".join(run.text for run in runs)
    is_timed = len({run.start_ms for run in runs}) > 1
    words = tuple(runs) if is_timed else ()
    return Cue("", start_ms, start_ms + length_ms, text, text, words=words, line=line)


def _read_number(written: str | None, unit_ms: int) -> int | None:
    if written is None or not re.fullmatch(r"\s*[0-9]{1,12}(?:\.[0-9]{1,9})?\s*", written):
        return None
    return round(unit_ms * float(written))
