"""Runs of `train.py` and of scripts, forked from one process that has imported what they need.

    python warm_parent.py serve SOCKET                # the warm parent, until nobody is connected any more
    python warm_parent.py run SCRIPT [ARGUMENT ...]   # in place of `python SCRIPT …`, below the parent

A run starts in milliseconds instead of the seconds that imports take. It is a process of its own all the
same: it leads its own session, has the arguments, environment, output and random state of a fresh one, and
executes the script as `__main__`; it is stopped or killed by its pid. What libraries read while they are
imported is the warm parent's, so a run whose environment differs there is refused. All pytest workers share
one parent. It has a single thread, so that a fork is a whole copy.

Only the standard library is imported here at the top: `run` itself has to start fast.
"""

import contextlib
import fcntl
import gc
import importlib
import json
import os
import random
import runpy
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

REPOSITORY = Path(__file__).resolve().parents[2]

SOCKET_VARIABLE = "WHISPERTRAIN_TEST_PARENT"
"""Environment variable with the path of the socket, the same in all pytest workers."""

LATE_PREFIXES = (
    *("WHISPERTRAIN_", "RUNPOD_", "PYTHON", "AWS_"),
    *("MASTER_", "WORLD_SIZE", "RANK", "LOCAL_RANK"),
    "LC_CTYPE",  # set by Python itself
)
"""Of environment variables that no library reads while it is imported."""

IMPORTED = ("train", "torch.utils.tensorboard", "transformers.pipelines")
"""What runs import, early or late."""

SECONDS_TO_FIRST = 60.0
"""Time after which a warm parent ends that nobody has asked for anything: whoever started it is gone."""

_NUMBER = struct.Struct("!i")


@dataclass(frozen=True)
class Request:
    """What one connection asks for.

    Attributes:
        command: The script, from the root of the repository, and its arguments.
        environment: All variables.
        streams: File descriptors of its stdout and stderr.
    """

    command: list[str]
    environment: dict[str, str]
    streams: list[int]


