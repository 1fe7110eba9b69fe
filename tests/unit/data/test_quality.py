"""What is odd about a window, and about a recording as a whole."""

from pathlib import Path

import numpy as np
import pytest
from caption_files import read_written
from voices import make_noise, make_voice

from recipe.captions.reader import Captions
from recipe.captions.scripts import count_scripts
from recipe.captions.timing import CANNOT_BE_ONE, ENDS_EARLIER, SAID_TOGETHER
from recipe.data.quality import (
    chars_per_second,
    compression_ratio,
    different_fraction,
    echoed_fraction,
    find_flags,
    measure_window,
    repeated_fraction,
    split_words,
)
from recipe.data.report import RecordingReport
from recipe.data.windows import Segment

LINES = (
    "We have come a long way since the spring,",
    "and the road before us is longer still.",
    "Nobody who was there will forget that morning.",
    "The boats lay in the harbour with their lamps lit,",
    "and someone had begun to sing.",
)
HINDI = (
    "भारत एक विशाल देश है जहाँ अनेक भाषाएँ बोली जाती हैं और हर प्रदेश की अपनी संस्कृति है। यहाँ के लोग त्योहार "
    "बड़े उत्साह से मनाते हैं और अतिथि का सम्मान करते हैं। उत्तर में हिमालय पर्वत है और दक्षिण में समुद्र है।"
)


def measure(text: str, seconds: float, samples=None):
    samples = make_noise(seconds) if samples is None else samples
    return measure_window([Segment(0, round(seconds * 1000), text)], samples)


@pytest.mark.parametrize(
    ("text", "seconds", "flags", "fault"),
    [
        pytest.param(" ".join(LINES), 15, (), "", id="ordinary"),
        pytest.param(HINDI, 15, (), "", id="ordinary Hindi"),
        pytest.param(
            "今天天气很好。我们一起去公园散步吧。公园里有很多人。有的在跑步。",
            9,
            (),
            "",
            id="ordinary Chinese",
        ),
        pytest.param(" ".join(LINES), 9, ("very fast",), "", id="fast"),
        pytest.param("Hardly anything.", 9, ("few words for its time",), "", id="slow"),
        pytest.param(
            " ".join(f"{line} {line}" for line in LINES),
            25,
            ("compresses well", "repeats itself"),
            "each thing is said twice or more",
            id="each line twice",
        ),
        pytest.param(
            " ".join(f"To hear message {number} again, press {number}." for number in range(9)),
            25,
            ("compresses well", "few different words"),
            "",
            id="a menu",
        ),
        pytest.param(
            "Row the boat. Row the boat. Row it down the stream.",
            6,
            (),
            "",
            id="a refrain",
        ),
        pytest.param(
            " ".join(LINES[:2]) + " Thank you." * 8,
            15,
            ("repeats itself",),
            "each thing is said twice or more",
            id="a loop after speech",
        ),
        pytest.param(
            "Thank you. " * 12,
            12,
            ("compresses well", "repeats itself", "few different words"),
            "each thing is said twice or more",
            id="a loop",
        ),
    ],
)
def test_a_window_is_judged_by_its_text(text, seconds, flags, fault):
    quality = measure(text, seconds)
    assert (quality.flags, quality.fault) == (flags, fault)
    assert (quality.severity > 1) == bool(flags)


def test_words_over_hardly_any_sound_are_flagged():
    samples = np.concatenate([make_voice(2), make_noise(13, level=30)])
    assert measure(" ".join(LINES), 15, samples).flags == ("little sound under its words",)


def test_silence_is_never_odd():
    quality = measure_window([], make_noise(3))
    assert (quality.severity, quality.flags, quality.fault) == (0, (), "")
    assert measure_window([Segment(500, None, "")], make_noise(3)) == quality


def test_repetition_shows_in_the_compression_ratio_of_any_alphabet():
    assert compression_ratio("so so so " * 40) > 2.4 > compression_ratio("Nothing is said here twice.")
    assert compression_ratio("हाँ हाँ हाँ " * 40) > 2.4 > compression_ratio(HINDI)
    assert compression_ratio("") == 0


def test_words_are_without_case_and_punctuation_and_characters_where_there_are_no_spaces():
    assert split_words("Don\u2019t, l'ÉTÉ! 漢字mix3") == ["don\u2019t", "l'été", "漢", "字", "mix3"]


@pytest.mark.parametrize(
    ("text", "fraction"),
    [
        pytest.param("one two one two three and so on it goes", 0.2, id="once"),
        pytest.param("a b c d e f a b c d e f", 0.5, id="twice"),
        pytest.param("row the boat row the boat row it down the stream", 4 / 11, id="a refrain"),
        pytest.param("no " * 10, 0.9, id="a word over and over"),
        pytest.param("press 1 for news press 2 for sports press 3 for help", 0, id="a menu"),
        pytest.param("a b c d e f x a b c d e f", 0, id="not right after"),
        pytest.param("no no no", 0, id="few words"),
    ],
)
def test_an_echo_says_again_what_was_said_right_before(text, fraction):
    assert echoed_fraction(text.split()) == pytest.approx(fraction)


def test_few_words_prove_nothing():
    assert repeated_fraction(["no"] * 9) == 0
    assert repeated_fraction(["no"] * 12) == 0.9
    assert different_fraction(["no"] * 9) == 1
    assert different_fraction(["no"] * 10) == 0.1
    assert different_fraction(list("ののののののののののの")) == 1


def test_speed_and_scripts():
    assert chars_per_second("ten chars.", 500) == 20
    assert chars_per_second("ten chars.", 0) == 0
    assert count_scripts(["été 12", "да"]) == {"LATIN": 3, "CYRILLIC": 2}


def read(folder: Path, *cues: str) -> Captions:
    return read_written(folder, "WEBVTT\n\n" + "\n\n".join(cues) + "\n", ".vtt", duration_ms=60_000)


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
