"""Captions as they are found in the wild, each with the cues that a reader must see in it.

The expected cues are written by hand, from the specification and from what was said in the recording;
no run of the reader produced them. The file is long because it is a table.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One caption file.

    Attributes:
        id: What is odd about it.
        source: The file.
        cues: What training must see, as "start end text" with times in milliseconds.
        notes: For each thing changed or lost "action line part-of-the-reason"; every note is listed.
        suffix: Of the file's name.
        duration_ms: Length of the audio, if known.
        symbols: What the model can never produce.
    """

    id: str
    source: str | bytes
    cues: tuple[str, ...]
    notes: tuple[str, ...] = ()
    suffix: str = ".vtt"
    duration_ms: int | None = None
    symbols: frozenset[str] = frozenset()

    @property
    def data(self) -> bytes:
        return self.source if isinstance(self.source, bytes) else self.source.encode()


HEAD = "WEBVTT\n\n"
ONE = "00:01.000 --> 00:03.000\n"
TWO = "00:04.000 --> 00:06.000\n"

SPECIFICATION = [
    Case("plain", f"{HEAD}{ONE}Hello.\n\n{TWO}World.\n", ("1000 3000 Hello.", "4000 6000 World.")),
    Case("byte_order_mark", f"\ufeff{HEAD}{ONE}Hello.\n", ("1000 3000 Hello.",)),
    Case("signature_followed_by_text", f"WEBVTT - made by hand\n\n{ONE}Hello.\n", ("1000 3000 Hello.",)),
    Case("signature_followed_by_tab", f"WEBVTT\tx\n\n{ONE}Hello.\n", ("1000 3000 Hello.",)),
    Case("signature_alone", "WEBVTT", ()),
    Case("header_ended_by_arrow", f"WEBVTT\nKind: captions\n{ONE}Hello.\n", ("1000 3000 Hello.",)),
    Case(
        "crlf",
        f"{HEAD}{ONE}Hello.\n\n{TWO}World.\n".replace("\n", "\r\n"),
        ("1000 3000 Hello.", "4000 6000 World."),
    ),
    Case(
        "lone_cr",
        f"{HEAD}{ONE}Hello.\n\n{TWO}World.\n".replace("\n", "\r"),
        ("1000 3000 Hello.", "4000 6000 World."),
    ),
    Case(
        "arrow_ends_the_block_before",
        f"{HEAD}{ONE}Hello.\n{TWO}World.\n",
        ("1000 3000 Hello.", "4000 6000 World."),
    ),
    Case("line_of_one_space_is_text", f"{HEAD}{ONE} \nHello.\n \nAgain.\n", ("1000 3000 Hello. Again.",)),
    Case("last_cue_without_line_end", f"{HEAD}{ONE}Hello.", ("1000 3000 Hello.",)),
    Case(
        "hours_of_one_and_three_digits",
        f"{HEAD}0:00:01.000 --> 100:00:03.000\nHello.\n",
        ("1000 360003000 Hello.",),
    ),
    Case("minutes_only", f"{HEAD}59:59.999 --> 01:00:01.000\nHello.\n", ("3599999 3601000 Hello.",)),
    Case(
        "settings_are_not_text",
        f"{HEAD}00:01.000 --> 00:03.000 align:start position:0%\nHello.\n",
        ("1000 3000 Hello.",),
    ),
    Case(
        "settings_without_space", f"{HEAD}00:01.000-->00:03.000align:start\nHello.\n", ("1000 3000 Hello.",)
    ),
    Case("identifier_is_not_text", f"{HEAD}intro - 1\n{ONE}Hello.\n", ("1000 3000 Hello.",)),
    Case("payload_begins_with_note", f"{HEAD}{ONE}NOTE that well\n", ("1000 3000 NOTE that well",)),
    Case(
        "note_style_and_region_blocks",
        "WEBVTT\n\nSTYLE\n::cue { color: red }\n\nREGION\nid:a\n\nNOTE\nnot said\n\nNOTE nor this\n\n"
        f"{ONE}Hello.\n",
        ("1000 3000 Hello.",),
    ),
    Case("two_lines_fold", f"{HEAD}{ONE}Hello,\n  dear\tworld.\n", ("1000 3000 Hello, dear world.",)),
    Case(
        "tags",
        f"{HEAD}{ONE}<i>Hello</i>, <b.loud>dear</b> <lang en>world</lang>.\n",
        ("1000 3000 Hello, dear world.",),
    ),
    Case("tag_over_two_lines", f"{HEAD}{ONE}<c.yellow>Hello,\nworld.</c>\n", ("1000 3000 Hello, world.",)),
    Case("ruby", f"{HEAD}{ONE}<ruby>漢<rt>かん</rt>字<rt>じ</ruby>を書く\n", ("1000 3000 漢字を書く",)),
    Case("voice", f"{HEAD}{ONE}<v.loud Mary Ann>Hello.</v>\n", ("1000 3000 Hello.",)),
    Case(
        "references",
        f"{HEAD}{ONE}R&amp;D &lt;3 caf&eacute; it&#39;s &#x2026; AT&T &amp &notit; na&iuml;ve&nbsp;boy\n",
        ("1000 3000 R&D <3 café it's … AT&T & ¬it; naïve boy",),
    ),
    Case("reference_for_a_windows_character", f"{HEAD}{ONE}it&#146;s\n", ("1000 3000 it\u2019s",)),
]

