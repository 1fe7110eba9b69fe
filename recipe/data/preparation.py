"""Who makes which shard: processes, of one machine or of several that share a folder, each recording by one.

Recordings are claimed one by one, the longest first, so that the last ones in work are short and nobody waits
for long. What a worker did that died is claimed by one other. A finished shard is all that counts: claims
only keep two from making the same one.

Beside the claims lies a note for each recording: which shard its files, by size and time of change, have
become. Who finds a note need not read the files.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from queue import SimpleQueue
from typing import Self

from recipe.data.claims import Claim, Claims, SharedWork
from recipe.data.manifest import Recording
from recipe.data.processes import start_pool, submit
from recipe.data.recording import PreparationSettings
from recipe.data.shards import (
    Shard,
    find_shard,
    lose_shard,
    make_shard,
    name_content,
    shard_path,
    sounds_path,
)
from recipe.run.files import note_hash, this_writer, write_text

logger = logging.getLogger(__name__)

SETTLED_SECONDS = 2.0
"""A file that changed as recently may change again without its time of change telling so."""

_Make = Callable[[Recording, PreparationSettings, Path], Shard]


def build_shards(
    recordings: Sequence[Recording],
    settings: PreparationSettings,
    output_dir: Path,
    *,
    num_workers: int | None = None,
    files: "LocalFiles | None" = None,
    reads_shards: bool = True,
    on_recording: Callable[[Shard], None] = lambda _: None,
) -> list[Shard]:
    """One shard for each recording, in their order; those on disk already are reused.

    Any number of processes may do this at the same time, with the same recordings and folder.

    Args:
        recordings: What came in.
        settings: What the examples depend on beside the files.
        output_dir: Folder of the shards.
        num_workers: Processes; as many as there are cores if not given. If 1 is given, it is this process
            itself, which then dies with a file that crashes FFmpeg.
        files: How the recordings' files are had, if not all of them lie on this machine's disks.
        reads_shards: Whether those on disk are read whole, to see that they are as they were made; of many
            processes one need do so.
        on_recording: Called after each recording.

    Raises:
        DataError: if a recording without captions is not allowed (`empty_transcript="fail"`).
    """
    folder = ShardFolder(settings, output_dir, files, reads_shards=reads_shards)
    shards: dict[str, Shard] = {}
    for shard in _build_each(recordings, folder, num_workers):
        shards[shard.report.name] = shard
        on_recording(shard)
    return [shards[recording.name] for recording in recordings]


def build_shard(
    recording: Recording, settings: PreparationSettings, output_dir: Path, files: "LocalFiles | None" = None
) -> Shard:
    """The shard of one recording, once this process or another has made it; the unit of work of any engine.

    Raises:
        DataError: as `build_shards` does.
    """
    folder = ShardFolder(settings, output_dir, files)
    with Claims(folder.claims) as claims:
        work = SharedWork[Recording, Shard](claims, folder.find)
        work.add([(folder.key_of(recording), recording)])
        return next(work_off(work, folder, _own_process().make))


@cache
def _own_process() -> "ShardProcess":
    """A process beside this one for as long as this one lives."""
    return ShardProcess()


class ShardFolder:
    """A folder of shards, and the notes on which recording has become which.

    Args:
        settings: What the examples depend on beside the files.
        path: The folder; made if missing.
        files: How the recordings' files are had.
        reads_shards: As in `build_shards`.
    """

    def __init__(
        self,
        settings: PreparationSettings,
        path: Path,
        files: "LocalFiles | None" = None,
        *,
        reads_shards: bool = True,
    ) -> None:
        self._reads_shards = reads_shards
        self.settings = settings
        self.files = files or LocalFiles()
        self.path = path
        self.claims = path / "claims"
        self.claims.mkdir(parents=True, exist_ok=True)

    def find(self, recording: Recording) -> Shard | None:
        """The shard of a recording, if a note tells which it is; its files are not read."""
        try:
            key = self._note(recording).read_text()
        except OSError:
            return None
        if not key.isalnum():
            return None
        return find_shard(self.path / f"{key}.arrow", is_read=self._reads_shards)

    def settle(self, recording: Recording, make: _Make) -> Shard:
        """The shard of a recording that this process has claimed: on disk, or made now."""
        began, note = time.time(), self._note(recording)
        with self.files.here(recording) as here:
            path = shard_path(here, self.settings, self.path)
            shard = find_shard(path, is_read=self._reads_shards)
            if shard is None:
                shard = make(here, self.settings, path)
                note_hash(sounds_path(shard.path), shard.sounds_hash)
        if all(self.files.is_settled(file, began) for file in _files_of(recording)):
            write_text(note, path.stem, this_writer())
        return shard

    def key_of(self, recording: Recording) -> str:
        """What a recording is claimed by: its name, whatever its files hold or wherever they lie."""
        return name_content(recording, self.settings, lambda _: None)

    def _note(self, recording: Recording) -> Path:
        return self.claims / f"{name_content(recording, self.settings, self.files.stamp)}.note"


def _build_each(
    recordings: Sequence[Recording], folder: ShardFolder, num_workers: int | None
) -> Iterator[Shard]:
    num_processes = num_workers or os.cpu_count() or 1
    missing: list[Recording] = []
    with ThreadPoolExecutor(num_processes) as pool:  # hashing runs beside other threads
        for recording, shard in zip(recordings, pool.map(folder.find, recordings), strict=True):
            if shard:
                yield shard
            else:
                missing.append(recording)
    if not missing:
        return
    with Claims(folder.claims) as claims:
        work = SharedWork[Recording, Shard](claims, folder.find)
        work.add((folder.key_of(recording), recording) for recording in longest_first(missing, folder.files))
        if num_workers == 1:
            yield from work_off(work, folder, make_shard)
        else:
            yield from _work_off_in_processes(work, folder, min(num_processes, len(missing)))


def longest_first(recordings: Sequence[Recording], files: "LocalFiles | None" = None) -> list[Recording]:
    """The recordings in the order in which they are begun, by the bytes of their sound."""
    files = files or LocalFiles()

    def count_bytes(recording: Recording) -> int:
        sound = [path for path in _files_of(recording) if path != recording.transcript.path]
        return sum(map(files.count_bytes, sound))

    return sorted(recordings, key=count_bytes, reverse=True)


def work_off(work: SharedWork[Recording, Shard], folder: ShardFolder, make: _Make) -> Iterator[Shard]:
    """The shards of recordings as this process makes them, or finds those that others have made."""
    for turn in work:
        if isinstance(turn, Claim):
            try:
                shard = folder.settle(turn.work, make)
            finally:
                work.claims.release(turn.key, turn.number)
            yield shard
        else:
            yield turn


def _work_off_in_processes(
    work: SharedWork[Recording, Shard], folder: ShardFolder, num_workers: int
) -> Iterator[Shard]:
    """As `work_off`, with so many processes at work, each looked after by a thread."""
    results: SimpleQueue[Shard | BaseException | None] = SimpleQueue()
    turns = _Turns()

    def look_after_one() -> None:
        try:
            with ShardProcess(turns) as process:
                for shard in work_off(work, folder, process.make):
                    results.put(shard)
            results.put(None)
        except BaseException as error:  # noqa: BLE001 - it is raised below
            results.put(error)

    with ThreadPoolExecutor(num_workers, thread_name_prefix="prepare") as pool:
        try:
            for _ in range(num_workers):
                pool.submit(look_after_one)
            num_left = num_workers
            while num_left:
                result = results.get()
                if isinstance(result, BaseException):
                    raise result
                if result is None:
                    num_left -= 1
                else:
                    yield result
        finally:
            work.stop()


class _Turns:
    """Lets many at a time do what one at times must do alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._num_beside = 0
        self._num_alone = 0

    @contextmanager
    def beside_others(self) -> Iterator[None]:
        """The body runs while nobody wants to be alone."""
        with self._changed:
            self._changed.wait_for(lambda: not self._num_alone)
            self._num_beside += 1
        try:
            yield
        finally:
            with self._changed:
                self._num_beside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """The body runs while no other does."""
        with self._changed:
            self._num_alone += 1
            self._changed.wait_for(lambda: not self._num_beside)
            self._num_beside += 1
        try:
            yield
        finally:
            with self._changed:
                self._num_alone -= 1
                self._num_beside -= 1
                self._changed.notify_all()


