"""The long form in a run: whether it is measured, on what, and by the main process alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from accelerate.utils import broadcast_object_list
from datasets import concatenate_datasets

from recipe.audio.decoding import AudioLimits
from recipe.data.dataset import PreparedDataset
from recipe.data.manifest import Recording
from recipe.evaluation.ctranslate import find_gpu_problem, precision_of
from recipe.evaluation.long_form import SETTINGS, measure_long_form, open_recogniser
from recipe.evaluation.long_form_scores import LongForm, LongFormComparison, Reference, build_references
from recipe.training.arguments import Arguments
from recipe.training.attempt import Attempt
from recipe.training.distributed import local_main_first
from recipe.training.trainer import WhisperTrainer

FORMAT_VERSION = 1
"""Of what is kept for a resume; raised whenever the figures of the same weights would be others."""


class LongFormCheck:
    """Transcribes whole test recordings: by the base model now, and by the published weights later.

    Args:
        attempt: Of the run.
        trainer: Its model has the base model's weights now.
        dataset: What was prepared.
        recordings: Of which it was made.

    Attributes:
        before: The base model's figures; None if the long form is not measured.
    """

    def __init__(
        self,
        attempt: Attempt,
        trainer: WhisperTrainer,
        dataset: PreparedDataset,
        recordings: Sequence[Recording],
    ) -> None:
        self._attempt, self._trainer, self._recordings = attempt, trainer, recordings
        self._references = find_references(dataset, trainer.whisper.task)
        self.before: LongForm | None = None
        if self._references and is_measured(attempt):
            self.before = self._measure("base_long_form", {})
            attempt.warn(*self.before.unread)

    def compare(self, weights: Mapping[str, Any]) -> LongFormComparison | None:
        """The figures of the weights that the model has now beside the base model's.

        Args:
            weights: What tells them from others of this run; ready for JSON.
        """
        if self.before is None:
            return None
        return LongFormComparison(self.before, self._measure("published_long_form", weights))

    def _measure(self, name: str, depends_on: Mapping[str, Any]) -> LongForm:
        """The figures of the weights that the model has now, on every process. Kept for a resume."""
        device = self._attempt.arguments.training.device
        depends_on = {
            **self._trainer.fingerprint,
            **depends_on,
            **SETTINGS,
            "precision": precision_of(device),
            "format_version": FORMAT_VERSION,
        }
        with self._attempt.stage("long_form"):
            return self._attempt.cached(name, LongForm, depends_on, self._measure_on_main)

    def _measure_on_main(self) -> LongForm:
        made: list[LongForm | None] = [None]
        with local_main_first():  # the others wait for hours if need be
            if self._attempt.is_main:
                made[0] = self._transcribe()
        broadcast_object_list(made)
        assert made[0]
        return made[0]

    def _transcribe(self) -> LongForm:
        arguments, whisper = self._attempt.arguments, self._trainer.whisper
        limits = AudioLimits(max_seconds=arguments.data.max_audio_hours * 3600)
        with (
            self._attempt.bar("transcribe whole", len(self._references), "recording") as bar,
            open_recogniser(whisper, arguments.training.device) as recogniser,
        ):
            return measure_long_form(recogniser, self._references, self._recordings, limits, bar.update)


def is_measured(attempt: Attempt) -> bool:
    """Whether the run measures the long form; says so where it would, and cannot.

    All processes do as the main one can.
    """
    if not wants_long_form(attempt.arguments):
        return False
    problem = [find_gpu_problem(attempt.arguments.training.device)]
    broadcast_object_list(problem)
    if problem[0]:
        attempt.warn(f"Whole recordings were not transcribed. {problem[0]}")
    return not problem[0]


def wants_long_form(arguments: Arguments) -> bool:
    """Whether whole recordings are to be transcribed; auto does where there is a GPU."""
    choice = arguments.evaluation.long_form
    return choice == "on" or (choice == "auto" and arguments.training.device.type == "cuda")


def find_references(dataset: PreparedDataset, task: str | None) -> list[Reference]:
    """What is known of the test recordings."""
    if not len(dataset.test):
        return []
    elsewhere = concatenate_datasets([dataset.train, dataset.validation])
    return build_references(dataset.test, {*elsewhere["recording"]}, task)
