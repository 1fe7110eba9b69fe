"""What a model writes when it hears windows: greedy, the same on any number of processes.

Timestamps are decoded too, and left out of the text, as every long-form decoder does: without them an
untrained model tends to stop after the first sentences of a full window, and training would seem to gain
more than it does (whisper-base on two French recordings: 46 to 57 % without, 22 to 24 % with them).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from datasets import Dataset
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from recipe.data.audio import decode_flac
from recipe.data.mel import log_mel
from recipe.data.timeline import SAMPLES_PER_MS
from recipe.data.windows import Segment, end_of_words
from recipe.evaluation.ctranslate import Ctranslate2Engine, check_ctranslate2
from recipe.evaluation.greedy import TransformersEngine
from recipe.evaluation.passes import Engine, hear_windows
from recipe.evaluation.precision import autocast


@dataclass(frozen=True)
class Decoding:
    """How windows are transcribed.

    Attributes:
        task: "transcribe" or "translate"; None for an English-only checkpoint, which is told no language.
        batch_size: Windows at once; part of the exact result, since batches differ in rounding.
        engine: "transformers" or "ctranslate2"; part of the exact result too.
    """

    task: str | None = "transcribe"
    batch_size: int = 8
    engine: str = "transformers"


@dataclass(frozen=True)
class Listener:
    """Whoever hears windows and writes down their words.

    Attributes:
        model: On its device; whatever weights it has now.
        processor: The model's.
        decoding: How it is told to transcribe.
    """

    model: WhisperForConditionalGeneration
    processor: WhisperProcessor
    decoding: Decoding


def transcribe_examples(
    listener: Listener, examples: Dataset, on_batch: Callable[[int], object] = lambda _: None
) -> list[str]:
    """What is heard in each example, in order; every process gets the whole list.

    Args:
        listener: The model and how it is used.
        examples: Windows, as `recipe.data.dataset` makes them.
        on_batch: Called with the number of windows that this process has just transcribed.
    """
    state = PartialState()
    model = listener.model
    batches = _sort_into_batches(examples, listener.decoding.batch_size)
    texts: list[tuple[int, str]] = []
    was_training = model.training
    model.eval()
    engine = _start_engine(listener)
    for indices in batches[state.process_index :: state.num_processes]:
        heard = _transcribe_batch(listener, engine, [examples[index] for index in indices])
        texts += zip(indices, heard, strict=True)
        on_batch(len(indices))
    model.train(was_training)
    by_index = dict(gather_object(texts))
    return [by_index[index] for index in range(len(examples))]


def spoken_words(example: Mapping[str, Any]) -> str:
    """The reference text of an example: the words of the cues that end inside it."""
    return " ".join(segment["text"] for segment in example["segments"] if segment["end_ms"] is not None)


def _sort_into_batches(examples: Dataset, batch_size: int) -> list[list[int]]:
    """Windows with about as many words together, most first, so that processes and rows end together.

    The order is that of the windows themselves, not that of the dataset or of the processes: a window is
    always heard beside the same others, which decide its rounding.
    """

    def key(index: int) -> tuple[int, str, int]:
        example = rows[index]
        return -len(spoken_words(example)), example["recording"], example["start_ms"]

    rows = list(examples.remove_columns("audio"))
    order = sorted(range(len(rows)), key=key)
    return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]


def _start_engine(listener: Listener) -> Engine:
    if listener.decoding.engine == "ctranslate2":
        check_ctranslate2()
        return Ctranslate2Engine(listener.model, listener.processor)
    return TransformersEngine(listener.model)


def _transcribe_batch(listener: Listener, engine: Engine, examples: Sequence[Mapping[str, Any]]) -> list[str]:
    model, processor = listener.model, listener.processor
    features = np.stack([_features_of(processor, example) for example in examples])
    prompts = [_prompt(model, listener.decoding.task, example["language"]) for example in examples]
    config: Any = model.generation_config  # Whisper's fields are not in its type
    with torch.inference_mode(), autocast(model.device):
        ids = hear_windows(engine, torch.from_numpy(features), prompts, config.no_timestamps_token_id + 1)
    texts: list[str] = processor.batch_decode(ids, skip_special_tokens=True)
    return [text.strip() for text in texts]


def _prompt(model: WhisperForConditionalGeneration, task: str | None, language: str) -> list[int]:
    """The tokens that a transcript begins with: that it begins, and for a multilingual model what it is."""
    config: Any = model.generation_config
    start: list[int] = [config.decoder_start_token_id]
    if task is None:
        return start
    return [*start, config.lang_to_id[f"<|{language}|>"], config.task_to_id[task]]


def _features_of(processor: WhisperProcessor, example: Mapping[str, Any]) -> Any:
    segments = [Segment(**segment) for segment in example["segments"]]
    end_ms = end_of_words(segments, example["end_ms"] - example["start_ms"])
    samples = decode_flac(example["audio"]["bytes"])
    return log_mel(processor.feature_extractor, samples[: end_ms * SAMPLES_PER_MS])
