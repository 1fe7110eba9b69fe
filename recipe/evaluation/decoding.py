"""Greedy decoding of windows with timestamps: passes over a window, and an engine that runs each pass.

A pass may stop before the end of its window: the model wrote that a phrase begins which it cannot finish,
or it ran out of tokens. As in any long-form decoder (openai/whisper, `generate`) the window is then
transcribed again from the last time that the model wrote (whisper-base on 70 French windows: 23.9 % WER with
one pass each, 20.9 % this way). A pass that only repeats itself is cut.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import (
    LogitsProcessorList,
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
    WhisperForConditionalGeneration,
    WhisperTimeStampLogitsProcessor,
)
from transformers.modeling_outputs import BaseModelOutput

from recipe.model.inference import encode

MAX_NEW_TOKENS = 224
"""Longest transcript of a pass, as in openai/whisper: half the decoder."""

MAX_PASSES = 10
"""Passes over a window: a model that went wrong may advance by 20 ms each time, or not at all."""

NUM_FRAMES = 3000
"""Frames of a window: 30 s at 10 ms."""

FRAMES_PER_TIMESTAMP = 2
"""Timestamps are 20 ms apart."""

MIN_REPEATS = 6
MIN_LOOP_TOKENS = 48
"""A runaway: the same tokens at least six times in a row, over at least 48 tokens without a timestamp."""


class Engine(Protocol):
    """Runs a model's encoder and greedy decoder on a batch."""

    def write(
        self, features: Tensor, prompts: Sequence[Sequence[int]], states: Tensor | None = None
    ) -> list[list[int]]:
        """The tokens that follow each prompt, timestamps among them, without the end of text.

        Args:
            features: Log-mel of the windows, float32, shape (B, M, `NUM_FRAMES`).
            prompts: Tokens to begin with, all of one length.
            states: What the model's encoder makes of the features, where that is known already.
        """
        ...


def decode_windows(
    engine: Engine,
    features: Tensor,
    prompts: Sequence[Sequence[int]],
    first_timestamp: int,
    states: Tensor | None = None,
) -> list[list[int]]:
    """The tokens of all passes over each window; all times count from its start.

    Args:
        engine: Runs the model.
        features: As in `Engine.write`.
        prompts: As in `Engine.write`.
        first_timestamp: Token of 0.00 s; the later times follow it.
        states: As in `Engine.write`, for the first pass.
    """
    decoded: list[list[int]] = [[] for _ in prompts]
    starts = dict.fromkeys(range(len(prompts)), 0)  # frame from which a window is still to be decoded
    for _ in range(MAX_PASSES):
        if not starts:
            break
        rest = [features[row, :, start:] for row, start in starts.items()]
        batch = [pad(part, (0, NUM_FRAMES - part.shape[1])) for part in rest]
        passes = engine.write(torch.stack(batch), [prompts[row] for row in starts], states)
        states = None
        for row, tokens in zip(list(starts), passes, strict=True):
            kept, num_frames = take_finished(cut_loop(tokens, first_timestamp), first_timestamp)
            decoded[row] += _shift_times(kept, starts[row], first_timestamp)
            starts[row] += num_frames
            if starts[row] >= NUM_FRAMES:
                del starts[row]
    return decoded


def _shift_times(tokens: list[int], num_frames: int, first_timestamp: int) -> list[int]:
    """The tokens of a pass that began so many frames after the window; no time is after the window's end."""
    shift, last = num_frames // FRAMES_PER_TIMESTAMP, first_timestamp + NUM_FRAMES // FRAMES_PER_TIMESTAMP
    return [token if token < first_timestamp else min(token + shift, last) for token in tokens]


def take_finished(tokens: list[int], first_timestamp: int) -> tuple[list[int], int]:
    """Tokens of the finished phrases of a pass, and the frames that they cover: `NUM_FRAMES` if all are."""
    is_time = [token >= first_timestamp for token in tokens]
    pairs = [i for i in range(1, len(tokens)) if is_time[i - 1] and is_time[i]]
    if not pairs or is_time[-2:] == [False, True]:
        return tokens, NUM_FRAMES
    return tokens[: pairs[-1] + 1], (tokens[pairs[-1] - 1] - first_timestamp) * FRAMES_PER_TIMESTAMP


