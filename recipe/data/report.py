"""The dataset report: where every recording, cue and millisecond of audio ended up."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
from datasets import Dataset

from recipe.data.manifest import Recording, Side
from recipe.data.mends import split_mend
from recipe.data.windows import Packing, segments_of, text_of
from recipe.errors import DataError
from recipe.run.warning import DataWarning, Finding, Importance

FORMAT_VERSION = 4
"""Of `dataset_report.json`; raised whenever a key changes its name or meaning."""

KEPT = "kept"
UNCAPTIONED = "no captions over it"
FAULTY = "faulty window: "
"""What the reason begins with for audio and cues that are in a faulty window."""

MACHINE_MADE = "captions made by a machine"
RETIMED = "captions re-timed"
ALIGNED_UNCERTAINLY = "cues uncertain"
NUM_EXAMPLES = 3
"""Stretches of lost audio shown for each reason."""

MAX_NOTES = 50
"""Notes listed for one recording; all are counted."""

NUM_REVIEWED = 10
"""Windows that a person is asked to listen to, and as many of those held out."""

HISTOGRAMS = {
    "window_seconds": np.arange(0, 31, 2),
    "label_tokens": np.arange(0, 449, 32),
    "chars_per_second": np.arange(0, 37, 2),
}
"""Edges of the bins; what lies beyond the last one is counted in the last bin."""


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
        lost_examples: The longest stretch lost for each reason, as [start, end] in milliseconds.
        num_cues: Cues that the caption file holds; one that was split counts as its parts.
        num_cues_kept: Cues that are in a window.
        lost_cues: Cues that were dropped, or merged into another one, by reason.
        speech_ms: Time of the cues that end inside their windows, which is what the split holds a share of.
        num_words: Words of these cues; characters where a script has no spaces.
        num_windows: Windows made of it, those without speech included.
        num_no_speech_windows: Windows over gaps between cues without a voice.
        num_faulty_windows: Windows made and not used, because they can only be wrong.
        num_notes: Repairs and losses noted.
        notes: The first `MAX_NOTES` of them, each naming line or time and reason.
        flags: What is odd about it as a whole.
        language: Code of the language spoken; "" if it is not settled.
        scripts: Letters of its captions by script.
        audio_hash: SHA-256 of the audio file; "" without one.
        group: Speaker, session or channel, where one is known.
        side: Where the dataset brings a split, the side that the recording is on; else "".
        is_automatic: Whether its captions are another model's words.
        sides: Those that windows of it are on: "train", "validation", "test".
        num_excluded_suspect_windows: Windows that the label check keeps from training.
    """

    name: str
    outcome: str = "speech"
    reason: str = ""
    is_fallback: bool = False
    audio_ms: int = 0
    kept_ms: int = 0
    lost_ms: dict[str, int] = field(default_factory=dict)
    lost_examples: dict[str, list[int]] = field(default_factory=dict)
    num_cues: int = 0
    num_cues_kept: int = 0
    lost_cues: dict[str, int] = field(default_factory=dict)
    speech_ms: int = 0
    num_words: int = 0
    num_windows: int = 0
    num_no_speech_windows: int = 0
    num_faulty_windows: int = 0
    num_notes: int = 0
    notes: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    language: str = ""
    scripts: dict[str, int] = field(default_factory=dict)
    audio_hash: str = ""
    group: str = ""
    side: Side = ""
    is_automatic: bool = False
    sides: list[str] = field(default_factory=list)
    num_excluded_suspect_windows: int = 0

    def describe_source(self, recording: Recording) -> None:
        """Take over what is known of a recording beside its files, which its shard does not depend on."""
        self.group, self.side, self.is_automatic = recording.group, recording.side, recording.is_automatic
        self.flags = [MACHINE_MADE] * recording.is_automatic + [*recording.flags, *self.flags]
        self.num_notes += len(recording.notes)
        self.notes = [*recording.notes, *self.notes][:MAX_NOTES]

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
        spans = [(d.cue.start_ms, d.cue.end_ms, d.reason) for d in packing.dropped]
        spans += [(f.window.start_ms, f.window.end_ms, f"{FAULTY}{f.reason}") for f in packing.faulty]
        reasons = [KEPT, UNCAPTIONED, *sorted({reason for _, _, reason in spans})]
        owner = np.full(duration_ms, reasons.index(UNCAPTIONED), dtype=np.uint8)
        for start_ms, end_ms, reason in spans:
            owner[max(0, start_ms) : max(0, end_ms)] = reasons.index(reason)
        for window in packing.windows:
            owner[window.start_ms : window.end_ms] = reasons.index(KEPT)
        self.audio_ms, self.num_faulty_windows = duration_ms, len(packing.faulty)
        for number, reason in enumerate(reasons):
            total_ms = int(np.count_nonzero(owner == number))
            if reason == KEPT:
                self.kept_ms = total_ms
            elif total_ms:
                self.lost_ms[reason] = total_ms
                self.lost_examples[reason] = _longest_stretch(owner == number)


