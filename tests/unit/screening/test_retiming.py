"""Captions moved away from words whose times are known, and what is made of them."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from speech import StandInTimer, speak

from recipe.captions.reader import Cue
from recipe.screening.retiming import retime_cues

NUM_SENTENCES = 200
SENTENCES = [[f"w{n}x{k}y{7 * n % 31}" for k in range(4 + n % 5)] for n in range(NUM_SENTENCES)]
SOUND, TRANSCRIPT = speak(SENTENCES, "en")
TRUE = [
    Cue("", start_ms, end_ms, "", " ".join(sentence))
    for sentence, (start_ms, end_ms) in zip(SENTENCES, SOUND.voice, strict=True)
]
MIDDLE_MS = SOUND.duration_ms // 2


def move(shift: Callable[[int], float], cues: list[Cue] = TRUE) -> list[Cue]:
    return [
        replace(cue, start_ms=max(0, round(shift(cue.start_ms))), end_ms=max(1, round(shift(cue.end_ms))))
        for cue in cues
    ]


LOOSE = {
    "1 s late": (lambda time: time + 1000, -1000, 0.0),
    "0.6 s early": (lambda time: time - 600, 600, 0.0),
    "a minute late": (lambda time: time + 60_000, -60_000, 0.0),
    "25 for 23.976": (lambda time: time * 23.976 / 25, None, 0.0427),
    "23.976 for 25": (lambda time: time * 25 / 23.976, None, -0.041),
    "30 for 29.97 and late": (lambda time: time * 1.001 + 800, None, -0.001),
    "an advertisement cut out": (lambda time: time if time < MIDDLE_MS else time - 30_000, None, None),
    "an introduction added": (lambda time: time + 5_000 if time > 20_000 else time, -5_000, None),
}


@pytest.mark.parametrize(("shift", "median_ms", "drift"), LOOSE.values(), ids=LOOSE)
def test_loose_captions_are_put_where_their_words_are(shift, median_ms, drift):
    retiming = retime_cues(move(shift), SOUND, StandInTimer(TRANSCRIPT))
    assert retiming.alignment
    assert retiming.shift
    if median_ms is not None:
        assert retiming.shift.median_ms == pytest.approx(median_ms, abs=100)
    if drift is not None:
        assert retiming.shift.drift == pytest.approx(drift, abs=0.0005)
    assert [cue.text for cue in retiming.alignment.cues] == [cue.text for cue in TRUE]
    for made, cue in zip(retiming.alignment.cues, TRUE, strict=True):
        assert abs(made.start_ms - cue.start_ms) <= 60
        assert abs(made.end_ms - cue.end_ms) <= 60


@pytest.mark.parametrize("shift", [lambda time: time, lambda time: time - 200, lambda time: time + 150])
def test_captions_that_are_on_time_are_left_after_a_few_spans(shift):
    timer = StandInTimer(TRANSCRIPT)
    retiming = retime_cues(move(shift), SOUND, timer)
    assert retiming.alignment is None
    assert "right" in retiming.problem
    assert timer.num_transcribed <= 10


def test_captions_of_other_words_are_left_as_they_are():
    other = [replace(cue, text=f"other{n} words{n} than{n} those{n}") for n, cue in enumerate(TRUE)]
    retiming = retime_cues(move(lambda time: time + 5_000, other), SOUND, StandInTimer(TRANSCRIPT))
    assert retiming.alignment is None
    assert "other words" in retiming.problem


def test_few_captions_are_left_as_they_are():
    sound, transcript = speak(SENTENCES[:3], "en")
    retiming = retime_cues(move(lambda time: time + 5_000, TRUE[:3]), sound, StandInTimer(transcript))
    assert retiming.alignment is None
    assert "too few" in retiming.problem


def test_a_recording_without_a_voice_is_left_as_it_is():
    sound = replace(SOUND, voice=[])
    assert retime_cues(TRUE, sound, StandInTimer([])).alignment is None


def test_a_cue_that_is_not_found_moves_with_its_neighbours():
    cues = move(lambda time: time + 2_000)
    cues[50] = replace(cues[50], text="entirely different")
    alignment = retime_cues(cues, SOUND, StandInTimer(TRANSCRIPT, probability=0.001)).alignment
    assert alignment
    (moved,) = [cue for cue in alignment.cues if cue.text == "entirely different"]
    assert abs(moved.start_ms - TRUE[50].start_ms) <= 100
    assert moved.confidence == 0


def test_a_cue_between_two_that_move_apart_is_lost_speech():
    cues = move(lambda time: time if time < TRUE[100].start_ms else time - 30_000)
    cues[100] = replace(cues[100], text="entirely different")
    alignment = retime_cues(cues, SOUND, StandInTimer(TRANSCRIPT, probability=0.001)).alignment
    assert alignment
    assert "entirely different" not in [cue.text for cue in alignment.cues]
    assert any(start <= TRUE[100].start_ms < end for start, end in alignment.lost_ms)
