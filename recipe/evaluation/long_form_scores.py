"""Figures of recordings, whole or in cuts: words, when they are said to begin, loops, and words made up."""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from typing import Any, Literal

import numpy as np
from datasets import Dataset

from recipe.arguments import caption_language
from recipe.data.windows import end_of_words, segments_of, text_of
from recipe.evaluation.comparison import Comparison, compare_errors
from recipe.evaluation.metrics import Scores, score_text, sum_scores
from recipe.evaluation.normalization import OURS, Normalizer, split_words

NEAR_MS = 200
"""A start so near to that of the cue is as good as exact: people see subtitles no better."""

LOST_MS = 1_000
"""A cue without a decoded start so near has none."""

MAX_START_ERROR_MS = 10_000
"""Starts that are farther off, or missing altogether, count as so much."""

MIN_REPEATS = 6
"""The same words so often in a row are a loop."""

MAX_LOOP_WORDS = 12
"""Longest phrase that is looked for."""

View = Literal["whole", "cuts"]
"""How recordings are transcribed: whole by faster-whisper, or cut every 30 s by the run's own decoding."""


@dataclass(frozen=True)
class Decoded:
    """A segment that the model wrote; times in milliseconds from the start of the recording."""

    start_ms: int
    end_ms: int
    text: str


@dataclass(frozen=True)
class Reference:
    """What is known of a recording.

    Attributes:
        recording: Its name.
        language: Code of the language spoken.
        covered_ms: Where all that is said is known, as (start, end), in order; the rest is not scored.
        cue_starts_ms: Start of each cue there.
        text: What is said there.
        is_whole: Whether the recording is transcribed from end to end; else from the first to the last
            of what is covered, since the rest was trained on or chosen by.
    """

    recording: str
    language: str
    covered_ms: list[tuple[int, int]]
    cue_starts_ms: list[int]
    text: str
    is_whole: bool = True

    def covers(self, segment: Decoded) -> bool:
        """Whether at least half of a segment is where all that is said is known."""
        end_ms = max(segment.end_ms, segment.start_ms + 1)
        overlaps = (min(end_ms, end) - max(segment.start_ms, start) for start, end in self.covered_ms)
        return 2 * sum(max(0, overlap) for overlap in overlaps) >= end_ms - segment.start_ms


@dataclass(frozen=True)
class TranscribedRecording:
    """A recording that a model transcribed.

    Attributes:
        recording: Its name.
        audio_seconds: Length of the audio that was given to the model.
        seconds: Time that it took.
        scores: Errors where the reference knows all that is said.
        start_errors_ms: From each cue's start to the nearest one decoded, at most `MAX_START_ERROR_MS`.
        num_segments: Segments that the model wrote: many make a near start likelier.
        num_loops: Phrases that it wrote `MIN_REPEATS` times in a row or more.
        hypothesis: What it wrote, where that is scored.
    """

    recording: str
    audio_seconds: float
    seconds: float
    scores: Scores
    start_errors_ms: list[int]
    num_segments: int
    num_loops: int
    hypothesis: str


