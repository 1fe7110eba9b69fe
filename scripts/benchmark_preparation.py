#!/usr/bin/env python
"""How time and memory of the preparation grow with the hours of audio, against the floor of any preparation.

    scripts/benchmark_preparation.py --data_dir FOLDER --model_dir MODEL --hours 1 3 10 30

FOLDER holds recordings with captions; they are joined into one of about half an hour and written as M4A
(44.1 kHz, stereo, 128 kbit/s), and that as often as the hours need: each copy a file of its own, with the
words of its captions shuffled anew. The floor is decoding and FLAC encoding alone, in the same run. Times are
CPU seconds of one process, so other work on the machine hardly shows; `wall` is what a clock says.
"""

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the project is run from its checkout

import av
import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from recipe.arguments import DataArguments
from recipe.audio.decoding import SAMPLE_RATE, decode_audio, encode_flac, slice_samples
from recipe.captions.reader import Cue, format_webvtt, read_captions
from recipe.data.dataset import prepare_dataset
from recipe.data.manifest import list_folder, list_recordings, locate_files, pair_recordings
from recipe.data.recording import PreparationSettings
from recipe.data.windows import WINDOW_MS

M4A_RATE = 44_100
M4A_BIT_RATE = 128_000


def main() -> None:
    """Measure each size in a process of its own, the floor before and after."""
    arguments = parse_arguments()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.model_dir)))
        return
    workdir: Path = arguments.workdir
    audio, cues = join_recordings(arguments.data_dir, workdir)
    hours_each = len(decode_audio(audio).samples) / SAMPLE_RATE / 3600
    floors = [measure_floor(audio)]
    rows = []
    for hours in arguments.hours:
        folder = workdir / "recordings"
        num_copies = write_copies(audio, cues, folder, round(hours / hours_each) or 1)
        row = run_measurement(arguments, folder)
        rows.append({"hours": num_copies * hours_each, **row})
        shutil.rmtree(folder)
        floors.append(measure_floor(audio))
    show(rows, hours_each * 3600 / (sum(floors) / len(floors)))


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", type=Path, required=True, help="recordings with captions")
    parser.add_argument("--model_dir", type=Path, required=True, help="folder with a tokenizer.json")
    parser.add_argument("--hours", type=float, nargs="+", default=[1, 3, 10, 30], help="sizes to measure")
    parser.add_argument(
        "--workdir", type=Path, default=Path(".benchmark"), help="where files go (.benchmark)"
    )
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)  # one size, in a process of its own
    return parser.parse_args()


def join_recordings(data_dir: Path, workdir: Path) -> tuple[Path, list[Cue]]:
    """One M4A file of all recordings of the folder, and its cues."""
    workdir.mkdir(parents=True, exist_ok=True)
    entries = list_folder(data_dir)
    files = locate_files(data_dir, entries)
    cues: list[Cue] = []
    parts: list[NDArray[np.int16]] = []
    start_ms = 0
    for recording in pair_recordings(entries, files):
        assert recording.audio.path
        assert recording.transcript.path
        audio = decode_audio(recording.audio.path)
        cues += [
            replace(cue, start_ms=cue.start_ms + start_ms, end_ms=cue.end_ms + start_ms, words=())
            for cue in read_captions(recording.transcript.path, duration_ms=audio.duration_ms).cues
        ]
        parts.append(audio.samples[: audio.duration_ms * SAMPLE_RATE // 1000])
        start_ms += audio.duration_ms
    path = workdir / "joined.m4a"
    write_m4a(path, np.concatenate(parts))
    return path, cues


def write_m4a(path: Path, samples: NDArray[np.int16]) -> None:
    """Write AAC in M4A as phones and editors do: 44.1 kHz, stereo."""
    with av.open(str(path), "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=M4A_RATE, layout="stereo", bit_rate=M4A_BIT_RATE)
        for start in range(0, len(samples), SAMPLE_RATE):
            frame = AudioFrame.from_ndarray(samples[None, start : start + SAMPLE_RATE], "s16", "mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_copies(audio: Path, cues: Sequence[Cue], folder: Path, num_copies: int) -> int:
    """Write distinct recordings into the folder, and return how many."""
    folder.mkdir(parents=True)
    content = audio.read_bytes()
    words = [word for cue in cues for word in cue.text.split()]
    for number in range(num_copies):
        # An empty box at the end of an MP4 file changes nothing but its bytes (ISO 14496-12, 8.1.2).
        box = (16).to_bytes(4) + b"free" + number.to_bytes(8)
        (folder / f"talk-{number:04}.m4a").write_bytes(content + box)
        shuffled = iter(random.Random(number).sample(words, len(words)))  # noqa: S311 - no secret
        texts = [" ".join(next(shuffled) for _ in cue.text.split()) for cue in cues]
        copies = [replace(cue, text=text, payload=text) for cue, text in zip(cues, texts, strict=True)]
        (folder / f"talk-{number:04}.vtt").write_text(format_webvtt(copies))
    return num_copies


def run_measurement(arguments: argparse.Namespace, folder: Path) -> dict[str, float]:
    """What `measure` finds in a fresh process."""
    command = [sys.executable, __file__, "--measure", str(folder), "--model_dir", str(arguments.model_dir)]
    command += ["--data_dir", str(arguments.data_dir)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    figures: dict[str, float] = json.loads(output.splitlines()[-1])
    return figures


def measure(folder: Path, model_dir: Path) -> dict[str, float]:
    """CPU seconds, wall seconds and peak memory in MiB of preparing the folder in this process alone."""
    recordings = list_recordings(folder)
    settings = PreparationSettings(model_dir / "tokenizer.json")
    started, started_cpu = time.monotonic(), time.process_time()
    data = prepare_dataset(recordings, settings, DataArguments(), folder / "prepared", num_workers=1)
    return {
        "cpu_seconds": time.process_time() - started_cpu,
        "wall_seconds": time.monotonic() - started,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "num_windows": len(data.train) + len(data.held_out),
    }


def measure_floor(audio: Path) -> float:
    """CPU seconds to decode the file and encode it again as FLAC, in pieces of 30 s."""
    started = time.process_time()
    decoded = decode_audio(audio)
    for start_ms in range(0, decoded.duration_ms, WINDOW_MS):
        encode_flac(slice_samples(decoded.samples, start_ms, min(start_ms + WINDOW_MS, decoded.duration_ms)))
    return time.process_time() - started


def show(rows: Sequence[dict[str, float]], floor_speed: float) -> None:
    """Print the curve."""
    print(f"floor (decoding and FLAC encoding): {floor_speed:.0f} x real time on one core")
    print("  hours  windows  CPU s   wall s  x real time  x floor  peak MiB")
    for row in rows:
        speed = row["hours"] * 3600 / row["cpu_seconds"]
        times = (
            f"{row['cpu_seconds']:6.1f} {row['wall_seconds']:8.1f} {speed:12.0f} {floor_speed / speed:8.2f}"
        )
        print(f"{row['hours']:7.1f} {row['num_windows']:8.0f} {times} {row['peak_mib']:9.0f}")


if __name__ == "__main__":
    main()
