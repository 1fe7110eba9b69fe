"""As much of the Hugging Face hub as an upload needs, on loopback: repositories, commits, large files."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from huggingface_hub.utils.sha import git_hash

TOKEN = "hf_token_of_the_stand_in"
LARGE_SUFFIX = ".safetensors"


class HubStandIn(ThreadingHTTPServer):
    """The hub's state, and how it misbehaves.

    Attributes:
        is_private: Visibility by repository.
        commits: Contents by file name of each commit, by repository, oldest first.
        failures: Statuses that the next commits answer with, before any succeeds.
        is_damaging: Whether a large file is stored with one bit changed.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.is_private = {}
        self.commits = {}
        self.large_files = {}
        self.failures = []
        self.is_damaging = False
        self._thread = threading.Thread(target=self.serve_forever)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self.shutdown()
        self._thread.join()
        self.server_close()


def name_commit(number):
    return f"{number:040x}"


class HubHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        repository = self.match(r"/api/models/([^/]+/[^/]+)$")
        if repository not in self.server.commits:
            return self.answer(404, {"error": "Repository not found"})
        sha = name_commit(len(self.server.commits[repository]) - 1)
        return self.answer(200, {"id": repository, "sha": sha, "private": self.server.is_private[repository]})

    def do_PUT(self):
        body = self.read_body()
        if self.server.is_damaging:
            body = bytes([body[0] ^ 1]) + body[1:]
        self.server.large_files[self.path.rpartition("/")[2]] = body
        self.answer(200, {})

    def do_POST(self):
        body = self.read_body()
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return self.answer(401, {"error": "Invalid credentials"})
        routes = {
            r"/api/repos/create$": self.create,
            r"/api/validate-yaml$": lambda *_: self.answer(200, {"errors": [], "warnings": []}),
            r"/api/models/(.+)/preupload/main$": self.choose_modes,
            r"/(.+)\.git/info/lfs/objects/batch$": self.plan_uploads,
            r"/api/models/(.+)/commit/main$": self.commit,
            r"/api/models/(.+)/paths-info/[0-9a-f]{40}$": self.describe,
        }
        for pattern, route in routes.items():
            if self.match(pattern) is not None:
                return route(self.match(pattern), body)
        return self.answer(404, {"error": f"{self.path} is not known here"})

    def match(self, pattern):
        found = re.match(pattern, self.path)
        return found and (found[1] if found.re.groups else "")

    def read_body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            blocks = []
            while num_bytes := int(self.rfile.readline(), 16):
                blocks.append(self.rfile.read(num_bytes))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(blocks)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def create(self, _, body):
        request = json.loads(body)
        repository = f"{request['organization']}/{request['name']}"
        if repository in self.server.commits:
            return self.answer(409, {"error": "exists", "url": f"{self.server.url}/{repository}"})
        self.server.commits[repository] = [{".gitattributes": b""}]
        self.server.is_private[repository] = request["visibility"] == "private"
        return self.answer(200, {"url": f"{self.server.url}/{repository}"})

    def choose_modes(self, _, body):
        files = [
            {"path": file["path"], "uploadMode": mode_of(file["path"]), "shouldIgnore": False}
            for file in json.loads(body)["files"]
        ]
        self.answer(200, {"files": files})

    def plan_uploads(self, _, body):
        objects = [
            entry | {"actions": {"upload": {"href": f"{self.server.url}/large/{entry['oid']}"}}}
            for entry in json.loads(body)["objects"]
        ]
        self.answer(200, {"transfer": "basic", "objects": objects})

    def commit(self, repository, body):
        if self.server.failures:
            return self.answer(self.server.failures.pop(0), {"error": "not now"})
        files = dict(self.server.commits[repository][-1])
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.large_files[value["oid"]]
        self.server.commits[repository].append(files)
        sha = name_commit(len(self.server.commits[repository]) - 1)
        url = f"{self.server.url}/{repository}/commit/{sha}"
        return self.answer(200, {"success": True, "commitOid": sha, "commitUrl": url})

    def describe(self, repository, body):
        files = self.server.commits[repository][int(self.path.rpartition("/")[2], 16)]
        asked = parse_qs(body.decode())["paths"]
        self.answer(200, [describe_file(path, files[path]) for path in asked if path in files])


def mode_of(path):
    return "lfs" if path.endswith(LARGE_SUFFIX) else "regular"


def describe_file(path, content):
    entry = {"type": "file", "path": path, "size": len(content), "oid": git_hash(content)}
    if mode_of(path) == "lfs":
        oid = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 134}
    return entry
