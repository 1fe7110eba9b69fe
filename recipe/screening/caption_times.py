"""Times for captions that have none, or loose ones: plain text beside a recording, and `--retime`.

What is made lies in the run's folder as WebVTT, named after all that it depends on, with a state file that
proves it whole; a resumed run and the machine's other processes find it there. Preparation then reads it as
any captions.
"""

import hashlib
import html
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from recipe.audio.decoding import AudioLimits, decode_audio
from recipe.audio.voice import find_voice
from recipe.captions.file import open_captions
from recipe.captions.lost_speech import mark_lost_speech
from recipe.captions.plain_text import Phrase, read_plain_text, split_phrases
from recipe.captions.reader import Cue, format_webvtt, read_captions
from recipe.data.claims import Claim, Claims, SharedWork
from recipe.data.manifest import TEXT_EXTENSIONS, LocalFile, Recording
from recipe.data.partition import is_first_of_machine
from recipe.data.report import MAX_NOTES
from recipe.data.windows import WINDOW_MS
from recipe.errors import AudioError, CaptionError, TrainingError, explain_error
from recipe.run.files import hash_once, read_state, set_aside, this_writer, write_state, write_text
from recipe.screening.alignment import Alignment, align_short_text, align_text
from recipe.screening.outcomes import (
    RETIMED_BY,
    Outcome,
    describe_alignment,
    find_mismatch,
    list_flags,
    list_warnings,
    note_alignment,
)
from recipe.screening.placement import Sound
from recipe.screening.retiming import retime_cues
from recipe.screening.word_times import WordTimer, cut_at_pauses

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
"""Raised whenever this code would give other times to the same files."""

Kind = Literal["text", "captions"]


@dataclass(frozen=True)
class TimingSettings:
    """What times depend on beside the files.

    Attributes:
        folder: Receives what is made.
        task: "translate" has captions in another language than is spoken, which cannot be aligned.
        is_retiming: Whether captions with times are judged too.
        limits: What an audio file may hold.
        start_timer: Makes the base model ready; called once, when a recording needs it.
        identify_model: A name of the base model's weights that changes with them; likewise.
    """

    folder: Path
    task: str | None
    is_retiming: bool
    limits: AudioLimits
    start_timer: Callable[[], WordTimer]
    identify_model: Callable[[], str]


def settle_times(
    recordings: Sequence[Recording],
    settings: TimingSettings,
    on_recording: Callable[[], object] = lambda: None,
) -> tuple[list[Recording], list[str]]:
    """The recordings, plain text and loose captions replaced by captions with times; warnings for the user.

    A text that does not match costs its recording, which is then without captions and says why. Machines that
    share the folder claim one recording after the other, and find the others' work where it is done.

    Args:
        recordings: With their languages.
        settings: What times depend on beside the files.
        on_recording: Called after each.

    Raises:
        TrainingError: if the base model cannot be made ready.
    """
    maker = _CaptionTimes(settings)
    outcomes: dict[str, tuple[Recording, Outcome]] = {}
    pieces = []
    for recording in recordings:
        piece = maker.plan(recording)
        if piece:
            pieces.append(piece)
        else:
            on_recording()
    for piece, outcome in _settle_each(pieces, maker, settings.folder) if pieces else ():
        outcomes[piece.recording.name] = _apply_outcome(piece, outcome), outcome
        on_recording()
    settled = [outcomes[item.name][0] if item.name in outcomes else item for item in recordings]
    in_order = {item.name: outcomes[item.name][1] for item in recordings if item.name in outcomes}
    return settled, list(list_warnings(in_order))


def _kind_of(recording: Recording, settings: TimingSettings) -> Kind | None:
    """What there is to be done for a recording."""
    if recording.whole_text:
        return "text"
    path = recording.transcript.path
    if path is None or recording.audio.path is None or recording.clips:
        return None
    if path.suffix.lower() in TEXT_EXTENSIONS and not _has_times(path):
        return "text"
    return "captions" if settings.is_retiming and settings.task != "translate" else None


def _has_times(path: Path) -> bool:
    """Whether a text file is captions all the same."""
    try:
        open_captions(path)
    except CaptionError:
        return False
    return True


