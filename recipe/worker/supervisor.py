"""The supervisor of an attempt: starts `train.py`, watches it, stops it if asked, reports how it ended."""

import asyncio
import contextlib
import logging
import math
import signal
import sqlite3
import traceback
import uuid
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from recipe.backend.client import BackendClient
from recipe.backend.events import EventSender, Outbox
from recipe.errors import DiskError, InterruptedTraining, RecipeError, TrainingError
from recipe.run.disk import explain_disk
from recipe.run.folder import RunFolder
from recipe.run.machine import system_stats
from recipe.run.redaction import Redactor
from recipe.run.settings import OperatorSettings
from recipe.run.stages import Stage
from recipe.worker.job import Job, is_foreign
from recipe.worker.process import LogEcho, TrainingProcess

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
HURRIED_FLUSH_SECONDS = 2.0
"""Time for the last events of a worker that was asked to stop: its answer must be out before it is killed."""

OnEvent = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    Attributes:
        result: The contract's `result`; None if the run is not finished.
        error: One sentence if it is not, else "".
        error_type: Name of the error's class, else "".
    """

    result: dict[str, Any] | None
    error: str = ""
    error_type: str = ""

    @property
    def can_resume(self) -> bool:
        """Whether the run was stopped and nothing is wrong: the same job again goes on."""
        return self.result is None and self.error_type == InterruptedTraining.__name__


class JobEvents:
    """A job's progress events: what `train.py` told, and how the attempt ended if it could not tell.

    Args:
        job: Knows the backend and the credentials.
        run: Holds the outbox.
        settings: Whether the backend may be a private one, and how long it may take.
        redactor: Knows the job's secrets.

    Attributes:
        attempt_id: Tells `train.py` which attempt it is, so that both give its end the same id.
    """

    def __init__(self, job: Job, run: RunFolder, settings: OperatorSettings, redactor: Redactor) -> None:
        self._job = job
        self._settings = settings
        self.attempt_id = uuid.uuid4().hex
        self._outbox = Outbox(run.events, job.job_id, redactor=redactor, attempt_id=self.attempt_id)
        self._last_sequence = self._outbox.newest_sequence()
        self._newest: Mapping[str, Any] | None = None

    def read_newest(self) -> Mapping[str, Any] | None:
        """The newest event of this attempt, or None."""
        new = self._outbox.events(after=self._last_sequence)
        if new:
            self._newest, self._last_sequence = new[-1], new[-1]["sequence"]
        return self._newest

    def complete(self, result: Mapping[str, Any]) -> None:
        """Append the end of a finished run, unless that was done before its worker ended."""
        if not self._outbox.has_told(Stage.COMPLETED):
            self.close(Stage.COMPLETED, {"final_result": result})

    def close(self, stage: Stage, fields: Mapping[str, object]) -> None:
        """Append how the attempt ended, unless `train.py` did."""
        newest = self.read_newest()
        if newest and newest["status"] == stage:
            return
        if newest is None:
            self._outbox.begin_attempt()  # the training died before it could; the last one has ended already
        self._outbox.append(stage, fields)

    def deliver(self, max_seconds: float = math.inf) -> None:
        """Send what waits in the outbox, for as long as the operator's patience lasts or `max_seconds`."""
        with contextlib.suppress(sqlite3.Error):  # else the sender tries again
            if not self._outbox.pending(limit=1):
                return
        client = BackendClient(
            self._job.backend_base_url,
            auth_token=self._job.auth_token.get_secret_value(),
            worker_api_key=self._job.worker_api_key.get_secret_value(),
            allow_private=self._settings.is_private_backend_allowed,
        )
        with client:
            sender = EventSender(self._outbox, client)
            sender.start()
            if not sender.stop(min(max_seconds, self._settings.flush_seconds)):
                logger.warning("Some progress events could not be delivered; they wait in the run's folder")


def report_refusal(error: RecipeError, job: Job, settings: OperatorSettings, redactor: Redactor) -> None:
    """Leave the sentence with which a job was refused in its run folder, and tell the backend.

    A folder that belongs to a run, or to no job, is left alone: the request only bears its name.
    """
    run = RunFolder(settings.runs_dir / job.job_id)
    if run.job.exists() or is_foreign(run):
        return
    report_failure(error, job, settings, redactor)


def report_failure(error: RecipeError, job: Job, settings: OperatorSettings, redactor: Redactor) -> None:
    """Leave why a job failed in its run folder, as far as it can be written, and tell the backend."""
    run = RunFolder(settings.runs_dir / job.job_id)
    with contextlib.suppress(OSError):
        run.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        run.write_error(redactor.redact(str(error)), type(error).__name__)
    events = JobEvents(job, run, settings, redactor)
    events.close(Stage.FAILED, {"error": str(error), "system_stats": system_stats(run.path)})
    events.deliver()


