"""float16 is published where it writes the same words, and never where it cannot hold the weights."""

import pytest
import torch
from tiny_trainers import copy_of, evaluation_with, tiny_whisper

from recipe.model.whisper import Whisper
from recipe.training.published_dtype import choose_unmeasured, judge_rounding


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Whisper:
    return tiny_whisper(tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize(
    ("num_words", "num_errors", "num_errors_rounded", "name"),
    [
        (100, 40, 40, "float16"),
        (100, 40, 38, "float16"),
        (100, 40, 41, "float16"),  # a word is decided by chance
        (100, 40, 42, "float32"),
        (3_000, 400, 403, "float16"),  # a tenth of a point
        (3_000, 400, 404, "float32"),
    ],
)
def test_a_word_or_a_tenth_of_a_point_more_is_the_same(
    whisper: Whisper, num_words: int, num_errors: int, num_errors_rounded: int, name: str
) -> None:
    before, rounded = (
        evaluation_with(errors, num_words=num_words) for errors in (num_errors, num_errors_rounded)
    )
    dtype = judge_rounding(whisper.model, before, rounded)
    assert dtype.name == name
    assert f"{num_errors_rounded} of {num_words} validation words wrong" in dtype.sentence
    assert f"float32 has {num_errors}" in dtype.sentence


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