@dataclass(frozen=True)
class _Piece:
    """A recording whose captions are to be given times.

    Attributes:
        recording: With its language.
        kind: What there is to be done.
        path: Where the captions with times go.
    """

    recording: Recording
    kind: Kind
    path: Path


_Settled = tuple[_Piece, Outcome]


def _settle_each(pieces: Sequence[_Piece], maker: "_CaptionTimes", folder: Path) -> Iterator[_Settled]:
    """What became of each piece, here or on another machine."""
    with Claims(folder / "claims") as claims:
        work = SharedWork[_Piece, _Settled](claims, _find_settled)
        work.add((piece.path.stem, piece) for piece in pieces)
        for turn in work:
            if not isinstance(turn, Claim):
                yield turn
                continue
            try:
                outcome = _find_outcome(turn.work.path) or maker.make_outcome(turn.work)
            except AudioError:  # preparation will say so
                outcome = Outcome()
            finally:
                claims.release(turn.key, turn.number)
            yield turn.work, outcome


def _find_settled(piece: _Piece) -> _Settled | None:
    outcome = _find_outcome(piece.path)
    return (piece, outcome) if outcome else None


def _apply_outcome(piece: _Piece, outcome: Outcome) -> Recording:
    """The recording with what was made of its captions."""
    recording = piece.recording
    if outcome.problem:
        recording = replace(recording, transcript=LocalFile(None, outcome.problem), clips=())
    elif outcome.captions_hash:
        recording = replace(recording, transcript=LocalFile(piece.path), clips=())
    flags = (*recording.flags, *list_flags(outcome))
    return replace(recording, notes=(*recording.notes, *outcome.notes), flags=flags)


class _CaptionTimes:
    """Makes times of captions."""

    def __init__(self, settings: TimingSettings) -> None:
        self._settings = settings

    @cached_property
    def _timer(self) -> WordTimer:
        try:
            return self._settings.start_timer()
        except Exception as error:  # of the machine, not of anybody's files
            problem = explain_error(error, "The base model cannot be made ready to time words")
            raise TrainingError(f"{problem}; run the same command again.") from error

    @cached_property
    def _model(self) -> str:
        return self._settings.identify_model()

    def plan(self, recording: Recording) -> _Piece | None:
        """What there is to be done for a recording; nothing for one whose files cannot be read."""
        kind = _kind_of(recording, self._settings)
        try:
            return _Piece(recording, kind, self._path_of(recording, kind)) if kind else None
        except AudioError:  # preparation will say so
            return None

    def _path_of(self, recording: Recording, kind: Kind) -> Path:
        assert recording.audio.path
        ingredients = {
            "format": FORMAT_VERSION,
            "kind": kind,
            "audio": _hash(recording.audio.path),
            "text": _hash(recording.transcript.path) if recording.transcript.path else recording.whole_text,
            "language": recording.language,
            "task": self._settings.task,
            "model": self._model,
        }
        return name_captions(self._settings.folder, ingredients)

    def make_outcome(self, piece: _Piece) -> Outcome:
        """Give captions times, and store what became of them.

        Raises:
            AudioError: the audio cannot be read.
            TrainingError: the base model cannot be made ready.
        """
        recording, kind, path = piece.recording, piece.kind, piece.path
        make = self._align if kind == "text" else self._retime
        try:
            outcome, alignment = make(recording)
        except CaptionError as error:
            outcome, alignment = _explain_failure(kind, error), None
        except (AudioError, TrainingError):
            raise
        except Exception as error:  # a stranger's files: whatever goes wrong costs this recording only
            logger.exception("The captions of %r cannot be given times", recording.name)
            outcome, alignment = replace(_explain_failure(kind, error), is_lasting=False), None
        path.parent.mkdir(parents=True, exist_ok=True)
        if alignment:
            write_text(path, format_alignment(alignment), this_writer())
            outcome = replace(outcome, captions_hash=hash_once(path))
        write_state(path.with_suffix(".json"), asdict(outcome), this_writer())
        return outcome

    def _align(self, recording: Recording) -> tuple[Outcome, Alignment | None]:
        """Plain text aligned with its recording."""
        phrases = _read_phrases(recording)
        sound = self._read_sound(recording)
        if sound.duration_ms <= WINDOW_MS:
            note = "its text is the label of all that is said in it"
            return Outcome(notes=[note]), align_short_text(phrases, sound)
        if self._settings.task == "translate":
            problem = "its text is a translation, which has no times of its own; bring captions with times"
            return Outcome(problem=problem), None
        alignment = self._align_long(phrases, sound)
        problem = find_mismatch(alignment)
        if problem:
            return Outcome(problem=problem), None
        return describe_alignment(alignment, list(note_alignment(alignment))), alignment

    def _align_long(self, phrases: Sequence[Phrase], sound: Sound) -> Alignment:
        spans = cut_at_pauses(sound.voice, sound.duration_ms)
        transcript = self._timer.transcribe(sound.samples, spans, sound.language)
        return align_text(phrases, transcript, sound, self._timer)

    def _retime(self, recording: Recording) -> tuple[Outcome, Alignment | None]:
        """Captions put where their words are spoken, where they are loose."""
        assert recording.transcript.path
        captions = read_captions(recording.transcript.path, language=recording.language)
        if not captions.cues:
            return Outcome(), None
        retiming = retime_cues(captions.cues, self._read_sound(recording), self._timer)
        if retiming.alignment is None:
            measured = f" ({retiming.shift})" if retiming.shift and retiming.shift.num_cues else ""
            return Outcome(notes=[f"its captions were not re-timed: {retiming.problem}{measured}"]), None
        notes = [f"{RETIMED_BY}{retiming.shift}", *note_alignment(retiming.alignment)]
        notes += [f"line {note.line}: {note.action}: {note.reason}" for note in captions.notes[:MAX_NOTES]]
        return replace(describe_alignment(retiming.alignment, notes), is_retimed=True), retiming.alignment

    def _read_sound(self, recording: Recording) -> Sound:
        assert recording.audio.path
        samples = decode_audio(recording.audio.path, self._settings.limits).samples
        return Sound(samples, find_voice(samples), recording.language)


