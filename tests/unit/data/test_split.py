import random

import pytest
from datasets import Dataset
from datasets.arrow_writer import ArrowWriter
from hypothesis import given
from hypothesis import strategies as st

from recipe.data.report import RecordingReport
from recipe.data.shards import FEATURES, Shard
from recipe.data.split import (
    BOTH_SIDES,
    GUARD,
    GUARD_MS,
    NO_WORDS,
    choose_held_out,
    select_from_each,
    split_by_time,
    split_examples,
)

names = st.sets(st.text(min_size=1, max_size=12), min_size=2, max_size=60)


def alone(recordings) -> dict[str, str]:
    """Each recording in a group of its own."""
    return {name: name for name in recordings}


@given(names, st.floats(0.01, 0.5))
def test_some_recordings_are_held_out_and_never_all(recordings, fraction):
    held_out = choose_held_out(alone(recordings), fraction)
    assert 0 < len(held_out) < len(recordings)
    assert held_out <= recordings


@given(names, names, st.floats(0.01, 0.5))
def test_added_files_move_no_recording_into_training_but_the_last_resort(first, added, fraction):
    before, after = choose_held_out(alone(first), fraction), choose_held_out(alone(first | added), fraction)
    if len(before) > 1:
        assert before <= after


def test_the_fraction_is_about_what_was_asked_for():
    held_out = choose_held_out(alone(f"recording {number}" for number in range(2_000)), 0.1)
    assert 150 < len(held_out) < 250


def test_nothing_is_held_out_of_a_single_recording_or_without_a_fraction():
    assert choose_held_out(alone(["only"]), 0.1) == frozenset()
    assert choose_held_out(alone(["a", "b"]), 0.0) == frozenset()


@given(
    st.dictionaries(st.text(min_size=1, max_size=8), st.sampled_from("abcdefgh"), min_size=2),
    st.floats(0.01, 0.5),
)
def test_a_group_is_on_one_side_and_never_on_the_measured_one_if_it_is_most_of_the_data(groups, fraction):
    held_out = choose_held_out(groups, fraction)
    members = {group: {name for name in groups if groups[name] == group} for group in groups.values()}
    assert all(names <= held_out or not names & held_out for names in members.values())
    assert all(2 * len(names) <= len(groups) for names in members.values() if names <= held_out)
    assert len(held_out) < len(groups)


def make_times(num_windows: int) -> tuple[list[int], list[int]]:
    starts_ms = [index * 31_000 for index in range(num_windows)]
    return starts_ms, [start_ms + 30_000 for start_ms in starts_ms]


def test_a_recording_is_split_by_time_with_a_guard():
    starts_ms, ends_ms = make_times(20)
    train, held_out = split_by_time(starts_ms, ends_ms, 0.1)
    assert held_out == [18, 19]
    assert train == list(range(17))
    assert ends_ms[train[-1]] + GUARD_MS <= starts_ms[held_out[0]]


def test_too_little_speech_is_not_split():
    assert split_by_time(*make_times(2), 0.1) == ([0, 1], [])


def test_a_single_recording_is_trained_whole_where_nothing_is_to_be_held_out(tmp_path):
    split = split_examples([make_shard(tmp_path, "only", [speak(i) for i in range(7)])], 0.0)
    assert (len(split.train), len(split.held_out)) == (7, 0)
    assert split.warnings == [
        "No recording is held out (eval_fraction is 0), so the error rate is not measured."
    ]


def make_shard(folder, name: str, texts: list[str], audio_hash: str = "", language: str = "fr") -> Shard:
    """A recording with a window for each text; "" is a window without words."""
    rows = []
    for number, text in enumerate(texts):
        row = dict.fromkeys(FEATURES) | {"recording": name, "language": language, "fault": ""}
        row |= {"start_ms": number * 31_000, "end_ms": number * 31_000 + 30_000}
        rows.append(row | {"segments": [{"start_ms": 0, "end_ms": 30_000, "text": text}] * bool(text)})
    path = folder / f"{name}.arrow"
    with ArrowWriter(features=FEATURES, path=str(path)) as writer:
        for row in rows:
            writer.write(row)
        writer.finalize()
    return Shard(
        path, RecordingReport(name, num_windows=len(texts), audio_hash=audio_hash, language=language)
    )


def speak(*seed: object, num_words: int = 80) -> str:
    return " ".join(f"w{number}" for number in random.Random(repr(seed)).choices(range(3_000), k=num_words))


def check_all_windows_are_somewhere(split, shards) -> None:
    num_windows = len(split.train) + len(split.held_out) + sum(split.num_unused.values())
    assert num_windows == sum(shard.report.num_windows for shard in shards)


