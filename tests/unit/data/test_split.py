import random

import pytest
from datasets import Dataset, concatenate_datasets
from datasets.arrow_writer import ArrowWriter
from hypothesis import assume, given
from hypothesis import strategies as st

from recipe.data.held_out import choose_ends, choose_held_out
from recipe.data.index import load_examples
from recipe.data.partition import position_of
from recipe.data.report import RecordingReport
from recipe.data.shards import FEATURES, Shard
from recipe.data.split import BOTH_SIDES, GUARD, NO_WORDS, Split, split_examples
from recipe.data.validation import GUARD_MS, select_from_each, split_by_time

HOUR_MS = 3_600_000
WORDS_PER_SECOND = 2.5


def split_shards(shards: list[Shard], fraction: float) -> Split:
    return split_examples(load_examples(shards), [shard.report for shard in shards], fraction)


names = st.text(min_size=1, max_size=8)
minutes = st.integers(1, 90)
fractions = st.floats(0.02, 0.5)


@st.composite
def folders(draw: st.DrawFn, min_size: int = 2) -> dict[str, RecordingReport]:
    """Recordings of 1 s to 2 h, spoken slowly or fast."""
    sizes = st.tuples(st.integers(1_000, 2 * HOUR_MS), st.floats(0.5, 4))
    lengths = draw(st.dictionaries(names, sizes, min_size=min_size, max_size=30))
    return {name: say(name, speech_ms, speed) for name, (speech_ms, speed) in lengths.items()}


def say(name: str, speech_ms: int, words_per_second: float = WORDS_PER_SECOND) -> RecordingReport:
    return RecordingReport(name, speech_ms=speech_ms, num_words=round(speech_ms / 1_000 * words_per_second))


def alone(recordings) -> dict[str, str]:
    """Each recording in a group of its own."""
    return {name: name for name in recordings}


def hold_out(reports: dict[str, RecordingReport], fraction: float) -> frozenset[str]:
    return choose_held_out(alone(reports), reports, fraction)


def speech_ms(reports: dict[str, RecordingReport], chosen) -> int:
    return sum(reports[name].speech_ms for name in chosen)


def num_words(reports: dict[str, RecordingReport], chosen) -> int:
    return sum(reports[name].num_words for name in chosen)


@given(folders(3), fractions)
def test_the_held_out_speech_is_within_one_recording_of_what_was_asked(reports, fraction):
    held_out = hold_out(reports, fraction)
    asked_ms = min(fraction * speech_ms(reports, reports), 10 * HOUR_MS)
    assert held_out
    off_ms = speech_ms(reports, held_out) - asked_ms
    longest_ms = max(report.speech_ms for report in reports.values())
    assert off_ms >= -longest_ms
    # Without the last one in rank, it is too little to learn an error rate from: in time, or in words.
    others, total = sorted(held_out, key=position_of)[:-1], num_words(reports, reports)
    needed = max(min(1_900, total - 3_000), asked_ms / speech_ms(reports, reports) / 4 * total)
    is_enough = num_words(reports, others) >= needed
    assert off_ms <= longest_ms or not is_enough


@given(folders(3), fractions)
def test_never_more_than_a_third_is_held_out_unless_asked_for(reports, fraction):
    held_out_ms, total_ms = speech_ms(reports, hold_out(reports, fraction)), speech_ms(reports, reports)
    assert 0 < held_out_ms <= max(1 / 3, fraction) * total_ms


@given(folders(), fractions, st.randoms())
def test_the_order_of_the_recordings_plays_no_part(reports, fraction, random):
    shuffled = random.sample(sorted(reports), len(reports))
    assert hold_out({name: reports[name] for name in shuffled}, fraction) == hold_out(reports, fraction)


