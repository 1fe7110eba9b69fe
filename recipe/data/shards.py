"""From recordings to the Arrow dataset: one shard a recording, made in parallel, kept between runs.

A shard's name is a hash of everything that its content depends on (the two files, the settings, the
tokenizer, this code's format), so a run that was killed, or one with a file more, makes only what is
missing, and what was made from other input is never mistaken for it. Machines that share the folder make
a part of the shards each, and take the others' as they come.

An example is one window: its audio as FLAC (54 MB an hour; log-mel features would be 115), its cues as
data. Timestamps, prompts and features are made when the window is trained, anew each epoch. Faulty
windows are rows too, for the report to play, but never loaded.
"""

import hashlib
import itertools
import json
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from datasets import Dataset, Features, Value
from datasets.arrow_writer import ArrowWriter
from datasets.table import MemoryMappedTable, concat_tables

from recipe.audio.decoding import encode_flac, slice_samples
from recipe.data.manifest import Recording
from recipe.data.partition import Partition
from recipe.data.quality import measure_window
from recipe.data.recording import PreparationSettings, read_recording
from recipe.data.report import RecordingReport
from recipe.data.windows import Window
from recipe.run.files import hash_file, replacing, this_writer
from recipe.run.launch import die_with_parent

logger = logging.getLogger(__name__)

FORMAT_VERSION = 5
"""Raised whenever this code would make other examples of the same files."""

FEATURES = Features(
    {
        "recording": Value("string"),
        "language": Value("string"),
        "start_ms": Value("int64"),
        "end_ms": Value("int64"),
        "audio": {"bytes": Value("binary"), "path": Value("string")},
        "segments": [{"start_ms": Value("int32"), "end_ms": Value("int32"), "text": Value("string")}],
        "prompt": Value("string"),
        "num_tokens": Value("int32"),
        "chars_per_second": Value("float32"),
        "compression_ratio": Value("float32"),
        "flags": [Value("string")],
        "severity": Value("float32"),
        "fault": Value("string"),
    }
)
"""One example: a window of `recording` from `start_ms` to `end_ms`; `audio.bytes` is 16 kHz mono FLAC.

`language` is the code of the language spoken, and with it of the label's token.
`flags`, `severity` and `fault` are those of `WindowQuality`; a window with a fault is not used.
"""

PATIENCE_SECONDS = 600.0
"""Without a sign of other machines for as long, their shards are made here: they died, or share no disk."""

POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Shard:
    """The examples of one recording, on disk, and what became of its data."""

    path: Path
    report: RecordingReport


def build_shards(
    recordings: Sequence[Recording],
    settings: PreparationSettings,
    output_dir: Path,
    *,
    num_workers: int | None = None,
    partition: Partition = Partition(),  # noqa: B008 - frozen, so one default for all is safe
    patience_seconds: float = PATIENCE_SECONDS,
    on_recording: Callable[[Shard], None] = lambda _: None,
) -> list[Shard]:
    """One shard for each recording, in their order; those on disk already are reused.

    Args:
        recordings: What came in.
        settings: What the examples depend on beside the files.
        output_dir: Folder of the shards.
        num_workers: Processes; all cores if not given.
        partition: Which of them this machine makes.
        patience_seconds: How long to wait without a sign of the others before making theirs too.
        on_recording: Called after each recording.

    Raises:
        DataError: if a recording without captions is not allowed (`empty_transcript="fail"`).
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    shards: dict[str, Shard] = {}

    def build(part: Sequence[Recording]) -> None:
        for shard in _build_each(part, settings, output_dir, num_workers or os.cpu_count() or 1):
            shards[shard.report.name] = shard
            on_recording(shard)

    build([recording for recording in recordings if partition.holds(recording.name)])
    others = [recording for recording in recordings if not partition.holds(recording.name)]
    if others:
        _await_shards([shard_path(recording, settings, output_dir) for recording in others], patience_seconds)
        build(others)  # which finds them on disk
    return [shards[recording.name] for recording in recordings]


def _await_shards(paths: Sequence[Path], patience_seconds: float) -> None:
    """Return when the shards are all there, or the folder has not changed for too long."""
    folder, last_change = paths[0].parent, time.monotonic()
    seen: set[Path] = set()
    while not all(path.with_suffix(".json").exists() for path in paths):
        found = set(folder.iterdir())  # files come, and go when they are whole
        if found != seen:
            seen, last_change = found, time.monotonic()
        elif time.monotonic() - last_change > patience_seconds:
            logger.warning(
                "Other machines gave no sign for %.0f s; their part is made here.", patience_seconds
            )
            return
        time.sleep(POLL_SECONDS)


def load_examples(shards: Sequence[Shard]) -> Dataset:
    """The examples of all shards as one memory-mapped dataset, without the faulty windows."""
    rows = load_rows(shards)
    if not any(shard.report.num_faulty_windows for shard in shards):
        return rows
    return rows.select([index for index, fault in enumerate(rows["fault"]) if not fault])


def load_rows(shards: Sequence[Shard]) -> Dataset:
    """All rows of the shards, memory-mapped, the faulty windows included."""
    filled = [shard.path for shard in shards if shard.report.num_windows + shard.report.num_faulty_windows]
    if not filled:
        return Dataset.from_dict({name: [] for name in FEATURES}, features=FEATURES)
    # Tables are joined, not datasets: a Dataset costs 4 ms each to make, a mapped table 0.05.
    return Dataset(concat_tables([_map_table(path) for path in filled]))


@cache
def _map_table(path: Path) -> MemoryMappedTable:
    """The rows of a shard; mapped once, since Linux gives a process 65,530 mapped files in all."""
    return MemoryMappedTable.from_file(str(path))


def _build_each(
    recordings: Sequence[Recording], settings: PreparationSettings, output_dir: Path, num_workers: int
) -> Iterator[Shard]:
    missing = []
    for recording in recordings:
        path = shard_path(recording, settings, output_dir)
        if path.with_suffix(".json").exists() and path.exists():
            yield Shard(path, RecordingReport(**json.loads(path.with_suffix(".json").read_text())))
        else:
            missing.append((recording, settings, path))
    if min(num_workers, len(missing)) <= 1:
        yield from itertools.starmap(_build_shard, missing)
        return
    # Fresh interpreters: a fork would inherit the locks of torch's threads.
    context = multiprocessing.get_context("spawn")
    workers = min(num_workers, len(missing))
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
        with _without_main_module():
            futures = [pool.submit(_build_shard, *item) for item in missing]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _without_main_module() -> Iterator[None]:
    """In the body, spawned processes do not import `__main__`: with `train.py`, torch and all (4 s each)."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _start_worker() -> None:
    die_with_parent()
    os.environ["OMP_NUM_THREADS"] = "1"  # every core has a worker; read when torch loads, if it does


