"""When each word is spoken: the base model's transcript with word times, and the times of given words.

Both come from CTranslate2 on the weights that are loaded. A word's time is where the decoder's attention
rests (Radford et al. 2022 and openai/whisper's `timing.py`): a pause before a word counts as part of it, so
starts come early and are moved to where the voice sets in by whoever needs them exact.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import accumulate, pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
import regex  # type: ignore[import-untyped]  # the package ships no types
from ctranslate2 import StorageView
from numpy.typing import NDArray

from recipe.audio.decoding import slice_samples
from recipe.audio.mel import log_mel
from recipe.data.windows import MAX_LABEL_TOKENS, WINDOW_MS
from recipe.evaluation.ctranslate import convert_model
from recipe.evaluation.decoding import MAX_NEW_TOKENS, cut_loop
from recipe.evaluation.normalization import LANGUAGES_WITHOUT_SPACES
from recipe.model.inference import device_of, has_bfloat16
from recipe.model.labels import LabelEncoder
from recipe.model.whisper import Whisper

FRAME_MS = 20
"""Resolution of word times: a step of the encoder."""

NUM_FRAME_MS = 10
"""A mel frame."""

MAX_ALIGNED_TOKENS = MAX_LABEL_TOKENS - 8
"""Longest text that is aligned at once: what the decoder holds beside its start and end."""

SPAN_MS = 28_000
"""Longest stretch that is transcribed at once; the model's input less what is put around it."""

MAX_PAUSE_MS = 3_000
"""A longer pause ends a span: over silence a model makes words up."""

PADDING_MS = 200
"""Sound around a voice that is kept: the detector opens late on soft consonants."""

LONGEST_REPEAT = 2
"""Tokens in a row that may recur where a span is transcribed again because the model only repeated itself."""

MEDIAN_WIDTH = 7
"""Frames that the attention is smoothed over, as in openai/whisper."""

MIN_TOKEN_PROBABILITY = 1e-9

