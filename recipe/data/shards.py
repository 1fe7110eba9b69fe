"""From a recording to its shard, kept between runs; the shards together are the Arrow dataset.

A shard's name is a hash of everything that its content depends on (the two files, the settings, the
tokenizer, this code's format), so a run that was killed, or one with a file more, makes only what is
missing, and what was made from other input is never mistaken for it. Who makes which is told by
`recipe.data.preparation`.

An example is one window: its audio as FLAC (54 MB an hour; log-mel features would be 115), its cues as
data. Timestamps, prompts and features are made when the window is trained, anew each epoch. Faulty
windows are rows too, for the report to play, but never loaded.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from datasets import Dataset, Features, Value
from datasets.arrow_writer import ArrowWriter
from datasets.table import MemoryMappedTable, concat_tables

from recipe.audio.decoding import encode_flac, slice_samples
from recipe.data.manifest import Clip, Recording
from recipe.data.partition import is_first_of_machine
from recipe.data.quality import measure_window, split_words
from recipe.data.recording import (
    PreparationSettings,
    RecordingContent,
    lose_recording,
    read_recording,
)
from recipe.data.report import RecordingReport
from recipe.data.windows import Window, segments_of, text_of
from recipe.errors import RecipeError, explain_error
from recipe.run.cpu_limit import CpuLimitError, limit_cpu
from recipe.run.files import hash_file, hash_once, read_state, replacing, set_aside, this_writer, write_state

logger = logging.getLogger(__name__)

FORMAT_VERSION = 10
"""Raised whenever this code would make other examples of the same files."""

_SEGMENTS = [{"start_ms": Value("int32"), "end_ms": Value("int32"), "text": Value("string")}]

FEATURES = Features(
    {
        "recording": Value("string"),
        "language": Value("string"),
        "start_ms": Value("int64"),
        "end_ms": Value("int64"),
        "audio": {"bytes": Value("binary"), "path": Value("string")},
        "segments": _SEGMENTS,
        "prompt": _SEGMENTS,
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


@dataclass(frozen=True)
class Shard:
    """The examples of one recording, on disk, what became of its data, and the SHA-256 of the file."""

    path: Path
    report: RecordingReport
    content_hash: str = ""


@dataclass(frozen=True)
class _ShardState:
    """What lies beside a shard: its report, and the SHA-256 of its file."""

    report: RecordingReport
    content_hash: str


def load_examples(shards: Sequence[Shard]) -> Dataset:
    """The examples of all shards as one memory-mapped dataset, without the faulty windows."""
    rows = load_rows(shards)
    if not any(shard.report.num_faulty_windows for shard in shards):
        return rows
    return rows.select([index for index, fault in enumerate(rows["fault"]) if not fault])


def texts_of(examples: Dataset) -> Iterator[str]:
    """The words of each example, in order; no audio is read."""
    return (text_of(segments_of(row)) for row in examples.select_columns(["segments"]))


def load_rows(shards: Sequence[Shard]) -> Dataset:
    """All rows of the shards, memory-mapped, the faulty windows included."""
    filled = [shard.path for shard in shards if shard.report.num_windows + shard.report.num_faulty_windows]
    if not filled:
        return Dataset.from_dict({name: [] for name in FEATURES}, features=FEATURES)
    # Tables are joined, not datasets: a Dataset costs 4 ms each to make, a mapped table 0.05.
    return Dataset(concat_tables([_map_table(path, path.stat().st_ino) for path in filled]))


@cache
def _map_table(path: Path, inode: int) -> MemoryMappedTable:  # noqa: ARG001 - one made anew has another
    """The rows of a shard; mapped once, since Linux gives a process 65,530 mapped files in all."""
    return MemoryMappedTable.from_file(str(path))


def find_shard(path: Path) -> Shard | None:
    """The shard on disk, if it is as it was made; a damaged one is set aside.

    A machine's first process reads all of it to know; the others come after it and take its word.
    """
    state = read_state(path.with_suffix(".json"), _ShardState)
    if state is None or not os.path.lexists(path):
        return None
    try:
        if not is_first_of_machine(os.environ) or hash_once(path) == state.content_hash:
            return Shard(path, state.report, state.content_hash)
        reason = "it has changed since it was made"
    except OSError as error:
        reason = str(error)
    set_aside(path, reason)
    return None


def make_shard(recording: Recording, settings: PreparationSettings, path: Path) -> Shard:
    """Read one recording within its time and write its shard; whatever goes wrong costs this recording only.

    Raises:
        DataError: if a recording without captions is not allowed (`empty_transcript="fail"`).
    """
    try:
        with limit_cpu(settings.max_cpu_seconds):
            content = read_recording(recording, settings)
    except RecipeError:
        raise
    except CpuLimitError:
        reason = f"reading it took more than {settings.max_cpu_seconds:,g} s of a processor; split it"
        content = lose_recording(recording, reason)
    except Exception as error:
        logger.exception("The recording %r cannot be prepared", recording.name)
        content = lose_recording(recording, explain_error(error, "it cannot be prepared"))
    return _write_shard(recording, path, content)


def lose_shard(recording: Recording, path: Path, reason: str) -> Shard:
    """Write the shard of a recording that cannot be read, for a reason in a sentence."""
    return _write_shard(recording, path, lose_recording(recording, reason))


def _write_shard(recording: Recording, path: Path, content: RecordingContent) -> Shard:
    """Write the examples of one recording, and its report beside them."""
    samples, packing, report = content
    report.num_windows = len(packing.windows)
    report.num_words = sum(len(split_words(window.text)) for window in packing.windows)
    report.speech_ms = sum(
        segment.end_ms - segment.start_ms
        for window in packing.windows
        for segment in window.segments
        if segment.end_ms is not None
    )
    report.audio_hash = _hash_audio(recording)
    rows = [(window, "") for window in packing.windows]
    rows += [(faulty.window, faulty.reason) for faulty in packing.faulty]
    # Two machines may make the same shard at the same time.
    with replacing(path, this_writer()) as partial:
        with ArrowWriter(features=FEATURES, path=str(partial)) as writer:
            for window, fault in sorted(rows, key=lambda row: row[0].start_ms):
                writer.write(_make_example(recording, samples, window, fault))
            writer.finalize()
        content_hash = hash_file(partial)
    # Last: a shard counts once its report is there.
    write_state(path.with_suffix(".json"), asdict(_ShardState(report, content_hash)), writer=this_writer())
    return Shard(path, report, content_hash)


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
        "prompt": [asdict(segment) for segment in window.prompt],
        "num_tokens": window.num_tokens,
        "chars_per_second": quality.chars_per_second,
        "compression_ratio": quality.compression_ratio,
        "flags": list(quality.flags),
        "severity": quality.severity,
        "fault": fault,
    }


def shard_path(recording: Recording, settings: PreparationSettings, output_dir: Path) -> Path:
    """Where a recording's shard is, or will be; its report lies beside it as JSON."""
    return output_dir / f"{name_content(recording, settings, _hash_if_there)}.arrow"


