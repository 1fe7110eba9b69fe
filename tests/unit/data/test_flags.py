"""What is odd about a recording as a whole, found in the captions as they are read."""

from pathlib import Path

import pytest
from recipe.data.flags import find_flags

from recipe.captions.reader import Captions, read_captions
from recipe.captions.timing import CANNOT_BE_ONE, ENDS_EARLIER, SAID_TOGETHER
from recipe.data.report import RecordingReport


def read(folder: Path, *cues: str) -> Captions:
    path = folder / "talk.vtt"
    path.write_text("WEBVTT\n\n" + "\n\n".join(cues) + "\n")
    return read_captions(path, duration_ms=60_000)


def flags_of(captions: Captions) -> set[str]:
    report = RecordingReport("talk", audio_ms=60_000, kept_ms=60_000, num_cues=captions.num_cues_in)
    return {flag.partition(":")[0] for flag in find_flags(captions, report)}


def write_cues(length_ms: int, text: str) -> list[str]:
    """Eight cues, one every five seconds."""
    return [
        f"00:{at:02}.000 --> 00:{at + length_ms // 1000:02}.{length_ms % 1000:03}\n{text} {at}"
        for at in range(0, 40, 5)
    ]


APART = write_cues(4_000, "They talk in turn at")


@pytest.mark.parametrize(
    ("cues", "reason"),
    [
        pytest.param(write_cues(5_500, "It is left standing."), ENDS_EARLIER, id="ends earlier"),
        pytest.param(APART + write_cues(4_000, "Both at once."), SAID_TOGETHER, id="said together"),
        pytest.param(
            APART + write_cues(4_000, "Far more than fits. " * 4), CANNOT_BE_ONE, id="cannot be one"
        ),
    ],
)
def test_captions_of_which_many_overlap_are_flagged(tmp_path, cues, reason):
    captions = read(tmp_path, *cues)
    assert {note.reason for note in captions.notes if "sorted" not in note.reason} == {reason}
    assert "cues that overlapped" in flags_of(captions)


def test_captions_that_are_apart_are_not_flagged(tmp_path):
    assert flags_of(read(tmp_path, *APART)) == set()
