"""From recordings to the Arrow dataset: one shard a recording, made in parallel, kept between runs.

A shard's name is a hash of everything that its content depends on (the two files, the settings, the
tokenizer, this code's format), so a run that was killed, or one with a file more, makes only what is
missing, and what was made from other input is never mistaken for it. Machines that share the folder make
a part of the shards each, and take the others' as they come.

An example is one window: its audio as FLAC (54 MB an hour; log-mel features would be 115), its cues as
data. Timestamps, prompts and features are made when the window is trained, anew each epoch. Faulty
windows are rows too, for the report to play, but never loaded.

A shard is three files: `KEY.tar` with the FLAC files, which any program can open, `KEY.arrow` with the rows,
which name places in it, and `KEY.json` with the report and the hashes of both, written last.
"""

import hashlib
import itertools
import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from datasets import Dataset, Features, Value
from datasets.arrow_writer import ArrowWriter

from recipe.audio.decoding import encode_flac, slice_samples
from recipe.data.manifest import Clip, Recording
from recipe.data.partition import Partition, is_first_of_machine
from recipe.data.processes import start_pool, submit
from recipe.data.quality import measure_window, split_words
from recipe.data.recording import (
    PreparationSettings,
    RecordingContent,
    lose_recording,
    read_recording,
)
from recipe.data.report import RecordingReport
from recipe.data.sounds import IN_FILE, SoundFile
from recipe.data.windows import Window, segments_of, text_of
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

_Item = tuple[Recording, PreparationSettings, Path]
"""What the shard at this path is made of."""

PATIENCE_SECONDS = 600.0
"""Without a sign of other machines for as long, their shards are made here: they died, or share no disk."""

POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Shard:
    """The examples of one recording, on disk.

    Attributes:
        path: The file of its rows; that of its sounds lies beside it.
        report: What became of its data.
        content_hash: SHA-256 of the hashes of both files.
    """

    path: Path
    report: RecordingReport
    content_hash: str = ""


@dataclass(frozen=True)
class _ShardState:
    """What lies beside a shard: its report, and the SHA-256 of the files of its rows and of its sounds."""

    report: RecordingReport
    rows_hash: str
    sounds_hash: str

    @property
    def content_hash(self) -> str:
        return hashlib.sha256(f"{self.rows_hash} {self.sounds_hash}".encode()).hexdigest()


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
        num_workers: Processes; as many as there are cores if not given. If 1 is given, it is this process
            itself, which then dies with a file that crashes FFmpeg.
        partition: Which of them this machine makes.
        patience_seconds: How long to wait without a sign of the others before making theirs too.
        on_recording: Called after each recording.

    Raises:
        DataError: if a recording without captions is not allowed (`empty_transcript="fail"`).
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    shards: dict[str, Shard] = {}

    def build(part: Sequence[Recording]) -> None:
        for shard in _build_each(part, settings, output_dir, num_workers):
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


def texts_of(examples: Dataset) -> Iterator[str]:
    """The words of each example, in order; no audio is read."""
    return (text_of(segments_of(row)) for row in examples.select_columns(["segments"]))


def _build_each(
    recordings: Sequence[Recording], settings: PreparationSettings, output_dir: Path, num_workers: int | None
) -> Iterator[Shard]:
    num_processes = num_workers or os.cpu_count() or 1
    missing: list[_Item] = []

    def find(recording: Recording) -> tuple[Path, Shard | None]:
        path = shard_path(recording, settings, output_dir)
        return path, _find_shard(path)

    with ThreadPoolExecutor(num_processes) as pool:  # hashing runs beside other threads
        for recording, (path, found) in zip(recordings, pool.map(find, recordings), strict=True):
            if found:
                yield found
            else:
                missing.append((recording, settings, path))
    if num_workers == 1:
        yield from itertools.starmap(_build_shard, missing)
    else:
        yield from _build_in_processes(missing, num_processes)


def _build_in_processes(items: Sequence[_Item], num_workers: int) -> Iterator[Shard]:
    """The shards as they come; a process that dies costs at most the recording that it held.

    A dead process breaks its pool, so no more is in work than there are processes: those recordings are
    tried again one by one, each in a fresh process, the others go on in a fresh pool.
    """
    waiting = deque(items)
    interrupted: list[_Item] = []
    while waiting:
        in_work: dict[Future[Shard], _Item] = {}
        with start_pool(min(num_workers, len(waiting))) as pool:
            try:
                while waiting or in_work:
                    while waiting and len(in_work) < num_workers:
                        future = submit(pool, _build_shard, *waiting[0])
                        in_work[future] = waiting.popleft()
                    for future in wait(in_work, return_when=FIRST_COMPLETED).done:
                        yield future.result()
                        del in_work[future]
            except BrokenProcessPool:
                interrupted += in_work.values()
    for item in interrupted:
        yield _build_alone(item)


def _build_alone(item: _Item) -> Shard:
    """The shard of a recording that was in work when a process died; without its data if it dies again."""
    recording, _, path = item
    logger.warning("A process died, perhaps over %r; it is prepared again, alone.", recording.name)
    try:
        with start_pool(1) as pool:
            return submit(pool, _build_shard, *item).result()
    except BrokenProcessPool:
        reason = (
            "the process that reads it died twice: the file is damaged, or memory ran out; export the audio "
            "as FLAC or MP3, in shorter parts if it is long, and upload it again"
        )
        return _write_shard(recording, path, lose_recording(recording, reason))


def _find_shard(path: Path) -> Shard | None:
    """The shard on disk, if it is as it was made; a damaged one is set aside.

    A machine's first process reads all of it to know; the others come after it and take its word.
    """
    state = read_state(path.with_suffix(".json"), _ShardState)
    files = [path, sounds_path(path)]
    if state is None or not all(map(os.path.lexists, files)):
        return None
    is_whole = True
    for file, content_hash in zip(files, (state.rows_hash, state.sounds_hash), strict=True):
        try:
            if not is_first_of_machine(os.environ) or hash_once(file) == content_hash:
                continue
            reason = "it has changed since it was made"
        except OSError as error:
            reason = str(error)
        set_aside(file, reason)
        is_whole = False
    return Shard(path, state.report, state.content_hash) if is_whole else None


def _build_shard(recording: Recording, settings: PreparationSettings, path: Path) -> Shard:
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
    return Shard(path, report, state.content_hash)


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
    return output_dir / f"{_content_key(recording, settings)}.arrow"


def sounds_path(path: Path) -> Path:
    """Where the sounds of a shard are that has its rows at this path."""
    return path.with_suffix(".tar")


def _content_key(recording: Recording, settings: PreparationSettings) -> str:
    ingredients = {
        "format": FORMAT_VERSION,
        "name": recording.name,
        "language": recording.language,
        "audio": _hash_if_there(recording.audio.path),
        "transcript": _hash_if_there(recording.transcript.path),
        "errors": [recording.audio.error, recording.transcript.error, recording.problem],
        "clips": [[_hash_if_there(clip.audio.path), _describe_clip(clip)] for clip in recording.clips],
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
