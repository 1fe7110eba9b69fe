"""One attempt at a run on one process: where it reports, how it ends, and what it leaves for the next one.

`result.json` is the truth of a finished run, `error.json` of a failed attempt; both appear whole or not
at all. Exactly one terminal event ends an attempt; an interrupted one ends without, since it goes on.
"""

import logging
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, NoReturn, Self, TypeVar

import transformers
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from pydantic import BaseModel, TypeAdapter

from recipe.backend.client import BackendClient
from recipe.backend.events import EventSender, Outbox
from recipe.data.download import forget_downloads
from recipe.data.partition import is_first_of_all, is_first_of_machine
from recipe.errors import (
    DataError,
    InterruptedTraining,
    JobConflictError,
    LostProcessError,
    RecipeError,
    sentence_of,
)
from recipe.run.credentials import find_secrets, read_credential
from recipe.run.disk import explain_disk
from recipe.run.files import acquire, open_lock, read_state, write_state
from recipe.run.folder import RunFolder
from recipe.run.launch import die_with_parent, open_standard_streams
from recipe.run.machine import system_stats
from recipe.run.redaction import Redactor, redact_output
from recipe.run.settings import OperatorSettings
from recipe.run.stages import Stage
from recipe.run.summary import describe_result
from recipe.training.arguments import Arguments
from recipe.training.distributed import check_shared, is_lost_process, local_main_first
from recipe.training.progress import JobEta, StageBar
from recipe.training.shutdown import EXIT_CODE as INTERRUPTED
from recipe.training.shutdown import StopSignal
from recipe.training.trackers import Trackers

logger = logging.getLogger(__name__)

T = TypeVar("T")

NOTHING_PUBLISHED = 3
"""Exit code of a run that is finished, and published no model since none would be better."""

WITH_SYSTEM_STATS = frozenset({Stage.INITIALIZING, Stage.MODEL_LOADED, Stage.STARTING_TRAINING})
"""Events that say how busy the machine is."""


class _Cached(BaseModel, Generic[T]):
    """What an earlier attempt left: the content, and what it was made of."""

    depends_on: dict[str, Any]
    content: T


