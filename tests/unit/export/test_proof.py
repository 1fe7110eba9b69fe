"""What a proof counts."""

from math import nan

import pytest

from recipe.export.proof import Hypotheses, Window, compare
from recipe.export.runtimes import Phrase

WINDOW = Window(b"", 10_000, "en", "red pears grow here")
RELEASED = Hypotheses([[Phrase(" Red pears", 0.0, 2.0), Phrase(" grow here.", 2.0, nan)]], 1.0, 5.0)


def prove(*phrases):
    return compare([WINDOW], "transcribe", RELEASED, Hypotheses([list(phrases)], 2.0, 4.0))


def test_the_same_words_and_times():
    proof = prove(Phrase(" Red pears", 0.0, 2.01), Phrase("grow here.", 2.02, 9.0))
    assert (proof.num_other_words, proof.num_words) == (2, 4)  # phrases are joined as they are written
    proof = prove(Phrase(" Red pears", 0.0, 2.01), Phrase(" grow here.", 2.02, 9.0))
    assert (proof.num_other_words, proof.num_other_times, proof.num_times) == (0, 0, 3)
    assert proof.wer_normalized == proof.wer_normalized_released == 0
    assert (proof.load_seconds, proof.speech_per_second) == (2.0, 2.5)


@pytest.mark.parametrize("end", [1.96, 2.04])
def test_a_time_that_moved(end):
    proof = prove(Phrase(" Red pears", 0.0, end), Phrase(" grow here.", 2.0, 9.0))
    assert (proof.num_other_times, proof.num_times) == (1, 3)


def test_another_word():
    proof = prove(Phrase(" Red pears", 0.0, 2.0), Phrase(" grow there.", 2.0, 9.0))
    assert (proof.num_other_words, proof.num_times) == (1, 2)
    assert proof.wer_normalized == 0.25


def test_only_windows_that_both_transcribed_count():
    proof = compare([WINDOW] * 3, "transcribe", RELEASED, Hypotheses([RELEASED.phrases[0]] * 3, 1.0, 1.0))
    assert (proof.num_windows, proof.speech_seconds, proof.num_words) == (1, 10.0, 4)


def test_windows_in_which_one_ran_into_a_loop_are_counted_and_left_out():
    loop = [Phrase(" red pears" + " 1-1-1-1-1-1-1-1-1-1", 0.0, nan)]
    plain = RELEASED.phrases[0]
    released = Hypotheses([plain, plain, loop], 1.0, 5.0)
    proof = compare([WINDOW] * 3, "transcribe", released, Hypotheses([plain, loop, plain], 1.0, 1.0))
    assert (proof.num_windows, proof.num_loops, proof.speech_seconds) == (1, 2, 10.0)
    assert (proof.num_other_words, proof.num_words, proof.wer_normalized) == (0, 4, 0.0)
