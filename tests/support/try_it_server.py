"""The page of `scripts/try_it.py`, served as a user starts it."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from processes import wait_for

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def serve_try_it(model: Path) -> Iterator[httpx.Client]:
    """A client of the page, with a model on both sides."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "scripts/try_it.py", str(model), "--base", str(model)]
    server = subprocess.Popen([*command, "--port", str(port), "--language", "en"], cwd=ROOT)
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60)

    def answers() -> bool:
        assert server.poll() is None, "it did not start"
        try:
            return client.get("/models").is_success
        except httpx.TransportError:
            return False

    try:
        wait_for(answers, 60)
        yield client
    finally:
        client.close()
        server.terminate()
        server.wait()
