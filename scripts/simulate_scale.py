#!/usr/bin/env python
"""What the data path costs at the size of a large dataset: opening, memory, order, reading, report.

    scripts/simulate_scale.py --data_dir FOLDER --model_dir MODEL --hours 100

Shards of as many recordings as the hours need are written: the windows' audio is that of FOLDER's recordings
over and over, their words are shuffled anew, so files, rows and texts are as many and as large as real ones.
A fresh process then opens them as train.py does, and is measured. The shards are deleted at the end.
"""

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the project is run from its checkout

import torch
from accelerate.data_loader import BatchSamplerShard
from datasets import Dataset, concatenate_datasets
from datasets.arrow_writer import ArrowWriter
from recipe.data.overview import describe_windows
from torch.utils.data import BatchSampler, DataLoader
from transformers import WhisperProcessor

from recipe.arguments import DataArguments
from recipe.data.dataset import prepare_dataset
from recipe.data.manifest import Recording, list_recordings
from recipe.data.recording import PreparationSettings
from recipe.data.report import RecordingReport, build_report
from recipe.data.report_page import render_page
from recipe.data.shards import FEATURES, Shard, build_shards, load_rows, shard_path
from recipe.data.split import split_examples
from recipe.evaluation.transcription import spoken_words
from recipe.model.inputs import (
    PADDING,
    EpochSampler,
    LabelEncoder,
    ViewShares,
    WindowDataset,
    collate,
)
from recipe.screening.label_check import WindowFit

NUM_PROCESSES = 64
BATCH_SIZE = 16
NUM_READ = 512
"""Windows that a worker reads in random order."""

T = TypeVar("T")


def main() -> None:
    """Write the shards, measure them in a process of its own, delete them."""
    arguments = parse_arguments()
    if arguments.measure:
        print(json.dumps(measure(arguments), indent=1))
        return
    shutil.rmtree(arguments.workdir, ignore_errors=True)
    try:
        write_shards(arguments)
        command = [sys.executable, __file__, *sys.argv[1:], "--measure"]
        subprocess.run(command, check=True)
    finally:
        shutil.rmtree(arguments.workdir, ignore_errors=True)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", type=Path, required=True, help="recordings with captions")
    parser.add_argument("--model_dir", type=Path, required=True, help="Whisper checkpoint")
    parser.add_argument("--hours", type=float, default=100, help="audio to simulate (100)")
    parser.add_argument("--minutes", type=float, default=5, help="length of a recording (5)")
    parser.add_argument("--workdir", type=Path, default=Path(".simulation"), help="where files go")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)  # in a fresh process
    return parser.parse_args()


def settings_of(arguments: argparse.Namespace) -> PreparationSettings:
    """What the preparation is told."""
    return PreparationSettings(arguments.model_dir / "tokenizer.json")


def write_shards(arguments: argparse.Namespace) -> None:
    """Stand-ins for the files of all recordings, and for each the shard that would be made of it."""
    workdir, settings = arguments.workdir, settings_of(arguments)
    real = prepare_dataset(
        list_recordings(arguments.data_dir, "fr"), settings, DataArguments(), workdir / "real", num_workers=1
    )
    windows = list(concatenate_datasets([real.train, real.held_out]))
    stand_ins = workdir / "recordings"
    (workdir / "prepared" / "shards").mkdir(parents=True)
    stand_ins.mkdir()
    for number in range(round(arguments.hours * 60 / arguments.minutes)):
        for extension in ("m4a", "vtt"):
            (stand_ins / f"talk-{number:06}.{extension}").write_text(str(number))
    first = 0
    for number, recording in enumerate(list_recordings(stand_ins, "fr")):
        path = shard_path(recording, settings, workdir / "prepared" / "shards")
        first = write_shard(path, recording.name, number, windows, first, round(arguments.minutes * 60_000))


