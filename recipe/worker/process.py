"""A training as a child process: started with Accelerate, watched, stopped, and never orphaned.

The processes of one training are a launcher and, below it, one rank per GPU with helpers of its own.
A stop is addressed to the ranks: the single-process launcher of Accelerate dies of SIGTERM without
passing it on, and torch's elastic launcher gives its ranks 30 s whatever we want; a data loader's
worker that got the signal itself would break the training that is about to write its checkpoint.
"""

import asyncio
import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import psutil

from recipe.run.folder import RunFolder
from recipe.run.launch import REPOSITORY_DIR
from recipe.run.redaction import Redactor

logger = logging.getLogger(__name__)
child_output = logging.getLogger("train")

POLL_SECONDS = 0.25

_EXCEPTION = re.compile(r"[\w.]+(?:Error|Exception)\b")
_TERMINAL_CODE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# Of Accelerate, which raises CalledProcessError, and of torch's elastic launcher.
_LAUNCHER_OPENING = re.compile(r"Traceback \(most recent call last\)|[EWI]\d{4} .*torch/distributed/elastic")
_LAUNCHER_ERROR = re.compile(r"CalledProcessError|ChildFailedError")

# The wait between fork and exec is no place for Python code in a process with threads, so the child
# asks for the kernel's help after its first exec, and then becomes the launcher.
_TETHER = (
    "import os, signal, sys; from recipe.run.launch import die_with_parent; "
    "die_with_parent(signal.SIGTERM, int(sys.argv[1])); "
    "os.execv(sys.argv[2], sys.argv[2:])"
)