def test_the_same_recording_under_two_names_is_on_one_side(tmp_path):
    talks = [make_shard(tmp_path, f"talk-{n}", [speak(n, i) for i in range(4)]) for n in range(12)]
    again = [make_shard(tmp_path, f"again-{n}", [speak(n, i) for i in range(4)]) for n in range(12)]
    split = split_examples([*talks, *again], 0.25)
    assert split.held_out_names
    assert {name.split("-")[1] for name in split.held_out_names}.isdisjoint(
        name.split("-")[1] for name in split.train["recording"]
    )
    assert split.num_unused == {}
    check_all_windows_are_somewhere(split, [*talks, *again])


def test_a_shared_introduction_leaves_the_measured_side(tmp_path):
    intro = speak("intro", num_words=20)
    shards = [
        make_shard(tmp_path, f"talk-{n}", [f"{intro} {speak(n, 0)}", speak(n, 1), ""]) for n in range(6)
    ]
    split = split_examples(shards, 0.2)
    num_held_out = len(split.held_out_names)
    assert split.num_unused == {NO_WORDS: num_held_out, BOTH_SIDES: num_held_out}
    assert len(split.train) == 3 * (6 - num_held_out)
    assert all(intro not in segments[0]["text"] for segments in split.held_out["segments"])
    check_all_windows_are_somewhere(split, shards)


def test_where_all_say_the_same_a_warning_says_so(tmp_path):
    shards = [make_shard(tmp_path, f"reader-{n}", [speak(i) for i in range(3)]) for n in range(4)]
    split = split_examples(shards, 0.2)
    assert len(split.held_out) == 3 * len(split.held_out_names) > 0
    assert [warning for warning in split.warnings if "flatters" in warning]


def test_the_windows_between_the_parts_of_a_single_recording_are_counted(tmp_path):
    shards = [make_shard(tmp_path, "only", [speak(i) for i in range(20)])]
    split = split_examples(shards, 0.1)
    assert split.num_unused == {GUARD: 1}
    assert "single recording" in split.warnings[0]
    check_all_windows_are_somewhere(split, shards)


def make_language(folder, language: str, num_recordings: int, num_windows: int = 12) -> list[Shard]:
    return [
        make_shard(
            folder, f"{language}-{n}", [speak(language, n, i) for i in range(num_windows)], language=language
        )
        for n in range(num_recordings)
    ]


def test_each_language_is_measured_on_recordings_of_its_own(tmp_path):
    french, english = make_language(tmp_path, "fr", 12), make_language(tmp_path, "en", 4)
    split = split_examples([*english, *french], 0.1)
    assert set(split.held_out["language"]) == {"fr", "en"}
    alone = [split_examples(shards, 0.1).held_out_names for shards in (french, english)]
    assert split.held_out_names == alone[0] | alone[1]
    check_all_windows_are_somewhere(split, [*english, *french])


def test_the_end_of_the_only_recording_in_a_language_is_held_out(tmp_path):
    shards = [*make_language(tmp_path, "en", 1), *make_language(tmp_path, "fr", 5)]
    split = split_examples(shards, 0.2)
    english = [row for row in split.held_out if row["recording"] == "en-0"]
    assert [row["start_ms"] for row in english] == [10 * 31_000, 11 * 31_000]
    assert "en-0" not in split.held_out_names
    assert split.num_unused == {GUARD: 1}
    (warning,) = split.warnings
    assert warning.startswith("en-0 is the single recording in language en: its end is held out")
    check_all_windows_are_somewhere(split, shards)


def test_one_recording_in_each_of_two_languages_measures_both(tmp_path):
    shards = [*make_language(tmp_path, "en", 1), *make_language(tmp_path, "fr", 1)]
    split = split_examples(shards, 0.1)
    assert set(split.train["language"]) == set(split.held_out["language"]) == {"en", "fr"}


@pytest.mark.parametrize(
    ("languages", "num_windows", "expected"),
    [
        pytest.param("f" * 9, 4, [0, 1, 2, 3], id="one language: the first"),
        pytest.param("f" * 3, 4, [0, 1, 2], id="fewer than asked for"),
        pytest.param("eeeeeeff", 4, [0, 1, 2, 6], id="two languages: each in proportion"),
        pytest.param("e" * 99 + "f", 10, [*range(10), 99], id="one window at least"),
    ],
)
def test_some_windows_of_each_language_are_selected(languages, num_windows, expected):
    examples = Dataset.from_dict({"language": list(languages), "index": list(range(len(languages)))})
    assert select_from_each(examples, num_windows)["index"][:] == expected
