"""The contract's progress events: what every one must carry, and what the platform reads in each status."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, NoReturn

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

SYSTEM_STATS = (
    "system_stats.cpu_percent",
    "system_stats.memory_percent",
    "system_stats.disk_usage_percent",
    "system_stats.gpu_available",
)
GPU_STATS = (
    "system_stats.gpu_memory_allocated_mb",
    "system_stats.gpu_memory_reserved_mb",
    "system_stats.gpu_memory_total_mb",
)

# Statuses in the order of a run, with the fields that the platform reads; a dot enters a nested object.
# The old worker's come first, the additions after them.
STATUS_FIELDS: dict[str, tuple[str, ...]] = {
    "initializing": ("job_id", "base_model", "epochs", *SYSTEM_STATS),
    "loading_model": (),
    "model_loaded": ("model_parameters", *SYSTEM_STATS),
    "preparing_dataset": (),
    "dataset_ready": ("train_samples", "eval_samples"),
    "starting_training": (
        "configuration.epochs",
        "configuration.batch_size",
        "configuration.learning_rate",
        "configuration.max_steps",
        *SYSTEM_STATS,
    ),
    "training_started": ("total_epochs",),
    "epoch_started": ("epoch", "total_epochs", "progress_percent"),
    "epoch_completed": (
        "epoch",
        "total_epochs",
        "progress_percent",
        "metrics.train_loss",
        "metrics.eval_loss",
        "metrics.learning_rate",
        "metrics.epoch_time_seconds",
        "metrics.total_time_seconds",
        "eta_seconds",
    ),
    "checkpoint_saved": (
        "checkpoint.epoch",
        "checkpoint.step",
        "checkpoint.save_path",
        "checkpoint.timestamp",
    ),
    "training_completed": ("train_runtime", "train_samples_per_second", "final_train_loss"),
    "saving_model": (),
    "completed": (
        "final_result.status",
        "final_result.job_id",
        "final_result.message",
        "final_result.artifacts.model_path",
        "final_result.artifacts.base_model",
        "final_result.artifacts.epochs",
        "final_result.artifacts.project_id",
        "final_result.artifacts.user_id",
        "final_result.artifacts.training_metrics",
        "final_result.artifacts.checkpoints",
        "final_result.artifacts.final_loss",
        "final_result.artifacts.total_training_time",
    ),
    "failed": ("error", *SYSTEM_STATS),
    "training_progress": ("step", "total_steps", "epoch", "progress_percent", "metrics.loss", *SYSTEM_STATS),
    "download_progress": (),
    "stage_progress": ("stage", "task", "num_done", "num_total", "unit", "eta_seconds"),
    "base_evaluated": (),
    "evaluation_completed": (),
    "resumed": (),
    "interrupted": (),
    "cancelled": (),
}

ABSENT = object()

MAX_DEPTH = 32
"""Levels of lists and objects in an event; those of the contract have four."""


class EventError(ValueError):
    """The body is not a progress event; the message names the field."""


def check_status(status: str) -> str:
    """The status, if the contract knows it."""
    if status not in STATUS_FIELDS:
        raise ValueError(f"expected one of {', '.join(STATUS_FIELDS)}")
    return status


def check_timestamp(timestamp: str) -> str:
    """The time, if it is ISO 8601 in UTC; without an offset, as the old worker wrote it, it counts as UTC."""
    try:
        offset = datetime.fromisoformat(timestamp).utcoffset()
    except ValueError:
        raise ValueError("expected an ISO 8601 time, such as 2026-01-31T12:00:00+00:00") from None
    if offset:
        raise ValueError(f"expected UTC, found the offset {offset / timedelta(hours=1):+g} h")
    return timestamp


class ProgressEvent(BaseModel):
    """The fields that a backend orders and tells events by; all the others are kept as they came.

    Attributes:
        status: Stage of the run, one of `STATUS_FIELDS`.
        timestamp: When it happened, ISO 8601 in UTC.
        event_id: The same each time the same event is sent; the old worker has none.
        sequence: 1, 2, 3 … within the job; the old worker has none.
    """

    model_config = ConfigDict(extra="allow", strict=True)

    status: Annotated[str, AfterValidator(check_status)]
    timestamp: Annotated[str, AfterValidator(check_timestamp)]
    event_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    sequence: Annotated[int, Field(ge=1, le=2**53)] | None = None  # what a browser counts exactly


def parse_event(body: bytes) -> ProgressEvent:
    """The progress event that a request's body holds.

    Raises:
        EventError: The body is not one JSON object, or one of its own fields is missing or wrong.
    """
    try:
        fields = json.loads(body, parse_constant=refuse_constant)
        json.dumps(fields, allow_nan=False)  # 1e999 is read as infinity
    except (ValueError, RecursionError) as error:
        raise EventError(f"The progress event is not valid JSON: {error}.") from error
    if not isinstance(fields, dict):
        raise EventError(f"The progress event is a JSON {type(fields).__name__}, expected an object.")
    check_answerable(fields)
    try:
        return ProgressEvent.model_validate(fields)
    except ValidationError as error:
        raise EventError(describe(error)) from error


def check_answerable(fields: Mapping[str, Any]) -> None:
    """Refuse what no answer could carry: a JSON text may escape half of a surrogate pair, UTF-8 has none."""
    if is_deeper(fields, MAX_DEPTH):
        raise EventError(f"The progress event is nested deeper than {MAX_DEPTH} levels.")
    for name, value in fields.items():
        try:
            json.dumps({name: value}, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise EventError(
                f"The progress event's field {name!a:.80} holds half of a surrogate pair, expected whole "
                "characters."
            ) from error


def is_deeper(value: object, num_levels: int) -> bool:
    """Whether lists and objects in the value, itself included, are nested deeper than so many levels."""
    level = [value]
    for _ in range(num_levels):
        level = [
            item
            for outer in level
            if isinstance(outer, (list, dict))
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return any(isinstance(value, (list, dict)) for value in level)


def refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python's reader takes and RFC 8259 (section 6) does not."""
    raise ValueError(f"{name} is not a JSON number")


def describe(error: ValidationError) -> str:
    """One sentence that names the first wrong field, what was found and what was expected."""
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    field = first["loc"][0]
    if first["type"] == "missing":
        return f"The progress event has no field '{field}'."
    return f"The progress event's field '{field}' is {first['input']!r:.80}: {message}."


def find_missing_fields(event: Mapping[str, Any]) -> list[str]:
    """The fields that the platform reads in an event of this status and does not find, dotted."""
    required = STATUS_FIELDS.get(event["status"], ())
    if SYSTEM_STATS[0] in required and find_field(event, "system_stats.gpu_available") is True:
        required += GPU_STATS
    return [name for name in required if find_field(event, name) is ABSENT]


def find_field(event: Mapping[str, Any], dotted_name: str) -> object:
    """The field's value or ABSENT; null is a value: an epoch without an evaluation has no loss."""
    value: object = event
    for name in dotted_name.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return ABSENT
        value = value[name]
    return value