def name_content(
    recording: Recording, settings: PreparationSettings, identify: Callable[[Path | None], str | None]
) -> str:
    """A hash of all that a recording's examples depend on, 32 hexadecimal digits.

    Args:
        recording: Where its files are.
        settings: What the examples depend on beside the files.
        identify: What stands for the content of a file.
    """
    ingredients = {
        "format": FORMAT_VERSION,
        "name": recording.name,
        "language": recording.language,
        "audio": identify(recording.audio.path),
        "transcript": identify(recording.transcript.path),
        "errors": [recording.audio.error, recording.transcript.error, recording.problem],
        "clips": [[identify(clip.audio.path), _describe_clip(clip)] for clip in recording.clips],
        "tokenizer": _hash_if_there(settings.tokenizer_file),
        "settings": {
            "task": settings.task,
            "empty_transcript": settings.empty_transcript,
            "no_speech_fraction": settings.no_speech_fraction,
            "suppressed_symbols": sorted(settings.suppressed_symbols),
            "limits": asdict(settings.limits),
            "max_cpu_seconds": settings.max_cpu_seconds,
        },
    }
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:32]


def _describe_clip(clip: Clip) -> list[str | int | None]:
    """All of a sentence but its sound."""
    return [clip.audio.error, clip.text, clip.start_ms, clip.end_ms, clip.row, clip.voice]


def _hash_audio(recording: Recording) -> str:
    """SHA-256 of the audio file, or of the hashes of the sentences' sounds; "" without any."""
    if not recording.has_own_sounds:
        return _hash_if_there(recording.audio.path) or ""
    sounds = [[_hash_if_there(clip.audio.path), clip.start_ms, clip.end_ms] for clip in recording.clips]
    return hashlib.sha256(json.dumps(sounds).encode()).hexdigest()


def _hash_if_there(path: Path | None) -> str | None:
    try:
        # A named pipe would never end.
        return hash_once(path) if path is not None and path.is_file() else None
    except OSError:  # whoever reads it will say so
        return None
