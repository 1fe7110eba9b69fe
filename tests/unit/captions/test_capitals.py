import pytest

from recipe.captions.capitals import capitals_fraction


def test_capitals_are_counted_among_the_letters_that_have_a_case():
    assert capitals_fraction(["ALL ", "but ONE"]) == pytest.approx(6 / 9)
    assert capitals_fraction(["123", "漢字"]) == 0