def _build_shard(recording: Recording, settings: PreparationSettings, path: Path) -> Shard:
    """Write the examples of one recording, and its report beside them."""
    samples, packing, report = read_recording(recording, settings)
    report.num_windows = len(packing.windows)
    report.audio_hash = _hash_if_there(recording.audio.path) or ""
    rows = [(window, "") for window in packing.windows]
    rows += [(faulty.window, faulty.reason) for faulty in packing.faulty]
    # Two machines may make the same shard at the same time.
    with (
        replacing(path, this_writer()) as partial,
        ArrowWriter(features=FEATURES, path=str(partial)) as writer,
    ):
        for window, fault in sorted(rows, key=lambda row: row[0].start_ms):
            writer.write(_make_example(recording, samples, window, fault))
        writer.finalize()
    # Last: a shard counts once its report is there.
    with replacing(path.with_suffix(".json"), this_writer()) as partial:
        partial.write_text(json.dumps(asdict(report)))
    return Shard(path, report)


def _make_example(
    recording: Recording, samples: npt.NDArray[np.int16], window: Window, fault: str
) -> dict[str, Any]:
    sound = slice_samples(samples, window.start_ms, window.end_ms)
    quality = measure_window(window.segments, sound)
    return {
        "recording": recording.name,
        "language": recording.language,
        "start_ms": window.start_ms,
        "end_ms": window.end_ms,
        "audio": {"bytes": encode_flac(sound), "path": None},
        "segments": [asdict(segment) for segment in window.segments],
        "prompt": window.prompt,
        "num_tokens": window.num_tokens,
        "chars_per_second": quality.chars_per_second,
        "compression_ratio": quality.compression_ratio,
        "flags": list(quality.flags),
        "severity": quality.severity,
        "fault": fault,
    }


def shard_path(recording: Recording, settings: PreparationSettings, output_dir: Path) -> Path:
    """Where a recording's shard is, or will be; its report lies beside it as JSON."""
    return output_dir / f"{_content_key(recording, settings)}.arrow"


def _content_key(recording: Recording, settings: PreparationSettings) -> str:
    ingredients = {
        "format": FORMAT_VERSION,
        "name": recording.name,
        "language": recording.language,
        "audio": _hash_if_there(recording.audio.path),
        "transcript": _hash_if_there(recording.transcript.path),
        "errors": [recording.audio.error, recording.transcript.error],
        "tokenizer": _hash_if_there(settings.tokenizer_file),
        "settings": {
            "task": settings.task,
            "empty_transcript": settings.empty_transcript,
            "no_speech_fraction": settings.no_speech_fraction,
            "suppressed_symbols": sorted(settings.suppressed_symbols),
            "limits": asdict(settings.limits),
        },
    }
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:32]


def _hash_if_there(path: Path | None) -> str | None:
    if path is None:
        return None
    stat = path.stat()
    return _hash_content(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1024)
def _hash_content(path: Path, num_bytes: int, changed_ns: int) -> str:  # noqa: ARG001 - parts of the cache's key
    return hash_file(path)
