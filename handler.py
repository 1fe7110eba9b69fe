"""The RunPod border: a job comes in, `train.py` runs as a child process, an answer goes out.

    python handler.py                                                # as a RunPod worker
    python handler.py --test_input '{"input": {"self_test": true}}'  # here and now

A job is validated in full first; the same job again resumes its run or gets its stored answer. Neither
torch nor transformers is imported here: a cold start pays for what it uses, and the GPU stays free.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import cpuinfo  # type: ignore[import-untyped] # has none
import psutil

from recipe.errors import RecipeError
from recipe.run.files import write_json
from recipe.run.folder import RunFolder
from recipe.run.launch import build_train_command, count_gpus
from recipe.run.redaction import Redactor
from recipe.run.settings import OperatorSettings
from recipe.worker.answer import describe_failure, describe_success, seal_answer
from recipe.worker.job import SECRET_FIELDS, AcceptedJob, Job, open_run, read_job
from recipe.worker.supervisor import JobEvents, Outcome, Supervisor

# The SDK measures the processor for a debugger that is off, 1.1 s of a cold start; no answer will do.
with mock.patch.object(cpuinfo, "get_cpu_info", dict):
    import runpod
    from runpod.serverless.modules.rp_logger import RunPodLogger

logger = logging.getLogger("handler")

Event = Mapping[str, Any]
"""What RunPod hands to a worker: `id`, `input` and more."""

PROGRESS_SECONDS = 5.0
"""Shortest time between two progress updates to RunPod."""
LAST_PROGRESS_SECONDS = 60.0
"""Longest wait for the last update to be delivered before the answer goes out."""

_RELAYED = (
    *("status", "timestamp", "sequence", "step", "total_steps", "epoch", "total_epochs"),
    *("progress_percent", "eta_seconds", "train_samples", "eval_samples", "metrics"),
)
_KEPT_FROM_CHILD = ("RUNPOD_AI_API_KEY", "WHISPERTRAIN_AUTH_TOKEN", "WHISPERTRAIN_WORKER_API_KEY")


class Worker:
    """Answers the jobs of one RunPod worker, one after the other.

    Args:
        settings: What the operator allows.
        train_command: From a file with arguments to the command that trains with them; by default Accelerate
            on all GPUs.
        send_progress: Shows a progress update to RunPod, in a thread of its own.
    """

    def __init__(
        self,
        settings: OperatorSettings,
        *,
        train_command: Callable[[Path], list[str]] | None = None,
        send_progress: Callable[[Any, Any], None] = runpod.serverless.progress_update,
    ) -> None:
        self._settings = settings
        self._train_command = train_command or _build_default_command
        self._send_progress = send_progress

    async def handle(self, event: Event) -> dict[str, Any]:
        """The answer to an event; an error is one too, since RunPod would publish an exception's traceback.

        Raises:
            CancelledError: the job was cancelled; its training has ended with a checkpoint.
        """
        request = event.get("input")
        redactor = Redactor(_find_secrets(request))
        try:
            answer = await self._answer(event, request, redactor)
        except RecipeError as error:
            answer = describe_failure(str(error), type(error).__name__, _name_job(event, request))
        except Exception as error:  # noqa: BLE001 - the border: nothing may pass it unredacted
            logger.error("Unexpected: %s", redactor.redact(traceback.format_exc()))  # noqa: TRY400 - redacted first
            sentence = f"The worker failed unexpectedly ({error!r}); see its log."
            answer = describe_failure(sentence, type(error).__name__, _name_job(event, request))
        sealed = seal_answer(answer, redactor)
        if self._settings.answer_file:
            write_json(self._settings.answer_file, sealed)
        logger.info("Answer: %s", sealed.get("error", "success"))
        return sealed

    async def _answer(self, event: Event, request: object, redactor: Redactor) -> dict[str, Any]:
        if isinstance(request, Mapping) and request.get("self_test") is True:
            return await self._test_worker(event, redactor)
        started = time.monotonic()
        accepted = read_job(request, str(event.get("id", "")), self._settings)
        logger.info(
            "Job %s accepted in %.2f s, %.2f s after the start of the worker",
            accepted.job.job_id,
            time.monotonic() - started,
            time.time() - psutil.Process().create_time(),
        )
        with open_run(self._settings.runs_dir, accepted.job) as run:
            outcome = await self._run_job(event, accepted.job, run, redactor)
        return _describe(outcome, accepted)

    async def _run_job(self, event: Event, job: Job, run: RunFolder, redactor: Redactor) -> Outcome:
        events = JobEvents(job, run, self._settings, redactor)
        stored = run.read_result()
        if stored is not None:
            logger.info("Job %s is finished already; its stored answer is returned", job.job_id)
            await asyncio.to_thread(events.deliver)
            return Outcome(stored)
        run.write_arguments(job.to_train_arguments(run))
        return await self._attempt(event, run, events, _build_environment(job), redactor)

    async def _test_worker(self, event: Event, redactor: Redactor) -> dict[str, Any]:
        """Train a tiny random model on synthetic sound: shows that image, GPU and launcher work together."""
        with tempfile.TemporaryDirectory(prefix="self-test-") as folder:
            run = RunFolder(Path(folder))
            run.write_arguments({"self_test": True, "output_dir": folder})
            outcome = await self._attempt(event, run, None, _build_environment(None), redactor)
        if outcome.result is None:
            return describe_failure(outcome.error, outcome.error_type, "self-test")
        return describe_success(outcome.result)

    async def _attempt(
        self,
        event: Event,
        run: RunFolder,
        events: JobEvents | None,
        environment: Mapping[str, str],
        redactor: Redactor,
    ) -> Outcome:
        supervisor = Supervisor(
            run,
            self._train_command(run.arguments),
            environment,
            events=events,
            settings=self._settings,
            redactor=redactor,
        )
        relay = ProgressRelay(event, self._send_progress)
        try:
            with _notice_sigterm() as stop_requested:
                outcome = await supervisor.run(stop_requested, relay.offer)
            await relay.wait()
            relay.send_newest()
        finally:
            await relay.wait()
        return outcome


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


@contextlib.contextmanager
def _notice_sigterm() -> Iterator[asyncio.Event]:
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


def _build_default_command(arguments_file: Path) -> list[str]:
    return build_train_command(arguments_file, count_gpus(os.environ))


def _build_environment(job: Job | None) -> dict[str, str]:
    """The training's environment: ours, with the job's own credentials and no others."""
    environment = {name: value for name, value in os.environ.items() if name not in _KEPT_FROM_CHILD}
    environment["PYTHONUNBUFFERED"] = "1"
    if job is not None:
        environment["WHISPERTRAIN_AUTH_TOKEN"] = job.auth_token.get_secret_value()
        environment["WHISPERTRAIN_WORKER_API_KEY"] = job.worker_api_key.get_secret_value()
    return environment


def _describe(outcome: Outcome, accepted: AcceptedJob) -> dict[str, Any]:
    if outcome.result is None:
        return describe_failure(outcome.error, outcome.error_type, accepted.job.job_id)
    return describe_success(outcome.result, accepted.warnings)


def _find_secrets(request: object) -> list[str]:
    """The texts in the secret fields, whether or not the rest of the job is valid."""
    if not isinstance(request, Mapping):
        return []
    values = [request.get(name) for name in SECRET_FIELDS]
    return [part for value in values if isinstance(value, str) for part in (value, value.strip())]


def _name_job(event: Event, request: object) -> str:
    """The job's own name if it has one, else RunPod's."""
    given = request.get("job_id") if isinstance(request, Mapping) else None
    return str(given or event.get("id", ""))[:128]


def main(worker: Worker | None = None) -> None:
    """Serve jobs until RunPod ends the worker, or answer the one of `--test_input`."""
    # The SDK's debug lines hold whole jobs, tokens included, and its local mode turns them on by default.
    vars(RunPodLogger())["debug"] = lambda *_: None
    log_format = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format=log_format, force=True)  # not the SDK's
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # One of the SDK's own checks imports torch here, and keeps memory on every GPU for as long as we live.
    os.environ.setdefault("RUNPOD_SKIP_AUTO_SYSTEM_CHECKS", "true")
    worker = worker or Worker(OperatorSettings.from_environment(os.environ))
    runpod.serverless.start({"handler": worker.handle})


if __name__ == "__main__":
    main()
