"""Suspect windows: those whose words do not seem to be those of their audio.

Two figures say how well a window's words and audio fit (`recipe.screening.label_scores`). Here they are
judged by the dataset's own standard, each language by itself, since the base model knows some better than
others: a window is suspect when it is far below the median in robust standard deviations (1.4826 times the
median absolute deviation), a recording when more than half of its windows are. Suspect windows are not
trained, at most a stated fraction. Those held out to measure the error rate are named but stay: leaving out
what the base model gets wrong would flatter it, and with it the comparison before and after.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from statistics import median_high
from typing import Any

import numpy as np
from datasets import concatenate_datasets
from numpy.typing import NDArray

from recipe.data.dataset import PreparedDataset
from recipe.data.report import NUM_REVIEWED, describe_row
from recipe.data.shards import texts_of
from recipe.data.terms import Term
from recipe.run.warning import DataWarning, Finding, Importance
from recipe.screening.label_scores import LabelScore

MIN_WINDOWS = 20
"""Fewer windows do not show what is usual among them."""

MIN_MEDIAN_FIT = 0.2
"""Below it the base model hardly knows the right words either (wrong ones: 0.0), and cannot judge."""

WINDOW_LIMIT = -4.0
"""A window further down, in robust standard deviations, is suspect."""

RECORDING_LIMIT = -3.0
"""Likewise all windows of a recording, by their upper median, which varies less than a window."""

MAX_WORDS_SHOWN = 60
"""Characters of a suspect window's words in one row of the report."""

MIN_RECORDING_WINDOWS = 3
"""A shorter recording is judged window by window."""

MIN_FIT_DEVIATION = 0.04
MIN_TIMING_DEVIATION = 0.3
"""Least standard deviations that are believed, lest windows that are much alike be told apart."""

OTHER_WORDS = "the model finds other words in its audio"
OTHER_TIMES = "the model finds its words at other times"
SUSPECT_RECORDING = "most of its recording is suspect"

TERMS = {
    "score": Term(
        "How far a window is below what is usual in its language, in robust standard deviations; below "
        f"{WINDOW_LIMIT:g} it is suspect."
    ),
    OTHER_WORDS: Term(
        "The base model finds the words hardly more probable over this audio than over silence.",
        "Correct the words, or remove the cue if they are not said.",
    ),
    OTHER_TIMES: Term(
        "The base model finds the words, but not when the captions have them.",
        "Correct the times of its cues.",
    ),
    SUSPECT_RECORDING: Term(
        f"Over half of the windows of its recording are below {RECORDING_LIMIT:g}.",
        "See that the captions are those of this recording, in its language and on time.",
    ),
}
"""What the report's scores and reasons mean, and what mends them."""


