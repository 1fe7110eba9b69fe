from __future__ import annotations

import random
import time
from itertools import pairwise

import pytest
from caption_files import read_written
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from recipe.captions.cue_text import format_timestamp

REPEATABLE = settings(deadline=None, derandomize=True, max_examples=150)
STEP_MS = 2_000


def roll(lines, *, height=2, filler_ms=10, has_times=True, is_subrip=False, is_joined=False):
    """The lines as a site's automatic captions show them: `height` at once, the last one being spoken."""
    blocks = []
    for index, line in enumerate(lines):
        start_ms, end_ms = index * STEP_MS, (index + 1) * STEP_MS
        spoken = timed(line, start_ms) if has_times and not is_subrip else line
        shown = lines[max(0, index - height + 1) : index]
        lead = [" "] if height == 2 and not shown and not is_subrip else []
        blocks.append((start_ms, end_ms - filler_ms, [*lead, *shown, spoken]))
        if filler_ms:
            rest = lines[max(0, index - height + 2) : index + 1]
            blocks.append((end_ms - filler_ms, end_ms, rest if is_subrip else [*rest, " "]))
    return write(blocks, is_subrip=is_subrip, separator=" " if is_joined else "\n")


def timed(line, start_ms):
    first, *rest = line.split()
    return first + "".join(
        f"<{format_timestamp(start_ms + 150 * number)}><c> {word}</c>"
        for number, word in enumerate(rest, start=1)
    )


def write(blocks, *, is_subrip, separator="\n"):
    cues = [
        f"{format_timestamp(start_ms)} --> {format_timestamp(end_ms)}\n{separator.join(lines)}\n"
        for start_ms, end_ms, lines in blocks
    ]
    if is_subrip:
        return "\n".join(f"{number}\n{cue.replace('.', ',', 2)}" for number, cue in enumerate(cues, start=1))
    return "WEBVTT\nKind: captions\nLanguage: en\n\n" + "\n".join(cues)


words = st.sampled_from(["oh", "no", "yes", "we", "are", "here", "now", "and", "then"])
transcripts = st.lists(st.lists(words, min_size=2, max_size=7).map(" ".join), min_size=4, max_size=30)


@given(transcripts, st.sampled_from([2, 3]), st.sampled_from([0, 10, 400]), st.booleans(), st.booleans())
@REPEATABLE
def test_any_rolled_transcript_is_unrolled_exactly(
    tmp_path_factory, lines, height, filler_ms, has_times, is_subrip
):
    text = roll(lines, height=height, filler_ms=filler_ms, has_times=has_times, is_subrip=is_subrip)
    folder = tmp_path_factory.mktemp("rolled", numbered=True)
    captions = read_written(folder, text, ".srt" if is_subrip else ".vtt")
    assert [cue.text for cue in captions.cues] == lines
    assert [cue.start_ms for cue in captions.cues] == [index * STEP_MS for index in range(len(lines))]
    assert captions.num_cues_in == len(captions.cues) + captions.num_merged


@given(st.lists(st.lists(words, min_size=2, max_size=6).map(" ".join), min_size=8, max_size=30, unique=True))
@REPEATABLE
def test_rolling_captions_joined_into_one_line_are_unrolled(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("joined", numbered=True)
    captions = read_written(folder, roll(lines, is_subrip=True, is_joined=True))
    assert " ".join(cue.text for cue in captions.cues) == " ".join(lines)


@given(st.lists(st.lists(words, min_size=1, max_size=6).map(" ".join), max_size=30), st.integers(1, 2))
@REPEATABLE
def test_captions_that_do_not_roll_keep_every_word(tmp_path_factory, lines, num_lines):
    blocks = [
        (index * STEP_MS, (index + 1) * STEP_MS, lines[index : index + num_lines])
        for index in range(0, len(lines), num_lines)
    ]
    for (_, _, earlier), (_, _, later) in pairwise(blocks):  # `oh / oh oh / oh oh oh` may as well roll
        assume(
            (not " ".join(later).startswith(f"{earlier[-1]} ") and earlier[-1:] != later[:1])
            or earlier == later
        )
    folder = tmp_path_factory.mktemp("plain", numbered=True)
    captions = read_written(folder, write(blocks, is_subrip=False), ".vtt")
    assert " ".join(cue.text for cue in captions.cues) == " ".join(lines)


def test_inline_times_become_those_of_the_cue(tmp_path):
    captions = read_written(tmp_path, roll(["we are here", "and now you too"]), ".vtt")
    assert [(word.start_ms, word.text) for word in captions.cues[1].words] == [
        (2000, "and"),
        (2150, "now"),
        (2300, "you"),
        (2450, "too"),
    ]


def test_rolling_and_other_captions_may_share_a_file(tmp_path):
    plain = [
        (100_000 + index * STEP_MS, 101_900 + index * STEP_MS, ["so it is", f"number {index}"])
        for index in range(40)
    ]
    rolled = roll([f"line number {index}" for index in range(10)], has_times=False)
    captions = read_written(
        tmp_path, rolled + "\n" + write(plain, is_subrip=False).partition("\n\n")[2], ".vtt"
    )
    expected = [f"line number {index}" for index in range(10)] + [
        f"so it is number {index}" for index in range(40)
    ]
    assert [cue.text for cue in captions.cues] == expected


@pytest.mark.parametrize("is_subrip", [False, True], ids=["webvtt", "subrip"])
def test_a_talk_of_ten_hours_keeps_each_word_once(tmp_path, is_subrip):
    generator = random.Random(0)
    vocabulary = [f"word{number}" for number in range(500)]
    lines = [" ".join(generator.choices(vocabulary, k=9)) for _ in range(14_400)]
    text = roll(lines, is_subrip=is_subrip)
    started = time.process_time()
    captions = read_written(tmp_path, text, ".srt" if is_subrip else ".vtt")
    seconds = time.process_time() - started
    assert captions.num_cues_in == 28_800
    assert sum(len(cue.text.split()) for cue in captions.cues) == 129_600
    assert [cue.text for cue in captions.cues] == lines
    assert all(earlier.end_ms <= later.start_ms for earlier, later in pairwise(captions.cues))
    assert seconds < 10, "three seconds on an idle core"