class Attempt:
    """One attempt at one run; only the main process speaks to the platform.

    Args:
        arguments: Of the run; name the folder, the job and the backend.
        secrets: The environment; the two credentials are taken out of it.

    Raises:
        JobError: if the backend's address cannot be used, or another process trains in the same folder.

    Attributes:
        arguments: Of the run.
        folder: The run's folder.
        is_main: Whether this is the main process.
        backend: The platform's, None without one.
        outbox: Takes progress events; never waits for the backend.
        stop: Whether the attempt was asked to end.
        warnings: Sentences for the user, part of the result.
        seconds: Time spent, by stage.
        job_eta: Knows how long the job still takes.
        trackers: Those of `report_to`; they are closed when the attempt ends.
    """

    def __init__(self, arguments: Arguments, secrets: MutableMapping[str, str]) -> None:
        settings = OperatorSettings.from_environment(secrets)
        self._redactor = Redactor(find_secrets(secrets))
        auth_token = read_credential(secrets.pop("WHISPERTRAIN_AUTH_TOKEN", ""))
        worker_api_key = read_credential(secrets.pop("WHISPERTRAIN_WORKER_API_KEY", ""))
        source, output_dir = arguments.source, Path(arguments.training.output_dir)
        self.arguments = arguments
        self.folder = RunFolder(output_dir)
        self.warnings: list[str] = []
        self.seconds: dict[str, float] = {}
        self.job_eta = JobEta()
        self.trackers = Trackers(self.folder, self.warn)
        self._stage = ""
        self.stop = StopSignal(self.folder, settings.grace_seconds)
        self._is_finished = False
        self.is_main = PartialState().is_main_process
        self.backend: BackendClient | None = None
        self._sender: EventSender | None = None
        self._exit_code = 0
        self._flush_seconds = settings.flush_seconds
        output_dir.mkdir(parents=True, exist_ok=True)
        self._lock = open_lock(self.folder.train_lock)
        if self.is_main:
            # A worker that was killed may have left a trainer behind that still writes its last checkpoint.
            acquire(
                self._lock,
                f"Another process trains in {output_dir}; wait for it, or give another output_dir.",
                wait_seconds=settings.grace_seconds,
            )
        check_shared(self.folder)
        if source.backend_base_url:
            self.backend = BackendClient(
                source.backend_base_url,
                auth_token=auth_token,
                worker_api_key=worker_api_key,
                allow_private=settings.is_private_backend_allowed,
            )
        self.outbox = Outbox(
            self.folder.events,
            source.job_id or output_dir.name,
            redactor=self._redactor,
            attempt_id=secrets.get("WHISPERTRAIN_ATTEMPT_ID", ""),
        )

    def __enter__(self) -> Self:
        if self.is_main:
            # A finished run is answered also where it cannot be written any more.
            with suppress(OSError) if self.folder.read_result() else nullcontext():
                self.folder.forget_error()
            self.outbox.begin_attempt()
            if self.backend:
                self._sender = EventSender(self.outbox, self.backend)
                self._sender.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> NoReturn:
        """Report how the attempt ended, deliver what still waits, and end the process."""
        if error is not None and self._is_finished:
            logger.warning("After the end of the run: %s", self._redactor.redact(repr(error)))
            error = None  # what was reached stays, whatever failed around it
        if error is not None:
            self._report_error(error)
        is_interrupted = isinstance(error, InterruptedTraining)
        # Whoever asked for the stop will not wait long; the next attempt delivers the rest.
        flush_seconds = min(2.0, self._flush_seconds) if is_interrupted else self._flush_seconds
        self.trackers.close(
            "interrupted" if is_interrupted else "failed" if error else "finished", flush_seconds
        )
        if self._sender and not self._sender.stop(flush_seconds):
            logger.warning("Some progress events could not be delivered; they wait in the run's folder.")
        exit_now(INTERRUPTED if is_interrupted else 1 if error else self._exit_code)

    def report(self, stage: Stage, fields: Mapping[str, Any] | None = None, *, repeats: bool = False) -> None:
        """Send an event: once in the run's life, however often it resumes, unless the stage repeats."""
        if not self.is_main:
            return
        stats = {"system_stats": system_stats(self.folder.path)} if stage in WITH_SYSTEM_STATS else {}
        self.outbox.append(stage, {**(fields or {}), **stats}, key=None if repeats else stage)

    @contextmanager
    def stage(self, name: str, event: Stage | None = None, *, main_first: bool = False) -> Iterator[None]:
        """Report that a stage begins, and add the time that the body takes to `seconds[name]`.

        Args:
            name: The stage in the result's `seconds_by_stage`.
            event: What the platform is sent.
            main_first: Whether one process of each machine does the body before the others.
        """
        if event:
            self.report(event)
        self._stage = name
        started = time.monotonic()
        if main_first:
            with local_main_first():
                yield
        else:
            yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - started, 3)

    def bar(self, name: str, total: int | None, unit: str, *, is_told: bool = True) -> StageBar:
        """A progress bar on the console of the main process, and in `stage_progress` events if it is told."""

        def tell(fields: dict[str, Any]) -> None:
            eta = fields["eta_seconds"]
            job_eta = None if eta is None else self.job_eta.after_training(self._stage, name, eta)
            fields = {"stage": self._stage, **fields, "job_eta_seconds": job_eta}
            self.report(Stage.STAGE_PROGRESS, fields, repeats=True)

        return StageBar(name, total, unit, tell if is_told else lambda _: None, is_shown=self.is_main)

    def warn(self, *warnings: str) -> None:
        """Tell the user with the result, and in the log at once."""
        for warning in warnings:
            logger.warning("%s", warning)
        self.warnings += warnings

    def redact(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values without the secrets that the attempt was given."""
        return dict(self._redactor.redact_values(values))

    def cached(self, name: str, kind: type[T], depends_on: Mapping[str, Any], make: Callable[[], T]) -> T:
        """What an earlier attempt left under this name, else what `make` makes, left there for the next.

        The main process looks, since the others may be on machines that do not share its disk: all of them
        find it or all of them make it.

        Args:
            name: Of the file in the run's folder.
            kind: Type of what is made; what pydantic can write and read.
            depends_on: Another content makes it anew. Ready for JSON.
            make: Makes it; called by every process or by none.
        """
        path = self.folder.cached / f"{name}.json"
        saved = read_state(path, _Cached[kind]) if self.is_main else None  # type: ignore[valid-type] # a type
        found = [(saved.content,) if saved and saved.depends_on == dict(depends_on) else None]
        broadcast_object_list(found)
        if found[0] is not None:
            return found[0][0]
        made = make()
        if self.is_main:
            path.parent.mkdir(exist_ok=True)
            content = TypeAdapter(kind).dump_python(made, mode="json")
            write_state(path, {"depends_on": dict(depends_on), "content": content})
        return made

    def is_finished(self) -> bool:
        """Whether an earlier attempt left a result; says so, and reports the end if that one could not.

        A run that published nothing goes on where `publish_if_worse` now asks for its model.
        """
        found = [self.folder.read_result() if self.is_main else None]
        broadcast_object_list(found)
        result = found[0]
        model_path = _model_path_of(result or {})
        if result is None or not (model_path or not self.arguments.publish.publish_if_worse):
            return False
        what = f"its model is in {model_path}" if model_path else "it published no model"
        logger.info(
            "The run in %s is finished already, %s. Give another output_dir to train anew.",
            self.folder.path,
            what,
        )
        self._exit_code = 0 if model_path else NOTHING_PUBLISHED
        if self.is_main and not self.outbox.has_told(Stage.COMPLETED):
            self.outbox.append(Stage.COMPLETED, {"final_result": result})
        return True

    def finish(self, result: Mapping[str, Any]) -> None:
        """Make the result durable, then report it."""
        if self.is_main:
            self._exit_code = 0 if _model_path_of(result) else NOTHING_PUBLISHED
            self.folder.write_result(self.redact(result))
            self._is_finished = True
            shutil.rmtree(self.folder.sounds, ignore_errors=True)  # no epoch needs them any more
            self.outbox.append(Stage.COMPLETED, {"final_result": result})
            sys.stdout.write("\n".join(["", *describe_result(self.redact(result)), ""]))

    def _report_error(self, error: BaseException) -> None:
        if is_lost_process(error):
            error = self._explain_loss(error)
        error = explain_disk(self.folder.path, error) or error
        is_expected = isinstance(error, RecipeError | InterruptedTraining)
        sentence = sentence_of(error) if isinstance(error, RecipeError) else str(error)
        message = sentence if is_expected else f"An unexpected {type(error).__name__}: {error}"
        trace = "".join(traceback.format_exception(error))
        logger.error("%s", self._redactor.redact(message if is_expected else trace))
        failure = {"error": self._redactor.redact(message), "error_type": type(error).__name__}
        try:
            earlier = self.folder.read_error()
            # The first process to fail knows why; one that was refused the folder knows nothing of it.
            if earlier is None or earlier[1] == JobConflictError.__name__:
                self.folder.write_error(failure["error"], failure["error_type"])
        except OSError as problem:
            logger.warning("The error could not be left in the run's folder: %s", problem)
        if isinstance(error, DataError):
            with suppress(OSError):
                forget_downloads(self.folder.downloads)
        if not self.is_main:
            return
        if isinstance(error, InterruptedTraining):
            self.outbox.append(Stage.INTERRUPTED, {**failure, "can_resume": True})
        else:
            fields = {**failure, "system_stats": system_stats(self.folder.path), "traceback": trace}
            self.outbox.append(Stage.FAILED, fields)

    def _explain_loss(self, error: BaseException) -> LostProcessError:
        """What the first process to fail left as its reason, and what to do."""
        logger.error("%s", error)
        first = self.folder.read_error()
        reason = first[0] if first else "its own log, or its machine's, says why."
        return LostProcessError(
            f"Another process of this training ended or fell silent: {reason} To go on from the last whole "
            "checkpoint, start the same command again, on every machine."
        )


def _model_path_of(result: Mapping[str, Any]) -> str:
    artifacts = result.get("artifacts")
    return str(artifacts.get("model_path") or "") if isinstance(artifacts, Mapping) else ""


def refuse(output_dir: Path, error: RecipeError | InterruptedTraining | OSError) -> NoReturn:
    """End a process that cannot begin: the sentence in the run's folder and on each console, no traceback."""
    problem = explain_disk(output_dir, error) or error
    if isinstance(problem, OSError):
        raise problem
    if is_first_of_machine(os.environ):
        logger.error("%s", problem)
    if is_first_of_all(os.environ):
        with suppress(OSError):  # the folder may be what is refused
            output_dir.mkdir(parents=True, exist_ok=True)
            RunFolder(output_dir).write_error(str(problem), type(problem).__name__)
    exit_now(INTERRUPTED if isinstance(problem, InterruptedTraining) else 1)


def set_up_process() -> None:
    """Let the process end with its launcher, log to stderr, one line each, and print no secret.

    Libraries log only when something is wrong, since some log addresses. The processes do not meet yet: how
    long they wait for one another is in the arguments.
    """
    if "ACCELERATE_MIXED_PRECISION" in os.environ:  # a launcher does not end its processes when it is killed
        die_with_parent(signal.SIGTERM)
    open_standard_streams()
    redact_output(Redactor(find_secrets(os.environ)))
    level = logging.INFO if is_first_of_all(os.environ) else logging.WARNING
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", force=True)
    logging.getLogger("recipe").setLevel(level)
    logging.getLogger("train").setLevel(level)
    transformers.utils.logging.set_verbosity_error()  # it warns of what every Whisper generation does


def exit_now(code: int) -> NoReturn:
    """End the process without the shutdown of libraries: gloo can abort after the result is durable."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # the log may be on a full disk
            stream.flush()
    os._exit(code)