MENDED = [
    Case(
        "comma_decimals_under_a_header",
        f"{HEAD}00:00:01,000 --> 00:00:03,000\nHello.\n",
        ("1000 3000 Hello.",),
        ("repaired 3 timing line was mended",),
    ),
    Case(
        "no_header",
        f"{ONE}Hello.\n\n{TWO}World.\n",
        ("1000 3000 Hello.", "4000 6000 World."),
        ("repaired 1 WEBVTT line",),
    ),
    Case(
        "header_in_lower_case", f"webvtt\n\n{ONE}Hello.\n", ("1000 3000 Hello.",), ("repaired 1 WEBVTT line",)
    ),
    Case(
        "header_after_blank_lines",
        f"\n\n{HEAD}{ONE}Hello.\n",
        ("1000 3000 Hello.",),
        ("repaired 3 WEBVTT line",),
    ),
    Case(
        "header_with_a_colon",
        f"WEBVTT: captions\n\n{ONE}Hello.\n",
        ("1000 3000 Hello.",),
        ("repaired 1 WEBVTT line",),
    ),
    Case(
        "subrip_named_vtt",
        "1\n00:00:01,000 --> 00:00:03,000\nHello.\n\n2\n00:00:04,000 --> 00:00:06,000\nWorld.\n",
        ("1000 3000 Hello.", "4000 6000 World."),
        ("repaired 1 SubRip",),
    ),
    Case(
        "bad_timing_line_costs_its_cue",
        f"{HEAD}00:01.000 --> soon\nLost.\n\n{TWO}World.\n",
        ("4000 6000 World.",),
        ("dropped 3 cannot be read",),
    ),
    Case(
        "seconds_over_59",
        f"{HEAD}00:75.000 --> 00:80.000\nLost.\n\n{TWO}World.\n",
        ("4000 6000 World.",),
        ("dropped 3 cannot be read",),
    ),
    Case(
        "time_before_zero",
        f"{HEAD}-00:01.000 --> 00:03.000\nLost.\n\n{TWO}World.\n",
        ("4000 6000 World.",),
        ("dropped 3 cannot be read",),
    ),
    Case(
        "minutes_over_59",
        f"{HEAD}75:10.500 --> 75:12.000\nHello.\n",
        ("4510500 4512000 Hello.",),
        ("repaired 3 mended",),
    ),
    Case(
        "no_milliseconds",
        f"{HEAD}00:00:01 --> 00:00:03\nHello.\n",
        ("1000 3000 Hello.",),
        ("repaired 3 mended",),
    ),
    Case(
        "milliseconds_of_one_and_six_digits",
        f"{HEAD}00:00:01.5 --> 00:00:03.250000\nHello.\n",
        ("1500 3250 Hello.",),
        ("repaired 3 mended",),
    ),
    Case(
        "spaces_in_times",
        f"{HEAD}00 : 00 : 01.000 --> 00: 00: 03.000\nHello.\n",
        ("1000 3000 Hello.",),
        ("repaired 3 mended",),
    ),
    Case(
        "short_arrow",
        f"{HEAD}00:00:01.000 -> 00:00:03.000\nHello.\n",
        ("1000 3000 Hello.",),
        ("repaired 3 mended",),
    ),
    Case(
        "escaped_arrow",
        f"{HEAD}00:00:01.000 --&gt; 00:00:03.000\nHello.\n",
        ("1000 3000 Hello.",),
        ("repaired 3 mended",),
    ),
    Case(
        "times_in_speech_are_not_timing_lines", f"{HEAD}{ONE}10:30 -> 11:00\n", ("1000 3000 10:30 -> 11:00",)
    ),
    Case(
        "text_on_the_timing_line",
        f"{HEAD}00:01.000 --> 00:03.000 Hello there.\n\n{TWO}World.\n",
        ("1000 3000 Hello there.", "4000 6000 World."),
        ("repaired 3 on the timing line",),
    ),
    Case(
        "cue_numbers_leak",
        f"{HEAD}1\n{ONE}Hello.\n2\n{TWO}World.\n",
        ("1000 3000 Hello.", "4000 6000 World."),
    ),
    Case("a_number_that_is_said", f"{HEAD}{ONE}42\n\n{TWO}World.\n", ("1000 3000 42", "4000 6000 World.")),
    Case(
        "text_without_times",
        f"{HEAD}{ONE}Hello.\n\nNobody knows when.\n",
        ("1000 3000 Hello.",),
        ("flagged 6 without a timing line",),
    ),
    Case(
        "the_line_of_one_space_was_stripped",
        f"{HEAD}{ONE}\nHello.\n\n{TWO}World.\n",
        ("1000 3000 Hello.", "4000 6000 World."),
        ("repaired 5 below an empty line",),
    ),
    Case(
        "header_lines_below_an_empty_line",
        f"{HEAD}Kind: captions\nLanguage: en\n\n{ONE}Hello.\n",
        ("1000 3000 Hello.",),
    ),
    Case(
        "literal_less_than", f"{HEAD}{ONE}x < y and I <3 you <- so\n", ("1000 3000 x < y and I <3 you <- so",)
    ),
    Case("tag_never_closed", f"{HEAD}{ONE}a <b and nothing\n", ("1000 3000 a <b and nothing",)),
    Case("line_break_tag", f"{HEAD}{ONE}Hello,<br/>world.<BR>Yes.\n", ("1000 3000 Hello, world. Yes.",)),
    Case(
        "unknown_tag",
        f"{HEAD}{ONE}Hello, <whispering> world.\n",
        ("1000 3000 Hello, world.",),
        ("flagged 3 nobody knows", "repaired 3 marks of sounds"),
    ),
    Case(
        "japanese_sounds",
        f"{HEAD}{ONE}\uff08笑\uff09こんにちは【音楽】\n",
        ("1000 3000 こんにちは",),
        ("repaired 3 marks of sounds",),
    ),
    Case("font_tag", f'{HEAD}{ONE}<font color="#fff">Hello.</font>\n', ("1000 3000 Hello.",)),
    Case(
        "escaped_twice",
        f"{HEAD}{ONE}it&amp;#39;s R&amp;amp;D &lt;i&gt;now&lt;/i&gt;\n",
        ("1000 3000 it's R&D now",),
        ("repaired 3 escaped twice",),
    ),
    Case("reference_with_spaces", f"{HEAD}{ONE}R& amp ;D\n", ("1000 3000 R&D",)),
    Case("utf_16_with_mark", f"{HEAD}{ONE}Größe\n".encode("utf-16"), ("1000 3000 Größe",)),
    Case(
        "utf_16_without_mark",
        f"{HEAD}{ONE}Größe\n".encode("utf-16-le"),
        ("1000 3000 Größe",),
        ("flagged 0 utf-16-le",),
    ),
    Case(
        "utf_16_big_endian_cyrillic",
        f"{HEAD}{ONE}Привет\n".encode("utf-16-be"),
        ("1000 3000 Привет",),
        ("flagged 0 utf-16-be",),
    ),
    Case(
        "latin_1",
        f"{HEAD}{ONE}Größe, café\n".encode("latin-1"),
        ("1000 3000 Größe, café",),
        ("flagged 0 cp1252",),
    ),
    Case(
        "windows_quotes",
        f"{HEAD}{ONE}\u201cSo\u201d it\u2019s\n".encode("cp1252"),
        ("1000 3000 \u201cSo\u201d it\u2019s",),
        ("flagged 0 cp1252",),
    ),
    Case(
        "one_broken_byte_in_utf_8",
        f"{HEAD}{ONE}Größe, ".encode() + b"\xff" + f"äöü\n\n{TWO}World.\n".encode(),
        ("4000 6000 World.",),
        ("dropped 3 could not be decoded",),
    ),
    Case(
        "replacement_characters_already_in_the_file",
        f"{HEAD}{ONE}Gr\ufffd\ufffde\n\n{TWO}World.\n",
        ("4000 6000 World.",),
        ("dropped 3 could not be decoded",),
    ),
    Case(
        "timestamp_map",
        f"WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n\n{ONE}Hello.\n",
        ("1000 3000 Hello.",),
        ("flagged 2 stream's clock",),
    ),
]

