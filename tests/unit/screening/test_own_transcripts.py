"""Captions by the base model: words where it is sure of them, lost speech where it is not."""

from dataclasses import dataclass

import pytest

from recipe.captions.lost_speech import mark_lost_speech
from recipe.captions.webvtt import format_webvtt, parse_webvtt
from recipe.screening.own_transcripts import is_sure, write_cues


@dataclass
class Written:
    """A segment as faster-whisper gives it."""

    start: float = 0.0
    end: float = 2.0
    text: str = " Bonjour."
    avg_logprob: float = -0.2
    compression_ratio: float = 1.2
    no_speech_prob: float = 0.01


@pytest.mark.parametrize(
    ("segment", "expected"),
    [
        (Written(), True),
        (Written(avg_logprob=-0.5), True),
        (Written(avg_logprob=-0.51), False),
        (Written(compression_ratio=2.5), False),
        (Written(no_speech_prob=0.7), False),
    ],
)
def test_a_segment_is_sure_if_nothing_speaks_against_it(segment: Written, expected: bool) -> None:
    assert is_sure(segment) is expected


def test_words_that_are_not_sure_become_lost_speech_and_cues_do_not_overlap() -> None:
    cues = list(
        write_cues(
            [
                Written(0.0, 2.0, " A < B & C"),
                Written(1.9, 4.0, " unsure", avg_logprob=-1.0),
                Written(4.0, 4.0, " of no length"),
                Written(4.0, 5.0, "  "),
                Written(4.5, 6.25, " Fin."),
            ]
        )
    )
    assert [(cue.start_ms, cue.end_ms) for cue in cues] == [(0, 2000), (2000, 4000), (4500, 6250)]
    assert cues[1] == mark_lost_speech(2000, 4000)
    read = parse_webvtt(format_webvtt(cues))
    assert [cue.text for cue in read] == ["A < B & C", "…", "Fin."]
