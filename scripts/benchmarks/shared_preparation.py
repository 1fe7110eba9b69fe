"""Workers that prepare a folder together while one after the other is killed, against ideal.

    python -m scripts.benchmarks.shared_preparation --data_dir FOLDER --model FOLDER --engine local ray

Recordings of 10 s to 3 h are made of FOLDER's sound over and over, their words shuffled anew. One process
prepares all of them alone: its CPU seconds are the work. Then four commands of scripts/prepare.py share an
empty folder, or one hands it to Ray (where the package is installed), and every few seconds a worker drawn at
random is killed (kill -9) and, of the four, started anew. Ideal is the work over the cores that were really
there: the CPU seconds that the workers got in a second, whatever else the machine does, as long as there was
a recording left to claim. What was lost with the dead, what the new ones take to start, and waiting at the
end all count against them.
"""

import argparse
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Self

import av
import numpy as np
import psutil
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from recipe.arguments import DataArguments, ModelArguments
from recipe.audio.resampling import SAMPLE_RATE, SAMPLES_PER_MS
from recipe.captions.reader import Cue, format_webvtt
from recipe.data.preparation import build_shards
from recipe.data.sources import list_recordings
from recipe.model.checkpoint import load_outline
from recipe.model.preparation import preparation_settings
from scripts.benchmarks.common import build_parser, call_in_fresh_process, measure_seconds, print_table, run
from scripts.benchmarks.preparation import M4A_BIT_RATE, M4A_RATE, decode_recordings

LENGTHS = {10_800: 2, 7_200: 1, 3_600: 3, 1_800: 4, 600: 12, 60: 40, 10: 80}
"""Seconds of a recording, and how many there are of it: 15.9 hours."""

FRAME_SAMPLES = 1024


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = build_parser(__doc__, required=["data_dir", "model"], optional=["workdir"])
    parser.add_argument("--engine", choices=["local", "ray"], nargs="+", default=["local"])
    parser.add_argument("--workers", type=int, default=4, help="processes that share the folder (4)")
    parser.add_argument("--kills", type=int, default=5, help="how many are killed (5)")
    parser.add_argument("--pause", type=float, default=15.0, help="mean seconds between two kills (15)")
    parser.add_argument("--seed", type=int, default=1, help="of the kills (1)")
    return parser


def measure(arguments: argparse.Namespace) -> None:
    """Print what the work is, and what it takes the workers."""
    folder = arguments.workdir / "shared_preparation"
    shutil.rmtree(folder, ignore_errors=True)
    write_recordings(arguments.data_dir, folder / "recordings")
    places = (folder / "recordings", Path(arguments.model), folder / "alone")
    work = call_in_fresh_process(prepare_alone, *places)["cpu_seconds"]
    header = ["engine", "work, CPU s", "cores there", "ideal s", "wall s", "x ideal", "killed", "lost, wrong"]
    print_table(header, (measure_engine(engine, arguments, folder, work) for engine in arguments.engine))
    shutil.rmtree(folder)


def measure_engine(engine: str, arguments: argparse.Namespace, folder: Path, work: float) -> list[str]:
    """The cells of a row."""
    shards = folder / engine / "prepared" / "shards"
    shards.mkdir(parents=True)
    figures = disturb(engine, arguments, folder, shards)
    num_wrong = compare(folder / "alone", shards)
    shutil.rmtree(folder / engine)
    ideal = work / figures.cores
    cells = [engine, f"{work:.0f}", f"{figures.cores:.2f}", f"{ideal:.0f}", f"{figures.wall_seconds:.0f}"]
    return [*cells, f"{figures.wall_seconds / ideal:.2f}", str(figures.num_killed), str(num_wrong)]


@dataclass(frozen=True)
class Disturbed:
    """What the workers took.

    Attributes:
        wall_seconds: From the first start until the last shard.
        num_killed: Workers.
        cores: CPU seconds a second that they got while a recording was left to claim.
    """

    wall_seconds: float
    num_killed: int
    cores: float


