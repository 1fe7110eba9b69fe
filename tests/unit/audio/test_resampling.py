"""Frames with made-up timestamps, and where the time line puts them."""

import itertools
from fractions import Fraction

import av
import numpy as np
import pytest

from recipe.audio.resampling import SAMPLE_RATE, Timeline


def make_frame(start_ms: int | None, value: int = 1000, duration_ms: int = 100, rate: int = SAMPLE_RATE):
    """A stretch of one constant value; `start_ms` is its timestamp."""
    samples = np.full((1, rate * duration_ms // 1000), value, np.int16)
    frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
    frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, 1000), start_ms
    return frame


def lay_out(frames, origin=Fraction(0)):
    """The sound, as (value, milliseconds) stretches, and the notes."""
    timeline = Timeline(origin)
    samples = np.concatenate(list(timeline.place_all(iter(frames))))
    assert len(samples) == timeline.num_samples
    edges = [0, *(np.flatnonzero(np.diff(samples)) + 1), len(samples)]
    stretches = [(int(samples[a]), (b - a) / 16) for a, b in itertools.pairwise(edges)]
    return stretches, " ".join(timeline.describe())


@pytest.mark.parametrize(
    ("starts_ms", "expected", "note"),
    [
        ([0, 100], [(1, 100), (2, 100)], ""),
        ([0, 140], [(1, 100), (2, 100)], ""),
        ([0, 60], [(1, 100), (2, 100)], ""),
        ([0, None], [(1, 100), (2, 100)], ""),
        ([None, 100], [(1, 100), (2, 100)], ""),
        ([30, 130], [(0, 30), (1, 100), (2, 100)], ""),
        ([-30, 70], [(1, 70), (2, 100)], ""),
        ([-150, -50], [(2, 50)], ""),
        ([0, 400], [(1, 100), (0, 300), (2, 100)], "1 gaps in its timestamps were filled"),
        ([0, 30], [(1, 100), (2, 30)], "1 overlaps in its timestamps were dropped, 0.07 s"),
        ([7_200_000, 7_200_100], [(1, 100), (2, 100)], "jump too far"),
        ([5000, 0], [(0, 5000), (1, 100), (2, 100)], "jump too far"),
    ],
    ids=[
        "in step",
        "jitter, late",
        "jitter, early",
        "no timestamp",
        "no first timestamp",
        "late start",
        "before zero",
        "a whole frame before zero",
        "gap",
        "overlap",
        "clock starts at two hours",
        "clock goes back",
    ],
)
def test_frames_are_put_where_their_timestamps_say(starts_ms, expected, note):
    frames = [make_frame(start, value) for value, start in enumerate(starts_ms, start=1)]
    stretches, notes = lay_out(frames)
    assert stretches == expected
    assert note in notes
    assert bool(note) == bool(notes)


def test_time_is_counted_from_the_origin():
    stretches, notes = lay_out([make_frame(1400, 1), make_frame(1500, 2)], origin=Fraction(14, 10))
    assert (stretches, notes) == ([(1, 100), (2, 100)], "")


def test_a_change_of_rate_midway_keeps_the_time():
    frames = [make_frame(0, 0), make_frame(100, 0, rate=48_000), make_frame(200, 0, rate=8_000)]
    assert lay_out(frames) == ([(0, 300)], "")


def test_errors_of_placement_do_not_add_up():
    frames = [make_frame(index * 161, 1) for index in range(500)]
    stretches, _ = lay_out(frames)
    assert sum(length for _, length in stretches) == 499 * 161 + 100
