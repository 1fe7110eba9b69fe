# ruff: noqa: E501 - a table of other languages' lines
"""Files joined from several: put on one clock where a header says how, else refused."""

from __future__ import annotations

import itertools

import pytest
from caption_files import read_written, write_srt, write_vtt

from recipe.captions.joined import CLOCK_HZ, CLOCK_RANGE
from recipe.errors import CaptionError


def timestamp_map(ticks, local="00:00:00.000", *, is_local_first=False):
    pair = [f"MPEGTS:{ticks % CLOCK_RANGE}", f"LOCAL:{local}"]
    return "X-TIMESTAMP-MAP=" + ",".join(pair[::-1] if is_local_first else pair) + "\n"


def shown(captions):
    return [(cue.start_ms, cue.end_ms, cue.text) for cue in captions.cues]


SENTENCES = {
    "en": ["The river rises.", "Nobody crosses it.", "We wait for the ferry.", "It comes at six."],
    "de": ["Der Fluss steigt.", "Niemand setzt über.", "Wir warten auf die Fähre.", "Sie kommt um sechs."],
    "fr": ["La rivière monte.", "Personne ne passe.", "On attend le bac.", "Il vient à six heures."],
    "ru": ["Река поднимается.", "Никто не переходит.", "Мы ждём парома.", "Он придёт в шесть."],
    "ja": ["川が増水する。", "誰も渡らない。", "渡し船を待つ。", "六時に来る。"],
    "ar": ["النهر يرتفع.", "لا أحد يعبر.", "ننتظر العبارة.", "تأتي في السادسة."],
    "hi": ["नदी चढ़ती है।", "कोई पार नहीं करता।", "हम नाव का इंतज़ार करते हैं।", "वह छह बजे आती है।"],
    "pt": ["O rio sobe.", "Ninguém atravessa.", "Esperamos a balsa.", "Ela chega às seis."],
    "ko": ["강이 불어난다.", "아무도 건너지 않는다.", "우리는 배를 기다린다.", "여섯 시에 온다."],
}


@pytest.mark.parametrize("texts", SENTENCES.values(), ids=SENTENCES)
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([timestamp_map(900_000 + n * 6 * CLOCK_HZ) for n in range(4)], id="clock moves"),
        pytest.param(
            [timestamp_map(n * 6 * CLOCK_HZ, is_local_first=True) for n in range(4)], id="local first"
        ),
        pytest.param(
            [timestamp_map(CLOCK_RANGE - 8 * CLOCK_HZ + n * 6 * CLOCK_HZ) for n in range(4)], id="wraps"
        ),
    ],
)
def test_segments_are_put_on_the_clock_of_the_first(tmp_path, texts, headers):
    parts = [write_vtt([(500, 3_000, text)], header) for text, header in zip(texts, headers, strict=True)]
    expected = [(500 + n * 6_000, 3_000 + n * 6_000, text) for n, text in enumerate(texts)]
    assert shown(read_written(tmp_path, "\n".join(parts), ".vtt")) == expected


@pytest.mark.parametrize("texts", SENTENCES.values(), ids=SENTENCES)
def test_a_clock_that_moves_with_its_cues_is_the_recordings_own(tmp_path, texts):
    parts = [
        write_vtt(
            [(n * 6_000 + 500, n * 6_000 + 3_000, text)],
            timestamp_map(900_000 + n * 6 * CLOCK_HZ, f"00:00:{n * 6:02}.000"),
        )
        for n, text in enumerate(texts)
    ]
    expected = [(500 + n * 6_000, 3_000 + n * 6_000, text) for n, text in enumerate(texts)]
    assert shown(read_written(tmp_path, "\n".join(parts), ".vtt")) == expected


def test_a_header_whose_clock_would_end_after_the_audio_is_passed_over(tmp_path):
    """Some packagers move the map and the cues, both."""
    parts = [
        write_vtt([(n * 6_000, n * 6_000 + 3_000, text)], timestamp_map(n * 6 * CLOCK_HZ))
        for n, text in enumerate(SENTENCES["en"])
    ]
    captions = read_written(tmp_path, "\n".join(parts), ".vtt", duration_ms=24_000)
    assert [cue.start_ms for cue in captions.cues] == [0, 6_000, 12_000, 18_000]


LINES = ["One is here.", "Two is here.", "Three is here.", "Four is here.", "Five is here.", "Six is here."]


def restarting(texts, header=""):
    """Segments of four seconds, each with the times of its own clock."""
    return [write_vtt([(700, 1_900, a), (2_100, 3_800, b)], header) for a, b in itertools.pairwise(texts)]


