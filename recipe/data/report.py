"""The dataset report: where every recording, cue and millisecond of audio ended up."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from recipe.data.windows import Packing
from recipe.errors import DataError

UNCAPTIONED = "no captions over it"
MAX_NOTES = 50
"""Notes listed for one recording; all are counted."""


@dataclass
class RecordingReport:
    """What became of one recording.

    The sums hold exactly: `audio_ms` = `kept_ms` + all of `lost_ms`, and `num_cues` = `num_cues_kept` +
    all of `lost_cues`.

    Attributes:
        name: The recording.
        outcome: "speech" (trained with its words), "silence" (labelled as silence) or "skipped".
        reason: Why it is not speech, or "".
        is_fallback: Its windows stand in for data that was bad (a missing file, an empty transcript).
        audio_ms: Audio that came in; 0 if it could not be read.
        kept_ms: Audio inside windows, counted once where windows overlap.
        lost_ms: Audio outside windows, in milliseconds by reason.
        num_cues: Cues that the caption file holds; one that was split counts as its parts.
        num_cues_kept: Cues that are in a window.
        lost_cues: Cues that were dropped, or merged into another one, by reason.
        num_windows: Windows made of it.
        num_notes: Repairs and losses noted.
        notes: The first `MAX_NOTES` of them, each naming line or time and reason.
        is_held_out: Kept away from training, to measure the error rate.
        num_held_back_windows: Windows that the label check keeps from training.
    """

    name: str
    outcome: str = "speech"
    reason: str = ""
    is_fallback: bool = False
    audio_ms: int = 0
    kept_ms: int = 0
    lost_ms: dict[str, int] = field(default_factory=dict)
    num_cues: int = 0
    num_cues_kept: int = 0
    lost_cues: dict[str, int] = field(default_factory=dict)
    num_windows: int = 0
    num_notes: int = 0
    notes: list[str] = field(default_factory=list)
    is_held_out: bool = False
    num_held_back_windows: int = 0

    def add_notes(self, notes: Iterable[str]) -> None:
        """Count notes and keep the first ones."""
        for note in notes:
            self.num_notes += 1
            if len(self.notes) < MAX_NOTES:
                self.notes.append(note)

    def lose_all_cues(self, num_cues: int, reason: str) -> None:
        """Count all cues of the recording as lost."""
        self.num_cues, self.num_cues_kept = num_cues, 0
        self.lost_cues = {reason: num_cues} if num_cues else {}

    def count_cues(self, num_cues: int, lost: Iterable[str]) -> None:
        """Count the cues of the file, given the reason for each that is lost."""
        self.lost_cues = dict(Counter(lost))
        self.num_cues = num_cues
        self.num_cues_kept = num_cues - sum(self.lost_cues.values())

    def count_audio(self, packing: Packing, duration_ms: int) -> None:
        """Attribute every millisecond of audio to a window or to the reason why it is in none."""
        reasons = [UNCAPTIONED, "kept", *sorted({dropped.reason for dropped in packing.dropped})]
        owner = np.zeros(duration_ms, dtype=np.uint8)
        for dropped in packing.dropped:
            owner[max(0, dropped.cue.start_ms) : dropped.cue.end_ms] = reasons.index(dropped.reason)
        for window in packing.windows:
            owner[window.start_ms : window.end_ms] = 1
        totals = np.bincount(owner, minlength=len(reasons))
        self.audio_ms, self.kept_ms = duration_ms, int(totals[1])
        self.lost_ms = {
            reason: int(total)
            for reason, total in zip(reasons, totals, strict=True)
            if total and reason != "kept"
        }


def build_report(reports: Sequence[RecordingReport], num_train: int, num_held_out: int) -> dict[str, Any]:
    """The report of the whole dataset, ready for JSON; its windows add up.

    `num_windows` = `num_train_windows` + `num_held_out_windows` + `num_held_back_windows` (the label
    check's) + `num_unused_windows` (between the two parts of a single recording).

    Args:
        reports: One for each recording that came in.
        num_train: Windows to train on.
        num_held_out: Windows to measure the error rate on.
    """
    num_windows = sum(report.num_windows for report in reports)
    lost_ms: Counter[str] = Counter()
    lost_cues: Counter[str] = Counter()
    for report in reports:
        lost_ms.update(report.lost_ms)
        lost_cues.update(report.lost_cues)
    return {
        "num_recordings": len(reports),
        "recordings_by_outcome": dict(Counter(report.outcome for report in reports)),
        "num_fallback_recordings": sum(report.is_fallback for report in reports),
        "held_out": sorted(report.name for report in reports if report.is_held_out),
        "audio_hours": round(sum(report.audio_ms for report in reports) / 3_600_000, 4),
        "audio_ms": sum(report.audio_ms for report in reports),
        "kept_ms": sum(report.kept_ms for report in reports),
        "lost_ms": dict(lost_ms),
        "num_cues": sum(report.num_cues for report in reports),
        "num_cues_kept": sum(report.num_cues_kept for report in reports),
        "lost_cues": dict(lost_cues),
        "num_windows": num_windows,
        "num_train_windows": num_train,
        "num_held_out_windows": num_held_out,
        "num_held_back_windows": 0,
        "num_unused_windows": num_windows - num_train - num_held_out,
        "held_back": [],
        "recordings": [asdict(report) for report in reports],
    }


def report_warnings(reports: Sequence[RecordingReport]) -> list[str]:
    """One sentence for each recording that is not trained with all its words' audio."""
    return [f"{report.name}: {report.outcome}: {report.reason}" for report in reports if report.reason]


def check_fallbacks(reports: Sequence[RecordingReport], max_fraction: float) -> None:
    """Refuse a dataset that has no speech, or too many windows standing in for bad data.

    Raises:
        DataError: with the list of bad recordings.
    """
    num_windows = sum(report.num_windows for report in reports)
    num_fallback = sum(report.num_windows for report in reports if report.is_fallback)
    bad = "; ".join(report_warnings(reports)[:20]) or "no captions were found"
    if not any(report.outcome == "speech" for report in reports):
        raise DataError(f"None of the {len(reports)} recordings can be trained on: {bad}.")
    if num_fallback > max_fraction * num_windows:
        raise DataError(
            f"{num_fallback} of {num_windows} windows would stand in for bad data, more than the share of "
            f"{max_fraction:g} that max_fallback_fraction allows: {bad}. Mend or remove these recordings."
        )
