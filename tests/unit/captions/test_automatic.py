from itertools import pairwise

import pytest

from recipe.captions.automatic import is_machine_made

WORDS = ["one of these days", "we will see about it", "and then there is more", "which nobody wrote down"] * 3


def stamp(time_ms: int, comma: str = ".") -> str:
    return f"00:{time_ms // 60_000:02}:{time_ms // 1000 % 60:02}{comma}{time_ms % 1000:03}"


def write(*cues: tuple[int, int, str], header: str = "WEBVTT\n\n", comma: str = ".") -> bytes:
    blocks = [f"{stamp(a, comma)} --> {stamp(b, comma)}\n{text}" for a, b, text in cues]
    return (header + "\n\n".join(blocks) + "\n").encode()


def word_times(text: str, at_ms: int) -> str:
    first, *rest = text.split()
    return first + "".join(f"<{stamp(at_ms + 300 * n)}><c> {word}</c>" for n, word in enumerate(rest, 1))


PLAIN = write(*((2000 * n, 2000 * n + 1900, text) for n, text in enumerate(WORDS)))
ROLLING = [
    cue
    for n, (old, new) in enumerate(pairwise(WORDS))
    for cue in ((2000 * n, 2000 * n + 1990, f"{old}\n{new}"), (2000 * n + 1990, 2000 * n + 2000, new))
]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(PLAIN, False, id="people's"),
        pytest.param(
            write(*((2000 * n, 2000 * n + 1900, t) for n, t in enumerate(WORDS)), header="", comma=","),
            False,
            id="people's SubRip",
        ),
        pytest.param(
            write(*((2000 * n, 2000 * n + 1900, word_times(t, 2000 * n)) for n, t in enumerate(WORDS))),
            True,
            id="times of words",
        ),
        pytest.param(write(*ROLLING), True, id="fillers"),
        pytest.param(write(*ROLLING, header="", comma=","), True, id="fillers in SubRip"),
        pytest.param(
            write(*((2000 * n, 2000 * n + 1900, f"{t}\n{u}") for n, (t, u) in enumerate(pairwise(WORDS)))),
            False,
            id="rolling by hand",
        ),
        pytest.param(write((0, 10, "one"), (10, 20, "two")), False, id="too few to tell"),
        pytest.param(PLAIN.replace(b"one of", b"<00:00:00.300>one of", 1), False, id="a lone mark"),
        pytest.param(b"", False, id="empty"),
        pytest.param(bytes(range(256)) * 50, False, id="no text"),
        pytest.param(write(*ROLLING).decode().encode("utf-16"), True, id="UTF-16"),
        pytest.param(write(*ROLLING) * 500, True, id="long"),
    ],
)
def test_the_marks_of_recognisers_are_told(tmp_path, content, expected):
    path = tmp_path / "talk.vtt"
    path.write_bytes(content)
    assert is_machine_made(path) == expected


def test_a_file_that_is_gone_has_no_marks(tmp_path):
    assert not is_machine_made(tmp_path / "talk.vtt")
