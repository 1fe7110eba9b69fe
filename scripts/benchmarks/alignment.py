"""How exactly plain text is aligned with its recording, and loose captions are re-timed.

    python -m scripts.benchmarks.alignment --model openai/whisper-base --data_dir recordings --language fr

The folder's captions are taken for true. Their times are thrown away: the words become paragraphs of ten
cues, wrapped at 80 columns, some spoilt. Where a cue that is made begins with a cue's first word, its start
is compared with that cue's. Captions are also moved as a whole and re-timed. Seconds are CPU seconds.
"""

import argparse
import random
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from recipe.audio.decoding import decode_audio
from recipe.audio.voice import find_voice
from recipe.captions.plain_text import split_phrases
from recipe.captions.reader import Cue, read_captions
from recipe.data.manifest import Recording
from recipe.data.sources import list_recordings
from recipe.screening.alignment import Alignment, align_text
from recipe.screening.placement import Sound
from recipe.screening.retiming import retime_cues
from recipe.screening.word_times import Ctranslate2WordTimer, Span, TimedWord, WordTimer, cut_at_pauses
from scripts.benchmarks.common import build_parser, load_on_device, print_table, run

CUES_PER_PARAGRAPH = 10
COLUMNS = 80
CHANGED_FRACTION = 0.05

Spoil = Callable[[list[str], list[str], random.Random], list[str]]
"""From the texts of the cues, those of another recording and chance to the texts that are aligned."""


def _keep(texts: list[str], _other: list[str], _chance: random.Random) -> list[str]:
    return texts


def _change(texts: list[str], other: list[str], chance: random.Random) -> list[str]:
    words = [word for text in other for word in text.split()]
    return [
        " ".join(
            chance.choice(words) if chance.random() < CHANGED_FRACTION else word for word in text.split()
        )
        for text in texts
    ]


def _leave_out(texts: list[str], _other: list[str], _chance: random.Random) -> list[str]:
    middle = len(texts) // 2
    return texts[:middle] + texts[middle + CUES_PER_PARAGRAPH :]


def _add(texts: list[str], other: list[str], _chance: random.Random) -> list[str]:
    middle = len(texts) // 2
    return texts[:middle] + other[:CUES_PER_PARAGRAPH] + texts[middle:]


def _exchange(_texts: list[str], other: list[str], _chance: random.Random) -> list[str]:
    return other


TEXTS: dict[str, Spoil] = {
    "as it is": _keep,
    "5 % of the words changed": _change,
    "a paragraph missing": _leave_out,
    "a paragraph added": _add,
    "another recording's": _exchange,
}

MOVES: dict[str, Callable[[int], float]] = {
    "on time": float,
    "1 s late": lambda time_ms: time_ms + 1000,
    "0.5 s early": lambda time_ms: max(0, time_ms - 500),
    "25 for 23.976 frames/s": lambda time_ms: time_ms * 23.976 / 25,
    "23.976 for 25 frames/s": lambda time_ms: time_ms * 25 / 23.976,
    "7 s cut out in the middle": lambda time_ms: time_ms if time_ms < 80_000 else time_ms - 7_000,
}


@dataclass
class Figures:
    """What is measured over all recordings.

    Attributes:
        errors_ms: Of starts, above 0 where late.
        num_words: Words of the texts.
        num_used: Those that are in cues.
        lost_ms: Speech left without words.
        seconds: Of a processor, without the transcript.
    """

    errors_ms: list[int] = field(default_factory=list)
    num_words: int = 0
    num_used: int = 0
    lost_ms: int = 0
    seconds: float = 0.0

    def add(self, alignment: Alignment, starts_ms: Iterator[tuple[int, int]], seconds: float) -> None:
        """Count one recording; `starts_ms` has pairs of a start that was found and the true one."""
        self.errors_ms += [found_ms - true_ms for found_ms, true_ms in starts_ms]
        self.num_words += alignment.num_words
        self.num_used += alignment.num_used
        self.lost_ms += sum(end_ms - start_ms for start_ms, end_ms in alignment.lost_ms)
        self.seconds += seconds

    def describe(self) -> list[str]:
        """The row of a table."""
        errors = np.abs(self.errors_ms) if self.errors_ms else np.array([np.nan])
        median, p90 = np.percentile(errors, [50, 90]) / 1000
        return [
            str(len(self.errors_ms)),
            f"{median:.3f}",
            f"{p90:.3f}",
            f"{self.num_used / max(1, self.num_words):.1%}",
            f"{self.lost_ms / 1000:.0f}",
            f"{self.seconds:.1f}",
        ]


@dataclass(frozen=True)
class Material:
    """A recording, its true captions, and what the model writes of it."""

    sound: Sound
    cues: Sequence[Cue]
    transcript: Sequence[TimedWord]


class KnownTranscript:
    """A timer that transcribes by looking up what was transcribed before."""

    def __init__(self, timer: WordTimer, transcript: Sequence[TimedWord]) -> None:
        self._timer = timer
        self._transcript = transcript

    def transcribe(self, _samples: object, spans: Sequence[Span], _language: str) -> list[TimedWord]:
        """The words that begin inside the spans."""
        return [
            word for word in self._transcript if any(start <= word.start_ms < end for start, end in spans)
        ]

    @property
    def align(self) -> Callable[..., list[TimedWord]]:
        """That of the timer itself."""
        return self._timer.align


