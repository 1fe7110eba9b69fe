"""What training cost on other speech: two models on a set of windows that nothing was trained on."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from recipe.evaluation.comparison import Comparison, Verdict
from recipe.evaluation.report import Evaluation, judge_difference


@dataclass(frozen=True)
class OtherSpeech:
    """A named set, before and after training.

    Attributes:
        name: Of the set.
        before: The base model's transcripts of the windows that are reported.
        after: The published weights'.
        has_weighed: Whether other windows of the set had a say when weights were selected.
    """

    name: str
    before: Evaluation
    after: Evaluation
    has_weighed: bool

    @cached_property
    def comparison(self) -> Comparison:
        """What may be said of the difference."""
        return judge_difference(self.before, self.after)

    @property
    def rise(self) -> float:
        """By how much the normalised WER rose, as a fraction of the words; negative if it fell."""
        return measure_rise(self.before, self.after)

    @property
    def warning(self) -> str:
        """What the user is warned of, "" if the model is not worse."""
        if self.comparison.verdict is not Verdict.WORSE:
            return ""
        return f"On the other speech in {self.name}: {self.comparison.describe()}"

    def as_dict(self) -> dict[str, Any]:
        """Rates as fractions; ready for JSON."""
        return {
            "name": self.name,
            "num_windows": len(self.after.transcripts),
            "num_recordings": len({*self.after.recordings}),
            "languages": list(self.after.scores_by_language),
            "has_weighed": self.has_weighed,
            "wer_normalized_before": self.before.scores.words_normalized.rate,
            "wer_normalized_after": self.after.scores.words_normalized.rate,
            "comparison": self.comparison.as_dict(),
        }


def measure_rise(before: Evaluation, after: Evaluation) -> float:
    """By how much the normalised WER rose, as a fraction of the words; negative if it fell."""
    return after.scores.words_normalized.rate - before.scores.words_normalized.rate
