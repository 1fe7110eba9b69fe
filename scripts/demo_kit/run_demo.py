"""The whole product on this machine: real speech, real weights, the real handler, WER before and after.

    scripts/demo                          French telephone prompts, whisper-base
    scripts/demo --language en            English prompts, whisper-tiny.en
    scripts/demo --data_dir FOLDER        any folder of audio files with .vtt or .srt files beside them

Speech comes from Debian's packages (apt-get, no root needed), weights from Python packages; with
--data_dir and a hub id as --model neither is needed. Everything goes below --workdir, where result.json is
the handler's answer; a second run reuses what is there.
"""

import argparse
import hashlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from recipe.data.manifest import ManifestEntry, list_folder
from recipe.errors import RecipeError
from recipe.run.files import write_json
from recipe.run.launch import REPOSITORY_DIR
from recipe.run.summary import describe_result
from scripts.demo_kit.corpus import build_corpus
from scripts.demo_kit.model import build_model

USER_ID = "demo-user"
PROJECT_ID = "demo-project"
MODELS = {"fr": "base", "en": "tiny.en"}

console = Console()


def main() -> None:
    """Prepare, send the job, watch it, and show what came of it."""
    arguments = parse_arguments()
    workdir = arguments.workdir.resolve()
    try:
        source, model = build_assets(arguments.language, workdir, arguments.data_dir, arguments.model)
        uploads = fill_uploads(source, workdir)
        with serve_backend(workdir, arguments.port) as address:
            job = build_job(arguments, model, uploads, address)
            answer = send_job(job, workdir, address)
    except RecipeError as error:
        sys.exit(f"error: {error}")
    write_json(workdir / "result.json", answer)
    if not answer.get("success"):
        show_again = describe_page(workdir)
        sys.exit(f"The job failed: {answer.get('error')}\nLog: {workdir / 'handler.log'}\n{show_again}")
    show_result(answer["result"], workdir)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--language", default="fr", help="fr or en; with --data_dir any that Whisper knows")
    parser.add_argument("--data_dir", type=Path, help="your own folder of audio and captions")
    parser.add_argument("--model", help="hub id or folder of a Whisper checkpoint (default: from packages)")
    parser.add_argument("--workdir", type=Path, default=Path(".demo"), help="where everything goes (.demo)")
    parser.add_argument("--epochs", type=int, default=1, help="passes over the windows (1)")
    parser.add_argument("--batch_size", type=int, default=2, help="windows at once (2)")
    parser.add_argument("--learning_rate", type=float, default=2e-5, help="peak learning rate (2e-5)")
    parser.add_argument("--port", type=int, help="the reference backend's port (default: a free one, kept)")
    return parser.parse_args()


def build_assets(
    language: str, workdir: Path, data_dir: Path | None = None, model: str | None = None
) -> tuple[Path, str]:
    """The folder of recordings and the model: those given, else real ones out of packages.

    Raises:
        RecipeError: there are no recordings in the language, or the packages cannot be had.
    """
    if data_dir is None and language not in MODELS:
        raise RecipeError("prompts from packages are in fr and en; give --data_dir for another language")
    name, packages = MODELS.get(language, "base"), workdir / "packages"
    with ThreadPoolExecutor() as pool:
        corpus = workdir / "corpus" / language
        recordings = pool.submit(lambda: data_dir or build_corpus(language, corpus, packages))
        folder = workdir / "models" / name
        checkpoint = pool.submit(lambda: model or str(build_model(name, folder, packages)))
    return recordings.result(), checkpoint.result()


def fill_uploads(source: Path, workdir: Path) -> Path:
    """The folder from which the backend serves the user's files; files of an earlier run are renewed."""
    uploads = workdir / "uploads" / USER_ID
    uploads.mkdir(parents=True, exist_ok=True)
    wanted = {entry.filename for entry in _list_uploads(source)}
    for path in uploads.iterdir():
        if path.name not in wanted:
            path.unlink()
    for name in wanted:
        copy = uploads / name
        if not copy.exists() or copy.stat().st_mtime < (source / name).stat().st_mtime:
            shutil.copy2(source / name, copy)
    return uploads


def _list_uploads(folder: Path) -> list[ManifestEntry]:
    """The files that lie in the folder itself: the backend has no folders."""
    return [entry for entry in list_folder(folder).entries if "/" not in entry.filename]


