"""What a run prints at its end: figures, a sentence before and after, warnings, and where everything is."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

RATES = {
    "wer_normalized": "Words wrong",
    "wer": "Words wrong, as written",
    "cer_normalized": "Characters wrong",
    "cer": "Characters wrong, as written",
}
"""Error rates of the result, and what they are called."""

VIEWS = {"whole": "Words wrong, whole recordings", "cuts": "Words wrong, cuts of 30 s"}
"""What the error rate of recordings is called, by how they were transcribed."""

MAX_WARNINGS = 10
"""Warnings printed; the report has all."""


def describe_result(result: Mapping[str, Any]) -> Iterator[str]:
    """The lines, from the `result` of a finished run."""
    evaluation, artifacts, dataset = result["evaluation"], result["artifacts"], result["dataset"]
    yield result["message"]
    if evaluation["wer_before"] is not None:
        yield f"\n{'On the test speech':32}{'before':>9}{'after':>9}{'change':>9}"
        for name, label in RATES.items():
            yield _compare(label, evaluation[f"{name}_before"], evaluation[f"{name}_after"])
        if long_form := evaluation.get("long_form"):
            rates = (long_form[side]["wer_normalized"] for side in ("before", "after"))
            yield f"{_compare(VIEWS[long_form['view']], *rates)}  {long_form['comparison']['verdict']}"
        for item in evaluation["other_speech"]:
            rates = (item[f"wer_normalized_{side}"] for side in ("before", "after"))
            yield f"{_compare('Words wrong in ' + item['name'], *rates)}  {item['comparison']['verdict']}"
        if glossary := evaluation.get("glossary"):
            for label, kind in {"without it": "plain", "in prompt": "prompted"}.items():
                rates = (glossary[side][kind]["recall"] for side in ("before", "after"))
                yield _compare(f"Glossary {label}, written", *rates)
            yield f"\n{glossary['sentence']}"
        example = evaluation["example"]
        yield f"\nSaid    {example['reference']}\nBefore  {example['before']}\nAfter   {example['after']}"
    warnings = [warning for warning in result["warnings"] if warning not in result["message"]]
    if warnings:
        yield f"\nWarnings ({len(warnings)}):"
        yield from (f"- {warning}" for warning in warnings[:MAX_WARNINGS])
        if len(warnings) > MAX_WARNINGS:
            yield f"- and {len(warnings) - MAX_WARNINGS} more, in the report"
    num_windows = sum(dataset[f"num_{side}_windows"] for side in ("train", "validation", "test"))
    minutes = sum(result["seconds_by_stage"].values()) / 60
    data = f"{dataset['audio_hours']:.2f} h of recordings, {num_windows:,} windows"
    yield f"\nData    {data}; {minutes:.0f} min in all"
    report = Path(artifacts["report_path"])
    yield f"Report  {report.with_suffix('.html')}"
    yield f"Model   {artifacts['model_path'] or 'not published'}"
    if artifacts["model_path"]:
        yield f"        {artifacts['model_bytes'] / 1e6:,.0f} MB in {artifacts['model_dtype']}"
        yield f"\nNext: python scripts/try_it.py {artifacts['model_path']}"


def _compare(label: str, before: float, after: float) -> str:
    """A row of the table."""
    return f"{label:32}{before:9.1%}{after:9.1%}{f'{after / before - 1:+9.0%}' if before else ''}"
