import random

import numpy as np
import pytest
import torch
from tiny_trainers import tiny_whisper

from recipe.model.whisper import WhisperForConditionalGeneration
from recipe.training.memory import largest_micro_batch, reserve_moments, same_randomness


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> WhisperForConditionalGeneration:
    return tiny_whisper(tmp_path_factory.mktemp("tiny"), num_mel_bins=128).model


def test_the_model_takes_the_largest_micro_batch_and_none_with_longer_labels(model) -> None:
    micro_batch = largest_micro_batch(model.config, 1)
    assert micro_batch["labels"].shape == (1, 448)
    assert micro_batch["input_features"].shape == (1, 128, 3000)
    model(**micro_batch)
    longer = {name: torch.zeros((1, 449), dtype=torch.int64) for name in ("decoder_input_ids", "labels")}
    with pytest.raises((IndexError, RuntimeError, ValueError)):
        model(**micro_batch | longer)


def num_bytes(tensors) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def test_the_reserve_is_as_large_as_the_moments_of_the_first_update(model) -> None:
    optimizer = torch.optim.AdamW(model.parameters())
    reserved = num_bytes(reserve_moments(model, optimizer, "adamw_torch"))
    sum(parameter.sum() for parameter in model.parameters() if parameter.requires_grad).backward()
    optimizer.step()
    states = [value for state in optimizer.state.values() for name, value in state.items() if name != "step"]
    assert reserved == num_bytes(states) > 0
    assert reserve_moments(model, optimizer, "adamw_torch") == [], "they are there now"


def test_moments_of_eight_bits_take_a_byte_each(model) -> None:
    num_trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    reserve = reserve_moments(model, torch.optim.AdamW(model.parameters()), "adamw_bnb_8bit")
    assert num_bytes(reserve) == 2 * num_trained


DRAWS = {
    "torch": lambda: torch.rand(3).tolist(),
    "numpy": lambda: np.random.rand(3).tolist(),
    "python": random.random,
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_draws_in_a_trial_do_not_change_those_after_it(draw) -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    expected = [draw(), draw()]
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    first = draw()
    with same_randomness(torch.device("cpu")):
        draw()
    assert [first, draw()] == expected
