"""What the data path costs at the size of a large dataset: opening, memory, order, reading, report.

    python -m scripts.benchmarks.scale --data_dir FOLDER --model MODEL --hours 100

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
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.data_loader import BatchSamplerShard
from datasets import Dataset, concatenate_datasets
from datasets.arrow_writer import ArrowWriter
from pydantic import TypeAdapter
from torch.utils.data import BatchSampler, DataLoader

from recipe.arguments import DataArguments, ModelArguments
from recipe.data.dataset import ReportOrigin, write_dataset_report
from recipe.data.index import load_examples, load_rows
from recipe.data.opening import prepare_dataset
from recipe.data.preparation import build_shards
from recipe.data.recording import PreparationSettings
from recipe.data.report import RecordingReport, describe_windows
from recipe.data.shards import FEATURES, shard_path
from recipe.data.sources import list_recordings
from recipe.data.split import split_examples
from recipe.data.windows import segments_of, text_of
from recipe.model.inputs import ViewProbabilities, WindowDataset, collate
from recipe.model.sampling import PADDING, EpochSampler
from recipe.model.whisper import load_whisper
from recipe.screening.label_scores import LabelFits, list_scores
from scripts.benchmarks.common import (
    build_parser,
    call_in_fresh_process,
    measure_seconds,
    peak_mib,
    read_status,
    run,
)
from scripts.evaluate_wer import describe_preparation

NUM_PROCESSES = 64
BATCH_SIZE = 16
ORIGIN = ReportOrigin("scale", "none", "transcribe", "simulated", "")
NUM_READ = 512
"""Windows that a worker reads in random order."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = build_parser(__doc__, required=["data_dir", "model"], optional=["workdir"])
    parser.add_argument("--hours", type=float, default=100, help="audio to simulate (100)")
    parser.add_argument("--minutes", type=float, default=5, help="length of a recording (5)")
    return parser


def measure(arguments: argparse.Namespace) -> None:
    """Write the shards, measure them in a process of its own, delete them."""
    folder = arguments.workdir / "scale"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        settings = write_shards(arguments, folder)
        figures = call_in_fresh_process(measure_all, folder, settings, arguments.model)
        print(json.dumps(figures, indent=1))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_shards(arguments: argparse.Namespace, folder: Path) -> PreparationSettings:
    """Stand-ins for the files of all recordings, and for each the shard that would be made of it."""
    settings = describe_preparation(load_whisper(ModelArguments(arguments.model)), folder)
    real = prepare_dataset(
        list_recordings(arguments.data_dir, "fr"), settings, DataArguments(), folder / "real", num_workers=1
    )
    windows = list(concatenate_datasets([real.train, real.validation, real.test]))
    stand_ins, shards = folder / "recordings", folder / "prepared" / "shards"
    shards.mkdir(parents=True)
    stand_ins.mkdir()
    for number in range(round(arguments.hours * 60 / arguments.minutes)):
        for extension in ("m4a", "vtt"):
            (stand_ins / f"talk-{number:06}.{extension}").write_text(str(number))
    first = 0
    for recording in list_recordings(stand_ins, "fr"):
        path = shard_path(recording, settings, shards)
        rotated = windows[first:] + windows[:first]
        num_windows = write_shard(path, recording.name, rotated, round(arguments.minutes * 60_000))
        first = (first + num_windows) % len(windows)
    return settings


def write_shard(path: Path, name: str, windows: Sequence[dict[str, Any]], length_ms: int) -> int:
    """Write a recording of windows with shuffled words; the number of its windows."""
    draw = random.Random(name)  # noqa: S311 - no secret
    words = [word for window in windows for word in text_of(segments_of(window)).split()]
    start_ms, num_windows = 0, 0
    with ArrowWriter(features=FEATURES, path=str(path)) as writer:
        while start_ms < length_ms:
            window = windows[num_windows % len(windows)]
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
    return num_windows