def _read_phrases(recording: Recording) -> list[Phrase]:
    """The phrases of a text, of a file or of a row."""
    if recording.transcript.path:
        return read_plain_text(recording.transcript.path)
    phrases = split_phrases(recording.whole_text)
    if not phrases:
        raise CaptionError(f"row {recording.clips[0].row} has no words; expected what is said in the audio.")
    return phrases


def _explain_failure(kind: Kind, error: Exception) -> Outcome:
    """What becomes of captions that could not be given times: a text is of no use, others stay in use."""
    if kind == "text":
        return Outcome(problem=explain_error(error, "the words of its text cannot be timed"))
    problem = explain_error(error, "the words cannot be timed")
    return Outcome(notes=[f"its captions were not re-timed: {problem}"])


def name_captions(folder: Path, ingredients: Mapping[str, Any]) -> Path:
    """Where captions lie that are made of so much; ready for JSON."""
    key = hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:32]
    return folder / f"{key}.vtt"


def _hash(path: Path) -> str:
    try:
        return hash_once(path)
    except OSError as error:
        raise AudioError(f"{path.name} cannot be read: {error.strerror}") from error


def _find_outcome(path: Path) -> Outcome | None:
    """What was made before, if it is as it was made; a damaged file is set aside.

    A machine's first process tries again what failed in another attempt, and the others take its word.
    """
    outcome = read_state(path.with_suffix(".json"), Outcome)
    if outcome is None or (not outcome.is_lasting and is_first_of_machine(os.environ)):
        return None
    if not outcome.captions_hash:
        return outcome
    try:
        if hash_once(path) == outcome.captions_hash:
            return outcome
        set_aside(path, "it has changed since it was made")
    except OSError as error:
        logger.warning("%s cannot be read and is made anew: %s", path, error)
    return None


def format_alignment(alignment: Alignment) -> str:
    """The cues as WebVTT, in order, with those that stand for lost speech."""
    cues = [
        Cue("", cue.start_ms, cue.end_ms, html.escape(cue.text, quote=False), cue.text)
        for cue in alignment.cues
    ]
    cues += [mark_lost_speech(start_ms, end_ms) for start_ms, end_ms in alignment.lost_ms]
    return format_webvtt(sorted(cues, key=lambda cue: cue.start_ms))
