import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.captions.reader import Cue, Word
from recipe.data.windows import (
    MAX_GAP_MS,
    MAX_LABEL_TOKENS,
    NUM_SPECIAL_TOKENS,
    WINDOW_MS,
    Segment,
    end_of_words,
    gap_windows,
    pack_windows,
    silent_windows,
    split_long_cues,
)


def count_words(text: str) -> int:
    return len(text.split())


def make_cue(start_ms: int, end_ms: int, text: str = "some words", words: tuple[Word, ...] = ()) -> Cue:
    return Cue("", start_ms, end_ms, text, text, words=words)


def pack(*cues: Cue, duration_ms: int = 600_000):
    return pack_windows(cues, duration_ms, count_words)


def spans(packing) -> list[tuple[int, int]]:
    return [(window.start_ms, window.end_ms) for window in packing.windows]


def said_before(packing) -> list[list[str]]:
    return [[segment.text for segment in window.prompt] for window in packing.windows]


def test_the_first_window_begins_with_the_recording_and_ends_shortly_after_its_last_cue():
    packing = pack(make_cue(5_000, 8_000), make_cue(9_000, 12_000))
    assert spans(packing) == [(0, 12_500)]
    assert packing.windows[0].segments == (
        Segment(5_000, 8_000, "some words"),
        Segment(9_000, 12_000, "some words"),
    )


@pytest.mark.parametrize(
    ("cue", "lost_ms"),
    [
        pytest.param(make_cue(5_001, 8_000), [], id="something may be said in so long a time"),
        pytest.param(make_cue(3_000, 8_000), [(1_000, 2_000)], id="something is said there"),
    ],
)
def test_a_window_begins_with_its_first_cue_where_speech_may_be_before_it(cue, lost_ms):
    packing = pack_windows([cue], 60_000, count_words, lost_speech_ms=lost_ms)
    assert packing.windows[0].start_ms == cue.start_ms


def test_a_window_begins_where_the_last_cue_of_the_one_before_ended():
    packing = pack(make_cue(0, 20_000), make_cue(20_200, 27_000), make_cue(31_000, 35_000, "after"))
    assert spans(packing) == [(0, 30_000), (27_000, 35_500)]
    assert packing.windows[1].segments == (Segment(4_000, 8_000, "after"),)
    assert packing.windows[1].prompt == (
        Segment(0, 20_000, "some words"),
        Segment(20_200, 27_000, "some words"),
    )


def test_a_pause_is_shortened_so_that_a_long_cue_fits_behind_it():
    packing = pack(make_cue(0, 29_000, "a" * 40), make_cue(33_000, 61_500, "a" * 40))
    assert spans(packing) == [(0, 30_000), (31_500, 61_500)]


def test_a_prompt_holds_the_last_whole_segments():
    texts = [f"{number} {'x' * 98}" for number in range(30)]
    packing = pack(*(make_cue(n * 9_000, n * 9_000 + 8_900, text) for n, text in enumerate(texts)))
    for window in packing.windows:
        before = [item.text for item in window.prompt]
        first = texts.index(window.segments[0].text)
        assert before == texts[max(0, first - len(before)) : first]
        assert not first or 900 <= len("".join(before)) <= 1_000 or len(before) == first


def test_a_cue_that_crosses_the_end_gives_its_start_and_is_the_first_of_the_next_window():
    packing = pack(make_cue(0, 20_000, "one of the two"), make_cue(25_000, 35_000, "two"))
    assert spans(packing) == [(0, 30_000), (20_000, 35_500)]
    assert packing.windows[0].segments == (Segment(0, 20_000, "one of the two"), Segment(25_000, None, ""))
    assert packing.windows[0].text == "one of the two"
    assert packing.windows[1].prompt == (Segment(0, 20_000, "one of the two"),)


def test_a_cue_that_ends_exactly_at_thirty_seconds_still_fits():
    packing = pack(make_cue(0, 10_000), make_cue(10_000, 30_000), make_cue(30_000, 31_000))
    assert spans(packing) == [(0, 30_000), (30_000, 31_500)]


