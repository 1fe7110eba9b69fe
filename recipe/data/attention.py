"""What needs a person: one row for each thing that is lost or may be wrong, with what mends it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from recipe.data.mends import split_mend
from recipe.data.report import FAULTY
from recipe.data.terms import TERMS, name_of
from recipe.run.warning import DataWarning, Finding, Importance, importance_of, most_important_first

MAX_LISTED = 20
"""Rows of one kind in the report; all are counted, and each recording has its own entry."""

OUTCOMES = ("skipped", "silence", "speech")
"""Of a recording that something is wrong with, the worst first."""

MAX_NOTES_SHOWN = 3
"""Notes of its recording beside a row."""


def list_findings(report: Mapping[str, Any], warnings: Iterable[str]) -> list[dict[str, Any]]:
    """What needs a person, by kind, the most important first; ready for JSON.

    Each kind has `what` was found, its `number`, and the first `MAX_LISTED` as `items`: see `Finding`, with
    the first notes of the recording.

    Args:
        report: Of the dataset.
        warnings: All warnings so far.
    """
    found = [*_from_warnings(warnings), *_from_report(report)]
    found.sort(key=lambda pair: pair[0])
    kinds: defaultdict[str, list[Finding]] = defaultdict(list)
    for _, finding in found:
        kinds[finding.what].append(finding)
    notes = {recording["name"]: recording["notes"][:MAX_NOTES_SHOWN] for recording in report["recordings"]}
    return [
        {
            "what": what,
            "number": len(items),
            "items": [asdict(item) | {"notes": notes.get(item.where, [])} for item in items[:MAX_LISTED]],
        }
        for what, items in kinds.items()
    ]


def sort_recordings(recordings: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those first that need a person most: not trained, trained in part, odd, with the most audio lost."""

    def badness(recording: Mapping[str, Any]) -> tuple[int, int, int, int]:
        is_whole = not recording["reason"]
        num_bad = recording["num_faulty_windows"] + recording["num_excluded_suspect_windows"]
        return (
            len(OUTCOMES) if is_whole else OUTCOMES.index(recording["outcome"]),
            -len(recording["flags"]),
            -num_bad,
            recording["kept_ms"] - recording["audio_ms"],
        )

    return sorted(recordings, key=badness)


def _from_warnings(warnings: Iterable[str]) -> Iterator[tuple[Importance, Finding]]:
    for warning in most_important_first(warnings):
        importance = importance_of(warning)
        rows = warning.findings if isinstance(warning, DataWarning) else None
        if rows is not None:
            yield from ((importance, row) for row in rows)
        elif importance < Importance.INFORMATION:
            why, mend = split_mend(str(warning))
            yield importance, Finding("the dataset as a whole", why, mend=mend)


def _from_report(report: Mapping[str, Any]) -> Iterator[tuple[Importance, Finding]]:
    for recording in report["recordings"]:
        name = recording["name"]
        for reason, (start_ms, end_ms) in recording["lost_examples"].items():
            if reason.startswith(FAULTY):
                fault = reason.removeprefix(FAULTY)
                mend = TERMS[fault].mend
                yield Importance.LOST, Finding("faulty windows", fault, name, start_ms, end_ms, mend)
        for flag in recording["flags"]:
            yield Importance.MISLEADING, Finding(name_of(flag), flag, name, mend=TERMS[name_of(flag)].mend)
    for names in report["duplicates"]:
        yield Importance.CHOSEN, _describe_duplicates(names)


def _describe_duplicates(names: Sequence[str]) -> Finding:
    first, *others = names
    return Finding(
        "the same recording again",
        f"{', '.join(others[:MAX_LISTED])}: the same sound or half of the words; all are used, on one side",
        first,
        mend="Remove all but one of them, unless they are different takes.",
    )
