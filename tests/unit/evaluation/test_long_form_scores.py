"""Figures of whole recordings: what is scored, starts, loops, and what is told of two models."""

from dataclasses import replace

import pytest
from tiny_trainers import make_example, make_examples

from recipe.evaluation.long_form_scores import (
    MAX_START_ERROR_MS,
    Decoded,
    LongForm,
    LongFormComparison,
    build_references,
    count_loops,
    measure_starts,
    score_recording,
)


def segment(start_ms: int, end_ms: int | None, text: str = "") -> dict:
    return {"start_ms": start_ms, "end_ms": end_ms, "text": text}


WINDOWS = [
    make_example(start_ms=40_000, end_ms=44_000, segments=[segment(0, 3_000, "trois quatre")]),
    make_example(
        start_ms=10_000,
        end_ms=20_000,
        segments=[segment(0, 1_000, "un"), segment(2_000, 4_000, "deux"), segment(6_000, None)],
    ),
    make_example(recording="mute", start_ms=0, end_ms=5_000),
]


def reference_of(partly: frozenset[str] = frozenset()):
    (reference,) = build_references(make_examples(WINDOWS), partly, "transcribe")
    return reference


def test_a_reference_has_the_words_of_its_windows_in_order_and_where_they_are_known():
    reference = reference_of()
    assert (reference.recording, reference.language, reference.text) == ("talk", "fr", "un deux trois quatre")
    assert reference.cue_starts_ms == [10_000, 12_000, 40_000]
    assert reference.covered_ms == [(10_000, 16_000), (40_000, 44_000)], "a cue that goes on is not known"
    assert reference.is_whole
    assert not reference_of(frozenset({"talk"})).is_whole


def test_words_are_scored_where_all_that_is_said_is_known_only():
    written = [
        Decoded(0, 9_000, "sans sous-titre"),
        Decoded(10_000, 11_000, "Un !"),
        Decoded(12_500, 14_000, "douze"),
        Decoded(15_000, 39_000, "ailleurs"),
        Decoded(39_900, 43_000, "trois quatre cinq"),
    ]
    item = score_recording(reference_of(), written, 50.0, 5.0, "transcribe")
    errors = item.scores.words_normalized
    assert (errors.num_reference, errors.num_substitutions, errors.num_insertions) == (4, 1, 1)
    assert item.hypothesis == "Un ! douze trois quatre cinq"
    assert item.start_errors_ms == [0, 500, 100]
    assert item.num_segments == 5


@pytest.mark.parametrize(
    ("cues", "decoded", "errors"),
    [
        ([1_000, 5_000], [900, 5_300], [100, 300]),
        ([1_000, 5_000], [3_100], [2_100, 1_900]),
        ([1_000], [5_000, 1_050, 0], [50]),
        ([1_000], [], [MAX_START_ERROR_MS]),
        ([60_000], [0], [MAX_START_ERROR_MS]),
    ],
)
def test_a_start_is_compared_with_the_nearest_one(cues, decoded, errors):
    assert measure_starts(cues, decoded) == errors


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("a b c", 0),
        ("na " * 5, 0),
        ("na " * 6, 1),
        ("so " + "thank you " * 6 + "bye", 1),
        ("thank you " * 5 + "bye", 0),
        ("a b c d e f g h i j k l " * 6, 1),
        ("na " * 7 + "well " + "no no yes " * 6, 2),
        ("", 0),
    ],
)
def test_the_same_words_six_times_in_a_row_are_a_loop(text, number):
    assert count_loops(text.split()) == number


def errors_with(num_wrong: int) -> LongForm:
    words = ["un", "deux", "trois", "quatre"]
    written = ["x"] * num_wrong + words[num_wrong:]
    segments = [Decoded(10_000, 11_000, " ".join(written))]
    item = score_recording(reference_of(), segments, 50.0, 5.0, "transcribe")
    recordings = [replace(item, recording=f"talk-{number}") for number in range(8)]
    return LongForm(recordings, {"silence": 0, "noise": num_wrong, "music": 0}, [])


def test_the_figures_of_all_recordings_are_those_of_their_sums():
    summary = errors_with(1).summarise()
    assert summary["wer_normalized"] == 1 / 4
    assert summary["num_cues"] == 24
    assert summary["start_error_median_ms"] == 2_000
    assert summary["starts_within_200_ms"] == 1 / 3
    assert summary["num_cues_without_start"] == 16
    assert summary["words_on_noise"] == 1
    assert summary["real_time_factor"] == 0.1


def test_two_models_are_compared_by_recordings_and_one_that_is_worse_is_told():
    worse = LongFormComparison(errors_with(1), errors_with(2))
    assert (worse.comparison.drawn, worse.comparison.num_drawn) == ("recordings", 8)
    assert worse.comparison.verdict == "worse"
    assert "50.0% of the words are wrong there, 25.0% by the base model" in worse.warning
    better = LongFormComparison(errors_with(2), errors_with(1))
    assert better.comparison.verdict == "better"
    assert better.warning == ""
    assert better.as_dict()["after"]["recordings"]["talk-3"]["hypothesis"] == "x deux trois quatre"
