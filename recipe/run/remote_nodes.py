"""The machines of a list, each told by ssh to run its part of a training; one that is lost is told again."""

import logging
import shlex
import subprocess
import threading
import time
from collections.abc import Sequence

from recipe.run.restarts import FINISHED, INTERRUPTED, NOTHING_PUBLISHED, REFUSED

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 10.0
"""Between the end of a host's ssh and the next one: a host that starts anew needs minutes."""

LAST_CODES = frozenset({FINISHED, NOTHING_PUBLISHED, REFUSED, 2})
"""Exit codes that a host's part chooses by itself; others (255, 128 + signal) are of a host that is lost."""


class RemoteNodes:
    """Keeps the part of every host running.

    Args:
        hosts: As ssh knows them; the first is where the others meet.
        ssh: The command that runs another on a host: its words before the host's name.
        port: Of the first host, where the machines meet.
        pause_seconds: Before a lost host is tried again.
    """

    def __init__(
        self, hosts: Sequence[str], ssh: Sequence[str], port: int, pause_seconds: float = PAUSE_SECONDS
    ) -> None:
        self._hosts = hosts
        self._ssh = ssh
        self._port = port
        self._pause_seconds = pause_seconds
        self._stop = threading.Event()
        self._parts: dict[int, subprocess.Popen[bytes]] = {}

    def keep_running(self, command: str) -> int:
        """The exit code that `train.py` would give, once every host's part has ended.

        Args:
            command: The shell's line, with `{variables}` where a host's own go. It ends when its standard
                input is closed.
        """
        codes: dict[int, int] = {}
        starts = dict.fromkeys(range(len(self._hosts)), 0.0)
        while not self._stop.is_set() and len(codes) < len(self._hosts):
            for rank, due in list(starts.items()):
                if time.monotonic() >= due:
                    del starts[rank]
                    self._parts[rank] = self._start(rank, command)
            for rank, part in list(self._parts.items()):
                if (code := part.poll()) is None:
                    continue
                del self._parts[rank]
                if code in LAST_CODES:
                    codes[rank] = code
                    continue
                logger.warning("%s is lost (exit code %s); it is tried again.", self._hosts[rank], code)
                starts[rank] = time.monotonic() + self._pause_seconds
            if codes and not {*codes.values()} <= {FINISHED, NOTHING_PUBLISHED}:
                break  # the others would wait for it
            self._stop.wait(0.2)
        for part in self._parts.values():
            self._end(part)
        if self._stop.is_set():
            return INTERRUPTED
        return max(codes.values(), key=lambda code: (code in {REFUSED, 2}, code))

    def stop(self, *_: object) -> None:
        """Ask every host's part to save and end. Also a handler of signals."""
        self._stop.set()

    def _start(self, rank: int, command: str) -> subprocess.Popen[bytes]:
        variables = {
            "MASTER_ADDR": self._hosts[0].rpartition("@")[2],
            "MASTER_PORT": str(self._port),
            "NUM_NODES": str(len(self._hosts)),
            "NODE_RANK": str(rank),
        }
        words = shlex.join(f"{name}={value}" for name, value in variables.items())
        line = [*self._ssh, self._hosts[rank], command.replace("{variables}", words, 1)]
        # A session of its own: Ctrl-C is for this process, which lets the hosts save.
        return subprocess.Popen(line, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603 - ours

    def _end(self, part: subprocess.Popen[bytes]) -> None:
        assert part.stdin
        part.stdin.close()
        part.wait()