@given(st.sets(names, min_size=2, max_size=60), names, st.integers(1_000, HOUR_MS), fractions)
def test_of_equally_long_recordings_an_added_one_moves_at_most_one(recordings, added, length_ms, fraction):
    before = hold_out({name: say(name, length_ms) for name in recordings}, fraction)
    after = hold_out({name: say(name, length_ms) for name in recordings | {added}}, fraction)
    assert len((before ^ after) - {added}) <= 1


@given(st.lists(minutes, min_size=10, max_size=40), names, minutes, st.floats(0.1, 0.5))
def test_an_added_recording_moves_only_the_last_in_rank_and_few(lengths, salt, length, fraction):
    """Where none is longer than a third, or twice what is asked: no more speech than its own and two more."""
    reports = {f"{salt} {i}": say(f"{salt} {i}", 60_000 * length) for i, length in enumerate(lengths)}
    longest_ms = 60_000 * max(*lengths, length)
    assume(longest_ms <= min(2 * fraction, 1 / 3) * speech_ms(reports, reports))
    grown = reports | {f"{salt} added": say(f"{salt} added", 60_000 * length)}
    before, after = hold_out(reports, fraction), hold_out(grown, fraction) & reports.keys()
    assert before <= after or after <= before
    moved, kept = before ^ after, before & after
    assert max(map(position_of, kept), default=0) <= min(map(position_of, moved), default=1)
    assert speech_ms(reports, moved) <= 60_000 * length + 2 * longest_ms


@given(st.lists(st.integers(1, 3), min_size=3, max_size=80), names, st.floats(0.02, 0.1))
def test_training_gets_3000_words_and_then_the_measurement_1900(lengths, salt, fraction):
    reports = {f"{salt} {i}": say(f"{salt} {i}", 60_000 * length) for i, length in enumerate(lengths)}
    total, held_out = num_words(reports, reports), num_words(reports, hold_out(reports, fraction))
    wanted, longest = (
        max(fraction * total, min(1_900, total - 3_000, total / 3)),
        max(r.num_words for r in reports.values()),
    )
    assert wanted - longest <= held_out <= max(wanted, longest) + longest  # two of six or more


MINUTES = [4, 12, 1, 25, 7, 3, 40, 2, 15, 9] * 4
"""Of the recordings "talk-00", "talk-01", ...; the hash ranks 23 32 02 27 26 11 28 13 18 01 21 16 09 08."""


@pytest.mark.parametrize(
    ("num_recordings", "fraction", "expected", "percent", "words", "after_one_more", "after_three_more"),
    [
        (2, 0.10, "00", 25, 600, "02", "02 01"),
        (3, 0.10, "02", 6, 150, "02 01", "02 01"),
        (3, 0.25, "02 00", 29, 750, "02 01", "02 01"),
        (5, 0.10, "02 01", 27, 1_950, "02 01", "02 01"),
        (5, 0.25, "02 01", 27, 1_950, "02 01", "02 01"),
        (9, 0.10, "02 01", 12, 1_950, "02 01", "02 11"),
        (9, 0.25, "02 01 08", 26, 4_200, "02 01 09", "02 11 01 09"),
        (12, 0.10, "02 11", 10, 1_950, "02 11", "02 11"),
        (12, 0.25, "02 11 01 09", 25, 5_100, "02 11 01 09", "02 11 13"),
        (20, 0.10, "02 11", 6, 1_950, "02 11", "02 11"),
        (20, 0.25, "02 11 13 18", 22, 7_950, "02 11 13 18 01", "02 11 13 18 01"),
        (30, 0.10, "23 02 27", 8, 4_200, "23 02 27", "23 32 02 27"),
        (30, 0.25, "23 02 27 26 11 28", 27, 14_250, "23 02 27 26 11 28", "23 32 02 27 26 11 28"),
    ],
    ids=str,
)
def test_folders_of_mixed_lengths(
    num_recordings, fraction, expected, percent, words, after_one_more, after_three_more
):
    def choose(number: int) -> tuple[str, int, int]:
        lengths = {f"talk-{i:02}": MINUTES[i] for i in range(number)}
        reports = {name: say(name, 60_000 * length) for name, length in lengths.items()}
        held_out = sorted(hold_out(reports, fraction), key=position_of)
        fraction_of_speech = speech_ms(reports, held_out) / speech_ms(reports, reports)
        in_rank = " ".join(name.removeprefix("talk-") for name in held_out)
        return in_rank, round(100 * fraction_of_speech), num_words(reports, held_out)

    assert choose(num_recordings) == (expected, percent, words)
    assert choose(num_recordings + 1)[0] == after_one_more
    assert choose(num_recordings + 3)[0] == after_three_more


