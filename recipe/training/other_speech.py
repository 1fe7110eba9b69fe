"""Other speech in a run: its sets are prepared as training data are, and transcribed before and after."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from datasets import Dataset

from recipe.data.dataset import PreparedDataset
from recipe.data.other_folders import name_folders
from recipe.data.other_sets import OtherSet, build_other_set
from recipe.data.shards import Shard
from recipe.evaluation.other_speech import OtherSpeech, measure_rise
from recipe.evaluation.report import Evaluation
from recipe.model.whisper import Whisper
from recipe.run.warning import DataWarning, Importance
from recipe.training import assembly
from recipe.training.attempt import Attempt
from recipe.training.other_folders import prepare_folder
from recipe.training.trainer import WhisperTrainer


def prepare_other_sets(attempt: Attempt, whisper: Whisper, dataset: PreparedDataset) -> list[OtherSet]:
    """The sets of `other_dir`, and warnings of what they lack.

    Raises:
        DataError: if a set cannot be transcribed, or all of it is trained on.
        JobError: if a folder is given twice, or its language is not known.
    """
    arguments, sets = attempt.arguments.evaluation, []
    for folder in name_folders(arguments.other_dir, "other_dir"):
        shards = prepare_folder(attempt, whisper, folder, "other_dir")
        other = build_other_set(folder.name, shards, dataset, arguments.max_selection_windows)
        attempt.warn(*_describe_lack(other, shards))
        sets.append(other)
    return sets


def _describe_lack(other: OtherSet, shards: list[Shard]) -> list[str]:
    """A sentence for each thing that makes a set worth less."""
    skipped = [shard.report for shard in shards if shard.report.outcome != "speech"]
    sentences = []
    if skipped:
        sentences.append(
            f"{len(skipped)} of {len(shards)} recordings of other_dir {other.name} cannot be transcribed, "
            f"such as {skipped[0].name}: {skipped[0].reason.rstrip('.')}."
        )
    if other.num_left_out:
        sentences.append(
            f"{other.num_left_out} windows of other_dir {other.name} were left out: their words or their "
            "recording are in the training data too."
        )
    if not len(other.validation):
        sentences.append(
            f"other_dir {other.name} has too little speech to weigh when weights are selected; it is "
            "transcribed before and after, and max_forgetting does not look at it."
        )
    return [DataWarning(sentence, Importance.CHOSEN, []) for sentence in sentences]


@dataclass(frozen=True)
class _Base:
    """The base model's transcripts of a set; `validation` is None where nothing weighs."""

    validation: Evaluation | None
    test: Evaluation


class OtherSpeechCheck:
    """Transcribes other speech: by the base model now, by candidates and the published weights later.

    Args:
        attempt: Of the run.
        trainer: Its model has the base model's weights now.
        sets: What is transcribed.
    """

    def __init__(self, attempt: Attempt, trainer: WhisperTrainer, sets: list[OtherSet]) -> None:
        self._attempt, self._trainer, self._sets = attempt, trainer, sets
        self._base = [
            _Base(
                self._cached("base", number, "validation", {}) if len(other.validation) else None,
                self._cached("base", number, "test", {}),
            )
            for number, other in enumerate(sets)
        ]
        for part in ("validation", "test"):
            evaluations = [getattr(base, part) for base in self._base]
            attempt.job_eta.learn(f"other {part}", sum(e.seconds for e in evaluations if e))

    @property
    def weighing(self) -> dict[str, str]:
        """Fingerprints of the sets that weigh when weights are selected, by name."""
        return {other.name: other.fingerprint for other in self._sets if len(other.validation)}

    def measure_rises(self) -> dict[str, float]:
        """By how much the model's weights now raise the normalised WER, on each set that weighs."""
        return {
            other.name: measure_rise(base.validation, self._transcribe(other.validation, "validation"))
            for other, base in zip(self._sets, self._base, strict=True)
            if base.validation
        }

    def compare(self, weights: Mapping[str, Any]) -> list[OtherSpeech]:
        """The sets as the model's weights now transcribe them, beside the base model.

        Args:
            weights: What tells them from others of this run; ready for JSON.
        """
        return [
            OtherSpeech(
                other.name,
                base.test,
                self._cached("published", number, "test", weights),
                has_weighed=base.validation is not None,
            )
            for number, (other, base) in enumerate(zip(self._sets, self._base, strict=True))
        ]

    def _cached(self, whose: str, number: int, part: str, weights: Mapping[str, Any]) -> Evaluation:
        """The transcripts by the weights that the model has now. Kept for a resume."""
        other = self._sets[number]
        windows = other.validation if part == "validation" else other.test
        return self._attempt.cached(
            f"{whose}_other_{part}_{number + 1}",
            Evaluation,
            {
                **self._trainer.fingerprint,
                **assembly.describe_decoding(self._attempt.arguments),
                **weights,
                "other_dir": other.fingerprint,
            },
            partial(self._transcribe, windows, part),
        )

    def _transcribe(self, windows: Dataset, part: str) -> Evaluation:
        return assembly.transcribe(self._attempt, self._trainer.whisper, windows, f"other {part}")