@dataclass
class Parent:
    """Forks a run for each connection that asks for one, and tells it the pid and later the exit code.

    A connection that is closed before its run has ended takes the run's whole session with it. The parent
    ends with the last connection.
    """

    server: socket.socket
    connections: set[socket.socket] = field(default_factory=set)
    runs: dict[int, socket.socket] = field(default_factory=dict)

    def serve(self) -> Request | None:
        """What this process, a fork, has to run; None in the parent, once nobody is left."""
        woken, wake = socket.socketpair()
        wake.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake.fileno())
        selector = selectors.DefaultSelector()
        selector.register(self.server, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        is_used = False
        while self.connections or not is_used:
            events = selector.select(None if is_used else SECONDS_TO_FIRST)
            if not events:
                return None
            for key, _ in events:
                source = key.fileobj
                assert isinstance(source, socket.socket)
                if source is self.server:
                    connection, _ = source.accept()
                    self.connections.add(connection)
                    selector.register(connection, selectors.EVENT_READ)
                    is_used = True
                elif source is woken:
                    woken.recv(1024)
                    self._tell_ends()
                elif request := _receive(source):
                    if self._fork(source, request):
                        selector.close()
                        for inherited in (self.server, woken, wake, *self.connections):
                            inherited.close()
                        return request
                else:
                    selector.unregister(source)
                    self._forget(source)
        return None

    def _fork(self, connection: socket.socket, request: Request) -> bool:
        """Whether this is the new process."""
        started, start = os.pipe()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            os.close(started)
            os.close(start)
            return True
        os.close(start)
        os.read(started, 1)  # returns once the other end is closed, when the run leads its session
        for used in (started, *request.streams):
            os.close(used)
        self.runs[pid] = connection
        _send_number(connection, pid)
        return False

    def _tell_ends(self) -> None:
        while self.runs:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            _send_number(self.runs.pop(pid), os.waitstatus_to_exitcode(status))

    def _forget(self, connection: socket.socket) -> None:
        for pid, owner in self.runs.items():
            if owner is connection:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
        self.connections.remove(connection)
        connection.close()


def _receive(connection: socket.socket) -> Request | None:
    """What is asked for; None if the connection was closed."""
    try:
        size, streams, _, _ = socket.recv_fds(connection, _NUMBER.size, 2)
    except ConnectionError:
        return None
    if not size:
        return None
    content = connection.recv(*_NUMBER.unpack(size), socket.MSG_WAITALL)
    return Request(**json.loads(content), streams=streams)


def _send_number(connection: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # whoever asked is gone
        connection.sendall(_NUMBER.pack(number))


def check_threads() -> None:
    """See that no import has started a thread: a fork would lack it."""
    assert threading.active_count() == 1
    tasks = Path("/proc/self/task")
    names = [(task / "comm").read_text().strip() for task in tasks.iterdir()] if tasks.exists() else []
    # The allocator of pyarrow starts its thread anew after a fork.
    assert len([name for name in names if name != "jemalloc_bg_thd"]) <= 1, names


def early(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that libraries may read while they are imported."""
    return {name: value for name, value in environment.items() if not name.startswith(LATE_PREFIXES)}


def become(request: Request, started_with: Mapping[str, str]) -> None:
    """Do what a new Python with this command does, from here to the end of the process.

    Args:
        request: The command and its surroundings.
        started_with: The environment variables that this process had before its imports.
    """
    for number, stream in enumerate(request.streams, start=1):
        os.dup2(stream, number)
        os.close(stream)
    if early(request.environment) != early(started_with):
        differing = early(request.environment).items() ^ early(started_with).items()
        sys.exit(f"Such an environment needs a Python of its own: {sorted({name for name, _ in differing})}")
    set_by_imports = {name: value for name, value in os.environ.items() if name not in started_with}
    os.environ.clear()
    os.environ.update(set_by_imports | request.environment)
    sys.stdout.reconfigure(write_through=bool(os.environ.get("PYTHONUNBUFFERED")))  # type: ignore[union-attr]
    sys.argv = list(request.command)
    script = REPOSITORY / request.command[0]
    sys.path[0] = str(script.parent)
    # Each process has a random state of its own until it is given a seed; Python's own sees to that itself.
    sys.modules["numpy"].random.seed()
    sys.modules["torch"].seed()
    random.seed()
    runpy.run_path(str(script), run_name="__main__")


def serve(path: str) -> None:
    """Be the parent, or after a fork one of its runs."""
    started_with = dict(os.environ)
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(64)
    if os.fork():
        os._exit(0)  # it is there: requests wait until all is imported
    os.setsid()
    sys.path[0] = str(REPOSITORY)
    for name in IMPORTED:
        importlib.import_module(name)
    check_threads()
    gc.collect()
    gc.freeze()  # a run has garbage of its own to look for
    request = Parent(server).serve()
    if request:
        become(request, started_with)


class ForkedRun:
    """A run below the warm parent; has the part of the interface of `subprocess.Popen` that tests use.

    Args:
        command: The script, from the root of the repository, and its arguments.
        environment: All variables.
        stdout: Takes what it prints.
        stderr: Takes what it prints to stderr; `stdout` by default.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        stdout: IO[Any],
        stderr: IO[Any] | None = None,
    ) -> None:
        hold_parent(environment)
        self.args = list(command)
        self.returncode: int | None = None
        self._connection = _connect()
        content = json.dumps({"command": self.args, "environment": dict(environment)}).encode()
        streams = [stdout.fileno(), (stderr or stdout).fileno()]
        socket.send_fds(self._connection, [_NUMBER.pack(len(content))], streams)
        self._connection.sendall(content)
        self.pid = self._read_number()

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while the run goes on."""
        return self.returncode if self.returncode is not None else self._take_returncode(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once there is one.

        Raises:
            TimeoutExpired: if there is none after `timeout` seconds.
        """
        returncode = self.returncode if self.returncode is not None else self._take_returncode(timeout)
        if returncode is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the run has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """As kill -9."""
        self.send_signal(signal.SIGKILL)

    def _take_returncode(self, timeout: float | None) -> int | None:
        self._connection.settimeout(timeout)
        with contextlib.suppress(TimeoutError, BlockingIOError):
            self.returncode = self._read_number()
            self._connection.close()
        return self.returncode

    def _read_number(self) -> int:
        with contextlib.suppress(ConnectionError):
            content = self._connection.recv(_NUMBER.size, socket.MSG_WAITALL)
            if content:
                return int(_NUMBER.unpack(content)[0])
        raise AssertionError(f"The warm parent is gone: {_log_file().read_text()}")


_held: list[socket.socket] = []


def hold_parent(environment: Mapping[str, str]) -> None:
    """Have the warm parent live at least as long as this process, with an environment if it has to start."""
    if _held:
        return
    path = _socket_path()
    with path.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            _held.append(_connect())
            return
        path.unlink(missing_ok=True)
        command = [sys.executable, __file__, "serve", str(path)]
        with _log_file().open("wb") as log:
            subprocess.run(
                command, env=early(environment), stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True
            )
        _held.append(_connect())


def release_parent() -> None:
    """Let the warm parent end, if nobody else holds it."""
    while _held:
        _held.pop().close()


def _connect() -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(_socket_path()))
    except OSError:
        connection.close()
        raise
    return connection


def _socket_path() -> Path:
    if SOCKET_VARIABLE not in os.environ:
        os.environ[SOCKET_VARIABLE] = str(Path(tempfile.mkdtemp(prefix="warm-parent-")) / "socket")
    return Path(os.environ[SOCKET_VARIABLE])


def _log_file() -> Path:
    return _socket_path().with_suffix(".log")


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        sys.exit(ForkedRun(sys.argv[2:], os.environ, sys.stdout, sys.stderr).wait() & 0xFF)
