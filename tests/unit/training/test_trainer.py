import copy
import math
import os
import shutil
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_trainers import (
    StopAfterSave,
    assert_same,
    build_trainer,
    curve,
    evaluation_with,
    make_windows,
    resume,
    stopped,
    trained,
    weights,
)
from torch.nn.functional import log_softmax

from recipe.errors import CheckpointError, TrainingError
from recipe.model.glossary import TermPrompts
from recipe.model.inference import IGNORED
from recipe.model.whisper import Whisper
from recipe.training.callbacks import PatienceCallback
from recipe.training.checkpoints import list_checkpoints, verify_checkpoint
from recipe.training.trainer import WhisperTrainer, token_loss

# The loss


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(3, 5, 11, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


LABELS = torch.tensor([[1, 2, 3, 4, 5], [6, 7, 8, IGNORED, IGNORED], [IGNORED, IGNORED, 9, 10, IGNORED]])
COUNTED = LABELS != IGNORED


def by_hand(logits: torch.Tensor, smoothing: float) -> float:
    """Sum over the positions that count, from the definition."""
    log_probabilities = log_softmax(logits.float(), dim=-1)[COUNTED]
    of_targets = log_probabilities[range(len(log_probabilities)), LABELS[COUNTED]]
    return float(-((1 - smoothing) * of_targets + smoothing * log_probabilities.mean(dim=-1)).sum())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("num_items", "divisor"), [(None, 10), (10, 10), (torch.tensor(37), 37)])
