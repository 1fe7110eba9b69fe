"""RunPod's side of the worker's HTTP, and the platform's, on loopback."""

import json
import queue
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class QuietServer(ThreadingHTTPServer):
    """A server whose clients may be killed while they wait."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class ControlPlane:
    """Hands out jobs and stop signals, and keeps everything that is posted, in order of arrival.

    Args:
        progress_delay: Seconds that it takes to receive a progress update, as over a slow network.
    """

    def __init__(self, progress_delay: float = 0.0) -> None:  # noqa: C901 - routes, one branch each
        self.jobs: queue.Queue = queue.Queue()
        self.stops: list[str] = []
        self.posts: list[tuple[float, dict]] = []
        self.backend_posts: list[tuple[dict, dict]] = []
        self.has_answer = threading.Event()
        plane = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args) -> None:
                pass

            def reply(self, status: int, body: object = None) -> None:
                content = b"" if body is None else json.dumps(body).encode()
                self.send_response(status)
                if body is not None:
                    self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def do_GET(self) -> None:
                if "/job-take/" in self.path:
                    try:
                        self.reply(200, plane.jobs.get(timeout=0.3))
                    except queue.Empty:
                        self.reply(204)
                elif "/job-stop/" in self.path:
                    time.sleep(0.2)
                    stops, plane.stops = plane.stops, []
                    self.reply(200, {"jobsToStop": stops})
                else:
                    self.reply(200, {})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if "/api/training/progress/" in self.path:
                    plane.backend_posts.append((dict(self.headers), body))
                    return self.reply(200, {})
                is_progress = body.get("status") == "IN_PROGRESS"
                if is_progress:
                    time.sleep(progress_delay)
                plane.posts.append((time.monotonic(), body))
                if not is_progress:
                    plane.has_answer.set()
                return self.reply(200, {})

        self.server = QuietServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def environment(self) -> dict[str, str]:
        """What RunPod sets in a worker's environment."""
        root = f"{self.address}/v2/ep"
        return {
            "RUNPOD_WEBHOOK_GET_JOB": f"{root}/job-take/$ID?gpu=x",
            "RUNPOD_WEBHOOK_POST_OUTPUT": f"{root}/job-done/$RUNPOD_POD_ID/$ID?gpu=x",
            "RUNPOD_WEBHOOK_POST_STREAM": f"{root}/job-stream/$RUNPOD_POD_ID/$ID?gpu=x",
            "RUNPOD_WEBHOOK_PING": f"{root}/ping/$RUNPOD_POD_ID?gpu=x",
            "RUNPOD_AI_API_KEY": "key-of-the-worker",
            "RUNPOD_POD_ID": "pod-1",
            "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
            "RUNPOD_SKIP_GPU_CHECK": "true",
        }

    def submit(self, event_id: str, request: dict) -> None:
        self.has_answer.clear()
        self.jobs.put({"id": event_id, "input": request})

    def wait_for_answer(self, seconds: float = 120.0) -> dict:
        assert self.has_answer.wait(seconds), "no answer came"
        return self.answers[-1]

    @property
    def answers(self) -> list[dict]:
        return [body for _, body in self.posts if body.get("status") != "IN_PROGRESS"]

    @property
    def updates(self) -> list[tuple[float, dict]]:
        return [(at, body["output"]) for at, body in self.posts if body.get("status") == "IN_PROGRESS"]
