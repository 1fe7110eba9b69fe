"""The client against real sockets: servers that drip, break off, lie about lengths, redirect and worse."""

import datetime as dt
import gzip
import http.server
import json
import logging
import resource
import socket
import ssl
import threading
import time
import zlib
from contextlib import contextmanager

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from recipe.backend.address import CheckedTransport
from recipe.backend.answers import UnavailableError
from recipe.backend.client import BackendClient
from recipe.backend.events import EventSender, Outbox
from recipe.backend.limits import Limits
from recipe.errors import AuthenticationError, BackendError

TOKEN = "header.payload.signature"
AUDIO = bytes(range(256)) * 4000  # 1 MB
QUICK = Limits(
    connect_seconds=2.0,
    answer_seconds=1.0,
    stall_seconds=0.5,
    num_attempts=3,
    backoff_seconds=0.01,
    max_backoff_seconds=0.02,
)


class RawServer:
    """A loopback server whose answers are written by hand, byte by byte where it matters.

    Each request is read up to its blank line and its body, kept in `requests`, and handed with the socket
    to `respond`; then the connection is closed.
    """

    def __init__(self, respond, *, host="127.0.0.1", tls=None):
        self.requests = []
        self._respond = respond
        self._tls = tls
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, 0), family=family)
        self.port = self._socket.getsockname()[1]
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(10)

    def _serve(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._answer, args=(connection,), daemon=True))
            self._threads[-1].start()

    def _answer(self, connection):
        with connection:
            try:
                if self._tls:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                with connection:
                    request = read_request(connection)
                    self.requests.append(request)
                    self._respond(connection, request)
            except OSError:
                return  # the client has had enough, which is what these tests are about


class Request:
    def __init__(self, head, body):
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = lines[0].split(" ", 2)
        self.headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:] if line)
        }
        self.body = body


