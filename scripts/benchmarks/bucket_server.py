"""A real S3 server on loopback (moto) that counts what it sends, may be slow, and may fail when told to.

python -m scripts.benchmarks.bucket_server --latency 0.03      # prints its address, ends with its stdin
"""

import argparse
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Self

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIAWHISPERTRAIN",
    "AWS_SECRET_ACCESS_KEY": "a-secret-for-the-tests",
    "AWS_DEFAULT_REGION": "us-east-1",
}

Environ = dict[str, Any]
Fault = Callable[[Environ, bytes], "tuple[str, bytes, int] | None"]
"""Given a read and its true answer: status, content and announced length of the answer instead; or None."""


class BucketServer:
    """An S3 server in threads of this process.

    Args:
        latency_seconds: Time before each answer to a read.

    Attributes:
        fault: What goes wrong with reads.
        num_reads: Reads so far.
        num_bytes: Bytes of content sent so far.
    """

    def __init__(self, latency_seconds: float = 0.0) -> None:
        self.fault: Fault = lambda _environ, _content: None
        self.num_reads = 0
        self.num_bytes = 0
        self._latency_seconds = latency_seconds
        self._lock = threading.Lock()
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_QuietHandler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """What clients need."""
        return KEYS | {"AWS_ENDPOINT_URL": self.address}

    @property
    def address(self) -> str:
        """Of the server."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def _answer(self, environ: Environ, start: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "GET":
            return list(self._app(environ, start))
        time.sleep(self._latency_seconds)
        begun: list[Any] = []
        content = b"".join(self._app(environ, lambda *answer: begun.extend(answer)))
        fault = self.fault(environ, content)
        if fault:
            status, content, num_announced = fault
            # Else the client would wait for the rest on the same connection.
            begun[:2] = status, [("Content-Length", str(num_announced)), ("Connection", "close")]
        with self._lock:
            self.num_reads += 1
            self.num_bytes += len(content)
        start(*begun[:2])
        return [content]


def reset(environ: Environ, _content: bytes) -> None:
    """Close the connection of a read with a reset; a fault."""
    linger = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
    connection = environ["werkzeug.socket"]
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.shutdown(socket.SHUT_RDWR)


class _QuietHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept, as real stores keep them

    def log(self, *_arguments: Any) -> None:
        """Say nothing."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    with BucketServer(parser.parse_args().latency) as server:
        print(server.address, flush=True)
        for _ in sys.stdin:
            print(server.num_reads, server.num_bytes, flush=True)
