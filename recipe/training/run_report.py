"""What a run leaves for people: `report.json` and `report.html`, with all that the figure rests on."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from recipe.arguments import TrainerOptions, caption_language
from recipe.data.dataset import PreparedDataset
from recipe.evaluation.mistakes import Text, describe_mistakes
from recipe.evaluation.report import Evaluation, Evaluations, build_report
from recipe.evaluation.report_page import render_page
from recipe.run.files import write_json, write_text
from recipe.run.stages import Stage
from recipe.run.warning import most_important_first
from recipe.training import assembly
from recipe.training.arguments import Arguments
from recipe.training.attempt import Attempt
from recipe.training.tracker_outcome import build_tracked_outcome
from recipe.training.trainer import WhisperTrainer
from recipe.training.weight_selection import Outcome

OF_THE_PLATFORM = frozenset({"manifest_file", "backend_base_url", "user_id", "job_id", "project_id"})
"""Options that name a platform's job; whoever trains again gives a folder."""

OF_THE_DATASET = ("num_train_windows", "num_recordings", "audio_ms")
"""Figures of the dataset that the page tells."""

CURVE = {"loss": "train_loss", "eval_loss": "validation_loss", "eval_wer_normalized": "wer_normalized"}
"""Figures that Trainer logs, and their names in the report."""


def tell_outcome(
    attempt: Attempt,
    trainer: WhisperTrainer,
    dataset: PreparedDataset,
    before: Evaluations,
    outcome: Outcome,
) -> None:
    """Tell what came of the run: the event, warnings, the report for programs and its page for people.

    Args:
        attempt: Of the run.
        trainer: It has trained.
        dataset: Its test windows are played on the page.
        before: The base model's transcripts.
        outcome: What came of the run.
    """
    attempt.report(Stage.EVALUATION_COMPLETED, outcome.as_dict())
    attempt.warn(*outcome.warnings)
    if not attempt.is_main:
        return
    origin = assembly.describe_origin(attempt)
    task, normalizer = trainer.whisper.task, assembly.normalizer_of(attempt.arguments, trainer.whisper)
    report = {
        "run": {key: value for key, value in origin.as_dict().items() if key != "source"},
        "task": task,
        **asdict(assembly.decoding_of(attempt.arguments)),
        "weight_selection": outcome.describe_selection(),
        "dtype": asdict(outcome.dtype) if outcome.dtype else {},
        **build_report(outcome.before, outcome.after),
        "comparison": outcome.describe_comparison(),
        "other_speech": outcome.describe_other_speech(),
        "long_form": outcome.long_form.as_dict() if outcome.long_form else {},
        "glossary": outcome.glossary.as_dict() if outcome.glossary else {},
        "mistakes": {
            "before": describe_mistakes(_texts(outcome.before, task), normalizer),
            "after": describe_mistakes(_texts(outcome.after, task), normalizer),
        },
        "curve": list(trace_curve(trainer.state.log_history, before)),
        "dataset": {name: dataset.report[name] for name in OF_THE_DATASET},
        "command": describe_command(attempt.arguments),
    }
    report = attempt.redact(report)
    others = [warning for warning in attempt.warnings if warning != outcome.sentence]  # it heads the page
    warnings = attempt.redact({"warnings": most_important_first(others)})["warnings"]
    write_json(attempt.folder.report, report)
    write_text(attempt.folder.report_page, render_page(report, dataset.test, warnings))
    attempt.trackers.tell_outcome(build_tracked_outcome(report, dataset.test))


def _texts(evaluation: Evaluation, task: str | None) -> list[Text]:
    return [
        Text(item.reference, item.hypothesis, caption_language(item.language, task))
        for item in evaluation.transcripts
    ]


def trace_curve(
    log_history: Sequence[Mapping[str, float]], before: Evaluations
) -> Iterator[dict[str, float]]:
    """What was measured at each update; the base model's figures at update 0."""
    if "validation" in before:
        base = {"wer_normalized": before["validation"].scores.words_normalized.rate}
        if before["validation"].loss is not None:
            base["validation_loss"] = before["validation"].loss
        yield {"step": 0, **base}
    for entry in log_history:
        figures = {name: entry[logged] for logged, name in CURVE.items() if logged in entry}
        if figures:
            yield {"step": entry["step"], **figures}


def describe_command(arguments: Arguments) -> str:
    """The command that trains the same: all options that are not the defaults."""
    words = ["accelerate", "launch", "train.py"]
    if not any((arguments.source.data_dir, arguments.source.prepared_dir, arguments.source.dataset_name)):
        words += ["--data_dir", "FOLDER"]
    trained_by = {f.name for f in fields(TrainerOptions)}
    for group in arguments:
        names = [f.name for f in fields(group) if f.init and f.name not in OF_THE_PLATFORM]
        default = type(group)()  # it fills in what depends on the machine, as this one did
        for name in names:
            is_own = group is not arguments.training or name in trained_by
            if is_own and getattr(group, name) != getattr(default, name):
                is_trainers = group is arguments.training
                words += [f"--{name}", *_as_words(getattr(group, name), is_trainers=is_trainers)]
    return shlex.join(words)


def _as_words(value: Any, *, is_trainers: bool) -> list[str]:
    """The words of an option's value; Trainer's lists are one word."""
    if not isinstance(value, list):
        return [str(value)]
    return [",".join(map(str, value))] if is_trainers else [str(item) for item in value]