class Supervisor:
    """Launches and watches one attempt at a run.

    Args:
        run: The run's folder, with the arguments in it.
        command: Trains with these arguments.
        environment: Of the training; holds the credentials.
        events: The job's progress events; None for a run without a backend.
        settings: The operator's patience.
        redactor: Knows the job's secrets.
    """

    def __init__(
        self,
        run: RunFolder,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        events: JobEvents | None,
        settings: OperatorSettings,
        redactor: Redactor,
    ) -> None:
        self._run = run
        self._command = command
        self._environment = environment
        self._events = events
        self._settings = settings
        self._redactor = redactor

    async def run(self, stop_requested: asyncio.Event, on_event: OnEvent) -> Outcome:
        """How the attempt ended; `on_event` is shown the newest event from time to time.

        Raises:
            CancelledError: the task was cancelled; the training has written its checkpoint and is gone.
        """
        echo = LogEcho(self._run, self._redactor)
        process = TrainingProcess.start(self._command, environment=self._environment, log_path=self._run.log)
        try:
            has_ended_in_time = await self._watch(process, echo, stop_requested, on_event)
        except asyncio.CancelledError:
            await _see_through(process.stop(self._settings.grace_seconds))
            await _see_through(self._tell(Stage.CANCELLED, {}))
            raise
        finally:
            process.kill()
            try:
                echo.finish()
            except OSError as error:  # the log may be on a full disk; the outcome stands
                logger.warning("The end of the training's log could not be handled: %s", error)
        outcome = self._judge(process, echo, stop_requested, has_ended_in_time=has_ended_in_time)
        await self._tell_end(outcome)
        return outcome

    async def _watch(
        self, process: TrainingProcess, echo: LogEcho, stop_requested: asyncio.Event, on_event: OnEvent
    ) -> bool:
        """Follow the training to its end; False if it was asked to stop and had to be killed."""
        has_ended_in_time, is_running = True, True
        while is_running:
            # What outlives the launcher has lost its parent, or is a helper that nobody will end.
            if stop_requested.is_set() or process.exit_code is not None:
                has_ended_in_time = await process.stop(self._settings.grace_seconds)
            is_running = process.is_running()  # asked before the last look at what it wrote
            echo.echo()
            if self._events and (event := self._events.read_newest()):
                on_event(event)
            if is_running:
                await _sleep(POLL_SECONDS, stop_requested)
        return has_ended_in_time

    def _judge(
        self,
        process: TrainingProcess,
        echo: LogEcho,
        stop_requested: asyncio.Event,
        *,
        has_ended_in_time: bool,
    ) -> Outcome:
        """What the run's files say: they are the truth, whatever the exit code."""
        result = self._run.read_result()
        if result is not None:
            return Outcome(result)
        error = self._run.read_error()
        if error is not None:
            return Outcome(None, *error)
        if stop_requested.is_set():
            how = "" if has_ended_in_time else " and the training had to be killed"
            sentence = f"The worker was asked to stop{how}; run the same job again to go on."
            return Outcome(None, sentence, InterruptedTraining.__name__)
        disk_error = explain_disk(self._run.path)  # which keeps its error from being written too
        if disk_error is not None:
            return Outcome(None, str(disk_error), DiskError.__name__)
        return Outcome(None, _describe_death(process.exit_code, echo.explain_death()), TrainingError.__name__)

    async def _tell_end(self, outcome: Outcome) -> None:
        if outcome.result is not None:
            await self._tell(Stage.COMPLETED, {"final_result": outcome.result})
        elif outcome.can_resume:
            failure = {"error": outcome.error, "error_type": outcome.error_type}
            await self._tell(Stage.INTERRUPTED, {**failure, "can_resume": True})
        else:
            stats = system_stats(self._run.path)
            await self._tell(Stage.FAILED, {"error": outcome.error, "system_stats": stats})

    async def _tell(self, stage: Stage, fields: Mapping[str, object]) -> None:
        """Append the end of the attempt and deliver it; the outcome stands, whatever becomes of the news."""
        if self._events is None:
            return
        try:
            self._events.close(stage, fields)
            hurry = HURRIED_FLUSH_SECONDS if stage == Stage.INTERRUPTED else math.inf
            await asyncio.to_thread(self._events.deliver, hurry)
        except Exception:  # noqa: BLE001 - progress is never worth a training run
            logger.warning("The end was not told: %s", self._redactor.redact(traceback.format_exc()))


@contextlib.contextmanager
def notice_sigterm() -> Iterator[asyncio.Event]:
    """An event that is set on SIGTERM; the SDK's own handler, which lets the worker end, is called too.

    Installed only while a training runs: RunPod's heartbeat process would inherit it, and never end.
    """
    loop = asyncio.get_running_loop()
    noticed = asyncio.Event()
    previous = signal.getsignal(signal.SIGTERM)

    def notice(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(noticed.set)
        if callable(previous):
            previous(number, frame)

    signal.signal(signal.SIGTERM, notice)
    try:
        yield noticed
    finally:
        signal.signal(signal.SIGTERM, previous)


async def _sleep(seconds: float, woken: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(woken.wait(), seconds)


async def _see_through(work: Coroutine[Any, Any, object]) -> None:
    """Wait for the end of some work even if this task is cancelled meanwhile, and cancelled again."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    task.result()


def _describe_death(exit_code: int | None, reason: str) -> str:
    how = (
        f"by signal {-exit_code}"
        if exit_code is not None and exit_code < 0
        else f"with exit code {exit_code}"
    )
    reason = reason or "see train.log in the run's folder"
    return f"The training process died {how} without a result: {reason}."