@given(folders(), st.integers(1, 3), fractions)
def test_recordings_without_speech_change_nothing(reports, number, fraction):
    silent = {f"silent {index}": RecordingReport(f"silent {index}") for index in range(number)}
    assert hold_out(reports | silent, fraction) == hold_out(reports, fraction)


@pytest.mark.parametrize(
    ("lengths", "fraction", "expected"),
    [
        pytest.param([10], 0.1, "", id="a single recording"),
        pytest.param([10, 10], 0.0, "", id="nothing is asked for"),
        pytest.param([30, 10], 0.1, "b", id="two: the shorter"),
        pytest.param([10, 30], 0.5, "a", id="two: the shorter, whatever the rank"),
        pytest.param([90, 20, 30, 10], 0.5, "bcd", id="over half is trained"),
        pytest.param([10, 10, 10, 33, 10, 10, 10, 10], 0.1, "cf", id="over twice what is asked is trained"),
        pytest.param([60, 60, 60, 1, 60], 0.1, "cd", id="one minute is not enough of an hour's words"),
        pytest.param([4, 4, 4, 0.1, 4], 0.1, "cd", id="six seconds are not a quarter of what is asked"),
        pytest.param([600] * 8, 0.5, "d", id="ten hours are enough"),
    ],
)
def test_folders_with_lengths_at_a_bound(lengths, fraction, expected):
    """By the hash they rank d f c b e h a g."""
    reports = {
        name: say(name, int(60_000 * length)) for name, length in zip("abcdefgh", lengths, strict=False)
    }
    assert hold_out(reports, fraction) == frozenset(expected)


@given(st.data(), folders(), fractions)
def test_a_group_is_on_one_side_and_never_on_the_measured_one_if_it_is_most_of_the_data(
    data, reports, fraction
):
    groups = {name: data.draw(st.sampled_from(sorted(reports)[:8])) for name in reports}
    held_out = choose_held_out(groups, reports, fraction)
    members = {group: {name for name in groups if groups[name] == group} for group in groups.values()}
    assert all(names <= held_out or not names & held_out for names in members.values())
    assert speech_ms(reports, held_out) <= max(fraction, 1 / 3) * speech_ms(reports, reports)
    assert bool(held_out) or len(members) < 3
    ends = choose_ends(groups, reports, fraction) if not held_out else {}
    assert bool(ends) == (not held_out and len(members) <= 2)
    taken_ms = sum(part * reports[name].speech_ms for name, part in ends.items())
    assert taken_ms <= (max(fraction, 1 / 3) + 1e-9) * speech_ms(reports, reports)
    assert len({groups[name] for name in ends}) <= 1


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
    split = split_shards([make_shard(tmp_path, "only", [speak(i) for i in range(7)])], 0.0)
    assert (len(split.train), len(held_out_of(split))) == (7, 0)
    assert split.warnings == [
        "No recording is held out (eval_fraction is 0), so the error rate is not measured."
    ]


