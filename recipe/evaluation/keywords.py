"""Keyword recall and precision: which terms of a glossary are written where they are said.

Each term is counted by itself in each window: as often as it is both in the reference and in the hypothesis
it is right, whatever else is wrong there. How a term is found says `recipe.data.glossary`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recipe.data.glossary import TermFinder
from recipe.evaluation.long_form_scores import LongForm
from recipe.evaluation.report import Evaluation


@dataclass(frozen=True)
class KeywordCounts:
    """How terms of references and hypotheses agree.

    Attributes:
        num_said: Times that a term is in a reference.
        num_written: Times that a term is in a hypothesis.
        num_right: Times that it is in both.
    """

    num_said: int = 0
    num_written: int = 0
    num_right: int = 0

    def __add__(self, other: "KeywordCounts") -> "KeywordCounts":
        return KeywordCounts(
            self.num_said + other.num_said,
            self.num_written + other.num_written,
            self.num_right + other.num_right,
        )

    @property
    def recall(self) -> float | None:
        """Fraction of what is said that is written; None if no term is said."""
        return self.num_right / self.num_said if self.num_said else None

    @property
    def precision(self) -> float | None:
        """Fraction of what is written that is said; None if no term is written."""
        return self.num_right / self.num_written if self.num_written else None

    def as_dict(self) -> dict[str, Any]:
        """Counts and rates; ready for JSON."""
        return {**vars(self), "recall": self.recall, "precision": self.precision}


def count_keywords(finder: TermFinder, pairs: Iterable[tuple[str, str]]) -> KeywordCounts:
    """The counts over pairs of a reference and a hypothesis."""
    return sum((_count(finder, *pair) for pair in pairs), KeywordCounts())


def _count(finder: TermFinder, reference: str, hypothesis: str) -> KeywordCounts:
    said, written = finder.count(reference), finder.count(hypothesis)
    return KeywordCounts(said.total(), written.total(), (said & written).total())


@dataclass(frozen=True)
class WithGlossary:
    """A model's figures on the same windows, with the terms in its prompt and without.

    Attributes:
        plain: Keywords without them.
        prompted: Keywords with them.
        wer_plain: Normalised WER without them, a fraction.
        wer_prompted: The same with them.
    """

    plain: KeywordCounts
    prompted: KeywordCounts
    wer_plain: float
    wer_prompted: float

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "plain": {**self.plain.as_dict(), "wer_normalized": self.wer_plain},
            "prompted": {**self.prompted.as_dict(), "wer_normalized": self.wer_prompted},
        }


@dataclass(frozen=True)
class BothModels:
    """The base model's figures and those of the published weights."""

    before: WithGlossary
    after: WithGlossary

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"before": self.before.as_dict(), "after": self.after.as_dict()}


def compare_prompted(terms: Sequence[str], plain: Evaluation, prompted: Evaluation) -> WithGlossary:
    """A model's figures with terms in the prompt and without, from its transcripts of the same windows."""
    finder = TermFinder(terms)
    return WithGlossary(
        count_in(finder, plain),
        count_in(finder, prompted),
        plain.scores.words_normalized.rate,
        prompted.scores.words_normalized.rate,
    )


def compare_prompted_whole(
    terms: Sequence[str], references: Mapping[str, str], plain: LongForm, prompted: LongForm
) -> WithGlossary:
    """The same of whole recordings.

    Args:
        terms: In the prompt.
        references: What is said, by the name of the recording.
        plain: The model's transcripts without the terms.
        prompted: Those with them.
    """
    finder = TermFinder(terms)
    counts = [
        count_keywords(finder, ((references[item.recording], item.hypothesis) for item in side.recordings))
        for side in (plain, prompted)
    ]
    rates = [side.scores.words_normalized.rate for side in (plain, prompted)]
    return WithGlossary(counts[0], counts[1], rates[0], rates[1])


def count_in(finder: TermFinder, evaluation: Evaluation) -> KeywordCounts:
    """The counts over the windows of an evaluation."""
    return count_keywords(finder, ((t.reference, t.hypothesis) for t in evaluation.transcripts))


def count_said(terms: Sequence[str], references: Iterable[str]) -> int:
    """How many of the terms are said in the references at all."""
    finder = TermFinder(terms)
    return len({number for text in references for number in finder.count(text)})


@dataclass(frozen=True)
class GlossaryComparison:
    """Base and trained model on the test windows, with the glossary in the prompt and without.

    Attributes:
        terms: Those in the prompt, in order.
        num_terms: Of the glossary: the rest did not fit.
        num_said: Of those in the prompt, how many are said in the test part.
        windows: Both models on the test windows.
        whole: Both on whole test recordings, through faster-whisper; None where these were not transcribed.
    """

    terms: Sequence[str]
    num_terms: int
    num_said: int
    windows: BothModels
    whole: BothModels | None = None

    @property
    def sentence(self) -> str:
        """What the glossary gains, and which part of it was used."""
        return f"{describe_used(len(self.terms), self.num_terms)} {self._describe_gain()}"

    def _describe_gain(self) -> str:
        base, trained = self.windows.before, self.windows.after
        return (
            f"{self.num_said} of them are said {base.plain.num_said} times in the test speech: the base "
            f"model writes {base.plain.num_right} of these without the glossary and "
            f"{base.prompted.num_right} with it, the trained model {trained.plain.num_right} and "
            f"{trained.prompted.num_right}."
        )

    def summarise(self) -> dict[str, Any]:
        """All but the terms themselves, which may be private; ready for JSON."""
        return {
            "num_terms": self.num_terms,
            "num_used": len(self.terms),
            "num_said": self.num_said,
            **self.windows.as_dict(),
            "whole": self.whole.as_dict() if self.whole else {},
            "sentence": self.sentence,
        }

    def as_dict(self) -> dict[str, Any]:
        """Everything, for `report.json`."""
        return {**self.summarise(), "terms": list(self.terms)}


def describe_used(num_used: int, num_terms: int) -> str:
    """How much of a glossary is in the prompt."""
    if num_used == num_terms:
        return f"All {num_terms} terms of the glossary fit into the prompt."
    return f"Of the glossary's {num_terms} terms the first {num_used} fit into the prompt and are used."


GLOSSARY_COLUMNS = (
    ("base, without", "before", "plain"),
    ("base, with", "before", "prompted"),
    ("trained, without", "after", "plain"),
    ("trained, with", "after", "prompted"),
)
"""Columns of the table: what they are called, whose they are, and how they were made."""

GLOSSARY_ROWS = {
    "recall": "Terms said that are written (recall)",
    "precision": "Terms written that are said (precision)",
    "wer_normalized": "Words wrong",
}


def tabulate_glossary(glossary: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The rows of the table, from `summarise`: a label, and a figure for each of `GLOSSARY_COLUMNS`."""
    parts = {"": glossary} | ({"Whole recordings: ": glossary["whole"]} if glossary["whole"] else {})
    return [
        (f"{prefix}{label}", *(_format_rate(part[side][kind][name]) for _, side, kind in GLOSSARY_COLUMNS))
        for prefix, part in parts.items()
        for name, label in GLOSSARY_ROWS.items()
    ]


def _format_rate(rate: float | None) -> str:
    return "" if rate is None else f"{100 * rate:.1f} %"
