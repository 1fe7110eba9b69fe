"""Recordings cut every 30 seconds: which cuts, what is known in them, and what a real model makes of them."""

import numpy as np
import pytest
import soundfile
from tiny_trainers import make_example, make_examples, tiny_whisper

from recipe.audio.decoding import AudioLimits
from recipe.data.manifest import LocalFile, Recording
from recipe.errors import DataError
from recipe.evaluation.cuts import cut_recordings, measure_cuts, select_first_windows
from recipe.evaluation.long_form_scores import Decoded, Reference, build_references, score_recording
from recipe.evaluation.transcription import Decoding, transcribe_examples, transcribe_segments
from recipe.model.whisper import Whisper


def window(start_s: int, end_s: int, recording: str = "talk", text: str = "un") -> dict:
    segments = [{"start_ms": 0, "end_ms": 1_000, "text": text}]
    return make_example(recording=recording, start_ms=start_s * 1000, end_ms=end_s * 1000, segments=segments)


@pytest.mark.parametrize(
    ("max_cuts", "taken"),
    [
        pytest.param(1, [("a", 5)], id="the first window lies in one cut"),
        pytest.param(2, [("a", 5)], id="that of the other recording in two more"),
        pytest.param(3, [("a", 5), ("b", 10)], id="both first ones"),
        pytest.param(4, [("a", 5), ("a", 32), ("b", 10)], id="a second one of the first recording"),
        pytest.param(5, [("a", 5), ("a", 32), ("b", 10), ("b", 61)], id="all"),
    ],
)
def test_the_first_windows_of_each_recording_are_taken_as_far_as_the_cuts_reach(max_cuts, taken):
    windows = make_examples(
        [window(32, 58, "a"), window(5, 29, "a"), window(61, 80, "b"), window(10, 38, "b")]
    )
    selected = select_first_windows(windows, max_cuts)
    places = zip(selected["recording"], (ms // 1000 for ms in selected["start_ms"]), strict=True)
    assert sorted(places) == taken


@pytest.fixture
def recordings(tmp_path) -> list[Recording]:
    path = tmp_path / "talk.flac"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 155 * 16_000), 16_000)
    names = {"talk": path, "gone": tmp_path / "gone.wav"}
    return [Recording(name, LocalFile(path), LocalFile(None)) for name, path in names.items()]


def test_cuts_fall_every_30_seconds_where_something_is_known_to_be_said(recordings):
    windows = make_examples([window(31, 59), window(61, 62), window(125, 154), window(0, 9, "gone")])
    references = build_references(windows, frozenset(), "transcribe")
    cuts = cut_recordings(references, recordings, AudioLimits())
    places = [(cut["start_ms"], cut["end_ms"]) for cut in cuts.examples]
    assert places == [(30_000, 60_000), (60_000, 90_000), (120_000, 150_000), (150_000, 155_000)]
    (sentence,) = cuts.unread
    assert sentence.startswith("gone was not transcribed in cuts: ")
    with pytest.raises(DataError, match="No recording could be transcribed in cuts"):
        cut_recordings(references[:1], recordings, AudioLimits())  # "gone" comes first


def test_words_at_a_border_are_charged_to_no_cue_and_words_of_unknown_speech_not_at_all():
    reference = Reference("talk", "fr", [(20_000, 40_000)], [20_000, 28_000], "un deux trois quatre")
    first = [
        Decoded(0, 15_000, "personne ne sait"),
        Decoded(20_000, 28_000, "un"),
        Decoded(28_000, 30_000, "deux"),
    ]
    second = [Decoded(30_000, 33_000, "trois quatre"), Decoded(41_000, 60_000, "ailleurs")]
    item = score_recording(reference, first + second, 60.0, 1.0, "transcribe")
    assert item.scores.words_normalized.num_errors == 0
    assert item.scores.words_normalized.num_hits == 4


@pytest.fixture(scope="module")
def whisper(tmp_path_factory) -> Whisper:
    return tiny_whisper(tmp_path_factory.mktemp("tiny"), seed=3, num_layers=2)


def test_a_model_transcribes_the_cuts_and_their_words_are_those_of_the_windows(whisper: Whisper, recordings):
    windows = make_examples([window(31, 59, text="un deux"), window(65, 66)])
    references = build_references(windows, frozenset(), whisper.task)
    cuts = cut_recordings(references, recordings, AudioLimits())
    reported: list[int] = []
    measured = measure_cuts(whisper, cuts, Decoding(batch_size=1), reported.append)
    assert measured.view == "cuts"
    assert sum(reported) == len(cuts.examples) == 2
    (item,) = measured.recordings
    assert (item.audio_seconds, item.scores.words.num_reference) == (60.0, 3)
    assert measured.audio_seconds == 60.0

    rows = make_examples(make_example(**cut) for cut in cuts.examples)
    texts = transcribe_examples(whisper, rows, Decoding(batch_size=1)).texts
    segments = transcribe_segments(whisper, rows, Decoding(batch_size=1))
    for cut, text, found in zip(cuts.examples, texts, segments, strict=True):
        assert "".join("".join(s.text for s in found).split()) == "".join(text.split())
        assert all(cut["start_ms"] <= s.start_ms <= cut["start_ms"] + 30_000 for s in found)
    assert any(texts)
    assert item.num_segments == sum(map(len, segments))