@dataclass(frozen=True)
class SuspectWindow:
    """A window that is far out of the distribution.

    Attributes:
        window: The window.
        words: What its captions say; "" until they are read.
        score: How far it, or its whole recording, is from the median: standard deviations, below 0.
        reason: What is wrong with it, for the report.
    """

    window: LabelScore
    score: float
    reason: str
    words: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The window for the report."""
        return {
            **asdict(self.window),
            "words": self.words,
            "score": round(self.score, 2),
            "reason": self.reason,
        }


def exclude_suspects(
    data: PreparedDataset, scores: Sequence[LabelScore], max_fraction: float
) -> PreparedDataset:
    """The dataset without the suspect training windows; its report names every suspect.

    Args:
        data: The dataset.
        scores: Of its windows with words: those to train on, and after them those held out.
        max_fraction: Fraction of the training windows that may be excluded; beyond it only the worst are.
    """
    suspects = _read_words(data, find_suspects(scores))
    in_training = [suspect for suspect in suspects if suspect.window.index < len(data.train)]
    num_allowed = int(max_fraction * len(data.train))
    used_for = {
        "nothing": in_training[:num_allowed],
        "training": in_training[num_allowed:],
        "measurement": [suspect for suspect in suspects if suspect.window.index >= len(data.train)],
    }
    excluded = {suspect.window.index for suspect in used_for["nothing"]}
    kept = [index for index in range(len(data.train)) if index not in excluded]
    per_recording = Counter(suspect.window.recording for suspect in used_for["nothing"])
    report = {
        **data.report,
        "num_train_windows": len(kept),
        "num_excluded_suspect_windows": len(excluded),
        "label_check": {code: summarize(part) for code, part in group_by_language(scores).items()},
        "terms": {name: asdict(term) for name, term in TERMS.items()},
        "windows_to_review": _review(data, used_for),
        "suspect_windows": [
            {**suspect.as_dict(), "used_for": use} for use, some in used_for.items() for suspect in some
        ],
        "recordings": [
            {**recording, "num_excluded_suspect_windows": per_recording[recording["name"]]}
            for recording in data.report["recordings"]
        ],
    }
    return replace(
        data,
        train=data.train.select(kept) if excluded else data.train,
        report=report,
        warnings=data.warnings + _warn(scores, used_for, max_fraction),
        fingerprint=hashlib.sha256(f"{data.fingerprint} {sorted(excluded)}".encode()).hexdigest()[:16],
    )


def _read_words(data: PreparedDataset, suspects: Sequence[SuspectWindow]) -> list[SuspectWindow]:
    """The suspects with what their captions say."""
    examples = concatenate_datasets([data.train, data.validation, data.test])
    texts = texts_of(examples.select([suspect.window.index for suspect in suspects]))
    return [replace(suspect, words=words) for suspect, words in zip(suspects, texts, strict=True)]


def _review(data: PreparedDataset, used_for: Mapping[str, Sequence[SuspectWindow]]) -> list[dict[str, Any]]:
    """The windows to review: suspect ones first, then those whose figures alone are odd."""
    places = zip(data.rows["recording"], data.rows["start_ms"], strict=True)
    row_of = {place: row for row, place in enumerate(places)}
    reviewed = {}
    worst = sorted(chain(*used_for.values()), key=lambda suspect: suspect.score)[:NUM_REVIEWED]
    for suspect in worst:
        row = row_of[suspect.window.recording, suspect.window.start_ms]
        reviewed[row] = describe_row(data.rows, row)
        reviewed[row]["flags"] = [*reviewed[row]["flags"], suspect.reason]
        reviewed[row]["severity"] = round(suspect.score / WINDOW_LIMIT, 2)
        reviewed[row]["not_used_because"] = "it is suspect" if suspect in used_for["nothing"] else ""
    rest = [item for item in data.report["windows_to_review"] if item["row"] not in reviewed]
    return [*reviewed.values(), *rest][:NUM_REVIEWED]


def find_suspects(scores: Sequence[LabelScore]) -> list[SuspectWindow]:
    """The suspect windows, the worst first; none of a language where there is no telling what is usual."""
    suspects = [s for part in group_by_language(scores).values() for s in _find_in_language(part)]
    return sorted(suspects, key=lambda suspect: suspect.score)


def group_by_language(scores: Iterable[LabelScore]) -> dict[str, list[LabelScore]]:
    """The windows of each language, by its code; languages in alphabetical order."""
    groups: defaultdict[str, list[LabelScore]] = defaultdict(list)
    for window in scores:
        groups[window.language].append(window)
    return dict(sorted(groups.items()))


def _find_in_language(windows: Sequence[LabelScore]) -> list[SuspectWindow]:
    if not can_judge(windows):
        return []
    by_words = _standardize([window.fit for window in windows], MIN_FIT_DEVIATION)
    by_time = _standardize([window.timing for window in windows], MIN_TIMING_DEVIATION)
    # Captions that come too early or too late lose in both; loose times alone are common and harmless.
    deviations = np.minimum(by_words, (by_words + by_time) / np.sqrt(2))
    of_recording: defaultdict[str, list[float]] = defaultdict(list)
    for window, score in zip(windows, deviations.tolist(), strict=True):
        of_recording[window.recording].append(score)
    medians = {
        name: median_high(values) if len(values) >= MIN_RECORDING_WINDOWS else 0.0
        for name, values in of_recording.items()
    }
    suspects = []
    for window, own_score, is_worst_in_words in zip(
        windows, deviations.tolist(), by_words <= by_time, strict=True
    ):
        own = OTHER_WORDS if is_worst_in_words else OTHER_TIMES
        reasons, score = [own] * (own_score < WINDOW_LIMIT), own_score
        if medians[window.recording] < RECORDING_LIMIT:
            reasons.append(SUSPECT_RECORDING)
            score = min(own_score, medians[window.recording])
        if reasons:
            suspects.append(SuspectWindow(window, score, "; ".join(reasons)))
    return suspects


def can_judge(scores: Sequence[LabelScore]) -> bool:
    """Whether there are enough windows, and the base model knows the words of most of them."""
    return len(scores) >= MIN_WINDOWS and float(np.median([score.fit for score in scores])) >= MIN_MEDIAN_FIT


def summarize(scores: Sequence[LabelScore]) -> dict[str, float]:
    """What is usual in a language of the dataset, for the report."""
    summary: dict[str, float] = {"num_windows_with_words": len(scores), "is_judged": can_judge(scores)}
    if scores:
        summary["median_fit"] = round(float(np.median([score.fit for score in scores])), 4)
        summary["median_timing"] = round(float(np.median([score.timing for score in scores])), 4)
    return summary


def _standardize(values: Sequence[float], min_deviation: float) -> NDArray[np.float64]:
    """Distance of each value from the median in robust standard deviations."""
    distances = np.array(values) - np.median(values)
    return distances / max(1.4826 * float(np.median(np.abs(distances))), min_deviation)


def _warn(
    scores: Sequence[LabelScore], used_for: Mapping[str, Sequence[SuspectWindow]], max_fraction: float
) -> list[str]:
    """A sentence for each thing that the user should know; the report has every window."""
    unknown = [
        code
        for code, part in group_by_language(scores).items()
        if len(part) >= MIN_WINDOWS and not can_judge(part)
    ]
    warnings: list[str] = [
        f"Label check: the base model recognises hardly any of the words in language {code}, so it could not "
        "judge a window of it. See that language and captions are those of the audio, or train a model that "
        "knows the language."
        for code in unknown
    ]
    sentences = {
        "nothing": "are not trained: the base model does not recognise their words in their audio",
        "training": f"are trained: label_check_max_fraction allows to exclude {max_fraction:g}",
        "measurement": "are held out and measured all the same: mend their captions",
    }
    return warnings + [
        DataWarning(
            f"Label check: suspect windows that {sentences[use]} ({_count(suspects)}; dataset_report.json "
            "lists them).",
            Importance.LOST if use == "nothing" else Importance.MISLEADING,
            [_describe_suspect(suspect, use) for suspect in suspects],
        )
        for use, suspects in used_for.items()
        if suspects
    ]


def _describe_suspect(suspect: SuspectWindow, used_for: str) -> Finding:
    window = suspect.window
    return Finding(
        f"suspect windows, used for {used_for}",
        f"{suspect.reason} (score {suspect.score:.2f}): {suspect.words[:MAX_WORDS_SHOWN]}",
        window.recording,
        window.start_ms,
        window.end_ms,
        TERMS[suspect.reason.rpartition("; ")[2]].mend,
    )


def _count(suspects: Sequence[SuspectWindow], max_names: int = 10) -> str:
    counts = Counter(suspect.window.recording for suspect in suspects).most_common()
    names = [f"{number} of {name}" for name, number in counts[:max_names]]
    return ", ".join(names + [f"and of {len(counts) - max_names} more"] * (len(counts) > max_names))