def _longest_stretch(is_lost: npt.NDArray[np.bool_]) -> list[int]:
    """Start and end of the longest stretch of True."""
    edges = np.flatnonzero(np.diff(is_lost, prepend=False, append=False))
    longest = int(np.argmax(edges[1::2] - edges[::2]))
    return [int(edges[2 * longest]), int(edges[2 * longest + 1])]


def build_report(
    reports: Sequence[RecordingReport], num_used: Mapping[str, int], num_unused: Mapping[str, int]
) -> dict[str, Any]:
    """The report of the whole dataset, ready for JSON; its windows add up.

    `num_windows` = `num_train_windows` + `num_validation_windows` + `num_test_windows` +
    `num_excluded_suspect_windows` (the label check's) + all of `num_unused_windows`.

    Args:
        reports: One for each recording that came in.
        num_used: Windows to train on, to choose weights by and to measure them on, by side.
        num_unused: Windows on no side, by reason.
    """
    num_windows = sum(report.num_windows for report in reports)
    lost_ms: Counter[str] = Counter()
    lost_cues: Counter[str] = Counter()
    for report in reports:
        lost_ms.update(report.lost_ms)
        lost_cues.update(report.lost_cues)
    return {
        "format_version": FORMAT_VERSION,
        "num_recordings": len(reports),
        "recordings_by_outcome": dict(Counter(report.outcome for report in reports)),
        "num_fallback_recordings": sum(report.is_fallback for report in reports),
        "num_automatic_recordings": sum(report.is_automatic for report in reports),
        "validation": sorted(report.name for report in reports if "validation" in report.sides),
        "test": sorted(report.name for report in reports if "test" in report.sides),
        "audio_hours": round(sum(report.audio_ms for report in reports) / 3_600_000, 4),
        "audio_ms": sum(report.audio_ms for report in reports),
        "kept_ms": sum(report.kept_ms for report in reports),
        "lost_ms": dict(lost_ms.most_common()),
        "lost_examples": {reason: _longest_losses(reports, reason) for reason in lost_ms},
        "num_cues": sum(report.num_cues for report in reports),
        "num_cues_kept": sum(report.num_cues_kept for report in reports),
        "lost_cues": dict(lost_cues.most_common()),
        "speech_ms": sum(report.speech_ms for report in reports),
        "num_words": sum(report.num_words for report in reports),
        "num_windows": num_windows,
        "num_no_speech_windows": sum(report.num_no_speech_windows for report in reports),
        "num_faulty_windows": sum(report.num_faulty_windows for report in reports),
        **{f"num_{side}_windows": number for side, number in num_used.items()},
        "num_excluded_suspect_windows": 0,
        "suspect_windows": [],
        "num_unused_windows": dict(num_unused),
        "languages": _count_languages(reports),
        "scripts": dict(sum((Counter(report.scripts) for report in reports), Counter()).most_common()),
        "recordings": [asdict(report) for report in reports],
    }


def _count_languages(reports: Sequence[RecordingReport]) -> dict[str, dict[str, int]]:
    """Recordings and audio by language, the most common first; both sum to those of the dataset."""
    counts = Counter(report.language or "unknown" for report in reports)
    audio_ms: Counter[str] = Counter()
    for report in reports:
        audio_ms[report.language or "unknown"] += report.audio_ms
    return {
        code: {"num_recordings": number, "audio_ms": audio_ms[code]} for code, number in counts.most_common()
    }


def _longest_losses(reports: Sequence[RecordingReport], reason: str) -> list[dict[str, Any]]:
    """The longest stretches of audio lost for a reason, one a recording."""
    losses = [
        (start_ms - end_ms, {"recording": report.name, "start_ms": start_ms, "end_ms": end_ms})
        for report in reports
        for start_ms, end_ms in [report.lost_examples.get(reason, (0, 0))]
        if end_ms
    ]
    return [loss for _, loss in sorted(losses, key=itemgetter(0))[:NUM_EXAMPLES]]


