"""From recordings to the Arrow dataset: one shard a recording, made in parallel, kept between runs.

A shard's name is a hash of everything that its content depends on (the two files, the settings, the
tokenizer, this code's format), so a run that was killed, or one with a file more, makes only what is
missing, and what was made from other input is never mistaken for it.

An example is one window: its audio as FLAC (54 MB an hour; log-mel features would be 115), its cues as
data. Timestamps, prompts and features are made when the window is trained, anew each epoch.
"""

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from datasets import Dataset, Features, Value, concatenate_datasets
from datasets.arrow_writer import ArrowWriter

from recipe.data.audio import encode_flac, slice_samples
from recipe.data.manifest import Recording
from recipe.data.quality import chars_per_second, compression_ratio
from recipe.data.recording import PreparationSettings, read_recording
from recipe.data.report import RecordingReport
from recipe.data.windows import Window
from recipe.processes import die_with_parent

FORMAT_VERSION = 1
"""Raised whenever this code would make other examples of the same files."""

FEATURES = Features(
    {
        "recording": Value("string"),
        "start_ms": Value("int64"),
        "end_ms": Value("int64"),
        "audio": {"bytes": Value("binary"), "path": Value("string")},
        "segments": [{"start_ms": Value("int32"), "end_ms": Value("int32"), "text": Value("string")}],
        "prompt": Value("string"),
        "chars_per_second": Value("float32"),
        "compression_ratio": Value("float32"),
    }
)
"""One example: a window of `recording` from `start_ms` to `end_ms`; `audio.bytes` is 16 kHz mono FLAC."""


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
    on_recording: Callable[[Shard], None] = lambda _: None,
) -> list[Shard]:
    """One shard for each recording, in their order; those on disk already are reused.

    Args:
        recordings: What came in.
        settings: What the examples depend on beside the files.
        output_dir: Folder of the shards.
        num_workers: Processes; all cores if not given.
        on_recording: Called after each recording.

    Raises:
        DataError: if a recording without captions is not allowed (`empty_transcript="fail"`).
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    shards: dict[str, Shard] = {}
    num_workers = min(num_workers or os.cpu_count() or 1, len(recordings))
    for shard in _build_each(recordings, settings, output_dir, num_workers):
        shards[shard.report.name] = shard
        on_recording(shard)
    return [shards[recording.name] for recording in recordings]


def load_examples(shards: Sequence[Shard]) -> Dataset:
    """The examples of all shards as one memory-mapped dataset."""
    filled = [shard.path for shard in shards if shard.report.num_windows]
    if not filled:
        return Dataset.from_dict({name: [] for name in FEATURES}, features=FEATURES)
    return concatenate_datasets([Dataset.from_file(str(path)) for path in filled])


def _build_each(
    recordings: Sequence[Recording], settings: PreparationSettings, output_dir: Path, num_workers: int
) -> Iterator[Shard]:
    if num_workers <= 1:
        for recording in recordings:
            yield build_shard(recording, settings, output_dir)
        return
    # Fresh interpreters: a fork would inherit the locks of torch's threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, mp_context=context, initializer=die_with_parent) as pool:
        futures = [pool.submit(build_shard, recording, settings, output_dir) for recording in recordings]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def build_shard(recording: Recording, settings: PreparationSettings, output_dir: Path) -> Shard:
    """Write the examples of one recording and its report, unless they are there already."""
    path = output_dir / f"{_content_key(recording, settings)}.arrow"
    report_path = path.with_suffix(".json")
    if report_path.exists() and path.exists():
        return Shard(path, RecordingReport(**json.loads(report_path.read_text())))
    samples, packing, report = read_recording(recording, settings)
    report.num_windows = len(packing.windows)
    partial = path.with_suffix(f".{os.getpid()}.part")
    with ArrowWriter(features=FEATURES, path=str(partial)) as writer:
        for window in packing.windows:
            writer.write(_make_example(recording.name, samples, window))
        writer.finalize()
    partial.replace(path)
    partial.write_text(json.dumps(asdict(report)))
    partial.replace(report_path)  # last: a shard counts once its report is there
    return Shard(path, report)


def _make_example(recording: str, samples: npt.NDArray[np.int16], window: Window) -> dict[str, Any]:
    audio = encode_flac(slice_samples(samples, window.start_ms, window.end_ms))
    return {
        "recording": recording,
        "start_ms": window.start_ms,
        "end_ms": window.end_ms,
        "audio": {"bytes": audio, "path": None},
        "segments": [asdict(segment) for segment in window.segments],
        "prompt": window.prompt,
        "chars_per_second": chars_per_second(window.text, window.end_ms - window.start_ms),
        "compression_ratio": compression_ratio(window.text),
    }


def _content_key(recording: Recording, settings: PreparationSettings) -> str:
    ingredients = {
        "format": FORMAT_VERSION,
        "name": recording.name,
        "audio": _hash_file(recording.audio.path),
        "transcript": _hash_file(recording.transcript.path),
        "errors": [recording.audio.error, recording.transcript.error],
        "tokenizer": _hash_file(settings.tokenizer_file),
        "settings": {
            "language": settings.language,
            "empty_transcript": settings.empty_transcript,
            "suppressed_symbols": sorted(settings.suppressed_symbols),
            "limits": asdict(settings.limits),
            "cleaning": asdict(settings.cleaning),
        },
    }
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:32]


def _hash_file(path: Path | None) -> str | None:
    if path is None:
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
