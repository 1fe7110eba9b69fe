"""What no input may do: raise anything but CaptionError, lose a cue without a note, or take long."""

from __future__ import annotations

import time

import pytest
from caption_cases import CASES
from hypothesis import given, settings
from hypothesis import strategies as st

from recipe.captions.cleaning import MAX_MARKS, limit_marks
from recipe.captions.reader import parse_subrip, parse_webvtt, read_captions
from recipe.errors import CaptionError

REPEATABLE = settings(deadline=None, derandomize=True, max_examples=150)
HEAD = "WEBVTT\n\n"
CUE = f"{HEAD}00:00:00.000 --> 00:10:00.000\n"
SUBRIP_CUE = "1\n00:00:00,000 --> 00:10:00,000\n"
MEGABYTE = 1_000_000
NUM_CHARS = 100_000  # enough to make anything quadratic take minutes

fragments = st.sampled_from(
    [
        "\n",
        "\n\n",
        " ",
        "\r",
        "\0",
        "-->",
        "00:00:01.000 --> 00:00:02.000\n",
        "00:00:01,000 --> 00:00:02,000\n",
        "1\n",
    ]
    + [
        "<",
        ">",
        "</c>",
        "<c>",
        "<v A>",
        "<rt>",
        "<ruby>",
        "<00:00:01.500>",
        "<|",
        "|>",
        "&",
        "&amp;",
        "&lt;",
        "&#",
    ]
    + [
        "[",
        "]",
        "(",
        ")",
        "♪",
        ">>",
        "A: ",
        "- ",
        "a",
        "word",
        "NOTE",
        "WEBVTT",
        "\ufeff",
        "\ufffd",
        "é",
        "\u0301",
    ]
)


def add_up(captions):
    return captions.num_cues_in == len(captions.cues) + captions.num_merged + captions.num_dropped


@given(st.sampled_from([HEAD, CUE, SUBRIP_CUE, ""]), st.lists(fragments, max_size=80).map("".join))
@REPEATABLE
def test_any_text_is_read_or_refused(tmp_path_factory, head, text):
    path = tmp_path_factory.getbasetemp() / "any_text.vtt"
    path.write_text(head + text, newline="")
    try:
        captions = read_captions(path)
    except CaptionError:
        assert not head.startswith("WEBVTT"), "a signature is enough"
    else:
        assert add_up(captions)
        assert all(cue.start_ms < cue.end_ms and cue.text.strip() for cue in captions.cues)


@given(st.sampled_from(CASES), st.binary(max_size=6), st.integers(0, 2000), st.integers(0, 40))
@REPEATABLE
def test_any_damage_to_a_file_is_survived(tmp_path_factory, case, noise, position, num_lost):
    path = tmp_path_factory.getbasetemp() / f"damaged{case.suffix}"
    position %= len(case.data) + 1
    path.write_bytes(case.data[:position] + noise + case.data[position + num_lost :])
    try:
        captions = read_captions(path)
    except CaptionError:
        return
    assert add_up(captions)


@pytest.mark.parametrize("head", [CUE, SUBRIP_CUE, ""], ids=["cue", "subrip", "nothing"])
@pytest.mark.parametrize(
    "unit",
    [
        "<",
        "&",
        "-->",
        "-->\n",
        "\n",
        "7",
        "7\n",
        " ",
        "\0",
        "<c>",
        "<v ",
        "<ruby><rt>",
        "&#1",
        "&lt;",
        "&amp;lt;",
    ]
    + [
        "<00:00:01.000>",
        "(",
        "[a",
        "*a ",
        "<|",
        "A: ",
        "John ",
        "- ",
        "1:",
        "00:00:01.000 --> 00:00:02.000\n",
        "\n \n",
        "\u0327\u0301",
        "\u0301\u200b\u0327",
        "\u0344",
        "\u0f73",
    ],
    ids=ascii,
)
def test_much_of_anything_takes_linear_time(tmp_path, head, unit):
    path = tmp_path / "talk.vtt"
    path.write_text(head + unit * (NUM_CHARS // len(unit)), newline="")
    started = time.process_time()
    try:
        read_captions(path)
    except CaptionError:
        assert not head.startswith("WEBVTT"), "a signature is enough"
    assert time.process_time() - started < 2, "a fifth of a second or less"


def test_many_cues_at_the_same_time_are_read_in_linear_time(tmp_path):
    path = tmp_path / "talk.vtt"
    path.write_text(HEAD + "\n".join(f"00:01.000 --> 00:30.000\n{number}\n" for number in range(20_000)))
    started = time.process_time()
    assert add_up(read_captions(path))
    assert time.process_time() - started < 5, "a second"


@pytest.mark.parametrize("unit", ["\u0327\u0301", "\u0f73\u0f74", "\u0301\u2060\u0327"], ids=ascii)
def test_140_kb_of_combining_marks_are_read_in_a_second_with_a_note(tmp_path, unit):
    path = tmp_path / "talk.vtt"
    path.write_text(f"{CUE}Hello a{unit * (140_000 // len(unit.encode()))} there\n", encoding="utf-8")
    started = time.process_time()
    captions = read_captions(path)
    assert time.process_time() - started < 1, "a tenth"
    (cue,) = captions.cues
    assert len(cue.text) <= len("Hello a there") + 2 * MAX_MARKS
    assert any("combining marks" in note.reason for note in captions.notes)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Tiếng Việt, e\u0301t\u00e9", id="vietnamese"),
        pytest.param("שָׁלוֹם", id="hebrew"),
        pytest.param("a" + "\u0301" * MAX_MARKS, id="as_many_as_may_be"),
        pytest.param("\u0f68\u0f7c\u0f7e\u0f83\u0f71\u0f72", id="tibetan"),
    ],
)
def test_marks_that_a_language_needs_stay(text):
    assert limit_marks(text) == text


@pytest.mark.parametrize(
    ("head", "unit"),
    [
        pytest.param(SUBRIP_CUE, "a\n\n", id="text_below_blank_lines"),
        pytest.param(CUE, "<00:00:01.000>a", id="words_timed_letter_by_letter"),
    ],
)
def test_what_is_joined_piece_by_piece_takes_linear_time(tmp_path, head, unit):
    def measure(num_units: int) -> float:
        path = tmp_path / "talk.vtt"
        path.write_text(head + unit * num_units, newline="")
        started = time.process_time()
        read_captions(path)
        return time.process_time() - started

    # Far apart, and the faster of two: where others take the caches, much takes longer than its share.
    few, many = (min(measure(number) for _ in range(2)) for number in (20_000, 200_000))
    assert many < 40 * few, "ten times; a hundred where each piece copies all before it"


def test_hundreds_of_thousands_of_nested_tags_are_parsed():
    (cue,) = parse_webvtt(CUE + "<i>" * 200_000 + "deep" + "</i>" * 200_000)
    assert cue.text == "deep"


def test_a_number_of_a_million_digits_is_no_time():
    digits = "9" * MEGABYTE
    assert parse_webvtt(f"{HEAD}{digits}:00:00.000 --> 00:00:01.000\nlost") == []
    assert parse_subrip(f"1\n{digits}:00:00,000 --> 00:00:01,000\nlost") == []
