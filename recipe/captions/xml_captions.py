"""Captions in XML: TTML (.ttml, .dfxp) by ttconv, and a video site's timed text (.srv1, .srv2, .srv3)."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple
from xml.etree import ElementTree as ET

from ttconv import model
from ttconv.imsc import reader
from ttconv.model import Br, P, Rp, Rt, Rtc, Text

from recipe.captions.cue_text import decode_references
from recipe.captions.cues import Action, Cue, Note, Word, shorten
from recipe.captions.repair import Reading
from recipe.captions.screen import end_when_replaced
from recipe.captions.xml_document import local_name, parse_xml
from recipe.errors import CaptionError

logging.getLogger("ttconv").setLevel(logging.CRITICAL)  # what it logs becomes a note here

_OLD_NAMESPACE = re.compile(r"http://www\.w3\.org/2006/(?:04|10)/ttaf1")
_TTML = "http://www.w3.org/ns/ttml"
_XML_ID = "{http://www.w3.org/XML/1998/namespace}id"
_TIME_ATTRIBUTES = ("begin", "end", "dur")
_NO_TIMES = "its times cannot be read"


def read_ttml(text: str) -> Reading:
    """Return the cues of a TTML document: a paragraph each, its times those of its own and its ancestors'."""
    document = parse_xml(_OLD_NAMESPACE.sub(_TTML, text))
    _complete_namespaces(document.root)
    paragraphs = document.find("p")
    notes: list[Note] = []
    for number, (paragraph, line) in enumerate(paragraphs):
        paragraph.set(_XML_ID, f"paragraph{number}")
        _mend_times(paragraph, line, notes)
    ttml = reader.to_model(ET.ElementTree(document.root))
    if ttml is None:
        raise CaptionError("it has no <tt> element; a TTML document was expected.")
    body = ttml.get_body()
    timed = dict(_walk(body, Fraction(0), None)) if body is not None else {}
    cues = []
    for number, (paragraph, line) in enumerate(paragraphs):
        written = "".join(paragraph.itertext())
        found = timed.get(f"paragraph{number}")
        cue = _to_cue(found, line) if found is not None and isinstance(found.element, P) else None
        if cue is None and written.strip():
            notes.append(Note(line, Action.DROPPED, _NO_TIMES, shorten(written)))
        elif cue is not None:
            cues.append(cue)
    if not cues and document.find("image"):
        raise CaptionError("its captions are pictures; captions as text were expected.")
    return Reading(cues, notes, len(cues) + sum(note.action is Action.DROPPED for note in notes))


def _complete_namespaces(root: ET.Element) -> None:
    """Put elements without a namespace into TTML's: many tools forget to declare it."""
    if "}" not in str(root.tag):
        for element in root.iter():
            element.tag = f"{{{_TTML}}}{element.tag}" if "}" not in str(element.tag) else element.tag


def _mend_times(paragraph: ET.Element, line: int, notes: list[Note]) -> None:
    for name in _TIME_ATTRIBUTES:
        written = paragraph.get(name)
        if written is None:
            continue
        mended = re.sub(r"\A(?=[0-9]:)", "0", written.strip().replace(",", "."))
        if mended != written:
            paragraph.set(name, mended)
            notes.append(Note(line, Action.REPAIRED, "its times were mended", written))


class _Timed(NamedTuple):
    element: model.ContentElement
    start: Fraction
    end: Fraction | None


def _walk(
    element: model.ContentElement, offset: Fraction, limit: Fraction | None
) -> Iterator[tuple[str, _Timed]]:
    """Yield the paragraphs below an element by their id, with times from the start of the document."""
    start, end = _times_of(element, offset, limit)
    if isinstance(element, P):
        yield str(element.get_id()), _Timed(element, start, end)
        return
    for child in element:
        yield from _walk(child, start, end)


def _times_of(
    element: model.ContentElement, offset: Fraction, limit: Fraction | None
) -> tuple[Fraction, Fraction | None]:
    begin, end = element.get_begin(), element.get_end()
    ends = [time for time in (None if end is None else offset + end, limit) if time is not None]
    return offset + (begin or 0), min(ends, default=None)


def _to_cue(timed: _Timed, line: int) -> Cue | None:
    runs = list(_walk_text(timed.element, timed.start, timed.end))
    text = "".join(run.text for run in runs)
    starts = [run.start for run in runs if run.text.strip()]
    ends = [run.end for run in runs if run.text.strip()]
    end = timed.end if timed.end is not None else max((end for end in ends if end is not None), default=None)
    if end is None or not starts:
        return None
    words = tuple(Word(_to_ms(run.start), run.text) for run in runs)
    is_timed = len(set(starts)) > 1
    start_ms = _to_ms(min(starts))
    return Cue("", start_ms, _to_ms(end), text, text, words=words if is_timed else (), line=line)


class _Run(NamedTuple):
    text: str
    start: Fraction
    end: Fraction | None


def _walk_text(element: model.ContentElement, start: Fraction, end: Fraction | None) -> Iterator[_Run]:
    """Yield the text below an element with its times; what stands above letters (ruby) is left out."""
    if isinstance(element, (Rt, Rtc, Rp)):
        return
    if isinstance(element, Text):
        yield _Run(re.sub(r"\s+", " ", element.get_text() or ""), start, end)
    elif isinstance(element, Br):
        yield _Run("\n", start, end)
    else:
        for child in element:
            yield from _walk_text(child, *_times_of(child, start, end) if _has_times(child) else (start, end))


def _has_times(element: model.ContentElement) -> bool:
    return element.get_begin() is not None or element.get_end() is not None


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
