"""LoRA changes what is trained and nothing else: not the mathematics, the resume or what is published."""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_model
from tiny_trainers import (
    StopAfterSave,
    assert_same,
    build_trainer,
    curve,
    make_windows,
    resume,
    stopped,
    trained,
)

from recipe.arguments import ModelArguments
from recipe.model.adapters import add_adapters, merge_adapters, merged
from recipe.model.whisper import Whisper, WhisperForConditionalGeneration
from recipe.training.trainer import WhisperTrainer

ERRORS = {2: 3, 4: 5}
LORA = ModelArguments(lora_rank=4, lora_alpha=4)
DORA = ModelArguments(lora_rank=4, lora_alpha=4, lora_dora=True)
EITHER = pytest.mark.parametrize("arguments", [LORA, DORA], ids=["LoRA", "DoRA"])

Build = Callable[..., WhisperTrainer]


@pytest.fixture(scope="module")
def base(whisper: Whisper) -> WhisperForConditionalGeneration:
    return whisper.model


@pytest.fixture
def model(base: WhisperForConditionalGeneration) -> WhisperForConditionalGeneration:
    return copy.deepcopy(base)


@pytest.fixture(scope="module")
def build_in(whisper: Whisper) -> Build:
    windows = make_windows(whisper)

    def build(folder: Path, **changes: Any) -> WhisperTrainer:
        trainer = build_trainer(whisper, windows, folder, **changes)
        add_adapters(trainer.whole_model, LORA, seed=1)
        return trainer

    return build


@pytest.fixture
def build(build_in: Build, tmp_path: Path) -> Build:
    return partial(build_in, tmp_path / "run")


@pytest.fixture(scope="module")
def measured(build_in: Build, tmp_path_factory: pytest.TempPathFactory) -> WhisperTrainer:
    return trained(build_in(tmp_path_factory.mktemp("measured"), errors_by_step=ERRORS))


