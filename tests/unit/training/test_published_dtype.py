"""float16 is published where it expects the same words, and never where it cannot hold the weights."""

import math

import pytest
import torch
from tiny_trainers import copy_of, tiny_whisper

from recipe.model.whisper import Whisper
from recipe.training.published_dtype import choose_unmeasured, judge_rounding


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Whisper:
    return tiny_whisper(tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize(
    ("rounded", "name"),
    [(0.8, "float16"), (0.7, "float16"), (0.8039, "float16"), (0.8041, "float32"), (math.inf, "float32")],
)
def test_half_a_percent_of_the_loss_more_is_the_same(whisper: Whisper, rounded: float, name: str) -> None:
    dtype = judge_rounding(whisper.model, 0.8, rounded)
    assert dtype.name == name
    assert f"is {rounded:.4f} in float16 and 0.8000 in float32" in dtype.sentence


def test_float16_is_half_the_size(whisper: Whisper) -> None:
    asked, kept = (choose_unmeasured(whisper.model, choice) for choice in ("float16", "float32"))
    assert (asked.name, kept.name) == ("float16", "float32")
    assert 2 * asked.num_bytes == kept.num_bytes == sum(w.nbytes for w in whisper.model.parameters())


def test_unmeasured_weights_stay_float32_unless_asked(whisper: Whisper) -> None:
    dtype = choose_unmeasured(whisper.model, "auto")
    assert dtype.name == "float32"
    assert "no validation part" in dtype.sentence


@pytest.mark.parametrize("choice", ["auto", "float16"])
def test_weights_that_float16_cannot_hold_stay_float32(whisper: Whisper, choice: str) -> None:
    large = copy_of(whisper)
    with torch.no_grad():
        large.model.model.encoder.layers[0].fc1.weight[3, 4] = 70_000.0
    dtype = choose_unmeasured(large.model, choice)
    assert dtype.name == "float32"
    assert "layers.0.fc1.weight holds values over 65,504, which float16 cannot hold" in dtype.sentence
