"""The words of a batch of windows by transformers: greedy, the tokens of `generate` without its waste.

`generate` goes on with every row of a batch until the last one has ended. Here a row leaves the batch as
soon as it ends or only repeats itself, so that what is left gets cheaper and a runaway holds nobody up.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
    WhisperForConditionalGeneration,
    WhisperTimeStampLogitsProcessor,
)
from transformers.modeling_outputs import BaseModelOutput

from recipe.evaluation.passes import MAX_NEW_TOKENS, is_looping


class TransformersEngine:
    """Hears with the model itself, whatever weights it has now.

    Args:
        model: On its device, in evaluation mode.
    """

    def __init__(self, model: WhisperForConditionalGeneration) -> None:
        config: Any = model.generation_config  # Whisper's fields are not in its type
        self._model = model
        self._config = config
        self._end_of_text: int = config.eos_token_id
        self._first_timestamp: int = config.no_timestamps_token_id + 1

    def write(self, features: Tensor, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        """The tokens after each prompt, without the end of text; see `recipe.evaluation.passes.Engine`."""
        states = self._model.get_encoder()(features.to(self._model.device)).last_hidden_state
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
