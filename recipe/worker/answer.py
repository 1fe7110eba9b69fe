"""The answer to a job, as the platform reads it: always valid JSON, small, and without secrets."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from recipe.run.redaction import Redactor

MAX_ANSWER_BYTES = 100_000
"""RunPod refuses 10 MB; a platform that stores answers is happier with less."""

MAX_SUMMARISED_WARNINGS = 5

_SHORTENED = "This answer was shortened to fit; result.json in the run's folder holds all of it."
_MIN_LIST_LENGTH = 4


def describe_success(result: Mapping[str, Any], warnings: Iterable[str] = ()) -> dict[str, Any]:
    """The answer to a finished job; `warnings` about the request come after those of the run."""
    return {"success": True, "result": {**result, "warnings": [*result.get("warnings", []), *warnings]}}


def describe_failure(error: str, error_type: str, job_id: str) -> dict[str, Any]:
    """The answer to a job that failed; the key `error` makes RunPod mark it so."""
    return {"success": False, "error": error or error_type, "error_type": error_type, "job_id": job_id}


def seal_answer(answer: Mapping[str, Any], redactor: Redactor) -> dict[str, Any]:
    """The answer as it may leave: JSON values only, below the size limit, secrets taken out."""
    return shorten_answer(redactor.redact_values(answer))


def summarise_answer(answer: Mapping[str, Any]) -> list[str]:
    """The answer in a few lines for whoever watches the worker's console."""
    if not answer.get("success"):
        return [f"Failed: {answer.get('error')}"]
    result = answer["result"]
    lines = [f"Finished: {result.get('message') or result.get('status')}"]
    figures = result.get("evaluation") or {}
    before, after = figures.get("wer_normalized_before"), figures.get("wer_normalized_after")
    if before is not None and after is not None:
        lines.append(
            f"WER, normalised by {figures.get('normalizer', 'whispertrain')}: {before:.2%} before, "
            f"{after:.2%} after, on {figures.get('num_windows')} held-out windows"
        )
    model_path = (result.get("artifacts") or {}).get("model_path")
    lines.append(f"Model: {model_path or 'not published'}")
    seconds = result.get("seconds_by_stage") or {}
    lines.append(f"Time: {', '.join(f'{name} {value:.0f} s' for name, value in seconds.items())}")
    warnings = result.get("warnings") or []
    lines += [f"Warning: {warning}" for warning in warnings[:MAX_SUMMARISED_WARNINGS]]
    if len(warnings) > MAX_SUMMARISED_WARNINGS:
        lines.append(f"... and {len(warnings) - MAX_SUMMARISED_WARNINGS} more warnings in the answer")
    return lines


def shorten_answer(answer: dict[str, Any], max_bytes: int = MAX_ANSWER_BYTES) -> dict[str, Any]:
    """The answer with its longest lists thinned out, and if need be its largest parts left out, to fit."""
    if _count_bytes(answer) <= max_bytes:
        return answer
    result = answer.get("result")
    if not isinstance(result, dict):
        return {**answer, "error": str(answer.get("error", ""))[:2000]}
    result.setdefault("warnings", []).append(_SHORTENED)
    while _count_bytes(answer) > max_bytes:
        longest = max(_find_lists(result), key=_count_bytes, default=[])
        if len(longest) > _MIN_LIST_LENGTH:
            # Every second entry and the last: a loss curve keeps its shape.
            longest[:] = [*longest[:-1:2], longest[-1]]
        else:
            largest = max(result, key=lambda name: _count_bytes(result[name]))
            result[largest] = None
    return answer


def _find_lists(value: object) -> Iterable[list[Any]]:
    if isinstance(value, list):
        yield value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from _find_lists(child)


def _count_bytes(value: object) -> int:
    return len(json.dumps(value))
