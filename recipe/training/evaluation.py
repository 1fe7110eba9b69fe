"""A run's evaluation: the base model before training, and the published weights after it."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from recipe.data.dataset import PreparedDataset
from recipe.data.manifest import Recording
from recipe.data.other_sets import OtherSet
from recipe.evaluation.report import Evaluation, Evaluations
from recipe.training import assembly
from recipe.training.attempt import Attempt
from recipe.training.glossary import GlossaryCheck
from recipe.training.interpolation import copy_weights
from recipe.training.long_form import LongFormCheck
from recipe.training.other_speech import OtherSpeechCheck
from recipe.training.published_dtype import settle_dtype
from recipe.training.run_report import tell_outcome
from recipe.training.trainer import WhisperTrainer
from recipe.training.weight_selection import Outcome, select_published_weights


class RunEvaluation:
    """Measures the base model, keeps what is compared with it, and measures the published weights.

    Args:
        attempt: Of the run.
        trainer: Its model has the base model's weights now.
        dataset: What is held out of it is transcribed.
        recordings: Of which it was made.
        other_sets: Transcribed too.
    """

    def __init__(
        self,
        attempt: Attempt,
        trainer: WhisperTrainer,
        dataset: PreparedDataset,
        recordings: Sequence[Recording],
        other_sets: list[OtherSet],
    ) -> None:
        self._attempt, self._trainer, self._dataset = attempt, trainer, dataset
        self._windows = assembly.selection_windows(attempt.arguments, dataset)
        with attempt.stage("evaluate_before"):
            self._before = self._evaluate_base()
            assembly.report_base(attempt, self._before)
            measured = other_sets if "test" in self._before else []
            self._other_speech = OtherSpeechCheck(attempt, trainer, measured)
            self._glossary = GlossaryCheck(attempt, trainer, dataset.test)
        if other_sets and not measured:
            attempt.warn("No recording could be held out to test on, so other_dir was not transcribed.")
        # Loading them again would cost as much at the end; large-v3 takes 6.2 GB of main memory meanwhile.
        self._base_weights = copy_weights(trainer.whole_model) if len(self._windows) else {}
        self._long_form = LongFormCheck(attempt, trainer, dataset, recordings, self._glossary.terms)

    def finish(self) -> Outcome | None:
        """Select the published weights by some windows, measure them on others; None without those.

        The model has them from here on. What came of the run is told and written.
        """
        if "test" not in self._before:
            return None
        attempt, trainer = self._attempt, self._trainer
        with attempt.stage("evaluate_after"):
            selection = select_published_weights(
                attempt,
                trainer,
                self._windows,
                self._before.get("validation"),
                self._base_weights,
                self._other_speech,
            )
            self._base_weights = {}
            loss = selection.selected.loss if selection else None
            dtype = settle_dtype(attempt, trainer, self._windows, loss)
            after = assembly.transcribe(attempt, trainer.whisper, self._dataset.test, "test")
            weights = {"alpha": selection.selected.alpha if selection else 1.0, "dtype": dtype.name}
            other_speech = self._other_speech.compare(weights)
            glossary = self._glossary.compare(self._before["test"], after, weights)
        long_form = self._long_form.compare(weights)
        if glossary:
            glossary = replace(glossary, whole=self._long_form.compare_prompted(weights))
        outcome = Outcome(
            self._before["test"],
            after,
            selection,
            attempt.arguments.publish.publish_if_worse,
            long_form,
            other_speech,
            dtype,
            glossary,
        )
        tell_outcome(attempt, trainer, self._dataset, self._before, outcome)
        return outcome

    def _evaluate_base(self) -> Evaluations:
        """The base model's transcripts of the windows to choose by, and of the test. Kept for a resume."""
        depends_on = {**self._trainer.fingerprint, **assembly.describe_decoding(self._attempt.arguments)}
        parts = {"validation": self._windows, "test": self._dataset.test}
        return {
            part: self._attempt.cached(
                f"base_{part}",
                Evaluation,
                depends_on,
                partial(
                    assembly.transcribe,
                    self._attempt,
                    self._trainer.whisper,
                    windows,
                    part,
                    with_loss=part == "validation",
                ),
            )
            for part, windows in parts.items()
            if len(windows)
        }
