"""What a finished run says of itself: the platform's `result`, and what is published with the model."""

from typing import Any

import datasets
import transformers

from recipe.data.dataset import PreparedDataset
from recipe.evaluation.report import choose_example, compare
from recipe.publish.metadata import ReleaseMetadata
from recipe.run.stages import Stage
from recipe.run.warning import most_important_first
from recipe.training.attempt import Attempt
from recipe.training.published_dtype import choose_unmeasured
from recipe.training.trainer import WhisperTrainer
from recipe.training.weight_selection import Outcome

LONG_LISTS = frozenset({"recordings", "suspect_windows", "test_windows", "duplicates", "terms"})
"""Left out of the result; the dataset report on disk has them."""


def build_result(
    attempt: Attempt,
    trainer: WhisperTrainer,
    dataset: PreparedDataset,
    outcome: Outcome | None,
    model_path: str,
) -> dict[str, Any]:
    """The contract's `result`; `model_path` is "" where no model was published."""
    arguments, model = attempt.arguments, trainer.whisper.model
    events = attempt.outbox.events() if attempt.is_main else []
    evaluation: dict[str, Any] = {"wer_before": None, "wer_after": None}
    if outcome:
        evaluation = {
            **outcome.as_dict(),
            "num_windows": len(outcome.after.transcripts),
            "example": choose_example(outcome.before, outcome.after),
        }
    report = {name: value for name, value in dataset.report.items() if name not in LONG_LISTS}
    trained = f"Trained on {len(dataset.train)} windows from {report['audio_hours']} hours of recordings."
    return {
        "status": "completed",
        "job_id": arguments.source.job_id,
        "message": f"{trained} {outcome.sentence if outcome else ''}".strip(),
        "artifacts": {
            "model_path": model_path,
            "model_dtype": str(model.dtype).removeprefix("torch.") if model_path else None,
            "model_bytes": sum(weight.nbytes for weight in model.parameters()) if model_path else None,
            "report_path": str(attempt.folder.report),
            "base_model": arguments.model.model_name_or_path,
            "epochs": arguments.training.num_train_epochs,
            "project_id": arguments.source.project_id,
            "user_id": arguments.source.user_id,
            "training_metrics": [e["metrics"] for e in events if e["status"] == Stage.EPOCH_COMPLETED],
            "checkpoints": [e["checkpoint"] for e in events if e["status"] == Stage.CHECKPOINT_SAVED],
            "final_loss": trainer.mean_loss,
            "total_training_time": attempt.seconds["train"],
        },
        "evaluation": evaluation,
        "dataset": report,
        "seconds_by_stage": attempt.seconds,
        "warnings": most_important_first(attempt.warnings),
    }


def describe_release(
    attempt: Attempt, trainer: WhisperTrainer, dataset: PreparedDataset, outcome: Outcome | None
) -> ReleaseMetadata:
    """What is published about the model."""
    arguments, model = attempt.arguments, trainer.whisper.model
    dtype = (outcome and outcome.dtype) or choose_unmeasured(model, arguments.publish.publish_dtype)
    return ReleaseMetadata(
        base_model=arguments.model.model_name_or_path,
        base_revision=arguments.model.model_revision,
        languages=tuple(dataset.report["languages"]) if trainer.whisper.task else (),
        task=arguments.model.task,
        job_id=arguments.source.job_id,
        project_id=arguments.source.project_id,
        num_steps=trainer.state.global_step,
        max_steps=trainer.last_update,
        epochs=arguments.training.num_train_epochs,
        figures=compare(outcome.before, outcome.after) if outcome else {},
        comparison=outcome.describe_comparison() if outcome else {},
        weight_selection=outcome.describe_selection() if outcome else {},
        long_form=outcome.describe_long_form() if outcome else {},
        glossary=outcome.describe_glossary() if outcome else {},
        other_speech=outcome.describe_other_speech() if outcome else [],
        dtype=dtype.name,
        dtype_sentence=dtype.sentence,
        dataset={
            k: v for k, v in dataset.report.items() if isinstance(v, int | float) and k != "format_version"
        },
        settings={k: v for k, v in trainer.fingerprint.items() if k != "model"},  # it may be a local path
        versions={module.__name__: module.__version__ for module in (transformers, datasets)},
        num_warnings=len(attempt.warnings),
    )