def is_looping(tokens: Sequence[int], first_timestamp: int) -> bool:
    """Whether the end of a transcript is a runaway repetition."""
    num_plain = next((i for i, token in enumerate(reversed(tokens)) if token >= first_timestamp), len(tokens))
    return any(
        tokens[-length:-period] == tokens[-length + period :]
        for period in range(1, num_plain // MIN_REPEATS + 1)
        if (length := max(MIN_LOOP_TOKENS, MIN_REPEATS * period)) <= num_plain
    )


def cut_loop(tokens: list[int], first_timestamp: int) -> list[int]:
    """The tokens up to where a runaway repetition shows; all of them if none does."""
    lengths = range(MIN_LOOP_TOKENS, len(tokens))
    return next((tokens[:n] for n in lengths if is_looping(tokens[:n], first_timestamp)), tokens)


class TransformersEngine:
    """Decodes with the model itself, whatever weights it has now: greedy, the tokens of `generate`.

    `generate` goes on with every row of a batch until the last one has ended. Here a row leaves the batch as
    soon as it ends or only repeats itself, so that what is left gets cheaper and a runaway holds nobody up.

    Args:
        model: On its device, in evaluation mode.
    """

    def __init__(self, model: WhisperForConditionalGeneration) -> None:
        config: Any = model.generation_config  # Whisper's fields are not in its type
        self._model = model
        self._config = config
        self._end_of_text: int = config.eos_token_id
        self._first_timestamp: int = config.no_timestamps_token_id + 1

    def write(
        self, features: Tensor, prompts: Sequence[Sequence[int]], states: Tensor | None = None
    ) -> list[list[int]]:
        """The tokens after each prompt, without the end of text; see `Engine`."""
        if states is None:
            states = encode(self._model, features)
        ids = torch.tensor(prompts, device=states.device)
        rules = self._rules(ids.shape[1], str(states.device))
        written: list[list[int]] = [[] for _ in prompts]
        rows = list(range(len(prompts)))  # of the batch, those that are still being written
        cache = None
        while rows:
            output = self._model(
                encoder_outputs=BaseModelOutput(last_hidden_state=states),
                decoder_input_ids=ids if cache is None else ids[:, -1:],
                past_key_values=cache,
                use_cache=True,
            )
            cache = output.past_key_values
            scores = rules(ids, output.logits[:, -1].float())  # type: ignore[arg-type]  # wants LongTensor
            next_ids = scores.argmax(-1)
            ids = torch.cat([ids, next_ids[:, None]], dim=1)
            for row, token in zip(rows, next_ids.tolist(), strict=True):
                written[row].append(token)
            kept = [place for place, row in enumerate(rows) if not self._has_ended(written[row])]
            if len(kept) < len(rows):
                rows = [rows[place] for place in kept]
                places = torch.tensor(kept, dtype=torch.long, device=states.device)
                ids, states = ids[places], states[places]
                cache.batch_select_indices(places)
        return [tokens[:-1] if tokens[-1] == self._end_of_text else tokens for tokens in written]

    def _has_ended(self, tokens: Sequence[int]) -> bool:
        return (
            tokens[-1] == self._end_of_text
            or len(tokens) == MAX_NEW_TOKENS
            or is_looping(tokens, self._first_timestamp)
        )

    def _rules(self, num_prompt: int, device: str) -> LogitsProcessorList:
        """What may be written next, in the order in which `generate` asks."""
        config = self._config
        rules = LogitsProcessorList()
        if config.begin_suppress_tokens:
            first = SuppressTokensAtBeginLogitsProcessor(config.begin_suppress_tokens, num_prompt, device)
            rules.append(first)
        if config.suppress_tokens:
            rules.append(SuppressTokensLogitsProcessor(config.suppress_tokens, device))
        rules.append(WhisperTimeStampLogitsProcessor(config, begin_index=num_prompt))
        return rules
