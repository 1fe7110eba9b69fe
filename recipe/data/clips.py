"""Sentences that come one by one, made into recordings.

Whisper's input is 30 s, and most of a window of one short sentence would be padding. Sentences of one voice
are therefore put one after another, with pauses between them, as if they had been said in a row: packed
windows learn more at equal compute (see `ViewProbabilities`), and long-form synthesis does the same (arXiv
2412.15726). A window never mixes two voices that the table tells apart. The share of windows that shows a
sentence alone is drawn at training time (`single_cue_fraction`), as for captions: none is kept apart here.

Sentences that a table cuts from one long file stay where they are in it: they are that file's captions.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recipe.audio.decoding import Audio, AudioLimits, decode_audio, iter_audio_blocks, slice_samples
from recipe.audio.levels import span_of_sound
from recipe.audio.resampling import SAMPLES_PER_MS
from recipe.audio.voice import MAX_VOICE_MS, VoiceMeter, has_voice, voice_ms
from recipe.captions.reader import Action, Captions, Cue, Note
from recipe.captions.sentences import read_sentences
from recipe.data.manifest import Clip, Recording
from recipe.data.partition import position_of
from recipe.data.windows import WINDOW_MS
from recipe.errors import AudioError

PAUSE_MS = (300, 800)
"""Shortest and longest pause between two sentences."""

PAUSE_AMPLITUDE = 4
"""Of the noise in a pause: at most -78 dBFS, for no room is digitally silent."""

UNWRITTEN = "there is a voice between two rows, and no row has its words"

UNUSABLE = "its sound cannot be used"


@dataclass
class _Joined:
    """Sentences put one after another.

    Attributes:
        pieces: Samples of sentences and pauses, int16 at 16 kHz.
        duration_ms: Of all of them.
        cues: One for each sentence, at the time at which it now is.
        notes: On the sentences that could not be used, and on what was odd about others.
        voice: Who says the last one.
        breaks_ms: Pauses after which somebody else speaks.
    """

    pieces: list[NDArray[np.int16]] = field(default_factory=list)
    duration_ms: int = 0
    cues: list[Cue] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    voice: str = ""
    breaks_ms: list[tuple[int, int]] = field(default_factory=list)

    def pause(self, samples: NDArray[np.int16], next_voice: str) -> None:
        """Add a pause before a sentence of `next_voice`."""
        start_ms = self.duration_ms
        self.append(samples)
        if next_voice != self.voice:
            self.breaks_ms.append((start_ms, self.duration_ms))

    def append(self, samples: NDArray[np.int16]) -> None:
        """Add samples of whole milliseconds."""
        self.pieces.append(samples)
        self.duration_ms += len(samples) // SAMPLES_PER_MS


def join_clips(
    recording: Recording,
    limits: AudioLimits,
    language: str | None = None,
    suppressed_symbols: frozenset[str] = frozenset(),
) -> tuple[Audio, Captions]:
    """The sentences of a recording one after another with pauses between them, and their captions.

    A sentence that cannot be used costs itself only: it is not in the audio, or no window spans it, and it
    has a note with its row.

    Args:
        recording: With sentences that have files of their own.
        limits: What an audio file may hold.
        language: Code of the language that the words should be in; None if nobody said it.
        suppressed_symbols: Texts that the model can never produce.
    """
    joined = _Joined()
    for clip in recording.clips:
        try:
            audio = _read_clip(clip, limits)
        except AudioError as error:
            joined.notes.append(Note(clip.row, Action.DROPPED, UNUSABLE, _without_name(error, clip)))
            continue
        joined.notes += [Note(clip.row, Action.FLAGGED, note) for note in audio.notes]
        if joined.pieces:
            joined.pause(_make_pause(f"{recording.name} {clip.row}"), clip.voice)
        joined.voice = clip.voice
        start_ms, end_ms = span_of_sound(audio.samples)
        joined.cues.append(_make_cue(clip, joined.duration_ms + start_ms, joined.duration_ms + end_ms))
        joined.append(audio.samples)
    samples = np.concatenate([np.zeros(0, np.int16), *joined.pieces])
    captions = read_sentences(
        joined.cues,
        language=language,
        duration_ms=joined.duration_ms,
        suppressed_symbols=suppressed_symbols,
    )
    notes = sorted((*captions.notes, *joined.notes), key=lambda note: note.line)
    return Audio(samples), replace(
        captions,
        notes=tuple(notes),
        num_cues_in=len(recording.clips),
        breaks_ms=tuple(joined.breaks_ms),
    )


def read_sound(recording: Recording, limits: AudioLimits) -> Audio:
    """The sound of a whole recording, on the time line of its windows.

    Raises:
        AudioError: if it cannot be read.
    """
    if recording.has_own_sounds:
        return join_clips(recording, limits)[0]
    if recording.audio.path is None:
        raise AudioError(recording.audio.error)
    return decode_audio(recording.audio.path, limits)


def caption_file(
    recording: Recording,
    audio: Audio,
    language: str | None = None,
    suppressed_symbols: frozenset[str] = frozenset(),
    measure_voice: VoiceMeter = voice_ms,
) -> Captions:
    """The captions of a file whose sentences are rows of a table.

    Rows may have been taken out of the table, so a gap between two is silence only where there is no voice.
    """
    cues = [_make_cue(clip, clip.start_ms, clip.end_ms or audio.duration_ms) for clip in recording.clips]
    captions = read_sentences(
        cues, language=language, duration_ms=audio.duration_ms, suppressed_symbols=suppressed_symbols
    )
    gaps = [(cue.end_ms, following.start_ms) for cue, following in pairwise(captions.cues)]
    unwritten = tuple(
        (start_ms, end_ms)
        for start_ms, end_ms in gaps
        if end_ms - start_ms > MAX_VOICE_MS
        and has_voice(slice_samples(audio.samples, start_ms, end_ms), measure_voice)
    )
    notes = [Note(0, Action.FLAGGED, UNWRITTEN, "", *span_ms) for span_ms in unwritten]
    return replace(captions, notes=(*notes, *captions.notes), breaks_ms=unwritten)


def read_beginning(clips: Iterable[Clip], limits: AudioLimits, max_ms: int) -> NDArray[np.int16]:
    """Samples of the first sentences that can be read, int16 at 16 kHz: about `max_ms`, less if they end."""
    pieces = [np.zeros(0, np.int16)]
    for clip in clips:
        if sum(map(len, pieces)) >= max_ms * SAMPLES_PER_MS:
            break
        with suppress(AudioError):
            pieces.append(_read_clip(clip, limits).samples)
    return np.concatenate(pieces)


def _read_clip(clip: Clip, limits: AudioLimits) -> Audio:
    """The sound of a sentence, of whole milliseconds.

    Raises:
        AudioError: if it cannot be read, is longer than a window, or holds no sound.
    """
    path = clip.audio.path
    if path is None:
        raise AudioError(clip.audio.error)
    if clip.end_ms is None:
        audio = decode_audio(path, replace(limits, max_seconds=WINDOW_MS / 1000))
    elif clip.end_ms - clip.start_ms > WINDOW_MS:
        raise AudioError(
            f"it is {(clip.end_ms - clip.start_ms) / 1000:.1f} s long, at most 30 s can be learnt"
        )
    else:
        audio = Audio(_read_span(path, limits, clip.start_ms, clip.end_ms))
    samples = audio.samples[: audio.duration_ms * SAMPLES_PER_MS]
    if span_of_sound(samples) == (0, 0):
        raise AudioError("there is no sound in it")
    return replace(audio, samples=samples)


def _read_span(path: Path, limits: AudioLimits, start_ms: int, end_ms: int) -> NDArray[np.int16]:
    """A stretch of a file, shorter where the file ends; what comes after it is not decoded."""
    pieces = [np.zeros(0, np.int16)]
    position = 0
    for block in iter_audio_blocks(path, limits):
        if position + len(block) > start_ms * SAMPLES_PER_MS:
            pieces.append(block[max(0, start_ms * SAMPLES_PER_MS - position) :])
        position += len(block)
        if position >= end_ms * SAMPLES_PER_MS:
            break
    return np.concatenate(pieces)[: (end_ms - start_ms) * SAMPLES_PER_MS]


def _make_cue(clip: Clip, start_ms: int, end_ms: int) -> Cue:
    return Cue("", start_ms, end_ms, clip.text, clip.text, line=clip.row)


def _make_pause(name: str) -> NDArray[np.int16]:
    """Faint noise, its length and form drawn by name."""
    shortest_ms, longest_ms = PAUSE_MS
    position = position_of(name)
    length_ms = shortest_ms + round(position * (longest_ms - shortest_ms))
    noise = np.random.default_rng(int(position * 2**32))
    size = length_ms * SAMPLES_PER_MS
    return noise.integers(-PAUSE_AMPLITUDE, PAUSE_AMPLITUDE + 1, size, dtype=np.int16)


def _without_name(error: AudioError, clip: Clip) -> str:
    return str(error).removeprefix(f"{clip.audio.path.name}: ") if clip.audio.path else str(error)