def wrap(texts: Sequence[str]) -> str:
    """Paragraphs of the texts, wrapped."""
    starts = range(0, len(texts), CUES_PER_PARAGRAPH)
    paragraphs = (" ".join(texts[start : start + CUES_PER_PARAGRAPH]) for start in starts)
    return "\n\n".join(textwrap.fill(paragraph, COLUMNS) for paragraph in paragraphs)


def match_starts(
    alignment: Alignment, texts: Sequence[str], cues: Sequence[Cue]
) -> Iterator[tuple[int, int]]:
    """Start found and true start of each cue that begins with the first word of a true one.

    Args:
        alignment: What was made of the texts.
        texts: Of the cues as they were aligned, in order.
        cues: True ones.
    """
    words = [
        (word, number, index) for number, text in enumerate(texts) for index, word in enumerate(text.split())
    ]
    true_ms = {cue.text: cue.start_ms for cue in cues}
    is_unique = {text for text in true_ms if sum(cue.text == text for cue in cues) == 1}
    place = 0
    for made in alignment.cues:
        own = made.text.split()
        while [word for word, _, _ in words[place : place + len(own)]] != own and place < len(words):
            place += 1
        if place < len(words):
            _, number, index = words[place]
            if index == 0 and texts[number] in is_unique:
                yield made.start_ms, true_ms[texts[number]]
            place += len(own)


def measure(arguments: argparse.Namespace) -> None:
    """Print a table for texts and one for captions."""
    whisper = load_on_device(arguments.model)
    timer = Ctranslate2WordTimer(whisper)
    recordings = [
        recording
        for recording in list_recordings(arguments.data_dir, arguments.language)
        if recording.audio.path and recording.transcript.path
    ]
    started = time.process_time()
    material = [prepare(recording, timer) for recording in recordings[: arguments.max_recordings]]
    seconds = time.process_time() - started
    audio_seconds = sum(item.sound.duration_ms for item in material) / 1000
    print(
        f"{len(material)} recordings, {audio_seconds / 60:.1f} minutes, read and transcribed in "
        f"{seconds:.0f} s: {audio_seconds / seconds:.1f} times as fast as they play\n"
    )
    head = ["starts compared", "error, median s", "p90 s", "words used", "speech lost, s", "seconds besides"]
    print_table(
        ["text", *head], [[name, *measure_text(spoil, material, timer)] for name, spoil in TEXTS.items()]
    )
    print_table(
        ["captions", "found, median", *head],
        [[name, *measure_captions(move, material, timer)] for name, move in MOVES.items()],
    )


def prepare(recording: Recording, timer: WordTimer) -> Material:
    """What a recording is measured with."""
    assert recording.audio.path
    assert recording.transcript.path
    samples = decode_audio(recording.audio.path).samples
    sound = Sound(samples, find_voice(samples), recording.language)
    spans = cut_at_pauses(sound.voice, sound.duration_ms)
    transcript = timer.transcribe(samples, spans, recording.language)
    return Material(sound, read_captions(recording.transcript.path).cues, transcript)


def measure_text(spoil: Spoil, material: Sequence[Material], timer: WordTimer) -> list[str]:
    """The figures of texts spoilt in one way."""
    figures = Figures()
    for number, item in enumerate(material):
        other = [cue.text for cue in material[number - 1].cues]
        texts = spoil([cue.text for cue in item.cues], other, random.Random(number))  # noqa: S311 - no secret
        started = time.process_time()
        alignment = align_text(split_phrases(wrap(texts)), item.transcript, item.sound, timer)
        figures.add(alignment, match_starts(alignment, texts, item.cues), time.process_time() - started)
    return figures.describe()


def measure_captions(
    move: Callable[[int], float], material: Sequence[Material], timer: WordTimer
) -> list[str]:
    """The figures of captions moved in one way."""
    figures, found_ms = Figures(), []
    for item in material:
        moved = [
            replace(cue, start_ms=round(move(cue.start_ms)), end_ms=round(move(cue.end_ms)))
            for cue in item.cues
        ]
        started = time.process_time()
        retiming = retime_cues(moved, item.sound, KnownTranscript(timer, item.transcript))
        seconds = time.process_time() - started
        if retiming.shift:
            found_ms.append(retiming.shift.median_ms)
        if retiming.alignment:
            texts = [cue.text for cue in item.cues]
            starts = match_starts(retiming.alignment, texts, item.cues)
            figures.add(retiming.alignment, starts, seconds)
    median = f"{np.median(found_ms) / 1000:+.2f} s" if found_ms else "-"
    return [median, *(figures.describe() if figures.errors_ms else ["left as they are", *[""] * 5])]


def main() -> None:
    """Measure as the command line says."""
    parser = build_parser(__doc__, required=("model", "data_dir", "language"))
    parser.add_argument("--max_recordings", type=int, default=1000, help="how many of the folder's (all)")
    run(measure, parser)


if __name__ == "__main__":
    main()
