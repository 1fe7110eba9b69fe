import errno
import os
import re
import threading
from urllib.parse import unquote

import httpx
import pytest

from recipe.backend.client import BackendClient
from recipe.backend.limits import Limits
from recipe.data.download import (
    Download,
    DownloadProgress,
    FileRequest,
    download_files,
    forget_downloads,
    local_name,
)
from recipe.errors import AuthenticationError, DiskError


class Uploads:
    """A backend that holds files, or answers a status for a name, and counts the requests."""

    def __init__(self, files):
        self.files = files
        self.requested = []
        self.num_at_once = self.most_at_once = 0
        self._lock = threading.Lock()

    def __call__(self, request):
        name = unquote(request.url.raw_path.decode()).rpartition("/")[2]
        with self._lock:
            self.requested.append(name)
            self.num_at_once += 1
            self.most_at_once = max(self.most_at_once, self.num_at_once)
        try:
            content = self.files.get(name, 404)
            if callable(content):
                content = content()
            if isinstance(content, int):
                return httpx.Response(content)
            return httpx.Response(200, headers={"ETag": '"1"'}, stream=httpx.ByteStream(content))
        finally:
            with self._lock:
                self.num_at_once -= 1

    def client(self, **limits):
        limits = {"num_attempts": 2, "backoff_seconds": 0.001} | limits
        return BackendClient(
            "https://backend.example", transport=httpx.MockTransport(self), limits=Limits(**limits)
        )


def requests_for(folder, *names):
    return [FileRequest(name, "audio", folder / local_name(name)) for name in names]


def download(backend, requests, **arguments):
    with backend.client() as client:
        return download_files(client, "user", requests, max_bytes_per_file=1000, **arguments)


def test_every_file_arrives_and_the_answer_is_in_the_order_of_the_requests(tmp_path):
    names = [f"{number} é.wav" for number in range(30)]
    backend = Uploads({name: name.encode() * 3 for name in names})
    folder = tmp_path / "new" / "downloads"
    downloads = download(backend, requests_for(folder, *names))
    assert [item.filename for item in downloads] == names
    assert all(item.path.read_bytes() == item.filename.encode() * 3 for item in downloads)
    assert [item.num_bytes for item in downloads] == [item.path.stat().st_size for item in downloads]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(404, "does not have it", id="missing"),
        pytest.param(500, "500", id="broken_backend"),
        pytest.param(400, "400", id="refused"),
        pytest.param(b"x" * 1001, "at most 1000|goes on after 1000", id="too_large"),
    ],
)
def test_a_file_that_cannot_be_had_costs_that_file_only(tmp_path, content, sentence):
    backend = Uploads({"good.wav": b"good", "bad.wav": content})
    bad, good = download(backend, requests_for(tmp_path, "bad.wav", "good.wav"))
    assert good == Download("good.wav", tmp_path / local_name("good.wav"), 4)
    assert (bad.path, bad.num_bytes) == (None, 0)
    assert re.search(sentence, bad.error)


def test_a_name_that_is_no_segment_costs_that_file_only(tmp_path):
    bad, good = download(Uploads({"good.wav": b"good"}), requests_for(tmp_path, "../x", "good.wav"))
    assert bad.path is None
    assert good.path is not None
    assert bad.error.startswith("filename '../x'")


def test_refused_credentials_stop_everything(tmp_path):
    files = {f"{number}.wav": 401 for number in range(500)}
    backend = Uploads(files)
    with pytest.raises(AuthenticationError):
        download(backend, requests_for(tmp_path, *files), max_workers=4)
    assert len(backend.requested) < 500


def test_refused_credentials_wake_the_downloads_that_wait_for_their_next_try(tmp_path):
    waiting = threading.Event()

    def be_busy():
        waiting.set()
        return 503

    def refuse():
        waiting.wait(10)
        return 401

    backend = Uploads({"busy.wav": be_busy, "refused.wav": refuse})
    requests = requests_for(tmp_path, "busy.wav", "refused.wav")
    with (
        backend.client(num_attempts=7, backoff_seconds=1e6, max_backoff_seconds=1e6) as client,
        pytest.raises(AuthenticationError),
    ):
        download_files(client, "user", requests, max_bytes_per_file=10)


def test_what_an_interrupted_run_finished_is_not_fetched_again(tmp_path):
    backend = Uploads({"a.wav": b"a", "b.wav": b"b", "c.wav": 401})
    with pytest.raises(AuthenticationError):
        download(backend, requests_for(tmp_path, "a.wav", "b.wav", "c.wav"), max_workers=1)
    backend.files["c.wav"] = b"c"
    backend.requested.clear()
    downloads = download(backend, requests_for(tmp_path, "a.wav", "b.wav", "c.wav"))
    assert backend.requested == ["c.wav"]
    assert [item.num_bytes for item in downloads] == [1, 1, 1]


