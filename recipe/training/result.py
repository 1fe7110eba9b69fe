"""What a finished run answers with."""

from typing import Any

from recipe.data.preparation import PreparedDataset
from recipe.evaluation.report import choose_example
from recipe.job import Stage
from recipe.training.arguments import Arguments
from recipe.training.choice import Verdict
from recipe.training.run import Run
from recipe.training.trainer import WhisperTrainer


def build_result(
    arguments: Arguments,
    run: Run,
    trainer: WhisperTrainer,
    data: PreparedDataset,
    verdict: Verdict | None,
    model_path: str,
) -> dict[str, Any]:
    """The `result` of the answer, as the platform reads it."""
    events = run.outbox.events() if run.is_main else []
    evaluation: dict[str, Any] = {"wer_before": None, "wer_after": None}
    if verdict:
        evaluation = {
            **verdict.as_dict(),
            "num_windows": len(verdict.after.transcripts),
            "example": choose_example(verdict.before, verdict.after),
        }
    lists = {"recordings", "held_back", "doubted"}  # long; the dataset report on disk has them
    dataset = {name: value for name, value in data.report.items() if name not in lists}
    trained = f"Trained on {len(data.train)} windows from {dataset['audio_hours']} hours of recordings."
    return {
        "status": "completed",
        "job_id": arguments.source.job_id,
        "message": f"{trained} {verdict.remark if verdict else ''}".strip(),
        "artifacts": {
            "model_path": model_path,
            "report_path": str(run.output_dir / "report.json"),
            "base_model": arguments.model.model_name_or_path,
            "epochs": arguments.training.num_train_epochs,
            "project_id": arguments.source.project_id,
            "user_id": arguments.source.user_id,
            "training_metrics": [e["metrics"] for e in events if e["status"] == Stage.EPOCH_COMPLETED],
            "checkpoints": [e["checkpoint"] for e in events if e["status"] == Stage.CHECKPOINT_SAVED],
            "final_loss": trainer.mean_loss,
            "total_training_time": run.seconds["train"],
        },
        "evaluation": evaluation,
        "dataset": dataset,
        "seconds_by_stage": run.seconds,
        "warnings": run.warnings,
    }
