"""The rows of tables, and the recordings that they become.

Sentences with files of their own are put together, those of one voice in their order, about ten minutes to a
recording (`recipe/data/clips.py` reads them). Rows that point into one long file are that file's captions. A
row of several minutes is a recording with a text. A row that cannot be used costs itself only; it is named by
its number, the header being row 1, and by the column that is at fault.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import chain, count, pairwise
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from recipe.data.columns import Columns, RowError, read_ms, read_side, read_tag, read_text
from recipe.data.groups import unite
from recipe.data.manifest import HELD_OUT, Clip, LocalFile, Recording, Side
from recipe.run.warning import DataWarning, Importance

MAX_NAMED = 50
"""Rows of a table that are named when they cannot be used; all are counted."""

MAX_PACKED_MS = 600_000
"""Sound of one recording of sentences, as far as can be told before it is decoded: memory stays small, and
there are enough recordings to share out and to hold out."""

MAX_PACKED_CLIPS = 200

BYTES_PER_SECOND = 12
"""Speech as UTF-8: 12 letters a second in Latin script, 4 characters of three bytes in Chinese."""

MIN_VOICE_MS = 60_000
"""A voice with less is a small one."""

MAX_SMALL_VOICES = 500
"""Of more than so many small voices several share a recording, though no window: a hundred thousand that say
a sentence or two each would be as many recordings."""

MAX_NAME_CHARS = 24
"""Longest name of a voice that is shown; Common Voice has 128 hexadecimal digits."""

IN_CLIPS = LocalFile(None, "its sentences have files of their own")
VOICES_MIX = "no column says who speaks; its sentences stand in their order, so a window may mix voices"


@dataclass(frozen=True, slots=True)
class Row:
    """One sentence of a table.

    Attributes:
        table: Name of the table.
        number: Its number there, from 1, the header counted.
        audio: The file that holds it.
        text: What is said in it.
        start_ms: Where it starts in the file.
        end_ms: Where it ends in the file; None for the file's end.
        length_ms: How long it is, as far as the table tells; 0 if it does not.
        speaker: Who speaks, "" if nobody says.
        session: On which occasion, likewise.
        language_tag: In which language, likewise.
        side: The side that the table puts it on, likewise.
    """

    table: str
    number: int
    audio: LocalFile
    text: str
    start_ms: int = 0
    end_ms: int | None = None
    length_ms: int = 0
    speaker: str = ""
    session: str = ""
    language_tag: str = ""
    side: Side = ""

    @property
    def voice(self) -> str:
        """Who speaks, or else on which occasion; "" if nobody says."""
        return self.speaker or self.session


@dataclass
class Table:
    """The rows of a table that can be used, and what became of the others.

    Attributes:
        name: Its file, as seen from the folder, or the split of a dataset.
        rows: In order.
        num_rows: How many it holds, the unusable ones included.
        num_unused: Of these, unusable.
        notes: A sentence for each thing that the report should say of it.
        is_cut: Whether there may be rows further down that were not read.
    """

    name: str
    rows: list[Row] = field(default_factory=list)
    num_rows: int = 0
    num_unused: int = 0
    notes: list[str] = field(default_factory=list)
    is_cut: bool = False

    def leave_out(self, number: int, reason: str) -> None:
        """Count and name a row that cannot be used."""
        self.num_unused += 1
        if self.num_unused <= MAX_NAMED:
            self.notes.append(f"{self.name}: row {number} was left out: {reason}")

    def describe(self) -> str:
        """The sentence for the user if rows were left out, else ""."""
        if not self.num_unused:
            return ""
        # A damaged file is left out, too.
        row = re.compile(rf"{re.escape(self.name)}: row \d+ was left out: ")
        reason = next(filter(row.match, self.notes))
        sentence = (
            f"{self.name}: {self.num_unused} of {self.num_rows} rows cannot be used, such as: {reason}."
        )
        return DataWarning(sentence, Importance.LOST)


def read_row(
    record: Mapping[str, Any], columns: Columns, place: tuple[str, int], locate: Callable[[Any], LocalFile]
) -> Row:
    """What a row says.

    Args:
        record: Its values by column.
        columns: Which of them hold what.
        place: The table's name and the row's number.
        locate: Where the sound of a value is.

    Raises:
        RowError: if it cannot be used.
    """
    text = read_text(record, columns.text)
    if not text:
        raise RowError(f"column {columns.text}: it is empty, expected what is said")
    start_ms, end_ms, length_ms = _read_span(record, columns)
    audio = locate(record.get(columns.audio))
    if audio.path is None:
        raise RowError(f"column {columns.audio}: {audio.error}")
    return Row(
        *place,
        audio,
        text,
        start_ms,
        end_ms,
        length_ms,
        read_text(record, columns.speaker),
        read_text(record, columns.session),
        read_tag(record, columns.language),
        read_side(read_text(record, columns.side)),
    )


def _read_span(record: Mapping[str, Any], columns: Columns) -> tuple[int, int | None, int]:
    """Start and end of a row's sound in its file, and its length; None and 0 where they are not told."""
    start_ms, end_ms = read_ms(record, columns.start), read_ms(record, columns.end)
    duration_ms = read_ms(record, columns.duration)
    if end_ms is None and start_ms is not None and duration_ms is not None:
        end_ms = start_ms + duration_ms
    if end_ms is None and start_ms:
        raise RowError(
            f"column {columns.start}: it has a start and no end; expected a column duration or end"
        )
    if end_ms is None:
        return 0, None, duration_ms or 0
    start_ms = start_ms or 0
    if end_ms <= start_ms:
        raise RowError(f"column {columns.end or columns.duration}: it ends at {end_ms} ms, before its start")
    return start_ms, end_ms, end_ms - start_ms