def make_shard(folder, name: str, texts: list[str], audio_hash: str = "", language: str = "fr") -> Shard:
    """A recording with a window for each text; "" is a window without words."""
    rows = []
    for number, text in enumerate(texts):
        row = dict.fromkeys(FEATURES) | {"recording": name, "language": language, "fault": ""}
        row |= {"start_ms": number * 31_000, "end_ms": number * 31_000 + 30_000}
        row |= {"num_tokens": len(text.split())}
        rows.append(row | {"segments": [{"start_ms": 0, "end_ms": 30_000, "text": text}] * bool(text)})
    path = folder / f"{name}.arrow"
    with ArrowWriter(features=FEATURES, path=str(path)) as writer:
        for row in rows:
            writer.write(row)
        writer.finalize()
    report = RecordingReport(name, num_windows=len(texts), audio_hash=audio_hash, language=language)
    report.speech_ms, report.num_words = 30_000 * sum(map(bool, texts)), sum(map(len, map(str.split, texts)))
    return Shard(path, report)


def speak(*seed: object, num_words: int = 80) -> str:
    return " ".join(f"w{number}" for number in random.Random(repr(seed)).choices(range(3_000), k=num_words))


def held_out_of(split) -> Dataset:
    """What chooses and what measures."""
    return concatenate_datasets([split.validation, split.test])


def check_all_windows_are_somewhere(split, shards) -> None:
    num_windows = len(split.train) + len(held_out_of(split)) + sum(split.num_unused.values())
    assert num_windows == sum(shard.report.num_windows for shard in shards)


def test_the_same_recording_under_two_names_is_on_one_side(tmp_path):
    talks = [make_shard(tmp_path, f"talk-{n}", [speak(n, i) for i in range(4)]) for n in range(12)]
    again = [make_shard(tmp_path, f"again-{n}", [speak(n, i) for i in range(4)]) for n in range(12)]
    split = split_shards([*talks, *again], 0.25)
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
    split = split_shards(shards, 0.2)
    num_held_out = len(split.held_out_names)
    assert split.num_unused == {NO_WORDS: num_held_out, BOTH_SIDES: num_held_out}
    assert len(split.train) == 3 * (6 - num_held_out)
    assert all(intro not in segments[0]["text"] for segments in held_out_of(split)["segments"])
    check_all_windows_are_somewhere(split, shards)


@pytest.mark.parametrize("has_groups", [False, True])
@pytest.mark.parametrize("fraction", [0.1, 0.25])
@pytest.mark.parametrize("num_recordings", [1, 2, 3, 5, 9, 12, 30])
def test_what_is_held_out_chooses_or_measures(tmp_path, num_recordings, fraction, has_groups):
    lengths = [MINUTES[n % len(MINUTES)] * 2 for n in range(num_recordings)]  # windows
    talks = [
        make_shard(tmp_path, f"talk-{n:02}", [speak(n, i) for i in range(length)])
        for n, length in enumerate(lengths)
    ]
    for number, shard in enumerate(talks):
        shard.report.group = f"channel-{number % 4}" if has_groups else ""
    split = split_shards(talks, fraction)
    check_all_windows_are_somewhere(split, talks)
    num_held_out = len(held_out_of(split))
    assert 0 < num_held_out <= max(fraction, 1 / 3, 1 / 2 * (num_recordings == 2)) * sum(lengths) + 1
    if num_held_out > 2:
        assert 0 < len(split.validation) <= len(split.test) * 1.5
    sides = [
        {(row["recording"], row["start_ms"]) for row in side.select_columns(["recording", "start_ms"])}
        for side in (split.train, split.validation, split.test)
    ]
    assert sum(map(len, sides)) == len(set().union(*sides))
    names = [{name for name, _ in side} for side in sides]
    whole = names[1] & names[2] == set()
    assert whole or len(names[1] | names[2]) == 1, "only a single recording is divided"
    assert whole or set(split.num_unused) == {GUARD}
    if has_groups and whole and num_recordings > 4:
        groups = [{int(name[-2:]) % 4 for name in side} for side in names]
        assert not groups[0] & (groups[1] | groups[2])