def read_request(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    request = Request(head, body)
    while len(request.body) < int(request.headers.get("content-length", 0)):
        request.body += connection.recv(65536)
    return request


@contextmanager
def serving(respond, **arguments):
    server = RawServer(respond, **arguments)
    try:
        yield server
    finally:
        server.close()


def client_of(server, *, limits=QUICK, **arguments):
    return BackendClient(f"http://127.0.0.1:{server.port}", allow_private=True, limits=limits, **arguments)


def fetch(server, destination, *, max_bytes=1 << 24, **arguments):
    with client_of(server, **arguments) as client:
        return client.fetch_upload("user", "a.wav", destination, max_bytes=max_bytes)


def head(status="200 OK", **headers):
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return ("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode()


def drip(connection, data, seconds):
    for byte in data:
        connection.sendall(bytes([byte]))
        time.sleep(seconds)


# Slow servers


def drip_headers(connection, request):
    drip(connection, OK + b"X: " + b"y" * 1000, 0.1)


def drip_body(connection, request):
    connection.sendall(head(Content_Length=1000))
    drip(connection, b"x" * 1000, 0.05)


def drip_chunks(connection, request):
    connection.sendall(head(Transfer_Encoding="chunked"))
    for _ in range(1000):
        drip(connection, b"1\r\nx\r\n", 0.05)


def drip_a_chunk_size(connection, request):
    connection.sendall(head(Transfer_Encoding="chunked"))
    drip(connection, b"1;" + b"x" * 1000, 0.05)


def say_nothing(connection, request):
    time.sleep(2)


def stall_in_the_middle(connection, request):
    connection.sendall(head(Content_Length=1000) + b"x" * 500)
    time.sleep(2)


@pytest.mark.parametrize(
    "respond",
    [drip_headers, drip_body, drip_chunks, drip_a_chunk_size, say_nothing, stall_in_the_middle],
    ids=lambda respond: respond.__name__,
)
def test_a_server_that_takes_its_time_is_given_up_within_the_bounds(tmp_path, respond):
    with serving(respond) as server:
        started = time.monotonic()
        with pytest.raises(UnavailableError):
            fetch(server, tmp_path / "a.wav", limits=Limits(**{**vars(QUICK), "num_attempts": 1}))
        assert time.monotonic() - started < 3.0
    assert not (tmp_path / "a.wav").exists()


def test_a_server_that_drips_its_answer_to_progress_holds_the_sender_for_a_second_only():
    with serving(drip_headers) as server, client_of(server) as client:
        started = time.monotonic()
        with pytest.raises(UnavailableError):
            client.post_progress("job", {})
        assert time.monotonic() - started < 2.5


# Servers that break off


def serve_ranges(content, etag, *, cut_every):
    """Honest ranges, but each connection breaks after `cut_every` bytes."""

    def respond(connection, request):
        first = int(request.headers.get("range", "bytes=0-")[6:-1])
        if first and request.headers.get("if-range") != etag():
            first = 0
        rest = content()[first:]
        status = "206 Partial Content" if first else "200 OK"
        headers = {"ETag": etag(), "Content_Length": len(rest)}
        if first:
            headers["Content_Range"] = f"bytes {first}-{first + len(rest) - 1}/{first + len(rest)}"
        connection.sendall(head(status, **headers) + rest[:cut_every])

    return respond


def test_a_download_that_breaks_again_and_again_ends_byte_exact(tmp_path):
    respond = serve_ranges(lambda: AUDIO, lambda: '"1"', cut_every=130_000)
    with serving(respond) as server:
        size = fetch(server, tmp_path / "a.wav", limits=Limits(**{**vars(QUICK), "progress_bytes": 100_000}))
        assert size == len(AUDIO)
        assert len(server.requests) == 8
    assert (tmp_path / "a.wav").read_bytes() == AUDIO


def test_a_new_process_goes_on_where_the_last_one_was_stopped(tmp_path):
    cuts = iter([300_000, len(AUDIO)])

    def respond(connection, request):
        serve_ranges(lambda: AUDIO, lambda: '"1"', cut_every=next(cuts))(connection, request)

    with serving(respond) as server:
        with pytest.raises(UnavailableError):
            fetch(server, tmp_path / "a.wav", limits=Limits(**{**vars(QUICK), "num_attempts": 1}))
        fetch(server, tmp_path / "a.wav")
        assert server.requests[1].headers["range"] == "bytes=300000-"
    assert (tmp_path / "a.wav").read_bytes() == AUDIO


def test_a_file_that_is_replaced_between_two_attempts_starts_over(tmp_path):
    versions = iter([(AUDIO, '"1"')])
    current = [(AUDIO, '"1"')]

    def respond(connection, request):
        cut_every = 100_000 if next(versions, None) else len(AUDIO)
        serve_ranges(lambda: current[0][0], lambda: current[0][1], cut_every=cut_every)(connection, request)
        current[0] = (AUDIO[::-1], '"2"')

    with serving(respond) as server:
        fetch(server, tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == AUDIO[::-1]


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 200", id="half_a_status_line"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", id="another_protocol"),
        pytest.param(OK + b"Content-Length: 10\r\n", id="half_the_headers"),
        pytest.param(OK + b"X: " + b"y" * 300_000, id="endless_header"),
        pytest.param(OK + b"Content-Length: 10\r\nContent-Length: 11\r\n\r\n" + b"x" * 11, id="lengths"),
        pytest.param(OK + b"Content-Length: -1\r\n\r\n", id="negative_length"),
        pytest.param(OK + b"Content-Length: 10\r\n\r\nshort", id="short_body"),
        pytest.param(CHUNKED + b"5\r\nabc", id="half_a_chunk"),
        pytest.param(CHUNKED + b"5\r\nabcde\r\n", id="no_last_chunk"),
        pytest.param(CHUNKED + b"FFFFFFFFFFFFFFFFFFFFFFFF\r\n", id="chunk_size"),
        pytest.param(OK + b"Transfer-Encoding: gzip\r\n\r\nx", id="odd_transfer_encoding"),
    ],
)
def test_a_broken_answer_is_a_network_error_and_never_a_file(tmp_path, answer):
    with serving(lambda connection, request: connection.sendall(answer)) as server:
        with pytest.raises(UnavailableError):
            fetch(server, tmp_path / "a.wav")
        assert len(server.requests) == QUICK.num_attempts
    assert not (tmp_path / "a.wav").exists()