class TrainingProcess:
    """One running training: the launcher and everything below it."""

    def __init__(self, launcher: subprocess.Popen[bytes]) -> None:
        self._launcher = launcher
        self._family: set[psutil.Process] = set()

    @classmethod
    def start(cls, command: Sequence[str], *, environment: Mapping[str, str], log_path: Path) -> Self:
        """A training that has just been started, in a process group of its own.

        Its output goes straight to `log_path`: through a pipe it would break, mid-checkpoint, when we die.
        """
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("ab") as log:
            launcher = subprocess.Popen(  # noqa: S603 - our own command; the job's values are in a file
                [sys.executable, "-c", _TETHER, str(os.getpid()), *command],
                cwd=REPOSITORY_DIR,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        logger.info("Training started: process %d, log %s", launcher.pid, log_path)
        return cls(launcher)

    @property
    def exit_code(self) -> int | None:
        """The launcher's exit code, negative for a signal; None while it runs."""
        return self._launcher.poll()

    def is_running(self) -> bool:
        """Whether any process of the training is alive, the launcher or one that outlived it."""
        return bool(self._find_living())

    async def wait(self, timeout_seconds: float) -> bool:
        """Whether all processes of the training ended within the time."""
        deadline = time.monotonic() + timeout_seconds
        while self.is_running():
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(POLL_SECONDS)
        return True

    async def stop(self, grace_seconds: float) -> bool:
        """Ask the training to write its checkpoint and end; kill it when the time is up.

        Returns:
            Whether it ended by itself.
        """
        asked: set[psutil.Process] = set()
        deadline = time.monotonic() + grace_seconds
        while self.is_running() and time.monotonic() < deadline:
            # Asked again in every round, since a launcher may only just be starting its ranks.
            for process in self._find_ranks(has_asked=bool(asked)) - asked:
                _send_signal(process, signal.SIGTERM)
                asked.add(process)
            await asyncio.sleep(POLL_SECONDS)
        has_ended = not self.is_running()
        while self._find_living():
            self.kill()
            await asyncio.sleep(POLL_SECONDS)
        return has_ended

    def kill(self) -> None:
        """End every process of the training at once."""
        for process in self._find_living():
            _send_signal(process, signal.SIGKILL)

    def _find_ranks(self, *, has_asked: bool) -> set[psutil.Process]:
        """Those to be asked to stop: the launcher's children, itself before it has any, its survivors."""
        if self._launcher.poll() is not None:
            return self._find_living()
        try:
            launcher = psutil.Process(self._launcher.pid)
            return set(launcher.children()) or (set() if has_asked else {launcher})
        except psutil.NoSuchProcess:
            return set()

    def _find_living(self) -> set[psutil.Process]:
        """All living processes of the training: the launcher's session, and all that they ever started."""
        self._launcher.poll()
        self._family.update(_list_session(self._launcher.pid))
        for process in list(self._family):
            try:
                self._family.update(process.children(recursive=True))
            except psutil.NoSuchProcess:
                continue
        self._family = {process for process in self._family if self._is_alive(process)}
        return self._family

    def _is_alive(self, process: psutil.Process) -> bool:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                return True
            if process.pid != self._launcher.pid:
                # As the first process of a container we inherit orphans, and nobody else collects them.
                os.waitpid(process.pid, os.WNOHANG)
        except (psutil.NoSuchProcess, ChildProcessError):
            return False
        return False


class LogEcho:
    """Passes new lines of the training's log on to our own, without secrets.

    What a launcher says of a training that has left its own sentence is not passed on.

    Args:
        run: The run's folder; what is in its log already is not repeated.
        redactor: Knows the job's secrets.
    """

    def __init__(self, run: RunFolder, redactor: Redactor) -> None:
        self._run = run
        self._path = run.log
        self._redactor = redactor
        self._offset = self._path.stat().st_size if self._path.exists() else 0
        self._is_launcher_speaking = False
        self._last_lines: deque[str] = deque(maxlen=100)

    def finish(self) -> None:
        """Log the rest."""
        self.echo(is_final=True)

    def echo(self, *, is_final: bool = False) -> None:
        """Log the lines that were completed since the last call; with `is_final` also an unfinished one.

        A log that cannot be read is passed over: the training is judged by other files.
        """
        try:
            with self._path.open("rb") as log:
                log.seek(self._offset)
                content = log.read()
        except OSError as error:
            logger.debug("The log of the training cannot be read: %s", error)
            return
        end = len(content) if is_final else max(content.rfind(b"\n"), content.rfind(b"\r")) + 1
        self._offset += end
        *lines, rest = content[:end].decode(errors="replace").split("\n")
        for line in [*lines, rest] if is_final else lines:
            # A progress bar draws over itself; like a terminal, show how it ended.
            text = _TERMINAL_CODE.sub("", line.rstrip().rpartition("\r")[2])
            if text and not self._is_of_launcher(text):
                self._last_lines.append(self._redactor.redact(text))
                child_output.info("%s", self._last_lines[-1])

    def _is_of_launcher(self, line: str) -> bool:
        """Whether this line and all that follow only repeat that the training has ended."""
        # Also after a result: launchers take every exit code but 0 for a failure.
        has_ended = self._run.error.exists() or self._run.result.exists()
        if _LAUNCHER_OPENING.match(line) and has_ended:
            self._is_launcher_speaking = True
        return self._is_launcher_speaking

    def explain_death(self) -> str:
        """What the last lines tell about a training that left neither result nor error; "" if nothing."""
        killed = [line for line in self._last_lines if "SIGKILL" in line]
        if killed:
            return "it was killed, most often because memory ran out: try a smaller batch_size or model"
        own = [
            line for line in self._last_lines if _EXCEPTION.match(line) and not _LAUNCHER_ERROR.search(line)
        ]
        return f"its last error was {own[-1][:300]}" if own else ""


def _list_session(leader_pid: int) -> Iterator[psutil.Process]:
    """The processes that a session's leader started, whether or not it still lives."""
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            if os.getsid(pid) == leader_pid:
                yield psutil.Process(pid)


def _send_signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        logger.debug("Process %d ended by itself", process.pid)
