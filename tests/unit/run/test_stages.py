"""The stages of a run, by the names that the platform knows them by."""

from recipe.run.stages import Stage


def test_the_stages_are_the_contracts_statuses_in_order() -> None:
    contract = [
        *("initializing", "loading_model", "model_loaded", "preparing_dataset", "dataset_ready"),
        *("starting_training", "training_started", "epoch_started", "epoch_completed", "checkpoint_saved"),
        *("training_completed", "saving_model", "completed", "failed"),
    ]
    ours = [str(stage) for stage in Stage]
    assert [name for name in ours if name in contract] == contract
    assert set(ours) - set(contract) == {
        "download_progress",
        "stage_progress",
        "base_evaluated",
        "resumed",
        "training_progress",
        "evaluation_completed",
        "cancelled",
        "interrupted",
    }
