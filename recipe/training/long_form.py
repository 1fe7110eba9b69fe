"""Test recordings whole, or in cuts, in a run: which of them is measured, on what, before and after."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from accelerate.utils import broadcast_object_list
from datasets import concatenate_datasets

from recipe.audio.decoding import AudioLimits
from recipe.data.dataset import PreparedDataset
from recipe.data.manifest import Recording
from recipe.evaluation.ctranslate import find_gpu_problem, precision_of
from recipe.evaluation.cuts import Cuts, cut_recordings, measure_cuts, select_first_windows
from recipe.evaluation.long_form import SETTINGS, measure_long_form, open_recogniser
from recipe.evaluation.long_form_scores import (
    LongForm,
    LongFormComparison,
    Reference,
    View,
    build_references,
)
from recipe.training.arguments import Arguments
from recipe.training.assembly import decoding_of, normalizer_of
from recipe.training.attempt import Attempt
from recipe.training.distributed import local_main_first
from recipe.training.trainer import WhisperTrainer

FORMAT_VERSION = 2
"""Of what is kept for a resume; raised whenever the figures of the same weights would be others."""

MAX_CUTS = 120
"""Cuts of a run that asks for them: an hour."""

MAX_CUTS_UNASKED = 12
"""Cuts of a run that does not: six minutes, so that they are seldom more than the test windows."""


class LongFormCheck:
    """Transcribes test recordings: by the base model now, and by the published weights later.

    Args:
        attempt: Of the run.
        trainer: Its model has the base model's weights now.
        dataset: What was prepared.
        recordings: Of which it was made.

    Attributes:
        before: The base model's figures; None if nothing is measured.
    """

    def __init__(
        self,
        attempt: Attempt,
        trainer: WhisperTrainer,
        dataset: PreparedDataset,
        recordings: Sequence[Recording],
    ) -> None:
        self._attempt, self._trainer, self._recordings = attempt, trainer, recordings
        self._view = choose_view(attempt) if len(dataset.test) else None
        self._normalizer = normalizer_of(attempt.arguments, trainer.whisper)
        self._settings = describe_settings(attempt.arguments, self._view)
        self._references: list[Reference] = []
        self.before: LongForm | None = None
        if self._view:
            max_cuts = self._settings.get("max_cuts", 0)
            self._references = find_references(dataset, trainer.whisper.task, max_cuts)
        if self._references:
            self.before = self._measure("base_long_form", "long_form_before", {})
            attempt.warn(*self.before.unread)
            attempt.job_eta.learn("long_form", self.before.seconds)

    def compare(self, weights: Mapping[str, Any]) -> LongFormComparison | None:
        """The figures of the weights that the model has now beside the base model's.

        Args:
            weights: What tells them from others of this run; ready for JSON.
        """
        if self.before is None:
            return None
        after = self._measure("published_long_form", "long_form_after", weights)
        return LongFormComparison(self.before, after, self._settings)

    def _measure(self, name: str, stage: str, depends_on: Mapping[str, Any]) -> LongForm:
        """The figures of the weights that the model has now, on every process. Kept for a resume."""
        depends_on = {
            **self._trainer.fingerprint,
            **depends_on,
            **self._settings,
            "view": self._view,
            "format_version": FORMAT_VERSION,
        }
        make = self._measure_cuts if self._view == "cuts" else self._measure_on_main
        with self._attempt.stage(stage):
            return self._attempt.cached(name, LongForm, depends_on, make)

    def _measure_cuts(self) -> LongForm:
        made: list[Cuts | None] = [None]
        with local_main_first():  # one process reads the recordings, which others may not have
            if self._attempt.is_main:
                made[0] = cut_recordings(self._references, self._recordings, self._limits)
        broadcast_object_list(made)
        assert made[0]
        decoding = decoding_of(self._attempt.arguments)
        with self._attempt.bar("transcribe cuts", len(made[0].examples), "window") as bar:
            return measure_cuts(self._trainer.whisper, made[0], decoding, bar.update, self._normalizer)

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
        with (
            self._attempt.bar("transcribe whole", len(self._references), "recording") as bar,
            open_recogniser(whisper, arguments.training.device) as recogniser,
        ):
            return measure_long_form(
                recogniser, self._references, self._recordings, self._limits, bar.update, self._normalizer
            )

    @property
    def _limits(self) -> AudioLimits:
        return AudioLimits(max_seconds=self._attempt.arguments.data.max_audio_hours * 3600)


def choose_view(attempt: Attempt) -> View | None:
    """How the run transcribes test recordings, if at all; says so where it cannot as it would.

    All processes do as the main one can.
    """
    view = find_wanted_view(attempt.arguments)
    if view != "whole":
        return view
    problem = [find_gpu_problem(attempt.arguments.training.device)]
    broadcast_object_list(problem)
    if not problem[0]:
        return "whole"
    attempt.warn(f"Whole recordings were not transcribed, but cut every 30 seconds. {problem[0]}")
    return "cuts"


def find_wanted_view(arguments: Arguments) -> View | None:
    """How test recordings are to be transcribed; auto takes them whole where there is a GPU."""
    choice = arguments.evaluation.long_form
    if choice == "off":
        return None
    return (
        "whole"
        if choice == "on" or (choice == "auto" and arguments.training.device.type == "cuda")
        else "cuts"
    )


def describe_settings(arguments: Arguments, view: View | None) -> dict[str, Any]:
    """How recordings are transcribed in a view; ready for JSON."""
    if view == "cuts":
        is_asked = arguments.evaluation.long_form == "cuts"
        return {**asdict(decoding_of(arguments)), "max_cuts": MAX_CUTS if is_asked else MAX_CUTS_UNASKED}
    return {**SETTINGS, "precision": precision_of(arguments.training.device)}


def find_references(dataset: PreparedDataset, task: str | None, max_cuts: int = 0) -> list[Reference]:
    """What is known of the test recordings, or of their first cuts where there is a most of these."""
    windows = select_first_windows(dataset.test, max_cuts) if max_cuts else dataset.test
    elsewhere = concatenate_datasets([dataset.train, dataset.validation])
    return build_references(windows, {*elsewhere["recording"]}, task)
