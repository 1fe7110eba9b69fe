"""What a check of the data would train is what the options say."""

from pathlib import Path

import pytest
from datasets import Dataset
from transformers import WhisperConfig

from recipe.data.dataset import PreparedDataset
from recipe.training.arguments import RecipeTrainingArguments, parse_arguments
from recipe.training.data_check import plan_work
from recipe.training.estimate import Work

NUM_TOKENS = [10, 20, 30]


@pytest.fixture
def dataset() -> PreparedDataset:
    train = Dataset.from_dict({"num_tokens": NUM_TOKENS})
    return PreparedDataset(train, train.select([]), train.select([]), train, {}, [], "f")


def plan(folder: Path, dataset: PreparedDataset, *flags: str) -> Work:
    always = ["--data_dir", str(folder), "--output_dir", str(folder / "run"), "--use_cpu", "true"]
    always += ["--num_train_epochs", "1", "--per_device_train_batch_size", "2"]
    arguments = parse_arguments([*always, *flags])
    del arguments.training.gradient_checkpointing  # the old name, which Trainer mirrors for now
    return plan_work(arguments, WhisperConfig(), dataset)


def test_activations_are_kept_unless_they_are_computed_again(tmp_path, dataset):
    assert plan(tmp_path, dataset).keeps_activations
    assert not plan(tmp_path, dataset, "--activation_checkpointing", "True").keeps_activations


@pytest.mark.parametrize(
    ("flags", "num_windows"),
    [
        (["--num_train_epochs", "2"], 2 * len(NUM_TOKENS)),
        (
            ["--max_steps", "5", "--per_device_train_batch_size", "4", "--gradient_accumulation_steps", "3"],
            5 * 4 * 3,
        ),
    ],
)
def test_windows_are_those_of_all_epochs_or_of_the_updates_asked_for(tmp_path, dataset, flags, num_windows):
    work = plan(tmp_path, dataset, *flags)
    assert work.num_windows == num_windows
    assert work.num_label_tokens == 20


@pytest.mark.parametrize(
    ("flags", "num_encoded"),
    [
        ([], 3 * len(NUM_TOKENS)),
        (["--freeze_encoder", "True"], len(NUM_TOKENS)),
        (["--freeze_encoder", "True", "--keep_encoder_states", "False"], 3 * len(NUM_TOKENS)),
    ],
)
def test_the_encoder_is_given_each_window_once_where_its_states_are_kept(
    tmp_path, dataset, flags, num_encoded
):
    assert plan(tmp_path, dataset, "--num_train_epochs", "3", *flags).num_encoded == num_encoded


def test_each_of_several_processes_has_its_part_of_an_update(tmp_path, dataset, monkeypatch):
    monkeypatch.setattr(RecipeTrainingArguments, "world_size", 2)
    flags = ["--max_steps", "5", "--per_device_train_batch_size", "4"]
    assert plan(tmp_path, dataset, *flags).num_windows == 5 * 4 * 2
