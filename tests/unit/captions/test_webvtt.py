"""The W3C's rules, each by the smallest input that tells it from its neighbours."""

from __future__ import annotations

import html

import pytest
import webvtt
from caption_cases import CASES, SPECIFICATION
from hypothesis import given, settings
from hypothesis import strategies as st

from recipe.captions.cue_text import decode_references, parse_timestamp, read_cue_text
from recipe.captions.reader import Word, format_webvtt, parse_webvtt
from recipe.captions.webvtt import Block, to_cue

TIMINGS = "00:00:01.000 --> 00:00:02.000"
REPEATABLE = settings(deadline=None, derandomize=True)


@pytest.mark.parametrize(
    ("timestamp", "expected_ms"),
    [
        ("00:00.000", 0),
        ("59:59.999", 3_599_999),
        ("60:00.000", None),  # more than 59 are hours, which need minutes and seconds
        ("60:00:00.000", 216_000_000),
        ("1:00:00.000", 3_600_000),
        ("1:00.000", None),
        ("000:00:00.000", 0),
        ("123456:00:00.001", 444_441_600_001),
        ("00:60:00.000", None),
        ("00:00:60.000", None),
        ("00:0:00.000", None),
        ("00:000.000", None),
        ("00:00:00.00", None),
        ("00:00:00.0000", None),
        ("00:00:00,000", None),
        ("00:00:00", None),
        ("-00:00.000", None),
        (" 00:00.000", None),
        ("\u0660\u0660:\u0660\u0660.\u0660\u0660\u0660", None),  # ASCII digits only
        ("9" * 5000 + ":00:00.000", None),
        ("", None),
    ],
)
def test_a_timestamp_follows_the_grammar(timestamp, expected_ms):
    assert parse_timestamp(timestamp) == expected_ms


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (TIMINGS, (1000, 2000)),
        ("00:00:01.000-->00:00:02.000", (1000, 2000)),
        (" \t\f00:00:01.000\t --> \f00:00:02.000\t", (1000, 2000)),
        ("\v00:00:01.000 --> 00:00:02.000", None),
        ("\xa000:00:01.000 --> 00:00:02.000", None),
        ("00:00:01.000 --> 00:00:02.000align:start", (1000, 2000)),
        ("00:00:01.000 --> 00:00:02.000 --> 00:00:03.000", (1000, 2000)),
        ("00:00:01.000 --> 00:00:02.0000", None),
        ("00:00:01.000 -> 00:00:02.000", None),
        ("00:00:01.000 -- > 00:00:02.000", None),
        ("00:00:01.000 a --> 00:00:02.000", None),
        ("00:00:01.000 -->", None),
        ("-->", None),
        ("00:00:02.000 --> 00:00:01.000", (2000, 1000)),  # parsed; later stages judge it
    ],
)
def test_a_timing_line_follows_the_grammar(line, expected):
    cue = to_cue(Block(1, "", line, "text"))
    assert (None if cue is None else (cue.start_ms, cue.end_ms)) == expected


@pytest.mark.parametrize(
    "start",
    ["", "WEBVT", "webvtt\n", " WEBVTT\n", "WEBVTT:\n", "WEBVTTx\n", "\n\nWEBVTT\n", "\ufeffWEBVTT\n"],
)
def test_a_file_without_the_signature_has_no_cues(start):
    assert parse_webvtt(f"{start}\n{TIMINGS}\ntext") == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (f"\n{TIMINGS}\na", [("", "a")]),
        (f"{TIMINGS}\na", [("", "a")]),
        (f"Kind: x\n{TIMINGS}\na", [("", "a")]),
        (f"a --> b\n{TIMINGS}\na", [("", "a")]),
        (f"\nid\n{TIMINGS}\na\nb", [("id", "a\nb")]),
        (f"\n \n{TIMINGS}\na", [(" ", "a")]),
        (f"\nfirst\nsecond\n{TIMINGS}\na", [("", "a")]),
        (f"\n{TIMINGS}\na\n \nb\n\nc", [("", "a\n \nb")]),
        (f"\n{TIMINGS}\n\na", [("", "")]),
        (f"\n{TIMINGS}\n{TIMINGS}\na", [("", ""), ("", "a")]),
        (f"\n{TIMINGS}\na --> b\nc", [("", "")]),
        (f"\nid -->\n{TIMINGS}\na", [("", "a")]),
        (f"\nbad --> times\nlost\n{TIMINGS}\na", [("", "a")]),
        (f"\nNOTE\n{TIMINGS}\na", [("NOTE", "a")]),
        (f"\nSTYLE\n{TIMINGS}\na", [("STYLE", "a")]),
        (f"\nSTYLE\n::cue{{}}\n{TIMINGS}\na", [("", "a")]),
        (f"\nREGION\nid:1\n\n{TIMINGS} region:1\na", [("", "a")]),
        (f"\nNOTE a --> b\n\n{TIMINGS}\na", [("", "a")]),
        (f"\n\0id\n{TIMINGS}\n\0a", [("\ufffdid", "\ufffda")]),
        (f"\r\r\nid\r\n{TIMINGS}\ra\n\rb", [("id", "a")]),
        (f"\n{TIMINGS}\na\x0bb\x0cc\x85d\u2028e", [("", "a\x0bb\x0cc\x85d\u2028e")]),
        ("", []),
        ("no cues\n", []),
    ],
)  # fmt: skip
def test_blocks_end_where_the_specification_says(body, expected):
    assert [(cue.identifier, cue.payload) for cue in parse_webvtt(f"WEBVTT\n{body}")] == expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ("<", ""),
        ("<<", ""),
        ("a<", "a"),
        ("a < b > c", "a  c"),
        ("<b", ""),
        ("<>a", "a"),
        ("</>a", "a"),
        ("<.c>a", "a"),
        ("<unknown>a</unknown>", "a"),
        ("<|endoftext|>a", "a"),
        ("<c.x.y z>a</c>b", "ab"),
        ("<3 a> b", " b"),
        ("<00:00:01.000>a", "a"),
        ("<i>a</b>b</i>c", "abc"),
        ("<rt>a</rt>", "a"),
        ("<ruby>a<rt>b", "a"),
        ("<ruby>a<rt>b</ruby>c", "ac"),
        ("<ruby>a<rt>b</rt>c<rt>d</rt></ruby>e", "ace"),
        ("<ruby>a<rt><b>b</rt>c</ruby>d</b>e</rt>f", "af"),
        ("<ruby><i>a<rt>b</rt></i></ruby>c", "abc"),
        ("<ruby>a<rt><ruby>b<rt>c</rt>d</ruby>e</rt>f</ruby>g", "afg"),
        ("a\nb", "a\nb"),
        ("a > b -- >", "a > b -- >"),
    ],
)
def test_cue_text_is_its_text_nodes(payload, expected):
    assert read_cue_text(payload).text == expected


