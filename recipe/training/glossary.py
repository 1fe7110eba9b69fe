"""A run's glossary: the test part with its terms in the prompt, by the base model and what is published."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset

from recipe.data.shards import texts_of
from recipe.evaluation.keywords import BothModels, GlossaryComparison, compare_prompted, count_said
from recipe.evaluation.report import Evaluation
from recipe.model.glossary import choose_fitting
from recipe.model.labels import LabelEncoder
from recipe.run.glossary import hash_terms, read_glossary
from recipe.training import assembly
from recipe.training.attempt import Attempt
from recipe.training.trainer import WhisperTrainer


class GlossaryCheck:
    """Transcribes the test windows with the glossary in the prompt: by the base model now, later by others.

    Without a glossary, or if no term of it is said in the test part, nothing is done.

    Args:
        attempt: Of the run.
        trainer: Its model has the base model's weights now.
        test: The test windows; none where nothing is held out.
    """

    def __init__(self, attempt: Attempt, trainer: WhisperTrainer, test: Dataset) -> None:
        self._attempt, self._trainer, self._test = attempt, trainer, test
        self._terms, self._num_terms, self._num_said = list[str](), 0, 0
        path = attempt.arguments.data.glossary
        if not path or not len(test):
            return
        whisper, given = trainer.whisper, read_glossary(Path(path))
        self._num_terms = len(given)
        self._terms = choose_fitting(given, LabelEncoder(whisper.processor.tokenizer, whisper.task))
        self._num_said = count_said(self._terms, texts_of(test))
        if not self._num_said:
            attempt.warn(
                f"None of the {len(self._terms)} terms of the glossary that fit into the prompt is said in "
                "the test part, so nothing was measured with it."
            )
            return
        self._base = self._transcribe_once("base", {})
        attempt.job_eta.learn("glossary", self._base.seconds)

    @property
    def terms(self) -> list[str]:
        """Those in the prompt; none where nothing is done."""
        return self._terms if self._num_said else []

    def compare(
        self, before: Evaluation, after: Evaluation, weights: Mapping[str, Any]
    ) -> GlossaryComparison | None:
        """The figures of the weights that the model has now beside the base model's.

        Args:
            before: The base model's transcripts of the test windows without the glossary.
            after: Those of the weights that the model has now.
            weights: What tells them from others of this run; ready for JSON.
        """
        if not self._num_said:
            return None
        prompted = self._transcribe_once("published", weights)
        return GlossaryComparison(
            self._terms,
            self._num_terms,
            self._num_said,
            BothModels(
                compare_prompted(self._terms, before, self._base),
                compare_prompted(self._terms, after, prompted),
            ),
        )

    def _transcribe_once(self, whose: str, weights: Mapping[str, Any]) -> Evaluation:
        """The transcripts with the terms in the prompt. Kept for a resume."""
        attempt, whisper = self._attempt, self._trainer.whisper
        depends_on = {
            **self._trainer.fingerprint,
            **assembly.describe_decoding(attempt.arguments),
            **weights,
            "terms": hash_terms(self._terms),
        }
        transcribe = partial(
            assembly.transcribe, attempt, whisper, self._test, "test with glossary", terms=self._terms
        )
        return attempt.cached(f"{whose}_glossary", Evaluation, depends_on, transcribe)
