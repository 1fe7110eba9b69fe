"""Which of the decoder's heads tell when words are spoken, and how far off the times by them are.

Runtimes read word times off the cross-attention of a few heads (`alignment_heads` in the generation config;
Radford et al. 2022, and openai/whisper's `timing.py`, whose rows are used here). Fine-tuning may move that
work to other heads. The known words of windows are given to the decoder, and the times of the first words of
cues are compared with the cues' own starts.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.whisper.generation_whisper import _dynamic_time_warping, _median_filter

from recipe.audio.decoding import decode_flac
from recipe.audio.mel import log_mel
from recipe.audio.resampling import SAMPLES_PER_MS
from recipe.data.sounds import read_flac
from recipe.data.windows import MAX_LABEL_TOKENS, end_of_words, segments_of
from recipe.evaluation.long_form_scores import describe_starts
from recipe.model.inference import device_of
from recipe.model.labels import LabelEncoder
from recipe.model.whisper import Whisper

MAX_WINDOWS = 16
"""Windows that times are measured on, and that heads are judged by: about a second each for a set."""

MIN_CUES = 2
"""Cues that a window must have: where its first one starts, it starts itself."""

FRAME_MS = 20
"""A step of the encoder."""

NEAR_MS = 200
"""Before and after a cue attention still counts as on it."""

SET_SIZES = (3, 6, 10, 15)
"""Numbers of heads that are tried."""

MAX_MISS_MS = 1_000
"""A miss counts as so much at most where sets are compared: how far off a lost word is says nothing."""

MIN_GAIN = 0.1
"""Fraction by which the mean miss of another set must be lower than that of the present one."""

MIN_STARTS = 40
"""Cue starts by which heads may be judged; fewer leave the present ones."""

Heads = list[list[int]]
"""Heads as (layer, head) in the decoder, as the generation config has them."""


@dataclass(frozen=True)
class CueTokens:
    """A window's cues for the decoder.

    Attributes:
        features: Log-mel, float32, shape (1, M, 3000).
        start: Tokens to begin with, before `<|notimestamps|>`.
        tokens: Text of each cue.
        spans_ms: Start and end of each cue in the window.
        duration_ms: Length of the sound.
    """

    features: Tensor
    start: list[int]
    tokens: list[list[int]]
    spans_ms: list[tuple[int, int]]
    duration_ms: int


class CueStart(NamedTuple):
    """The start of a cue, in ms in the window.

    Attributes:
        found_ms: By its first word.
        pause_ms: Where the cue before it ends.
        start_ms: By its own time.
    """

    found_ms: int
    pause_ms: int
    start_ms: int

    @property
    def error_ms(self) -> int:
        """From the cue's start to that of its first word."""
        return abs(self.found_ms - self.start_ms)

    @property
    def miss_ms(self) -> int:
        """The same, but nothing inside the pause before the cue: runtimes count it as part of the word."""
        return max(0, min(self.pause_ms, self.start_ms) - self.found_ms, self.found_ms - self.start_ms)


@dataclass(frozen=True)
class WordTimes:
    """Starts of cues by word times on test windows; the first cue of a window is left out.

    Attributes:
        before: By the base model and its heads.
        kept: By the trained model and the base model's heads.
        after: By the trained model and the heads that are published.
        heads: Those.
    """

    before: list[CueStart]
    kept: list[CueStart]
    after: list[CueStart]
    heads: Heads

    def as_dict(self) -> dict[str, Any]:
        """The figures, ready for JSON; empty where no window has cues enough."""
        if not self.before:
            return {}
        sides = {"before": self.before, "with_base_heads": self.kept, "after": self.after}
        figures = {name: _describe(starts) for name, starts in sides.items()}
        return {**figures, "alignment_heads": self.heads, "max_windows": MAX_WINDOWS}


