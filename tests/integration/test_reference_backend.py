import json
import os
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from recipe.run.stages import Stage
from scripts.demo_kit.run_demo import describe_page

BACKEND = Path(__file__).parents[2] / "scripts" / "reference_backend"
AUDIO = bytes(range(256)) * 1024
SYSTEM_STATS = {
    "cpu_percent": 12.5,
    "memory_percent": 40.0,
    "disk_usage_percent": 70.0,
    "gpu_available": False,
}

StartBackend = Callable[..., httpx.Client]


def spawn(root: Path, *flags: str, **environment: str) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WHISPERTRAIN_")}
    command = [sys.executable, str(BACKEND), "--root", str(root), "--port", "0", *flags]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean | environment
    )


def read_address(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    return server.stdout.readline().removeprefix("listening on ").strip()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backend")


@pytest.fixture(scope="module")
def start_backend(root: Path) -> Iterator[StartBackend]:
    """Starts a server or returns the one with the same settings: a start takes most of a second."""
    running: dict[object, tuple[subprocess.Popen[str], httpx.Client]] = {}

    def start(*flags: str, **environment: str) -> httpx.Client:
        settings = (flags, tuple(environment.items()))
        if settings not in running:
            server = spawn(root, *flags, **environment)
            running[settings] = (server, httpx.Client(base_url=read_address(server), trust_env=False))
        return running[settings][1]

    yield start
    for server, client in running.values():
        client.close()
        server.terminate()
        assert server.communicate(timeout=10) == ("", "")


@pytest.fixture
def backend(start_backend: StartBackend) -> httpx.Client:
    return start_backend()


@pytest.fixture
def job_id() -> str:
    return f"job-{uuid.uuid4()}"


@pytest.fixture
def uploads(root: Path) -> Path:
    folder = root / "uploads" / "user"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "talk.wav").write_bytes(AUDIO)
    (root / "uploads" / "stray.txt").write_text("of nobody")
    (root / "secret.txt").write_text("outside")
    return folder


def make_event(sequence: int, status: str = "loading_model", **fields: Any) -> dict[str, Any]:
    return {
        "status": status,
        "timestamp": f"2026-01-31T12:00:{sequence % 60:02d}+00:00",
        "event_id": f"event-{sequence}",
        "sequence": sequence,
        **fields,
    }