def test_a_backend_that_is_not_there_is_a_network_error(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with (
        BackendClient(f"http://127.0.0.1:{port}", allow_private=True, limits=QUICK) as client,
        pytest.raises(UnavailableError, match="no connection"),
    ):
        client.fetch_upload("user", "a.wav", tmp_path / "a.wav", max_bytes=10)


# Servers that lie


def test_a_bomb_in_gzip_costs_neither_memory_nor_disk(tmp_path):
    bomb = gzip.compress(gzip.compress(bytes(200 << 20)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = head(Content_Encoding="gzip", Content_Length=len(bomb)) + bomb
    with (
        serving(lambda connection, request: connection.sendall(answer)) as server,
        pytest.raises(BackendError, match="encoded"),
    ):
        fetch(server, tmp_path / "a.wav")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 << 10  # KiB
    assert list(tmp_path.iterdir()) == []


def test_gzip_that_does_not_say_so_stays_as_it_is(tmp_path):
    content = zlib.compress(b"x" * 1000)
    answer = head(Content_Length=len(content)) + content
    with serving(lambda connection, request: connection.sendall(answer)) as server:
        fetch(server, tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == content


def test_an_endless_body_ends_at_the_largest_size_allowed(tmp_path):
    def pour(connection, request):
        connection.sendall(head())
        while True:
            connection.sendall(b"x" * 65536)

    with serving(pour) as server, pytest.raises(BackendError, match="goes on after 1000000 bytes"):
        fetch(server, tmp_path / "a.wav", max_bytes=1_000_000)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 1_100_000


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        pytest.param(
            head("206 Partial Content", Content_Range="bytes 0-4/5", Content_Length=5) + b"abcde",
            "206 although the whole file",
            id="unasked_206",
        ),
        pytest.param(
            head(Content_Type="text/html; charset=utf-8", Content_Length=5) + b"<html", "web page", id="html"
        ),
        pytest.param(head(Content_Length=10**15), "at most", id="petabyte"),
    ],
)
def test_an_answer_that_is_not_the_file_is_refused_at_once(tmp_path, answer, sentence):
    with serving(lambda connection, request: connection.sendall(answer)) as server:
        with pytest.raises(BackendError, match=sentence):
            fetch(server, tmp_path / "a.wav")
        assert len(server.requests) == 1


def test_a_server_that_is_busy_is_given_the_pause_it_asks_for(tmp_path):
    answers = [
        head("429 Too Many Requests", Retry_After=1),
        head("503 Service Unavailable"),
        head("500 Oops"),
    ]

    def respond(connection, request):
        connection.sendall(answers.pop(0) if answers else head(Content_Length=len(AUDIO)) + AUDIO)

    with serving(respond) as server:
        started = time.monotonic()
        fetch(server, tmp_path / "a.wav", limits=Limits(**{**vars(QUICK), "num_attempts": 5}))
        assert time.monotonic() - started >= 1.0
        assert len(server.requests) == 4
    assert (tmp_path / "a.wav").read_bytes() == AUDIO


# Where requests go


@pytest.mark.parametrize("status", ["302 Found", "307 Temporary Redirect"])
@pytest.mark.parametrize(
    "credentials", [{"auth_token": TOKEN}, {"worker_api_key": TOKEN}], ids=["token", "key"]
)
def test_another_origin_never_sees_the_credentials(tmp_path, status, credentials):
    storage_answer = head(Content_Length=5) + b"audio"
    with serving(lambda connection, request: connection.sendall(storage_answer)) as storage:
        location = f"http://127.0.0.1:{storage.port}/bucket/a?signature=1"
        with serving(
            lambda connection, request: connection.sendall(head(status, Location=location))
        ) as server:
            fetch(server, tmp_path / "a.wav", **credentials)
            assert TOKEN in str(server.requests[0].headers)
        assert storage.requests[0].target == "/bucket/a?signature=1"
        assert TOKEN not in str(storage.requests[0].headers)
    assert (tmp_path / "a.wav").read_bytes() == b"audio"


@pytest.mark.parametrize("status", ["302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
def test_progress_is_never_forwarded(status):
    with serving(lambda connection, request: connection.sendall(head("200 OK", Content_Length=0))) as other:
        location = f"http://127.0.0.1:{other.port}/"
        with (
            serving(
                lambda connection, request: connection.sendall(head(status, Location=location))
            ) as server,
            client_of(server, auth_token=TOKEN) as client,
            pytest.raises(BackendError, match=status[:3]),
        ):
            client.post_progress("job", {"status": "failed"})
        assert other.requests == []


def test_a_proxy_of_the_environment_sees_nothing(tmp_path, monkeypatch):
    with (
        serving(lambda connection, request: connection.sendall(head(Content_Length=5) + b"proxy")) as proxy,
        serving(lambda connection, request: connection.sendall(head(Content_Length=5) + b"audio")) as server,
    ):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        fetch(server, tmp_path / "a.wav", auth_token=TOKEN)
        assert proxy.requests == []
    assert (tmp_path / "a.wav").read_bytes() == b"audio"


def test_a_name_that_leads_elsewhere_the_second_time_gains_nothing():
    """DNS rebinding: the address that was checked is the address that is connected to, each time."""
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    asked = []

    def resolver(host, port):
        asked.append(host)
        return next(answers)

    with serving(say_nothing) as server:
        transport = CheckedTransport(is_private_allowed=False, resolver=resolver)
        limits = Limits(**{**vars(QUICK), "connect_seconds": 0.2})
        address = f"https://rebound.example:{server.port}"
        with BackendClient(address, transport=transport, limits=limits) as client:
            with pytest.raises(UnavailableError):
                client.post_progress("job", {})
            with pytest.raises(BackendError, match=r"leads to 127\.0\.0\.1"):
                client.post_progress("job", {})
        assert server.requests == []
    assert asked == ["rebound.example", "rebound.example"]


def test_the_next_address_is_tried_when_one_does_not_answer(tmp_path):
    with serving(lambda connection, request: connection.sendall(head(Content_Length=2) + b"ok")) as server:
        transport = CheckedTransport(
            is_private_allowed=True, resolver=lambda host, port: ["::1", "127.0.0.1"]
        )
        address = f"http://two.example:{server.port}/base"
        with BackendClient(address, allow_private=True, transport=transport, limits=QUICK) as client:
            assert client.fetch_upload("user", "a b.wav", tmp_path / "a", max_bytes=10) == 2
        assert server.requests[0].headers["host"] == f"two.example:{server.port}"
        assert server.requests[0].target == "/base/uploads/user/a%20b.wav"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for backend.example: the server's TLS context, and one that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "backend.example")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("backend.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "both.pem").write_bytes(key_pem + certificate.public_bytes(serialization.Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "both.pem")
    return server, ssl.create_default_context(cafile=str(folder / "both.pem"))


@pytest.mark.parametrize(("host", "is_trusted"), [("backend.example", True), ("other.example", False)])
def test_tls_is_checked_against_the_name_although_the_address_is_pinned(certificate, host, is_trusted):
    server_context, client_context = certificate
    answer = head(Content_Length=0)
    with serving(lambda connection, request: connection.sendall(answer), tls=server_context) as server:
        transport = CheckedTransport(
            is_private_allowed=True, resolver=lambda host, port: ["127.0.0.1"], verify=client_context
        )
        address = f"https://{host}:{server.port}"
        with BackendClient(address, allow_private=True, transport=transport, limits=QUICK) as client:
            if is_trusted:
                client.post_progress("job", {})
            else:
                with pytest.raises(UnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
                    client.post_progress("job", {})
        assert len(server.requests) == int(is_trusted)


# Progress over a real server, and what is logged


def test_progress_crosses_an_outage_in_order_and_once(tmp_path):
    """The server dies after two events and comes back: every event arrives, none twice, in order."""
    received = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *arguments):
            pass

    def start(port):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    server = start(0)
    port = server.server_address[1]
    outbox = Outbox(tmp_path / "events.sqlite", "job")
    with BackendClient(f"http://127.0.0.1:{port}", allow_private=True, limits=QUICK) as client:
        sender = EventSender(outbox, client)
        sender.start()
        outbox.append("initializing")
        outbox.append("loading_model")
        deadline = time.monotonic() + 10
        while len(received) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        server.shutdown()
        server.server_close()
        outbox.append("model_loaded")
        time.sleep(1.0)
        server = start(port)
        outbox.append("completed")
        assert sender.stop(20.0)
    server.shutdown()
    server.server_close()
    assert [event["sequence"] for event in received] == [1, 2, 3, 4]


def test_neither_logs_nor_errors_show_a_credential(tmp_path, caplog):
    answers = [
        head("500 Oops"),
        head("302 Found", Location="http://127.0.0.1:1/?signature=s3cret"),
        head("401 No"),
    ]

    def respond(connection, request):
        connection.sendall(answers.pop(0) if len(answers) > 1 else answers[0])

    with (
        serving(respond) as server,
        caplog.at_level(logging.DEBUG, logger="recipe"),
        pytest.raises(AuthenticationError) as raised,
    ):
        fetch(server, tmp_path / "a.wav", auth_token=TOKEN)
    assert TOKEN not in caplog.text + str(raised.value)
    assert "s3cret" not in str(raised.value) + "".join(
        record.getMessage() for record in caplog.records if record.name.startswith("recipe")
    )
