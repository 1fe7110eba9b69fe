"""Word and character error rates, raw and normalised, as counts that add up.

A rate is never averaged: the counts of windows are added, and the rate is taken of the sum, so the figure
of a recording or of the corpus follows exactly from those of its windows. Rates are fractions and may
exceed 1. Where a language is written without spaces, WER counts characters, as Whisper's authors do.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import jiwer

from recipe.evaluation.normalization import OURS, Normalizer, fold_text, split_words


@dataclass(frozen=True)
class ErrorCounts:
    """How the units (words or characters) of references and hypotheses agree.

    Where several alignments have the fewest errors, their kinds are those of the one that jiwer takes.

    Attributes:
        num_hits: Units of the reference that the hypothesis has.
        num_substitutions: Units of the reference that the hypothesis has otherwise.
        num_deletions: Units of the reference that the hypothesis lacks.
        num_insertions: Units that only the hypothesis has.
    """

    num_hits: int = 0
    num_substitutions: int = 0
    num_deletions: int = 0
    num_insertions: int = 0

    def __add__(self, other: "ErrorCounts") -> "ErrorCounts":
        return ErrorCounts(
            self.num_hits + other.num_hits,
            self.num_substitutions + other.num_substitutions,
            self.num_deletions + other.num_deletions,
            self.num_insertions + other.num_insertions,
        )

    @property
    def num_reference(self) -> int:
        """Units in the references."""
        return self.num_hits + self.num_substitutions + self.num_deletions

    @property
    def num_errors(self) -> int:
        """Substitutions, deletions and insertions together."""
        return self.num_substitutions + self.num_deletions + self.num_insertions

    @property
    def rate(self) -> float:
        """Errors per unit of the reference, a fraction from 0 on.

        An empty reference counts as one unit, as in jiwer: silence taken for silence is 0.0, and every
        unit invented in it adds 1.0.
        """
        return self.num_errors / max(1, self.num_reference)


@dataclass(frozen=True)
class Scores:
    """The error counts of one window, or summed over many.

    Attributes:
        words: Of words as written, with their case and punctuation.
        characters: Of characters as written, spaces included.
        words_normalized: Of words after normalisation.
        characters_normalized: Of characters after normalisation.
    """

    words: ErrorCounts = ErrorCounts()
    characters: ErrorCounts = ErrorCounts()
    words_normalized: ErrorCounts = ErrorCounts()
    characters_normalized: ErrorCounts = ErrorCounts()

    def __add__(self, other: "Scores") -> "Scores":
        return Scores(
            self.words + other.words,
            self.characters + other.characters,
            self.words_normalized + other.words_normalized,
            self.characters_normalized + other.characters_normalized,
        )

    def as_dict(self) -> dict[str, float | int]:
        """The four rates as fractions, and the counts of words behind the two WERs; ready for JSON."""
        rates = {
            "wer": self.words.rate,
            "cer": self.characters.rate,
            "wer_normalized": self.words_normalized.rate,
            "cer_normalized": self.characters_normalized.rate,
        }
        return rates | _name_counts(self.words, "") | _name_counts(self.words_normalized, "_normalized")


def _name_counts(counts: ErrorCounts, suffix: str) -> dict[str, int]:
    return {
        f"substitutions{suffix}": counts.num_substitutions,
        f"deletions{suffix}": counts.num_deletions,
        f"insertions{suffix}": counts.num_insertions,
        f"reference_words{suffix}": counts.num_reference,
    }


def sum_scores(scores: Iterable[Scores]) -> Scores:
    """The scores of the windows taken together."""
    return sum(scores, Scores())


def count_word_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> ErrorCounts:
    """The errors of the best alignment of two lists of words."""
    return _read_counts(jiwer.process_words(" ".join(reference), " ".join(hypothesis)))


def count_character_errors(reference: str, hypothesis: str) -> ErrorCounts:
    """The errors of the best alignment of two texts, character by character (Unicode code points)."""
    return _read_counts(jiwer.process_characters(reference, hypothesis))


def _read_counts(output: jiwer.WordOutput | jiwer.CharacterOutput) -> ErrorCounts:
    return ErrorCounts(output.hits, output.substitutions, output.deletions, output.insertions)


def score_text(
    reference: str, hypothesis: str, *, language: str | None, normalizer: Normalizer = OURS
) -> Scores:
    """The scores of one window; for its language see `normalize_text`.

    A reference may be empty (no speech): all that the hypothesis says is then inserted.
    """
    written = fold_text(reference), fold_text(hypothesis)
    normalized = normalizer(reference, language), normalizer(hypothesis, language)
    return Scores(
        words=count_word_errors(*(split_words(text, language) for text in written)),
        characters=count_character_errors(*written),
        words_normalized=count_word_errors(*(split_words(text, language) for text in normalized)),
        characters_normalized=count_character_errors(*normalized),
    )


def score_texts(
    references: Sequence[str],
    hypotheses: Sequence[str],
    *,
    language: str | None,
    normalizer: Normalizer = OURS,
) -> Scores:
    """The scores of a corpus: the sum over its windows, so that long windows weigh more (micro-average).

    Args:
        references: One text per window.
        hypotheses: What the model wrote, in the same order.
        language: See `normalize_text`.
        normalizer: By which normalised rates are taken.
    """
    assert references, "of nothing the rates would be a perfect 0"
    pairs = zip(references, hypotheses, strict=True)
    return sum_scores(score_text(*pair, language=language, normalizer=normalizer) for pair in pairs)