def nest(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def post(backend: httpx.Client, job_id: str, event: Any) -> httpx.Response:
    return backend.post(f"/api/training/progress/{quote(job_id, safe='')}", json=event)


def read(backend: httpx.Client, job_id: str, **query: int) -> dict[str, Any]:
    answer = backend.get(f"/api/training/progress/{quote(job_id, safe='')}", params=query)
    assert answer.status_code == 200
    return dict(answer.json())


def connect(backend: httpx.Client) -> socket.socket:
    """A bare connection, for what an HTTP client would tidy or refuse to send."""
    assert backend.base_url.port
    return socket.create_connection((backend.base_url.host, backend.base_url.port), timeout=10)


# Files


@pytest.mark.parametrize("filename", ["talk.wav", "talk [a b].fr-CA.srt", "é?#&%2F+ü.vtt"])
def test_a_file_is_served_whole_under_its_percent_encoded_name(
    backend: httpx.Client, uploads: Path, filename: str
) -> None:
    (uploads / filename).write_bytes(AUDIO)
    answer = backend.get(f"/uploads/user/{quote(filename, safe='')}")
    assert (answer.status_code, answer.content) == (200, AUDIO)
    assert answer.headers["content-length"] == str(len(AUDIO))


def test_an_uploaded_page_is_a_download_and_not_a_page(backend: httpx.Client, uploads: Path) -> None:
    (uploads / "talk.html").write_text("<script>")
    headers = backend.get("/uploads/user/talk.html").headers
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"].startswith("attachment")
    assert headers["x-content-type-options"] == "nosniff"


def test_a_download_goes_on_from_where_it_stopped(backend: httpx.Client, uploads: Path) -> None:
    etag = backend.get("/uploads/user/talk.wav").headers["etag"]
    answer = backend.get("/uploads/user/talk.wav", headers={"Range": "bytes=1000-", "If-Range": etag})
    assert (answer.status_code, answer.content) == (206, AUDIO[1000:])
    assert answer.headers["content-range"] == f"bytes 1000-{len(AUDIO) - 1}/{len(AUDIO)}"
    assert answer.headers["content-length"] == str(len(AUDIO) - 1000)


def test_a_file_that_changed_since_is_sent_from_its_start(backend: httpx.Client, uploads: Path) -> None:
    etag = backend.get("/uploads/user/talk.wav").headers["etag"]
    (uploads / "talk.wav").write_bytes(b"another talk")
    answer = backend.get("/uploads/user/talk.wav", headers={"Range": "bytes=1000-", "If-Range": etag})
    assert (answer.status_code, answer.content) == (200, b"another talk")


def test_a_range_past_the_end_is_refused(backend: httpx.Client, uploads: Path) -> None:
    answer = backend.get("/uploads/user/talk.wav", headers={"Range": f"bytes={len(AUDIO)}-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(AUDIO)}"


@pytest.mark.parametrize(
    "path",
    [
        "/uploads/user/missing.wav",
        "/uploads/nobody/talk.wav",
        "/uploads/user",
        "/uploads/user/",
        "/uploads/user/talk.wav/",
        "/uploads/user/%2e",
        "/uploads/user/%2e%2e",
        "/uploads/%2e/stray.txt",
        "/uploads/%2e%2e/secret.txt",
        "/uploads/%2e%2e/events.sqlite",
        "/uploads/user/..%2fstray.txt",
        "/uploads/user/..%2f..%2fsecret.txt",
        "/uploads/user%2ftalk.wav",
        "/uploads/user%2f..%2fuser/talk.wav",
        "/uploads//etc%2fpasswd",
        "/uploads/user/%2fetc%2fpasswd",
        "/uploads/user/..%5csecret.txt",
        "/uploads/user/%252e%252e%252fsecret.txt",
        "/uploads/user/talk.wav%00",
        "/uploads/user/" + "a" * 5000,
        "/../secret.txt",
        "/%2e%2e/backend_app.py",
    ],
)
def test_an_address_that_is_no_file_of_the_user_is_not_found(
    backend: httpx.Client, uploads: Path, path: str
) -> None:
    with connect(backend) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
        status_line = raw.makefile("rb").readline()
    assert status_line.split()[1] == b"404"


@pytest.mark.parametrize("target", ["../../secret.txt", "../stray.txt", "..", "missing", "loop"])
def test_a_link_out_of_the_users_folder_is_not_followed(
    backend: httpx.Client, uploads: Path, target: str
) -> None:
    (uploads / "loop").unlink(missing_ok=True)
    (uploads / "loop").symlink_to(target)
    assert backend.get("/uploads/user/loop").status_code == 404


def test_a_link_inside_the_users_folder_is_followed(backend: httpx.Client, uploads: Path) -> None:
    (uploads / "alias.wav").symlink_to("talk.wav")
    assert backend.get("/uploads/user/alias.wav").content == AUDIO


def test_a_user_that_is_a_link_to_another_has_no_files(backend: httpx.Client, uploads: Path) -> None:
    (uploads.parent / "twin").symlink_to("user")
    assert backend.get("/uploads/twin/talk.wav").status_code == 404


# Events


def test_events_are_read_back_as_sent_and_in_sequence(backend: httpx.Client, job_id: str) -> None:
    events = [make_event(n, extra={"deep": [n, None, "é😀"]}) for n in (2, 1, 12, 3)]
    for event in events:
        assert post(backend, job_id, event).json()["stored"] is True
    assert read(backend, job_id)["events"] == sorted(events, key=lambda event: event["sequence"])


def test_a_repeated_event_is_acknowledged_and_stored_once(backend: httpx.Client, job_id: str) -> None:
    first, second = (post(backend, job_id, make_event(1)) for _ in range(2))
    assert (first.json()["stored"], second.json()["stored"]) == (True, False)
    assert second.status_code == 200
    assert len(read(backend, job_id)["events"]) == 1


def test_the_same_event_id_in_another_job_is_another_event(backend: httpx.Client, job_id: str) -> None:
    post(backend, job_id, make_event(1))
    assert post(backend, f"{job_id}-other", make_event(1)).json()["stored"] is True


def test_the_old_workers_events_are_kept_in_the_order_they_came(backend: httpx.Client, job_id: str) -> None:
    events = [
        {"status": status, "timestamp": "2026-01-31T12:00:00"}
        for status in ("loading_model", "saving_model", "loading_model")
    ]
    for event in events:
        assert post(backend, job_id, event).json()["stored"] is True
    assert read(backend, job_id)["events"] == events


def test_reading_on_misses_no_event_that_came_late(backend: httpx.Client, job_id: str) -> None:
    post(backend, job_id, make_event(1))
    post(backend, job_id, make_event(3))
    known = read(backend, job_id)["num_events"]
    post(backend, job_id, make_event(2))
    assert [event["sequence"] for event in read(backend, job_id, after=known)["events"]] == [2]
    assert read(backend, job_id, after=3)["events"] == []


def test_many_senders_at_once_lose_and_double_nothing(backend: httpx.Client, job_id: str) -> None:
    events = [make_event(n) for n in range(1, 41)] * 2
    with ThreadPoolExecutor(8) as pool:
        stored = [
            answer.json()["stored"] for answer in pool.map(lambda event: post(backend, job_id, event), events)
        ]
    assert stored.count(True) == 40
    assert [event["sequence"] for event in read(backend, job_id)["events"]] == list(range(1, 41))


def test_events_outlive_a_killed_server(tmp_path: Path, job_id: str) -> None:
    for expected in (0, 1):
        server = spawn(tmp_path)
        with httpx.Client(base_url=read_address(server), trust_env=False) as backend:
            assert len(read(backend, job_id)["events"]) == expected
            post(backend, job_id, make_event(1))
        server.kill()
        server.communicate(timeout=10)


@pytest.mark.parametrize("stage", list(Stage))
def test_every_stage_of_the_worker_is_a_status_of_the_contract(
    backend: httpx.Client, stage: Stage, job_id: str
) -> None:
    assert post(backend, job_id, make_event(1, status=stage)).status_code == 200


@pytest.mark.parametrize(
    ("body", "named"),
    [
        pytest.param("", "valid JSON", id="empty"),
        pytest.param("status=completed", "valid JSON", id="form"),
        pytest.param("[]", "list", id="list"),
        pytest.param("null", "expected an object", id="null"),
        pytest.param(b"\xff\xfe\xfd", "valid JSON", id="not UTF-8"),
        pytest.param('{"status": NaN}', "NaN", id="NaN"),
        pytest.param('{"loss": -Infinity}', "Infinity", id="infinity"),
        pytest.param('{"loss": 1e999}', "valid JSON", id="number past the range"),
        pytest.param('{"a":' * 50_000, "valid JSON", id="deep"),
        pytest.param('{"loss": ' + "9" * 5000 + "}", "valid JSON", id="endless number"),
        pytest.param({"timestamp": "2026-01-31T12:00:00Z"}, "'status'", id="no status"),
        pytest.param({"status": "loading_model"}, "'timestamp'", id="no timestamp"),
        pytest.param(make_event(1, status="dancing"), "'status' is 'dancing'", id="unknown status"),
        pytest.param(make_event(1) | {"status": 7}, "'status'", id="status a number"),
        pytest.param(make_event(1) | {"timestamp": "yesterday"}, "'timestamp'", id="timestamp a word"),
        pytest.param(make_event(1) | {"timestamp": 1769860800}, "'timestamp'", id="timestamp a number"),
        pytest.param(
            make_event(1) | {"timestamp": "2026-01-31T12:00:00+02:00"}, "offset +2 h", id="local time"
        ),
        pytest.param(make_event(1) | {"event_id": ""}, "'event_id'", id="event_id blank"),
        pytest.param(make_event(1) | {"event_id": "\ud800"}, "'event_id'", id="event_id half a character"),
        pytest.param(make_event(1) | {"sequence": "1"}, "'sequence'", id="sequence text"),
        pytest.param(make_event(1) | {"sequence": True}, "'sequence'", id="sequence true"),
        pytest.param(make_event(1) | {"sequence": 0}, "'sequence'", id="sequence 0"),
        pytest.param(make_event(1) | {"sequence": 2**64}, "'sequence'", id="sequence huge"),
        pytest.param(make_event(1) | {"base_model": "\ud800"}, "'base_model' holds", id="half a character"),
        pytest.param(make_event(1) | {"a": [{"\udfff": 1}]}, "'a' holds half", id="half a character within"),
        pytest.param(make_event(1) | {"\ud800": 1}, "'\\ud800' holds half", id="a name of half a character"),
        pytest.param(make_event(1) | {"metrics": nest(900)}, "nested deeper", id="900 levels"),
        pytest.param(make_event(1) | {"metrics": nest(32)}, "nested deeper", id="a level too many"),
    ],
)
def test_a_malformed_event_is_refused_with_a_sentence_that_names_the_fault(
    backend: httpx.Client, body: str | bytes | dict[str, Any], named: str, job_id: str
) -> None:
    content = json.dumps(body) if isinstance(body, dict) else body
    answer = backend.post(f"/api/training/progress/{job_id}", content=content)
    assert answer.status_code == 422
    assert named in answer.json()["detail"]
    assert read(backend, job_id)["events"] == []


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length declared", "chunked"])
def test_an_event_over_the_limit_is_refused(backend: httpx.Client, is_chunked: bool, job_id: str) -> None:
    body = json.dumps(make_event(1, error="x" * 300_000)).encode()
    content = iter([body[:1000], body[1000:]]) if is_chunked else body
    answer = backend.post(f"/api/training/progress/{job_id}", content=content)
    assert answer.status_code == 413
    assert read(backend, job_id)["events"] == []


def test_a_worker_that_dies_while_it_sends_leaves_no_event(backend: httpx.Client, job_id: str) -> None:
    head = f"POST /api/training/progress/{job_id} HTTP/1.1\r\nHost: test\r\nContent-Length: 999\r\n\r\n"
    with connect(backend) as raw:
        raw.sendall(head.encode() + json.dumps(make_event(1)).encode())
    assert post(backend, job_id, make_event(2)).status_code == 200
    assert [event["sequence"] for event in read(backend, job_id)["events"]] == [2]


def test_what_the_platform_would_not_find_in_an_event_is_named(backend: httpx.Client, job_id: str) -> None:
    stats = SYSTEM_STATS | {"gpu_available": True, "gpu_memory_total_mb": 1.0, "gpu_memory_reserved_mb": 1.0}
    answer = post(backend, job_id, make_event(1, status="model_loaded", system_stats=stats))
    expected = ["model_parameters", "system_stats.gpu_memory_allocated_mb"]
    assert answer.json() == {"stored": True, "missing_fields": expected}
    assert read(backend, job_id)["missing_fields"] == [f"model_loaded: {name}" for name in expected]


@pytest.mark.parametrize("stats", [None, "none", [], {"gpu_available": True}])
def test_odd_system_stats_are_named_as_missing_and_do_no_harm(
    backend: httpx.Client, stats: Any, job_id: str
) -> None:
    answer = post(backend, job_id, make_event(1, status="failed", error="no", system_stats=stats))
    assert "system_stats.cpu_percent" in answer.json()["missing_fields"]


def test_a_null_where_nothing_was_measured_is_not_missing(backend: httpx.Client, job_id: str) -> None:
    answer = post(
        backend,
        job_id,
        make_event(
            1,
            status="epoch_completed",
            epoch=1,
            total_epochs=1,
            progress_percent=100.0,
            eta_seconds=0,
            metrics={
                "train_loss": 0.5,
                "eval_loss": None,
                "learning_rate": 0.0,
                "epoch_time_seconds": 1.0,
                "total_time_seconds": 1.0,
            },
        ),
    )
    assert answer.json()["missing_fields"] == []


def test_jobs_are_listed_with_their_state_the_newest_first(backend: httpx.Client, job_id: str) -> None:
    post(backend, job_id, make_event(1, status="initializing", base_model="openai/whisper-tiny"))
    post(backend, job_id, make_event(2, status="training_progress", progress_percent=50.0))
    post(backend, job_id, make_event(3, status="completed"))
    other_id = f"{job_id} näme <b>"
    post(backend, other_id, make_event(1))
    newest, oldest = backend.get("/api/training/jobs").json()["jobs"][:2]
    assert (newest["job_id"], newest["base_model"], newest["progress_percent"]) == (other_id, None, None)
    assert 0 <= oldest.pop("silent_seconds") < 60
    assert oldest == {
        "job_id": job_id,
        "num_events": 3,
        "status": "completed",
        "timestamp": "2026-01-31T12:00:03+00:00",
        "stage": None,
        "first_timestamp": "2026-01-31T12:00:01+00:00",
        "base_model": "openai/whisper-tiny",
        "progress_percent": 50.0,
    }


def test_a_job_in_a_long_stage_is_listed_with_the_stage_and_how_far_it_is(
    backend: httpx.Client, job_id: str
) -> None:
    post(backend, job_id, make_event(1, status="training_progress", progress_percent=100.0))
    post(
        backend,
        job_id,
        make_event(2, status="stage_progress", stage="evaluate_after", num_done=3, num_total=4),
    )
    newest = backend.get("/api/training/jobs").json()["jobs"][0]
    assert (newest["stage"], newest["progress_percent"]) == ("evaluate_after", 75.0)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(json.dumps(make_event(1, status="initializing", base_model="\ud800")), id="half"),
        pytest.param(json.dumps(make_event(1, status="initializing", base_model=nest(900))), id="900_levels"),
        pytest.param(json.dumps(make_event(1, loss=float("nan"))), id="nan"),
        pytest.param('{"status": "initializing"', id="torn"),
        pytest.param("[]", id="list"),
        pytest.param(b"\xff\xfe", id="no_text"),
    ],
)
def test_a_poisoned_event_in_the_store_hides_no_other_job(
    backend: httpx.Client, root: Path, job_id: str, body: str | bytes
) -> None:
    post(backend, f"{job_id}-sound", make_event(1))
    row = (job_id, 1, 1, "event-0", "initializing", time.time_ns() // 1_000_000, body)
    with closing(sqlite3.connect(root / "events.sqlite")) as database, database:
        database.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, CAST(? AS TEXT))", row)
    post(backend, job_id, make_event(2, status="training_progress", progress_percent=50.0))
    jobs = {job["job_id"]: job for job in backend.get("/api/training/jobs").json()["jobs"]}
    assert jobs[f"{job_id}-sound"]["status"] == "loading_model"
    assert jobs[job_id]["progress_percent"] == 50.0
    poisoned, sound = read(backend, job_id)["events"]
    assert poisoned["status"] == "initializing"
    assert "Damaged" in poisoned["error"]
    assert sound == make_event(2, status="training_progress", progress_percent=50.0)


# Credentials

BEARER = {"Authorization": "Bearer jwt"}
KEY = {"X-Worker-Key": "key"}


@pytest.mark.parametrize(
    ("flags", "headers", "status"),
    [
        ((), {}, 200),
        ((), {"Authorization": "Bearer other"}, 200),
        (("--auth_token", "jwt"), {}, 401),
        (("--auth_token", "jwt"), BEARER, 200),
        (("--auth_token", "jwt"), {"Authorization": "bearer jwt"}, 200),
        (("--auth_token", "jwt"), {"Authorization": "Bearer jwt2"}, 401),
        (("--auth_token", "jwt"), {"Authorization": "Bearer"}, 401),
        (("--auth_token", "jwt"), {"Authorization": "Basic jwt"}, 401),
        (("--auth_token", "jwt"), {"Authorization": "Bearer \xff"}, 401),
        (("--auth_token", "jwt"), {"X-Worker-Key": "jwt"}, 401),
        (("--worker_key", "key"), KEY, 200),
        (("--worker_key", "key"), {"X-Worker-Key": ""}, 401),
        (("--worker_key", "key"), {"Authorization": "Bearer key"}, 401),
        (("--auth_token", "jwt", "--worker_key", "key"), BEARER, 200),
        (("--auth_token", "jwt", "--worker_key", "key"), KEY, 200),
        (("--auth_token", "jwt", "--worker_key", "key"), {"Authorization": "Bearer x"} | KEY, 200),
        (("--auth_token", "jwt", "--worker_key", "key"), {"X-Worker-Key": "jwt"}, 401),
    ],
)
def test_every_call_needs_one_of_the_configured_secrets(
    start_backend: StartBackend,
    uploads: Path,
    flags: tuple[str, ...],
    headers: dict[str, str],
    status: int,
    job_id: str,
) -> None:
    backend = start_backend(*flags)
    address = f"/api/training/progress/{job_id}"
    sent = httpx.Headers(headers, encoding="latin-1")
    answers = [
        backend.get("/uploads/user/talk.wav", headers=sent),
        backend.post(address, json=make_event(1), headers=sent),
        backend.get(address, headers=sent),
        backend.get("/api/training/jobs", headers=sent),
    ]
    assert [answer.status_code for answer in answers] == [status] * 4


def test_secrets_may_come_from_the_environment(start_backend: StartBackend) -> None:
    backend = start_backend(WHISPERTRAIN_AUTH_TOKEN="jwt", WHISPERTRAIN_WORKER_API_KEY="key")
    codes = [backend.get("/api/training/jobs", headers=headers).status_code for headers in ({}, BEARER, KEY)]
    assert codes == [401, 200, 200]


def test_an_open_server_refuses_to_listen_to_the_network(tmp_path: Path) -> None:
    server = spawn(tmp_path, "--host", "0.0.0.0")
    output, errors = server.communicate(timeout=20)
    assert (server.returncode, output) == (2, "")
    assert "no credentials are set" in errors


# The page and the process


@pytest.mark.parametrize(
    "path", ["/", "/dashboard.css", "/dashboard.js", "/job_view.js", "/job_state.js", "/chart.js"]
)
def test_the_page_is_open_and_loads_nothing_from_elsewhere(start_backend: StartBackend, path: str) -> None:
    answer = start_backend("--auth_token", "jwt").get(path)
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "://" not in answer.text.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Debian's chromium")
def test_the_page_shows_a_jobs_figures_and_runs_nothing_that_events_contain(
    backend: httpx.Client, tmp_path: Path
) -> None:
    markup = "<img src=x onerror=\"document.title='owned'\">"
    post(backend, markup, make_event(1, status="initializing", base_model=markup, epochs=1))
    post(backend, markup, make_event(2, status="evaluation_completed", wer_before=0.4, wer_after=0.1))
    post(backend, markup, make_event(3, status="failed", error=markup, warnings=[markup]))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    flags += ["--disable-sync", "--disable-background-networking", "--disable-component-update"]
    flags += [f"--user-data-dir={tmp_path}/profile", "--virtual-time-budget=3000", "--dump-dom"]
    page = subprocess.run(
        ["chromium", *flags, str(backend.base_url)], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert "<title>failed · &lt;img" in page
    assert "<img" not in page
    assert "better by 30.0 points (75.0 % relative)" in page


def test_the_command_that_the_demo_ends_with_shows_its_page_again(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "port").write_text(str(port))
    _, *command = shlex.split(describe_page(tmp_path))
    assert command[0] == "python"
    server = subprocess.Popen(
        [sys.executable, *command[1:]], cwd=BACKEND.parents[1], stdout=subprocess.PIPE, text=True
    )
    address = read_address(server)
    assert address.endswith(f":{port}")
    assert "WhisperTrain" in httpx.get(address, trust_env=False).text
    server.terminate()
    server.communicate(timeout=10)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_cleanly_after_exactly_one_line(tmp_path: Path, number: int) -> None:
    server = spawn(tmp_path)
    address = read_address(server)
    with httpx.Client(base_url=address, trust_env=False) as client:  # kept alive over the stop
        client.get("/")
        server.send_signal(number)
        output, errors = server.communicate(timeout=10)
    assert (server.returncode, output, errors) == (0, "", "")


def test_a_taken_port_is_an_error_and_no_address_is_announced(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = spawn(tmp_path, "--port", str(taken.getsockname()[1]))
        output, errors = server.communicate(timeout=20)
    assert server.returncode not in {0, None}
    assert output == ""
    assert "address already in use" in errors
