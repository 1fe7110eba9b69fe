"""How much time and patience a backend may cost: the bounds, and the two guards that hold them."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], float]
"""Monotonic seconds."""


@dataclass(frozen=True)
class Limits:
    """Bounds on every exchange with the backend.

    Attributes:
        connect_seconds: Longest wait for one TCP or TLS connection.
        answer_seconds: Longest wait from the first byte of a request to the last header of its answer.
        stall_seconds: Longest silence inside a body; also the window over which the rate is measured.
        min_bytes_per_second: Slowest rate of a download, over a whole window.
        file_seconds: Longest time for one file, all its attempts and pauses included.
        num_attempts: Attempts in a row without real progress before a file is given up.
        progress_bytes: Bytes gained that count as real progress and earn a fresh round of attempts.
        num_retries_in_hand: Retries that all downloads of one client share; each success earns one back.
        backoff_seconds: Mean of the first pause is half of this; it doubles with every attempt.
        max_backoff_seconds: Ceiling of the pause.
        max_retry_after_seconds: Ceiling of a pause that the backend asks for.
    """

    connect_seconds: float = 10.0
    answer_seconds: float = 30.0
    stall_seconds: float = 30.0
    min_bytes_per_second: int = 4096
    file_seconds: float = 3600.0
    num_attempts: int = 7
    progress_bytes: int = 1 << 20
    num_retries_in_hand: int = 100
    backoff_seconds: float = 1.0
    max_backoff_seconds: float = 30.0
    max_retry_after_seconds: float = 60.0


class RetryBudget:
    """A token bucket of retries: one bad file may use many, an outage cannot multiply by every file.

    Args:
        num_tokens: Retries in hand at the start, and the most there can be.
    """

    def __init__(self, num_tokens: int) -> None:
        self._capacity = num_tokens
        self._num_tokens = num_tokens
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Whether one more retry is affordable; it is then paid for."""
        with self._lock:
            if self._num_tokens == 0:
                return False
            self._num_tokens -= 1
            return True

    def give_back(self) -> None:
        """Earn one retry after a success."""
        with self._lock:
            self._num_tokens = min(self._capacity, self._num_tokens + 1)


class RateGuard:
    """Measures a body's rate, since a server that drips defeats every time-out per read.

    Args:
        limits: The window and the slowest rate.
        clock: Monotonic seconds.
    """

    def __init__(self, limits: Limits, clock: Clock = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._started = clock()
        self._num_bytes = 0

    def is_too_slow(self, num_new_bytes: int) -> bool:
        """Whether the window that these bytes end was slower than allowed."""
        self._num_bytes += num_new_bytes
        elapsed = self._clock() - self._started
        if elapsed < self._limits.stall_seconds:
            return False
        is_slow = self._num_bytes < self._limits.min_bytes_per_second * elapsed
        self._started, self._num_bytes = self._clock(), 0
        return is_slow
