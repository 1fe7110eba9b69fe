import numpy as np
import pytest
import torch
from datasets import Dataset
from tiny_trainers import make_example, make_examples, tiny_whisper

from recipe.evaluation.loss import measure_loss
from recipe.model.whisper import Whisper
from recipe.training.interpolation import Interpolation, copy_weights

TEXTS = ["bonjour", "", "une phrase bien plus longue que les autres"]


@pytest.fixture
def whisper(tmp_path) -> Whisper:
    return tiny_whisper(tmp_path)


@pytest.fixture(scope="module")
def examples() -> Dataset:
    return make_examples(make_example(text, start_ms=index) for index, text in enumerate(TEXTS))


def trained_far(whisper: Whisper, deviation: float) -> Interpolation:
    """From the weights that the model has to others that it is given now."""
    base = copy_weights(whisper.model)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in whisper.model.parameters():
            weight.add_(torch.randn(weight.shape, generator=random), alpha=deviation)
    return Interpolation(whisper.model, base)


def test_the_ends_of_the_line_are_exact_and_between_them_it_is_straight(whisper):
    model = whisper.model
    base = copy_weights(model)
    interpolation = trained_far(whisper, 0.1)
    trained = copy_weights(model)
    for alpha, expected in ((0.0, base), (1.0, trained)):
        interpolation.take(alpha)
        assert all(torch.equal(weight, expected[name]) for name, weight in copy_weights(model).items())
    interpolation.take(0.7)
    for name, weight in copy_weights(model).items():
        torch.testing.assert_close(weight, 0.3 * base[name] + 0.7 * trained[name])
    assert model.proj_out.weight is model.model.decoder.embed_tokens.weight


@pytest.mark.parametrize("batch_size", [1, 2])
def test_the_loss_is_per_token_whatever_the_batch(whisper, examples, batch_size: int):
    together = measure_loss(whisper, examples, batch_size)
    assert together == pytest.approx(measure_loss(whisper, examples, 8), abs=1e-6)
    # Of byte tokens: the words and a space, their two times, the end, and language and task before them.
    lengths = [len(f" {text}".encode()) if text else 0 for text in TEXTS]
    counts = [length + (5 if length else 4) for length in lengths]
    alone = [measure_loss(whisper, examples.select([index]), 8) for index in range(3)]
    assert together == pytest.approx(np.average(alone, weights=counts), abs=1e-6)


def test_weights_that_find_the_words_less_likely_have_a_higher_loss(whisper, examples):
    before = measure_loss(whisper, examples, 8)
    interpolation = trained_far(whisper, 1.0)
    assert measure_loss(whisper, examples, 8) > before
    interpolation.take(0.0)
    assert measure_loss(whisper, examples, 8) == before


def test_weights_of_no_use_have_an_infinite_loss(whisper, examples):
    with torch.no_grad():
        whisper.model.proj_out.weight[0] = torch.nan
    assert measure_loss(whisper, examples, 8) == torch.inf