def test_the_beginning_of_the_one_held_out_recording_chooses_and_its_end_measures(tmp_path):
    talks = [make_shard(tmp_path, f"talk-{n}", [speak(n, i) for i in range(8)]) for n in range(4)]
    split = split_shards(talks, 0.1)
    (name,) = split.held_out_names
    assert [row["start_ms"] for row in split.validation] == [0]
    assert [row["start_ms"] for row in split.test] == [31_000 * number for number in range(2, 8)]
    assert split.num_unused == {GUARD: 1}
    (warning,) = split.warnings
    assert warning == (
        f"Of the held-out part only {name} is in its language: its beginning chooses the weights and its end "
        "measures them, so both are of the same voice."
    )


def test_two_held_out_windows_of_one_recording_measure_and_nothing_chooses(tmp_path):
    talks = [make_shard(tmp_path, f"talk-{n}", [speak(n, i) for i in range(2)]) for n in range(4)]
    split = split_shards(talks, 0.1)
    assert (len(split.validation), len(split.test)) == (0, 2)
    assert split.warnings == [
        "Too little speech is held out to choose weights by: the last ones are measured."
    ]


def test_words_that_both_parts_have_leave_the_part_that_chooses(tmp_path):
    intro = speak("intro", num_words=20)
    talks = [
        make_shard(tmp_path, f"talk-{n}", [f"{intro} {speak(n, 0)}", speak(n, 1), speak(n, 2)])
        for n in range(8)
    ]
    given = [*give(talks[:4], side="train"), *give(talks[4:6], side="validation")]
    given += give(talks[6:], side="test")
    for shard in talks[:4]:
        shard.report.side = "train"
    split = split_shards(given, 0.1)
    assert split.num_unused == {BOTH_SIDES: 4}
    assert (len(split.validation), len(split.test)) == (4, 4)


def test_a_dataset_that_brings_both_parts_keeps_them(tmp_path):
    talks = [make_shard(tmp_path, f"talk-{n}", [speak(n, i) for i in range(3)]) for n in range(8)]
    given = [*give(talks[:5], side="train"), *give(talks[5:6], side="validation")]
    split = split_shards([*given, *give(talks[6:], side="test")], 0.1)
    assert {*split.validation["recording"]} == {"talk-5"}
    assert {*split.test["recording"]} == {"talk-6", "talk-7"}


def test_where_all_say_the_same_a_warning_says_so(tmp_path):
    shards = [make_shard(tmp_path, f"reader-{n}", [speak(i) for i in range(3)]) for n in range(4)]
    split = split_shards(shards, 0.2)
    assert len(held_out_of(split)) == 2  # of three windows of one recording, with a guard between them
    assert [warning for warning in split.warnings if "flatters" in warning]


def test_the_windows_between_the_parts_of_a_single_recording_are_counted(tmp_path):
    shards = [make_shard(tmp_path, "only", [speak(i) for i in range(20)])]
    split = split_shards(shards, 0.1)
    assert split.num_unused == {GUARD: 2}  # before the end that is held out, and in it
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
    split = split_shards([*english, *french], 0.1)
    assert set(held_out_of(split)["language"]) == {"fr", "en"}
    alone = [split_shards(shards, 0.1).held_out_names for shards in (french, english)]
    assert split.held_out_names == alone[0] | alone[1]
    check_all_windows_are_somewhere(split, [*english, *french])


def test_the_end_of_the_only_recording_in_a_language_is_held_out(tmp_path):
    shards = [*make_language(tmp_path, "en", 1), *make_language(tmp_path, "fr", 5)]
    split = split_shards(shards, 0.2)
    english = [row for row in held_out_of(split) if row["recording"] == "en-0"]
    assert [row["start_ms"] for row in english] == [9 * 31_000, 11 * 31_000]
    assert "en-0" not in split.held_out_names
    assert split.num_unused == {GUARD: 3}  # before its end, in its end, and in the one French recording
    assert split.warnings[0].startswith("en-0 is the single recording in language en: its end is held out")
    assert [warning.split(" is ")[0] for warning in split.warnings[1:]] == [
        "Of the held-out part only fr-4",
        "Of the held-out part only en-0",
    ]
    check_all_windows_are_somewhere(split, shards)