SUBRIP = [
    Case(
        "subrip",
        "1\n00:00:01,000 --> 00:00:03,000\nHello,\nworld.\n\n2\n00:00:04,000 --> 00:00:06,000\n<i>Yes.</i>\n",
        ("1000 3000 Hello, world.", "4000 6000 Yes."),
        suffix=".srt",
    ),
    Case(
        "subrip_with_dots", "1\n00:00:01.000 --> 00:00:03.000\nHello.\n", ("1000 3000 Hello.",), suffix=".srt"
    ),
    Case(
        "subrip_without_hours",
        "1\n00:01,000 --> 00:03,000\nHello.\n",
        ("1000 3000 Hello.",),
        ("repaired 2 mended",),
        ".srt",
    ),
    Case(
        "subrip_without_numbers",
        "00:00:01,000 --> 00:00:03,000\nHello.\n\n00:00:04,000 --> 00:00:06,000\n7\n",
        ("1000 3000 Hello.", "4000 6000 7"),
        suffix=".srt",
    ),
    Case(
        "subrip_with_blank_line_in_a_cue",
        "1\n00:00:01,000 --> 00:00:03,000\nHello,\n\nworld.\n\n2\n00:00:04,000 --> 00:00:06,000\nYes.\n",
        ("1000 3000 Hello, world.", "4000 6000 Yes."),
        suffix=".srt",
    ),
    Case(
        "subrip_without_blank_lines",
        "1\n00:00:01,000 --> 00:00:03,000\nHello.\n2\n00:00:04,000 --> 00:00:06,000\nYes.\n",
        ("1000 3000 Hello.", "4000 6000 Yes."),
        suffix=".srt",
    ),
    Case(
        "subrip_overrides_and_coordinates",
        "1\n00:00:01,000 --> 00:00:03,000 X1:10 X2:20 Y1:5 Y2:9\n{\\an8}Hello.\n",
        ("1000 3000 Hello.",),
        suffix=".srt",
    ),
    Case("webvtt_named_srt", f"{HEAD}{ONE}Hello.\n", ("1000 3000 Hello.",), suffix=".srt"),
    Case(
        "subrip_inside_a_long_cue",
        f"{HEAD}00:00:00.000 --> 00:43:00.000\n"
        "1\n00:00:01,000 --> 00:00:03,000\nHello.\n\n2\n00:00:04,000 --> 00:00:06,000\nWorld.\n",
        ("1000 3000 Hello.", "4000 6000 World."),
        ("dropped 3 says nothing", "repaired 5 mended", "repaired 9 mended"),
    ),
    Case(
        "escaped_subrip_inside_a_long_cue",
        f"{HEAD}00:00:00.000 --> 00:43:00.000\n"
        "1\n00:00:01,000 --&gt; 00:00:03,000\nHello.\n \n2\n00:00:04,000 --&gt; 00:00:06,000\nWorld.\n",
        ("1000 3000 Hello.", "4000 6000 World."),
        ("dropped 3 says nothing", "repaired 5 mended", "repaired 9 mended"),
    ),
    Case(
        "folded_subrip_inside_a_long_cue",
        f"{HEAD}00:00:00.000 --> 00:43:00.000\n"
        "1 00:00:01,000 --&gt; 00:00:03,000 Hello. 2 00:00:04,000 --&gt; 00:00:06,000 World.\n",
        ("1000 3000 Hello.", "4000 6000 World."),
        ("repaired 3 inside the text", "repaired 3 inside the text"),
    ),
]

