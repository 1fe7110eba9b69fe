#!/usr/bin/env python
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
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the project is run from its checkout

import httpx
from demo_corpus import build_corpus
from demo_model import build_model
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from recipe.data.manifest import list_folder
from recipe.errors import RecipeError

ROOT = Path(__file__).resolve().parents[1]
USER_ID = "demo-user"
PROJECT_ID = "demo-project"
MODELS = {"fr": "base", "en": "tiny.en"}

console = Console()


def main() -> None:
    """Prepare, send the job, watch it, and show what came of it."""
    arguments = parse_arguments()
    workdir = arguments.workdir.resolve()
    try:
        model = arguments.model or str(build_demo_model(arguments.language, workdir))
        uploads = fill_uploads(arguments, workdir)
        with serve_backend(workdir, arguments.port) as address:
            job = build_job(arguments, model, uploads, address)
            answer = send_job(job, workdir, address)
    except RecipeError as error:
        sys.exit(f"error: {error}")
    (workdir / "result.json").write_text(json.dumps(answer, indent=1, ensure_ascii=False))
    if not answer.get("success"):
        sys.exit(f"The job failed: {answer.get('error')}\nLog: {workdir / 'handler.log'}")
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
    arguments = parser.parse_args()
    if arguments.data_dir is None and arguments.language not in MODELS:
        parser.error("prompts from packages are in fr and en; give --data_dir for another language")
    return arguments


def build_demo_model(language: str, workdir: Path) -> Path:
    """Real weights from packages: tiny.en for English, base for all else."""
    name = MODELS.get(language, "base")
    return build_model(name, workdir / "models" / name, workdir / "packages")


def fill_uploads(arguments: argparse.Namespace, workdir: Path) -> Path:
    """The folder from which the backend serves the user's files; files of an earlier run are renewed."""
    source = arguments.data_dir
    if source is None:
        corpus = workdir / "corpus" / arguments.language
        source = build_corpus(arguments.language, corpus, workdir / "packages")
    uploads = workdir / "uploads" / USER_ID
    uploads.mkdir(parents=True, exist_ok=True)
    wanted = {entry.filename for entry in list_folder(source)}
    for path in uploads.iterdir():
        if path.name not in wanted:
            path.unlink()
    for name in wanted:
        if (
            not (uploads / name).exists()
            or (uploads / name).stat().st_mtime < (source / name).stat().st_mtime
        ):
            shutil.copy2(source / name, uploads / name)
    return uploads


@contextmanager
def serve_backend(workdir: Path, port: int | None) -> Iterator[str]:
    """Address of a reference backend that runs meanwhile; the port is kept, for it is a part of the job."""
    port_file = workdir / "port"
    port = port or (int(port_file.read_text()) if port_file.exists() else find_free_port())
    command = [sys.executable, str(ROOT / "scripts" / "reference_backend")]
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
        "files_manifest": [vars(entry) for entry in list_folder(uploads)],
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
        handler = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
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
    elif event["status"] == "download_progress":
        description = f"download {event['num_files_done']} of {event['num_files']} files"
    progress.update(task, description=description, completed=event.get("progress_percent"))


def show_result(result: dict[str, Any], workdir: Path) -> None:
    """The table that the demo is about."""
    evaluation, dataset, artifacts = result["evaluation"], result["dataset"], result["artifacts"]
    if evaluation["wer_before"] is not None:
        table = Table(
            title=f"Held-out recordings: {', '.join(dataset['held_out']) or 'the end of the only one'}"
        )
        for heading in ("", "before", "after", "change"):
            table.add_column(heading, justify="right" if heading else "left")
        rows = [("WER normalised", "wer_normalized"), ("CER normalised", "cer_normalized")]
        for label, name in [*rows, ("WER as written", "wer"), ("CER as written", "cer")]:
            before, after = evaluation[f"{name}_before"], evaluation[f"{name}_after"]
            change = f"{after / before - 1:+.0%}" if before else ""
            table.add_row(label, f"{before:.2%}", f"{after:.2%}", change)
        console.print(table)
        example = evaluation["example"]
        for label, text in (("said", "reference"), ("heard before", "before"), ("heard after", "after")):
            console.print(f"[bold]{label:>13}[/]  {example[text]}", highlight=False)
    hours = f"{dataset['audio_hours']:.2f} hours of recordings"
    windows = f"{dataset['num_train_windows']} windows trained, {dataset['num_held_out_windows']} held out"
    console.print(f"\n[bold]{'data':>13}[/]  {hours}, {windows}")
    seconds = ", ".join(f"{name} {value:.0f} s" for name, value in result["seconds_by_stage"].items())
    console.print(f"[bold]{'time':>13}[/]  {seconds}", highlight=False)
    for label, path in (
        ("model", artifacts["model_path"] or "not released"),
        ("report", artifacts["report_path"]),
    ):
        console.print(f"[bold]{label:>13}[/]  {path}", highlight=False)
    console.print(f"[bold]{'answer':>13}[/]  {workdir / 'result.json'}", highlight=False)
    for warning in result["warnings"]:
        console.print(f"[yellow]{'warning':>13}[/]  {warning}", highlight=False)


if __name__ == "__main__":
    main()