def test_a_recording_without_words_is_no_second_one(tmp_path):
    shards = [*make_language(tmp_path, "fr", 1), make_shard(tmp_path, "mute", ["", ""])]
    split = split_shards(shards, 0.1)
    assert {*held_out_of(split)["recording"]} == {"fr-0"}
    assert split.train["recording"][:].count("mute") == 2
    check_all_windows_are_somewhere(split, shards)


def test_one_recording_in_each_of_two_languages_measures_both(tmp_path):
    shards = [*make_language(tmp_path, "en", 1), *make_language(tmp_path, "fr", 1)]
    split = split_shards(shards, 0.1)
    assert set(split.train["language"]) == set(held_out_of(split)["language"]) == {"en", "fr"}


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


def give(shards: list[Shard], **fields: str) -> list[Shard]:
    """The recordings, with what is known of them beside their files."""
    for shard in shards:
        for name, value in fields.items():
            setattr(shard.report, name, value)
    return shards


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.3])
def test_recordings_of_one_channel_are_on_one_side(tmp_path, fraction):
    talks = [make_shard(tmp_path, f"talk-{n}", [speak(n, i) for i in range(4)]) for n in range(12)]
    for number, shard in enumerate(talks):
        shard.report.group = f"channel-{number % 4}"
    split = split_shards(talks, fraction)
    groups = {shard.report.name: shard.report.group for shard in talks}
    held_out, train = (
        {groups[name] for name in side["recording"]} for side in (held_out_of(split), split.train)
    )
    assert held_out
    assert not held_out & train
    same_voices = "All held-out recordings in language fr are of one group"
    assert any(same_voices in warning for warning in split.warnings) == (len(held_out) == 1)
    check_all_windows_are_somewhere(split, talks)


def test_recordings_that_nobody_groups_are_groups_of_their_own(tmp_path):
    talks = [make_shard(tmp_path, f"talk-{n}", [speak(n, i) for i in range(4)]) for n in range(12)]
    before = split_shards(talks, 0.1).held_out_names
    give([shard for shard in talks if shard.report.name not in before], group="channel")
    assert split_shards(talks, 0.1).held_out_names == before


def test_one_channel_for_all_is_no_group_and_a_warning_says_so(tmp_path):
    talks = [make_shard(tmp_path, f"talk-{n}", [speak(n, i) for i in range(4)]) for n in range(6)]
    before = split_shards(talks, 0.2).held_out_names
    split = split_shards(give(talks, group="UC1"), 0.2)
    assert split.held_out_names == before
    warning, _ = split.warnings
    assert warning == (
        "All recordings in language fr are of one group (UC1): its voices are on both sides, "
        "so the error rate flatters."
    )
    assert split_shards(talks, 0.0).warnings == [
        "No recording is held out (eval_fraction is 0), so the error rate is not measured."
    ]


def test_channels_stay_together_also_where_all_say_the_same(tmp_path):
    readers = [make_shard(tmp_path, f"reader-{n}", [speak(i) for i in range(3)]) for n in range(6)]
    give(readers[::2], group="a")
    give(readers[1::2], group="b")
    held_out = held_out_of(split_shards(readers, 0.2))["recording"]
    assert len({name[-1] in "024" for name in held_out}) == 1


def test_of_two_recordings_over_a_third_each_the_end_of_the_shorter_is_held_out(tmp_path):
    """Of 60 windows 10 % would be 480 words; 4,800 leave 1,800 beyond the 3,000 that training gets first."""
    lengths = {"long": 35, "short": 25}
    talks = [make_shard(tmp_path, name, [speak(name, i) for i in range(n)]) for name, n in lengths.items()]
    split = split_shards(talks, 0.1)
    held_out = held_out_of(split)
    assert {*held_out["recording"]} == {"short"}
    assert {*split.train["recording"]} == {"long", "short"}
    assert len(held_out) + split.num_unused[GUARD] in range(20, 24)
    assert len(held_out) <= 20, "a third of 60"
    assert split.warnings[0] == (
        "short is over a third of the speech in language fr: its end is held out, so the same voice is on "
        "both sides."
    )
    check_all_windows_are_somewhere(split, talks)


