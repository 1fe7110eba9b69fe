"""A model's error rates on a set of windows: where they are highest, how fast it was, before and after."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datasets import Dataset

from recipe.arguments import caption_language
from recipe.data.windows import segments_of, text_of
from recipe.evaluation.comparison import Comparison, bootstrap_interval, compare_errors
from recipe.evaluation.metrics import ErrorCounts, Scores, score_text, sum_scores
from recipe.evaluation.normalization import OURS, Normalizer
from recipe.evaluation.transcription import Decoding, transcribe_examples
from recipe.model.whisper import Whisper

FORMAT_VERSION = 3
"""Of `report.json`; raised whenever a key changes its name or meaning."""

NUM_WORST_WINDOWS = 10


@dataclass(frozen=True)
class Transcript:
    """One window: the reference, and the hypothesis of the model.

    Attributes:
        recording: Where it comes from.
        start_ms: Start in the recording.
        end_ms: End in the recording.
        language: Code of the language spoken.
        reference: What its captions say.
        hypothesis: What the model wrote.
        scores: Errors between the two.
    """

    recording: str
    start_ms: int
    end_ms: int
    language: str
    reference: str
    hypothesis: str
    scores: Scores


@dataclass(frozen=True)
class Evaluation:
    """A model's transcripts of a set of windows.

    Attributes:
        transcripts: In the order of the windows; not empty.
        seconds: Time that transcribing took.
        normalizer: Name of the `Normalizer` of the normalised rates.
        loss: Mean NLL of a label token; None where it was not measured, or the weights are of no use.
    """

    transcripts: Sequence[Transcript]
    seconds: float
    normalizer: str = OURS.name
    loss: float | None = None

    @property
    def scores(self) -> Scores:
        """Errors over all windows."""
        return sum_scores(transcript.scores for transcript in self.transcripts)

    @property
    def scores_by_language(self) -> dict[str, Scores]:
        """Errors over the windows of each language, by its code, in alphabetical order."""
        return _sum_by((transcript.language, transcript.scores) for transcript in self.transcripts)

    @property
    def recordings(self) -> list[str]:
        """Name of the recording of each window."""
        return [transcript.recording for transcript in self.transcripts]

    @property
    def word_errors(self) -> list[ErrorCounts]:
        """Normalised word errors of each window."""
        return [transcript.scores.words_normalized for transcript in self.transcripts]

    @property
    def audio_seconds(self) -> float:
        """Length of all windows."""
        return sum(transcript.end_ms - transcript.start_ms for transcript in self.transcripts) / 1000

    def as_dict(self) -> dict[str, Any]:
        """The evaluation for JSON; error rates are fractions."""
        by_recording = _sum_by((transcript.recording, transcript.scores) for transcript in self.transcripts)
        worst = sorted(self.transcripts, key=lambda t: t.scores.words_normalized.num_errors, reverse=True)
        return {
            **self.scores.as_dict(),
            "normalizer": self.normalizer,
            "wer_normalized_interval": list(bootstrap_interval(self.recordings, self.word_errors)),
            "num_windows": len(self.transcripts),
            "audio_seconds": round(self.audio_seconds, 3),
            "seconds": round(self.seconds, 3),
            "audio_seconds_per_second": round(self.audio_seconds / self.seconds, 2) if self.seconds else None,
            "languages": {code: scores.as_dict() for code, scores in self.scores_by_language.items()},
            "recordings": {name: scores.as_dict() for name, scores in by_recording.items()},
            "worst_windows": [_describe(transcript) for transcript in worst[:NUM_WORST_WINDOWS]],
        }


Evaluations = Mapping[str, Evaluation]
"""A model's transcripts of held-out windows, by part ("validation", "test"), where there are any."""


def _sum_by(named: Iterable[tuple[str, Scores]]) -> dict[str, Scores]:
    """The sum of the scores that have the same name, names in alphabetical order."""
    groups: defaultdict[str, list[Scores]] = defaultdict(list)
    for name, scores in named:
        groups[name].append(scores)
    return {name: sum_scores(groups[name]) for name in sorted(groups)}


