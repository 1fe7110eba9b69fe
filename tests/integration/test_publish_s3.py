"""A release goes to a real HTTP server that speaks S3 (moto), through the real boto3."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest
from moto.server import ThreadedMotoServer

from recipe.errors import PublishError
from recipe.publish.bucket import PART_BYTES
from recipe.publish.delivery import deliver
from recipe.publish.release import REQUIRED_FILES, SEAL_FILE, seal_release

URI = "s3://models/whisper/fr"


@pytest.fixture(scope="module")
def server():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def client(server, monkeypatch):
    settings = {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "AKIAWHISPERTRAIN",
        "AWS_SECRET_ACCESS_KEY": "a-secret-for-the-tests",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="models")
    yield client
    for entry in client.list_objects_v2(Bucket="models").get("Contents", []):
        client.delete_object(Bucket="models", Key=entry["Key"])
    client.delete_bucket(Bucket="models")


class PlainStore(ThreadingHTTPServer):
    """A store that speaks as much of S3 as a delivery needs, without checksums; it may damage the weights."""

    def __init__(self, *, is_damaging):
        super().__init__(("127.0.0.1", 0), PlainStoreHandler)
        self.is_damaging = is_damaging
        self.objects = {}


class PlainStoreHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.is_damaging and self.path.endswith(".safetensors"):
            body = bytes([body[0] ^ 1]) + body[1:]
        self.server.objects[self.path] = (body, self.headers["x-amz-meta-sha256"] or "")
        self.answer(200, b"")

    def do_GET(self):
        body, sha256 = self.server.objects.get(self.path, (None, ""))
        if body is None:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            self.answer(200, body, sha256)

    do_HEAD = do_GET  # noqa: N815 - http.server asks for this name

    def answer(self, status, body, sha256=""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-amz-meta-sha256", sha256)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture
def start_plain_store(client, monkeypatch):
    stores = []

    def start(*, is_damaging):
        store = PlainStore(is_damaging=is_damaging)
        thread = threading.Thread(target=store.serve_forever)
        thread.start()
        stores.append((store, thread))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{store.server_port}")
        return store

    yield start
    for store, thread in stores:
        store.shutdown()
        thread.join()
        store.server_close()


@pytest.fixture
def make_sealed(tmp_path):
    def make(content, num_weight_bytes=1000):
        folder = tmp_path / content
        folder.mkdir()
        for name in REQUIRED_FILES:
            (folder / name).write_text(f"{content} of {name}")
        (folder / "model.safetensors").write_bytes(os.urandom(num_weight_bytes))
        (folder / "ct2-int8").mkdir()
        (folder / "ct2-int8" / "model.bin").write_text(f"{content} of an export")
        seal_release(folder)
        return folder

    return make


def read_folder(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def read_all(client):
    contents = {}
    for entry in client.list_objects_v2(Bucket="models")["Contents"]:
        body = client.get_object(Bucket="models", Key=entry["Key"])["Body"].read()
        contents[entry["Key"].removeprefix("whisper/fr/")] = body
    return contents


def test_the_prefix_holds_exactly_the_release_in_parts(client, make_sealed, tmp_path):
    folder = make_sealed("first", num_weight_bytes=2 * PART_BYTES + 12345)
    progress = []
    delivery = deliver(folder, URI, default_dir=tmp_path, on_progress=lambda *told: progress.append(told))
    assert delivery.uri == URI
    assert read_all(client) == read_folder(folder)
    head = client.head_object(Bucket="models", Key="whisper/fr/model.safetensors")
    assert head["ETag"].strip('"').endswith("-3")
    assert progress[-1][0] == progress[-1][1] > 2 * PART_BYTES


def test_the_same_release_is_uploaded_once(client, make_sealed, tmp_path):
    folder = make_sealed("first")
    deliver(folder, URI, default_dir=tmp_path)
    before = client.list_objects_v2(Bucket="models")["Contents"]
    deliver(folder, URI, default_dir=tmp_path)
    assert client.list_objects_v2(Bucket="models")["Contents"] == before


def test_another_release_replaces_the_earlier_one(client, make_sealed, tmp_path):
    deliver(make_sealed("first"), URI, default_dir=tmp_path)
    second = make_sealed("second")
    deliver(second, URI, default_dir=tmp_path)
    assert read_all(client) == read_folder(second)


def test_a_lost_or_changed_object_is_mended(client, make_sealed, tmp_path):
    folder = make_sealed("first")
    deliver(folder, URI, default_dir=tmp_path)
    client.delete_object(Bucket="models", Key="whisper/fr/config.json")
    client.put_object(Bucket="models", Key="whisper/fr/vocab.json", Body=b"changed")
    deliver(folder, URI, default_dir=tmp_path)
    assert read_all(client) == read_folder(folder)


def test_an_upload_that_breaks_off_leaves_no_finished_release(client, make_sealed, tmp_path):
    deliver(make_sealed("first"), URI, default_dir=tmp_path)

    second = make_sealed("second")
    last = (second / "vocab.json").read_bytes()
    with pytest.raises(PublishError, match="cannot be read"):
        deliver(
            second,
            URI,
            default_dir=tmp_path,
            on_progress=lambda *told: (second / "vocab.json").unlink(missing_ok=True),
        )
    assert json.loads(read_all(client)[SEAL_FILE])["files"] == {}
    (second / "vocab.json").write_bytes(last)
    deliver(second, URI, default_dir=tmp_path)
    assert read_all(client) == read_folder(second)


def test_a_bucket_that_does_not_exist_is_named(client, make_sealed, tmp_path):
    with pytest.raises(PublishError, match="NoSuchBucket: the bucket does not exist"):
        deliver(make_sealed("first"), "s3://elsewhere/fr", default_dir=tmp_path)


def test_a_store_that_is_down_gives_a_clear_error_without_keys(client, make_sealed, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(PublishError, match="EndpointConnectionError") as caught:
        deliver(make_sealed("first"), URI, default_dir=tmp_path)
    assert "AKIA" not in str(caught.value)


def test_a_store_without_checksums_is_read_back(start_plain_store, make_sealed, tmp_path):
    store = start_plain_store(is_damaging=False)
    folder = make_sealed("first")
    assert deliver(folder, URI, default_dir=tmp_path).uri == URI
    stored = {path.removeprefix("/models/whisper/fr/"): body for path, (body, _) in store.objects.items()}
    assert stored == read_folder(folder)


def test_one_changed_bit_in_the_store_is_noticed(start_plain_store, make_sealed, tmp_path):
    store = start_plain_store(is_damaging=True)
    with pytest.raises(PublishError, match=r"holds model\.safetensors otherwise than it was sent"):
        deliver(make_sealed("first"), URI, default_dir=tmp_path)
    seal, _ = store.objects["/models/whisper/fr/release.json"]
    assert json.loads(seal)["files"] == {}
