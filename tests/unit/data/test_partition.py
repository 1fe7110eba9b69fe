from hypothesis import given
from hypothesis import strategies as st

from recipe.data.partition import count_machines, position_of


@given(st.text())
def test_a_name_has_a_position_below_one(name):
    assert 0 <= position_of(name) < 1


def test_positions_are_about_even():
    parts = [int(4 * position_of(f"talk {number}")) for number in range(4_000)]
    assert min(parts.count(part) for part in range(4)) > 900


def test_machines_are_counted_as_the_launcher_numbers_them():
    assert count_machines({"GROUP_RANK": "1", "GROUP_WORLD_SIZE": "3"}) == 3
    assert count_machines({}) == 1
