"""Whole recordings through faster-whisper, as people use the model: its own long-form loop over the audio.

Windows are cut where cues begin and end; here the model meets cuts anywhere, its own words as the prompt,
pauses and whatever else is in the recording, and its times are measured too.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recipe.arguments import caption_language
from recipe.audio.decoding import AudioLimits, slice_samples
from recipe.audio.resampling import SAMPLE_RATE
from recipe.data.clips import read_sound
from recipe.data.manifest import Recording
from recipe.errors import AudioError, DataError, TrainingError
from recipe.evaluation.ctranslate import find_gpu_problem, precision_of, write_converted
from recipe.evaluation.long_form_scores import (
    Decoded,
    LongForm,
    Reference,
    TranscribedRecording,
    score_recording,
)
from recipe.evaluation.made_sounds import make_sounds
from recipe.evaluation.normalization import OURS, Normalizer, split_words
from recipe.model.labels import join_terms
from recipe.model.whisper import Whisper

SETTINGS: Mapping[str, Any] = {
    "beam_size": 1,
    "temperature": 0.0,
    "condition_on_previous_text": True,
    "vad_filter": False,
}
"""Of faster-whisper: greedy, so that the same audio gives the same words; all else as it comes."""

CONVERTED_MODEL = "model.bin"
"""The file by which a folder is a model of CTranslate2."""


class Recogniser:
    """faster-whisper with a model in CTranslate2's format.

    Args:
        folder: Of the model.
        device: Where it computes.
        precision: What it computes in; "default" for that of the file.
        task: "transcribe" or "translate"; None for an English-only checkpoint.

    Raises:
        TrainingError: if it cannot be opened there.
    """

    def __init__(
        self, folder: Path, device: torch.device, precision: str = "default", task: str | None = None
    ) -> None:
        from faster_whisper import WhisperModel  # noqa: PLC0415 - it loads slowly, and few need it

        if problem := find_gpu_problem(device):
            raise TrainingError(problem)
        try:
            self._model = WhisperModel(
                str(folder),
                device=device.type,
                device_index=device.index or 0,
                compute_type=precision,
                cpu_threads=torch.get_num_threads(),
                local_files_only=True,
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise TrainingError(f"faster-whisper cannot open the model in {folder}: {error}") from error
        self.task = task if self._model.model.is_multilingual else None

    def transcribe(
        self, samples: NDArray[np.float32], language: str, terms: Sequence[str] = ()
    ) -> list[Decoded]:
        """What is said in float32 samples in [-1, 1] at 16 kHz; times from the first sample.

        Terms are in the prompt of every window, before what was written last.
        """
        segments = self.read_segments(samples, language, terms)
        return [Decoded(round(s.start * 1000), round(s.end * 1000), s.text) for s in segments]

    def read_segments(
        self, samples: NDArray[np.float32], language: str, terms: Sequence[str] = ()
    ) -> Iterator[Any]:
        """The same as faster-whisper's own segments, which say how sure the model is; made one by one."""
        segments, _ = self._model.transcribe(
            samples,
            language=language if self.task else "en",
            task=self.task or "transcribe",
            hotwords=join_terms(terms) or None,
            **SETTINGS,
        )
        return iter(segments)


@contextmanager
def open_recogniser(whisper: Whisper, device: torch.device) -> Iterator[Recogniser]:
    """faster-whisper with the weights that the model has now, which must be whole: not sharded."""
    with tempfile.TemporaryDirectory() as folder:
        precision = precision_of(device)
        write_converted(whisper.model, whisper.processor, precision, Path(folder))
        yield Recogniser(Path(folder), device, precision, whisper.task)


def measure_long_form(
    recogniser: Recogniser,
    references: Sequence[Reference],
    recordings: Sequence[Recording],
    limits: AudioLimits,
    on_recording: Callable[[], object] = lambda: None,
    normalizer: Normalizer = OURS,
    terms: Sequence[str] = (),
) -> LongForm:
    """The figures of a model on whole recordings, and on sounds that no one speaks in.

    Args:
        recogniser: The model.
        references: What is known of the recordings; at least one.
        recordings: Among others those of the references.
        limits: What an audio file may hold.
        on_recording: Called after each recording.
        normalizer: By which normalised rates are taken.
        terms: In every prompt; as many as `recipe.model.glossary.choose_fitting` says leave room to write.

    Raises:
        DataError: if none of the recordings can be read.
    """
    by_name = {recording.name: recording for recording in recordings}
    transcribed, unread = [], []
    for reference in references:
        try:
            samples, start_ms = _read(by_name[reference.recording], reference, limits)
            transcribed.append(_transcribe(recogniser, reference, samples, start_ms, normalizer, terms))
        except AudioError as error:
            unread.append(f"{reference.recording} was not transcribed whole: {error}")
        on_recording()
    if not transcribed:
        raise DataError(f"No recording could be transcribed whole. {unread[0]}")
    language = references[0].language
    return LongForm(transcribed, _count_made_up(recogniser, language, terms), unread)


def _read(recording: Recording, reference: Reference, limits: AudioLimits) -> tuple[NDArray[np.float32], int]:
    """The samples to transcribe, and where they begin in the recording, in milliseconds."""
    audio = read_sound(recording, limits)
    start_ms, end_ms = 0, audio.duration_ms + 1
    if not reference.is_whole:
        start_ms, end_ms = reference.covered_ms[0][0], reference.covered_ms[-1][1]
    samples = slice_samples(audio.samples, start_ms, end_ms)
    return samples.astype(np.float32) / np.float32(32768), start_ms


def _transcribe(
    recogniser: Recogniser,
    reference: Reference,
    samples: NDArray[np.float32],
    start_ms: int,
    normalizer: Normalizer,
    terms: Sequence[str],
) -> TranscribedRecording:
    started = time.monotonic()
    written = recogniser.transcribe(samples, reference.language, terms)
    seconds = time.monotonic() - started
    segments = [Decoded(start_ms + s.start_ms, start_ms + s.end_ms, s.text) for s in written]
    audio_seconds = len(samples) / SAMPLE_RATE
    return score_recording(reference, segments, audio_seconds, seconds, recogniser.task, normalizer)


def _count_made_up(recogniser: Recogniser, language: str, terms: Sequence[str]) -> dict[str, int]:
    """Words that the model writes on each of the made sounds."""
    written_in = caption_language(language, recogniser.task)
    texts = {
        name: " ".join(segment.text for segment in recogniser.transcribe(sound, language, terms))
        for name, sound in make_sounds().items()
    }
    return {name: len(split_words(OURS(text, written_in), written_in)) for name, text in texts.items()}
