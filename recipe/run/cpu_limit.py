"""A limit on the processor's time for one piece of work: what a hostile file may cost."""

import multiprocessing
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


class CpuLimitError(BaseException):
    """The work took too long. No `Exception`, so that no handler inside the work takes it for its own."""


@contextmanager
def limit_cpu(seconds: float) -> Iterator[None]:
    """Bound what the body, on the main thread, may take of the processor; waiting for a disk is free.

    A signal ends Python code and regular expressions. A library that is lost in its own loop cannot be
    interrupted; where the body runs in a child process, the kernel ends that process after as long again.

    Raises:
        CpuLimitError: The body took longer.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGPROF, _interrupt)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    limits = _limit_process(2 * seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, previous or signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CPU, limits)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise CpuLimitError


def _limit_process(seconds: float) -> tuple[int, int]:
    """Have the kernel end this process after so much more time, if it is a child; the limits until now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if multiprocessing.parent_process() is not None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        wanted = int(usage.ru_utime + usage.ru_stime + seconds) + 1
        if all(wanted < limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY):
            resource.setrlimit(resource.RLIMIT_CPU, (wanted, hard))
    return soft, hard