def test_of_two_recordings_too_short_for_an_end_one_is_held_out_whole(tmp_path):
    talks = [make_shard(tmp_path, f"talk-{n}", [speak(n, i) for i in range(4)]) for n in range(2)]
    split = split_shards(talks, 0.1)
    assert len(split.held_out_names) == 1
    assert {*split.train["recording"]} == {"talk-0", "talk-1"} - split.held_out_names
    check_all_windows_are_somewhere(split, talks)


def test_uploads_of_one_recording_never_choose_and_measure(tmp_path):
    talks = [make_shard(tmp_path, f"talk-{n}", [speak(n, i) for i in range(8)], f"{n}") for n in range(12)]
    copies = [make_shard(tmp_path, f"copy-{n}", [speak(n, i) for i in range(8)], f"{n}") for n in range(12)]
    split = split_shards([*talks, *copies], 0.05)
    chosen, measured = ({name[-1] for name in side["recording"]} for side in (split.validation, split.test))
    assert len(split.validation) > 0
    if chosen & measured:  # one recording and its copy: the beginning of both, and the end of both
        assert max(split.validation["end_ms"]) + GUARD_MS <= min(split.test["start_ms"])


def test_a_channel_in_two_languages_is_measured_in_both(tmp_path):
    shards = [*make_language(tmp_path, "en", 4), *make_language(tmp_path, "fr", 4)]
    give(shards[1:3] + shards[5:7], group="one")
    split = split_shards(shards, 0.2)
    assert set(held_out_of(split)["language"]) == {"en", "fr"}


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5])
def test_a_datasets_own_split_is_taken_whole(tmp_path, fraction):
    train = [make_shard(tmp_path, f"train-{n}", [speak(n, i) for i in range(3)]) for n in range(5)]
    test = [make_shard(tmp_path, f"test-{n}", [speak("test", n, i) for i in range(3)]) for n in range(2)]
    split = split_shards([*give(train, side="train"), *give(test, side="test")], fraction)
    assert split.held_out_names == {"test-0", "test-1"}
    assert (len(split.train), len(held_out_of(split))) == (15, 6)
    assert not split.warnings


def test_ours_is_drawn_where_a_dataset_brings_none_or_nothing_to_train(tmp_path):
    french = give(make_language(tmp_path, "fr", 4), side="train")
    give(french[3:], side="test")
    english = make_language(tmp_path, "en", 6)
    split = split_shards([*english, *french], 0.2)
    alone = split_shards(english, 0.2).held_out_names
    assert split.held_out_names == {"fr-3"} | alone
    only_tests = give(make_language(tmp_path, "de", 5), side="test")
    assert 0 < len(split_shards(only_tests, 0.2).train) < 5 * 12
    only_training = give(make_language(tmp_path, "it", 5), side="train")
    assert split_shards(only_training, 0.2).held_out_names


def test_of_a_recording_and_its_copy_both_ends_are_held_out(tmp_path):
    texts = [speak(number) for number in range(40)]
    copies = [make_shard(tmp_path, name, texts, "sound") for name in ("talk", "again")]
    split = split_shards(copies, 0.2)
    check_all_windows_are_somewhere(split, copies)
    assert {*split.test["recording"]} == {"talk", "again"}
    trained = {segment["text"] for segments in split.train["segments"] for segment in segments}
    measured = {segment["text"] for segments in split.test["segments"] for segment in segments}
    assert len(measured) >= 4
    assert not trained & measured
