"""Files are read by range from a real S3 server (moto) and from web servers, all on loopback."""

import os
import re
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest

from recipe.data.remote_files import NUM_THREADS, RemoteFileError, RemoteFiles, check_address
from recipe.data.remote_sounds import RemoteSounds
from recipe.data.sound_cache import SoundCache
from recipe.data.sounds import read_flacs
from recipe.errors import DataError
from scripts.benchmarks.bucket_server import BucketServer, reset

PART = bytes(range(256)) * 40
FILE = "s3://speech/fr/part-00000.tar"


@pytest.fixture
def server(monkeypatch):
    with BucketServer() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="speech")
        client.put_object(Bucket="speech", Key="fr/part-00000.tar", Body=PART)
        yield server


def place(offset, num_bytes, **changes):
    crc32 = zlib.crc32(PART[offset : offset + num_bytes])
    return {"file": FILE, "offset": offset, "num_bytes": num_bytes, "crc32": crc32} | changes


@pytest.mark.usefixtures("server")
def test_a_range_and_the_size_are_those_of_the_file(tmp_path):
    files = RemoteFiles()
    assert files.read(FILE, 100, 300) == PART[100:400]
    assert files.measure(FILE) == len(PART)
    files.fetch(FILE, tmp_path / "part.tar")
    assert (tmp_path / "part.tar").read_bytes() == PART
    with pytest.raises(RemoteFileError):
        files.fetch("s3://speech/fr/part-00001.tar", tmp_path / "other.tar")
    assert [path.name for path in tmp_path.iterdir()] == ["part.tar"]


def fail_times(count, fault):
    """A fault that happens so many times."""
    left = [fault] * count
    return lambda environ, content: left.pop()(environ, content) if left else None


PASSING = {
    "500": lambda _environ, _content: ("500 Internal Server Error", b"", 0),
    "503": lambda _environ, _content: ("503 Slow Down", b"", 0),
    "short body": lambda _environ, content: ("206 Partial Content", content[:10], len(content)),
    "reset": reset,
}


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_is_tried_again(server, name):
    server.fault = fail_times(3, PASSING[name])
    assert RemoteFiles().read(FILE, 100, 300) == PART[100:400]
    assert server.num_reads >= 4


@pytest.mark.parametrize(
    ("name", "reason"),
    [("500", "HTTP 500"), ("short body", "10 of 300 bytes came|[A-Za-z]+Error"), ("reset", "[A-Za-z]+Error")],
)
def test_what_does_not_pass_ends_with_a_sentence(server, name, reason):
    server.fault = PASSING[name]
    started = time.monotonic()
    with pytest.raises(RemoteFileError) as caught:
        RemoteFiles(patience_seconds=1).read(FILE, 100, 300)
    assert re.fullmatch(f"{FILE}: no whole answer came in 1 s, the last was ({reason}).*", str(caught.value))
    assert time.monotonic() - started < 20


def refuse(status, code):
    body = f"<Error><Code>{code}</Code></Error>".encode()
    return lambda _environ, _content: (status, body, len(body))


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (
            refuse("403 Forbidden", "AccessDenied"),
            "the credentials may not read it: .*HTTP 403 AccessDenied",
        ),
        (refuse("404 Not Found", "NoSuchKey"), "there is no such file .HTTP 404 NoSuchKey"),
    ],
    ids=["403", "404"],
)
def test_a_refusal_is_not_tried_again(server, fault, sentence):
    server.fault = fault
    with pytest.raises(RemoteFileError, match=f"^{FILE}: {sentence}"):
        RemoteFiles().read(FILE, 0, 10)
    assert server.num_reads == 1


@pytest.mark.usefixtures("server")
def test_a_file_that_is_missing_or_ends_too_soon_is_named():
    files = RemoteFiles()
    with pytest.raises(RemoteFileError, match=r"part-00001\.tar: there is no such file \(HTTP 404 NoSuchKey"):
        files.read("s3://speech/fr/part-00001.tar", 0, 10)
    with pytest.raises(RemoteFileError, match="it has 10,240 bytes; expected 10,300 at least"):
        files.read(FILE, 10_000, 300)
    with pytest.raises(RemoteFileError, match=r"ends before the bytes that are needed \(HTTP 416"):
        files.read(FILE, 20_000, 300)


@pytest.mark.usefixtures("server")
def test_without_keys_the_variable_is_named(monkeypatch):
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(RemoteFileError, match="needs AWS_SECRET_ACCESS_KEY in the environment"):
        RemoteFiles().read(FILE, 0, 10)


@pytest.mark.usefixtures("server")
def test_a_part_that_changed_is_refused_and_not_kept(tmp_path):
    sounds = RemoteSounds()
    sounds.kept = SoundCache(tmp_path, 1 << 20)
    with pytest.raises(RemoteFileError, match="not the file that the dataset's index was made of"):
        sounds.read_all([place(0, 100, crc32=1)])
    assert not list(tmp_path.glob("??/*"))


