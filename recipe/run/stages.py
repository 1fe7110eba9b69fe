"""The stages that a run passes through, as its progress events name them."""

from enum import StrEnum


class Stage(StrEnum):
    """The `status` of a progress event; the order of the members is the pipeline.

    The last four are alternative endings; all others come in this order, `STAGE_PROGRESS` in any stage that
    takes long. It, `DOWNLOAD_PROGRESS` and `EPOCH_STARTED` to `CHECKPOINT_SAVED` repeat. `RESUMED`,
    `STAGE_PROGRESS`, `DOWNLOAD_PROGRESS`, `BASE_EVALUATED`, `TRAINING_PROGRESS`, `EVALUATION_COMPLETED`,
    `CANCELLED` and `INTERRUPTED` are additions to the platform's first contract.
    """

    INITIALIZING = "initializing"
    LOADING_MODEL = "loading_model"
    MODEL_LOADED = "model_loaded"
    PREPARING_DATASET = "preparing_dataset"
    DOWNLOAD_PROGRESS = "download_progress"
    STAGE_PROGRESS = "stage_progress"
    DATASET_READY = "dataset_ready"
    BASE_EVALUATED = "base_evaluated"
    STARTING_TRAINING = "starting_training"
    RESUMED = "resumed"
    TRAINING_STARTED = "training_started"
    EPOCH_STARTED = "epoch_started"
    TRAINING_PROGRESS = "training_progress"
    EPOCH_COMPLETED = "epoch_completed"
    CHECKPOINT_SAVED = "checkpoint_saved"
    TRAINING_COMPLETED = "training_completed"
    EVALUATION_COMPLETED = "evaluation_completed"
    SAVING_MODEL = "saving_model"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


TERMINAL_STAGES = frozenset({Stage.COMPLETED, Stage.FAILED, Stage.CANCELLED})
"""These end a run's attempt for good; `INTERRUPTED` is the last event of one that will be resumed."""
