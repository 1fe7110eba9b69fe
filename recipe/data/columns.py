"""The columns of a table: which of them hold the sound, its words and who speaks, and what a cell says.

They are found by the names that public datasets use, else by what is in them.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from recipe.arguments import SourceArguments
from recipe.captions.cues import shorten
from recipe.data.manifest import AUDIO_EXTENSIONS, Side
from recipe.errors import DataError

NUM_SAMPLED = 50
"""Rows by which columns are judged."""

MAX_SECONDS = 1e9
"""Latest time that is taken for one; milliseconds of eleven days are under it."""

_NAMES = {
    "audio": "audio_filepath audio_file audio_path audio_file_name file_name filename audio file_path "
    "filepath path file wav_filename wav_path wav_file wav clip clip_path mp3 sound recording",
    "text": "raw_transcription transcription transcript sentence text raw_text transcription_text "
    "normalized_transcription normalized_text normalised_text utterance caption words",
    "speaker": "speaker_id speaker client_id speaker_name spk_id spk voice voice_id reader_id reader "
    "participant_id participant user_id narrator",
    "session": "session_id session chapter_id episode_id episode meeting_id video_id book_id chapter",
    "language": "language lang locale language_code",
    "side": "split subset partition set",
    "start": "offset start start_time start_seconds start_s start_ms offset_ms begin begin_time onset",
    "end": "end end_time end_seconds end_s end_ms stop offset_end",
    "duration": "duration duration_seconds duration_s duration_ms dur",
}
"""Names of columns in lower case, by what they hold, the surest first."""

_TRAIN = frozenset({"train", "training"})
_VALIDATION = frozenset({"dev", "devel", "valid", "validation", "val"})
_TEST = frozenset({"test", "testing", "eval", "heldout"})
_UNCHECKED = frozenset(
    {"invalidated", "invalid", "other", "unvalidated", "unlabeled", "unlabelled", "reported"}
)

_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:[.,]\d*)?)")


@dataclass(frozen=True)
class ColumnNames:
    """The columns that a user named; None leaves the finding to `find_columns`."""

    audio: str | None = None
    text: str | None = None
    speaker: str | None = None

    @classmethod
    def of(cls, source: SourceArguments) -> "ColumnNames":
        """The columns that the options name."""
        return cls(source.audio_column, source.text_column, source.speaker_column)


@dataclass(frozen=True)
class Columns:
    """The columns of a table by what they hold; "" where there is none.

    Attributes:
        audio: The sound, or the name of its file.
        text: What is said.
        speaker: Who says it.
        session: On which occasion.
        language: In which language.
        side: On which side of the split.
        start: Where it starts in the file.
        end: Where it ends in the file.
        duration: How long it is.
    """

    audio: str
    text: str
    speaker: str = ""
    session: str = ""
    language: str = ""
    side: str = ""
    start: str = ""
    end: str = ""
    duration: str = ""

    def describe(self, table: str) -> str:
        """The sentence for the report that says which columns were taken for what."""
        found = ", ".join(f"{name!r} as {kind}" for kind, name in asdict(self).items() if name)
        return f"{table}: its columns were read so: {found}"


class RowError(ValueError):
    """One row cannot be used; the message names the column."""


def find_columns(
    records: Sequence[Mapping[str, Any]], asked: ColumnNames, is_audio: Callable[[Any], bool]
) -> Columns:
    """The columns of a table.

    Args:
        records: Its first rows.
        asked: The columns that the user named.
        is_audio: Whether a value is a sound, or the name of one that is there.

    Raises:
        DataError: if sound or words cannot be found; it names the columns that are there.
    """
    names = list(dict.fromkeys(name for record in records for name in record))
    known = {kind: _find_named(names, kind) for kind in _NAMES}
    audio = _check_asked(asked.audio, names) or _choose_audio(known["audio"], names, records, is_audio)
    others = [name for name in names if name != audio]
    text = _check_asked(asked.text, names) or _choose_text(known["text"], others, records)
    if not audio or not text:
        missing = " and ".join(kind for kind, name in (("sound", audio), ("words", text)) if not name)
        raise DataError(
            f"no column of its {missing} was found among {_list_names(names)}; expected names such as "
            "file_name (or path, audio, audio_filepath) and text (or sentence, transcription), or set "
            "audio_column and text_column"
        )
    rest = {kind: (known[kind] or [""])[0] for kind in _NAMES if kind not in {"audio", "text"}}
    rest = {kind: name for kind, name in rest.items() if name not in {audio, text}}
    if asked.speaker:
        rest["speaker"] = _check_asked(asked.speaker, names)
    return Columns(audio, text, **rest)


def read_side(name: str) -> Side:
    """The side that the name of a split, file or folder tells; "" if it tells none."""
    words = _words_of(name)
    sides: Mapping[Side, frozenset[str]] = {"train": _TRAIN, "validation": _VALIDATION, "test": _TEST}
    return next((side for side, known in sides.items() if words & known), "")


def is_unchecked(name: str) -> bool:
    """Whether the name of a split or file says that its sentences are wrong, or that nobody checked them."""
    return bool(_words_of(name) & _UNCHECKED) and not read_side(name)


def _words_of(name: str) -> set[str]:
    return {*re.split(r"[\W\d_]+", name.lower())}


def _find_named(names: Iterable[str], kind: str) -> list[str]:
    """The columns with a name of this kind, the surest first."""
    plain = {re.sub(r"[\W_]+", "_", name.strip().lower()).strip("_"): name for name in names}
    return [plain[name] for name in _NAMES[kind].split() if name in plain]


def _check_asked(name: str | None, names: Sequence[str]) -> str:
    if name is not None and name not in names:
        raise DataError(f"it has no column {name!r}, only {_list_names(names)}")
    return name or ""


def _list_names(names: Sequence[str]) -> str:
    return ", ".join(repr(shorten(name, 40)) for name in names[:20]) or "no columns"


def _choose_audio(
    named: Sequence[str],
    names: Sequence[str],
    records: Sequence[Mapping[str, Any]],
    is_audio: Callable[[Any], bool],
) -> str:
    """The column most of whose values are sounds, a named one first; else a named one, whose rows say why."""
    for name in [*named, *names]:
        if 2 * sum(is_audio(record.get(name)) for record in records) > len(records):
            return name
    looks_right = [name for name in named if any(names_sound(record.get(name)) for record in records)]
    return next(iter([*looks_right, *named]), "")


def names_sound(value: object) -> bool:
    """Whether a value reads as the name of a sound, be it there or not."""
    return isinstance(value, str) and value.lower().endswith(tuple(AUDIO_EXTENSIONS))


def _choose_text(named: Sequence[str], names: Sequence[str], records: Sequence[Mapping[str, Any]]) -> str:
    """The first named column that is not mostly empty; else the first that reads as sentences."""
    for name in named:
        if 2 * sum(bool(read_text(record, name)) for record in records) > len(records):
            return name
    lengths = {name: _mean_letters(records, name) for name in names}
    longest = max(lengths.values(), default=0.0)
    sentences = [name for name, length in lengths.items() if length >= max(longest / 2, 1.0)]
    return next(iter([*named, *sentences]), "")


def _mean_letters(records: Sequence[Mapping[str, Any]], name: str) -> float:
    """Mean number of letters in a column whose values read as sentences, not as names or numbers; else 0."""
    values = [read_text(record, name) for record in records]
    letters = [sum(character.isalpha() for character in value) for value in values]
    are_sentences = [
        number > len(value) / 2
        and (" " in value or not value.isascii())
        and not re.search(r"\d{4}|[/\\_]", value)
        for value, number in zip(values, letters, strict=True)
    ]
    return sum(letters) / len(values) if values and 2 * sum(are_sentences) > len(values) else 0.0


def read_text(record: Mapping[str, Any], name: str) -> str:
    """The text of a cell, a number as its digits; "" if it is empty or something else."""
    value = record.get(name) if name else None
    if isinstance(value, bool) or not isinstance(value, str | int | float) or str(value) == "nan":
        return ""
    return str(value).strip()


def read_tag(record: Mapping[str, Any], name: str) -> str:
    """A language's code or name; numbers, as of classes, say nothing here."""
    text = read_text(record, name)
    return text if text[:2].isalpha() else ""


def read_ms(record: Mapping[str, Any], name: str) -> int | None:
    """A time in milliseconds: of seconds, of a clock's time, or by the column's name of milliseconds."""
    text = read_text(record, name)
    if not text:
        return None
    seconds = _read_seconds(text)
    if seconds is None or not 0 <= seconds < MAX_SECONDS:
        raise RowError(f"column {name}: expected seconds, found {text[:40]!r}")
    is_milliseconds = re.search(r"(?:^|[\W_])ms\W*$", name.lower())
    return round(seconds if is_milliseconds else seconds * 1000)


def _read_seconds(text: str) -> float | None:
    match = _CLOCK.fullmatch(text)
    try:
        if match is None:
            return float(text)
        hours, minutes, seconds = (float((part or "0").replace(",", ".")) for part in match.groups())
    except ValueError:
        return None
    return hours * 3600 + minutes * 60 + seconds
