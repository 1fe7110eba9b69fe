"""From a recording to its shard, kept between runs; the shards together are the Arrow dataset.

A shard's name is a hash of everything that its content depends on (the two files, the settings, the
tokenizer, this code's format), so a run that was killed, or one with a file more, makes only what is
missing, and what was made from other input is never mistaken for it. Who makes which is told by
`recipe.data.preparation`.

An example is one window: its audio as FLAC (54 MB an hour; log-mel features would be 115), its cues as
data. Timestamps, prompts and features are made when the window is trained, anew each epoch. Faulty
windows are rows too, for the report to play, but never loaded.

A shard is three files: `KEY.tar` with the FLAC files, which any program can open, `KEY.arrow` with the rows,
which name places in it, and `KEY.json` with the report and the hashes of both, written last.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from datasets import Dataset, Features, Value
from datasets.arrow_writer import ArrowWriter

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
from recipe.data.sounds import IN_FILE, SoundFile
from recipe.data.windows import Window, text_of_row
from recipe.errors import RecipeError, explain_error
from recipe.run.cpu_limit import CpuLimitError, limit_cpu
from recipe.run.files import hash_file, hash_once, read_state, replacing, set_aside, this_writer, write_state

logger = logging.getLogger(__name__)

FORMAT_VERSION = 11
"""Raised whenever this code would make other examples of the same files."""

_SEGMENTS = [{"start_ms": Value("int32"), "end_ms": Value("int32"), "text": Value("string")}]

FEATURES = Features(
    {
        "recording": Value("string"),
        "language": Value("string"),
        "start_ms": Value("int64"),
        "end_ms": Value("int64"),
        "audio": IN_FILE,
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
"""One example: a window of `recording` from `start_ms` to `end_ms`; `audio` is the place of its sound.

`language` is the code of the language spoken, and with it of the label's token.
`flags`, `severity` and `fault` are those of `WindowQuality`; a window with a fault is not used.
"""


@dataclass(frozen=True)
class Shard:
    """The examples of one recording, on disk.

    Attributes:
        path: The file of its rows; that of its sounds lies beside it.
        report: What became of its data.
        content_hash: SHA-256 of the hashes of both files.
        sounds_hash: SHA-256 of the file of its sounds.
    """

    path: Path
    report: RecordingReport
    content_hash: str = ""
    sounds_hash: str = ""


@dataclass(frozen=True)
class _ShardState:
    """What lies beside a shard: its report, and the SHA-256 of the files of its rows and of its sounds."""

    report: RecordingReport
    rows_hash: str
    sounds_hash: str

    @property
    def content_hash(self) -> str:
        return hashlib.sha256(f"{self.rows_hash} {self.sounds_hash}".encode()).hexdigest()


def texts_of(examples: Dataset) -> Iterator[str]:
    """The words of each example, in order; no audio is read."""
    return (text_of_row(row["segments"]) for row in examples.select_columns(["segments"]))


def find_shard(path: Path, *, is_read: bool = True) -> Shard | None:
    """The shard on disk, if it is as it was made; a damaged one is set aside.

    A machine's first process reads all of it to know; the others come after it and take its word.

    Args:
        path: The file of its rows.
        is_read: Whether the first process reads it; another command will if not.
    """
    state = read_state(path.with_suffix(".json"), _ShardState)
    files = [path, sounds_path(path)]
    if state is None or not all(map(os.path.lexists, files)):
        return None
    is_whole, is_read = True, is_read and is_first_of_machine(os.environ)
    for file, content_hash in zip(files, (state.rows_hash, state.sounds_hash), strict=True):
        try:
            if not is_read or hash_once(file) == content_hash:
                continue
            reason = "it has changed since it was made"
        except OSError as error:
            reason = str(error)
        set_aside(file, reason)
        is_whole = False
    return Shard(path, state.report, state.content_hash, state.sounds_hash) if is_whole else None


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
    files = sounds_path(path), path
    with replacing(files[0], this_writer()) as sounds, replacing(files[1], this_writer()) as partial:
        with (
            SoundFile(sounds, files[0].name) as sound_file,
            ArrowWriter(features=FEATURES, path=str(partial)) as writer,
        ):
            for window, fault in sorted(rows, key=lambda row: row[0].start_ms):
                writer.write(_make_example(recording, samples, window, fault, sound_file))
            writer.finalize()
        state = _ShardState(report, hash_file(partial), hash_file(sounds))
    # Last: a shard counts once its report is there.
    write_state(path.with_suffix(".json"), asdict(state), writer=this_writer())
    return Shard(path, report, state.content_hash, state.sounds_hash)


def _make_example(
    recording: Recording, samples: npt.NDArray[np.int16], window: Window, fault: str, sound_file: SoundFile
) -> dict[str, Any]:
    sound = slice_samples(samples, window.start_ms, window.end_ms)
    quality = measure_window(window.segments, sound)
    return {
        "recording": recording.name,
        "language": recording.language,
        "start_ms": window.start_ms,
        "end_ms": window.end_ms,
        "audio": sound_file.add(recording.name, window.start_ms, window.end_ms, encode_flac(sound)),
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
    """Where the rows of a recording's shard are, or will be; its report lies beside it as JSON."""
    return output_dir / f"{name_content(recording, settings, _hash_if_there)}.arrow"


def sounds_path(path: Path) -> Path:
    """Where the sounds of a shard are that has its rows at this path."""
    return path.with_suffix(".tar")


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
        "settings": describe_settings(settings),
    }
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:32]


def describe_settings(settings: PreparationSettings) -> dict[str, Any]:
    """What examples depend on beside the files; ready for JSON."""
    return {
        "tokenizer": _hash_if_there(settings.tokenizer_file),
        "task": settings.task,
        "empty_transcript": settings.empty_transcript,
        "no_speech_fraction": settings.no_speech_fraction,
        "suppressed_symbols": sorted(settings.suppressed_symbols),
        "limits": asdict(settings.limits),
        "max_cpu_seconds": settings.max_cpu_seconds,
    }


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
