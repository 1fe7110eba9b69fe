"""The same talk captioned in other ways gives the same windows.

Rolled captions do not say when a line ends: it stands until the next begins. So where the talk pauses, a
line's end comes later than in the clean captions, and a line near the end of a window may go to the next.
Words, their order and their starts stay the same. With no pauses the windows are the same altogether.
"""

import random

import pytest

from recipe.captions.cue_text import format_timestamp
from recipe.captions.reader import Cue, read_captions
from recipe.data.windows import pack_windows, text_of

SENTENCE = "some of the boats came home before night while others stayed out where fish were plenty"
DURATION_MS = 600_000


def make_cues(seed: int, max_pause_ms: int) -> list[Cue]:
    """Lines as people caption them: three to nine words at an ordinary pace, with pauses between."""
    draw = random.Random(seed)
    cues, now_ms = [], 500
    while now_ms < DURATION_MS - 20_000:
        words = [*draw.choices(SENTENCE.split(), k=draw.randint(3, 9)), f"number {len(cues)}."]
        end_ms = now_ms + len(words) * draw.randint(340, 450)
        cues.append(Cue("", now_ms, end_ms, "", " ".join(words).capitalize()))
        now_ms = end_ms + draw.randint(0, max_pause_ms)
    return cues


def clean(cues):
    return [(cue.start_ms, cue.end_ms, cue.text) for cue in cues]


def overlapped(cues):
    """Each line stands on for a second and a half while the next is spoken."""
    last = cues[-1]
    return [
        *((c.start_ms, c.end_ms + 1_500, c.text) for c in cues[:-1]),
        (last.start_ms, last.end_ms, last.text),
    ]


def rolled(cues, spell=lambda cue: cue.text, filler=" "):
    """Two lines at a time, the second being spoken, and a cue of 10 ms between."""
    blocks, above = [], " "
    for number, cue in enumerate(cues):
        following = cues[number + 1].start_ms if number + 1 < len(cues) else cue.end_ms
        blocks.append(
            (
                cue.start_ms,
                following - 10,
                f"{above}\n{spell(cue)}" if above.strip() or filler else spell(cue),
            )
        )
        blocks.append((following - 10, following, f"{cue.text}\n{filler}" if filler else cue.text))
        above = cue.text
    return blocks


def spell_out(cue):
    """The line with a time before each word."""
    first, *words = cue.text.split()
    step_ms = (cue.end_ms - cue.start_ms) // (len(words) + 1)
    return first + "".join(
        f"<{format_timestamp(cue.start_ms + number * step_ms)}><c> {word}</c>"
        for number, word in enumerate(words, start=1)
    )


def write_vtt(blocks):
    lines = [f"{format_timestamp(a)} --> {format_timestamp(b)} align:start\n{text}" for a, b, text in blocks]
    return "WEBVTT\nKind: captions\nLanguage: en\n\n" + "\n\n".join(lines) + "\n"


def write_srt(blocks):
    def stamp(time_ms: int) -> str:
        return f"00:{format_timestamp(time_ms)[-9:]}".replace(".", ",")

    return "".join(f"{n}\n{stamp(a)} --> {stamp(b)}\n{text}\n\n" for n, (a, b, text) in enumerate(blocks, 1))


COPIES = {
    "srt": lambda cues: write_srt(clean(cues)),
    "vtt with comma decimals": lambda cues: "WEBVTT\n\n" + write_srt(clean(cues)),
    "srt named vtt": lambda cues: "\ufeff" + write_srt(clean(cues)),
    "rolled, with inline times": lambda cues: write_vtt(rolled(cues, spell_out)),
    "rolled": lambda cues: write_vtt(rolled(cues)),
    "rolled, then converted to srt": lambda cues: write_srt(rolled(cues, filler="")),
    "overlapped": lambda cues: write_vtt(overlapped(cues)),
    "overlapped srt": lambda cues: write_srt(overlapped(cues)),
}


def pack(tmp_path, text: str):
    path = tmp_path / "talk.vtt"
    path.write_text(text, encoding="utf-8")
    cues = read_captions(path, duration_ms=DURATION_MS).cues
    packing = pack_windows(cues, DURATION_MS, lambda text: len(text.split()))
    assert not packing.dropped
    return packing.windows


def cues_of(window):
    return [
        (window.start_ms + segment.start_ms, segment.text)
        for segment in window.segments
        if segment.end_ms is not None
    ]


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("seed", range(3))
def test_copies_of_a_talk_without_pauses_give_the_same_windows(tmp_path, name, seed):
    cues = make_cues(seed, max_pause_ms=0)
    expected, windows = pack(tmp_path, write_vtt(clean(cues))), pack(tmp_path, COPIES[name](cues))
    assert [cues_of(window) for window in windows] == [cues_of(window) for window in expected]
    assert [text_of(window.prompt) for window in windows] == [text_of(window.prompt) for window in expected]
    ends = [(window.end_ms, other.end_ms) for window, other in zip(windows, expected, strict=True)]
    assert all(abs(end_ms - expected_ms) <= 1_500 for end_ms, expected_ms in ends)


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("seed", range(3))
def test_copies_of_a_talk_with_pauses_give_the_same_cues_in_about_the_same_windows(tmp_path, name, seed):
    cues = make_cues(seed, max_pause_ms=900)
    expected, windows = pack(tmp_path, write_vtt(clean(cues))), pack(tmp_path, COPIES[name](cues))
    assert [cue for window in windows for cue in cues_of(window)] == [
        (cue.start_ms, cue.text) for cue in cues
    ]
    assert abs(len(windows) - len(expected)) <= 1
    if "srt" in name.split()[:1] or "comma" in name:
        assert windows == expected
