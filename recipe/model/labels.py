"""What the decoder reads and writes of a window: the prompt and the labels, as tokens."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

from transformers import WhisperTokenizer

from recipe.arguments import UNSPACED_LANGUAGES, caption_language
from recipe.data.glossary import TermFinder
from recipe.data.windows import MAX_LABEL_TOKENS, MAX_PROMPT_TOKENS, TIMESTAMP_MS, Segment

Piece = str | int
"""A part of the decoder's sequence: a text, or a token."""


@dataclass(frozen=True)
class View:
    """How a window is shown to the model.

    Attributes:
        segments: The texts, in milliseconds from `start_ms`.
        start_ms: Start of the audio shown, from the start of the window.
        end_ms: End of the audio shown.
        prompt: The texts before, with times in their own windows.
        has_timestamps: Whether timestamp tokens are trained.
        terms: Terms of a glossary, which stand first in the prompt.
    """

    segments: tuple[Segment, ...]
    start_ms: int
    end_ms: int
    prompt: tuple[Segment, ...] = ()
    has_timestamps: bool = False
    terms: tuple[str, ...] = ()


def join_terms(terms: Sequence[str]) -> str:
    """Terms as a prompt has them, and as people write them into `hotwords`."""
    return ", ".join(terms)


class LabelEncoder:
    """Turns a view into the decoder's tokens.

    The sequence is `[<|startofprev|> prompt] <|startoftranscript|> [language task] text <|endoftext|>`, with
    `<|notimestamps|>` before the text or timestamps around each segment (Radford et al. 2022, figure 1). In
    the prompt terms stand before the text said before, as faster-whisper puts its `hotwords`.
    """

    def __init__(self, tokenizer: WhisperTokenizer, task: str | None) -> None:
        """Look up the special tokens; an English-only checkpoint has no `task` and no language."""
        self._tokenizer = tokenizer
        self._task = task
        self._start = self._token_id("<|startoftranscript|>")
        self._no_timestamps = self._token_id("<|notimestamps|>")
        self.first_timestamp = self._token_id("<|0.00|>")
        self._start_of_previous = self._token_id("<|startofprev|>")
        self.end_of_text = self._token_id("<|endoftext|>")

    def encode(self, view: View, language: str) -> tuple[list[int], int]:
        """Token ids of a view, at most 448, and how many of them the loss leaves out (the prompt's).

        Args:
            view: A window as it is shown.
            language: Code of the language spoken in it.
        """
        target = self._encode_pieces(self._target_of(view, language))
        assert len(target) <= MAX_LABEL_TOKENS, "windows are packed to fit the decoder"
        num_tokens = min(MAX_PROMPT_TOKENS, MAX_LABEL_TOKENS - len(target) - 1)
        terms = self.encode_terms(view.terms)[: max(0, num_tokens)]
        # Decoders hand on what they wrote: with times where times are written.
        before = _cut_into_pieces(view.prompt, self._space(language), self._timestamp, view.has_timestamps)
        num_left = num_tokens - len(terms)
        prompt = terms + (self._encode_pieces(before)[-num_left:] if num_left > 0 else [])
        if prompt:
            prompt = [self._start_of_previous, *prompt]
        return prompt + target, len(prompt)

    def find_terms(self, view: View, language: str, finder: TermFinder) -> list[bool]:
        """Whether each label of a view, all of `encode` but the prompt and the start, is part of a term."""
        pieces = self._target_of(view, language)[1:]
        return list(chain.from_iterable(self._mark_terms(piece, finder) for piece in pieces))

    def start_prompt(self, terms: Sequence[str]) -> list[int]:
        """A prompt of terms alone, before `start_tokens`; empty without any."""
        return [self._start_of_previous, *self.encode_terms(terms)] if terms else []

    def encode_terms(self, terms: Sequence[str]) -> list[int]:
        """The line of a prompt that holds the terms."""
        return self._encode_text(f" {join_terms(terms)}") if terms else []

    def start_tokens(self, language: str) -> list[int]:
        """What the decoder begins with: the start, and for a multilingual model the language and the task."""
        if self._task is None:
            return [self._start]
        return [self._start, self._token_id(f"<|{language}|>"), self._token_id(f"<|{self._task}|>")]

    def _target_of(self, view: View, language: str) -> list[Piece]:
        """What is written of a window, from the start to the end of text."""
        has_timestamps = view.has_timestamps and bool(view.segments)
        start = [*self.start_tokens(language), *[self._no_timestamps] * (not has_timestamps)]
        pieces = _cut_into_pieces(view.segments, self._space(language), self._timestamp, has_timestamps)
        return [*start, *pieces, self.end_of_text]

    def _space(self, language: str) -> str:
        return "" if caption_language(language, self._task) in UNSPACED_LANGUAGES else " "

    def _encode_pieces(self, pieces: Sequence[Piece]) -> list[int]:
        tokens = (self._encode_text(piece) if isinstance(piece, str) else [piece] for piece in pieces)
        return list(chain.from_iterable(tokens))

    def _mark_terms(self, piece: Piece, finder: TermFinder) -> list[bool]:
        """Whether each token of a piece has a character of a term in it."""
        if isinstance(piece, int):
            return [False]
        found = finder.find(piece)
        encoding = self._tokenizer(piece, add_special_tokens=False, return_offsets_mapping=True)
        return [
            any(occurrence.start < end and start < occurrence.end for occurrence in found)
            for start, end in encoding["offset_mapping"]
        ]

    def _encode_text(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _timestamp(self, time_ms: int) -> int:
        return self.first_timestamp + round(time_ms / TIMESTAMP_MS)

    def _token_id(self, name: str) -> int:
        token_id = self._tokenizer.convert_tokens_to_ids(name)
        assert isinstance(token_id, int), name
        assert token_id != self._tokenizer.unk_token_id or name == self._tokenizer.unk_token, name
        return token_id


def _cut_into_pieces(
    segments: Sequence[Segment],
    space: str,
    timestamp: Callable[[int], int],
    has_timestamps: bool,  # noqa: FBT001 - both are the same text
) -> list[Piece]:
    """The texts, each after `space`, between their times; or all of them as one text without times."""
    if not has_timestamps:
        text = " ".join(segment.text for segment in segments)
        return [f"{space}{text}"] if text else []
    pieces: list[Piece] = []
    for segment in segments:
        pieces.append(timestamp(segment.start_ms))
        if segment.end_ms is not None:
            pieces += [f"{space}{segment.text}", timestamp(segment.end_ms)]
    return pieces
