"""`train.py` with a frozen encoder and its states kept: the same weights after a kill, on two processes."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, load_file
from training_runs import TWO_PROCESSES, TrainingRun, send

NUM_UPDATES_PER_EPOCH = 2

Make = Callable[..., TrainingRun]


@pytest.fixture(scope="module")
def make(tiny_dir: Path, tones_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A run by name, launcher and options."""
    return partial(make_run, tmp_path_factory.mktemp("frozen"), tones_dir, tiny_dir)


def make_run(
    root: Path, data_dir: Path, model_dir: Path, name: str, launcher: tuple[str, ...] = (), **options: object
) -> TrainingRun:
    defaults = {
        "data_dir": data_dir,
        "model_name_or_path": model_dir,
        "language": "en",
        "freeze_encoder": True,
        "num_train_epochs": 3,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-3,
        "eval_fraction": 0.0,
        "save_strategy": "steps",
        "save_steps": 1,
    }
    return TrainingRun(root / "runs" / name, defaults | options, launcher)


@pytest.fixture(scope="module")
def quiet(make: Make) -> TrainingRun:
    return make("quiet").finish()


def kept_files(run: TrainingRun) -> list[Path]:
    return [path for path in (run.folder / "encoder_states").rglob("*") if path.is_file()]


def test_a_kill_in_the_second_epoch_changes_no_bit(make: Make, quiet: TrainingRun) -> None:
    run = make("killed")
    run.interrupt(send(9, after=NUM_UPDATES_PER_EPOCH + 1))
    first, *others = kept_files(run)
    assert others
    first.write_bytes(first.read_bytes()[:100])
    run.finish()
    assert run.weights == quiet.weights
    assert run.curve == quiet.curve


def test_the_states_are_gone_when_they_are_needed_no_more(quiet: TrainingRun) -> None:
    assert "The encoder computed the states of " in quiet.output
    assert not (quiet.folder / "encoder_states").exists()


def test_two_processes_train_the_same(make: Make, quiet: TrainingRun) -> None:
    run = make("two", TWO_PROCESSES, per_device_train_batch_size=2).finish()
    assert run.curve == [pytest.approx(figures, rel=1e-5) for figures in quiet.curve]
    torch.testing.assert_close(load(run.weights), load(quiet.weights), rtol=0, atol=1e-5)


def test_without_kept_states_the_weights_are_those_but_for_the_rounding(
    make: Make, quiet: TrainingRun, tiny_dir: Path
) -> None:
    """The norm of the difference, against that of what training changed; bfloat16 rounds to 1/256."""
    plain, kept = load(make("plain", keep_encoder_states=False).finish().weights), load(quiet.weights)
    base = load_file(tiny_dir / "model.safetensors")

    def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
        return float(torch.cat([(one[name] - other[name]).flatten() for name in base]).norm())

    assert 0 < distance(kept, plain) < 0.05 * distance(plain, base)
    assert all(torch.equal(kept[name], base[name]) for name in base if ".encoder." in name)


def test_beside_audio_augmentation_it_is_refused_with_a_sentence(make: Make) -> None:
    run = make("refused", noise_fraction=0.5)
    assert run.attempt() == 1
    assert run.read("error.json")["error"] == (
        "The settings cannot be used: noise_fraction alters the audio anew each epoch, and freeze_encoder "
        "keeps the encoder's states; set noise_fraction to 0, or keep_encoder_states to False."
    )


def test_one_epoch_keeps_nothing(make: Make) -> None:
    run = make("once", num_train_epochs=1).finish()
    assert "The encoder computed" not in run.output
    assert not (run.folder / "encoder_states").exists()
