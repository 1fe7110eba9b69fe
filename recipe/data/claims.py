"""Who of many processes, on one machine or on several, does a piece of work: claims in a folder they share.

A claim is a file that exactly one process can make (`O_EXCL`, which network disks keep as well). Its holder
touches it as long as it lives. A holder is taken for dead if its process is gone, where that can be seen, or
if nobody has touched the file for `LEASE_SECONDS` by the watcher's own clock: clocks need not agree. Its
successor makes the file with the next number, which again exactly one can, so that one of many watchers
succeeds a dead holder, and one that was slow cannot take what another has taken since.

A holder that only slept goes on beside its successor: the work itself must be such that doing it twice gives
one whole result.
"""

import itertools
import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Generic, Self, TypeVar

LEASE_SECONDS = 180.0
"""A claim that nobody touched for as long is a dead holder's; clients of NFS see changes after a minute."""

TOUCHES_PER_LEASE = 9

UNSIGNED_PER_LEASE = 36
"""How many times sooner a claim without its holder's name is taken for dead: its process was killed between
making the file and writing to it, where a busy disk may keep it for a while."""

FIRST_PAUSE_SECONDS = 0.25
MAX_PAUSE_SECONDS = 5.0
"""Longest time between two looks at what another holds, while there are few such claims."""

MAX_LOOKS_PER_SECOND = 4.0
"""By one process; with many claims of others, each is looked at the less often."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Claim(Generic[T]):
    """The right to do a piece of work, until it is released.

    Attributes:
        work: What is to be done.
        key: Its name in the folder.
        number: How many have claimed it, this one included; all before it are dead.
    """

    work: T
    key: str
    number: int


@dataclass
class _Piece(Generic[T]):
    """A piece of work that this process knows nobody's result of.

    Attributes:
        work: What is to be done.
        key: Its name in the folder.
        pause: Seconds between two looks, since another holds it; 0 as long as nobody has looked.
        next_look: When to look again, on the monotonic clock.
    """

    work: T
    key: str
    pause: float = 0.0
    next_look: float = 0.0


class Claims:
    """The claims of this process in a folder; as a context manager, all are released at its end.

    Args:
        folder: Shared by all who work; made if missing.
        lease_seconds: As `LEASE_SECONDS`.
    """

    def __init__(self, folder: Path, lease_seconds: float = LEASE_SECONDS) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lease_seconds = lease_seconds
        self._held: set[Path] = set()
        self._seen: dict[Path, tuple[tuple[int, int], float]] = {}
        self._is_over = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="claims", daemon=True)

    def __enter__(self) -> Self:
        self._heart.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_over.set()
        self._heart.join()
        for path in self._held:
            path.unlink(missing_ok=True)

    def take(self, key: str) -> int:
        """Claim a piece of work: the number of the claim, or 0 if another process holds it.

        Raises:
            OSError: if the folder cannot be written.
        """
        last = next(number for number in itertools.count(1) if not self._path(key, number).exists()) - 1
        if last and not self._is_dead(self._path(key, last)):
            return 0
        path = self._path(key, last + 1)
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:  # another was faster
            return 0
        with os.fdopen(descriptor, "w") as file:
            file.write(_describe_process(os.getpid()))
        self._held.add(path)
        return last + 1

    def release(self, key: str, number: int) -> None:
        """Give a claim up, and with it those of the dead before it; a successor's stays."""
        self._held.discard(self._path(key, number))
        if self._path(key, number + 1).exists():
            return
        for one in range(number, 0, -1):
            with suppress(OSError):  # whoever finds it will take its holder for dead
                self._path(key, one).unlink()

    def _path(self, key: str, number: int) -> Path:
        return self._folder / f"{key}.claim-{number}"

    def _is_dead(self, path: Path) -> bool:
        """Whether the holder of a claim is gone."""
        try:
            with path.open() as file:  # which asks a network disk anew, as a look at the name would not
                stat, holder = os.fstat(file.fileno()), file.read()
        except OSError:  # released just now
            return False
        if _is_gone(holder):
            return True
        touched, now = (stat.st_ino, stat.st_mtime_ns), time.monotonic()
        previous, since = self._seen.setdefault(path, (touched, now))
        if previous != touched:
            self._seen[path] = touched, now
            return False
        return now - since > self._lease_seconds / (1 if holder else UNSIGNED_PER_LEASE)

    def _beat(self) -> None:
        while not self._is_over.wait(self._lease_seconds / TOUCHES_PER_LEASE):
            for path in self._held.copy():
                with suppress(OSError):  # released in the meantime, or the disk is away for a moment
                    os.utime(path)