def stir(model: torch.nn.Module) -> torch.nn.Module:
    """Adapters as after some training: what they add is no longer zero."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for weight in model.parameters():
            if weight.requires_grad:
                weight.normal_(std=0.1)
    return model


def logits_of(model: torch.nn.Module) -> torch.Tensor:
    """Logits of three tokens after noise."""
    sound = torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model.eval()(input_features=sound, decoder_input_ids=torch.tensor([[1, 2, 3]])).logits


@pytest.mark.parametrize("freeze_encoder", [False, True])
def test_adapters_beside_attention_and_feed_forward_matrices_are_all_that_is_trained(
    model, freeze_encoder: bool
):
    add_adapters(model, ModelArguments(lora_rank=2, freeze_encoder=freeze_encoder), seed=1)
    names = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert {name.split(".")[-3] for name in names} == {"lora_A", "lora_B"}
    adapted = {name.rsplit(".", 3)[0] for name in names}
    attention = [f"{kind}.{part}_proj" for kind in ("self_attn",) for part in ("q", "k", "v", "out")]
    cross = [f"encoder_attn.{part}_proj" for part in ("q", "k", "v", "out")]
    expected = {f"model.decoder.layers.0.{name}" for name in (*attention, *cross, "fc1", "fc2")}
    if not freeze_encoder:
        expected |= {f"model.encoder.layers.0.{name}" for name in (*attention, "fc1", "fc2")}
    assert adapted == expected


def test_without_a_rank_nothing_is_added(model, base):
    add_adapters(model, ModelArguments(), seed=1)
    assert [name for name, _ in model.named_modules()] == [name for name, _ in base.named_modules()]
    assert all(weight.requires_grad for name, weight in model.named_parameters() if "positions" not in name)


@pytest.mark.parametrize(
    ("rank", "alpha", "times"), [(32, None, 1.0), (8, None, 2.0), (128, None, 0.5), (16, 8.0, 2.0)]
)
def test_adapters_count_alpha_by_the_root_of_the_rank(model, rank: int, alpha: float | None, times: float):
    add_adapters(model, ModelArguments(lora_rank=rank, lora_alpha=alpha), seed=1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.fill_(1.0)
    [first, *_] = merge_adapters(model)
    merged_weight = first.layer.get_base_layer().weight
    torch.testing.assert_close(merged_weight, first.weight + times * rank)


def test_dora_trains_the_length_of_every_row_as_well(model):
    add_adapters(model, DORA, seed=1)
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    lengths = {name: weight for name, weight in trained.items() if "lora_magnitude_vector" in name}
    assert len(lengths) * 3 == len(trained)
    for name, length in lengths.items():
        layer = model.get_submodule(name.partition(".lora_magnitude_vector")[0])
        torch.testing.assert_close(length, layer.get_base_layer().weight.norm(dim=1))


@EITHER
def test_fresh_adapters_change_nothing_and_depend_on_the_seed_alone(model, base, arguments: ModelArguments):
    other = copy.deepcopy(base)
    torch.manual_seed(3)
    add_adapters(model, arguments, seed=1)
    torch.manual_seed(4)
    add_adapters(other, arguments, seed=1)
    torch.testing.assert_close(model.state_dict(), other.state_dict(), rtol=0, atol=0)
    assert torch.equal(logits_of(model), logits_of(base))


@EITHER
def test_a_merged_model_is_a_plain_whisper_with_the_same_logits(model, base, arguments: ModelArguments):
    add_adapters(model, arguments, seed=1)
    stir(model)
    with_adapters = logits_of(model)
    assert not torch.allclose(with_adapters, logits_of(base), atol=1e-2)
    merge_adapters(model)
    torch.testing.assert_close(logits_of(model), with_adapters, rtol=1e-4, atol=1e-5)
    assert list(model.state_dict()) == list(base.state_dict())
    assert type(model) is WhisperForConditionalGeneration


@EITHER
def test_after_a_look_at_the_merged_model_the_adapters_are_as_before_to_the_bit(
    model, arguments: ModelArguments
):
    add_adapters(model, arguments, seed=1)
    stir(model)
    before, logits = copy.deepcopy(model.state_dict()), logits_of(model)
    with pytest.raises(KeyboardInterrupt), merged(model):
        raise KeyboardInterrupt
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert torch.equal(logits_of(model), logits)


@pytest.mark.parametrize(
    "options",
    [{}, pytest.param({"activation_checkpointing": True}, marks=pytest.mark.slow)],
    ids=["plain", "recomputed"],
)
def test_accumulation_does_not_change_the_update(build_in, measured, tmp_path, options: dict[str, Any]):
    layout = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4, "save_strategy": "no"}
    parts = trained(build_in(tmp_path, **layout, **options))
    assert_same(measured, parts, tolerance=1e-6)


@pytest.mark.parametrize("step", [*(pytest.param(step, marks=pytest.mark.slow) for step in (1, 2)), 3])
def test_a_run_that_is_stopped_ends_like_one_that_is_not(build, measured, step: int):
    stopped(build(errors_by_step=ERRORS, callbacks=(StopAfterSave(step),)))
    resumed = resume(build(errors_by_step=ERRORS))
    assert curve(resumed) == curve(measured)
    assert_same(resumed, measured)


def test_what_is_measured_is_what_would_be_published(build, base):
    seen = []

    def look() -> None:
        seen.append({name: weight.clone() for name, weight in trainer.whole_model.state_dict().items()})

    trainer = build(errors_by_step=ERRORS, on_measure=look)
    trainer.train()
    trainer.take_best_weights()
    merge_adapters(trainer.whole_model)
    assert list(seen[0]) == list(base.state_dict())
    torch.testing.assert_close(trainer.whole_model.state_dict(), seen[0], rtol=0, atol=0)
    last = Path(trainer.args.output_dir) / "checkpoint-4" / "model.safetensors"
    add_adapters(base_again := copy.deepcopy(base), LORA, seed=7)
    load_model(base_again, last)
    merge_adapters(base_again)
    torch.testing.assert_close(base_again.state_dict(), seen[1], rtol=0, atol=0)
