"""The RunPod border: a job comes in, `train.py` runs as a child process, an answer goes out.

    python handler.py                                # on RunPod: a worker; elsewhere: the self-test
    python handler.py --test_input '{"input": {…}}'  # one job, here and now

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
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import cpuinfo  # type: ignore[import-untyped] # has none
import psutil

from recipe.errors import JobError, RecipeError
from recipe.run.disk import explain_disk
from recipe.run.files import write_json
from recipe.run.folder import RunFolder
from recipe.run.launch import build_train_command, count_gpus
from recipe.run.redaction import Redactor
from recipe.run.settings import OperatorSettings
from recipe.worker.answer import describe_failure, describe_success, seal_answer, summarise_answer
from recipe.worker.job import SECRET_FIELDS, AcceptedJob, Job, find_addressee, open_run, read_job
from recipe.worker.progress_relay import Event, ProgressRelay
from recipe.worker.supervisor import JobEvents, Outcome, Supervisor, report_failure, report_refusal

# The SDK measures the processor for a debugger that is off, 1.1 s of a cold start; no answer will do.
with mock.patch.object(cpuinfo, "get_cpu_info", dict):
    import runpod
    from runpod.serverless.modules.rp_logger import RunPodLogger

logger = logging.getLogger("handler")

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
            try:
                write_json(self._settings.answer_file, sealed)
            except OSError as error:
                logger.warning("The answer is not kept in %s: %s", self._settings.answer_file, error)
        for line in summarise_answer(sealed):
            logger.info("%s", line)
        return sealed

    async def _answer(self, event: Event, request: object, redactor: Redactor) -> dict[str, Any]:
        if isinstance(request, Mapping) and request.get("self_test") is True:
            return await self._test_worker(event, redactor)
        started = time.monotonic()
        event_id = str(event.get("id", ""))
        try:
            accepted = read_job(request, event_id, self._settings)
        except JobError as error:
            addressee = find_addressee(request, event_id, self._settings)
            if addressee is not None:
                await _tell(partial(report_refusal, error, addressee, self._settings, redactor), redactor)
            raise
        logger.info(
            "Job %s accepted in %.2f s, %.2f s after the start of the worker",
            accepted.job.job_id,
            time.monotonic() - started,
            time.time() - psutil.Process().create_time(),
        )
        try:
            with open_run(self._settings.runs_dir, accepted.job) as run:
                outcome = await self._run_job(event, accepted.job, run, redactor)
        except OSError as error:
            problem = explain_disk(self._settings.runs_dir, error)
            if problem is None:
                raise
            tell = partial(report_failure, problem, accepted.job, self._settings, redactor)
            await _tell(tell, redactor)
            raise problem from error
        return _describe(outcome, accepted)

    async def _run_job(self, event: Event, job: Job, run: RunFolder, redactor: Redactor) -> Outcome:
        events = JobEvents(job, run, self._settings, redactor)
        stored = run.read_result()
        if stored is not None:
            logger.info("Job %s is finished already; its stored answer is returned", job.job_id)
            await _tell(events.deliver, redactor)
            return Outcome(stored)
        run.write_arguments(job.to_train_arguments(run))
        environment = _build_environment(job) | {"WHISPERTRAIN_ATTEMPT_ID": events.attempt_id}
        try:
            return await self._attempt(event, run, events, environment, redactor)
        except Exception:  # a run that is finished is a success, whatever failed around it
            stored = run.read_result()
            if stored is None:
                raise
            logger.warning("After the run: %s", redactor.redact(traceback.format_exc()))
            return Outcome(stored)

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


async def _tell(tell: Callable[[], None], redactor: Redactor) -> None:
    """Tell the backend; the answer says it all, whatever becomes of the event."""
    try:
        await asyncio.to_thread(tell)
    except Exception:  # noqa: BLE001 - progress is never worth an answer
        logger.warning("The backend was not told: %s", redactor.redact(traceback.format_exc()))


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
    """Serve jobs until RunPod ends the worker, or answer that of `--test_input` or test_input.json."""
    # The SDK's debug lines hold whole jobs, tokens included, and its local mode turns them on by default.
    vars(RunPodLogger())["debug"] = lambda *_: None
    if "RUNPOD_WEBHOOK_GET_JOB" not in os.environ:  # one job by hand; the SDK would print its whole answer
        RunPodLogger().level = "WARN"
    log_format = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format=log_format, force=True)  # not the SDK's
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # One of the SDK's own checks imports torch here, and keeps memory on every GPU for as long as we live.
    os.environ.setdefault("RUNPOD_SKIP_AUTO_SYSTEM_CHECKS", "true")
    worker = worker or Worker(OperatorSettings.from_environment(os.environ))
    runpod.serverless.start({"handler": worker.handle})


if __name__ == "__main__":
    main()