@dataclass(frozen=True)
class LongForm:
    """What a model makes of recordings.

    Attributes:
        recordings: At least one.
        words_on: Words that it wrote on sounds without any, by the name of the sound; empty for cuts.
        unread: A sentence for each recording that could not be read.
        view: How they were transcribed.
    """

    recordings: list[TranscribedRecording]
    words_on: dict[str, int]
    unread: list[str]
    view: View = "whole"

    @cached_property
    def scores(self) -> Scores:
        """Errors over all recordings."""
        return sum_scores(item.scores for item in self.recordings)

    @property
    def audio_seconds(self) -> float:
        """Length of the audio that was given to the model."""
        return round(sum(item.audio_seconds for item in self.recordings), 3)

    @property
    def seconds(self) -> float:
        """Time that it took."""
        return sum(item.seconds for item in self.recordings)

    def summarise(self) -> dict[str, Any]:
        """The figures that users read; rates and shares are fractions, the rest milliseconds and counts."""
        return {
            "wer": self.scores.words.rate,
            "wer_normalized": self.scores.words_normalized.rate,
            "cer_normalized": self.scores.characters_normalized.rate,
            **describe_starts([error for item in self.recordings for error in item.start_errors_ms]),
            "num_loops": sum(item.num_loops for item in self.recordings),
            **{f"words_on_{name}": number for name, number in self.words_on.items()},
            "real_time_factor": round(self.seconds / max(1e-3, self.audio_seconds), 4),
        }

    def as_dict(self) -> dict[str, Any]:
        """The figures and each recording's, with what was written; ready for JSON."""
        return {
            **self.summarise(),
            **self.scores.as_dict(),
            "num_segments": sum(item.num_segments for item in self.recordings),
            "audio_seconds": self.audio_seconds,
            "seconds": round(self.seconds, 3),
            "unread": self.unread,
            "recordings": {item.recording: _describe(item) for item in self.recordings},
        }


@dataclass(frozen=True)
class LongFormComparison:
    """The same recordings by the base model and by the trained one, and how both transcribed them.

    Attributes:
        before: The base model's figures.
        after: Those of the trained one.
        settings: How both transcribed.
        word_times: What `recipe.evaluation.alignment_heads.WordTimes` tells; empty where it was not measured.
    """

    before: LongForm
    after: LongForm
    settings: Mapping[str, Any] = field(default_factory=dict)
    word_times: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def comparison(self) -> Comparison:
        """What may be said of the difference; recordings are drawn, however few they are."""
        names = [item.recording for item in self.before.recordings]
        before, after = (
            [item.scores.words_normalized for item in side.recordings] for side in (self.before, self.after)
        )
        return replace(compare_errors(names, before, after), drawn="recordings")

    @property
    def warning(self) -> str:
        """What to tell where only windows have fewer errors; "" where recordings have no more."""
        if self.comparison.after <= self.comparison.before:
            return ""
        before, after = (side.scores.words_normalized.rate for side in (self.before, self.after))
        where = "on whole recordings" if self.before.view == "whole" else "in cuts of 30 seconds"
        return (
            f"On windows the trained model makes fewer errors, {where} more: {after:.1%} of the words are "
            f"wrong there, {before:.1%} by the base model. Try it on your own recordings first; "
            "report.json has both transcripts under long_form."
        )

    def summarise(self) -> dict[str, Any]:
        """The figures that users read, each before and after."""
        return {
            "view": self.before.view,
            "num_recordings": len(self.before.recordings),
            "audio_seconds": self.before.audio_seconds,
            "before": self.before.summarise(),
            "after": self.after.summarise(),
            "comparison": self.comparison.as_dict(),
            "word_times": self.word_times,
        }

    def as_dict(self) -> dict[str, Any]:
        """Everything, for `report.json`."""
        sides = {"before": self.before.as_dict(), "after": self.after.as_dict()}
        return {"settings": dict(self.settings), **self.summarise(), **sides}


def build_references(windows: Dataset, partly: Collection[str], task: str | None) -> list[Reference]:
    """What is known of the recordings of some windows; those without a word are left out.

    Args:
        windows: Examples of the Arrow dataset.
        partly: Recordings that have windows elsewhere.
        task: See `recipe.arguments.caption_language`.
    """
    rows = sorted(
        windows.remove_columns("audio"), key=lambda example: (example["recording"], example["start_ms"])
    )
    references = []
    for name, group in groupby(rows, key=itemgetter("recording")):
        examples = list(group)
        reference = Reference(
            name,
            examples[0]["language"],
            [_covered(example) for example in examples],
            [start_ms for example in examples for start_ms in _cue_starts(example)],
            " ".join(filter(None, (text_of(segments_of(example)) for example in examples))),
            is_whole=name not in partly,
        )
        if reference.text and split_words(
            OURS(reference.text, caption_language(reference.language, task)), reference.language
        ):
            references.append(reference)
    return references


