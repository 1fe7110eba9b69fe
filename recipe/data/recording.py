"""One recording read whole: samples, windows, and what became of the rest by the rules for bad data."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from recipe.arguments import caption_language
from recipe.audio.decoding import Audio, AudioLimits, decode_audio, silence, slice_samples
from recipe.audio.voice import MAX_VOICE_MS, VoiceMeter, has_voice, voice_ms
from recipe.captions.reader import (
    Action,
    Captions,
    Cue,
    Note,
    explain_emptiness,
    is_uncertain,
    read_captions,
    takes_speech,
)
from recipe.captions.scripts import count_scripts
from recipe.data.clips import UNUSABLE, caption_file, join_clips
from recipe.data.manifest import Recording
from recipe.data.partition import position_of
from recipe.data.quality import NO_VOICE, find_flags, measure_window
from recipe.data.report import FAULTY, RecordingReport
from recipe.data.windows import (
    WINDOW_MS,
    DroppedCue,
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
    for it would teach the model to say nothing. A sentence of a table whose sound is missing is left out.

    Args:
        recording: Where its files are.
        settings: What the examples depend on beside the files.
        measure_voice: Asked where a decision hangs on it.

    Raises:
        DataError: if there are no captions and `empty_transcript` is "fail".
    """
    report = RecordingReport(recording.name, language=recording.language)
    if recording.problem:
        report.outcome, report.reason = "skipped", recording.problem
        return silence(0), Packing(), report
    audio, captions = _read_files(recording, settings, report)
    if audio is None:
        samples, packing, lost = lose_recording(recording, report.reason)
        lost.add_notes(report.notes)
        lost.lose_all_cues(captions.num_cues_in, "the audio is missing or unreadable")
        return samples, packing, lost
    cues = split_long_cues(captions.cues)
    if cues:
        packing = _pack_words(recording.name, cues, captions, audio, settings, measure_voice)
        if not recording.clips:  # a row that is wrong says nothing of the others
            packing = _give_up_on_remnant(packing, cues, captions, report)
        report.num_no_speech_windows = sum(not window.segments for window in packing.windows)
    elif recording.clips:
        packing, report.outcome = Packing(), "skipped"
    else:
        packing = _pack_without_words(audio, captions, settings.empty_transcript, report, measure_voice)
    num_cues = captions.num_cues_in + len(cues) - len(captions.cues)
    _count_cues(report, captions, packing, num_cues, recording.cue_place)
    report.count_audio(packing, audio.duration_ms)
    report.flags = find_flags(captions, report, _wanted_language(recording, settings))
    report.scripts = count_scripts(cue.text for cue in cues)
    if captions.cues and report.num_cues_kept == 0 and report.outcome == "speech":
        report.outcome, report.reason = "skipped", "none of its cues can be trained on"
    return audio.samples, packing, report


def _wanted_language(recording: Recording, settings: PreparationSettings) -> str | None:
    """Code of the language that its words should be in; None if nobody knows."""
    return caption_language(recording.language or None, settings.task)


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


def _give_up_on_remnant(
    packing: Packing, cues: Sequence[Cue], captions: Captions, report: RecordingReport
) -> Packing:
    """The windows; none where more than half of the captions, or of their time, is lost or uncertain.

    What such a file has left is no better than what was found to be wrong with it.
    """
    uncertain = {note.start_ms for note in captions.notes if is_uncertain(note)}
    kept = _list_spans(packing.windows)
    good = [span for span in kept if span[0] not in uncertain]
    bad = {
        "it is uncertain": [span for span in kept if span[0] in uncertain],
        **_list_lost(packing, captions.notes),
    }
    num_bad, bad_ms = sum(map(len, bad.values())), sum(map(_total_ms, bad.values()))
    if num_bad <= len(good) and bad_ms <= _total_ms(good):
        return packing
    report.outcome = "skipped"
    report.reason = _describe_loss(
        num_bad, num_bad + len(good), max(bad, key=lambda reason: len(bad[reason]))
    )
    rest = [DroppedCue(cue, "most of the file is lost") for cue in cues if (cue.start_ms, cue.end_ms) in kept]
    return Packing(faulty=packing.faulty, dropped=[*packing.dropped, *rest])


def _list_lost(packing: Packing, notes: Sequence[Note]) -> dict[str, list[tuple[int, int]]]:
    """Where words were lost, as (start, end) in milliseconds, by reason; (0, 0) for a cue without times."""
    lost: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for note in notes:
        if takes_speech(note):
            lost[note.reason].append((note.start_ms or 0, note.end_ms or 0))
    for dropped in packing.dropped:
        lost[f"it {dropped.reason}"].append((dropped.cue.start_ms, dropped.cue.end_ms))
    for faulty in packing.faulty:
        lost[faulty.reason] += _list_spans([faulty.window])
    return lost


def _list_spans(windows: Iterable[Window]) -> list[tuple[int, int]]:
    """Start and end in the recording of the texts that end inside their windows."""
    return [
        (window.start_ms + segment.start_ms, window.start_ms + segment.end_ms)
        for window in windows
        for segment in window.segments
        if segment.end_ms is not None
    ]


def _total_ms(spans: Iterable[tuple[int, int]]) -> int:
    """Time of the spans; one that is longer than a window is a mistake, and counts as a window."""
    return sum(min(max(0, end_ms - start_ms), WINDOW_MS) for start_ms, end_ms in spans)


