"""How well the words of a window fit its audio, by the base model.

It reads each window's captions, times included, as it will in training (teacher forced, one pass). How
probable it finds the words depends on how usual they are, so the same words are read once more over
silence: the fraction of their negative log-likelihood (NLL) that the audio takes away is about 0 for the
words of other audio and near 1 for the right ones, whatever the language, the style and the length.
"""

import base64
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from pydantic import PlainSerializer, PlainValidator
from torch import Tensor
from transformers import WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from recipe.audio.mel import log_mel
from recipe.data.shards import texts_of
from recipe.model.inference import autocast, label_nll, map_batches, move_batch, split_into_batches
from recipe.model.inputs import load_captions
from recipe.model.whisper import Whisper

MIN_NLL = 1.0
"""Nats a token at least: of words that silence suggests too ("Thank you."), audio can tell little."""


FLOAT32 = np.dtype("<f4")


def _pack(column: NDArray[np.float32]) -> str:
    return base64.b64encode(column.astype(FLOAT32).tobytes()).decode()


def _unpack(packed: object) -> NDArray[np.float32]:
    if isinstance(packed, np.ndarray):
        return packed
    return np.frombuffer(base64.b64decode(str(packed), validate=True), FLOAT32)


Column = Annotated[NDArray[np.float32], PlainValidator(_unpack), PlainSerializer(_pack)]
"""A number for each example, float32, shape (num_examples,); in JSON the base64 of its bytes."""


@dataclass(frozen=True)
class LabelFits:
    """How well words and audio fit in each of some examples: 8 bytes each, which a run keeps and hands round.

    Attributes:
        fit: As in `LabelScore`; NaN where there are no words.
        timing: Likewise.
    """

    fit: Column
    timing: Column


@dataclass(frozen=True, slots=True)
class LabelScore:
    """How well the words of a window fit its audio.

    Attributes:
        index: Place among the examples.
        recording: Where it comes from.
        start_ms: Start in the recording.
        end_ms: End in the recording.
        language: Code of the language spoken.
        fit: Fraction of the words' NLL that the audio takes away: about 0 for the words of other audio, 1 if
            the audio tells them all.
        timing: Mean log-probability of the captions' times, in nats; never above 0.
    """

    index: int
    recording: str
    start_ms: int
    end_ms: int
    language: str
    fit: float
    timing: float


def list_scores(examples: Dataset, fits: LabelFits) -> list[LabelScore]:
    """The scores of each example that has words, in order; no audio is read."""
    columns = examples.select_columns(["recording", "start_ms", "end_ms", "language"])[:]
    places = zip(*columns.values(), fits.fit.tolist(), fits.timing.tolist(), strict=True)
    return [
        LabelScore(index, sys.intern(recording), start_ms, end_ms, sys.intern(language), fit, timing)
        for index, (recording, start_ms, end_ms, language, fit, timing) in enumerate(places)
        if not math.isnan(fit)
    ]


def score_labels(
    whisper: Whisper,
    examples: Dataset,
    batch_size: int,
    *,
    num_workers: int = 0,
    on_batch: Callable[[int], object] = lambda _: None,
) -> LabelFits:
    """How well words and audio fit in each example; every process gets all.

    Args:
        whisper: The base model, on its device.
        examples: Windows, as `recipe.data.shards` makes them.
        batch_size: Windows at once.
        num_workers: Processes that make features.
        on_batch: Called with the number of windows that this process has just scored.
    """
    spoken = [index for index, text in enumerate(texts_of(examples)) if text]
    load = partial(load_captions, whisper, examples, num_workers)
    score = partial(_score_batch, whisper, _encode_silence(whisper))
    scores = map_batches(whisper.model, split_into_batches(spoken, batch_size), load, score, on_batch)
    fits = np.full((len(examples), 2), np.nan, np.float32)
    fits[spoken] = np.concatenate([np.empty((0, 2), np.float32), *scores])
    return LabelFits(*fits.T)


@torch.inference_mode()
def _encode_silence(whisper: Whisper) -> Tensor:
    """The encoder's states of 30 s without a sound, shape (1, 1500, d_model)."""
    model = whisper.model
    features = torch.from_numpy(log_mel(whisper.processor.feature_extractor, np.zeros(1, np.float32)))
    with autocast(model.device):
        states: Tensor = model.get_encoder()(features[None].to(model.device)).last_hidden_state
    return states


def _score_batch(whisper: Whisper, silence: Tensor, batch: dict[str, Tensor]) -> NDArray[np.float32]:
    """`fit` and `timing` of each window of a batch, shape (B, 2)."""
    batch = move_batch(batch, whisper.model)
    labels = batch["labels"]
    states: Tensor = whisper.model.get_encoder()(batch["input_features"]).last_hidden_state
    nll = _nll_over(whisper.model, states, batch)
    nll_over_silence = _nll_over(whisper.model, silence.expand(len(labels), -1, -1), batch)
    is_word = (labels >= 0) & (labels < whisper.processor.tokenizer.eos_token_id)
    is_time = labels >= whisper.first_timestamp
    num_words, num_times = is_word.sum(1), is_time.sum(1)
    least = MIN_NLL * num_words
    fit = 1 - (nll * is_word).sum(1) / torch.maximum((nll_over_silence * is_word).sum(1), least)
    timing = -(nll * is_time).sum(1) / num_times
    return torch.stack([fit, timing], dim=1).float().cpu().numpy()


def _nll_over(model: WhisperForConditionalGeneration, states: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """NLL of each label over encoded audio, in nats, float32, shape (B, T)."""
    logits = model(
        encoder_outputs=BaseModelOutput(last_hidden_state=states),
        decoder_input_ids=batch["decoder_input_ids"],
        use_cache=False,
    ).logits
    return label_nll(logits, batch["labels"], reduction="none")