ROLLING = [
    Case(
        "two_lines_rolling_with_inline_times",
        """WEBVTT
Kind: captions
Language: en

00:00:00.080 --> 00:00:02.389 align:start position:0%
\x20
so<00:00:00.400><c> hello</c><00:00:00.800><c> there</c>

00:00:02.389 --> 00:00:02.399 align:start position:0%
so hello there
\x20

00:00:02.399 --> 00:00:05.110 align:start position:0%
so hello there
and<00:00:02.700><c> welcome</c><00:00:03.100><c> back</c>

00:00:05.110 --> 00:00:05.120 align:start position:0%
and welcome back
\x20

00:00:05.120 --> 00:00:07.000 align:start position:0%
and welcome back
[Music]

00:00:07.000 --> 00:00:07.010 align:start position:0%
[Music]
\x20

00:00:07.010 --> 00:00:09.000 align:start position:0%
[Music]
yes
""",
        ("80 2389 so hello there", "2399 5110 and welcome back", "7010 9000 yes"),
        (
            "merged 9 rolling",
            "repaired 13 taken off",
            "merged 17 rolling",
            "repaired 21 taken off",
            "dropped 21 says nothing",
            "merged 25 rolling",
            "repaired 29 taken off",
        ),
    ),
    Case(
        "inline_time_before_the_first_word",
        f"{HEAD}00:01.000 --> 00:05.000\n<00:00:02.000>Late<00:00:03.000> start\n",
        ("2000 5000 Late start",),
    ),
    Case(
        "rolling_kept_by_subrip",
        """1
00:00:00,080 --> 00:00:02,389
so hello there

2
00:00:02,389 --> 00:00:02,399
so hello there

3
00:00:02,399 --> 00:00:05,110
so hello there
and welcome back

4
00:00:05,110 --> 00:00:05,120
and welcome back

5
00:00:05,120 --> 00:00:07,000
and welcome back
to the show
""",
        ("80 2389 so hello there", "2399 5110 and welcome back", "5120 7000 to the show"),
        ("merged 6 rolling", "repaired 10 taken off", "merged 15 rolling", "repaired 19 taken off"),
        ".srt",
    ),
    Case(
        "rolling_joined_into_one_line",
        """1
00:00:00,080 --> 00:00:02,389
so hello there

2
00:00:02,389 --> 00:00:02,399
so hello there

3
00:00:02,399 --> 00:00:05,110
so hello there and welcome back

4
00:00:05,110 --> 00:00:05,120
and welcome back

5
00:00:05,120 --> 00:00:07,000
and welcome back to the show

6
00:00:07,000 --> 00:00:07,010
to the show

7
00:00:07,010 --> 00:00:09,000
to the show my friends
""",
        (
            "80 2389 so hello there",
            "2399 5110 and welcome back",
            "5120 7000 to the show",
            "7010 9000 my friends",
        ),
        ("merged 6 ", "repaired 10 ", "merged 14 ", "repaired 18 ", "merged 22 ", "repaired 26 "),
        ".srt",
    ),
    Case(
        "three_lines_rolling_with_long_fillers",
        f"""{HEAD}00:00.000 --> 00:02.600
one is here

00:02.600 --> 00:03.000
one is here

00:03.000 --> 00:05.600
one is here
two is here

00:05.600 --> 00:06.000
one is here
two is here

00:06.000 --> 00:08.600
one is here
two is here
three is here

00:08.600 --> 00:09.000
two is here
three is here

00:09.000 --> 00:11.600
two is here
three is here
four is here
""",
        ("0 2600 one is here", "3000 5600 two is here", "6000 8600 three is here", "9000 11600 four is here"),
        ("merged 6 ", "repaired 9 ", "merged 13 ", "repaired 17 ", "merged 22 ", "repaired 26 "),
    ),
    Case(
        "three_lines_rolling_without_fillers",
        f"""{HEAD}00:00.000 --> 00:03.000
one is here

00:03.000 --> 00:06.000
one is here
two is here

00:06.000 --> 00:09.000
one is here
two is here
three is here

00:09.000 --> 00:12.000
two is here
three is here
four is here
""",
        ("0 3000 one is here", "3000 6000 two is here", "6000 9000 three is here", "9000 12000 four is here"),
        ("repaired 6 ", "repaired 10 ", "repaired 15 "),
    ),
    Case(
        "a_line_said_three_times_in_rolling_captions",
        f"""{HEAD}00:00.000 --> 00:02.000
oh no

00:02.000 --> 00:04.000
oh no
oh no

00:04.000 --> 00:06.000
oh no
oh no

00:06.000 --> 00:08.000
oh no
stop
""",
        ("0 2000 oh no", "2000 4000 oh no", "4000 6000 oh no", "6000 8000 stop"),
        ("repaired 6 ", "repaired 10 ", "repaired 14 "),
    ),
    Case(
        "words_growing_one_by_one",
        f"""{HEAD}00:00.000 --> 00:00.600
we

00:00.600 --> 00:01.200
we live

00:01.200 --> 00:01.800
we live here

00:01.800 --> 00:02.400
we live here now
""",
        ("0 600 we", "600 1200 live", "1200 1800 here", "1800 2400 now"),
        ("repaired 6 ", "repaired 9 ", "repaired 12 "),
    ),
    Case(
        "a_line_said_twice",
        f"{HEAD}{ONE}I said no.\n\n{TWO}I said no.\n\n00:07.000 --> 00:09.000\nGood.\n",
        ("1000 3000 I said no.", "4000 6000 I said no.", "7000 9000 Good."),
    ),
    Case(
        "a_chorus_over_two_lines",
        f"{HEAD}{ONE}we will\nwe will\n\n{TWO}we will\nrock you\n\n00:07.000 --> 00:09.000\nsing it\n",
        ("1000 3000 we will we will", "4000 6000 we will rock you", "7000 9000 sing it"),
    ),
    Case(
        "fillers_among_captions_that_do_not_roll",
        f"{HEAD}00:01.000 --> 00:03.000\nHello.\n\n00:03.000 --> 00:03.010\nHello.\n\n{TWO}World.\n",
        ("1000 3000 Hello.", "4000 6000 World."),
        ("merged 6 rolling",),
    ),
]