def test_no_more_than_the_given_number_of_downloads_run_at_once(tmp_path):
    gate = threading.Barrier(3)

    def meet():
        gate.wait(10)
        return b"x"

    backend = Uploads({f"{number}.wav": meet for number in range(6)})
    download(backend, requests_for(tmp_path, *backend.files), max_workers=3)
    assert backend.most_at_once == 3


def test_progress_comes_from_the_calling_thread_and_ends_at_the_truth(tmp_path):
    seen = []

    def note(progress):
        seen.append((threading.current_thread(), progress))

    backend = Uploads({"a.wav": b"aaa", "b.wav": b"bb", "c.wav": 404})
    download(backend, requests_for(tmp_path, "a.wav", "b.wav", "c.wav"), on_progress=note)
    assert {thread for thread, _ in seen} == {threading.current_thread()}
    assert seen[-1][1] == DownloadProgress(3, 2, 1, 5)


def test_an_error_of_the_watcher_ends_the_downloads(tmp_path):
    def fail(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(Uploads({"a.wav": b"a"}), requests_for(tmp_path, "a.wav"), on_progress=fail)


def test_no_requests_are_no_downloads(tmp_path):
    assert download(Uploads({}), []) == []


@pytest.mark.parametrize(
    ("filename", "extension"),
    [
        ("a.wav", ".wav"),
        ("A.MP3", ".mp3"),
        ("talk [abc].en.vtt", ".vtt"),
        ("archive.tar.gz", ".gz"),
        ("no extension", ""),
        ("dot.", ""),
        ("a.w v", ""),
        ("../../etc/passwd", ""),
        ("x.sh;rm", ""),
        ("x." + "a" * 9, ""),
        ("a.wav\n", ""),
        ("a\ud800.wav", ".wav"),
    ],
)
def test_a_local_name_is_ours_and_keeps_a_harmless_extension(filename, extension):
    name = local_name(filename)
    stem = name.removesuffix(extension) if extension else name
    assert len(stem) == 24
    assert set(stem) <= set("0123456789abcdef")


def test_local_names_differ_where_names_do():
    assert local_name("a.wav") != local_name("A.wav")
    assert local_name("a.wav") == local_name("a.wav")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Last-Modified": "Tue, 03 Mar 2026 12:00:00 +99999999999999"}, id="overflowing_date"),
        pytest.param({"Date": "Tue, 03 Mar 99999999999 12:00:00", "ETag": "\udcff"}, id="no_date_no_tag"),
        pytest.param({"Location": "http://xn--aaaaaaaaaa.com/"}, id="redirect_to_a_name_that_idna_refuses"),
        pytest.param({"Retry-After": "9" * 5000}, id="pause_of_5000_digits"),
        pytest.param({"Content-Range": "bytes 0-9/" + "9" * 5000}, id="length_of_5000_digits"),
    ],
)
def test_odd_headers_cost_at_most_their_own_file(tmp_path, headers):
    class Odd(Uploads):
        def __call__(self, request):
            response = super().__call__(request)
            if "odd" in str(request.url):
                status = 302 if "Location" in headers else 200
                return httpx.Response(status, headers=headers, content=b"odd")
            return response

    odd, good = download(
        Odd({"odd.wav": b"odd", "good.wav": b"good"}), requests_for(tmp_path, "odd.wav", "good.wav")
    )
    assert good.path is not None
    assert (odd.path is None) == bool(odd.error)


def test_whatever_a_transfer_raises_is_the_error_of_its_file(tmp_path, caplog):
    class Broken(httpx.SyncByteStream):
        def __iter__(self):
            yield b"x"
            raise OverflowError("secret")

    class Odd(Uploads):
        def __call__(self, request):
            response = super().__call__(request)
            return httpx.Response(200, stream=Broken()) if "bad" in str(request.url) else response

    backend = Odd({"bad.wav": b"x", "good.wav": b"good"})
    bad, good = download(backend, requests_for(tmp_path, "bad.wav", "good.wav"))
    assert good.path is not None
    assert bad.path is None
    assert bad.error == "what the backend sent cannot be understood (OverflowError)"
    assert "bad.wav" in caplog.text


@pytest.mark.parametrize("number", [errno.EFBIG, errno.EDQUOT, errno.EROFS])
def test_an_error_of_the_disk_is_not_taken_for_the_files(tmp_path, monkeypatch, number):
    def refuse(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(DiskError):
        download(Uploads({"a.wav": b"a"}), requests_for(tmp_path, "a.wav"))


def test_a_file_is_asked_for_again_once_it_is_forgotten(tmp_path):
    backend = Uploads({"a.wav": b"<html>"})
    requests = requests_for(tmp_path, "a.wav")
    download(backend, requests)
    backend.files["a.wav"] = b"RIFF"
    download(backend, requests)
    assert requests[0].destination.read_bytes() == b"<html>", "whole files are kept"
    forget_downloads(tmp_path)
    download(backend, requests)
    assert requests[0].destination.read_bytes() == b"RIFF"
    assert len(backend.requested) == 2
