"""Do the words belong to the audio? The base model itself is asked, before it is trained.

It reads each window's captions, times included, as it will in training (teacher forced, one pass). How
probable it finds the words depends on how usual they are, so the same words are read once more over
silence: the share of their surprise that the audio takes away is about 0 for the words of other audio and
near 1 for the right ones, whatever the language, the style and the length.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from datasets import Dataset
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import WhisperForConditionalGeneration, WhisperProcessor
from transformers.modeling_outputs import BaseModelOutput

from recipe.data.label_doubts import WindowFit
from recipe.data.mel import log_mel
from recipe.evaluation.precision import autocast
from recipe.evaluation.transcription import Listener, spoken_words
from recipe.training.features import IGNORED, LabelEncoder, load_captions

MIN_SURPRISE = 1.0
"""Nats a token at least: of words that silence suggests too ("Thank you."), audio can tell little."""


def score_windows(
    listener: Listener,
    examples: Dataset,
    *,
    num_workers: int = 0,
    on_batch: Callable[[int], object] = lambda _: None,
) -> list[WindowFit]:
    """How well words and audio fit in each example that has words, in order; every process gets all.

    Args:
        listener: The base model and how it is used.
        examples: Windows, as `recipe.data.dataset` makes them.
        num_workers: Processes that make features.
        on_batch: Called with the number of windows that this process has just scored.
    """
    model, processor, decoding = listener.model, listener.processor, listener.decoding
    encoder = LabelEncoder(processor.tokenizer, decoding.task)
    place = itemgetter("recording", "start_ms", "end_ms", "language")
    captions = [(*place(example), spoken_words(example)) for example in examples.remove_columns("audio")]
    spoken = [index for index, (*_, words) in enumerate(captions) if words]
    state = PartialState()
    mine = spoken[state.process_index :: state.num_processes]
    batches = [
        mine[first : first + decoding.batch_size] for first in range(0, len(mine), decoding.batch_size)
    ]
    loader = load_captions(examples, batches, processor.feature_extractor, encoder, num_workers)
    figures: list[tuple[float, float]] = []
    was_training = model.training
    model.eval()
    silence = _encode_silence(model, processor)
    for batch in loader:
        figures += _score_batch(model, batch, silence, encoder)
        on_batch(len(batch["labels"]))
    model.train(was_training)
    by_index = dict(gather_object(list(zip(mine, figures, strict=True))))
    return [WindowFit(index, *captions[index], *by_index[index]) for index in spoken]


@torch.inference_mode()
def _encode_silence(model: WhisperForConditionalGeneration, processor: WhisperProcessor) -> Tensor:
    """The encoder's states of 30 s without a sound, shape (1, 1500, d_model)."""
    features = torch.from_numpy(log_mel(processor.feature_extractor, np.zeros(1, np.float32)))
    with autocast(model.device):
        states: Tensor = model.get_encoder()(features[None].to(model.device)).last_hidden_state
    return states


@torch.inference_mode()
def _score_batch(
    model: WhisperForConditionalGeneration, batch: dict[str, Tensor], silence: Tensor, encoder: LabelEncoder
) -> Sequence[tuple[float, float]]:
    """`fit` and `timing` of each window of a batch."""
    batch = {name: tensor.to(model.device) for name, tensor in batch.items()}
    labels = batch["labels"]
    with autocast(model.device):
        heard: Tensor = model.get_encoder()(batch["input_features"]).last_hidden_state
    surprise = _surprise(model, heard, batch["decoder_input_ids"], labels)
    surprise_in_silence = _surprise(
        model, silence.expand(len(labels), -1, -1), batch["decoder_input_ids"], labels
    )
    is_word = (labels >= 0) & (labels < encoder.end_of_text)
    is_time = labels >= encoder.first_timestamp
    num_words, num_times = is_word.sum(1), is_time.sum(1)
    least = MIN_SURPRISE * num_words
    fit = 1 - (surprise * is_word).sum(1) / torch.maximum((surprise_in_silence * is_word).sum(1), least)
    timing = -(surprise * is_time).sum(1) / num_times
    return list(zip(fit.tolist(), timing.tolist(), strict=True))


def _surprise(
    model: WhisperForConditionalGeneration, states: Tensor, decoder_input_ids: Tensor, labels: Tensor
) -> Tensor:
    """Negative log-probability of each label over encoded audio, in nats, float32, shape (B, T)."""
    with autocast(model.device):
        logits = model(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            decoder_input_ids=decoder_input_ids,
            use_cache=False,
        ).logits
    return cross_entropy(logits.float().transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
