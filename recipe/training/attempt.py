"""One attempt at a run on one process: where it reports, how it ends, and what it leaves for the next one.

`result.json` is the truth of a finished run, `error.json` of a failed attempt; both appear whole or not
at all. Exactly one terminal event ends an attempt; an interrupted one ends without, since it goes on.
"""

import json
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

import transformers
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from pydantic import TypeAdapter
from tqdm.auto import tqdm

from recipe.backend.client import BackendClient
from recipe.backend.events import EventSender, Outbox
from recipe.errors import InterruptedTraining, JobConflictError, RecipeError, TrainingError
from recipe.run.files import acquire, read_json, write_json
from recipe.run.folder import RunFolder
from recipe.run.launch import die_with_parent
from recipe.run.machine import system_stats
from recipe.run.redaction import Redactor
from recipe.run.settings import OperatorSettings
from recipe.run.stages import Stage
from recipe.training.arguments import Arguments
from recipe.training.distributed import check_shared, is_lost_process, local_main_first
from recipe.training.shutdown import EXIT_CODE, StopSignal

logger = logging.getLogger(__name__)

T = TypeVar("T")

WITH_SYSTEM_STATS = frozenset({Stage.INITIALIZING, Stage.MODEL_LOADED, Stage.STARTING_TRAINING})
"""Events that say how busy the machine is."""


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
    """

    def __init__(self, arguments: Arguments, secrets: MutableMapping[str, str]) -> None:
        settings = OperatorSettings.from_environment(secrets)
        auth_token = secrets.pop("WHISPERTRAIN_AUTH_TOKEN", "")
        worker_api_key = secrets.pop("WHISPERTRAIN_WORKER_API_KEY", "")
        source, output_dir = arguments.source, Path(arguments.training.output_dir)
        self.arguments = arguments
        self.folder = RunFolder(output_dir)
        self.warnings: list[str] = []
        self.seconds: dict[str, float] = {}
        self.stop = StopSignal(settings.grace_seconds)
        self.is_main = PartialState().is_main_process
        self.backend: BackendClient | None = None
        self._redactor = Redactor([auth_token, worker_api_key])
        self._sender: EventSender | None = None
        self._flush_seconds = settings.flush_seconds
        output_dir.mkdir(parents=True, exist_ok=True)
        self._lock = self.folder.train_lock.open("a")
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
            self.folder.events, source.job_id or output_dir.name, redact=self._redactor.redact
        )

    def __enter__(self) -> Self:
        if self.is_main:
            self.folder.error.unlink(missing_ok=True)
            if not self.folder.result.exists():  # else all is reported already, but for the end
                self.outbox.begin_attempt()
            if self.backend:
                self._sender = EventSender(self.outbox, self.backend)
                self._sender.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> NoReturn:
        """Report how the attempt ended, deliver what still waits, and end the process."""
        if error is not None:
            self._report_error(error)
        is_interrupted = isinstance(error, InterruptedTraining)
        # Whoever asked for the stop will not wait long; the next attempt delivers the rest.
        flush_seconds = min(2.0, self._flush_seconds) if is_interrupted else self._flush_seconds
        if self._sender and not self._sender.stop(flush_seconds):
            logger.warning("Some progress events could not be delivered; they wait in the run's folder.")
        exit_now(EXIT_CODE if is_interrupted else int(error is not None))

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
        started = time.monotonic()
        if main_first:
            with local_main_first():
                yield
        else:
            yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - started, 3)

    def bar(self, name: str, total: int | None, unit: str) -> "tqdm[NoReturn]":
        """A progress bar on the console of the main process."""
        return tqdm(desc=name, total=total, unit=unit, unit_scale=unit == "B", disable=not self.is_main)

    def warn(self, *warnings: str) -> None:
        """Tell the user with the result, and in the log at once."""
        for warning in warnings:
            logger.warning("%s", warning)
        self.warnings += warnings

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
        adapter = TypeAdapter(kind)
        found: list[Any] = [_read_cached(path, depends_on) if self.is_main else None]
        broadcast_object_list(found)
        if found[0] is not None:
            return adapter.validate_python(found[0])
        made = make()
        if self.is_main:
            path.parent.mkdir(exist_ok=True)
            write_json(
                path, {"depends_on": dict(depends_on), "content": adapter.dump_python(made, mode="json")}
            )
        return made

    def finish(self, result: Mapping[str, Any]) -> None:
        """Make the result durable, then report it."""
        if self.is_main:
            write_json(self.folder.result, json.loads(self._redactor.redact(json.dumps(result))))
            self.outbox.append(Stage.COMPLETED, {"final_result": result})

    def _report_error(self, error: BaseException) -> None:
        if is_lost_process(error):
            error = self._explain_loss(error)
        is_expected = isinstance(error, RecipeError)
        message = str(error) if is_expected else f"An unexpected {type(error).__name__}: {error}"
        trace = "".join(traceback.format_exception(error))
        logger.error("%s", self._redactor.redact(message if is_expected else trace))
        failure = {"error": self._redactor.redact(message), "error_type": type(error).__name__}
        earlier = self.folder.read_error()
        # The first process to fail knows why; a process that was refused the folder knows nothing of it.
        if earlier is None or earlier[1] == JobConflictError.__name__:
            self.folder.write_error(failure["error"], failure["error_type"])
        if not self.is_main:
            return
        if isinstance(error, InterruptedTraining):
            self.outbox.append(Stage.INTERRUPTED, failure)
        else:
            fields = {**failure, "system_stats": system_stats(self.folder.path), "traceback": trace}
            self.outbox.append(Stage.FAILED, fields)

    def _explain_loss(self, error: BaseException) -> TrainingError:
        """What the first process to fail left as its reason, and what to do."""
        logger.error("%s", error)
        first = self.folder.read_error()
        reason = first[0] if first else "its own log, or its machine's, says why."
        return TrainingError(
            f"Another process of this training ended or fell silent: {reason} To go on from the last whole "
            "checkpoint, start the same command again, on every machine."
        )


def _read_cached(path: Path, depends_on: Mapping[str, Any]) -> Any:
    saved = read_json(path) or {}
    return saved.get("content") if saved.get("depends_on") == dict(depends_on) else None


def refuse(output_dir: Path, error: RecipeError) -> NoReturn:
    """End a process that cannot begin: the sentence in the run's folder and on each console, no traceback."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        logger.error("%s", error)
    if os.environ.get("RANK", "0") == "0":
        output_dir.mkdir(parents=True, exist_ok=True)
        RunFolder(output_dir).write_error(str(error), type(error).__name__)
    exit_now(1)


def set_up_process() -> None:
    """Let the process end with its launcher, and log to stderr, one line each.

    Libraries log only when something is wrong, since some log addresses. The processes do not meet yet: how
    long they wait for one another is in the arguments.
    """
    if "ACCELERATE_MIXED_PRECISION" in os.environ:  # a launcher does not end its processes when it is killed
        die_with_parent(signal.SIGTERM)
    level = logging.INFO if os.environ.get("RANK", "0") == "0" else logging.WARNING
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", force=True)
    logging.getLogger("recipe").setLevel(level)
    logging.getLogger("train").setLevel(level)
    transformers.utils.logging.set_verbosity_error()  # it warns of what every Whisper generation does


def exit_now(code: int) -> NoReturn:
    """End the process without the shutdown of libraries: gloo can abort after the result is durable."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