def measure_all(folder: Path, settings: PreparationSettings, model: str) -> dict[str, Any]:
    """All figures, of one process."""
    torch.set_num_threads(1)
    recordings, prepared = list_recordings(folder / "recordings", "fr"), folder / "prepared"
    memory_mib = {"imports": read_status("RssAnon")}  # mapped files, which processes share, are not counted
    figures: dict[str, Any] = {"memory_mib": memory_mib}
    timed = partial(time_call, figures)
    data = timed(
        "open", lambda: prepare_dataset(recordings, settings, DataArguments(), prepared, num_workers=1)
    )
    memory_mib |= {"opened": read_status("RssAnon"), "peak": peak_mib()}
    timed("write_report", lambda: write_dataset_report(prepared, data, ORIGIN))
    figures |= {
        "num_recordings": len(recordings),
        "audio_hours": data.report["audio_hours"],
        "num_windows": data.report["num_windows"],
        "shards_gb": sum(path.stat().st_size for path in prepared.glob("shards/*.arrow")) / 1e9,
        "report_html_mb": (prepared / "dataset_report.html").stat().st_size / 1e6,
        "report_json_mb": (prepared / "dataset_report.json").stat().st_size / 1e6,
        "num_maps": len(Path("/proc/self/maps").read_text().splitlines()),
    }
    shards = timed(
        "find_shards", lambda: build_shards(recordings, settings, prepared / "shards", num_workers=1)
    )
    reports = [shard.report for shard in shards]
    rows = timed("map_files", lambda: load_rows(shards))
    timed("split", lambda: split_examples(load_examples(shards), reports, 0.1))
    timed("describe_windows", lambda: describe_windows(rows, rows.select([])))
    figures["label_check"] = measure_scores(data.train)
    figures["order"] = measure_order(len(data.train))
    drop_cache(prepared / "shards")
    for name in ("reading_from_disk", "reading_again"):
        figures[name] = measure_reading(data.train, model)
    return figures


def time_call(figures: dict[str, Any], name: str, call: Callable[[], Any]) -> Any:
    """What the call returns; its seconds are noted under the name."""
    value, seconds = measure_seconds(call)
    figures[name] = {kind: round(number, 2) for kind, number in seconds.items()}
    return value


def measure_scores(examples: Dataset) -> dict[str, float]:
    """Memory and JSON of what the label check keeps of each window, a copy in every process."""
    tracemalloc.start()
    fits = LabelFits(*(np.zeros(len(examples), np.float32) for _ in range(2)))
    scores = list_scores(examples, fits)
    json_bytes = len(TypeAdapter(LabelFits).dump_json(fits))
    num_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {"num_scores": len(scores), "memory_mb": num_bytes / 1e6, "json_mb": json_bytes / 1e6}


def measure_order(num_windows: int) -> dict[str, Any]:
    """Seconds of a process's order of an epoch; fails unless each window is in exactly one process's part."""
    num_seen: Counter[int] = Counter()

    def order_all() -> None:
        for process in range(NUM_PROCESSES):
            num_seen.update(index for batch in batches_of(num_windows, process) for _, index in batch)

    _, seconds = measure_seconds(order_all)
    num_filling = num_seen.pop(PADDING, 0)
    assert num_seen == Counter(range(num_windows)), "each window is in exactly one process's part"
    return {"cpu_seconds": round(seconds["cpu_seconds"] / NUM_PROCESSES, 4), "num_filling": num_filling}


def batches_of(num_windows: int, process: int) -> Iterator[list[tuple[int, int]]]:
    """The batches of one process, as Accelerate deals them out."""
    sampler = EpochSampler(num_windows, BATCH_SIZE * NUM_PROCESSES, 42, lambda: 1)
    batches = BatchSampler(sampler, BATCH_SIZE, drop_last=False)  # type: ignore[arg-type]  # (epoch, index)
    yield from BatchSamplerShard(batches, NUM_PROCESSES, process)


def measure_reading(examples: Dataset, model: str) -> dict[str, float]:
    """Windows a second of one worker that reads, decodes and makes features in random order."""
    whisper = load_whisper(ModelArguments(model))
    windows = WindowDataset(examples, whisper, ViewProbabilities(0.5, 0.5, 0.1), seed=42)
    batches = [batch for process in range(3) for batch in batches_of(len(windows), process)]
    loader = DataLoader(
        windows,
        batch_sampler=batches[: NUM_READ // BATCH_SIZE],
        num_workers=1,
        collate_fn=partial(collate, pad_token_id=whisper.processor.tokenizer.eos_token_id),
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    num_windows, seconds = measure_seconds(lambda: sum(len(batch["labels"]) for batch in loader))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "num_windows": num_windows,
        "windows_per_cpu_second": num_windows / cpu_seconds,
        "windows_per_second": num_windows / seconds["wall_seconds"],
        "worker_mib": after.ru_maxrss / 1024,
    }


def drop_cache(folder: Path) -> None:
    """Have the kernel forget what it holds of the files, so that they are read from the disk."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    run(measure, parser())
