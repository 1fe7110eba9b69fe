"""What a model writes of windows: greedy, the same on any number of processes.

Timestamps are decoded too, and left out of the text, as every long-form decoder does: without them an
untrained model tends to stop after the first sentences of a full window, and training would seem to gain
more than it does (whisper-base on two French recordings: 46 to 57 % without, 22 to 24 % with them).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray

from recipe.audio.decoding import decode_flac
from recipe.audio.mel import log_mel
from recipe.audio.resampling import SAMPLES_PER_MS
from recipe.data.windows import TIMESTAMP_MS, WINDOW_MS, end_of_words, segments_of, text_of
from recipe.evaluation.ctranslate import Ctranslate2Engine
from recipe.evaluation.decoding import Engine, TransformersEngine, decode_windows
from recipe.evaluation.long_form_scores import Decoded
from recipe.model.inference import map_batches, split_into_batches
from recipe.model.inputs import LabelEncoder
from recipe.model.whisper import Whisper


@dataclass(frozen=True)
class Decoding:
    """How windows are transcribed.

    Attributes:
        batch_size: Windows at once; part of the exact result, since batches differ in rounding.
        engine: "transformers" or "ctranslate2"; part of the exact result too.
    """

    batch_size: int = 8
    engine: str = "transformers"


def transcribe_examples(
    whisper: Whisper,
    examples: Dataset,
    decoding: Decoding,
    on_batch: Callable[[int], object] = lambda _: None,
) -> list[str]:
    """The transcript of each example, in order; every process gets the whole list.

    Args:
        whisper: The model, on its device.
        examples: Windows, as `recipe.data.shards` makes them.
        decoding: How they are transcribed.
        on_batch: Called with the number of windows just transcribed.
    """
    tokens = _decode_examples(whisper, examples, decoding, on_batch)
    texts: list[str] = whisper.processor.batch_decode(tokens, skip_special_tokens=True)
    return [text.strip() for text in texts]


def transcribe_segments(
    whisper: Whisper,
    examples: Dataset,
    decoding: Decoding,
    on_batch: Callable[[int], object] = lambda _: None,
) -> list[list[Decoded]]:
    """The segments that the model writes of each example, with times in its recording.

    For the arguments see `transcribe_examples`.
    """
    tokens = _decode_examples(whisper, examples, decoding, on_batch)
    starts_ms = examples["start_ms"]
    return [list(_read_segments(whisper, *window)) for window in zip(tokens, starts_ms, strict=True)]


def _read_segments(whisper: Whisper, tokens: Sequence[int], start_ms: int) -> Iterator[Decoded]:
    """What is written between two times; without the second one it goes on to the window's end."""
    begins_ms, text = 0, list[int]()
    for token in [*tokens, whisper.first_timestamp + WINDOW_MS // TIMESTAMP_MS]:
        if token < whisper.first_timestamp:
            text.append(token)
            continue
        time_ms = (token - whisper.first_timestamp) * TIMESTAMP_MS
        if words := whisper.processor.decode(text, skip_special_tokens=True).strip():
            yield Decoded(start_ms + begins_ms, start_ms + time_ms, words)
        begins_ms, text = time_ms, []


def _decode_examples(
    whisper: Whisper, examples: Dataset, decoding: Decoding, on_batch: Callable[[int], object]
) -> list[list[int]]:
    """The tokens that the model writes of each example; see `transcribe_examples`."""
    batches = _sort_into_batches(examples, decoding.batch_size)
    engine = _start_engine(whisper, decoding)
    encoder = LabelEncoder(whisper.processor.tokenizer, whisper.task)

    def load(mine: Sequence[Sequence[int]]) -> Any:
        return ([examples[index] for index in batch] for batch in mine)

    def decode(batch: Sequence[Mapping[str, Any]]) -> list[list[int]]:
        features = np.stack([_features_of(whisper, example) for example in batch])
        starts = [encoder.start_tokens(example["language"]) for example in batch]
        return decode_windows(engine, torch.from_numpy(features), starts, whisper.first_timestamp)

    tokens = map_batches(whisper.model, batches, load, decode, on_batch)
    by_index = dict(zip(chain(*batches), chain(*tokens), strict=True))
    return [by_index[index] for index in range(len(examples))]


def _sort_into_batches(examples: Dataset, batch_size: int) -> list[Sequence[int]]:
    """Windows with about as many words together, most first, so that processes and rows end together.

    The order is that of the windows themselves, not that of the dataset or of the processes: a window is
    always transcribed beside the same others, which decide its rounding.
    """

    def key(index: int) -> tuple[int, str, int]:
        example = rows[index]
        return -len(text_of(segments_of(example))), example["recording"], example["start_ms"]

    rows = list(examples.remove_columns("audio"))
    return split_into_batches(sorted(range(len(rows)), key=key), batch_size)


def _start_engine(whisper: Whisper, decoding: Decoding) -> Engine:
    if decoding.engine == "ctranslate2":
        return Ctranslate2Engine(whisper.model, whisper.processor)
    return TransformersEngine(whisper.model)


def _features_of(whisper: Whisper, example: Mapping[str, Any]) -> NDArray[np.float32]:
    """Log-mel of the window up to where its words end, float32, shape (M, 3000)."""
    end_ms = end_of_words(segments_of(example), example["end_ms"] - example["start_ms"])
    samples = decode_flac(example["audio"]["bytes"])
    return log_mel(whisper.processor.feature_extractor, samples[: end_ms * SAMPLES_PER_MS])