class _Packed(NamedTuple):
    """A recording of rows, and the table of the first of them."""

    recording: Recording
    table: str


def pack_rows(
    tables: Sequence[Table], long_rows: Collection[tuple[str, int]] = frozenset()
) -> list[Recording]:
    """The recordings that the rows of all tables become.

    Rows that repeat one another are left out, and so are rows that give the same sound different words. The
    sides that tables tell count only if both are told; otherwise the split is ours.

    Args:
        tables: All of them.
        long_rows: Table and number of each row that is a recording by itself; see `find_long_rows`.
    """
    _leave_out_repeats(tables)
    rows = [row for table in tables for row in table.rows]
    sides = {row.side for row in rows}
    if "train" not in sides or not sides & HELD_OUT:
        rows = [replace(row, side="") for row in rows]
    num_timed = Counter(row.audio.path for row in rows if row.end_ms is not None)
    files: defaultdict[tuple[object, ...], list[Row]] = defaultdict(list)
    sentences: defaultdict[tuple[str, ...], list[Row]] = defaultdict(list)
    texts: list[Row] = []
    for row in rows:
        if row.end_ms is not None and num_timed[row.audio.path] > 1:
            files[row.audio.path, row.side, row.language_tag].append(row)
        elif (row.table, row.number) in long_rows:
            texts.append(row)
        else:
            sentences[row.table, row.side, row.language_tag].append(row)
    packed = [_pack_file(part) for part in files.values()] + [_pack_text(row) for row in texts]
    packed += [item for part in sentences.values() for item in _pack_sentences(part)]
    groups = _group_voices([item.recording for item in packed])
    return name_apart(
        replace(item.recording, group=group, notes=notes)
        for item, group, notes in zip(packed, groups, _share_notes(packed, tables), strict=True)
    )


def _leave_out_repeats(tables: Sequence[Table]) -> None:
    """Of rows with the same sound and words keep one, held out rather than trained; none if words differ."""
    places: defaultdict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in chain.from_iterable(table.rows for table in tables):
        places[row.audio.path, row.start_ms, row.end_ms].append(row)
    reasons = dict(chain.from_iterable(_judge_repeats(rows) for rows in places.values() if len(rows) > 1))
    for table in tables:
        for row in table.rows:
            if id(row) in reasons:
                table.leave_out(row.number, reasons[id(row)])
        table.rows = [row for row in table.rows if id(row) not in reasons]


def _judge_repeats(rows: Sequence[Row]) -> Iterator[tuple[int, str]]:
    """Identity of each row with the same sound that is left out, and the reason."""
    agree = len({" ".join(row.text.split()) for row in rows}) == 1
    kept = max(rows, key=lambda row: ("", "train", "validation", "test").index(row.side))
    for row in rows:
        other = kept if row is not kept else next(other for other in rows if other is not row)
        if not agree:
            yield id(row), f"its sound has other words in row {other.number} of {other.table}"
        elif row is not kept:
            yield id(row), f"row {other.number} of {other.table} is the same sentence"


def _group_voices(recordings: Iterable[Recording]) -> list[str]:
    """The group of each recording: those with a voice in common are in one; "" if that would be all."""
    voices = [sorted({clip.voice for clip in recording.clips if clip.voice}) for recording in recordings]
    groups = unite(dict.fromkeys(chain.from_iterable(voices)), chain.from_iterable(map(pairwise, voices)))
    has_several = len({*groups.values()}) > 1
    return [groups[part[0]] if part and has_several else "" for part in voices]


