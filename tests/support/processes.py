"""Waiting for what processes do."""

import time
from collections.abc import Callable, Iterable

import psutil


def wait_for(condition: Callable[[], object], seconds: float = 120.0) -> None:
    """Return as soon as the condition holds; it takes moments, on a busy machine more."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until_gone(pids: Iterable[int], seconds: float = 120.0) -> None:
    """Return as soon as all of these processes have ended."""
    wait_for(lambda: all(map(is_gone, pids)), seconds)
