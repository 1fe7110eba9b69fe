"""The runtimes that a model is exported for, and the released model itself, which they are compared with.

Each transcribes a window of 30 s greedily, with timestamps, in as many passes as it takes: what two of them
write then differs only by their weights and arithmetic. The packages of the
last two are optional.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from math import nan
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import pad

from recipe.arguments import ModelArguments
from recipe.audio.mel import log_mel
from recipe.audio.resampling import SAMPLE_RATE
from recipe.evaluation.decoding import MAX_PASSES, NUM_FRAMES, TransformersEngine, cut_loop, take_finished
from recipe.model.labels import LabelEncoder
from recipe.model.whisper import Whisper, load_whisper

NUM_SAMPLES = 30 * SAMPLE_RATE
"""Of a window with the silence after it. Left to themselves, some runtimes pad features instead, with zeros
that are no silence."""

SECONDS_PER_TIMESTAMP = 0.02
SECONDS_PER_FRAME = 0.01


class Phrase(NamedTuple):
    """What stands between two timestamps: its text, and its start and end in seconds in the window."""

    text: str
    start: float
    end: float


Transcribe = Callable[[NDArray[np.float32], str], list[Phrase]]
"""From `NUM_SAMPLES` (mono float32 at 16 kHz) and the code of the language to the phrases."""


@dataclass(frozen=True)
class Runtime:
    """What reads a format.

    Attributes:
        package: Its name for pip.
        module: Its name for Python.
        load: From a path and a task ("transcribe" or "translate") to what transcribes.
    """

    package: str
    module: str
    load: Callable[[Path, str], Transcribe]

    @property
    def is_installed(self) -> bool:
        """Whether the package is there."""
        return find_spec(self.module) is not None


def _load_transformers(path: Path, task: str) -> Transcribe:
    whisper = load_whisper(ModelArguments(str(path)))
    engine = TransformersEngine(whisper.model)
    encoder = LabelEncoder(whisper.processor.tokenizer, whisper.task and task)
    first = whisper.first_timestamp

    @torch.inference_mode()
    def transcribe(samples: NDArray[np.float32], language: str) -> list[Phrase]:
        features = torch.from_numpy(log_mel(whisper.processor.feature_extractor, samples))[None]
        phrases: list[Phrase] = []
        start = 0
        for _ in range(MAX_PASSES):
            rest = pad(features[..., start:], (0, start))
            (tokens,) = engine.write(rest, [encoder.start_tokens(language)])
            tokens, num_frames = take_finished(cut_loop(tokens, first), first)
            phrases += _split_phrases(tokens, whisper, start * SECONDS_PER_FRAME)
            start += num_frames
            if start >= NUM_FRAMES:
                break
        return phrases

    return transcribe


def _split_phrases(tokens: Sequence[int], whisper: Whisper, offset: float) -> Iterator[Phrase]:
    """The phrases of a pass that begins at `offset` seconds; the end of one that has none is unknown, NaN."""
    start, text = offset, list[int]()
    for token in [*tokens, None]:
        if token is not None and token < whisper.first_timestamp:
            text.append(token)
            continue
        time = nan if token is None else offset + (token - whisper.first_timestamp) * SECONDS_PER_TIMESTAMP
        if text:
            yield Phrase(whisper.processor.tokenizer.decode(text, skip_special_tokens=True), start, time)
        start, text = time, []


def _load_faster_whisper(path: Path, task: str) -> Transcribe:
    from faster_whisper import WhisperModel  # noqa: PLC0415 - it loads slowly

    model = WhisperModel(str(path), device="cpu", cpu_threads=count_threads())

    def transcribe(samples: NDArray[np.float32], language: str) -> list[Phrase]:
        segments, _ = model.transcribe(
            samples,
            language=language,
            task=task,
            beam_size=1,
            temperature=0.0,
            compression_ratio_threshold=None,
            log_prob_threshold=None,
            no_speech_threshold=None,
            condition_on_previous_text=False,
        )
        return [Phrase(segment.text, segment.start, segment.end) for segment in segments]

    return transcribe


def _load_whisper_cpp(path: Path, task: str) -> Transcribe:
    from pywhispercpp.model import Model  # noqa: PLC0415 - optional

    model = Model(str(path), redirect_whispercpp_logs_to=None, print_progress=False)

    def transcribe(samples: NDArray[np.float32], language: str) -> list[Phrase]:
        segments = model.transcribe(
            samples,
            n_threads=count_threads(),
            language=language,
            translate=task == "translate",
            greedy={"best_of": 1},
            n_max_text_ctx=0,  # else the text of a pass is the prompt of the next
            temperature_inc=0.2,  # its own way out of a loop; the released model's loops are cut
            no_speech_thold=1.0,
            suppress_nst=True,
        )
        return [Phrase(f" {segment.text}", segment.t0 / 100, segment.t1 / 100) for segment in segments]

    return transcribe


def _load_openai_whisper(path: Path, task: str) -> Transcribe:
    import whisper  # noqa: PLC0415 - optional

    model = whisper.load_model(str(path), device="cpu")

    def transcribe(samples: NDArray[np.float32], language: str) -> list[Phrase]:
        result = model.transcribe(
            samples,
            language=language,
            task=task,
            temperature=0.0,
            compression_ratio_threshold=None,
            logprob_threshold=None,
            no_speech_threshold=None,
            condition_on_previous_text=False,
            fp16=False,
        )
        return [Phrase(segment["text"], segment["start"], segment["end"]) for segment in result["segments"]]

    return transcribe


def count_threads() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


RUNTIMES = {
    "transformers": Runtime("transformers", "transformers", _load_transformers),
    "faster-whisper": Runtime("faster-whisper", "faster_whisper", _load_faster_whisper),
    "whisper.cpp": Runtime("pywhispercpp", "pywhispercpp", _load_whisper_cpp),
    "openai-whisper": Runtime("openai-whisper", "whisper", _load_openai_whisper),
}
