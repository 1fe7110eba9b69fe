"""One recording read whole: samples, windows, and what became of the rest by the rules for bad data."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from recipe.data.audio import Audio, AudioLimits, decode_audio, silence
from recipe.data.captions import Action, Captions, Cleaning, Note, read_captions
from recipe.data.manifest import Recording
from recipe.data.quality import is_silent
from recipe.data.report import RecordingReport
from recipe.data.windows import WINDOW_MS, Packing, pack_windows, silent_windows, split_long_cues
from recipe.errors import AudioError, CaptionError, DataError


@dataclass(frozen=True)
class PreparationSettings:
    """What the examples depend on beside the files.

    Attributes:
        tokenizer_file: The model's tokenizer.json, which counts the tokens of a label.
        language: Code of the language spoken, or None.
        empty_transcript: What a recording without captions becomes; see `DataArguments`.
        suppressed_symbols: Symbols that the model can never write.
        limits: What an audio file may hold.
        cleaning: Rules that turn cues into reading form.
    """

    tokenizer_file: Path
    language: str | None = None
    empty_transcript: Literal["auto", "minimal", "skip", "fail"] = "auto"
    suppressed_symbols: frozenset[str] = frozenset()
    limits: AudioLimits = field(default_factory=AudioLimits)
    cleaning: Cleaning = field(default_factory=Cleaning)


def read_recording(
    recording: Recording, settings: PreparationSettings
) -> tuple[NDArray[np.int16], Packing, RecordingReport]:
    """Samples (int16, 16 kHz), windows and report of one recording.

    Missing or unreadable audio becomes a window of silence, never with the transcript's words. Missing or
    empty captions make silent audio an example of silence; audible speech without its words is skipped,
    for it would teach the model to say nothing.

    Raises:
        DataError: if there are no captions and `empty_transcript` is "fail".
    """
    report = RecordingReport(recording.name)
    audio = _read_audio(recording, settings.limits, report)
    captions = _read_transcript(recording, settings, audio, report)
    if audio is None:
        report.outcome, report.is_fallback = "silence", True
        report.lose_all_cues(captions.num_cues_in, "the audio is missing or unreadable")
        return silence(WINDOW_MS), Packing(silent_windows(WINDOW_MS)), report
    cues = split_long_cues(captions.cues)
    if cues:
        packing = pack_windows(cues, audio.duration_ms, _token_counter(settings.tokenizer_file))
    else:
        packing = _pack_without_words(audio, settings.empty_transcript, report)
    _count_cues(report, captions, packing, captions.num_cues_in + len(cues) - len(captions.cues))
    report.count_audio(packing, audio.duration_ms)
    if captions.cues and not packing.windows:
        report.outcome, report.reason = "skipped", "none of its cues can be trained on"
    return audio.samples, packing, report


def _read_audio(recording: Recording, limits: AudioLimits, report: RecordingReport) -> Audio | None:
    if recording.audio.path is None:
        report.reason = recording.audio.error
        return None
    try:
        audio = decode_audio(recording.audio.path, limits)
    except AudioError as error:
        report.reason = str(error)
        return None
    report.add_notes(audio.notes)
    return audio


def _read_transcript(
    recording: Recording, settings: PreparationSettings, audio: Audio | None, report: RecordingReport
) -> Captions:
    """The captions; without any cue if the file is missing, unreadable or empty, as the report then says."""
    problem = recording.transcript.error
    captions = Captions(cues=(), notes=(), language=None, source_format="", num_cues_in=0)
    if recording.transcript.path is not None:
        try:
            captions = read_captions(
                recording.transcript.path,
                cleaning=settings.cleaning,
                duration_ms=audio.duration_ms if audio else None,
                suppressed_symbols=settings.suppressed_symbols,
                language=settings.language,
            )
            problem = "the caption file holds no usable cue"
        except CaptionError as error:
            problem = str(error)
    report.add_notes(_describe_note(note) for note in captions.notes)
    if not captions.cues and not report.reason:
        report.reason = problem
    return captions


def _pack_without_words(
    audio: Audio, rule: Literal["auto", "minimal", "skip", "fail"], report: RecordingReport
) -> Packing:
    """Windows of a recording without captions: labelled as silence, or none."""
    if rule == "fail":
        raise DataError(f"{report.name}: {report.reason}; empty_transcript is set to fail. Add captions.")
    if rule == "minimal" or (rule == "auto" and is_silent(audio.samples)):
        report.outcome, report.is_fallback = "silence", True
        return Packing(silent_windows(audio.duration_ms))
    report.outcome = "skipped"
    return Packing()


def _count_cues(report: RecordingReport, captions: Captions, packing: Packing, num_cues: int) -> None:
    """Attribute every cue to the windows or to the reason why it is in none."""
    lost = [
        f"{note.action}: {note.reason}"
        for note in captions.notes
        if note.action in (Action.DROPPED, Action.MERGED)
    ]
    lost += [f"{Action.DROPPED}: {dropped.reason}" for dropped in packing.dropped]
    report.add_notes(
        f"line {dropped.cue.line}: dropped: {dropped.reason}: {dropped.cue.text[:60]}"
        for dropped in packing.dropped
    )
    report.count_cues(num_cues, lost)


def _describe_note(note: Note) -> str:
    return f"line {note.line}: {note.action}: {note.reason}"


@lru_cache(maxsize=1)
def _token_counter(tokenizer_file: Path) -> Callable[[str], int]:
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)
