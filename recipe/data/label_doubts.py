"""Windows whose words do not seem to be those of their audio: which, and what is done about them.

Two figures say how well a window's words and audio fit (the base model finds them, see
`recipe.training.label_check`). Here they are judged by the dataset's own standard, each language by
itself, since the base model hears some better than others: a window is in doubt when it is far below the
median in robust standard deviations (1.4826 times the median absolute deviation), a recording when more
than half of its windows are. Windows in doubt are held back from training, at most a stated share. Those
held out to measure the error rate are named but stay: leaving out what the base model hears badly would
flatter it, and with it the comparison before and after.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median_high
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipe.data.overview import NUM_LISTENED, describe_row
from recipe.data.preparation import PreparedDataset

MIN_WINDOWS = 20
"""Fewer windows do not show what is usual among them."""

MIN_MEDIAN_FIT = 0.2
"""Below it the base model hardly hears the right words either (wrong ones: 0.0), and cannot judge."""

WINDOW_LIMIT = -4.0
"""A window further down, in robust standard deviations, is in doubt."""

RECORDING_LIMIT = -3.0
"""Likewise all windows of a recording, by their upper median, which varies less than a window."""

MIN_RECORDING_WINDOWS = 3
"""A shorter recording is judged window by window."""

MIN_FIT_DEVIATION = 0.04
MIN_TIMING_DEVIATION = 0.3
"""Least standard deviations that are believed, lest windows that are much alike be told apart."""


@dataclass(frozen=True)
class WindowFit:
    """How well the words of a window fit its audio.

    Attributes:
        index: Place among the windows to train on, and after them those held out.
        recording: Where it comes from.
        start_ms: Start in the recording.
        end_ms: End in the recording.
        language: Code of the language spoken.
        words: What its captions say; not empty.
        fit: Share of the words' surprise that the audio takes away: about 0 for the words of other
            audio, 1 if the audio tells them all.
        timing: Mean log-probability of the captions' times, in nats; never above 0.
    """

    index: int
    recording: str
    start_ms: int
    end_ms: int
    language: str
    words: str
    fit: float
    timing: float


@dataclass(frozen=True)
class Doubt:
    """A window that is far out of the distribution.

    Attributes:
        window: The window.
        score: How far it, or its whole recording, is from the median: standard deviations, below 0.
        reason: What is wrong with it, for the report.
    """

    window: WindowFit
    score: float
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """The doubt for the report."""
        return asdict(self.window) | {"score": round(self.score, 2), "reason": self.reason}


def hold_back(data: PreparedDataset, fits: Sequence[WindowFit], max_fraction: float) -> PreparedDataset:
    """The dataset without the training windows in doubt; its report names every one.

    Args:
        data: The dataset.
        fits: Of its windows with words, those to train on and those held out.
        max_fraction: Share of the training windows that may be held back; beyond it only the worst are.
    """
    doubts = find_doubts(fits)
    in_training = [doubt for doubt in doubts if doubt.window.index < len(data.train)]
    measured = [doubt for doubt in doubts if doubt.window.index >= len(data.train)]
    num_allowed = int(max_fraction * len(data.train))
    held_back, trained = in_training[:num_allowed], in_training[num_allowed:]
    removed = {doubt.window.index for doubt in held_back}
    kept = [index for index in range(len(data.train)) if index not in removed]
    per_recording = Counter(doubt.window.recording for doubt in held_back)
    report = {
        **data.report,
        "num_train_windows": len(kept),
        "num_held_back_windows": len(held_back),
        "label_check": {code: summarize(part) for code, part in group_by_language(fits).items()},
        "listening": _listen_to(data, held_back, [*trained, *measured]),
        "held_back": [doubt.as_dict() for doubt in held_back],
        "doubted": [
            *({**doubt.as_dict(), "used_for": "training"} for doubt in trained),
            *({**doubt.as_dict(), "used_for": "measurement"} for doubt in measured),
        ],
        "recordings": [
            {**recording, "num_held_back_windows": per_recording[recording["name"]]}
            for recording in data.report["recordings"]
        ],
    }
    return replace(
        data,
        train=data.train.select(kept) if held_back else data.train,
        report=report,
        warnings=data.warnings + _warn(fits, held_back, trained, measured, max_fraction),
        fingerprint=hashlib.sha256(f"{data.fingerprint} {sorted(removed)}".encode()).hexdigest()[:16],
    )


def _listen_to(
    data: PreparedDataset, held_back: Sequence[Doubt], others: Sequence[Doubt]
) -> list[dict[str, Any]]:
    """The listening list, with what the base model doubts before what its looks alone make doubtful."""
    places = zip(data.rows["recording"], data.rows["start_ms"], strict=True)
    row_of = {place: row for row, place in enumerate(places)}
    doubted = {}
    for doubt in sorted([*held_back, *others], key=lambda doubt: doubt.score)[:NUM_LISTENED]:
        row = row_of[doubt.window.recording, doubt.window.start_ms]
        doubted[row] = describe_row(data.rows, row)
        doubted[row]["flags"] = [*doubted[row]["flags"], doubt.reason]
        doubted[row]["doubt"] = round(doubt.score / WINDOW_LIMIT, 2)
        doubted[row]["held_back"] = "by the label check" if doubt in held_back else ""
    rest = [item for item in data.report["listening"] if item["row"] not in doubted]
    return [*doubted.values(), *rest][:NUM_LISTENED]


def find_doubts(fits: Sequence[WindowFit]) -> list[Doubt]:
    """The windows in doubt, the worst first; none of a language where there is no telling what is usual."""
    doubts = [doubt for part in group_by_language(fits).values() for doubt in _find_in_language(part)]
    return sorted(doubts, key=lambda doubt: doubt.score)


def group_by_language(fits: Iterable[WindowFit]) -> dict[str, list[WindowFit]]:
    """The windows of each language, by its code; languages in alphabetical order."""
    groups: defaultdict[str, list[WindowFit]] = defaultdict(list)
    for window in fits:
        groups[window.language].append(window)
    return dict(sorted(groups.items()))


def _find_in_language(fits: Sequence[WindowFit]) -> list[Doubt]:
    if not can_judge(fits):
        return []
    by_words = _standardize([window.fit for window in fits], MIN_FIT_DEVIATION)
    by_time = _standardize([window.timing for window in fits], MIN_TIMING_DEVIATION)
    # Captions that come too early or too late lose in both; loose times alone are common and harmless.
    scores = np.minimum(by_words, (by_words + by_time) / np.sqrt(2))
    of_recording: defaultdict[str, list[float]] = defaultdict(list)
    for window, score in zip(fits, scores.tolist(), strict=True):
        of_recording[window.recording].append(score)
    medians = {
        name: median_high(values) if len(values) >= MIN_RECORDING_WINDOWS else 0.0
        for name, values in of_recording.items()
    }
    doubts = []
    for window, own_score, is_worst_in_words in zip(fits, scores.tolist(), by_words <= by_time, strict=True):
        own = "its words are not heard" if is_worst_in_words else "its words are heard at other times"
        reasons, score = [own] * (own_score < WINDOW_LIMIT), own_score
        if medians[window.recording] < RECORDING_LIMIT:
            reasons.append("most of its recording is in doubt")
            score = min(own_score, medians[window.recording])
        if reasons:
            doubts.append(Doubt(window, score, "; ".join(reasons)))
    return doubts


def can_judge(fits: Sequence[WindowFit]) -> bool:
    """Whether there are enough windows, and the base model hears the words of most of them."""
    return len(fits) >= MIN_WINDOWS and float(np.median([window.fit for window in fits])) >= MIN_MEDIAN_FIT


def summarize(fits: Sequence[WindowFit]) -> dict[str, float]:
    """What is usual in a language of the dataset, for the report."""
    summary: dict[str, float] = {"num_windows_with_words": len(fits), "is_judged": can_judge(fits)}
    if fits:
        summary["median_fit"] = round(float(np.median([window.fit for window in fits])), 4)
        summary["median_timing"] = round(float(np.median([window.timing for window in fits])), 4)
    return summary


def _standardize(values: Sequence[float], min_deviation: float) -> NDArray[np.float64]:
    """Distance of each value from the median in robust standard deviations."""
    distances = np.array(values) - np.median(values)
    return distances / max(1.4826 * float(np.median(np.abs(distances))), min_deviation)


def _warn(
    fits: Sequence[WindowFit],
    held_back: Sequence[Doubt],
    trained: Sequence[Doubt],
    measured: Sequence[Doubt],
    max_fraction: float,
) -> list[str]:
    """A sentence for each thing that the user should know; the report has every window."""
    unknown = [
        code
        for code, part in group_by_language(fits).items()
        if len(part) >= MIN_WINDOWS and not can_judge(part)
    ]
    warnings = [
        f"Label check: the base model hears hardly any of the words in language {code}, so it could not "
        "judge a window of it. See that language and captions are those of the audio, or train a model that "
        "knows the language."
        for code in unknown
    ]
    sentences = [
        (held_back, "held back from training: the base model does not hear their words in their audio"),
        (trained, f"in doubt and trained: label_check_max_fraction allows to hold back {max_fraction:g}"),
        (measured, "in doubt, but held out and measured all the same: mend their captions"),
    ]
    return warnings + [
        f"Label check: windows {what} ({_count(doubts)}; dataset_report.json lists them)."
        for doubts, what in sentences
        if doubts
    ]


def _count(doubts: Sequence[Doubt], max_names: int = 10) -> str:
    counts = Counter(doubt.window.recording for doubt in doubts).most_common()
    names = [f"{number} of {name}" for name, number in counts[:max_names]]
    return ", ".join(names + [f"and of {len(counts) - max_names} more"] * (len(counts) > max_names))
