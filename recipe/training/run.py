"""The life of a run: where it reports, how it ends, and what it leaves for the one that comes after.

`result.json` is the truth of a finished run, `error.json` of a failed attempt; both appear whole or not
at all. Exactly one terminal event ends an attempt; an interrupted one ends without, since it goes on.
"""

import json
import logging
import os
import sys
import time
import traceback
import uuid
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import torch
import transformers
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

from recipe.arguments import SourceArguments
from recipe.backend.client import BackendClient
from recipe.backend.events import EventSender, Outbox
from recipe.data.shares import node_share
from recipe.errors import InterruptedTraining, JobError, RecipeError, TrainingError
from recipe.job import Stage
from recipe.redaction import Redactor
from recipe.run_folder import RunFolder, acquire, write_json
from recipe.settings import OperatorSettings
from recipe.system import system_stats
from recipe.training.interruption import EXIT_CODE, StopSignal

logger = logging.getLogger(__name__)

SHARED_DISK_SECONDS = 60.0
"""Time after which what one machine wrote is seen by all others: NFS keeps what it knows that long."""

LONG_WAIT = timedelta(days=2)
"""Time that other processes wait for the main one's downloads and preparation; a collective's is minutes."""


class Run:
    """One attempt at one run, on one process; only the main process speaks to the platform.

    Args:
        output_dir: The run's folder.
        source: Names the job and the backend.
        secrets: The environment; the two credentials are taken out of it.

    Raises:
        JobError: if the backend's address cannot be used, or another process trains in the same folder.

    Attributes:
        warnings: Sentences for the user, told with the result.
        seconds: Time spent, by stage.
    """

    def __init__(self, output_dir: Path, source: SourceArguments, secrets: MutableMapping[str, str]) -> None:
        settings = OperatorSettings.from_environment(secrets)
        auth_token = secrets.pop("WHISPERTRAIN_AUTH_TOKEN", "")
        worker_api_key = secrets.pop("WHISPERTRAIN_WORKER_API_KEY", "")
        self.output_dir = output_dir
        self.warnings: list[str] = []
        self.seconds: dict[str, float] = {}
        self.stop = StopSignal(settings.grace_seconds)
        self.is_main = PartialState().is_main_process
        self.redactor = Redactor([auth_token, worker_api_key])
        self.backend: BackendClient | None = None
        self._sender: EventSender | None = None
        self._flush_seconds = settings.flush_seconds
        output_dir.mkdir(parents=True, exist_ok=True)
        self._lock = (output_dir / "train.lock").open("a")
        if self.is_main:
            # A worker that was killed may have left a trainer behind that still writes its last checkpoint.
            acquire(
                self._lock,
                f"Another process trains in {output_dir}; wait for it, or give another output_dir.",
                wait_seconds=settings.grace_seconds,
            )
        check_shared(output_dir)
        if source.backend_base_url:
            self.backend = BackendClient(
                source.backend_base_url,
                auth_token=auth_token,
                worker_api_key=worker_api_key,
                allow_private=settings.is_private_backend_allowed,
            )
        self.outbox = Outbox(
            output_dir / "events.sqlite", source.job_id or output_dir.name, redact=self.redactor.redact
        )

    def __enter__(self) -> Self:
        if self.is_main:
            (self.output_dir / "error.json").unlink(missing_ok=True)
            if not (self.output_dir / "result.json").exists():  # else all is told already, but for the end
                self.outbox.begin_attempt()
            if self.backend:
                self._sender = EventSender(self.outbox, self.backend)
                self._sender.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> NoReturn:
        """Tell how the attempt ended, deliver what still waits, and end the process."""
        if error is not None:
            self._tell_error(error)
        is_interrupted = isinstance(error, InterruptedTraining)
        # Whoever asked for the stop will not wait long; the next attempt delivers the rest.
        flush_seconds = min(2.0, self._flush_seconds) if is_interrupted else self._flush_seconds
        if self._sender and not self._sender.stop(flush_seconds):
            logger.warning("Some progress events could not be delivered; they wait in the run's folder.")
        exit_now(EXIT_CODE if is_interrupted else int(error is not None))

    def report(self, stage: Stage, fields: Mapping[str, Any] | None = None, *, repeats: bool = False) -> None:
        """Tell the platform: once in the run's life, however often it resumes, unless the stage repeats."""
        if self.is_main:
            self.outbox.append(stage, fields, key=None if repeats else stage)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the time that the body takes to `seconds[name]`."""
        started = time.monotonic()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - started, 3)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Make the result durable, then tell it."""
        if self.is_main:
            write_json(self.output_dir / "result.json", json.loads(self.redactor.redact(json.dumps(result))))
            self.outbox.append(Stage.COMPLETED, {"final_result": result})

    def _explain_loss(self, error: BaseException) -> TrainingError:
        """What the first process to fail left as its reason, and what to do."""
        logger.error("%s", error)
        first = RunFolder(self.output_dir).read_error()
        reason = first[0] if first else "its own log, or its machine's, says why."
        return TrainingError(
            f"Another process of this training ended or fell silent: {reason} To go on from the last whole "
            "checkpoint, start the same command again, on every machine."
        )

    def _tell_error(self, error: BaseException) -> None:
        if is_lost_process(error):
            error = self._explain_loss(error)
        is_expected = isinstance(error, RecipeError)
        message = str(error) if is_expected else f"An unexpected {type(error).__name__}: {error}"
        trace = "".join(traceback.format_exception(error))
        logger.error("%s", self.redactor.redact(message if is_expected else trace))
        failure = {"error": self.redactor.redact(message), "error_type": type(error).__name__}
        if not (self.output_dir / "error.json").exists():  # the first process to fail knows why
            write_json(self.output_dir / "error.json", failure)
        if not self.is_main:
            return
        if isinstance(error, InterruptedTraining):
            self.outbox.append(Stage.INTERRUPTED, failure)
        else:
            fields = {**failure, "system_stats": system_stats(self.output_dir), "traceback": trace}
            self.outbox.append(Stage.FAILED, fields)