RESTARTS = {
    **{f"no map, {code}": (".vtt", "\n".join(restarting(texts))) for code, texts in SENTENCES.items()},
    "map that stands still": (".vtt", "\n".join(restarting(LINES, timestamp_map(900_000)))),
    "no empty line between": (".vtt", "".join(part.rstrip("\n") + "\n" for part in restarting(LINES))),
    "byte order marks between": (".vtt", "\ufeff" + "\n\ufeff".join(restarting(LINES))),
    "headers removed": (".vtt", "WEBVTT\n\n" + "\n".join(
        write_vtt([(n * 2_000 + shift, n * 2_000 + 1_900 + shift, f"{line} {shift}") for n, line in enumerate(LINES)])
        .partition("\n\n")[2] for shift in (100, 700, 400)
    )),
    "numbers begin again": (".srt", write_srt([(500, 2_000, "a day"), (2_500, 4_000, "a night")]) + "\n"
                            + write_srt([(800, 2_000, "a week"), (2_200, 4_000, "a year")])),
    "numbers begin at zero": (".srt", write_srt([(500, 2_000, "ein Tag"), (2_500, 4_000, "die Nacht")], 0) + "\n"
                              + write_srt([(100, 2_000, "die Woche"), (2_200, 4_000, "das Jahr")], 0)),
    "clock that goes back": (".vtt", write_vtt([(500, 2_000, "un")], timestamp_map(900_000)) + "\n"
                             + write_vtt([(600, 2_000, "deux")], timestamp_map(90_000))),
}  # fmt: skip


@pytest.mark.parametrize(("suffix", "text"), RESTARTS.values(), ids=RESTARTS)
def test_a_clock_that_restarts_is_refused_in_a_sentence(tmp_path, suffix, text):
    with pytest.raises(CaptionError, match=r"^talk\.\w+: the clock restarts at line [0-9]+: .* Export .*\.$"):
        read_written(tmp_path, text, suffix)


@pytest.mark.parametrize("header", ["", timestamp_map(900_000)], ids=["no map", "same map"])
@pytest.mark.parametrize("texts", SENTENCES.values(), ids=SENTENCES)
def test_a_cue_that_two_segments_have_is_read_once(tmp_path, texts, header):
    a, b, c, d = texts
    text = "\n".join(
        [
            write_vtt([(1_000, 3_500, a), (5_000, 8_000, b)], header),
            write_vtt([(5_000, 8_000, b), (9_000, 11_000, c)], header),
            write_vtt([(12_500, 16_000, d)], header),
        ]
    )
    expected = [(1_000, 3_500, a), (5_000, 8_000, b), (9_000, 11_000, c), (12_500, 16_000, d)]
    captions = read_written(tmp_path, text, ".vtt")
    assert shown(captions) == expected
    assert captions.num_merged == 1


@pytest.mark.parametrize("gap_ms", [0, 1, -1_500], ids=["touching", "rounded", "overlapping"])
@pytest.mark.parametrize("texts", SENTENCES.values(), ids=SENTENCES)
def test_a_cue_that_a_boundary_cuts_is_joined(tmp_path, texts, gap_ms):
    a, b, c, _ = texts
    text = "\n".join(
        [
            write_vtt([(1_000, 3_500, a), (4_500, 6_000, b)]),
            write_vtt([(6_000 + gap_ms, 12_000, b)]),
            write_vtt([(12_000, 13_000, b), (13_000, 15_000, c)]),
        ]
    )
    assert shown(read_written(tmp_path, text, ".vtt")) == [
        (1_000, 3_500, a),
        (4_500, 13_000, b),
        (13_000, 15_000, c),
    ]


def test_two_rows_that_a_boundary_cuts_are_both_joined(tmp_path):
    rows = [("Is it far?", "line:79%"), ("An hour or so.", "line:85%")]
    text = "\n".join(
        write_vtt([(start, end, row, setting) for row, setting in rows])
        for start, end in [(4_500, 6_000), (6_000, 8_000)]
    )
    assert shown(read_written(tmp_path, text, ".vtt")) == [(4_500, 8_000, "Is it far? An hour or so.")]


ONE_CLOCK = {
    "parts numbered on the same clock": (".srt", write_srt([(500, 2_000, "a"), (2_500, 4_000, "b")])
                                         + "\n" + write_srt([(4_500, 6_000, "c"), (6_500, 8_000, "d")])),
    "segments in the order of their names": (".vtt", "\n".join(
        write_vtt([(n * 4_000, n * 4_000 + 3_000, letter)], timestamp_map(900_000))
        for n, letter in [(0, "a"), (3, "d"), (1, "b"), (2, "c")])),
    "a file sorted by speaker": (".vtt", write_vtt(
        [(n * 2_000, n * 2_000 + 1_800, x) for n, x in [(0, "a"), (2, "c"), (1, "b"), (3, "d")]])),
    "backwards": (".vtt", write_vtt([(n * 2_000, n * 2_000 + 1_800, "abcd"[n]) for n in (3, 2, 1, 0)])),
    "signature as text": (".vtt", write_vtt([(0, 1_000, "a"), (1_000, 2_000, "b"), (2_000, 3_000, "WEBVTT c"),
                                             (3_000, 4_000, "d")])),
}  # fmt: skip


@pytest.mark.parametrize(("suffix", "text"), ONE_CLOCK.values(), ids=ONE_CLOCK)
def test_times_of_one_clock_are_put_in_order(tmp_path, suffix, text):
    captions = read_written(tmp_path, text, suffix)
    assert [cue.text.removeprefix("WEBVTT ") for cue in captions.cues] == ["a", "b", "c", "d"]


def test_many_segments_are_joined_in_linear_time(tmp_path):
    parts = [write_vtt([(500, 3_000, f"word {n}")], timestamp_map(n * 6 * CLOCK_HZ)) for n in range(6_000)]
    captions = read_written(tmp_path, "\n".join(parts), ".vtt")
    assert len(captions.cues) == 6_000
    assert captions.cues[-1].start_ms == 5_999 * 6_000 + 500