@pytest.mark.parametrize(
    ("payload", "speaker"),
    [
        ("<v Bob>a", "Bob"),
        ("<v.loud.far \t Mary  Ann >a", "Mary Ann"),
        ("<v\nBob\nB>a", "Bob B"),
        ("<v R&amp;D &gt; all>a", "R&D > all"),
        ("<v Bob>a</v> <v Ann>b</v>", "Bob"),
        ("<v>a", ""),
        ("<voice Bob>a", ""),
        ("a", ""),
    ],
)
def test_the_first_voice_is_the_speaker(payload, speaker):
    assert read_cue_text(payload).speaker == speaker


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ("a", ()),
        ("a<00:05.000> b", (Word(1000, "a"), Word(5000, " b"))),
        ("<00:05.000><c>a</c><00:00:06.000><c> b</c>", (Word(5000, "a"), Word(6000, " b"))),
        ("a<5> b", ()),
        ("a<00:05.000 > b", ()),
        ("a<00:05.000", (Word(1000, "a"),)),
    ],
)
def test_inline_timestamps_time_the_runs(payload, words):
    assert read_cue_text(payload, start_ms=1000).words == words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("&#0; &#xD800; &#x110000; &#99999999999;", "\ufffd \ufffd \ufffd \ufffd"),
        ("&#x80; &#129; &#1;", "€ \x81 \x01"),
        ("&#x; &#; &; & &1; &#x", "&#x; &#; &; & &1; &#x"),
        ("&ampamp; &LT &nosuch; &CounterClockwiseContourIntegral;", "&amp; < &nosuch; ∳"),
        ("&amp;lt; &notin; &notinx", "&lt; ∉ ¬inx"),
        ("&nsubE; &frac12x", "⫅̸ ½x"),
    ],
)
def test_references_are_decoded_as_in_html(text, expected):
    assert decode_references(text) == expected


@given(st.text(alphabet="&;ampltgtnoiquABCD123 <>", max_size=40))
@REPEATABLE
def test_named_references_agree_with_the_standard_library(text):
    assert decode_references(text) == html.unescape(text)


lines = st.text(st.characters(exclude_characters="\0\r\n", exclude_categories=["Cs"]), max_size=20).filter(
    lambda line: "-->" not in line
)
payloads = st.lists(
    lines.filter(bool) | st.sampled_from([" ", "<i>a</i>", "a<00:00:01.500>b", "&lt;", "<v Bob>x"]),
    max_size=4,
).map("\n".join)
times = st.integers(0, 10**12)


@given(st.lists(st.tuples(lines, times, times, payloads), max_size=6))
@REPEATABLE
def test_a_formatted_cue_parses_as_itself(fields):
    cues = []
    for identifier, start_ms, end_ms, payload in fields:
        text, speaker, words = read_cue_text(payload, start_ms)
        cue = to_cue(Block(0, identifier, TIMINGS, payload))
        cues.append(type(cue)(identifier, start_ms, end_ms, payload, text, speaker, words))
    assert parse_webvtt(format_webvtt(cues)) == cues


fragments = [
    "WEBVTT",
    "\n",
    "-->",
    TIMINGS,
    "<",
    ">",
    "&",
    ";",
    "a",
    " ",
    "c",
    "v",
    "/",
    "1",
    "\0",
    "\r",
    "ruby",
    "rt",
]


@given(st.lists(st.sampled_from(fragments), max_size=60).map("".join))
@REPEATABLE
def test_what_was_parsed_is_formatted_and_parsed_the_same(text):
    cues = parse_webvtt(f"WEBVTT\n\n{TIMINGS}\n{text}")
    assert cues
    assert parse_webvtt(format_webvtt(cues)) == cues


@pytest.mark.parametrize("case", SPECIFICATION, ids=lambda case: case.id)
def test_payloads_and_times_agree_with_webvtt_py(case):
    text = case.data.decode().removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    ours = [(cue.start_ms, cue.end_ms, cue.payload) for cue in parse_webvtt(text)]
    theirs = [
        (parse_timestamp(caption.start), parse_timestamp(caption.end), caption.raw_text)
        for caption in webvtt.from_string(text)
    ]
    assert ours == theirs


def test_reproductions_are_many_and_have_names_of_their_own():
    assert len({case.id for case in CASES}) == len(CASES) >= 60
