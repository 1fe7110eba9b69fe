"""Everything that only a GPU can show, unattended and in under 25 minutes, most wanted first.

    python -m scripts.benchmarks.first_gpu_hour --workdir runs/gpu --model MODEL --data_dir FOLDER
    python -m scripts.benchmarks.first_gpu_hour --workdir runs/toy --toy      # the same commands on a CPU

Each step is a command of its own with a limit of time. What it prints is in WORKDIR/STEP.txt as it comes,
what it complains of in STEP.log, and
WORKDIR/gpu.md puts the steps together, with card, date, command and how each ended. The same command again
goes on with what has not ended well. A step that fails costs itself only; none begins once --minutes are
over. Without a model and recordings, transcribing and a whole training are left out.
"""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from recipe.run.files import write_json, write_text
from recipe.run.launch import REPOSITORY_DIR
from scripts.benchmarks.common import build_parser, describe_machine, find_device

PYTHON = sys.executable
CONFIGS = REPOSITORY_DIR / "accelerate_configs"
MAX_CHARS = 4_000
"""Characters of a step's output in the report, where it is no table."""

GRACE_SECONDS = 10.0
"""Time that a step has to end once it is asked to."""


@dataclass(frozen=True)
class Step:
    """A command to run.

    Attributes:
        name: Of its file of output, without an extension.
        command: Its words.
        max_seconds: After which it is ended; what it printed counts.
    """

    name: str
    command: Sequence[str]
    max_seconds: float


@dataclass(frozen=True)
class Ending:
    """How a step ended.

    Attributes:
        command: As in a shell.
        code: Exit status; None if its time was over.
        seconds: How long it took.
    """

    command: str
    code: int | None
    seconds: float


def main() -> None:
    """Run the steps, and put together what they printed."""
    arguments = parse_arguments()
    workdir: Path = arguments.workdir.resolve()
    workdir.mkdir(parents=True, exist_ok=True)
    ends_at = time.monotonic() + 60 * arguments.minutes
    endings = read_endings(workdir)
    for step in list_steps(arguments, workdir):
        if step.name in endings and endings[step.name].code == 0:
            continue
        seconds_left = ends_at - time.monotonic()
        if seconds_left <= 0:
            print(f"{step.name}: not begun, the time is over; the same command goes on here", flush=True)
            continue
        print(f"{step.name} ...", end=" ", flush=True)
        endings[step.name] = run_step(step, workdir, min(step.max_seconds, seconds_left))
        print(describe_ending(endings[step.name]), flush=True)
        write_json(workdir / "steps.json", {name: asdict(ending) for name, ending in endings.items()})
        write_text(workdir / "gpu.md", "\n".join(format_report(workdir, endings)))
    print(workdir / "gpu.md")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = build_parser(__doc__, optional=["workdir", "model", "data_dir", "language"])
    parser.add_argument("--minutes", type=float, default=25.0, help="when no further step begins (25)")
    parser.add_argument("--toy", action="store_true", help="tiny models, to rehearse on a CPU")
    return parser.parse_args()


def list_steps(arguments: argparse.Namespace, workdir: Path) -> Iterator[Step]:
    """The steps, most wanted first."""
    if not arguments.toy:
        yield Step("card", ["nvidia-smi"], 30)
    yield Step("tests", [PYTHON, "-m", "pytest", "-m", "gpu", "-q", "tests/integration/test_gpu.py"], 400)
    yield Step("exactness", _benchmark("exactness", "--max_processes", "1"), 200)
    sizes = ("toy",) if arguments.toy else ("large-v3", "small", "turbo", "tiny")
    limits = ("--max_batch_size", "2", "--num_updates", "2") if arguments.toy else ()
    for size in sizes:
        yield Step(f"utilisation-{size}", _benchmark("utilisation", "--sizes", size, *limits), 240)
    for size in sizes[:2]:
        yield Step(f"profile-{size}", _benchmark("profile_update", "--size", size), 120)
    if not arguments.toy:
        for size in sizes[:2]:
            compiled = ("--sizes", size, "--trained", "full", "--torch_compile")
            yield Step(f"utilisation-{size}-compiled", _benchmark("utilisation", *compiled), 300)
    if arguments.model and arguments.data_dir:
        data = ["--data_dir", str(arguments.data_dir.resolve()), "--language", arguments.language or "en"]
        yield Step("evaluation", _benchmark("evaluation", "--model", arguments.model, *data), 300)
        config = CONFIGS / ("cpu.yaml" if arguments.toy else "single_gpu.yaml")
        launch = [PYTHON, "-m", "accelerate.commands.launch", "--quiet", "--config_file", str(config)]
        options = ["--model_name_or_path", arguments.model, "--output_dir", str(workdir / "run"), *data]
        yield Step("training", [*launch, "train.py", *options, "--publish_if_worse", "True"], 600)


def _benchmark(name: str, *options: str) -> list[str]:
    return [PYTHON, "-m", f"scripts.benchmarks.{name}", *options]


def run_step(step: Step, workdir: Path, max_seconds: float) -> Ending:
    """Run a step; what it prints goes to its file as it comes."""
    started = time.monotonic()
    output, log = workdir / f"{step.name}.txt", workdir / f"{step.name}.log"
    with output.open("wb") as printed, log.open("wb") as complaints:
        process = subprocess.Popen(
            step.command, cwd=REPOSITORY_DIR, stdout=printed, stderr=complaints, start_new_session=True
        )
        try:
            code: int | None = process.wait(max_seconds)
        except subprocess.TimeoutExpired:
            code = None
            end_session(process)
        except BaseException:
            end_session(process)
            raise
    return Ending(shlex.join(["python", *step.command[1:]]), code, time.monotonic() - started)


def end_session(process: subprocess.Popen[bytes]) -> None:
    """End a step and what it started: politely, then for good."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def read_endings(workdir: Path) -> dict[str, Ending]:
    """How steps ended before, by name."""
    path = workdir / "steps.json"
    if not path.is_file():
        return {}
    return {name: Ending(**ending) for name, ending in json.loads(path.read_text(encoding="utf-8")).items()}


def describe_ending(ending: Ending) -> str:
    """How a step ended, in words."""
    how = {0: "done", None: "ended when its time was over"}.get(ending.code, f"failed with {ending.code}")
    return f"{how}, {ending.seconds:.0f} s"


def format_report(workdir: Path, endings: Mapping[str, Ending]) -> Iterator[str]:
    """The lines of the report, Markdown."""
    yield f"# On {'a GPU' if find_device().type == 'cuda' else 'a CPU, to rehearse'}\n"
    yield ", ".join(f"{name} {value}" for name, value in describe_machine().items())
    for name, ending in endings.items():
        printed, complaints = (
            (workdir / f"{name}.{kind}").read_text(encoding="utf-8", errors="replace").strip()
            for kind in ("txt", "log")
        )
        yield f"\n## {name}: {describe_ending(ending)}\n"
        yield f"`{ending.command}`\n"
        yield printed if "\n| ---" in printed else f"```\n{printed[-MAX_CHARS:]}\n```"
        if ending.code != 0:
            yield f"\n```\n{complaints[-MAX_CHARS:]}\n```"


if __name__ == "__main__":
    main()
