from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from recipe.data.split import GUARD_MS, choose_held_out, split_by_time

names = st.sets(st.text(min_size=1, max_size=12), min_size=2, max_size=60)


@given(names, st.floats(0.01, 0.5))
def test_some_recordings_are_held_out_and_never_all(recordings, fraction):
    held_out = choose_held_out(recordings, fraction)
    assert 0 < len(held_out) < len(recordings)
    assert held_out <= recordings


@given(names, names, st.floats(0.01, 0.5))
def test_added_files_move_no_recording_into_training_but_the_last_resort(first, added, fraction):
    before, after = choose_held_out(first, fraction), choose_held_out(first | added, fraction)
    if len(before) > 1:
        assert before <= after


def test_the_share_is_about_what_was_asked_for():
    held_out = choose_held_out([f"recording {number}" for number in range(2_000)], 0.1)
    assert 150 < len(held_out) < 250


def test_nothing_is_held_out_of_a_single_recording_or_without_a_share():
    assert choose_held_out(["only"], 0.1) == frozenset()
    assert choose_held_out(["a", "b"], 0.0) == frozenset()


def make_windows(num_windows: int) -> Dataset:
    starts = [index * 31_000 for index in range(num_windows)]
    return Dataset.from_dict({"start_ms": starts, "end_ms": [start + 30_000 for start in starts]})


def test_a_single_recording_is_split_by_time_with_a_guard():
    train, held_out = split_by_time(make_windows(20), 0.1)
    assert len(held_out) == 2
    assert train["end_ms"][-1] + GUARD_MS <= held_out["start_ms"][0]
    assert len(train) == 17


def test_too_little_speech_is_not_split():
    train, held_out = split_by_time(make_windows(2), 0.1)
    assert (len(train), len(held_out)) == (2, 0)


def test_a_single_recording_is_trained_whole_where_nothing_is_to_be_held_out():
    train, held_out = split_by_time(make_windows(7), 0.0)
    assert (len(train), len(held_out)) == (7, 0)