def is_lost_process(error: BaseException) -> bool:
    """Whether a collective failed because another process ended or fell silent."""
    if PartialState().num_processes == 1 or not isinstance(error, RuntimeError):
        return False
    # Over gloo it is a plain RuntimeError that names where in gloo.
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)


def check_shared(output_dir: Path) -> None:
    """See that all machines of a training share the disk of its folder.

    Raises:
        JobError: if one does not; all processes raise it.
    """
    num_machines = node_share(os.environ).count
    if num_machines == 1:
        return
    token, path = [uuid.uuid4().hex], output_dir / "attempt"
    if PartialState().is_main_process:
        path.write_text(token[0])
    broadcast_object_list(token)
    deadline = time.monotonic() + SHARED_DISK_SECONDS
    while not (is_shared := path.exists() and path.read_text() == token[0]):
        if time.monotonic() > deadline:
            break
        time.sleep(0.5)
    if not all(gather_object([is_shared])):
        raise JobError(
            f"output_dir: {output_dir} is not the same folder on all {num_machines} machines. They prepare "
            "its data and go on from its checkpoints together: give a folder on a disk that they share."
        )


@contextmanager
def local_main_first() -> Iterator[None]:
    """Let one process of each machine do the body first; the others then find its work on disk."""
    state = PartialState()
    if state.num_processes == 1:
        yield
        return
    # A group of its own, because a collective that waits longer than the default time-out aborts the job.
    group = torch.distributed.new_group(backend="gloo", timeout=LONG_WAIT)
    if not state.is_local_main_process:
        torch.distributed.barrier(group)
    yield
    if state.is_local_main_process:
        torch.distributed.barrier(group)


def configure_logging() -> None:
    """Logs to stderr, one line each; libraries only when something is wrong, since some log addresses."""
    level = logging.INFO if PartialState().is_main_process else logging.WARNING
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
