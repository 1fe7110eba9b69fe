"""A run that chooses its own schedule, and one that ends before its last epoch, are finished runs."""

from pathlib import Path

import pytest
from training_runs import SHORT, TrainingRun, write_recording


class UnscheduledRun(TrainingRun):
    """A run for which nobody named rate, batch or epochs."""

    @property
    def arguments(self) -> list[str]:
        given = super().arguments
        names = {f"--{name}" for name in SHORT.keys() - self.options.keys()}
        pairs = zip(given[::2], given[1::2], strict=True)
        return [part for pair in pairs if pair[0] not in names for part in pair]


@pytest.fixture(scope="module")
def run(tiny_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingRun:
    root = tmp_path_factory.mktemp("schedule")
    (data := root / "data").mkdir()
    for number in range(6):
        write_recording(data / f"tones-{number}", 6, seed=number)
    options = {"data_dir": root / "data", "model_name_or_path": tiny_dir, "language": "en"}
    options |= {"eval_fraction": 0.5, "publish_if_worse": True, "patience": 1, "learning_rate": 1e-30}
    return UnscheduledRun(root / "run", options).finish()


def test_the_choice_is_told_before_training(run: TrainingRun) -> None:
    (first,) = (event for event in run.events if event["status"] == "initializing")
    (start,) = (event for event in run.events if event["status"] == "starting_training")
    assert first["epochs"] is None
    assert start["configuration"]["epochs"] == 6
    assert start["configuration"]["batch_size"] == 2
    assert start["configuration"]["learning_rate"] == 1e-30
    assert "2 windows an update, 6 epochs" in run.output


def test_a_run_whose_patience_ran_out_is_published_and_says_so(run: TrainingRun) -> None:
    result = run.read("result.json")
    assert any("after 2 of 6 epochs: for 1 evaluations" in warning for warning in result["warnings"])
    metadata = run.read("model/training_metadata.json")
    assert metadata["max_steps"] == metadata["num_steps"] == run.curve[-1][0]
    assert run.events[-1]["status"] == "completed"