@contextmanager
def serve_backend(workdir: Path, port: int | None) -> Iterator[str]:
    """Address of a reference backend that runs meanwhile; the port is kept, for it is a part of the job."""
    port_file = workdir / "port"
    port = port or (int(port_file.read_text()) if port_file.exists() else find_free_port())
    command = [sys.executable, str(REPOSITORY_DIR / "scripts" / "reference_backend")]
    command += ["--root", str(workdir), "--port", str(port)]
    with (workdir / "backend.log").open("w") as log:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert server.stdout
        line = server.stdout.readline()
        if not line.startswith("listening on "):
            raise RecipeError(
                f"the reference backend did not start on port {port} (see {workdir / 'backend.log'}); "
                "if another program uses the port, give --port"
            )
        port_file.write_text(str(port))
        address = line.split()[-1]
        console.print(f"The platform's stand-in shows the job live at [bold]{address}[/]")
        yield address
    finally:
        server.terminate()
        server.wait()


def find_free_port() -> int:
    """A port of the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def build_job(arguments: argparse.Namespace, model: str, uploads: Path, address: str) -> dict[str, Any]:
    """The smallest real request, on this machine's files."""
    request = {
        "model_id": model,
        "epochs": arguments.epochs,
        "project_id": PROJECT_ID,
        "user_id": USER_ID,
        "backend_base_url": address,
        "auth_token": "",
        "worker_api_key": "",
        "batch_size": arguments.batch_size,
        "learning_rate": arguments.learning_rate,
        "files_manifest": [vars(entry) for entry in _list_uploads(uploads)],
        "options": {"language": arguments.language},
    }
    job_id = hashlib.sha256(json.dumps(request).encode()).hexdigest()[:12]
    return {"input": {**request, "job_id": f"demo-{job_id}"}}


def send_job(job: dict[str, Any], workdir: Path, address: str) -> dict[str, Any]:
    """The handler's answer to the job, while a bar follows the events that the backend receives."""
    answer_file = workdir / "answer.json"
    answer_file.unlink(missing_ok=True)
    model = Path(job["input"]["model_id"])
    environment = os.environ | {
        "WHISPERTRAIN_ALLOW_PRIVATE_BACKEND": "1",  # the backend is on this machine
        "WHISPERTRAIN_MODELS_DIR": str(model.parent if model.is_absolute() else workdir / "models"),
        "WHISPERTRAIN_RUNS_DIR": str(workdir / "runs"),
        "WHISPERTRAIN_ANSWER_FILE": str(answer_file),
    }
    command = [sys.executable, "-u", "handler.py", "--test_input", json.dumps(job)]
    with (workdir / "handler.log").open("w") as log:
        handler = subprocess.Popen(command, cwd=REPOSITORY_DIR, env=environment, stdout=log, stderr=log)
    try:
        follow(handler, f"{address}/api/training/progress/{job['input']['job_id']}")
    finally:
        handler.terminate()
        handler.wait()
    if not answer_file.exists():
        raise RecipeError(f"the handler gave no answer; see {workdir / 'handler.log'}")
    answer: dict[str, Any] = json.loads(answer_file.read_text())
    return answer


def follow(handler: "subprocess.Popen[bytes]", progress_address: str) -> None:
    """Show a bar that follows the events at the backend until the handler ends."""
    columns = TextColumn("{task.description:<28}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("starting", total=100)
        after = 0
        while handler.poll() is None:
            answer = httpx.get(progress_address, params={"after": after}, trust_env=False)
            for event in answer.json()["events"] if answer.is_success else []:
                after = event["sequence"]
                show_event(progress, task, event)
            time.sleep(1)
        progress.update(task, description="done", completed=100)


def show_event(progress: Progress, task: Any, event: dict[str, Any]) -> None:
    """Move the bar to where an event says the job is."""
    description = event["status"].replace("_", " ")
    if event["status"] == "training_progress":
        description = f"update {event['step']} of {event['total_steps']}, loss {event['metrics']['loss']:.2f}"
    elif event["status"] == "stage_progress":
        description = f"{event['task']}, {event['num_done']} of {event['num_total']}"
        progress.update(task, completed=100 * event["num_done"] / event["num_total"])
    elif event["status"] == "download_progress":
        description = f"download {event['num_files_done']} of {event['num_files']} files"
    progress.update(task, description=description, completed=event.get("progress_percent"))


def show_result(result: dict[str, Any], workdir: Path) -> None:
    """What `train.py` prints at its end, and where the answer is."""
    lines = [*describe_result(result), f"Answer  {workdir / 'result.json'}", describe_page(workdir)]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def describe_page(workdir: Path) -> str:
    """The command that shows the job's page again."""
    port = (workdir / "port").read_text()
    command = ["python", "scripts/reference_backend", "--root", str(workdir), "--port", port]
    return f"Page    {shlex.join(command)}"


if __name__ == "__main__":
    main()