def _describe_loss(num_bad: int, num_cues: int, reason: str) -> str:
    return (
        f"{num_bad} of its {num_cues} cues are lost or uncertain, most of them because: {reason}; the rest "
        "is not trained on. Mend the captions, or leave it out"
    )


def _find_fault(window: Window, samples: NDArray[np.int16], measure_voice: VoiceMeter) -> str:
    """Why a window must not be used, or ""; the voice detector is asked only where its figures are odd."""
    sound = slice_samples(samples, window.start_ms, window.end_ms)
    quality = measure_window(window.segments, sound)
    if quality.fault or not NEEDS_VOICE.intersection(quality.flags):
        return quality.fault
    is_voiced = measure_voice(sound) >= min(MAX_VOICE_MS, (window.end_ms - window.start_ms) // 10)
    return "" if is_voiced else NO_VOICE


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
        report.reason = f"its audio cannot be used: {_without_name(error, recording.audio.path)}"
        return None
    report.add_notes(audio.notes)
    return audio


def _read_transcript(
    recording: Recording, settings: PreparationSettings, audio: Audio | None, report: RecordingReport
) -> Captions:
    """The captions; without any cue if the file is missing, unreadable or empty, as the report then says."""
    problem = recording.transcript.error
    captions = Captions((), (), language=None, source_format="", num_cues_in=len(recording.clips))
    if recording.clips and audio:
        language = _wanted_language(recording, settings)
        captions = caption_file(recording, audio, language, settings.suppressed_symbols)
        problem = _explain_no_sentence(captions)
    elif recording.transcript.path is not None:
        try:
            captions = read_captions(
                recording.transcript.path,
                language=_wanted_language(recording, settings),
                duration_ms=audio.duration_ms if audio else None,
                suppressed_symbols=settings.suppressed_symbols,
            )
            problem = explain_emptiness(captions)
        except CaptionError as error:
            problem = f"its captions cannot be used: {_without_name(error, recording.transcript.path)}"
        except Exception as error:
            logger.exception("The captions of %r cannot be read", recording.name)
            problem = explain_error(error, "the caption file cannot be read")
    report.add_notes(_describe_note(note, recording.cue_place) for note in captions.notes)
    if not captions.cues and not report.reason:
        report.reason = problem
    return captions


def _read_files(
    recording: Recording, settings: PreparationSettings, report: RecordingReport
) -> tuple[Audio | None, Captions]:
    if recording.has_own_sounds:
        return _join_clips(recording, settings, report)
    audio = _read_audio(recording, settings.limits, report)
    return audio, _read_transcript(recording, settings, audio, report)


def _join_clips(
    recording: Recording, settings: PreparationSettings, report: RecordingReport
) -> tuple[Audio, Captions]:
    """The sentences of a recording, whose files are opened one by one; the report names those left out."""
    language = _wanted_language(recording, settings)
    audio, captions = join_clips(recording, settings.limits, language, settings.suppressed_symbols)
    report.add_notes(_describe_note(note, recording.cue_place) for note in captions.notes)
    if not captions.cues:
        report.reason = _explain_no_sentence(captions)
    return audio, captions


def _explain_no_sentence(captions: Captions) -> str:
    """Why none of the rows of a recording can be used, by the first of them."""
    dropped = (_describe_note(note, "row") for note in captions.notes if note.action is Action.DROPPED)
    return ", such as ".join(["none of its sentences can be used", *islice(dropped, 1)])


def _pack_without_words(
    audio: Audio,
    captions: Captions,
    rule: Literal["auto", "minimal", "skip", "fail"],
    report: RecordingReport,
    measure_voice: VoiceMeter,
) -> Packing:
    """Windows of a recording without captions: labelled as silence, or none where something is said."""
    if rule == "fail":
        raise DataError(f"{report.name}: {report.reason}; empty_transcript is set to fail. Add captions.")
    is_said = any(map(takes_speech, captions.notes))
    if rule == "minimal" or (rule == "auto" and not is_said and not has_voice(audio.samples, measure_voice)):
        report.outcome, report.is_fallback = "silence", True
        return Packing(silent_windows(audio.duration_ms))
    report.outcome = "skipped"
    return Packing()


def _count_cues(
    report: RecordingReport, captions: Captions, packing: Packing, num_cues: int, place: str
) -> None:
    """Attribute every cue to the windows or to the reason why it is in none."""
    lost = [
        f"{note.action}: {note.reason}"
        for note in captions.notes
        if note.action in (Action.DROPPED, Action.MERGED)
    ]
    lost += [f"{Action.DROPPED}: {dropped.reason}" for dropped in packing.dropped]
    for faulty in packing.faulty:
        num_cues_in_it = sum(segment.end_ms is not None for segment in faulty.window.segments)
        lost += [f"{FAULTY}{faulty.reason}"] * num_cues_in_it
    report.add_notes(
        f"{place} {dropped.cue.line}: dropped: {dropped.reason}: {dropped.cue.text[:60]}"
        for dropped in packing.dropped
    )
    report.count_cues(num_cues, lost)


def _without_name(error: DataError, path: Path) -> str:
    """The message without the file's name on this disk, which the user has never seen."""
    return str(error).removeprefix(f"{path.name}: ")


def _describe_note(note: Note, place: str) -> str:
    detail = f": {note.excerpt}" if note.reason == UNUSABLE else ""
    return f"{place} {note.line}: {note.action}: {note.reason}{detail}"


@lru_cache(maxsize=1)
def _token_counter(tokenizer_file: Path) -> Callable[[str], int]:
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)
