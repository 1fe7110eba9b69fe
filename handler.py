"""The RunPod border: a job comes in, `train.py` runs as a child process, an answer goes out.

    python handler.py                                # on RunPod: a worker; elsewhere: the self-test
    python handler.py --test_input '{"input": {…}}'  # one job, here and now

A job is validated in full first; the same job again resumes its run or gets its stored answer. Neither
torch nor transformers is imported here: a cold start pays for what it uses, and the GPU stays free.
"""

import asyncio
import logging
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import cpuinfo  # type: ignore[import-untyped] # has none
import psutil

from recipe.errors import JobError, RecipeError
from recipe.run.disk import explain_disk
from recipe.run.files import export_json
from recipe.run.folder import RunFolder
from recipe.run.launch import build_train_command, count_gpus
from recipe.run.redaction import Redactor
from recipe.run.settings import OperatorSettings
from recipe.worker.answer import describe_failure, describe_success, seal_answer, summarise_answer
from recipe.worker.environment import build_environment
from recipe.worker.job import AcceptedJob, Job, find_addressee, find_secrets, open_run, parse_json, read_job
from recipe.worker.progress_relay import Event, ProgressRelay
from recipe.worker.supervisor import (
    JobEvents,
    Outcome,
    Supervisor,
    notice_sigterm,
    report_failure,
    report_refusal,
)

# The SDK measures the processor for a debugger that is off, 1.1 s of a cold start; no answer will do.
with mock.patch.object(cpuinfo, "get_cpu_info", dict):
    import runpod
    from runpod.serverless.modules.rp_logger import RunPodLogger

logger = logging.getLogger("handler")

_UNANSWERABLE = (
    "The worker could not put its answer together; result.json or error.json in the run's folder says how "
    "the job ended. Send the same job again to get its answer."
)


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
        try:
            redactor = Redactor(find_secrets(event.get("input")))
            sealed = seal_answer(await self._answer_or_explain(event, redactor), redactor)
        except Exception as error:  # noqa: BLE001 - the border: an answer goes out whatever happens
            sealed = describe_failure(_UNANSWERABLE, type(error).__name__, "")
        try:
            if self._settings.answer_file:
                export_json(self._settings.answer_file, sealed)
            for line in summarise_answer(sealed):
                logger.info("%s", line)
        except Exception as error:  # noqa: BLE001 - the answer stands, shown or not
            reason = error if isinstance(error, OSError) else type(error).__name__
            logger.warning("The answer was not shown in full: %s", reason)
        return sealed

    async def _answer_or_explain(self, event: Event, redactor: Redactor) -> dict[str, Any]:
        request = event.get("input")
        try:
            if isinstance(request, str):
                request = parse_json(request)
            return await self._answer(event, request, redactor)
        except RecipeError as error:
            return describe_failure(str(error), type(error).__name__, _name_job(event, request, redactor))
        except Exception as error:  # noqa: BLE001 - nothing may pass the border unredacted
            logger.error("Unexpected: %s", redactor.redact(traceback.format_exc()))  # noqa: TRY400 - redacted first
            sentence = f"The worker failed unexpectedly ({error!r}); see its log."
            return describe_failure(sentence, type(error).__name__, _name_job(event, request, redactor))

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
            events.complete(stored)
            await _tell(events.deliver, redactor)
            return Outcome(stored)
        run.write_arguments(job.to_train_arguments(run))
        environment = build_environment(job, os.environ) | {"WHISPERTRAIN_ATTEMPT_ID": events.attempt_id}
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
            environment = build_environment(None, os.environ)
            outcome = await self._attempt(event, run, None, environment, redactor)
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
            with notice_sigterm() as stop_requested:
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


def _build_default_command(arguments_file: Path) -> list[str]:
    return build_train_command(arguments_file, count_gpus(os.environ))


def _describe(outcome: Outcome, accepted: AcceptedJob) -> dict[str, Any]:
    if outcome.result is not None:
        return describe_success(outcome.result, accepted.warnings)
    failure = describe_failure(outcome.error, outcome.error_type, accepted.job.job_id)
    return {**failure, "can_resume": True} if outcome.can_resume else failure


def _name_job(event: Event, request: object, redactor: Redactor) -> str:
    """The job's own name if it has one, valid or not, else RunPod's."""
    given = request.get("job_id") if isinstance(request, Mapping) else None
    return redactor.redact(str(given or event.get("id", "")))[:128]


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
    try:
        worker = worker or Worker(OperatorSettings.from_environment(os.environ))
    except RecipeError as error:
        sys.exit(f"The worker cannot start: {error}")
    runpod.serverless.start({"handler": worker.handle})


if __name__ == "__main__":
    main()
