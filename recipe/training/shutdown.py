"""Ends a run on SIGTERM, Ctrl-C or a lost terminal with a checkpoint, in seconds, never as a success."""

import logging
import os
import signal
import threading
from types import FrameType

from recipe.errors import InterruptedTraining
from recipe.run.folder import RunFolder, find_last_saved

logger = logging.getLogger(__name__)

EXIT_CODE = 143
"""128 + SIGTERM, as a shell reports it."""


class StopSignal:
    """Remembers that the run was asked to stop.

    The stop is immediate, `InterruptedTraining` raised where the main thread stands, except between
    `defer` and `allow`: there the training loop looks at `is_requested` after each update and saves first.
    A run that is still there after `grace_seconds` (a process waiting for one that is gone) is ended hard.
    """

    def __init__(self, folder: RunFolder, grace_seconds: float) -> None:
        """Wait for SIGTERM, SIGINT and, unless `nohup` keeps it away, SIGHUP, in the run of this folder."""
        self.is_requested = False
        self._is_deferred = False
        self._folder = folder
        self._grace_seconds = grace_seconds
        is_kept_away = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        for number in (signal.SIGTERM, signal.SIGINT, *[signal.SIGHUP] * (not is_kept_away)):
            signal.signal(number, self._receive)

    def defer(self) -> None:
        """From here on a stop waits until somebody looks."""
        self._is_deferred = True

    def allow(self) -> None:
        """From here on a stop is immediate, and one that waited happens now.

        Raises:
            InterruptedTraining: if one waited.
        """
        self._is_deferred = False
        if self.is_requested:
            raise interrupted(find_last_saved(self._folder.path))

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.is_requested:
            return
        self.is_requested = True
        logger.warning("Received %s; stopping.", signal.Signals(number).name)
        timer = threading.Timer(self._grace_seconds, os._exit, args=(EXIT_CODE,))
        timer.daemon = True
        timer.start()
        if not self._is_deferred:
            raise interrupted(find_last_saved(self._folder.path))


def interrupted(step: int | None) -> InterruptedTraining:
    """The error of a run that was asked to stop; `step` is the last update saved, None without any."""
    saved = f"update {step} was saved" if step else "no update was saved yet"
    return InterruptedTraining(
        f"The run was asked to stop before it was done; {saved}. Run the same command again to go on."
    )
