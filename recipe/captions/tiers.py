"""Annotations in tiers: Praat's TextGrid, parsed by praatio, and ELAN's EAF.

A file of tiers holds the words beside phones, glosses, translations and comments, each in a row of its own.
The names that tools and people give tiers tell them apart; what stays undecided is refused by name. EAF is
read here: pympi opens paths alone and tells neither lines nor what it could not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import attrgetter
from typing import TYPE_CHECKING

from praatio.utilities import errors, textgrid_io

from recipe.captions.cues import Action, Cue, Note, Word, shorten
from recipe.captions.line_finder import LineFinder
from recipe.captions.repair import Reading
from recipe.captions.xml_document import local_name, parse_xml
from recipe.errors import CaptionError

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

MAX_PAUSE_MS = 400
"""Words of a tier of words that stand closer are one cue."""

MAX_CUE_MS = 12_000
"""A cue of such words does not grow longer."""

_WORDS = re.compile(
    r"(?<![a-z])(?:words?|wrd|ort[-_ ]?mau|tokens?|mots?|w(?:ö|oe)rter|palabras|parole|palavras)(?![a-z])",
    re.IGNORECASE,
)
_UTTERANCES = re.compile(
    r"(?<![a-z])(?:trans(?:cription|cript|cripts|cribed|kript\w*)?|orth?(?:ograph\w*)?|text|texte|utterances?|utt"
    r"|sentences?|phrases?|speech|ref|tx|satz|äußerung\w*|énoncé\w*|frases?|captions?|subtitles?|trn|ipu)(?![a-z])",
    re.IGNORECASE,
)
_OTHER = re.compile(
    r"(?<![a-z])(?:ph(?:o|on|one|ones|onemes?|onetics?|onetik)?|segments?|segm?|syll?(?:ables?|abe|abes)?|mau"
    r"|kan|ipa|sampa|pos|tags?|lemmas?|gloss(?:es|e|ing)?|ge|gls|morph\w*|mb|translat\w*|translit\w*"
    r"|ft|traduction|übersetzung|trad|comments?|notes?|kommentar\w*|remarques?|tones?|tobi|breaks?|intonation"
    r"|pitch|f0|points?|gestures?|gaze|hands?|head|noise|events?|topics?|sections?|turns?|sil|silences?|vad)(?![a-z])",
    re.IGNORECASE,
)
_SILENCE = re.compile(
    r"[\W_]*|sil|sp|<(?:p:?|usb|nib|eps|sil|silence|pause)>|[(\[](?:sil|silence|pause)[)\]]", re.IGNORECASE
)
_UNWRITTEN = re.compile(r"spn|<?unk>?|<spoken_noise>|xxx|yyy", re.IGNORECASE)


@dataclass(frozen=True)
class Interval:
    """A text of a tier and when it is said; the line is 0 where it is not known."""

    start_ms: int
    end_ms: int
    text: str
    line: int = 0


@dataclass(frozen=True)
class Tier:
    """A row of annotations.

    Attributes:
        name: As the file has it.
        intervals: Those that say something, in order.
        speaker: Who is annotated, where the file says so.
        kind: What ELAN calls the linguistic type; tiers of one kind hold the same for several speakers.
        is_dependent: Whether it annotates another tier.
    """

    name: str
    intervals: tuple[Interval, ...]
    speaker: str = ""
    kind: str = ""
    is_dependent: bool = False

    @property
    def has_words(self) -> bool:
        """Whether an interval holds a letter."""
        return any(re.search(r"[^\W\d_]", interval.text) for interval in self.intervals)

    @property
    def reading(self) -> str:
        """All that it says, letters and digits alone."""
        return "".join(re.findall(r"[^\W_]+", "".join(interval.text for interval in self.intervals))).lower()


def read_textgrid(text: str) -> Reading:
    """Return the cues of the tier of a TextGrid that holds what is said."""
    try:
        grid = textgrid_io.parseTextgridStr(text, includeEmptyIntervals=True)
    except (ValueError, IndexError, KeyError, AttributeError, errors.ParsingError) as error:
        raise CaptionError("it is a TextGrid that is not whole; save it again from Praat.") from error
    finder = LineFinder(text, _quote)
    notes: list[Note] = []
    tiers = [_to_tier(tier, finder, notes) for tier in grid["tiers"]]
    return _read_tiers(tiers, notes)


def _to_tier(tier: Mapping[str, object], finder: LineFinder, notes: list[Note]) -> Tier:
    name, entries = str(tier["name"]), tier["entries"]
    finder.line_of(name)
    if tier["class"] != "IntervalTier" or not isinstance(entries, list):
        return Tier(name, ())
    intervals = [
        Interval(round(1000 * float(start)), round(1000 * float(end)), label, finder.line_of(label))
        for start, end, label in entries
        if not _SILENCE.fullmatch(label)
    ]
    if entries and float(entries[-1][1]) + 0.001 < float(str(tier["xmax"])):
        notes.append(
            Note(0, Action.FLAGGED, f"the tier {name!r} ends before its time: the file may be cut off")
        )
    return Tier(name, tuple(intervals))


def _quote(label: str) -> str:
    return label.replace('"', '""')


def read_eaf(text: str) -> Reading:
    """Return the cues of the tiers of an ELAN file that hold what is said."""
    document = parse_xml(text)
    slots = {
        slot.get("TIME_SLOT_ID"): _read_ms(slot.get("TIME_VALUE")) for slot, _ in document.find("TIME_SLOT")
    }
    lines = {id(element): line for element, line in document.find("ALIGNABLE_ANNOTATION")}
    tiers = [
        Tier(
            tier.get("TIER_ID", ""),
            tuple(sorted(_read_annotations(tier, slots, lines), key=attrgetter("start_ms"))),
            speaker=tier.get("PARTICIPANT", ""),
            kind=tier.get("LINGUISTIC_TYPE_REF", ""),
            is_dependent=tier.get("PARENT_REF") is not None,
        )
        for tier, _ in document.find("TIER")
    ]
    return _read_tiers(tiers, [])


def _read_annotations(
    tier: ET.Element, slots: Mapping[str | None, int | None], lines: Mapping[int, int]
) -> Iterator[Interval]:
    """Yield the annotations of a tier; times that the file leaves open are -1."""
    for annotation in tier.iter():
        if local_name(annotation) != "ALIGNABLE_ANNOTATION":
            continue
        said = "".join(annotation.itertext()).strip()
        if _SILENCE.fullmatch(said):
            continue
        start_ms = slots.get(annotation.get("TIME_SLOT_REF1"))
        end_ms = slots.get(annotation.get("TIME_SLOT_REF2"))
        if start_ms is None or end_ms is None:
            start_ms = end_ms = -1
        yield Interval(start_ms, end_ms, said, lines[id(annotation)])


def _read_ms(written: str | None) -> int | None:
    return int(written) if written is not None and re.fullmatch(r"[0-9]{1,12}", written) else None


def _read_tiers(tiers: Sequence[Tier], notes: list[Note]) -> Reading:
    chosen = choose_tiers(tiers)
    names = ", ".join(repr(tier.name) for tier in chosen)
    if len(tiers) > len(chosen):
        notes.append(Note(0, Action.FLAGGED, f"of {len(tiers)} tiers the words were taken from {names}"))
    cues: list[Cue] = []
    is_named = len(chosen) > 1
    for tier in chosen:
        speaker = tier.speaker or (tier.name if is_named else "")
        notes += filter(None, map(_find_loss, tier.intervals))
        timed = [interval for interval in tier.intervals if _find_loss(interval) is None]
        groups = _group_words(timed) if _is_of_words(tier) else [[interval] for interval in timed]
        cues += (_to_cue(group, speaker) for group in groups)
    num_dropped = sum(note.action is Action.DROPPED for note in notes)
    return Reading(cues, notes, len(cues) + num_dropped)


def _find_loss(interval: Interval) -> Note | None:
    """Return the note on an interval whose words or times are not there; None if both are."""
    excerpt = shorten(interval.text)
    if interval.start_ms < 0:
        return Note(interval.line, Action.DROPPED, "its times cannot be read", excerpt)
    if _UNWRITTEN.fullmatch(interval.text):
        times = (interval.start_ms, interval.end_ms)
        return Note(interval.line, Action.DROPPED, "speech that is not written down", excerpt, *times)
    return None


def choose_tiers(tiers: Sequence[Tier]) -> list[Tier]:
    """Return the tiers that hold what is said: one, or one for each speaker.

    Raises:
        CaptionError: if there is none, or several that may be; it names them.
    """
    worded = [tier for tier in tiers if tier.has_words]
    if not worded:
        names = _name_tiers(tiers) or "none"
        raise CaptionError(f"no tier of it holds words with times (tiers: {names}). Export one that does.")
    if len(worded) == 1:
        return worded
    candidates = [tier for tier in worded if not tier.is_dependent] or worded
    candidates = [tier for tier in candidates if not _OTHER.search(_plain(tier.name))] or candidates
    for pattern in (_UTTERANCES, _WORDS):
        named = [tier for tier in candidates if pattern.search(_plain(tier.name))]
        if named:
            candidates = named
            break
    candidates = list(_without_repeats(candidates))
    if len(candidates) == 1 or _are_speakers(candidates):
        return candidates
    raise CaptionError(
        f"it cannot be told which of its tiers holds what is said: {_name_tiers(candidates)}. "
        "Name that tier 'transcription', or export it alone."
    )


def _plain(name: str) -> str:
    return re.sub(r"[_@/.:|-]+", " ", name)


def _name_tiers(tiers: Iterable[Tier]) -> str:
    return ", ".join(repr(tier.name[:40]) for tier in tiers)


def _without_repeats(tiers: Sequence[Tier]) -> Iterator[Tier]:
    """Yield the tiers; of those that say the same, the one of fewest pieces."""
    by_reading = sorted(tiers, key=lambda tier: tier.reading)
    kept = {
        min(group, key=lambda tier: len(tier.intervals)).name
        for group in (list(group) for _, group in groupby(by_reading, key=lambda tier: tier.reading))
    }
    return (tier for tier in tiers if tier.name in kept)


def _are_speakers(tiers: Sequence[Tier]) -> bool:
    """Tell whether the tiers hold the same for different speakers.

    ELAN names participants and types. Praat's tools name tiers `Anna - words`; people name them by the
    speakers alone, which can only be told by their taking turns.
    """
    speakers = [tier.speaker for tier in tiers]
    if all(speakers) and len(set(speakers)) == len(speakers) and len({tier.kind for tier in tiers}) == 1:
        return True
    rests = {_UTTERANCES.sub("", _WORDS.sub("", _plain(tier.name))).strip(" 0123456789") for tier in tiers}
    kinds = {
        bool(_UTTERANCES.search(_plain(tier.name))) or bool(_WORDS.search(_plain(tier.name)))
        for tier in tiers
    }
    if kinds == {True}:
        return len({_plain(tier.name) for tier in tiers}) == len(tiers) and bool(rests - {""})
    return _take_turns(tiers)


def _take_turns(tiers: Sequence[Tier]) -> bool:
    """Tell whether the tiers seldom say something at once, as a translation of another tier always does."""
    spans = sorted(
        (i.start_ms, i.end_ms, number) for number, tier in enumerate(tiers) for i in tier.intervals
    )
    overlap_ms = sum(
        max(0, min(first[1], second[1]) - second[0])
        for first, second in pairwise(spans)
        if first[2] != second[2]
    )
    total_ms = sum(end - start for start, end, _ in spans)
    return 5 * overlap_ms < total_ms


def _is_of_words(tier: Tier) -> bool:
    """Tell whether each interval is a word: by the tier's name, and by few that hold a space."""
    num_spaced = sum(" " in interval.text for interval in tier.intervals)
    is_named = bool(_WORDS.search(_plain(tier.name)))
    return len(tier.intervals) > 1 and num_spaced < (0.5 if is_named else 0.1) * len(tier.intervals)


def _group_words(words: Iterable[Interval]) -> Iterator[list[Interval]]:
    """Yield the words that are said in one breath."""
    group: list[Interval] = []
    for word in words:
        is_near = bool(group) and word.start_ms - group[-1].end_ms <= MAX_PAUSE_MS
        if group and not (is_near and word.end_ms - group[0].start_ms <= MAX_CUE_MS):
            yield group
            group = []
        group.append(word)
    if group:
        yield group


def _to_cue(group: Sequence[Interval], speaker: str) -> Cue:
    runs = tuple(
        Word(interval.start_ms, f"{' ' if number else ''}{interval.text}")
        for number, interval in enumerate(group)
    )
    text = "".join(run.text for run in runs)
    words = runs if len(runs) > 1 else ()
    return Cue(
        "", group[0].start_ms, group[-1].end_ms, text, text, speaker=speaker, words=words, line=group[0].line
    )
