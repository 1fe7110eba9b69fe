"""How fast windows come from a bucket: cold, kept on this machine, and from a local folder.

    python -m scripts.benchmarks.bucket --latency 0 0.03

Windows of noise lie in tars, here and on an S3 server on loopback (moto, a process of its own that shares
this machine's cores). One DataLoader worker reads them in the order of an epoch and makes model inputs of
them, as training does. `alone` has a window asked for at a time, as a loader would that knows no batches.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import psutil
from datasets import Dataset
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from recipe.arguments import ModelArguments
from recipe.audio.decoding import encode_flac
from recipe.data.remote_sounds import REMOTE_SOUNDS
from recipe.data.shards import FEATURES
from recipe.data.sound_cache import SoundCache
from recipe.data.sounds import SoundFile
from recipe.model.inputs import ViewProbabilities, WindowDataset, collate
from recipe.model.sampling import EpochSampler
from recipe.model.tiny import build_tiny_whisper
from recipe.model.whisper import Whisper, load_whisper
from scripts.benchmarks.bucket_server import KEYS
from scripts.benchmarks.common import build_parser, measure_seconds, print_table, run

BATCH_SIZE = 16
BUCKET = "speech"
WINDOWS_PER_PART = 16
"""Few, since moto copies a whole part for each range of it that is read."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = build_parser(__doc__, optional=["workdir"])
    parser.add_argument("--windows", type=int, default=192, help="windows of an epoch (192)")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a window (10)")
    parser.add_argument(
        "--latency", type=float, nargs="+", default=[0.0, 0.03], help="seconds before an answer"
    )
    return parser


def measure(arguments: argparse.Namespace) -> None:
    """Print a row for each way to read an epoch."""
    folder = arguments.workdir / "bucket"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    whisper = load_whisper(ModelArguments(str(build_tiny_whisper(folder / "model"))))
    rows = list(write_parts(folder, arguments.windows, arguments.seconds))
    header = ["from", "latency", "windows/s", "CPU ms a window", "reads", "MB read"]
    print_table(header, measure_all(whisper, rows, folder, arguments.latency))


def write_parts(folder: Path, num_windows: int, seconds: float) -> Iterator[dict[str, Any]]:
    """Rows of windows of noise, whose sounds are in tars that are written; `file` is the name of one."""
    end_ms = round(1000 * seconds)
    for first in range(0, num_windows, WINDOWS_PER_PART):
        with SoundFile(folder / f"part-{first // WINDOWS_PER_PART:05}.tar") as part:
            for number in range(first, min(first + WINDOWS_PER_PART, num_windows)):
                samples = np.random.default_rng(number).normal(0, 1_000, 16 * end_ms).astype(np.int16)
                start_ms = end_ms * number
                yield dict.fromkeys(FEATURES) | {
                    "recording": "noise",
                    "language": "fr",
                    "start_ms": start_ms,
                    "end_ms": start_ms + end_ms,
                    "audio": part.add("noise", start_ms, start_ms + end_ms, encode_flac(samples)),
                    "segments": [{"start_ms": 0, "end_ms": end_ms, "text": "bruit"}],
                    "prompt": [],
                    "num_tokens": 5,
                }


def measure_all(
    whisper: Whisper, rows: list[dict[str, Any]], folder: Path, latencies: list[float]
) -> Iterator[list[str]]:
    """The rows of the table."""
    local = [place(row, str(folder.absolute())) for row in rows]
    yield ["local folder", "", *time_epoch(whisper, local), "0", "0"]
    for latency in latencies:
        command = [sys.executable, "-m", "scripts.benchmarks.bucket_server", "--latency", str(latency)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        ) as server:
            assert server.stdin
            assert server.stdout
            os.environ.update(KEYS, AWS_ENDPOINT_URL=server.stdout.readline().strip())
            client = boto3.client("s3")
            client.create_bucket(Bucket=BUCKET)
            # Each latency has an address of its own, so that nothing is kept of another.
            for path in folder.glob("part-*"):
                client.upload_file(str(path), BUCKET, f"{latency:g}/{path.name}")
            remote = [place(row, f"s3://{BUCKET}/{latency:g}") for row in rows]
            kept = SoundCache(folder / "sounds", 10 << 30)
            ways = {
                "bucket, alone": (None, True),
                "bucket": (None, False),
                "bucket, kept (first epoch)": (kept, False),
                "bucket, kept (second epoch)": (kept, False),
            }
            before = (0, 0)
            for name, (cache, is_alone) in ways.items():
                REMOTE_SOUNDS.kept = cache
                figures = time_epoch(whisper, remote, is_alone=is_alone)
                server.stdin.write("\n")
                num_reads, num_bytes = map(int, server.stdout.readline().split())
                counts = [str(num_reads - before[0]), f"{(num_bytes - before[1]) / 1e6:.1f}"]
                before = num_reads, num_bytes
                yield [name, f"{1000 * latency:g} ms", *figures, *counts]
            server.stdin.close()


def place(row: dict[str, Any], folder: str) -> dict[str, Any]:
    """The row, its sound in a file of the folder at an address."""
    return row | {"audio": row["audio"] | {"file": f"{folder}/{row['audio']['file']}"}}


def time_epoch(whisper: Whisper, rows: list[dict[str, Any]], *, is_alone: bool = False) -> list[str]:
    """Windows a second, and milliseconds of CPU a window, in this process and its worker."""
    windows = WindowDataset(Dataset.from_list(rows, features=FEATURES), whisper, ViewProbabilities())
    loader = DataLoader(
        Alone(windows) if is_alone else windows,
        batch_size=BATCH_SIZE,
        sampler=EpochSampler(len(rows), BATCH_SIZE, 0, lambda: 0),
        num_workers=1,
        collate_fn=partial(collate, pad_token_id=0),
    )
    before = _children_seconds()
    num_batches, seconds = measure_seconds(lambda: sum(1 for _ in loader))
    assert num_batches == len(loader)
    cpu = seconds["cpu_seconds"] + _children_seconds() - before
    return [f"{len(rows) / seconds['wall_seconds']:.0f}", f"{1000 * cpu / len(rows):.1f}"]


class Alone(TorchDataset[dict[str, Any]]):
    """Windows that are asked for one at a time."""

    def __init__(self, windows: WindowDataset) -> None:
        self._windows = windows

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        return self._windows[key]


def _children_seconds() -> float:
    """CPU seconds of the processes that this one started and that are over."""
    times = psutil.Process().cpu_times()
    return float(times.children_user + times.children_system)


if __name__ == "__main__":
    run(measure, parser())
