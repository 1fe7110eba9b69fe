from hypothesis import given
from hypothesis import strategies as st

from recipe.data.partition import Partition, partition_of_machine, position_of


@given(st.text(), st.integers(1, 16))
def test_every_recording_is_exactly_one_machines(name, count):
    assert [Partition(index, count).holds(name) for index in range(count)].count(True) == 1
    assert 0 <= position_of(name) < 1


def test_partitions_are_about_even():
    counts = [sum(Partition(index, 4).holds(f"talk {n}") for n in range(4_000)) for index in range(4)]
    assert min(counts) > 900


def test_a_partition_is_read_as_the_launcher_numbers_machines():
    assert partition_of_machine({"GROUP_RANK": "1", "GROUP_WORLD_SIZE": "3"}) == Partition(1, 3)
    assert partition_of_machine({}) == Partition(0, 1)