def evaluate_model(
    whisper: Whisper,
    examples: Dataset,
    decoding: Decoding,
    on_batch: Callable[[int], object] = lambda _: None,
    normalizer: Normalizer = OURS,
    *,
    terms: Sequence[str] = (),
    with_loss: bool = False,
    num_workers: int = 0,
) -> Evaluation:
    """Transcribe every example and compare.

    Args:
        whisper: The model, on its device.
        examples: Windows with their words; at least one.
        decoding: How they are transcribed.
        on_batch: Called with the number of windows just transcribed.
        normalizer: By which normalised rates are taken.
        terms: In the prompt of every window.
        with_loss: Whether the loss is measured too.
        num_workers: Processes that make features.
    """
    started = time.monotonic()
    made = transcribe_examples(
        whisper, examples, decoding, on_batch, terms=terms, with_loss=with_loss, num_workers=num_workers
    )
    seconds = time.monotonic() - started
    transcripts = []
    for example, hypothesis in zip(examples.remove_columns("audio"), made.texts, strict=True):
        place = (example["recording"], example["start_ms"], example["end_ms"], example["language"])
        reference = text_of(segments_of(example))
        written_in = caption_language(example["language"], whisper.task)
        scores = score_text(reference, hypothesis, language=written_in, normalizer=normalizer)
        transcripts.append(Transcript(*place, reference, hypothesis, scores))
    loss = made.loss if made.loss is not None and math.isfinite(made.loss) else None
    return Evaluation(transcripts, seconds, normalizer.name, loss)


def choose_example(before: Evaluation, after: Evaluation) -> dict[str, str]:
    """The window that gained most, with its transcripts before and after."""
    gains = [
        first.scores.words_normalized.num_errors - second.scores.words_normalized.num_errors
        for first, second in zip(before.transcripts, after.transcripts, strict=True)
    ]
    best = gains.index(max(gains))
    first, second = before.transcripts[best], after.transcripts[best]
    return {"reference": first.reference, "before": first.hypothesis, "after": second.hypothesis}


def judge_difference(before: Evaluation, after: Evaluation) -> Comparison:
    """What may be said of the difference between two models on the same windows."""
    return compare_errors(before.recordings, before.word_errors, after.word_errors)


def compare(before: Evaluation, after: Evaluation) -> dict[str, Any]:
    """The summary that users read: error rates of the same windows before and after, as fractions.

    Where there are several languages, the normalised WER of each is `wer_normalized_fr_before` and so on.
    """
    figures: dict[str, Any] = {"normalizer": before.normalizer}
    for name, value in before.scores.as_dict().items():
        figures[f"{name}_before"] = value
        figures[f"{name}_after"] = after.scores.as_dict()[name]
    if len(before.scores_by_language) > 1:
        for code, scores in before.scores_by_language.items():
            figures[f"wer_normalized_{code}_before"] = scores.words_normalized.rate
            figures[f"wer_normalized_{code}_after"] = after.scores_by_language[code].words_normalized.rate
    return figures


def build_report(before: Evaluation, after: Evaluation) -> dict[str, Any]:
    """Ready for JSON: figures, both evaluations, both transcripts of every window."""
    windows = [
        {
            **_describe(first),
            "before": first.hypothesis,
            "after": second.hypothesis,
            "num_errors_after": second.scores.words_normalized.num_errors,
        }
        for first, second in zip(before.transcripts, after.transcripts, strict=True)
    ]
    for window in windows:
        del window["hypothesis"]
    return {
        "format_version": FORMAT_VERSION,
        **compare(before, after),
        "recordings": _compare_recordings(before, after),
        "before": before.as_dict(),
        "after": after.as_dict(),
        "windows": windows,
    }


def _compare_recordings(before: Evaluation, after: Evaluation) -> dict[str, dict[str, Any]]:
    """Normalised WER of each recording before and after, with the interval of the latter over its windows."""
    errors: defaultdict[str, list[tuple[ErrorCounts, ErrorCounts]]] = defaultdict(list)
    for name, first, second in zip(before.recordings, before.word_errors, after.word_errors, strict=True):
        errors[name].append((first, second))
    rows = {}
    for name in sorted(errors):
        of_base, of_trained = ([pair[side] for pair in errors[name]] for side in (0, 1))
        total = sum(of_base, ErrorCounts())
        rows[name] = {
            "num_words": total.num_reference,
            "before": total.rate,
            "after": sum(of_trained, ErrorCounts()).rate,
            "after_interval": list(bootstrap_interval([name] * len(of_trained), of_trained)),
        }
    return rows


def _describe(transcript: Transcript) -> dict[str, Any]:
    return {
        "recording": transcript.recording,
        "start_ms": transcript.start_ms,
        "end_ms": transcript.end_ms,
        "language": transcript.language,
        "reference": transcript.reference,
        "hypothesis": transcript.hypothesis,
        "num_errors": transcript.scores.words_normalized.num_errors,
    }