def test_a_dropped_cue_ends_the_window_before_it_and_resets_the_prompt():
    too_fast = make_cue(3_200, 3_300, "x" * 100)
    packing = pack(make_cue(0, 3_000, "before"), too_fast, make_cue(4_000, 6_000, "after"))
    assert spans(packing) == [(0, 3_200), (4_000, 6_500)]
    assert said_before(packing) == [[], []]
    assert [dropped.cue for dropped in packing.dropped] == [too_fast]


def test_no_window_spans_speech_whose_words_were_lost():
    cues = [make_cue(0, 3_000, "before"), make_cue(6_000, 8_000, "after")]
    packing = pack_windows(cues, 60_000, count_words, lost_speech_ms=[(3_100, 5_000), (8_200, 9_000)])
    assert spans(packing) == [(0, 3_100), (6_000, 8_200)]
    assert said_before(packing) == [[], []]


def test_lost_words_over_a_cue_that_was_kept_change_nothing():
    packing = pack_windows([make_cue(0, 3_000)], 60_000, count_words, lost_speech_ms=[(1_000, 4_000)])
    assert spans(packing) == [(0, 3_500)]


def test_a_long_gap_ends_the_window_and_resets_the_prompt():
    packing = pack(make_cue(0, 2_000), make_cue(8_000, 9_000))
    assert spans(packing) == [(0, 2_500), (8_000, 9_500)]
    assert packing.windows[1].prompt == ()


def test_too_many_tokens_end_the_window_at_the_next_cue():
    text = " ".join(["a"] * 150)
    cues = [make_cue(0, 14_000, text), make_cue(14_100, 29_000, text)]
    packing = pack_windows(cues, 60_000, lambda text: 2 * count_words(text))
    assert spans(packing) == [(0, 14_100), (14_000, 29_500)]
    assert all(segment.end_ms is not None for window in packing.windows for segment in window.segments)


@pytest.mark.parametrize(
    ("cue", "reason"),
    [
        pytest.param(make_cue(9_000, 12_000), "ends after the audio", id="past-the-end"),
        pytest.param(make_cue(1_000, 1_000), "has no length", id="zero-length"),
        pytest.param(make_cue(0, 1_000, "x" * 36), "more text than can be said in its time", id="too-fast"),
        pytest.param(
            make_cue(0, 9_000, "a " * 100 + "b"), "more tokens than the decoder holds", id="too-many-tokens"
        ),
    ],
)
def test_a_cue_that_cannot_be_learnt_is_dropped_with_its_reason(cue, reason):
    packing = pack_windows([cue], 10_000, lambda text: 5 * len(text.split()))
    assert not packing.windows
    assert [dropped.reason for dropped in packing.dropped] == [reason]


def test_a_cue_over_thirty_seconds_without_word_times_is_dropped():
    packing = pack(make_cue(0, 31_000))
    assert [dropped.reason for dropped in packing.dropped] == [
        "longer than 30 s, without word times to split it at"
    ]


def test_a_long_cue_with_a_single_word_is_dropped():
    packing = pack(make_cue(0, 15_000, "well"), make_cue(15_000, 19_000, "well"))
    assert [dropped.reason for dropped in packing.dropped] == ["less text than is said in its time"]
    assert spans(packing) == [(15_000, 19_500)]


def test_a_window_with_a_fault_is_set_apart_and_is_no_prompt():
    cues = [make_cue(start, start + 25_000, f"some words of {start}") for start in range(0, 120_000, 30_000)]
    packing = pack_windows(
        cues, 120_000, count_words, lambda window: "broken" if "30000" in window.text else ""
    )
    assert said_before(packing) == [[], [], ["some words of 60000"]]
    assert [(item.window.start_ms, item.reason) for item in packing.faulty] == [(25_000, "broken")]


def test_gaps_lie_outside_of_all_that_captions_claim():
    packing = pack(make_cue(10_000, 12_000), make_cue(100_000, 100_100, "x" * 90), duration_ms=150_000)
    lost_ms = [(30_000, 31_000), (140_000, 200_000)]
    assert [(w.start_ms, w.end_ms) for w in gap_windows(packing, lost_ms, 150_000)] == [
        (0, 10_000),
        (12_500, 30_000),
        (31_000, 61_000),
        (61_000, 91_000),
        (91_000, 100_000),
        (100_100, 130_100),
        (130_100, 140_000),
    ]