def test_the_loss_is_the_sum_over_counted_tokens_by_the_number_of_the_update(
    logits, smoothing: float, num_items, divisor: int
):
    loss = token_loss({"logits": logits}, LABELS, num_items, label_smoothing=smoothing)
    assert loss.item() == pytest.approx(by_hand(logits, smoothing) / divisor, rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_masked_and_padded_positions_have_no_gradient(logits, smoothing: float):
    logits.requires_grad_()
    token_loss({"logits": logits}, LABELS, 10, label_smoothing=smoothing).backward()
    assert torch.all(logits.grad[~COUNTED] == 0)
    assert torch.all(logits.grad[COUNTED].abs().sum(-1) > 0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_the_parts_is_the_loss_of_the_whole(logits, smoothing: float):
    whole = token_loss({"logits": logits}, LABELS, 10, label_smoothing=smoothing)
    parts = [
        token_loss({"logits": logits[[row]]}, LABELS[[row]], 10, label_smoothing=smoothing)
        for row in range(3)
    ]
    assert sum(part.item() for part in parts) == pytest.approx(whole.item(), rel=1e-6)


WEIGHTS = torch.tensor([[1.0, 2.0, 2.0, 1.0, 1.0], [3.0, 1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 2.0, 0.0]])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_label_counts_as_often_as_it_weighs_and_the_divisor_is_the_number_of_labels(
    logits, smoothing: float
):
    def loss(weights: torch.Tensor | None, rows: list[int]) -> float:
        part = None if weights is None else weights[rows]
        outputs = {"logits": logits[rows]}
        return token_loss(outputs, LABELS[rows], 10, label_smoothing=smoothing, weights=part).item()

    everything = [0, 1, 2]
    assert loss(torch.ones(3, 5), everything) == pytest.approx(loss(None, everything), rel=1e-6)
    assert sum(loss(WEIGHTS, [row]) for row in range(3)) == pytest.approx(loss(WEIGHTS, everything), rel=1e-6)
    log_probabilities = log_softmax(logits.float(), dim=-1)[COUNTED]
    of_targets = log_probabilities[range(len(log_probabilities)), LABELS[COUNTED]]
    nll = -((1 - smoothing) * of_targets + smoothing * log_probabilities.mean(dim=-1))
    assert loss(WEIGHTS, everything) == pytest.approx(float((nll * WEIGHTS[COUNTED]).sum() / 10), rel=1e-6)


def test_a_part_that_only_fills_up_counts_for_nothing(logits):
    assert token_loss({"logits": logits}, torch.full((3, 5), IGNORED), 10).item() == 0.0


def test_low_precision_logits_are_summed_in_float32(logits):
    loss = token_loss({"logits": logits.to(torch.bfloat16)}, LABELS, 10)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(by_hand(logits.to(torch.bfloat16), 0.0) / 10, rel=1e-6)


# The trainer


Build = Callable[..., WhisperTrainer]


@pytest.fixture(scope="module")
def build_in(whisper: Whisper) -> Build:
    """Builds a trainer of two epochs of two updates in a folder."""
    return partial(build_trainer, whisper, make_windows(whisper))


@pytest.fixture
def build(build_in: Build, tmp_path: Path) -> Build:
    """Builds trainers of one run: the same folder each time."""
    return partial(build_in, tmp_path / "run")


SMOOTHING = 0.1
ERRORS = {2: 3, 4: 5}
"""Words that the model of an update has wrong: that of the first epoch is the better one."""


@pytest.fixture(scope="module")
def whole(build_in: Build, tmp_path_factory: pytest.TempPathFactory) -> WhisperTrainer:
    """Batches of four, all at once, without evaluation."""
    return trained(build_in(tmp_path_factory.mktemp("whole"), label_smoothing_factor=SMOOTHING))


@pytest.fixture(scope="module")
def measured(build_in: Build, tmp_path_factory: pytest.TempPathFactory) -> WhisperTrainer:
    """The same with an evaluation after each epoch, never stopped."""
    return trained(build_in(tmp_path_factory.mktemp("measured"), errors_by_step=ERRORS))


def test_accumulation_does_not_change_the_update(build, whole):
    layout = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4}
    parts = build(label_smoothing_factor=SMOOTHING, **layout)
    assert whole.num_updates == parts.num_updates == 4, "seven windows are two updates"
    assert_same(whole, trained(parts), tolerance=1e-6)


def test_the_weights_of_terms_are_the_same_in_every_layout_and_change_the_update(
    whisper: Whisper, tmp_path: Path, whole
):
    prompts = TermPrompts(["word", "window", *map(str, range(7))], fraction=0.8, weight=2.0)
    build = partial(build_trainer, whisper, make_windows(whisper, term_prompts=prompts))
    heavy = trained(build(tmp_path / "whole", label_smoothing_factor=SMOOTHING))
    layout = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4}
    parts = trained(build(tmp_path / "parts", label_smoothing_factor=SMOOTHING, **layout))
    assert_same(heavy, parts, tolerance=1e-6)
    unweighted = make_windows(whisper, term_prompts=replace(prompts, weight=1.0))
    light = trained(build_trainer(whisper, unweighted, tmp_path / "light", label_smoothing_factor=SMOOTHING))
    losses = [curve(trainer)[0][0] for trainer in (whole, light, heavy)]
    assert losses[2] > losses[1] * 1.01
    assert losses[0] != losses[1], "terms in prompts alone change it too"


def test_labels_padded_to_a_bucket_do_not_change_the_update(build, whole):
    bucketed = build(label_smoothing_factor=SMOOTHING, label_multiple=64)
    assert_same(whole, trained(bucketed), tolerance=1e-6)


@pytest.mark.parametrize("epochs", [0.3, 1.5])
def test_the_number_of_updates_is_known_before_training(build, epochs: float):
    trainer = build(num_train_epochs=epochs, save_strategy="no")
    announced = trainer.num_updates
    assert trained(trainer).state.max_steps == trainer.state.global_step == announced


def test_training_in_low_precision_is_measured_in_full(build, whisper: Whisper):
    batch = build().data_collator([make_windows(whisper)[0]])
    del batch["labels"]

    def logits_of(model: torch.nn.Module) -> torch.Tensor:
        with torch.inference_mode():
            return model.eval()(**batch).logits

    def fresh() -> torch.Tensor:
        same = copy.deepcopy(whisper.model)
        same.load_state_dict(trainer.whole_model.state_dict())
        return logits_of(same)

    def compare() -> None:
        seen.append(torch.equal(logits_of(trainer.whole_model), fresh()))
        trainer.model.train()

    seen: list[bool] = []
    trainer = build(bf16=True, errors_by_step=ERRORS, on_measure=compare)
    trainer.train()
    assert seen == [True, True]
    assert not torch.equal(logits_of(trainer.whole_model), fresh()), "training itself is in low precision"
    trainer.take_best_weights()
    assert torch.equal(logits_of(trainer.whole_model), fresh())