def report_warnings(reports: Sequence[RecordingReport]) -> list[DataWarning]:
    """One sentence for each recording that is not trained with all its words' audio."""
    return [
        DataWarning(
            f"{report.name}: {report.outcome}: {report.reason}", Importance.LOST, [_describe_bad(report)]
        )
        for report in reports
        if report.reason
    ]


def _describe_bad(report: RecordingReport) -> Finding:
    why, mend = split_mend(report.reason)
    what = {
        "speech": "recordings that are trained in part",
        "silence": "recordings that are trained as silence",
        "skipped": "recordings that are not trained",
    }[report.outcome]
    return Finding(what, why, report.name, mend=mend)


def check_fallbacks(reports: Sequence[RecordingReport], max_fraction: float) -> None:
    """Refuse a dataset that has no speech, or too many windows standing in for bad data.

    Raises:
        DataError: with the list of bad recordings.
    """
    num_windows = sum(report.num_windows for report in reports)
    num_fallback = sum(report.num_windows for report in reports if report.is_fallback)
    bad = "; ".join(report_warnings(reports)[:20]).rstrip(".") or "no captions were found"
    if not any(report.outcome == "speech" for report in reports):
        raise DataError(f"None of the {len(reports)} recordings can be trained on: {bad}.")
    if num_fallback > max_fraction * num_windows:
        raise DataError(
            f"{num_fallback} of {num_windows} windows would stand in for bad data, more than the fraction "
            f"of {max_fraction:g} that max_fallback_fraction allows: {bad}. Mend or remove these recordings."
        )


def describe_windows(rows: Dataset, test: Dataset) -> dict[str, Any]:
    """Histograms of the windows in use, flags of all, those to be reviewed, some held out; ready for JSON.

    Args:
        rows: As `load_rows` gives them, the faulty ones included.
        test: Those that the error rate is measured on.
    """
    columns = rows.select_columns(
        ["recording", "start_ms", "end_ms", "num_tokens", "chars_per_second", "flags", "severity", "fault"]
    )[:]
    played = _spread(list(zip(test["recording"][:], test["start_ms"][:], strict=True)))
    places = enumerate(zip(columns["recording"], columns["start_ms"], strict=True))
    row_of = {place: row for row, place in places if place in played}
    is_used = np.array([not fault for fault in columns["fault"]], dtype=bool)
    lengths_ms = np.array(columns["end_ms"]) - np.array(columns["start_ms"])
    has_words = np.array(columns["severity"]) > 0
    figures = {
        "window_seconds": lengths_ms[is_used] / 1000,
        "label_tokens": np.array(columns["num_tokens"])[is_used],
        "chars_per_second": np.array(columns["chars_per_second"])[is_used & has_words],
    }
    return {
        "histograms": {name: count_bins(values, HISTOGRAMS[name]) for name, values in figures.items()},
        "num_flagged_windows": _count(flag for flags in columns["flags"] for flag in flags),
        "faulty_windows": _count(fault for fault in columns["fault"] if fault),
        "windows_to_review": [describe_row(rows, row) for row in _most_severe(columns["severity"])],
        "test_windows": [describe_row(rows, row_of[place]) for place in played],
    }


def count_bins(values: np.ndarray[Any, Any], edges: np.ndarray[Any, Any]) -> dict[str, list[int]]:
    """Edges of the bins and how many values lie in each; the counts sum to the number of values."""
    inside = np.clip(values, edges[0], edges[-1])
    return {"edges": edges.tolist(), "counts": np.histogram(inside, edges)[0].tolist()}


def _count(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())


def _most_severe(severities: list[float]) -> list[int]:
    order = np.argsort(-np.array(severities), kind="stable")[:NUM_REVIEWED]
    return [int(row) for row in order if severities[row] > 0]


def _spread(places: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """`NUM_REVIEWED` of the places, evenly from the first to the last."""
    number = min(NUM_REVIEWED, len(places))
    return [places[round(index * (len(places) - 1) / max(1, number - 1))] for index in range(number)]


def describe_row(rows: Dataset, row: int) -> dict[str, Any]:
    """A window as the review list has it."""
    example = rows[row]
    return {
        "row": row,
        **{name: example[name] for name in ("recording", "start_ms", "end_ms", "flags")},
        "severity": round(example["severity"], 2),
        "not_used_because": example["fault"],
        "text": text_of(segments_of(example)),
    }
