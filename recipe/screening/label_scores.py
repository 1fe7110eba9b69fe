"""How well the words of a window fit its audio, by the base model.

It reads each window's captions, times included, as it will in training (teacher forced, one pass). How
probable it finds the words depends on how usual they are, so the same words are read once more over
silence: the fraction of their negative log-likelihood (NLL) that the audio takes away is about 0 for the
words of other audio and near 1 for the right ones, whatever the language, the style and the length.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from transformers import WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from recipe.audio.mel import log_mel
from recipe.data.windows import segments_of, text_of
from recipe.model.inference import autocast, label_nll, map_batches, move_batch, split_into_batches
from recipe.model.inputs import load_captions
from recipe.model.whisper import Whisper

MIN_NLL = 1.0
"""Nats a token at least: of words that silence suggests too ("Thank you."), audio can tell little."""


@dataclass(frozen=True)
class LabelScore:
    """How well the words of a window fit its audio.

    Attributes:
        index: Place among the examples.
        recording: Where it comes from.
        start_ms: Start in the recording.
        end_ms: End in the recording.
        language: Code of the language spoken.
        words: What its captions say; not empty.
        fit: Fraction of the words' NLL that the audio takes away: about 0 for the words of other audio, 1 if
            the audio tells them all.
        timing: Mean log-probability of the captions' times, in nats; never above 0.
    """

    index: int
    recording: str
    start_ms: int
    end_ms: int
    language: str
    words: str
    fit: float
    timing: float


def score_labels(
    whisper: Whisper,
    examples: Dataset,
    batch_size: int,
    *,
    num_workers: int = 0,
    on_batch: Callable[[int], object] = lambda _: None,
) -> list[LabelScore]:
    """The scores of each example that has words, in order; every process gets all.

    Args:
        whisper: The base model, on its device.
        examples: Windows, as `recipe.data.shards` makes them.
        batch_size: Windows at once.
        num_workers: Processes that make features.
        on_batch: Called with the number of windows that this process has just scored.
    """
    rows = list(examples.remove_columns("audio"))
    words = [text_of(segments_of(row)) for row in rows]
    spoken = [index for index, text in enumerate(words) if text]
    load = partial(load_captions, whisper, examples, num_workers)
    score = partial(_score_batch, whisper, _encode_silence(whisper))
    scores = map_batches(whisper.model, split_into_batches(spoken, batch_size), load, score, on_batch)
    return [
        LabelScore(index, *_place(rows[index]), words[index], fit, timing)
        for index, (fit, timing) in zip(spoken, chain(*scores), strict=True)
    ]


def _place(row: Mapping[str, Any]) -> tuple[str, int, int, str]:
    return row["recording"], row["start_ms"], row["end_ms"], row["language"]


@torch.inference_mode()
def _encode_silence(whisper: Whisper) -> Tensor:
    """The encoder's states of 30 s without a sound, shape (1, 1500, d_model)."""
    model = whisper.model
    features = torch.from_numpy(log_mel(whisper.processor.feature_extractor, np.zeros(1, np.float32)))
    with autocast(model.device):
        states: Tensor = model.get_encoder()(features[None].to(model.device)).last_hidden_state
    return states


def _score_batch(whisper: Whisper, silence: Tensor, batch: dict[str, Tensor]) -> list[tuple[float, float]]:
    """`fit` and `timing` of each window of a batch."""
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
    return list(zip(fit.tolist(), timing.tolist(), strict=True))


def _nll_over(model: WhisperForConditionalGeneration, states: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """NLL of each label over encoded audio, in nats, float32, shape (B, T)."""
    logits = model(
        encoder_outputs=BaseModelOutput(last_hidden_state=states),
        decoder_input_ids=batch["decoder_input_ids"],
        use_cache=False,
    ).logits
    return label_nll(logits, batch["labels"], reduction="none")