class Meter:
    """The CPU time of all that this process has started, while its body runs.

    Args:
        shards: Folder of what is prepared.
    """

    def __init__(self, shards: Path) -> None:
        self.cores = 0.0
        self._shards = shards
        self._used: dict[tuple[int, float], float] = {}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        started = time.monotonic()
        while not self._is_over.wait(0.5) and self._is_some_left():
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    times = process.cpu_times()
                    self._used[process.pid, process.create_time()] = times.user + times.system
            self.cores = sum(self._used.values()) / (time.monotonic() - started)

    def _is_some_left(self) -> bool:
        """Whether there is a recording that nobody has claimed."""
        claimed = {path.name.partition(".")[0] for path in self._shards.glob("claims/*.claim-*")}
        num_done = sum(1 for _ in self._shards.glob("*.json"))
        return num_done + len(claimed) < sum(LENGTHS.values())


def write_recordings(data_dir: Path, folder: Path) -> None:
    """Write recordings of all `LENGTHS`; those of one length have the same sound and other words."""
    folder.mkdir(parents=True)
    cues, samples = join(data_dir)
    frames = encode_frames(samples)
    total_ms = len(samples) // SAMPLES_PER_MS
    words = [word for cue in cues for word in cue.text.split()]
    for seconds, number in LENGTHS.items():
        num_frames = seconds * M4A_RATE // FRAME_SAMPLES
        sound = b"".join(frames[index % len(frames)] for index in range(num_frames))
        repeated = list(repeat(cues, total_ms, seconds * 1000))
        for copy in range(number):
            name = folder / f"talk-{seconds}-{copy:03}"
            chance = random.Random(f"{seconds} {copy}")  # noqa: S311 - no secret
            texts = [" ".join(chance.choices(words, k=len(cue.text.split()))) for cue in repeated]
            spoken = [
                replace(cue, text=text, payload=text) for cue, text in zip(repeated, texts, strict=True)
            ]
            name.with_suffix(".vtt").write_text(format_webvtt(spoken))
            name.with_suffix(".aac").write_bytes(sound)


def join(data_dir: Path) -> tuple[list[Cue], NDArray[np.int16]]:
    """The cues and the sound of all recordings, one after the other."""
    cues: list[Cue] = []
    parts: list[NDArray[np.int16]] = []
    start_ms = 0
    for audio, captions in decode_recordings(data_dir):
        cues += (shift(cue, start_ms) for cue in captions)
        parts.append(audio.samples[: audio.duration_ms * SAMPLES_PER_MS])
        start_ms += audio.duration_ms
    return cues, np.concatenate(parts)


def shift(cue: Cue, by_ms: int) -> Cue:
    """The cue so much later."""
    return replace(cue, start_ms=cue.start_ms + by_ms, end_ms=cue.end_ms + by_ms, words=())


def repeat(cues: Sequence[Cue], total_ms: int, end_ms: int) -> Iterator[Cue]:
    """The cues over and over, until the end."""
    for start_ms in range(0, end_ms, total_ms):
        yield from (shift(cue, start_ms) for cue in cues if cue.end_ms + start_ms <= end_ms)