class ShardProcess:
    """A process that makes one shard after the other; if it dies over a recording, that costs no other.

    Args:
        turns: Shared by those of one machine: what killed a process is tried once more while the others
            rest, since it may have been memory that all of them together had too little of.
    """

    def __init__(self, turns: _Turns | None = None) -> None:
        self._turns = turns or _Turns()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()

    def make(self, recording: Recording, settings: PreparationSettings, path: Path) -> Shard:
        """As `make_shard`; a recording over which two processes die has no data."""
        make = partial(self._make, recording, settings, path)
        with suppress(BrokenProcessPool), self._turns.beside_others():
            return make()
        logger.warning("A process died, perhaps over %r; it is prepared again, alone.", recording.name)
        with suppress(BrokenProcessPool), self._turns.alone():
            return make()
        reason = (
            "the process that reads it died twice: the file is damaged, or memory ran out; export the audio "
            "as FLAC or MP3, in shorter parts if it is long, and upload it again"
        )
        return lose_shard(recording, path, reason)

    def _make(self, recording: Recording, settings: PreparationSettings, path: Path) -> Shard:
        self._pool = self._pool or start_pool(1)
        try:
            return submit(self._pool, make_shard, recording, settings, path).result()
        except BrokenProcessPool:
            self._end()
            raise

    def _end(self) -> None:
        if self._pool:
            self._pool.shutdown()
        self._pool = None


def _files_of(recording: Recording) -> list[Path]:
    files = [recording.audio.path, recording.transcript.path, *(clip.audio.path for clip in recording.clips)]
    return [path for path in dict.fromkeys(files) if path]


def stamp_recording(recording: Recording, settings: PreparationSettings) -> str:
    """What tells a recording and its files from changed ones without reading them.

    Of files that changed just now it never comes again: the disk may give one more change the same time.
    """
    files, now = LocalFiles(), time.time()
    stamp = name_content(recording, settings, files.stamp)
    is_settled = all(files.is_settled(path, now) for path in _files_of(recording))
    return stamp if is_settled else f"{stamp} {time.time_ns()}"


class LocalFiles:
    """Files of recordings, all on disks of this machine; a subclass has some of them elsewhere."""

    def stamp(self, path: Path | None) -> str | None:
        """Size and time of change, which any change of the content changes (`st_ctime` of stat(2))."""
        try:
            stat = path.stat() if path is not None and path.is_file() else None
        except OSError:
            return None
        return f"{stat.st_size} {stat.st_ctime_ns}" if stat else None

    def count_bytes(self, path: Path) -> int:
        """The size; 0 of a file that cannot be asked."""
        try:
            return path.stat().st_size
        except OSError:
            return 0

    def is_settled(self, path: Path, at: float) -> bool:
        """Whether the stamp would tell a change after `at`, in seconds since 1970."""
        try:
            return at - path.stat().st_ctime > SETTLED_SECONDS
        except OSError:
            return True

    @contextmanager
    def here(self, recording: Recording) -> Iterator[Recording]:
        """The recording with all its files on this disk, for as long as the body runs."""
        yield recording