def write_shard(
    path: Path, name: str, number: int, windows: Sequence[dict[str, Any]], first: int, length_ms: int
) -> int:
    """Write a recording of windows from `first` on with shuffled words; returns the first of the next."""
    draw = random.Random(number)  # noqa: S311 - no secret
    words = [word for window in windows for word in spoken_words(window).split()]
    start_ms, num_windows = 0, 0
    with ArrowWriter(features=FEATURES, path=str(path)) as writer:
        while start_ms < length_ms:
            window = windows[(first + num_windows) % len(windows)]
            end_ms = start_ms + window["end_ms"] - window["start_ms"]
            segments = [
                {**segment, "text": " ".join(draw.choices(words, k=len(segment["text"].split())))}
                for segment in window["segments"]
            ]
            times = {"start_ms": start_ms, "end_ms": end_ms}
            writer.write({**window, **times, "recording": name, "segments": segments})
            start_ms, num_windows = end_ms, num_windows + 1
        writer.finalize()
    report = RecordingReport(
        name, audio_ms=start_ms, kept_ms=start_ms, num_windows=num_windows, language="fr",
        audio_hash=hashlib.sha256(name.encode()).hexdigest(),
    )  # fmt: skip
    path.with_suffix(".json").write_text(json.dumps(asdict(report)))
    return first + num_windows


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures, of one process."""
    settings, folder = settings_of(arguments), arguments.workdir / "prepared"
    recordings = list_recordings(arguments.workdir / "recordings", "fr")
    memory_before = memory_mib()
    figures: dict[str, Any] = {}
    timed = partial(time_call, figures)
    data = timed(
        "open", lambda: prepare_dataset(recordings, settings, DataArguments(), folder, num_workers=1)
    )
    figures["memory_mib"] = {
        "imports": memory_before,
        "opened": memory_mib(),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    num_bytes = sum(path.stat().st_size for path in (folder / "shards").glob("*.arrow"))
    figures |= {
        "num_recordings": len(recordings),
        "audio_hours": data.report["audio_hours"],
        "num_windows": data.report["num_windows"],
        "shards_gb": num_bytes / 1e9,
        "report_html_mb": (folder / "dataset_report.html").stat().st_size / 1e6,
        "report_json_mb": (folder / "dataset_report.json").stat().st_size / 1e6,
        "num_maps": len(Path("/proc/self/maps").read_text().splitlines()),
    }
    measure_parts(timed, recordings, settings, folder)
    figures["label_check"] = measure_fits(data.train)
    figures["shares"] = measure_shares(len(data.train))
    drop_cache(folder / "shards")
    for name in ("reading_from_disk", "reading_again"):
        figures[name] = measure_reading(data.train, arguments.model_dir)
    return figures


def time_call(figures: dict[str, Any], name: str, call: Callable[[], T]) -> T:
    """What the call returns; notes its CPU and wall seconds under the name."""
    started, started_cpu = time.monotonic(), time.process_time()
    value = call()
    figures[f"{name}_seconds"] = {
        "cpu": round(time.process_time() - started_cpu, 2),
        "wall": round(time.monotonic() - started, 2),
    }
    return value


def measure_parts(
    timed: Callable[..., Any], recordings: Sequence[Recording], settings: PreparationSettings, folder: Path
) -> None:
    """What of the opening takes how long."""
    shards: list[Shard] = timed(
        "find_shards", lambda: build_shards(recordings, settings, folder / "shards", num_workers=1)
    )
    rows: Dataset = timed("map_files", lambda: load_rows(shards))
    timed("split", lambda: split_examples(shards, 0.1))
    overview = timed("overview", lambda: describe_windows(rows))
    report = build_report([shard.report for shard in shards], 0, 0, {}) | overview
    timed("page", lambda: render_page(report, rows))


def measure_fits(examples: Dataset) -> dict[str, float]:
    """Memory and JSON of what the label check keeps of each window, a copy in every process."""
    tracemalloc.start()
    fits = [
        WindowFit(index, row["recording"], row["start_ms"], row["end_ms"], "fr", spoken_words(row), 0.5, -1.0)
        for index, row in enumerate(examples.remove_columns("audio"))
    ]
    json_bytes = sum(len(json.dumps(asdict(fit))) for fit in fits)
    num_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {"memory_mb": num_bytes / 1e6, "json_mb": json_bytes / 1e6}


def measure_shares(num_windows: int) -> dict[str, Any]:
    """Time of one process's order of an epoch, and whether each window is in exactly one share."""
    sampler = EpochSampler(num_windows, BATCH_SIZE * NUM_PROCESSES, 42, lambda: 1)
    started = time.process_time()
    num_seen: Counter[int] = Counter()
    for process in range(NUM_PROCESSES):
        num_seen.update(index for batch in share_of(sampler, process) for _, index in batch)
    seconds = (time.process_time() - started) / NUM_PROCESSES
    num_filling = num_seen.pop(PADDING, 0)
    assert num_seen == Counter(range(num_windows)), "each window is in exactly one process's share"
    return {"seconds_of_a_process": round(seconds, 4), "num_filling": num_filling}


def share_of(sampler: EpochSampler, process: int) -> Iterator[list[tuple[int, int]]]:
    """The batches of one process, as Accelerate shares them out."""
    batches = BatchSampler(sampler, BATCH_SIZE, drop_last=False)  # type: ignore[arg-type]  # (epoch, index)
    yield from BatchSamplerShard(batches, NUM_PROCESSES, process)


def measure_reading(examples: Dataset, model_dir: Path) -> dict[str, float]:
    """Windows a second of one worker that reads, decodes and makes features in random order."""
    processor = WhisperProcessor.from_pretrained(model_dir)
    encoder = LabelEncoder(processor.tokenizer, "transcribe")
    windows = WindowDataset(
        examples, processor.feature_extractor, encoder, ViewShares(0.5, 0.5, 0.1), seed=42
    )
    sampler = EpochSampler(len(windows), BATCH_SIZE * NUM_PROCESSES, 42, lambda: 1)
    batches = list(share_of(sampler, 0)) + list(share_of(sampler, 1)) + list(share_of(sampler, 2))
    loader = DataLoader(
        windows,
        batch_sampler=batches[: NUM_READ // BATCH_SIZE],
        num_workers=1,
        collate_fn=partial(collate, pad_token_id=encoder.end_of_text),
    )
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    num_windows = sum(len(batch["labels"]) for batch in loader)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "num_windows": num_windows,
        "windows_per_cpu_second": num_windows / cpu_seconds,
        "windows_per_second": num_windows / (time.monotonic() - started),
        "worker_mib": after.ru_maxrss / 1024,
    }


def drop_cache(folder: Path) -> None:
    """Have the kernel forget what it holds of the files, so that they are read from the disk."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def memory_mib() -> float:
    """Memory of this process alone, in MiB; mapped files, which processes share, are not counted."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0]) / 1024


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