TIMES = [
    Case(
        "zero_length",
        f"{HEAD}00:01.000 --> 00:01.000\nLost.\n\n{TWO}World.\n",
        ("4000 6000 World.",),
        ("dropped 3 lasts no time",),
    ),
    Case(
        "end_before_start",
        f"{HEAD}00:03.000 --> 00:01.000\nLost.\n\n{TWO}World.\n",
        ("4000 6000 World.",),
        ("dropped 3 ends before",),
    ),
    Case(
        "out_of_order",
        f"{HEAD}{TWO}World.\n\n{ONE}Hello.\n",
        ("1000 3000 Hello.", "4000 6000 World."),
        ("repaired 6 sorted",),
    ),
    Case(
        "the_same_cue_twice",
        f"{HEAD}{ONE}Hello.\n\n{ONE}Hello.\n",
        ("1000 3000 Hello.",),
        ("merged 6 twice",),
    ),
    Case(
        "small_overlap",
        f"{HEAD}00:01.000 --> 00:04.100\nHello.\n\n{TWO}World.\n",
        ("1000 4000 Hello.", "4000 6000 World."),
        ("repaired 3 overlapped",),
    ),
    Case(
        "left_standing",
        f"{HEAD}00:01.000 --> 00:06.000\nHello.\n\n00:02.000 --> 00:08.000\nWorld.\n",
        ("1000 2000 Hello.", "2000 8000 World."),
        ("repaired 3 overlapped",),
    ),
    Case(
        "two_at_the_same_time",
        f"{HEAD}{ONE}Hello.\n\n00:01.000 --> 00:03.500 line:0\nWorld.\n",
        ("1000 3500 Hello. World.",),
        ("merged 6 same time",),
    ),
    Case(
        "two_at_the_same_time_in_a_script_without_spaces",
        f"{HEAD}{ONE}今日は寒いです。\n\n00:01.000 --> 00:03.500\n明日も寒いです。\n",
        ("1000 3500 今日は寒いです。明日も寒いです。",),
        ("merged 6 same time",),
    ),
    Case(
        "two_speakers_at_once",
        f"{HEAD}00:01.000 --> 00:05.000\n<v Ann>I would never say that\n\n{TWO}<v Bob>But you did\n",
        ("1000 6000 I would never say that But you did",),
        ("merged 6 same time",),
    ),
    Case(
        "too_long_to_merge",
        f"{HEAD}00:00:01.000 --> 00:01:00.000\n"
        f"{'It goes on and on. ' * 20}\n\n00:04.000 --> 00:06.000\nLost.\n",
        (f"1000 60000 {'It goes on and on. ' * 20}".strip(),),
        ("dropped 6 overlaps the cue before",),
    ),
    Case(
        "all_in_one_short_cue_and_empty_ones_after",
        f"{HEAD}00:00.000 --> 00:01.830\n{'The whole talk is in here. ' * 40}\n\n"
        "00:01.830 --> 00:05.000\n\n00:05.000 --> 02:50:00.000\n \n",
        (),
        ("dropped 3 more text than can be said", "dropped 6 says nothing", "dropped 8 says nothing"),
    ),
    Case(
        "starts_after_the_audio",
        f"{HEAD}{ONE}Hello.\n\n{TWO}Lost.\n",
        ("1000 3000 Hello.",),
        ("dropped 6 past the end",),
        duration_ms=3500,
    ),
    Case(
        "ends_after_the_audio",
        f"{HEAD}{ONE}Hello.\n\n{TWO}World.\n",
        ("1000 3000 Hello.", "4000 5500 World."),
        ("repaired 6 after the audio",),
        duration_ms=5500,
    ),
    Case(
        "captions_of_another_recording",
        f"{HEAD}{ONE}Hello.\n\n00:10.000 --> 00:12.000\nLost.\n\n13:00:00.000 --> 13:00:02.000\nLost too.\n",
        ("1000 3000 Hello.",),
        ("flagged 0 another recording?", "dropped 6 past the end", "dropped 9 past the end"),
        duration_ms=8000,
    ),
    Case(
        "inline_times_out_of_order",
        f"{HEAD}{ONE}one<00:02.000> two<00:01.500> three\n",
        ("1000 3000 one two three",),
        ("repaired 3 inline times",),
    ),
    Case(
        "a_word_per_cue",
        f"{HEAD}00:00.000 --> 00:00.040\na\n\n00:00.040 --> 00:00.400\nword\n",
        ("0 40 a", "40 400 word"),
    ),
]

