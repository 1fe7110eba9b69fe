"""Progress updates to RunPod, beside the events that go to the platform's backend."""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

logger = logging.getLogger(__name__)

Event = Mapping[str, Any]
"""What RunPod hands to a worker: `id`, `input` and more."""

PROGRESS_SECONDS = 5.0
"""Shortest time between two progress updates to RunPod."""
LAST_PROGRESS_SECONDS = 60.0
"""Longest wait for the last update to be delivered before the answer goes out."""

_RELAYED = (
    *("status", "timestamp", "sequence", "step", "total_steps", "epoch", "total_epochs"),
    *("progress_percent", "eta_seconds", "job_eta_seconds", "train_samples", "eval_samples", "metrics"),
    *("stage", "task", "num_done", "num_total", "unit"),
)


class ProgressRelay:
    """Shows RunPod the newest progress: seldom, one update in flight, and none after the answer.

    The SDK sends each update in a thread of its own to the address of the final result; one that arrives
    after it leaves the job "in progress" for ever (runpod-python issue 250).

    Args:
        event: The event that the updates belong to.
        send: Starts to send an update.
        interval_seconds: Shortest time between two updates.
    """

    def __init__(
        self, event: Event, send: Callable[[Any, Any], None], interval_seconds: float = PROGRESS_SECONDS
    ) -> None:
        # Without RunPod's address (local modes) the SDK would log a failure for each update.
        self._is_enabled = "RUNPOD_WEBHOOK_POST_OUTPUT" in os.environ
        self._event = event
        self._send = send
        self._interval_seconds = interval_seconds
        self._newest: dict[str, Any] = {}
        self._sent: dict[str, Any] = {}
        self._sent_at = -interval_seconds
        self._in_flight: set[threading.Thread] = set()

    def offer(self, progress: Mapping[str, Any]) -> None:
        """Take the newest progress, and send it if it is time."""
        self._newest = {name: progress[name] for name in _RELAYED if name in progress}
        is_due = time.monotonic() - self._sent_at >= self._interval_seconds
        if is_due and not any(thread.is_alive() for thread in self._in_flight):
            self.send_newest()

    def send_newest(self) -> None:
        """Send the newest progress if it has not been sent."""
        if not self._is_enabled or self._newest == self._sent:
            return
        self._sent, self._sent_at = self._newest, time.monotonic()
        # The SDK keeps its threads to itself; all that are new after the call are its.
        before = set(threading.enumerate())
        self._send(self._event, self._sent)
        self._in_flight |= set(threading.enumerate()) - before

    async def wait(self) -> None:
        """Wait until nothing is in flight."""
        deadline = time.monotonic() + LAST_PROGRESS_SECONDS
        while any(thread.is_alive() for thread in self._in_flight):
            if time.monotonic() > deadline:
                logger.warning("RunPod has not taken a progress update for %.0f s", LAST_PROGRESS_SECONDS)
                return
            await asyncio.sleep(0.05)