def current_heads(whisper: Whisper) -> Heads:
    """The checkpoint's heads; if it has none, what runtimes then take: the upper half of the decoder."""
    config = whisper.model.config
    heads = getattr(whisper.generation_config, "alignment_heads", None) or (
        (layer, head)
        for layer in range(config.decoder_layers // 2, config.decoder_layers)
        for head in range(config.decoder_attention_heads)
    )
    return [list(head) for head in heads]


def _describe(starts: Sequence[CueStart]) -> dict[str, Any]:
    misses = np.array([start.miss_ms for start in starts])
    return {
        **describe_starts([start.error_ms for start in starts]),
        "miss_median_ms": float(np.median(misses)),
        "miss_p90_ms": float(np.quantile(misses, 0.9)),
        "misses_within_200_ms": float((misses <= NEAR_MS).mean()),
    }


def time_cues(whisper: Whisper, windows: Dataset, heads: Heads) -> list[CueStart]:
    """The starts of cues by the times of their first words.

    Args:
        whisper: The model, on its device.
        windows: Held-out ones; `MAX_WINDOWS` of them at most are taken.
        heads: By which words are timed.
    """
    with _attentive(whisper):
        return [
            start
            for cues in _choose_windows(whisper, windows)
            for start in _time_starts(cues, _pick(_attend(whisper, cues), heads))
        ]


def find_heads(whisper: Whisper, windows: Dataset) -> Heads:
    """The present heads, or others by which the cues of the windows are clearly better timed.

    Candidates are the heads whose attention rests most on the cue that is being written, so many of them as
    `SET_SIZES` says.

    Args:
        whisper: The model, on its device.
        windows: Those that weights are chosen by; `MAX_WINDOWS` of them at most are taken.
    """
    present = current_heads(whisper)
    chosen = list(_choose_windows(whisper, windows))
    if not chosen:
        return present
    with _attentive(whisper):
        shares = torch.stack([_share_on_cues(cues, _attend(whisper, cues)) for cues in chosen]).mean(0)
        ranked = [list(divmod(place, shares.shape[1])) for place in shares.flatten().argsort().tolist()[::-1]]
        sets = [present, *(sorted(ranked[:size]) for size in SET_SIZES if size <= len(ranked))]
        misses: list[list[int]] = [[] for _ in sets]
        for cues in chosen:
            attention = _attend(whisper, cues)
            for place, heads in enumerate(sets):
                misses[place] += [start.miss_ms for start in _time_starts(cues, _pick(attention, heads))]
    if len(misses[0]) < MIN_STARTS:
        return present
    means = [np.minimum(of_set, MAX_MISS_MS).mean() for of_set in misses]
    best = int(np.argmin(means))
    return sets[best] if means[best] <= (1 - MIN_GAIN) * means[0] else present


def _choose_windows(whisper: Whisper, windows: Dataset) -> Iterator[CueTokens]:
    """Windows with cues enough, spread evenly over all that have."""
    rows = windows.remove_columns("audio")
    fit = [row for row, example in enumerate(rows) if _count_cues(example) >= MIN_CUES]
    places = np.linspace(0, len(fit) - 1, min(len(fit), MAX_WINDOWS)).round().astype(int)
    encoder = LabelEncoder(whisper.processor.tokenizer, whisper.task)
    for place in places:
        example = windows[fit[place]]
        segments = [segment for segment in segments_of(example) if segment.end_ms is not None]
        duration_ms = end_of_words(segments_of(example), example["end_ms"] - example["start_ms"])
        samples = decode_flac(read_flac(example["audio"]))[: duration_ms * SAMPLES_PER_MS]
        tokenizer = whisper.processor.tokenizer
        tokens = [tokenizer.encode(f" {segment.text}", add_special_tokens=False) for segment in segments]
        start = encoder.start_tokens(example["language"])
        if len(start) + 1 + sum(map(len, tokens)) <= MAX_LABEL_TOKENS:
            features = torch.from_numpy(log_mel(whisper.processor.feature_extractor, samples))[None]
            spans_ms = [(segment.start_ms, segment.end_ms or 0) for segment in segments]
            yield CueTokens(features, start, tokens, spans_ms, duration_ms)


def _count_cues(example: Any) -> int:
    return sum(segment.end_ms is not None for segment in segments_of(example))


@contextmanager
def _attentive(whisper: Whisper) -> Iterator[None]:
    """The model with the one kind of attention that can be looked at."""
    model: Any = whisper.model
    kind, was_training = model.config._attn_implementation, model.training
    model.set_attn_implementation("eager")
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.set_attn_implementation(kind)
        model.train(was_training)


def _attend(whisper: Whisper, cues: CueTokens) -> list[Tensor]:
    """Each layer's cross-attention while the words are written, float32, shape (heads, tokens + 1, frames).

    A row belongs to the token that is written by it; the last one writes the end.
    """
    model, device = whisper.model, device_of(whisper.model)
    states = model.get_encoder()(cues.features.to(device, model.dtype)).last_hidden_state
    text = [token for cue in cues.tokens for token in cue]
    ids = [*cues.start, whisper.first_timestamp - 1, *text]
    output = model(
        encoder_outputs=BaseModelOutput(last_hidden_state=states),
        decoder_input_ids=torch.tensor([ids], device=device),
        output_attentions=True,
        use_cache=False,
    )
    num_frames = cues.duration_ms // FRAME_MS
    return [layer[0, :, len(cues.start) :, :num_frames].float() for layer in output.cross_attentions]


def _pick(attention: Sequence[Tensor], heads: Heads) -> Tensor:
    return torch.stack([attention[layer][head] for layer, head in heads])


def _share_on_cues(cues: CueTokens, attention: Sequence[Tensor]) -> Tensor:
    """The share of each head's attention that rests on the cue being written, shape (layers, heads)."""
    num_frames = attention[0].shape[-1]
    times_ms = torch.arange(num_frames) * FRAME_MS
    rows = []
    for tokens, (start_ms, end_ms) in zip(cues.tokens, cues.spans_ms, strict=True):
        is_near = (times_ms >= start_ms - NEAR_MS) & (times_ms < end_ms + NEAR_MS)
        rows += [is_near] * len(tokens)
    mask = torch.stack(rows).to(attention[0].device)
    return torch.stack([(layer[:, :-1] * mask).sum(-1).mean(-1) for layer in attention]).cpu()


def _time_starts(cues: CueTokens, attention: Tensor) -> list[CueStart]:
    """The start of each cue but the first, by heads of shape (heads, tokens + 1, frames)."""
    deviation, mean = torch.std_mean(attention, dim=-2, keepdim=True, unbiased=False)
    smooth = _median_filter(((attention - mean) / deviation)[None], 7)[0].mean(0)
    rows, frames = _dynamic_time_warping(-smooth.double().cpu().numpy())
    first_frames = frames[np.diff(rows, prepend=-1) > 0]
    first_tokens = accumulate(len(tokens) for tokens in cues.tokens[:-1])
    return [
        CueStart(int(first_frames[token]) * FRAME_MS, end_ms, start_ms)
        for token, ((_, end_ms), (start_ms, _)) in zip(first_tokens, pairwise(cues.spans_ms), strict=True)
    ]
