"""Terms in the prompt: the line that holds them, and which of them a window is trained with.

The line is what people write as `hotwords` or `initial_prompt` of faster-whisper and openai-whisper, and as
`prompt_ids` of transformers: terms between commas. It stands first in the prompt, the text before the window
after it, as faster-whisper has them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from recipe.data.glossary import TermFinder
from recipe.model.labels import LabelEncoder, View

MAX_GLOSSARY_TOKENS = 111
"""Longest line of terms: half of a prompt. faster-whisper lets hotwords and the text before them have 223
tokens each, and what it writes has to fit into the decoder's 448 beside them."""

MAX_DRAWN = 30
"""Most terms that are drawn for a window."""

MAX_SAID = 4
"""Most of them that are said in it: of a real glossary, few are."""

_STREAM = 1
"""Tells the draws of terms from those of the view, which stay the same with them and without."""


def choose_fitting(terms: Sequence[str], encoder: LabelEncoder) -> list[str]:
    """The first terms, as many as fit into the line."""
    low, high = 0, len(terms)  # the line of `low` terms fits
    while low < high:
        middle = (low + high + 1) // 2
        fits = len(encoder.encode_terms(terms[:middle])) <= MAX_GLOSSARY_TOKENS
        low, high = (middle, high) if fits else (low, middle - 1)
    return list(terms[:low])


@dataclass(frozen=True)
class TermPrompts:
    """Puts terms into the prompts of some windows: a few that are said in them, among others.

    Attributes:
        terms: To draw from; all of them are said in what is trained on. One that never is would teach that
            terms of the prompt are not said.
        fraction: Of the windows whose prompt holds terms.
        weight: How much the tokens of the terms that are in prompt and window count in the loss.
    """

    terms: Sequence[str]
    fraction: float
    weight: float = 1.0

    @cached_property
    def finder(self) -> TermFinder:
        """Finds the terms."""
        return TermFinder(self.terms)

    def add_terms(self, view: View, draw: Sequence[int], encoder: LabelEncoder) -> View:
        """The view, with terms in its prompt where the draw says so.

        Args:
            view: As it was drawn.
            draw: Seed, epoch and index, on which alone it depends.
            encoder: Says how many terms fit.
        """
        random = np.random.default_rng([*draw, _STREAM])
        if random.random() >= self.fraction or not self.terms:
            return view
        text = " ".join(segment.text for segment in view.segments if segment.end_ms is not None)
        said = sorted(self.finder.count(text))
        num_said = int(random.integers(0, min(MAX_SAID, len(said)), endpoint=True))
        num_terms = int(random.integers(max(1, num_said), MAX_DRAWN, endpoint=True))
        drawn = random.permutation(said)[:num_said].tolist()
        others = random.choice(len(self.terms), min(num_terms, len(self.terms)), replace=False).tolist()
        drawn += [number for number in others if number not in said][: num_terms - num_said]
        terms = [self.terms[number] for number in random.permutation(drawn).tolist()]
        return replace(view, terms=tuple(choose_fitting(terms, encoder)))

    def weigh_labels(self, view: View, language: str, encoder: LabelEncoder) -> list[float]:
        """The weight of each label of a view: that of a token of a term of its prompt, or 1."""
        marks = encoder.find_terms(view, language, TermFinder(view.terms))
        return [self.weight if is_term else 1.0 for is_term in marks]