# Memory


class SmallMemory:
    """A forward hook that runs out of memory above some batch size.

    Args:
        capacity: Windows that fit.
        first_call: The number of the forward from which on memory is so small.
    """

    def __init__(self, capacity: int, first_call: int = 1) -> None:
        self._capacity = capacity
        self._first_call = first_call
        self._failed: list[weakref.ref[torch.Tensor]] = []
        self.batch_sizes: list[int] = []

    def __call__(self, _: object, args: object, kwargs: dict[str, torch.Tensor]) -> None:
        assert not any(ref() is not None for ref in self._failed), "the failed attempt still holds memory"
        self.batch_sizes.append(len(kwargs["input_features"]))
        if len(self.batch_sizes) >= self._first_call and self.batch_sizes[-1] > self._capacity:
            activations = torch.zeros(10)
            self._failed.append(weakref.ref(activations))
            raise torch.OutOfMemoryError("CUDA out of memory (simulated)")


def squeeze(trainer: WhisperTrainer, memory: SmallMemory) -> WhisperTrainer:
    trainer.model.register_forward_pre_hook(memory, with_kwargs=True)
    return trainer


@pytest.mark.parametrize(("capacity", "num_splits"), [(3, 2), (1, 4)])
def test_too_little_memory_splits_the_batch_and_changes_nothing_else(
    build, whole, capacity: int, num_splits: int
):
    memory = SmallMemory(capacity)
    small = trained(squeeze(build(label_smoothing_factor=SMOOTHING), memory))
    assert_same(whole, small, tolerance=1e-6)
    assert small.num_splits == num_splits
    assert memory.batch_sizes[-1] <= capacity
    num_failures = sum(size > capacity for size in memory.batch_sizes)
    assert num_failures == len(small.warnings) == int(math.log2(num_splits)), "it is found out once"
    assert (
        f"at update 1: from there on micro-batches are processed in {num_splits} parts" in small.warnings[-1]
    )


@pytest.mark.parametrize("first_call", [2, 3])
def test_memory_that_runs_out_within_an_update_starts_that_update_anew(build, whole, first_call: int):
    layout = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    memory = SmallMemory(1, first_call)
    small = trained(squeeze(build(label_smoothing_factor=SMOOTHING, **layout), memory))
    assert_same(whole, small, tolerance=1e-6)
    assert len(small.warnings) == 1
    assert f"at update {(first_call + 1) // 2}" in small.warnings[0]


def test_memory_for_less_than_one_window_is_a_clear_error(build):
    with pytest.raises(TrainingError, match=r"one window at a time.*activation_checkpointing"):
        squeeze(build(), SmallMemory(0)).train()


def test_ample_memory_warns_of_nothing(whole):
    assert whole.warnings == []
    assert whole.num_splits == 1


# Checkpoints and the best weights


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_a_run_that_is_stopped_right_after_any_save_ends_like_one_that_is_not(build, measured, step: int):
    stopped(build(errors_by_step=ERRORS, callbacks=(StopAfterSave(step),)))
    resumed = resume(build(errors_by_step=ERRORS))
    assert resumed.state.global_step == measured.state.global_step == 4
    assert curve(resumed) == curve(measured)
    assert resumed.mean_loss == measured.mean_loss
    evaluated = [[e["step"] for e in t.state.log_history if "eval_loss" in e] for t in (resumed, measured)]
    assert evaluated == [[2, 4], [2, 4]], "no evaluation is lost or made twice"
    assert (resumed.state.best_global_step, resumed.state.best_metric) == (2, 0.3)
    assert_same(resumed, measured)


IMPATIENT = {
    "num_train_epochs": 4,
    "patience": 2,
    "errors_by_step": {2: 4, 4: 3, 6: 5, 8: 3},
    "callbacks": (PatienceCallback(),),
}