def test_a_long_cue_is_split_between_words():
    words = tuple(Word(start_ms, f"w{start_ms}") for start_ms in range(0, 70_000, 10_000))
    parts = split_long_cues([make_cue(0, 70_000, "all", words)])
    assert [(part.start_ms, part.end_ms) for part in parts] == [
        (0, 30_000),
        (30_000, 60_000),
        (60_000, 70_000),
    ]
    assert " ".join(part.text for part in parts) == " ".join(word.text for word in words)


def test_silence_is_covered_without_gap_or_overlap():
    assert [(w.start_ms, w.end_ms) for w in silent_windows(65_000)] == [
        (0, 30_000),
        (30_000, 60_000),
        (60_000, 65_000),
    ]


def test_audio_ends_where_speech_without_words_begins():
    assert end_of_words([Segment(0, 1_000, "a"), Segment(2_000, None, "")], 30_000) == 2_000
    assert end_of_words([Segment(0, 1_000, "a")], 1_500) == 1_500


@st.composite
def cue_lists(draw: st.DrawFn) -> list[Cue]:
    cues, now_ms = [], 0
    for _ in range(draw(st.integers(0, 40))):
        start_ms = now_ms + draw(st.integers(0, 8_000))
        now_ms = start_ms + draw(st.integers(0, 35_000))
        num_words = draw(st.one_of(st.integers(1, 12), st.integers(100, 500)))
        cues.append(make_cue(start_ms, now_ms, " ".join(["a"] * num_words)))
    return cues


@given(cue_lists(), st.integers(-5_000, 5_000), st.integers(1, 4))
def test_every_cue_is_in_exactly_one_window_or_dropped(cues, surplus_ms, fault_every):
    duration_ms = max(0, (cues[-1].end_ms if cues else 0) + surplus_ms)
    packing = pack_windows(
        cues, duration_ms, count_words, lambda window: "broken" * (window.start_ms % fault_every == 1)
    )
    kept = [
        (window.start_ms + segment.start_ms, window.start_ms + segment.end_ms, segment.text)
        for window in [*packing.windows, *(item.window for item in packing.faulty)]
        for segment in window.segments
        if segment.end_ms is not None
    ]
    dropped = [(item.cue.start_ms, item.cue.end_ms, item.cue.text) for item in packing.dropped]
    assert sorted(kept + dropped) == sorted((cue.start_ms, cue.end_ms, cue.text) for cue in cues)


@given(cue_lists(), st.integers(0, 5_000))
def test_no_window_is_longer_than_its_limits(cues, surplus_ms):
    duration_ms = (cues[-1].end_ms if cues else 0) + surplus_ms
    for window in pack_windows(cues, duration_ms, count_words).windows:
        assert 0 < window.end_ms - window.start_ms <= WINDOW_MS
        assert window.end_ms <= duration_ms
        num_tokens = sum(count_words(s.text) + 2 for s in window.segments if s.end_ms is not None)
        assert num_tokens + NUM_SPECIAL_TOKENS == window.num_tokens <= MAX_LABEL_TOKENS


@given(cue_lists(), st.lists(st.tuples(st.integers(0, 400_000), st.integers(0, 40_000)), max_size=4))
def test_gaps_and_windows_never_overlap(cues, lost):
    packing = pack(*cues, duration_ms=500_000)
    gaps = gap_windows(packing, [(start, start + length) for start, length in lost], 500_000)
    for gap in gaps:
        assert MAX_GAP_MS <= gap.end_ms - gap.start_ms <= WINDOW_MS
        assert gap.end_ms <= 500_000
        claimed = [(w.start_ms, w.end_ms) for w in [*packing.windows, *(g for g in gaps if g is not gap)]]
        claimed += [(start, start + length) for start, length in lost if length]
        assert all(end <= gap.start_ms or gap.end_ms <= start for start, end in claimed)


@given(cue_lists())
def test_no_window_holds_audio_of_a_dropped_cue(cues):
    packing = pack(*cues, duration_ms=10_000_000)
    for window in packing.windows:
        for item in packing.dropped:
            if item.cue.end_ms > item.cue.start_ms:
                assert item.cue.end_ms <= window.start_ms or item.cue.start_ms >= window.end_ms
