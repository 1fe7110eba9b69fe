"""The learning rate goes by the size of the model, updates by the amount of speech; what is named is kept."""

import pytest

from recipe.training.schedule import choose_epochs, choose_rate, choose_windows_per_update


def test_larger_models_get_lower_rates_and_adapters_higher_ones() -> None:
    rates = [choose_rate(width) for width in (384, 512, 768, 1024, 1280)]
    assert rates == sorted(rates, reverse=True)
    assert rates == pytest.approx([3.75e-5, 2.5e-5, 1.25e-5, 6.25e-6, 4.38e-6])
    assert choose_rate(600) == choose_rate(512), "a checkpoint of another width has the rate of the nearest"
    assert choose_rate(512, has_adapters=True) == pytest.approx(20 * choose_rate(512))


def test_more_speech_means_larger_updates_and_fewer_epochs() -> None:
    hours = (0.1, 0.25, 0.5, 1, 2, 5, 10, 50, 100, 1000)
    windows = [round(hours * 120) for hours in hours]
    sizes, epochs = [choose_windows_per_update(n) for n in windows], [choose_epochs(n) for n in windows]
    assert sizes == sorted(sizes)
    assert epochs == sorted(epochs, reverse=True)
    assert {2, 4, 8, 16} == set(sizes)


@pytest.mark.parametrize("num_windows", [0, 1])
def test_next_to_nothing_can_be_trained_too(num_windows: int) -> None:
    assert choose_windows_per_update(num_windows) == 2
    assert choose_epochs(num_windows) == 8
