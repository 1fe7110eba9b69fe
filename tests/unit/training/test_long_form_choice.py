"""How many cuts a run transcribes: all that are asked for, and few after a short training."""

import pytest

from recipe.training.arguments import parse_arguments
from recipe.training.long_form import count_cuts


@pytest.mark.parametrize(
    ("long_form", "num_trained", "num_cuts"),
    [
        ("auto", 15, 0),
        ("auto", 58, 3),
        ("auto", 191, 11),
        ("auto", 100_000, 12),
        ("cuts", 15, 120),
    ],
)
def test_cuts_unasked_take_little_beside_training(tmp_path, long_form, num_trained, num_cuts) -> None:
    flags = ["--data_dir", str(tmp_path), "--long_form", long_form, "--output_dir", str(tmp_path / "run")]
    assert count_cuts(parse_arguments(flags), num_trained) == num_cuts
