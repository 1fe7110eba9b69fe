"""Test recordings whole, or in cuts, in a run: which of them is measured, on what, before and after."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar, cast

from accelerate.utils import broadcast_object_list
from datasets import concatenate_datasets

from recipe.audio.decoding import AudioLimits
from recipe.data.dataset import PreparedDataset
from recipe.data.manifest import Recording
from recipe.evaluation.alignment_heads import CueStart, WordTimes, current_heads, find_heads, time_cues
from recipe.evaluation.ctranslate import find_gpu_problem, precision_of
from recipe.evaluation.cuts import cut_recordings, measure_cuts, select_first_windows
from recipe.evaluation.keywords import BothModels, compare_prompted_whole
from recipe.evaluation.long_form import SETTINGS, measure_long_form, open_recogniser
from recipe.evaluation.long_form_scores import (
    LongForm,
    LongFormComparison,
    Reference,
    View,
    build_references,
)
from recipe.model.preparation import limit_audio
from recipe.run.glossary import hash_terms
from recipe.training.arguments import Arguments
from recipe.training.assembly import decoding_of, normalizer_of
from recipe.training.attempt import Attempt
from recipe.training.distributed import local_main_first
from recipe.training.trainer import WhisperTrainer

T = TypeVar("T")

FORMAT_VERSION = 2
"""Of what is kept for a resume; raised whenever the figures of the same weights would be others."""

MAX_CUTS = 120
"""Cuts of a run that asks for them: an hour."""

MAX_CUTS_UNASKED = 12
"""Cuts of a run that does not: six minutes, so that they are seldom more than the test windows."""

TRAINED_WINDOWS_PER_CUT = 16
"""Windows that such a run trains for each of its cuts: both models transcribe it, which takes about as long
as training two windows, so that cuts take an eighth of the time of training at most."""


class LongFormCheck:
    """Transcribes test recordings: by the base model now, and by the published weights later.

    Args:
        attempt: Of the run.
        trainer: Its model has the base model's weights now.
        dataset: What was prepared.
        recordings: Of which it was made.
        terms: Of a glossary; whole recordings are transcribed once more with them in the prompts.

    Attributes:
        before: The base model's figures; None if nothing is measured.
    """

    def __init__(
        self,
        attempt: Attempt,
        trainer: WhisperTrainer,
        dataset: PreparedDataset,
        recordings: Sequence[Recording],
        terms: Sequence[str] = (),
    ) -> None:
        self._terms = terms
        self._attempt, self._trainer, self._recordings = attempt, trainer, recordings
        num_trained = trainer.num_updates * attempt.arguments.training.windows_per_update
        self._view = choose_view(attempt, num_trained) if len(dataset.test) else None
        self._normalizer = normalizer_of(attempt.arguments, trainer.whisper)
        self._settings = describe_settings(attempt.arguments, self._view, num_trained)
        self._dataset = dataset
        self._references: list[Reference] = []
        self.before: LongForm | None = None
        self._after: LongForm | None = None
        if self._view:
            max_cuts = self._settings.get("max_cuts", 0)
            self._references = find_references(dataset, trainer.whisper.task, max_cuts)
        if self._references:
            self.before = self._measure("base_long_form", "long_form_before", {})
            attempt.warn(*self.before.unread)
            attempt.job_eta.learn("long_form", self.before.seconds)
        if self.before and self._view == "whole" and terms:
            self._prompted = self._measure_prompted("base", "long_form_before", {})
            attempt.job_eta.learn("long_form", self.before.seconds + self._prompted.seconds)
        if self._references and self._view == "whole":
            self._starts = self._keep(
                "base_word_times", "long_form_before", list[CueStart], {}, self._time_cues
            )

    def compare(self, weights: Mapping[str, Any]) -> LongFormComparison | None:
        """The figures of the weights that the model has now beside the base model's.

        Where recordings are transcribed whole, the model gets the heads that time words best.

        Args:
            weights: What tells them from others of this run; ready for JSON.
        """
        if self.before is None:
            return None
        after = self._after = self._measure("published_long_form", "long_form_after", weights)
        if self._view != "whole":
            return LongFormComparison(self.before, after, self._settings)
        times = self._keep("published_word_times", "long_form_after", WordTimes, weights, self._settle_heads)
        self._trainer.whisper.generation_config.alignment_heads = times.heads
        return LongFormComparison(self.before, after, self._settings, times.as_dict())

    def compare_prompted(self, weights: Mapping[str, Any]) -> BothModels | None:
        """What terms in the prompts gain both models on whole recordings, once `compare` has transcribed.

        None where these are not transcribed, or there are no terms.
        """
        if not (self.before and self._after and self._view == "whole" and self._terms):
            return None
        prompted = self._measure_prompted("published", "long_form_after", weights)
        references = {reference.recording: reference.text for reference in self._references}
        return BothModels(
            compare_prompted_whole(self._terms, references, self.before, self._prompted),
            compare_prompted_whole(self._terms, references, self._after, prompted),
        )

    def _measure_prompted(self, whose: str, stage: str, depends_on: Mapping[str, Any]) -> LongForm:
        """The figures of the weights that the model has now, with the terms in the prompts."""
        depends_on = {**depends_on, **self._settings, "terms": hash_terms(self._terms)}
        make = partial(self._on_main, partial(self._transcribe, self._terms))
        return self._keep(f"{whose}_long_form_glossary", stage, LongForm, depends_on, make)

    def _measure(self, name: str, stage: str, depends_on: Mapping[str, Any]) -> LongForm:
        """The figures of the weights that the model has now, on every process. Kept for a resume."""
        make = self._measure_cuts if self._view == "cuts" else partial(self._on_main, self._transcribe)
        return self._keep(name, stage, LongForm, {**depends_on, **self._settings, "view": self._view}, make)

    def _keep(
        self, name: str, stage: str, kind: type[T], depends_on: Mapping[str, Any], make: Callable[[], T]
    ) -> T:
        depends_on = {**self._trainer.fingerprint, **depends_on, "format_version": FORMAT_VERSION}
        with self._attempt.stage(stage):
            return self._attempt.cached(name, kind, depends_on, make)

    def _measure_cuts(self) -> LongForm:
        # One process reads the recordings, which others may not have.
        cuts = self._on_main(partial(cut_recordings, self._references, self._recordings, self._limits))
        decoding = decoding_of(self._attempt.arguments)
        with self._attempt.bar("transcribe cuts", len(cuts.examples), "window") as bar:
            return measure_cuts(self._trainer.whisper, cuts, decoding, bar.update, self._normalizer)

    def _on_main(self, make: Callable[[], T]) -> T:
        """What the main process makes, on every process."""
        made: list[Any] = [None]
        with local_main_first():  # the others wait for hours if need be
            if self._attempt.is_main:
                made[0] = make()
        broadcast_object_list(made)
        return cast(T, made[0])

    def _time_cues(self) -> list[CueStart]:
        whisper = self._trainer.whisper
        return self._on_main(partial(time_cues, whisper, self._dataset.test, current_heads(whisper)))

    def _settle_heads(self) -> WordTimes:
        whisper, test = self._trainer.whisper, self._dataset.test
        heads = self._on_main(partial(find_heads, whisper, self._dataset.validation))
        kept = self._time_cues()
        is_same = heads == current_heads(whisper)
        after = kept if is_same else self._on_main(partial(time_cues, whisper, test, heads))
        return WordTimes(self._starts, kept, after, heads)

    def _transcribe(self, terms: Sequence[str] = ()) -> LongForm:
        arguments, whisper = self._attempt.arguments, self._trainer.whisper
        with (
            self._attempt.bar("transcribe whole", len(self._references), "recording") as bar,
            open_recogniser(whisper, arguments.training.device) as recogniser,
        ):
            return measure_long_form(
                *(recogniser, self._references, self._recordings, self._limits),
                bar.update,
                self._normalizer,
                terms,
            )

    @property
    def _limits(self) -> AudioLimits:
        return limit_audio(self._attempt.arguments.data)


def choose_view(attempt: Attempt, num_trained: int) -> View | None:
    """How the run transcribes test recordings, if at all; says so where it cannot as it would.

    All processes do as the main one can.

    Args:
        attempt: Of the run.
        num_trained: Windows that it trains, over all epochs.
    """
    view = find_wanted_view(attempt.arguments)
    if view == "cuts" and not count_cuts(attempt.arguments, num_trained):
        return None
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
    if choice == "off" or arguments.source.prepared_dir:  # without the recordings themselves
        return None
    return (
        "whole"
        if choice == "on" or (choice == "auto" and arguments.training.device.type == "cuda")
        else "cuts"
    )


def count_cuts(arguments: Arguments, num_trained: int) -> int:
    """The most cuts that the run transcribes."""
    if arguments.evaluation.long_form == "cuts":
        return MAX_CUTS
    return min(MAX_CUTS_UNASKED, num_trained // TRAINED_WINDOWS_PER_CUT)


def describe_settings(arguments: Arguments, view: View | None, num_trained: int) -> dict[str, Any]:
    """How recordings are transcribed in a view; ready for JSON."""
    if view == "cuts":
        return {**asdict(decoding_of(arguments)), "max_cuts": count_cuts(arguments, num_trained)}
    return {**SETTINGS, "precision": precision_of(arguments.training.device)}


def find_references(dataset: PreparedDataset, task: str | None, max_cuts: int = 0) -> list[Reference]:
    """What is known of the test recordings, or of their first cuts where there is a most of these."""
    windows = select_first_windows(dataset.test, max_cuts) if max_cuts else dataset.test
    elsewhere = concatenate_datasets([dataset.train, dataset.validation])
    return build_references(windows, {*elsewhere["recording"]}, task)
