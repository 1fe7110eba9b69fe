"""Test recordings cut every 30 seconds, wherever that falls: the figure without the help of the captions.

Windows begin and end where cues do, and nobody who only has a recording can cut so. Here a cut falls into
words and pauses alike. The transcripts of a recording's cuts are joined before they are compared, so a word
at a border is charged once at most, and to no cue.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from datasets import Dataset, Features

from recipe.audio.decoding import AudioLimits, encode_flac, slice_samples
from recipe.data.clips import read_sound
from recipe.data.manifest import Recording
from recipe.data.shards import FEATURES
from recipe.data.sounds import IN_MEMORY
from recipe.data.windows import WINDOW_MS
from recipe.errors import AudioError, DataError
from recipe.evaluation.long_form_scores import Decoded, LongForm, Reference, score_recording
from recipe.evaluation.normalization import OURS, Normalizer
from recipe.evaluation.transcription import Decoding, transcribe_segments
from recipe.model.whisper import Whisper


@dataclass(frozen=True)
class Cuts:
    """Cuts of some recordings.

    Attributes:
        references: What is known of the recordings that could be read.
        examples: The cuts as rows of the Arrow dataset, those of a recording in order.
        unread: A sentence for each recording that could not be read.
    """

    references: list[Reference]
    examples: list[dict[str, Any]]
    unread: list[str]


def select_first_windows(windows: Dataset, max_cuts: int) -> Dataset:
    """The first windows of each recording in turn, as many as lie in `max_cuts` cuts."""
    places = sorted(
        (row["recording"], row["start_ms"], row["end_ms"], index)
        for index, row in enumerate(windows.select_columns(["recording", "start_ms", "end_ms"]))
    )
    turns = [
        (turn, *place)
        for _, of_recording in groupby(places, key=itemgetter(0))
        for turn, place in enumerate(of_recording)
    ]
    cuts: set[tuple[str, int]] = set()
    selected = []
    for _, name, start_ms, end_ms, index in sorted(turns):
        cuts |= {(name, number) for number in _number_cuts([(start_ms, end_ms)])}
        if len(cuts) > max_cuts:
            break
        selected.append(index)
    return windows.select(sorted(selected))


def _number_cuts(covered_ms: Iterable[tuple[int, int]]) -> list[int]:
    """The cuts in which something is known to be said, counted from the recording's start; ascending."""
    return sorted({n for start, end in covered_ms for n in range(start // WINDOW_MS, -(-end // WINDOW_MS))})


def cut_recordings(
    references: Sequence[Reference], recordings: Sequence[Recording], limits: AudioLimits
) -> Cuts:
    """The cuts of the recordings, at 0:00, 0:30, 1:00 and so on, in which what is said is known.

    Args:
        references: What is known of the recordings; at least one.
        recordings: Among others those of the references.
        limits: What an audio file may hold.

    Raises:
        DataError: if none of the recordings can be read.
    """
    by_name = {recording.name: recording for recording in recordings}
    cuts = Cuts([], [], [])
    for reference in references:
        try:
            audio = read_sound(by_name[reference.recording], limits)
        except AudioError as error:
            cuts.unread.append(f"{reference.recording} was not transcribed in cuts: {error}")
            continue
        cuts.references.append(reference)
        for number in _number_cuts(reference.covered_ms):
            start_ms, end_ms = number * WINDOW_MS, min((number + 1) * WINDOW_MS, audio.duration_ms)
            sound = encode_flac(slice_samples(audio.samples, start_ms, end_ms))
            cuts.examples.append(
                {
                    "recording": reference.recording,
                    "language": reference.language,
                    "start_ms": start_ms,
                    "end_ms": end_ms,
                    "audio": {"bytes": sound},
                    "segments": [],
                }
            )
    if not cuts.references:
        raise DataError(f"No recording could be transcribed in cuts. {cuts.unread[0]}")
    return cuts


def measure_cuts(
    whisper: Whisper,
    cuts: Cuts,
    decoding: Decoding,
    on_batch: Callable[[int], object] = lambda _: None,
    normalizer: Normalizer = OURS,
) -> LongForm:
    """The figures of a model on the cuts; every process gets them.

    The time that all cuts took is told of each recording by its length.

    Args:
        whisper: The model, on its device.
        cuts: The same on every process.
        decoding: How they are transcribed.
        on_batch: Called with the number of cuts just transcribed.
        normalizer: By which normalised rates are taken.
    """
    features = Features({**{column: FEATURES[column] for column in cuts.examples[0]}, "audio": IN_MEMORY})
    rows = Dataset.from_list(cuts.examples, features=features)
    started = time.monotonic()
    written = transcribe_segments(whisper, rows, decoding, on_batch)
    seconds = time.monotonic() - started
    segments: dict[str, list[Decoded]] = {reference.recording: [] for reference in cuts.references}
    lengths_ms = dict.fromkeys(segments, 0)
    for cut, found in zip(cuts.examples, written, strict=True):
        segments[cut["recording"]] += found
        lengths_ms[cut["recording"]] += cut["end_ms"] - cut["start_ms"]
    total_ms = max(1, sum(lengths_ms.values()))
    return LongForm(
        [
            score_recording(
                reference,
                segments[reference.recording],
                lengths_ms[reference.recording] / 1000,
                seconds * lengths_ms[reference.recording] / total_ms,
                whisper.task,
                normalizer,
            )
            for reference in cuts.references
        ],
        words_on={},
        unread=cuts.unread,
        view="cuts",
    )
