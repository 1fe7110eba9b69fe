"""What the data path costs at the size of a large dataset: opening, memory, order, reading, report.

    python -m scripts.benchmarks.scale --data_dir FOLDER --model MODEL --hours 100

Shards of as many recordings as the hours need are written: the windows' audio is that of FOLDER's recordings
over and over, their words are shuffled anew, so files, rows and texts are as many and as large as real ones.
Fresh processes then open them as train.py does, and are measured: the first one after the preparation, which
makes the index; the first one of later attempts; and another one beside it. All is deleted at the end.
"""

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from accelerate.data_loader import BatchSamplerShard
from datasets import Dataset, concatenate_datasets
from pydantic import TypeAdapter
from torch.utils.data import BatchSampler, DataLoader

from recipe.arguments import DataArguments, ModelArguments
from recipe.data.dataset import ReportOrigin, check_dataset, write_dataset_report
from recipe.data.opening import HANDOVER, open_dataset, prepare_dataset
from recipe.data.preparation import ShardFolder, stamp_recording
from recipe.data.recording import PreparationSettings
from recipe.data.report import RecordingReport
from recipe.data.shards import FEATURES, shard_path, sounds_path
from recipe.data.sounds import SoundFile, read_flac
from recipe.data.sources import list_recordings
from recipe.data.windows import segments_of, text_of
from recipe.model.inputs import ViewProbabilities, WindowDataset, collate
from recipe.model.sampling import PADDING, EpochSampler
from recipe.model.whisper import load_whisper
from recipe.run.files import hash_file, note_hash, remembering_hashes
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
MAX_LINKS = 50_000
"""Names of one file, fewer than ext4 allows."""