def test_training_ends_after_as_many_evaluations_without_a_gain_as_patience_says(build):
    trainer = build(**IMPATIENT | {"num_train_epochs": 6})
    trainer.train_to_the_end(None)
    assert (trainer.state.global_step, trainer.state.max_steps) == (8, 12)
    assert trainer.state.best_global_step == 4
    assert "after 4 of 6 epochs: for 2 evaluations the WER" in trainer.warnings[0]
    patient = build(**IMPATIENT | {"patience": 3})
    patient.train_to_the_end(None)
    assert (patient.state.global_step, patient.warnings) == (8, [])


@pytest.mark.parametrize("step", [3, 6, 8])
def test_patience_runs_out_at_the_same_update_where_a_run_was_stopped(build, step: int):
    settings = IMPATIENT | {"num_train_epochs": 6}
    stopping = {"callbacks": (PatienceCallback(), StopAfterSave(step))}
    stopped(build(**settings | stopping))
    resumed = resume(build(**settings))
    assert resumed.state.global_step == 8
    assert resume(build(**settings)).state.global_step == 8, "also where nothing was left to do"


@pytest.mark.parametrize("max_steps", [2, 3])
def test_a_finished_run_makes_no_further_update(build, max_steps: int):
    whole = trained(build(max_steps=max_steps))
    resumed = resume(build(max_steps=max_steps))
    assert resumed.state.global_step == max_steps
    assert_same(resumed, whole)


def test_every_checkpoint_is_whole_also_where_two_saves_meet(measured):
    checkpoints = list_checkpoints(Path(measured.args.output_dir))
    assert [path.name for path in checkpoints] == [f"checkpoint-{step}" for step in (4, 3, 2, 1)]
    assert [verify_checkpoint(path) for path in checkpoints] == [None] * 4


def test_the_best_weights_are_taken_up_from_their_checkpoint(build):
    trainer = trained(build(errors_by_step=ERRORS))
    trainer.take_best_weights()
    best = load_file(Path(trainer.args.output_dir) / "checkpoint-2" / "model.safetensors")
    assert all(torch.equal(weights(trainer)[name], tensor) for name, tensor in best.items())
    assert trainer.best_evaluation == evaluation_with(3)


def test_the_best_checkpoint_outlives_a_move_of_the_folder_and_a_clock_that_was_set_back(build_in, tmp_path):
    settings = {"num_train_epochs": 4, "save_total_limit": 3, "errors_by_step": {2: 1, 4: 5, 6: 5, 8: 5}}
    stopped(build_in(tmp_path / "old", callbacks=(StopAfterSave(5),), **settings))
    for path in (tmp_path / "old").rglob("*"):
        os.utime(path, (2**32, 2**32 + int(path.stat().st_mtime)))  # in the year 2106
    shutil.move(tmp_path / "old", tmp_path / "new")
    trainer = resume(build_in(tmp_path / "new", **settings))
    names = [path.name for path in list_checkpoints(tmp_path / "new")]
    assert names == ["checkpoint-8", "checkpoint-7", "checkpoint-2"]
    trainer.take_best_weights()


def test_the_last_weights_stay_where_no_others_are_better(build):
    trainer = trained(build(errors_by_step={2: 5, 4: 3}))
    before = weights(trainer)
    trainer.take_best_weights()
    torch.testing.assert_close(weights(trainer), before, rtol=0, atol=0)


def test_the_last_weights_stay_where_nothing_was_measured(whole):
    before = weights(whole)
    whole.take_best_weights()
    torch.testing.assert_close(weights(whole), before, rtol=0, atol=0)


def remove(checkpoint: Path) -> None:
    checkpoint.rename(checkpoint.with_name("elsewhere"))


def damage(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").write_bytes(b"")


@pytest.mark.parametrize("act", [remove, damage])
def test_other_weights_are_never_taken_for_the_best(build, act: Callable[[Path], None]):
    trainer = trained(build(errors_by_step=ERRORS))
    act(Path(trainer.args.output_dir) / "checkpoint-2")
    with pytest.raises(CheckpointError, match="checkpoint-2 cannot be used"):
        trainer.take_best_weights()
    again = resume(build(errors_by_step=ERRORS))  # which goes on from before it
    assert verify_checkpoint(Path(again.args.output_dir) / "checkpoint-2") is None
    again.take_best_weights()
