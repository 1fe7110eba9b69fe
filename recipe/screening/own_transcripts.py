"""Captions that the base model writes itself, of recordings that are replayed and have none.

What the base model says of speech is what it should still say of it after training, so its own words serve
as labels (self-training; Kahn et al. 2020, https://arxiv.org/abs/1909.09116). Where it is not sure, speech is
marked as lost: no window spans it, and none takes it for silence.
"""

import html
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from recipe.audio.decoding import AudioLimits
from recipe.audio.resampling import SAMPLE_RATE
from recipe.captions.lost_speech import mark_lost_speech
from recipe.captions.reader import Cue, format_webvtt
from recipe.data.clips import read_sound
from recipe.data.manifest import LocalFile, Recording
from recipe.errors import AudioError
from recipe.evaluation.long_form import Recogniser
from recipe.run.files import hash_once, this_writer, write_text
from recipe.screening.caption_times import name_captions

FORMAT_VERSION = 1
"""Raised whenever this code would write other captions of the same audio."""

MIN_LOG_PROBABILITY = -0.5
"""Mean log-probability of a segment's tokens from which on it is sure: 0.6 a token. openai-whisper tries
again from -1.0 down."""

MAX_COMPRESSION_RATIO = 2.4
MAX_NO_SPEECH_PROBABILITY = 0.6
"""Limits of openai-whisper: above them a segment is a loop, or nobody speaks."""


class Segment(Protocol):
    """What faster-whisper says of a segment; times in seconds."""

    start: float
    end: float
    text: str
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


@dataclass(frozen=True)
class TranscriptSettings:
    """What the captions depend on beside the audio.

    Attributes:
        folder: Receives them.
        limits: What an audio file may hold.
        open_recogniser: faster-whisper with the base model.
        model: Name of the base model that changes with its weights.
        max_seconds: Audio after which no further recording is transcribed.
    """

    folder: Path
    limits: AudioLimits
    open_recogniser: Callable[[], AbstractContextManager[Recogniser]]
    model: str
    max_seconds: float


def caption_recordings(
    recordings: Sequence[Recording],
    settings: TranscriptSettings,
    on_recording: Callable[[], object] = lambda: None,
) -> list[Recording]:
    """The recordings with captions of the base model's in place of any others, as many as are wanted.

    Args:
        recordings: With their languages.
        settings: What captions depend on.
        on_recording: Called after each.
    """
    with _Writer(settings) as writer:
        captioned: list[Recording] = []
        for recording in recordings:
            if writer.seconds >= settings.max_seconds:
                break
            captioned.append(writer.caption(recording))
            on_recording()
        return captioned


class _Writer(ExitStack):
    """Writes captions, or finds them on disk; the model is opened when a recording needs it."""

    def __init__(self, settings: TranscriptSettings) -> None:
        super().__init__()
        self._settings = settings
        self.seconds = 0.0

    @cached_property
    def _recogniser(self) -> Recogniser:
        return self.enter_context(self._settings.open_recogniser())

    def caption(self, recording: Recording) -> Recording:
        """The recording with captions; one that cannot be read keeps none, and preparation says why."""
        bare = replace(recording, transcript=LocalFile(None), clips=(), is_automatic=False)
        try:
            samples = read_sound(bare, self._settings.limits).samples
        except AudioError:
            return bare
        path = self._path_of(recording)
        if not path.is_file():
            sound = samples.astype(np.float32) / np.float32(32768)
            cues = write_cues(self._recogniser.read_segments(sound, recording.language))
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, format_webvtt(cues), this_writer())
        self.seconds += len(samples) / SAMPLE_RATE
        return replace(bare, transcript=LocalFile(path))

    def _path_of(self, recording: Recording) -> Path:
        assert recording.audio.path, "it was read"
        ingredients = {
            "format": FORMAT_VERSION,
            "audio": hash_once(recording.audio.path),
            "language": recording.language,
            "model": self._settings.model,
        }
        return name_captions(self._settings.folder, ingredients)


def write_cues(segments: Iterable[Segment]) -> Iterator[Cue]:
    """The segments as cues, one after another: with words where the model is sure of them."""
    last_ms = 0
    for segment in segments:
        start_ms, text = max(last_ms, round(segment.start * 1000)), segment.text.strip()
        end_ms = round(segment.end * 1000)
        if not text or end_ms <= start_ms:
            continue
        last_ms = end_ms
        if is_sure(segment):
            yield Cue("", start_ms, end_ms, html.escape(text, quote=False), text)
        else:
            yield mark_lost_speech(start_ms, end_ms)


def is_sure(segment: Segment) -> bool:
    """Whether the model is as sure of the words of a segment as a label should be."""
    return (
        segment.avg_logprob >= MIN_LOG_PROBABILITY
        and segment.compression_ratio <= MAX_COMPRESSION_RATIO
        and segment.no_speech_prob <= MAX_NO_SPEECH_PROBABILITY
    )
