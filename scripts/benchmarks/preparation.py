"""How time and memory of the preparation grow with the hours of audio, against the floor of any preparation.

    python -m scripts.benchmarks.preparation --data_dir FOLDER --model FOLDER --hours 1 3 10 30

The recordings are joined into one of about half an hour and written as M4A (44.1 kHz, stereo, 128 kbit/s),
and that as often as the hours need: each copy a file of its own, with the words of its captions shuffled
anew. The floor is decoding and FLAC encoding alone, in the same run. Times are CPU seconds of one process.
"""

import argparse
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from recipe.arguments import DataArguments
from recipe.audio.decoding import Audio, decode_audio, encode_flac, slice_samples
from recipe.audio.resampling import SAMPLE_RATE, SAMPLES_PER_MS
from recipe.captions.reader import Cue, format_webvtt, read_captions
from recipe.data.opening import prepare_dataset
from recipe.data.recording import PreparationSettings
from recipe.data.sources import list_recordings
from recipe.data.windows import WINDOW_MS
from scripts.benchmarks.common import (
    build_parser,
    call_in_fresh_process,
    measure_seconds,
    peak_mib,
    print_table,
    run,
)

M4A_RATE = 44_100
M4A_BIT_RATE = 128_000


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = build_parser(__doc__, required=["data_dir", "model"], optional=["workdir"])
    parser.add_argument("--hours", type=float, nargs="+", default=[1, 3, 10, 30], help="sizes to measure")
    return parser


def measure(arguments: argparse.Namespace) -> None:
    """Print a row for each size, measured in a process of its own between two measurements of the floor."""
    talk = join_recordings(arguments.data_dir, arguments.workdir / "preparation")
    header = ["hours", "windows", "CPU s", "wall s", "x real time", "x floor", "peak MiB"]
    print_table(header, (measure_size(talk, hours, arguments.model) for hours in arguments.hours))


@dataclass(frozen=True)
class Talk:
    """All recordings joined into one.

    Attributes:
        audio: The file, an M4A.
        cues: In order.
        hours: Length of the audio.
    """

    audio: Path
    cues: Sequence[Cue]
    hours: float


def join_recordings(data_dir: Path, workdir: Path) -> Talk:
    """One M4A file of all recordings of the folder, and its cues."""
    workdir.mkdir(parents=True, exist_ok=True)
    cues: list[Cue] = []
    parts: list[NDArray[np.int16]] = []
    start_ms = 0
    for audio, captions in decode_recordings(data_dir):
        cues += [
            replace(cue, start_ms=cue.start_ms + start_ms, end_ms=cue.end_ms + start_ms, words=())
            for cue in captions
        ]
        parts.append(audio.samples[: audio.duration_ms * SAMPLES_PER_MS])
        start_ms += audio.duration_ms
    path = workdir / "joined.m4a"
    write_m4a(path, np.concatenate(parts))
    return Talk(path, cues, start_ms / 3_600_000)


def decode_recordings(data_dir: Path) -> Iterator[tuple[Audio, Sequence[Cue]]]:
    """The audio and the cues of each recording that has both."""
    for recording in list_recordings(data_dir):
        if recording.audio.path and recording.transcript.path:
            audio = decode_audio(recording.audio.path)
            yield audio, read_captions(recording.transcript.path, duration_ms=audio.duration_ms).cues


def write_m4a(path: Path, samples: NDArray[np.int16]) -> None:
    """Write AAC in M4A as phones and editors do: 44.1 kHz, stereo."""
    with av.open(str(path), "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=M4A_RATE, layout="stereo", bit_rate=M4A_BIT_RATE)
        for start in range(0, len(samples), SAMPLE_RATE):
            frame = AudioFrame.from_ndarray(samples[None, start : start + SAMPLE_RATE], "s16", "mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def measure_size(talk: Talk, hours: float, model: str) -> list[str]:
    """The cells of a row."""
    folder = talk.audio.parent / "recordings"
    shutil.rmtree(folder, ignore_errors=True)
    num_copies = round(hours / talk.hours) or 1
    write_copies(talk, folder, num_copies)
    floors = [measure_floor(talk.audio)]
    figures = call_in_fresh_process(prepare, folder, Path(model) / "tokenizer.json")
    floors.append(measure_floor(talk.audio))
    shutil.rmtree(folder)
    cpu_seconds = figures["cpu_seconds"]
    speed = num_copies * talk.hours * 3600 / cpu_seconds
    floor_speed = talk.hours * 3600 / (sum(floors) / len(floors))
    return [
        *(f"{num_copies * talk.hours:.1f}", f"{figures['num_windows']:.0f}"),
        *(f"{cpu_seconds:.1f}", f"{figures['wall_seconds']:.1f}", f"{speed:.0f}"),
        *(f"{floor_speed / speed:.2f} of {floor_speed:.0f}", f"{figures['peak_mib']:.0f}"),
    ]


def write_copies(talk: Talk, folder: Path, num_copies: int) -> None:
    """Write distinct recordings into the folder."""
    folder.mkdir(parents=True)
    content = talk.audio.read_bytes()
    words = [word for cue in talk.cues for word in cue.text.split()]
    for number in range(num_copies):
        # An empty box at the end of an MP4 file changes nothing but its bytes (ISO 14496-12, 8.1.2).
        box = (16).to_bytes(4) + b"free" + number.to_bytes(8)
        (folder / f"talk-{number:04}.m4a").write_bytes(content + box)
        shuffled = iter(random.Random(number).sample(words, len(words)))  # noqa: S311 - no secret
        texts = [" ".join(next(shuffled) for _ in cue.text.split()) for cue in talk.cues]
        copies = [replace(cue, text=text, payload=text) for cue, text in zip(talk.cues, texts, strict=True)]
        (folder / f"talk-{number:04}.vtt").write_text(format_webvtt(copies))


def prepare(folder: Path, tokenizer_file: Path) -> dict[str, float]:
    """Seconds, peak memory and windows of preparing the folder in this process alone."""
    recordings, settings = list_recordings(folder), PreparationSettings(tokenizer_file)
    data, seconds = measure_seconds(
        lambda: prepare_dataset(recordings, settings, DataArguments(), folder / "prepared", num_workers=1)
    )
    return {
        **seconds,
        "peak_mib": peak_mib(),
        "num_windows": len(data.train) + len(data.validation) + len(data.test),
    }


def measure_floor(path: Path) -> float:
    """CPU seconds to decode the file and encode it again as FLAC, in pieces of 30 s."""

    def encode() -> None:
        audio = decode_audio(path)
        for start_ms in range(0, audio.duration_ms, WINDOW_MS):
            end_ms = min(start_ms + WINDOW_MS, audio.duration_ms)
            encode_flac(slice_samples(audio.samples, start_ms, end_ms))

    return measure_seconds(encode)[1]["cpu_seconds"]


if __name__ == "__main__":
    run(measure, parser())
