"""One recording read whole: samples, windows, and what became of the rest by the rules for bad data."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from recipe.arguments import caption_language
from recipe.audio.decoding import Audio, AudioLimits, decode_audio, silence, slice_samples
from recipe.audio.voice import MAX_VOICE_MS, VoiceMeter, has_voice, voice_ms
from recipe.captions.reader import Action, Captions, Cue, Note, read_captions
from recipe.data.manifest import Recording
from recipe.data.partition import position_of
from recipe.data.quality import count_scripts, find_flags, measure_window
from recipe.data.report import RecordingReport
from recipe.data.windows import (
    WINDOW_MS,
    Packing,
    Window,
    gap_windows,
    pack_windows,
    silent_windows,
    split_long_cues,
)
from recipe.errors import AudioError, CaptionError, DataError, explain_error

logger = logging.getLogger(__name__)

NEEDS_VOICE = frozenset({"few words for its time", "little sound under its words"})
"""Flags of a window that may have no voice in it at all."""


RecordingContent = tuple[NDArray[np.int16], Packing, RecordingReport]
"""Samples (int16, 16 kHz), windows and report of one recording."""


@dataclass(frozen=True)
class PreparationSettings:
    """What the examples depend on beside the files.

    Attributes:
        tokenizer_file: The model's tokenizer.json, which counts the tokens of a label.
        task: Which says what language the captions are in; see `ModelArguments`.
        empty_transcript: What a recording without captions becomes; see `DataArguments`.
        no_speech_fraction: Fraction of the gaps between captions that are trained as silence; see
            `DataArguments`.
        suppressed_symbols: Symbols that the model can never write.
        limits: What an audio file may hold.
        max_cpu_seconds: Longest time of a processor for one recording. Ten hours take a few minutes.
    """

    tokenizer_file: Path
    task: Literal["transcribe", "translate"] = "transcribe"
    empty_transcript: Literal["auto", "minimal", "skip", "fail"] = "auto"
    no_speech_fraction: float = 0.1
    suppressed_symbols: frozenset[str] = frozenset()
    limits: AudioLimits = field(default_factory=AudioLimits)
    max_cpu_seconds: float = 1800.0


def read_recording(
    recording: Recording, settings: PreparationSettings, measure_voice: VoiceMeter = voice_ms
) -> RecordingContent:
    """The content of one recording.

    Missing or unreadable audio becomes a window of silence, never with the transcript's words. Missing or
    empty captions make audio without a voice an example of silence; speech without its words is skipped,
    for it would teach the model to say nothing.

    Args:
        recording: Where its files are.
        settings: What the examples depend on beside the files.
        measure_voice: Asked where a decision hangs on it.

    Raises:
        DataError: if there are no captions and `empty_transcript` is "fail".
    """
    report = RecordingReport(recording.name, language=recording.language)
    report.add_notes(recording.notes)
    audio = _read_audio(recording, settings.limits, report)
    captions = _read_transcript(recording, settings, audio, report)
    if audio is None:
        samples, packing, lost = lose_recording(recording, report.reason)
        lost.add_notes(report.notes)
        lost.lose_all_cues(captions.num_cues_in, "the audio is missing or unreadable")
        return samples, packing, lost
    cues = split_long_cues(captions.cues)
    if cues:
        packing = _pack_words(recording.name, cues, captions, audio, settings, measure_voice)
        report.num_no_speech_windows = sum(not window.segments for window in packing.windows)
    else:
        packing = _pack_without_words(audio, settings.empty_transcript, report, measure_voice)
    _count_cues(report, captions, packing, captions.num_cues_in + len(cues) - len(captions.cues))
    report.count_audio(packing, audio.duration_ms)
    report.flags = find_flags(captions, report)
    report.scripts = count_scripts(cue.text for cue in cues)
    if captions.cues and report.num_cues_kept == 0:
        report.outcome, report.reason = "skipped", "none of its cues can be trained on"
    return audio.samples, packing, report


def lose_recording(recording: Recording, reason: str) -> RecordingContent:
    """The content of a recording that cannot be read, for a reason in a sentence: a window of silence."""
    report = RecordingReport(recording.name, "silence", reason, is_fallback=True, language=recording.language)
    return silence(WINDOW_MS), Packing(silent_windows(WINDOW_MS)), report


def _pack_words(
    name: str,
    cues: Sequence[Cue],
    captions: Captions,
    audio: Audio,
    settings: PreparationSettings,
    measure_voice: VoiceMeter,
) -> Packing:
    """Windows of the cues, and of some of the gaps between them without a voice."""
    packing = pack_windows(
        cues,
        audio.duration_ms,
        _token_counter(settings.tokenizer_file),
        partial(_find_fault, samples=audio.samples, measure_voice=measure_voice),
        captions.lost_speech_ms,
    )
    gaps = gap_windows(packing, captions.lost_speech_ms, audio.duration_ms)
    num_wanted = _count_wanted(name, settings.no_speech_fraction, gaps, packing.windows)
    packing.windows += _choose_silent(name, gaps, num_wanted, audio, measure_voice)
    packing.windows.sort(key=lambda window: window.start_ms)
    return packing


def _find_fault(window: Window, samples: NDArray[np.int16], measure_voice: VoiceMeter) -> str:
    """Why a window must not be used, or ""; the voice detector is asked only where its figures are odd."""
    sound = slice_samples(samples, window.start_ms, window.end_ms)
    quality = measure_window(window.segments, sound)
    if quality.fault or not NEEDS_VOICE.intersection(quality.flags):
        return quality.fault
    is_voiced = measure_voice(sound) >= min(MAX_VOICE_MS, (window.end_ms - window.start_ms) // 10)
    return "" if is_voiced else "there is no voice under its words"


def _count_wanted(name: str, fraction: float, gaps: Sequence[Window], spoken: Sequence[Window]) -> int:
    """How many windows without speech to keep: `fraction` of the gaps, and of the windows with speech.

    What is left after the whole windows is drawn by the recording's name, so that the fraction holds over
    many short recordings too.
    """
    return int(fraction * min(len(gaps), len(spoken)) + position_of(f"{name} no speech"))


def _choose_silent(
    name: str, gaps: Sequence[Window], num_wanted: int, audio: Audio, measure_voice: VoiceMeter
) -> list[Window]:
    """Gaps without a voice, in an order drawn by name; at most twice as many are given to the detector."""
    drawn = sorted(gaps, key=lambda gap: position_of(f"{name} {gap.start_ms}"))[: 2 * num_wanted]
    silent: list[Window] = []
    for gap in drawn:
        if len(silent) == num_wanted:
            break
        if not has_voice(slice_samples(audio.samples, gap.start_ms, gap.end_ms), measure_voice):
            silent.append(gap)
    return silent


def _read_audio(recording: Recording, limits: AudioLimits, report: RecordingReport) -> Audio | None:
    if recording.audio.path is None:
        report.reason = recording.audio.error
        return None
    try:
        audio = decode_audio(recording.audio.path, limits)
    except AudioError as error:
        report.reason = _without_name(error, recording.audio.path)
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
                language=caption_language(recording.language or None, settings.task),
                duration_ms=audio.duration_ms if audio else None,
                suppressed_symbols=settings.suppressed_symbols,
            )
            problem = "the caption file holds no usable cue"
        except CaptionError as error:
            problem = _without_name(error, recording.transcript.path)
        except Exception as error:
            logger.exception("The captions of %r cannot be read", recording.name)
            problem = explain_error(error, "the caption file cannot be read")
    report.add_notes(_describe_note(note) for note in captions.notes)
    if not captions.cues and not report.reason:
        report.reason = problem
    return captions


def _pack_without_words(
    audio: Audio,
    rule: Literal["auto", "minimal", "skip", "fail"],
    report: RecordingReport,
    measure_voice: VoiceMeter,
) -> Packing:
    """Windows of a recording without captions: labelled as silence, or none."""
    if rule == "fail":
        raise DataError(f"{report.name}: {report.reason}; empty_transcript is set to fail. Add captions.")
    if rule == "minimal" or (rule == "auto" and not has_voice(audio.samples, measure_voice)):
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
    for faulty in packing.faulty:
        num_cues_in_it = sum(segment.end_ms is not None for segment in faulty.window.segments)
        lost += [f"faulty window: {faulty.reason}"] * num_cues_in_it
    report.add_notes(
        f"line {dropped.cue.line}: dropped: {dropped.reason}: {dropped.cue.text[:60]}"
        for dropped in packing.dropped
    )
    report.count_cues(num_cues, lost)


def _without_name(error: DataError, path: Path) -> str:
    """The message without the file's name on this disk, which the user has never seen."""
    return str(error).removeprefix(f"{path.name}: ")


def _describe_note(note: Note) -> str:
    return f"line {note.line}: {note.action}: {note.reason}"


@lru_cache(maxsize=1)
def _token_counter(tokenizer_file: Path) -> Callable[[str], int]:
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)
