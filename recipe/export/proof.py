"""What a runtime writes of held-out windows, against what the released model writes of them."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray

from recipe.arguments import caption_language
from recipe.audio.decoding import decode_flac
from recipe.audio.resampling import SAMPLES_PER_MS
from recipe.data.sounds import read_flac
from recipe.data.windows import end_of_words, segments_of, text_of
from recipe.evaluation.long_form_scores import count_loops
from recipe.evaluation.metrics import ErrorCounts, score_text
from recipe.evaluation.normalization import normalize_text, split_words
from recipe.export.runtimes import NUM_SAMPLES, RUNTIMES, SECONDS_PER_TIMESTAMP, Phrase, count_threads

MAX_SPEECH_SECONDS = 600
"""Held-out speech that a proof takes."""

MAX_SECONDS = 300.0
"""Time that a runtime has: after it no further window is begun."""


@dataclass(frozen=True)
class Window:
    """A held-out window.

    Attributes:
        audio: FLAC.
        duration_ms: Up to where its words end.
        language: Code.
        reference: What its captions say.
    """

    audio: bytes
    duration_ms: int
    language: str
    reference: str

    def read(self) -> NDArray[np.float32]:
        """Its samples and silence, shape (`NUM_SAMPLES`,)."""
        samples = decode_flac(self.audio)[: self.duration_ms * SAMPLES_PER_MS][:NUM_SAMPLES]
        return np.pad(samples, (0, NUM_SAMPLES - len(samples)))


@dataclass(frozen=True)
class Hypotheses:
    """What a runtime wrote.

    Attributes:
        phrases: Of each window, in their order; fewer where its time was over.
        load_seconds: Until the model was ready.
        seconds: Transcribing.
    """

    phrases: Sequence[Sequence[Phrase]]
    load_seconds: float
    seconds: float


@dataclass(frozen=True)
class Proof:
    """How an export compares with the released model on the windows that both transcribed.

    Attributes:
        num_windows: Windows compared.
        num_loops: Windows beside them in which one of both ran into a loop. How a loop ends is no matter of
            the weights: it is cut where the released model transcribes, and goes on in some runtimes.
        speech_seconds: Length of the windows compared.
        num_words: Words that the released model writes, as written.
        num_other_words: Words that the export writes otherwise, leaves out or adds.
        num_times: Starts and ends of phrases with the same words in both.
        num_other_times: Those of them that are more than a timestamp's 20 ms apart.
        wer_normalized: Of the export against the captions, a fraction.
        wer_normalized_released: Of the released model against them.
        load_seconds: Until the export was ready.
        speech_per_second: Seconds of speech transcribed a second, each window alone, on this machine's CPU.
    """

    num_windows: int
    num_loops: int
    speech_seconds: float
    num_words: int
    num_other_words: int
    num_times: int
    num_other_times: int
    wer_normalized: float
    wer_normalized_released: float
    load_seconds: float
    speech_per_second: float

    def as_dict(self) -> dict[str, Any]:
        """The proof for JSON."""
        return asdict(self)


def choose_windows(examples: Dataset) -> list[Window]:
    """Windows of an Arrow dataset, evenly over all of it, `MAX_SPEECH_SECONDS` of speech at most."""
    if not len(examples):
        return []
    places = examples.remove_columns("audio")
    mean_ms = sum(place["end_ms"] - place["start_ms"] for place in places) / len(examples)
    num_taken = min(len(examples), int(1000 * MAX_SPEECH_SECONDS // max(1, mean_ms)))
    indices = np.linspace(0, len(examples) - 1, num_taken).round().astype(int).tolist()
    return [_take_window(examples[index]) for index in indices]


def _take_window(example: dict[str, Any]) -> Window:
    segments = segments_of(example)
    duration_ms = end_of_words(segments, example["end_ms"] - example["start_ms"])
    return Window(read_flac(example["audio"]), duration_ms, example["language"], text_of(segments))


def transcribe_windows(runtime: str, path: Path, task: str, windows: Sequence[Window]) -> Hypotheses:
    """What a runtime writes of the windows, with the model at `path`."""
    torch.set_num_threads(count_threads())
    started = time.monotonic()
    transcribe = RUNTIMES[runtime].load(path, task)
    loaded = time.monotonic()
    phrases: list[list[Phrase]] = []
    for window in windows:
        if time.monotonic() - loaded > MAX_SECONDS:
            break
        found = transcribe(window.read(), window.language)
        phrases.append([Phrase(text, float(start), float(end)) for text, start, end in found])
    return Hypotheses(phrases, loaded - started, time.monotonic() - loaded)


def compare(windows: Sequence[Window], task: str, released: Hypotheses, exported: Hypotheses) -> Proof:
    """The figures of the windows that both transcribed."""
    between, errors, errors_released = ErrorCounts(), ErrorCounts(), ErrorCounts()
    shifts: list[float] = []
    num_windows, duration_ms = 0, 0
    for window, expected, found in zip(windows, released.phrases, exported.phrases, strict=False):
        language = caption_language(window.language, task)
        before, after = ("".join(phrase.text for phrase in phrases) for phrases in (expected, found))
        if runs_in_a_loop(before, language) or runs_in_a_loop(after, language):
            continue
        num_windows, duration_ms = num_windows + 1, duration_ms + window.duration_ms
        between += score_text(before, after, language=language).words
        errors += score_text(window.reference, after, language=language).words_normalized
        errors_released += score_text(window.reference, before, language=language).words_normalized
        shifts += _measure_shifts(expected, found)
    num_seen = min(len(released.phrases), len(exported.phrases))
    seconds = sum(window.duration_ms for window in windows[: len(exported.phrases)]) / 1000
    return Proof(
        num_windows=num_windows,
        num_loops=num_seen - num_windows,
        speech_seconds=round(duration_ms / 1000, 1),
        num_words=between.num_reference,
        num_other_words=between.num_errors,
        num_times=len(shifts),
        num_other_times=sum(shift > 1.5 * SECONDS_PER_TIMESTAMP for shift in shifts),  # 10 ms of rounding
        wer_normalized=errors.rate,
        wer_normalized_released=errors_released.rate,
        load_seconds=round(exported.load_seconds, 2),
        speech_per_second=round(seconds / max(exported.seconds, 1e-3), 1),
    )


def runs_in_a_loop(text: str, language: str | None) -> bool:
    """Whether a transcript says the same over and over."""
    return count_loops(split_words(normalize_text(text, language), language)) > 0


def _measure_shifts(expected: Sequence[Phrase], found: Sequence[Phrase]) -> list[float]:
    """How far apart, in seconds, the known starts and ends of phrases with the same words are."""
    texts = [[phrase.text.strip() for phrase in phrases] for phrases in (expected, found)]
    shifts: list[float] = []
    for first, second, size in SequenceMatcher(a=texts[0], b=texts[1], autojunk=False).get_matching_blocks():
        for one, other in zip(expected[first : first + size], found[second : second + size], strict=True):
            shifts += [abs(one.start - other.start)] + [abs(one.end - other.end)] * (not isnan(one.end))
    return shifts