@dataclass
class SharedWork(Generic[T, R]):
    """Pieces of work that many processes do together, each piece by one; threads may share an object.

    Attributes:
        claims: Of this process.
        find: The result of a piece that somebody has done; None if nobody has, as far as a short look tells.
    """

    claims: Claims
    find: Callable[[T], R | None]
    _left: list[_Piece[T]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _is_over: threading.Event = field(default_factory=threading.Event)

    def add(self, pieces: Iterable[tuple[str, T]]) -> None:
        """Pieces by key, in the order in which they are to be begun."""
        self._left += [_Piece(work, key) for key, work in pieces]

    def __iter__(self) -> Iterator[Claim[T] | R]:
        """Claims of pieces to do, and results of others, until no piece is left that is nobody's.

        A claimed piece may have been done by another in the meantime. Release the claim once it is done.
        While others hold all that is left this waits, with growing pauses.
        """
        while not self._is_over.is_set():
            with self._lock:
                if not self._left:
                    return
                turn = self._look()
                wait_seconds = min((piece.next_look for piece in self._left), default=0.0) - time.monotonic()
            if turn is not None:
                yield turn
            else:
                self._is_over.wait(max(0.0, wait_seconds))

    def stop(self) -> None:
        """End all iterations as soon as they are asked for more."""
        self._is_over.set()

    def _look(self) -> Claim[T] | R | None:
        """The first piece that is done or can be claimed now."""
        for index, piece in enumerate(self._left):
            if piece.next_look > time.monotonic():
                continue
            turn = self._claim(piece)
            if turn is not None:
                del self._left[index]
                return turn
            self._put_off(piece)
        return None

    def _claim(self, piece: _Piece[T]) -> Claim[T] | R | None:
        result = self.find(piece.work)
        if result is not None:
            return result
        number = self.claims.take(piece.key)
        return Claim(piece.work, piece.key, number) if number else None

    def _put_off(self, piece: _Piece[T]) -> None:
        num_others = sum(bool(other.pause) for other in self._left) if piece.pause else 0
        longest = max(MAX_PAUSE_SECONDS, num_others / MAX_LOOKS_PER_SECOND)
        piece.pause = min(2 * piece.pause, longest) or FIRST_PAUSE_SECONDS
        # Many who wait for the same must not come at the same moment.
        piece.next_look = time.monotonic() + piece.pause * random.uniform(0.5, 1.5)  # noqa: S311 - no secret


def _describe_process(pid: int) -> str:
    """Machine, id and start of a running process, which no other ever has together."""
    return f"{_this_machine()} {pid} {_start_of(pid)}"


def _is_gone(holder: str) -> bool:
    """Whether a process, as described, was of this machine and runs no more; it may run elsewhere."""
    machine, _, process = holder.partition(" ")
    pid, _, start = process.partition(" ")
    if not machine or machine != _this_machine() or not pid.isdigit():
        return False
    return _start_of(int(pid)) != start


@cache
def _this_machine() -> str:
    """The kernel since its start, and the space of process ids; "" where that cannot be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _start_of(pid: int) -> str:
    """When a process started, in ticks since the kernel did; "" if it runs no more (proc(5))."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in {"Z", "X"} else fields[19]