def score_recording(
    reference: Reference,
    segments: Sequence[Decoded],
    audio_seconds: float,
    seconds: float,
    task: str | None,
    normalizer: Normalizer = OURS,
) -> TranscribedRecording:
    """The figures of a recording.

    Args:
        reference: What is said in it.
        segments: What the model wrote, all of it.
        audio_seconds: Length of the audio that was given to it.
        seconds: Time that it took.
        task: See `recipe.arguments.caption_language`.
        normalizer: By which normalised rates are taken.
    """
    language = caption_language(reference.language, task)
    hypothesis = " ".join(segment.text.strip() for segment in segments if reference.covers(segment))
    words = split_words(normalizer(" ".join(s.text for s in segments), language), language)
    return TranscribedRecording(
        reference.recording,
        audio_seconds,
        seconds,
        score_text(reference.text, hypothesis, language=language, normalizer=normalizer),
        measure_starts(reference.cue_starts_ms, [segment.start_ms for segment in segments]),
        len(segments),
        count_loops(words),
        hypothesis,
    )


def measure_starts(cues_ms: Iterable[int], decoded_ms: Iterable[int]) -> list[int]:
    """From each cue's start to the nearest one decoded, at most `MAX_START_ERROR_MS`."""
    starts_ms = sorted(decoded_ms)

    def distance(cue_ms: int) -> int:
        place = bisect_left(starts_ms, cue_ms)
        near = [abs(cue_ms - start_ms) for start_ms in starts_ms[max(0, place - 1) : place + 1]]
        return min([*near, MAX_START_ERROR_MS])

    return [distance(cue_ms) for cue_ms in cues_ms]


def count_loops(words: Sequence[str]) -> int:
    """Stretches in which a phrase of at most `MAX_LOOP_WORDS` words comes `MIN_REPEATS` times or more."""
    number = place = 0
    while place < len(words):
        end = max(_end_of_repeats(words, place, length) for length in range(1, MAX_LOOP_WORDS + 1))
        number += end > place
        place = max(end, place + 1)
    return number


def _end_of_repeats(words: Sequence[str], place: int, length: int) -> int:
    """Where the repeats of the phrase that begins at a place end; the place itself if they are no loop."""
    end = place + length
    while end < len(words) and words[end] == words[end - length]:
        end += 1
    return end if end - place >= MIN_REPEATS * length else place


def _covered(example: Mapping[str, Any]) -> tuple[int, int]:
    start_ms = example["start_ms"]
    return start_ms, start_ms + end_of_words(segments_of(example), example["end_ms"] - start_ms)


def _cue_starts(example: Mapping[str, Any]) -> list[int]:
    return [
        example["start_ms"] + segment.start_ms
        for segment in segments_of(example)
        if segment.end_ms is not None
    ]


def describe_starts(errors_ms: Sequence[int]) -> dict[str, Any]:
    """The figures of errors of cue starts, at least one."""
    errors = np.array(errors_ms)
    return {
        "num_cues": len(errors),
        "start_error_median_ms": float(np.median(errors)),
        "start_error_p90_ms": float(np.quantile(errors, 0.9)),
        "starts_within_200_ms": float((errors <= NEAR_MS).mean()),
        "num_cues_without_start": int((errors > LOST_MS).sum()),
    }


def _describe(item: TranscribedRecording) -> dict[str, Any]:
    return {
        **item.scores.as_dict(),
        **describe_starts(item.start_errors_ms),
        "num_segments": item.num_segments,
        "num_loops": item.num_loops,
        "audio_seconds": round(item.audio_seconds, 3),
        "seconds": round(item.seconds, 3),
        "hypothesis": item.hypothesis,
    }