Span = tuple[int, int]
"""A stretch of a recording, as (start, end) in milliseconds."""


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A word and when it is spoken.

    Attributes:
        text: As it is written, with its punctuation; a character where a language has no spaces.
        start_ms: Start in the recording.
        end_ms: End in the recording, without the pause that a mark after the word stands for.
        probability: How probable the model finds it, in [0, 1].
        earliest_ms: Where the word before it ends.
        latest_ms: Where the word after it starts.
    """

    text: str
    start_ms: int
    end_ms: int
    probability: float
    earliest_ms: int
    latest_ms: int


class WordTimer(Protocol):
    """What tells when words are spoken."""

    def transcribe(self, samples: NDArray[np.int16], spans: Sequence[Span], language: str) -> list[TimedWord]:
        """The words that the model writes of the spans of a recording, in order."""
        ...

    def align(
        self, samples: NDArray[np.int16], span: Span, words: Sequence[str], language: str
    ) -> list[TimedWord]:
        """The words, each with its time inside the span; none if they are too many for the decoder."""
        ...


class Ctranslate2WordTimer:
    """Tells word times with a converted copy of the base model.

    Args:
        whisper: On its device, with whole weights.
        batch_size: Spans at once.
    """

    def __init__(self, whisper: Whisper, batch_size: int = 8) -> None:
        device = device_of(whisper.model)
        precision = _precision(device)
        self._model = convert_model(whisper.model, whisper.processor, precision)
        self._whisper = whisper
        self._encoder = LabelEncoder(whisper.processor.tokenizer, whisper.task)
        self._batch_size = batch_size
        self._tokens_of = lru_cache(1 << 16)(self._encode_word)

    def transcribe(self, samples: NDArray[np.int16], spans: Sequence[Span], language: str) -> list[TimedWord]:
        """The words that the model writes of the spans; see `WordTimer`."""
        words: list[TimedWord] = []
        for first in range(0, len(spans), self._batch_size):
            words += self._transcribe_batch(samples, spans[first : first + self._batch_size], language)
        return words

    def align(
        self, samples: NDArray[np.int16], span: Span, words: Sequence[str], language: str
    ) -> list[TimedWord]:
        """The words with their times; see `WordTimer`."""
        states = self._encode(samples, [span])
        return self._align_batch(states, [span], [words], language)[0]

    def _transcribe_batch(
        self, samples: NDArray[np.int16], spans: Sequence[Span], language: str
    ) -> Iterator[TimedWord]:
        states = self._encode(samples, spans)
        ids = self._write(states, language, longest_repeat=0)
        for place, tokens in enumerate(ids):
            if cut_loop(tokens, self._whisper.first_timestamp) != tokens:
                again = self._encode(samples, spans[place : place + 1])
                ids[place] = self._write(again, language, LONGEST_REPEAT)[0]
        texts = self._whisper.processor.batch_decode(ids, skip_special_tokens=True)
        words = [split_text(text, language) for text in texts]
        for aligned in self._align_batch(states, spans, words, language):
            yield from aligned

    def _write(self, states: StorageView, language: str, longest_repeat: int) -> list[list[int]]:
        """The text of each span in tokens; no run of more than `longest_repeat` recurs, unless that is 0."""
        config = self._whisper.generation_config
        prompt = [*self._encoder.start_tokens(language), config.no_timestamps_token_id]
        results = self._model.generate(
            states,
            [prompt] * states.shape[0],
            beam_size=1,
            max_length=2 * MAX_NEW_TOKENS,  # it takes the half of this for new tokens
            no_repeat_ngram_size=longest_repeat and longest_repeat + 1,
            suppress_tokens=list(config.suppress_tokens or []),
            suppress_blank=bool(config.begin_suppress_tokens),
        )
        return [result.sequences_ids[0] for result in results]

    def _encode(self, samples: NDArray[np.int16], spans: Sequence[Span]) -> StorageView:
        extractor = self._whisper.processor.feature_extractor
        sounds = (slice_samples(samples, start_ms, end_ms) for start_ms, end_ms in spans)
        features = [log_mel(extractor, sound.astype(np.float32) / np.float32(32768)) for sound in sounds]
        return self._model.encode(StorageView.from_array(np.stack(features)), to_cpu=False)

    def _align_batch(
        self, states: StorageView, spans: Sequence[Span], texts: Sequence[Sequence[str]], language: str
    ) -> list[list[TimedWord]]:
        tokens = [[self._tokens_of(word, language) for word in words] for words in texts]
        ids = [[token for word in words for token in word.ids] for words in tokens]
        ids = [text if len(text) <= MAX_ALIGNED_TOKENS else [] for text in ids]
        if not any(ids):
            return [[] for _ in spans]
        alignments = self._model.align(
            states,
            self._encoder.start_tokens(language),
            ids,
            [min(WINDOW_MS, end_ms - start_ms) // NUM_FRAME_MS for start_ms, end_ms in spans],
            median_filter_width=MEDIAN_WIDTH,
        )
        return [
            list(_time_words(alignment, span, words, of_words)) if text else []
            for alignment, span, words, of_words, text in zip(
                alignments, spans, texts, tokens, ids, strict=True
            )
        ]

    def _encode_word(self, word: str, language: str) -> "_WordTokens":
        spaced = word if language in LANGUAGES_WITHOUT_SPACES else f" {word}"
        match = _PARTS.fullmatch(spaced)
        assert match is not None, word
        encode = partial(self._whisper.processor.tokenizer.encode, add_special_tokens=False)
        before, core, after = (encode(part) if part else [] for part in match.groups())
        return _WordTokens((*before, *core, *after), len(before), len(before) + len(core))


class _WordTokens(NamedTuple):
    """The tokens of a word with its marks; the word itself is from token `start` to token `end`."""

    ids: tuple[int, ...]
    start: int
    end: int


# Marks before a word, the word with the space before it, marks after it; a mark alone is a word.
_PARTS = regex.compile(
    r"( ?[^\p{L}\p{M}\p{N} ]+(?=[\p{L}\p{N}]))?( ?.*?[\p{L}\p{M}\p{N}]| ?.+?)([^\p{L}\p{M}\p{N}]*)"
)


def _precision(device: Any) -> str:
    """Times need less precision than error rates: 8-bit weights are twice as fast on a processor."""
    if device.type != "cuda":
        return "int8"
    return "bfloat16" if has_bfloat16(device) else "float16"


def _time_words(
    alignment: Any, span: Span, words: Sequence[str], tokens: Sequence[_WordTokens]
) -> Iterator[TimedWord]:
    """The words with the times that the attention's path gives their tokens.

    Args:
        alignment: A path of (token, frame), both rising, and the tokens' probabilities.
        span: Where the sound was taken from.
        words: The text.
        tokens: Of each word.
    """
    path = np.array(alignment.alignments, dtype=np.int64).reshape(-1, 2)
    first_frames = path[np.flatnonzero(np.diff(path[:, 0], prepend=-1)), 1]
    times_ms = np.minimum(span[0] + first_frames * FRAME_MS, span[1]).tolist()
    probabilities = np.log(np.maximum(alignment.text_token_probs, MIN_TOKEN_PROBABILITY))
    firsts = [0, *accumulate(len(word.ids) for word in tokens)]
    times_ms += [span[1]] * (firsts[-1] + 1 - len(times_ms))
    starts = [first + word.start for first, word in zip(firsts, tokens, strict=False)]
    ends = [first + word.end for first, word in zip(firsts, tokens, strict=False)]
    edges_ms = (
        [span[0], *(times_ms[end] for end in ends)],
        [*(times_ms[start] for start in starts[1:]), span[1]],
    )
    for word, start, end, earliest_ms, latest_ms in zip(words, starts, ends, *edges_ms, strict=False):
        probability = float(np.exp(np.mean(probabilities[start:end])))
        yield TimedWord(word, times_ms[start], times_ms[end], probability, earliest_ms, latest_ms)


def split_text(text: str, language: str) -> list[str]:
    """The words of a text with their punctuation; characters where a language has no spaces."""
    pattern = r"\S" if language in LANGUAGES_WITHOUT_SPACES else r"\S+"
    return [match[0] for match in regex.finditer(pattern, text)]


def cut_at_pauses(voice: Sequence[Span], duration_ms: int) -> list[Span]:
    """Spans of at most 30 s, to be transcribed one by one, that hold all of the voice.

    Args:
        voice: Where a voice speaks, in order.
        duration_ms: Length of the recording.
    """
    spans: list[Span] = []
    for start_ms, end_ms in (piece for stretch in voice for piece in _cut_long(stretch)):
        is_near = bool(spans) and start_ms - spans[-1][1] <= MAX_PAUSE_MS
        if is_near and end_ms - spans[-1][0] <= SPAN_MS:
            spans[-1] = (spans[-1][0], end_ms)
        else:
            spans.append((start_ms, end_ms))
    bounds_ms = [0, *((left[1] + right[0]) // 2 for left, right in pairwise(spans)), duration_ms]
    return [
        (max(start_ms - PADDING_MS, first_ms), min(end_ms + PADDING_MS, last_ms))
        for (start_ms, end_ms), (first_ms, last_ms) in zip(spans, pairwise(bounds_ms), strict=False)
    ]


def _cut_long(span: Span) -> list[Span]:
    """The span in equal parts that are short enough."""
    start_ms, end_ms = span
    num_parts = -(-(end_ms - start_ms) // SPAN_MS)
    edges = [start_ms + (end_ms - start_ms) * part // num_parts for part in range(num_parts + 1)]
    return list(pairwise(edges))
