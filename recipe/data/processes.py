"""Processes for work on files that may end a process: FFmpeg's libraries can crash, or never come back."""

import logging
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import ParamSpec, Self, TypeVar

from recipe.run.cpu_limit import CpuLimitError, limit_cpu
from recipe.run.credentials import credentials_dropped, drop_credentials
from recipe.run.launch import die_with_parent

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_starting = threading.Lock()


def start_pool(num_workers: int) -> ProcessPoolExecutor:
    """Processes that hold no credential and end with this one; give them work with `submit`."""
    # Fresh interpreters: a fork would inherit the locks of torch's threads.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(
        num_workers, mp_context=context, initializer=_start_worker, initargs=(os.getpid(),)
    )


def submit(
    pool: ProcessPoolExecutor, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> "Future[T]":
    """The outcome, once there is one, of a function of a module that loads fast."""
    # This starts processes, from any thread; what they see of this one is changed for as long.
    with _starting, _without_main_module(), credentials_dropped():
        return pool.submit(function, *args, **kwargs)


class SpareProcess:
    """A process for one call after the other; a call over which it dies costs no other.

    Args:
        cpu_seconds: What a call may take of a processor.
    """

    def __init__(self, cpu_seconds: float) -> None:
        self._cpu_seconds = cpu_seconds
        self._pool = start_pool(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.shutdown()

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What a function returns; None if its process died over it or its time was over."""
        try:
            call = partial(function, *args, **kwargs)
            return submit(self._pool, _call_limited, self._cpu_seconds, call).result()
        except CpuLimitError:
            logger.warning("A call took more than %g s of a processor", self._cpu_seconds)
        except BrokenProcessPool:
            logger.warning("A process died; another one goes on.")
            self._pool.shutdown()
            self._pool = start_pool(1)
        return None


def _call_limited(seconds: float, function: Callable[[], T]) -> T:
    with limit_cpu(seconds):
        return function()


@contextmanager
def _without_main_module() -> Iterator[None]:
    """In the body, spawned processes do not import `__main__`: with `train.py`, torch and all (4 s each)."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _start_worker(parent: int) -> None:
    die_with_parent(parent=parent)
    drop_credentials()
    os.environ["OMP_NUM_THREADS"] = "1"  # every core has a worker; read when torch loads, if it does