def encode_frames(samples: NDArray[np.int16]) -> list[bytes]:
    """AAC as phones write it, in frames of ADTS, which can be joined in any number (ISO 14496-3, 1.A.2)."""
    encoder = av.CodecContext.create("aac", "w")
    encoder.sample_rate, encoder.layout, encoder.bit_rate = M4A_RATE, "stereo", M4A_BIT_RATE
    encoder.format = "fltp"
    packets = []
    for start in range(0, len(samples), SAMPLE_RATE):
        frame = AudioFrame.from_ndarray(samples[None, start : start + SAMPLE_RATE], "s16", "mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE, start
        packets += encoder.encode(frame)
    return [adts_header(packet.size) + bytes(packet) for packet in packets if packet.size]


def adts_header(num_bytes: int) -> bytes:
    """The header of a frame of AAC-LC, 44.1 kHz, two channels."""
    size = num_bytes + 7
    bits = (0xFFF1 << 40) | (1 << 38) | (4 << 34) | (2 << 30) | (size << 13) | (0x7FF << 2)
    return bits.to_bytes(7)


def prepare_alone(data_dir: Path, model_dir: Path, output_dir: Path) -> dict[str, float]:
    """Seconds of preparing all in this process."""
    model = ModelArguments(model_name_or_path=str(model_dir), language="en")
    settings = preparation_settings(model, DataArguments(), load_outline(model), output_dir)
    recordings = list_recordings(data_dir, "en")
    return measure_seconds(lambda: build_shards(recordings, settings, output_dir, num_workers=1))[1]


def disturb(engine: str, arguments: argparse.Namespace, folder: Path, shards: Path) -> Disturbed:
    """Let the workers prepare the folder, and kill some of them."""
    chance = random.Random(arguments.seed)  # noqa: S311 - no secret
    pauses = [chance.uniform(0.5, 1.5) * arguments.pause for _ in range(arguments.kills)]
    command = [sys.executable, "scripts/prepare.py", "--data_dir", str(folder / "recordings")]
    command += ["--output_dir", str(shards.parents[1]), "--model_name_or_path", arguments.model]
    command += ["--language", "en", "--engine", engine]
    started = time.monotonic()
    with Meter(shards) as meter, (folder / "log").open("wb") as log:
        if engine == "ray":
            crew = [subprocess.Popen(command, stdout=log, stderr=log)]
            num_killed = kill_tasks(crew[0], shards, pauses, chance)
        else:
            command += ["--num_workers", "1", "--world", str(arguments.workers), "--rank"]
            crew = [
                subprocess.Popen([*command, str(rank)], stdout=log, stderr=log)
                for rank in range(arguments.workers)
            ]
            num_killed = kill_workers(crew, log, pauses, chance)
        codes = [process.wait() for process in crew]
        seconds = time.monotonic() - started
    if any(codes):
        sys.exit(f"error: workers ended with {codes}: {(folder / 'log').read_text()[-2000:]}")
    return Disturbed(seconds, num_killed, meter.cores)


def kill_workers(
    crew: list[subprocess.Popen[bytes]], log: BinaryIO, pauses: Sequence[float], chance: random.Random
) -> int:
    """Kill workers and start them anew; how many there were to kill."""
    num_killed = 0
    for pause in pauses:
        time.sleep(pause)
        index = chance.randrange(len(crew))
        if crew[index].poll() is None:
            crew[index].kill()
            crew[index].wait()
            crew[index] = subprocess.Popen(crew[index].args, stdout=log, stderr=log)
            num_killed += 1
    return num_killed


def kill_tasks(
    command: subprocess.Popen[bytes], shards: Path, pauses: Sequence[float], chance: random.Random
) -> int:
    """Kill workers of Ray that hold a recording; how many there were."""
    num_killed = 0
    for pause in pauses:
        with suppress(subprocess.TimeoutExpired):
            command.wait(pause)
            break
        claims = sorted(shards.glob("claims/*.claim-*"))
        with suppress(OSError, psutil.Error, IndexError):
            psutil.Process(int(chance.choice(claims).read_text().split()[1])).kill()
            num_killed += 1
    return num_killed


def compare(alone: Path, together: Path) -> int:
    """Shards that are in one folder only, or whose bytes differ."""
    folders = [{path.name: path for path in folder.glob("*.tar")} for folder in (alone, together)]
    names = folders[0].keys() | folders[1].keys()
    both = folders[0].keys() & folders[1].keys()
    same = [name for name in both if folders[0][name].read_bytes() == folders[1][name].read_bytes()]
    return len(names) - len(same)


if __name__ == "__main__":
    run(measure, parser())