READING = [
    Case(
        "music_alone",
        f"{HEAD}{ONE}[Music]\n\n{TWO}World.\n",
        ("4000 6000 World.",),
        ("dropped 3 says nothing",),
    ),
    Case(
        "sounds_among_words",
        f"{HEAD}{ONE}[laughs] Hello (applause) there *coughs*\n",
        ("1000 3000 Hello there",),
        ("repaired 3 marks of sounds",),
    ),
    Case(
        "lyrics_keep_their_words",
        f"{HEAD}{ONE}♪ Happy birthday ♪\n",
        ("1000 3000 Happy birthday",),
        ("repaired 3 marks of sounds",),
    ),
    Case(
        "parentheses_that_are_spoken",
        f"{HEAD}{ONE}It costs ten (maybe twelve) euros.\n",
        ("1000 3000 It costs ten (maybe twelve) euros.",),
    ),
    Case(
        "parentheses_alone_on_a_line",
        f"{HEAD}{ONE}(door slams)\nWho is there?\n",
        ("1000 3000 Who is there?",),
        ("repaired 3 marks of sounds",),
    ),
    Case(
        "turn_marks",
        f"{HEAD}{ONE}&gt;&gt; Hello.\n>> World.\n",
        ("1000 3000 Hello. World.",),
        ("repaired 3 marks of speakers",),
    ),
    Case(
        "dashes_of_two_speakers",
        f"{HEAD}{ONE}- Is it -5 degrees?\n-Yes, well-known.\n",
        ("1000 3000 Is it -5 degrees? Yes, well-known.",),
        ("repaired 3 marks of speakers",),
    ),
    Case(
        "name_in_capitals",
        f"{HEAD}{ONE}DR. SMITH: Hello.\n",
        ("1000 3000 Hello.",),
        ("repaired 3 marks of speakers",),
    ),
    Case(
        "names_and_numbers",
        f"{HEAD}{ONE}John: Hello.\n\n{TWO}Speaker 2: World.\n",
        ("1000 3000 Hello.", "4000 6000 World."),
        ("repaired 3 marks of speakers", "repaired 6 marks of speakers"),
    ),
    Case(
        "a_word_before_a_colon",
        f"{HEAD}{ONE}Remember: at 10:30 we\nsaid: go.\n",
        ("1000 3000 Remember: at 10:30 we said: go.",),
    ),
    Case(
        "composed_characters",
        f"{HEAD}{ONE}cafe\u0301 \u200bau\u00ad lait\n",
        ("1000 3000 café au lait",),
        ("repaired 3 composed",),
    ),
    Case("joiners_are_spelling", f"{HEAD}{ONE}می\u200cپرسم\n", ("1000 3000 می\u200cپرسم",)),
    Case(
        "control_token_as_text",
        f"{HEAD}{ONE}Hello <|endoftext|> there &lt;|0.00|&gt;\n",
        ("1000 3000 Hello there",),
        ("repaired 3 control token",),
    ),
    Case(
        "control_token_in_pieces",
        f"{HEAD}{ONE}&lt;|en<|x|>dof|> a &lt;[x]|endoftext|&gt; b\n",
        ("1000 3000 < |en dof|> a < |endoftext|> b",),
        ("repaired 3 control token",),
    ),
    Case(
        "capitals_are_kept_and_flagged",
        f"{HEAD}{ONE}THIS IS ALL IN CAPITALS.\n\n{TWO}THIS IS TOO.\n",
        ("1000 3000 THIS IS ALL IN CAPITALS.", "4000 6000 THIS IS TOO."),
        ("flagged 0 capitals",),
    ),
    Case(
        "symbols_that_the_model_cannot_produce",
        f'{HEAD}{ONE}"At 10:30", he said -and/or- "no"; C# *is* (so) well-known\n',
        ("1000 3000 At 10 30, he said and or- no C is so well-known",),
        ("repaired 3 cannot produce",),
        symbols=frozenset('"#()*+/:;<=>@[]^_`{|}~') | {" -", "((", "♪", "<|translate|>", "\ufffd"},
    ),
    Case(
        "cues_without_text", f"{HEAD}{ONE}\n{TWO}World.\n", ("4000 6000 World.",), ("dropped 3 says nothing",)
    ),
    Case(
        "punctuation_alone",
        f"{HEAD}{ONE}...\n\n{TWO}World.\n",
        ("4000 6000 World.",),
        ("dropped 3 says nothing",),
    ),
]

CASES = [*SPECIFICATION, *MENDED, *SUBRIP, *ROLLING, *TIMES, *READING]