def _pack_file(rows: Sequence[Row]) -> _Packed:
    """The recording of one long file with all of its rows."""
    in_order = sorted(rows, key=lambda row: (row.start_ms, row.number))
    audio = rows[0].audio
    assert audio.path
    return _Packed(_make_recording(audio.path.stem, audio, in_order), rows[0].table)


def _pack_text(row: Row) -> _Packed:
    """The recording of a file of which one row has all words."""
    name = f"{PurePosixPath(row.table).with_suffix('')} row {row.number}"
    return _Packed(_make_recording(name, row.audio, [replace(row, end_ms=None)]), row.table)


def _pack_sentences(rows: Sequence[Row]) -> Iterator[_Packed]:
    """Recordings of about ten minutes: of one voice in its order, or of several that say little each."""
    by_voice: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        by_voice[row.speaker, row.session].append(row)
    table = PurePosixPath(rows[0].table).with_suffix("").as_posix()
    small = {voice for voice, part in by_voice.items() if _length_ms(part) < MIN_VOICE_MS}
    if len(small) <= MAX_SMALL_VOICES:
        small = set()
    for voice in (voice for voice in by_voice if voice not in small):
        name = " ".join(filter(None, (table, *map(_shorten, voice))))
        yield from _number(name, _cut([row] for row in by_voice[voice]))
    if small:
        yield from _number(f"{table} voices", _cut(by_voice[voice] for voice in by_voice if voice in small))


def _number(name: str, parts: Iterable[Sequence[Row]]) -> Iterator[_Packed]:
    for number, part in enumerate(parts, start=1):
        yield _Packed(_make_recording(f"{name} {number}", IN_CLIPS, part), part[0].table)


def _cut(units: Iterable[Sequence[Row]]) -> Iterator[list[Row]]:
    """The rows in parts of at most `MAX_PACKED_MS` and `MAX_PACKED_CLIPS`; those of a unit stay together."""
    part: list[Row] = []
    part_ms = 0
    for unit in units:
        unit_ms = _length_ms(unit)
        if part and (part_ms + unit_ms > MAX_PACKED_MS or len(part) + len(unit) > MAX_PACKED_CLIPS):
            yield part
            part, part_ms = [], 0
        part = [*part, *unit]
        part_ms += unit_ms
    yield part


def _length_ms(rows: Iterable[Row]) -> int:
    """How long the rows' sounds are, told by their tables or else by the length of their texts."""
    return sum(row.length_ms or 1000 * len(row.text.encode()) // BYTES_PER_SECOND for row in rows)


def _make_recording(name: str, audio: LocalFile, rows: Sequence[Row]) -> Recording:
    clips = tuple(Clip(row.audio, row.text, row.start_ms, row.end_ms, row.number, row.voice) for row in rows)
    first = rows[0]
    return Recording(name, audio, IN_CLIPS, language_tag=first.language_tag, side=first.side, clips=clips)


def _shorten(voice: str) -> str:
    """The name of a voice; of a long one the beginning and a hash."""
    if len(voice) <= MAX_NAME_CHARS:
        return voice
    return f"{voice[: MAX_NAME_CHARS - 9]}-{sha256(voice.encode()).hexdigest()[:8]}"


def _share_notes(packed: Sequence[_Packed], tables: Sequence[Table]) -> list[tuple[str, ...]]:
    """The notes of each recording: those of a table are with the first of its recordings, or of all."""
    notes: list[list[str]] = [[] for _ in packed]
    tables_of = [item.table for item in packed]
    for table in tables:
        place = tables_of.index(table.name) if table.name in tables_of else 0
        if packed:
            notes[place] += table.notes
        if any(item.table == table.name and item.recording.audio is IN_CLIPS for item in packed):
            notes[place] += [] if any(row.voice for row in table.rows) else [f"{table.name}: {VOICES_MIX}"]
    return [tuple(part) for part in notes]


def name_apart(recordings: Iterable[Recording]) -> list[Recording]:
    """The recordings in order of their names; of equal names all but the first get a number."""
    named: dict[str, Recording] = {}
    for recording in recordings:
        names = (f"{recording.name} ({number})" for number in count(2))
        name = recording.name if recording.name not in named else next(n for n in names if n not in named)
        named[name] = replace(recording, name=name)
    return [named[name] for name in sorted(named)]
