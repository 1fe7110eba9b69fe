"""A command that is started again after it failed, until its run is finished or there is no point in it.

Whoever watches a machine of a cluster needs no person: when one dies, the processes of the others end, too,
and all begin anew from the last whole checkpoint once it is back.
"""

import logging
import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from recipe.errors import BackendError, JobConflictError, LostProcessError, RecipeError
from recipe.run.folder import RunFolder, find_last_saved
from recipe.run.launch import die_with_parent

logger = logging.getLogger(__name__)

FINISHED, NOTHING_PUBLISHED, REFUSED, INTERRUPTED = 0, 3, 1, 143
"""Exit codes of `train.py`, which `accelerate launch` makes 1 of."""

MAX_RESTARTS = 20
"""Failed attempts in a row, none of which saved an update, after which a person is needed."""

PAUSE_SECONDS = (2.0, 60.0)
"""The first pause between attempts, which doubles, and the longest."""


class Restarts:
    """Starts a command, and again when it failed and may succeed the next time.

    Args:
        folder: Of the run, on a disk that all its machines share.
        max_restarts: Failed attempts in a row that saved nothing.
        pauses: Seconds of the first pause, and of the longest.
    """

    def __init__(
        self,
        folder: RunFolder,
        max_restarts: int = MAX_RESTARTS,
        pauses: tuple[float, float] = PAUSE_SECONDS,
    ) -> None:
        self._folder = folder
        self._max_restarts = max_restarts
        self._pauses = pauses
        self._stop = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def keep_running(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """The exit code that `train.py` itself would give, once no attempt follows any more."""
        if self._read_code() == FINISHED:  # this machine died when the others were about to publish
            logger.info("The run in %s is finished already.", self._folder.path)
            return FINISHED
        num_failed, saved = 0, find_last_saved(self._folder.path)
        while True:
            before = self._identify_error()
            code = self._attempt(command, environment)
            if (last := self._judge(code, before)) is not None:
                return last
            newest = find_last_saved(self._folder.path)
            num_failed, saved = (1, newest) if newest != saved else (num_failed + 1, saved)
            if num_failed > self._max_restarts:
                logger.error("%s attempts in a row failed and saved nothing; no other follows.", num_failed)
                return REFUSED
            pause = min(self._pauses[0] * 2 ** (num_failed - 1), self._pauses[1])
            logger.warning("The attempt ended with %s; the next one starts in %.0f s.", code, pause)
            if self._stop.wait(pause):
                return INTERRUPTED

    def stop(self, *_: object) -> None:
        """Ask the command to stop; none is started after it. Also a handler of signals."""
        self._stop.set()
        if self._process:
            self._process.terminate()

    def _attempt(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        end_too = partial(die_with_parent, parent=os.getpid())
        self._process = subprocess.Popen(  # noqa: S603 - no shell
            command,
            env=dict(environment),
            preexec_fn=end_too,  # noqa: PLW1509 - it takes no lock
        )
        if self._stop.is_set():  # it was asked in between
            self._process.terminate()
        return self._process.wait()

    def _judge(self, code: int, error_before: tuple[int, int] | None) -> int | None:
        """The exit code to end with after an attempt; None if another one may succeed."""
        if (finished := self._read_code()) is not None:
            return finished
        if code == FINISHED:  # it only checked its data
            return FINISHED
        if self._stop.is_set():
            return INTERRUPTED
        return REFUSED if self._identify_error() != error_before and self._is_final() else None

    def _read_code(self) -> int | None:
        """The exit code of a finished run; None if it is not finished."""
        result = self._folder.read_result()
        if result is None:
            return None
        artifacts = result.get("artifacts")
        is_published = isinstance(artifacts, Mapping) and artifacts.get("model_path")
        return FINISHED if is_published else NOTHING_PUBLISHED

    def _identify_error(self) -> tuple[int, int] | None:
        """What tells one writing of the error's file from another; None if there is none."""
        try:
            stat = self._folder.error.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_ino

    def _is_final(self) -> bool:
        """Whether the last attempt ended with an error that the next one would meet again."""
        failure = self._folder.read_error()
        return failure is not None and failure[1] in FINAL_ERRORS


def _names_below(kind: type[BaseException], ask: Callable[[type], bool]) -> frozenset[str]:
    names = {kind.__name__} if ask(kind) else set()
    return frozenset(names.union(*(_names_below(below, ask) for below in kind.__subclasses__())))


FINAL_ERRORS = _names_below(
    RecipeError, lambda kind: not issubclass(kind, BackendError | JobConflictError | LostProcessError)
)
"""Errors that another attempt would end with as well; an unexpected one may be a machine's."""
