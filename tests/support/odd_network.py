"""A network between a run and its backend that answers oddly now and then."""

import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import httpx
from control_plane import QuietServer

MAX_IN_A_ROW = 2
"""Odd answers to one address before a true one: a client's patience is several times that."""

PAGE = b"<html>The service is being moved.</html>"


class OddNetwork:
    """Passes requests on to a backend; while it is odd, every second one meets something else.

    Args:
        backend: Address of the backend.
        source: Draws what happens.

    Attributes:
        address: To be used in place of the backend's.
        is_odd: Whether anything but the backend answers.
        seen: How often each oddity happened.
    """

    def __init__(self, backend: str, source: random.Random) -> None:
        self.is_odd = False
        self.seen: Counter[str] = Counter()
        self._source = source
        self._in_a_row: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._client = httpx.Client(base_url=backend, trust_env=False)
        network = self

        class Handler(_Handler):
            def answer(self) -> None:
                network._answer(self)

        self._server = QuietServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._client.close()

    def _answer(self, handler: "_Handler") -> None:
        oddities = FILE_ODDITIES if handler.command == "GET" else EVENT_ODDITIES
        name = self._draw(handler.path, list(oddities))
        if name:
            oddities[name](handler, self._pass_on)
        else:
            handler.reply(self._pass_on(handler))

    def _draw(self, path: str, names: list[str]) -> str:
        """What happens to a request; "" for nothing."""
        with self._lock:
            is_spared = not self.is_odd or self._in_a_row[path] == MAX_IN_A_ROW
            if is_spared or self._source.random() < 0.5:
                self._in_a_row[path] = 0
                return ""
            self._in_a_row[path] += 1
            name = self._source.choice(names)
            self.seen[name] += 1
            return name

    def _pass_on(self, handler: "_Handler") -> httpx.Response:
        names = ("authorization", "content-type", "range", "if-range")
        headers = {name: handler.headers[name] for name in names if name in handler.headers}
        return self._client.request(handler.command, handler.path, content=handler.body, headers=headers)


class _Handler(BaseHTTPRequestHandler):
    body = b""

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer()

    def answer(self) -> None:
        raise NotImplementedError

    def reply(self, response: httpx.Response, content: bytes | None = None) -> None:
        """Send the backend's answer, or its headers with only a part of its content."""
        self.send_response(response.status_code)
        for name, value in response.headers.items():
            if name not in {"connection", "transfer-encoding", "date", "server"}:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(response.content if content is None else content)

    def refuse(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(PAGE)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(PAGE)

    def reset(self) -> None:
        """Close the connection with a reset."""
        linger = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        self.wfile = open("/dev/null", "wb")  # noqa: SIM115, PTH123 - the base class closes it


PassOn = Callable[[_Handler], httpx.Response]
Oddity = Callable[[_Handler, PassOn], None]


def _late(handler: _Handler, pass_on: PassOn) -> None:
    time.sleep(0.5)
    handler.reply(pass_on(handler))


def _torn(handler: _Handler, pass_on: PassOn) -> None:
    response = pass_on(handler)
    handler.reply(response, response.content[: len(response.content) // 2])


def _taken_and_reset(handler: _Handler, pass_on: PassOn) -> None:
    """The backend has the event, and the run never hears of it."""
    pass_on(handler)
    handler.reset()


_ODDITIES: dict[str, Oddity] = {
    "500": lambda handler, _: handler.refuse(500),
    "502": lambda handler, _: handler.refuse(502),
    "503, at once again": lambda handler, _: handler.refuse(503, Retry_After="0"),
    "429 until a date in the past": lambda handler, _: handler.refuse(
        429, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"
    ),
    "reset": lambda handler, _: handler.reset(),
    "late": _late,
}
FILE_ODDITIES = _ODDITIES | {"torn": _torn}
EVENT_ODDITIES = _ODDITIES | {
    "taken and reset": _taken_and_reset,
    "301": lambda handler, _: handler.refuse(301, Location="/maintenance"),
    "400": lambda handler, _: handler.refuse(400),
    "501": lambda handler, _: handler.refuse(501),
}


@contextmanager
def serve_oddly(backend: str, source: random.Random) -> Iterator[OddNetwork]:
    network = OddNetwork(backend, source)
    try:
        yield network
    finally:
        network.close()