@pytest.mark.usefixtures("server")
def test_the_sounds_of_rows_are_read_wherever_they_are():
    """In a bucket, in memory; the one reader that all windows go through."""
    assert read_flacs([place(3, 10), {"bytes": b"mine"}, place(5, 10)]) == [PART[3:13], b"mine", PART[5:15]]
    with pytest.raises(DataError, match=f"The sound of a window cannot be read: {FILE}"):
        read_flacs([place(0, 100, crc32=1)])


def test_second_reads_come_from_the_cache_unless_it_is_damaged(server, tmp_path):
    sounds = RemoteSounds()
    sounds.kept = SoundCache(tmp_path, 1 << 20)
    places = [place(100 * number, 100) for number in range(20)]
    expected = [PART[100 * number :][:100] for number in range(20)]
    assert sounds.read_all(places) == expected
    num_reads = server.num_reads
    assert sounds.read_all(places) == expected
    assert server.num_reads == num_reads
    damaged = next(tmp_path.glob("??/*"))
    damaged.write_bytes(b"x")
    assert sounds.read_all(places) == expected
    assert server.num_reads == num_reads + 1


def test_reads_of_a_batch_are_in_flight_together(monkeypatch):
    with BucketServer(latency_seconds=0.2) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="speech")
        boto3.client("s3").put_object(Bucket="speech", Key="fr/part-00000.tar", Body=PART)
        sounds = RemoteSounds()
        sounds.read_all([place(0, 10)])
        started = time.monotonic()
        sounds.read_all([place(number, 10) for number in range(NUM_THREADS)])
        assert time.monotonic() - started < 0.2 * NUM_THREADS / 2


def test_a_forked_process_has_connections_of_its_own(server):
    sounds = RemoteSounds()
    assert sounds.read_all([place(0, 10)] * 4) == [PART[:10]] * 4
    child = os.fork()
    if not child:
        os._exit(sounds.read_all([place(5, 10)] * 4) != [PART[5:15]] * 4)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert sounds.read_all([place(7, 10)]) == [PART[7:17]]
    assert server.num_reads == 9


class WebServer(ThreadingHTTPServer):
    """A web server with one file, at any path that ends with its name.

    Attributes:
        knows_ranges: Whether it answers with parts of files.
        cdn: Address to redirect to, as the hub does.
        seen: Path and Authorization of each request.
    """

    def __init__(self, *, knows_ranges=True, cdn=""):
        super().__init__(("127.0.0.1", 0), WebHandler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.knows_ranges = knows_ranges
        self.cdn = cdn
        self.seen = []
        self._thread = threading.Thread(target=self.serve_forever)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self._thread.join()
        self.server_close()


class WebHandler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.seen.append((self.path, self.headers["Authorization"]))
        if self.server.cdn:
            self.send_response(302)
            self.send_header("Location", f"{self.server.cdn}/signed/part-00000.tar?signature=secret")
            self.end_headers()
            return
        first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups())
        content = PART[first : last + 1] if self.server.knows_ranges else PART
        self.send_response(206 if self.server.knows_ranges else 200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(PART)}")
        self.end_headers()
        self.wfile.write(content)


def test_a_web_server_is_read_by_range():
    with WebServer() as server:
        files = RemoteFiles()
        assert files.read(f"{server.address}/fr/part-00000.tar", 100, 300) == PART[100:400]
        assert files.measure(f"{server.address}/fr/part-00000.tar") == len(PART)


def test_a_web_server_without_ranges_is_refused():
    with WebServer(knows_ranges=False) as server, pytest.raises(RemoteFileError, match="HTTP Range"):
        RemoteFiles().read(f"{server.address}/part-00000.tar", 100, 300)


def test_the_hub_gets_the_token_and_where_it_redirects_to_does_not(monkeypatch):
    # Another name of the same machine is another host.
    with WebServer() as cdn, WebServer(cdn="to be set") as hub:
        hub.cdn = cdn.address.replace("127.0.0.1", "localhost")
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        file = "hf://datasets/owner/speech@v1/fr/part-00000.tar"
        assert RemoteFiles().read(file, 100, 300) == PART[100:400]
        assert hub.seen == [("/datasets/owner/speech/resolve/v1/fr/part-00000.tar", "Bearer hf_secret")]
        assert cdn.seen == [("/signed/part-00000.tar?signature=secret", None)]


@pytest.mark.parametrize(
    "address",
    ["s3://speech/fr", "hf://datasets/o/n@v1/fr", "hf://datasets/o/n", "https://h/x", "s3://speech"],
)
def test_addresses_that_can_be_read(address):
    assert check_address(f"{address}/") == address


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("ftp://host/fr", "start with ftp:// cannot be read"),
        ("https://user:secret@host/fr", "holds a user, a password or a query"),
        ("https://host/fr?signature=secret", "holds a user, a password or a query"),
        ("hf://owner/name", "names no dataset"),
        ("s3:///fr", "names no dataset"),
    ],
)
def test_addresses_that_are_refused_without_their_secrets(address, sentence):
    with pytest.raises(DataError, match=sentence) as caught:
        check_address(address)
    assert "secret" not in str(caught.value)