NUM_READ = 512
"""Windows that a worker reads in random order."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = build_parser(__doc__, required=["data_dir", "model"], optional=["workdir"])
    parser.add_argument("--hours", type=float, default=100, help="audio to simulate (100)")
    parser.add_argument("--opening_only", action="store_true", help="measure neither report nor reading")
    parser.add_argument("--minutes", type=float, default=5, help="length of a recording (5)")
    return parser


def measure(arguments: argparse.Namespace) -> None:
    """Write the shards, measure them in processes of their own, delete them."""
    folder = arguments.workdir / "scale"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        (folder / "prepared").mkdir(parents=True)
        with remembering_hashes(folder / "prepared" / "hashes.json"):
            settings = write_shards(arguments, folder)
            time.sleep(3)  # the hash of what changed just now is not kept
        for name in ("open_first", "open_second", "open_again"):
            show(name, call_in_fresh_process(measure_first, folder, settings, name))
        show("another process", call_in_fresh_process(measure_other, folder))
        if not arguments.opening_only:
            show("the rest", call_in_fresh_process(measure_rest, folder, arguments.model))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def show(name: str, figures: dict[str, Any]) -> None:
    """Print figures as soon as they are there."""
    print(name, json.dumps(figures, indent=1), flush=True)


def write_shards(arguments: argparse.Namespace, folder: Path) -> PreparationSettings:
    """Stand-ins for the files of all recordings, and for each the shard that would be made of it."""
    settings = describe_preparation(load_whisper(ModelArguments(arguments.model)), folder)
    real = prepare_dataset(
        list_recordings(arguments.data_dir, "fr"), settings, DataArguments(), folder / "real", num_workers=1
    )
    windows = list(concatenate_datasets([real.train, real.validation, real.test]))
    stand_ins, shards = folder / "recordings", ShardFolder(settings, folder / "prepared" / "shards")
    stand_ins.mkdir()
    for number in range(round(arguments.hours * 60 / arguments.minutes)):
        for extension in ("m4a", "vtt"):
            (stand_ins / f"talk-{number:06}.{extension}").touch()
    time.sleep(3)  # files that changed just now have no stamp that comes again
    first, num_written = 0, 0
    sounds, sounds_hash = Path(), ""
    for recording in list_recordings(stand_ins, "fr"):
        if num_written % MAX_LINKS == 0:  # every recording has the sounds of all real ones, by hard links
            sounds = folder / f"sounds-{num_written:06}.tar"
            flacs = [read_flac(window["audio"]) for window in windows]
            with SoundFile(sounds) as file:
                places = [file.add("talk", n, n, flac) for n, flac in enumerate(flacs)]
            sounds_hash = hash_file(sounds)
        rotated = [{**window, "audio": place} for window, place in zip(windows, places, strict=True)]
        rotated = rotated[first:] + rotated[:first]
        path = shard_path(recording, settings, shards.path)
        length_ms = round(arguments.minutes * 60_000)
        num_windows = write_shard(path, recording.name, rotated, length_ms, sounds_hash)
        sounds_path(path).hardlink_to(sounds)
        note_hash(sounds_path(path), sounds_hash)  # as the process that made it would know it
        (shards.claims / f"{stamp_recording(recording, settings)}.note").write_text(path.stem)
        first, num_written = (first + num_windows) % len(windows), num_written + 1
    return settings


def write_shard(
    path: Path, name: str, windows: Sequence[dict[str, Any]], length_ms: int, sounds_hash: str
) -> int:
    """Write a recording of windows with shuffled words; the number of its windows."""
    draw = random.Random(name)  # noqa: S311 - no secret
    words = [word for window in windows for word in text_of(segments_of(window)).split()]
    start_ms, rows = 0, list[dict[str, Any]]()
    while start_ms < length_ms:
        window = windows[len(rows) % len(windows)]
        end_ms = start_ms + window["end_ms"] - window["start_ms"]
        segments = [
            {**segment, "text": " ".join(draw.choices(words, k=len(segment["text"].split())))}
            for segment in window["segments"]
        ]
        times = {"start_ms": start_ms, "end_ms": end_ms}
        rows.append({**window, **times, "recording": name, "segments": segments})
        start_ms = end_ms
    schema = FEATURES.arrow_schema
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema))
    report = RecordingReport(
        name, audio_ms=start_ms, kept_ms=start_ms, num_windows=len(rows), language="fr",
        audio_hash=hashlib.sha256(name.encode()).hexdigest(), speech_ms=start_ms,
        num_words=sum(len(text_of(segments_of(row)).split()) for row in rows),
    )  # fmt: skip
    state = {"report": asdict(report), "rows_hash": hash_file(path), "sounds_hash": sounds_hash}
    path.with_suffix(".json").write_text(json.dumps(state))
    return len(rows)


def measure_first(folder: Path, settings: PreparationSettings, name: str) -> dict[str, Any]:
    """What it takes the first process of all to open the dataset, and what it holds then."""
    memory_mib = {"imports": read_status("RssAnon")}  # mapped files, which processes share, are not counted
    figures: dict[str, Any] = {"memory_mib": memory_mib}
    recordings = time_call(figures, "list", lambda: list_recordings(folder / "recordings", "fr"))
    memory_mib["listed"] = read_status("RssAnon")
    prepared = folder / "prepared"
    data = time_call(
        figures,
        name,
        lambda: prepare_dataset(recordings, settings, DataArguments(), prepared, num_workers=1),
    )
    time_call(figures, "check", lambda: check_dataset(data, DataArguments()))
    memory_mib |= {"opened": read_status("RssAnon"), "peak": peak_mib()}
    return figures | {"num_windows": data.report["num_windows"], "fingerprint": data.fingerprint}


def measure_other(folder: Path) -> dict[str, Any]:
    """What it takes another process to map what the first one found."""
    memory_mib = {"imports": read_status("RssAnon")}
    figures: dict[str, Any] = {"memory_mib": memory_mib}
    index = folder / "prepared" / "index"
    data = time_call(figures, "open", lambda: open_dataset(index, hash_file(index / HANDOVER)))
    time_call(figures, "check", lambda: check_dataset(data, DataArguments()))
    memory_mib |= {"opened": read_status("RssAnon"), "peak": peak_mib()}
    return figures | {"fingerprint": data.fingerprint}


def measure_rest(folder: Path, model: str) -> dict[str, Any]:
    """Report, order and reading, of one process."""
    torch.set_num_threads(1)
    prepared = folder / "prepared"
    data = open_dataset(prepared / "index", hash_file(prepared / "index" / HANDOVER))
    figures: dict[str, Any] = {}
    timed = partial(time_call, figures)
    timed("write_report", lambda: write_dataset_report(prepared, data, ORIGIN))
    figures |= {
        "audio_hours": data.report["audio_hours"],
        "index_mb": sum(path.stat().st_size for path in (prepared / "index").iterdir()) / 1e6,
        "report_html_mb": (prepared / "dataset_report.html").stat().st_size / 1e6,
        "report_json_mb": (prepared / "dataset_report.json").stat().st_size / 1e6,
        "num_maps": len(Path("/proc/self/maps").read_text().splitlines()),
        "label_check": measure_scores(data.train),
        "order": measure_order(len(data.train)),
    }
    drop_cache(folder)
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
    """Have the kernel forget what it holds of the sounds, so that they are read from the disk."""
    for path in folder.glob("*.tar"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    run(measure, parser())
