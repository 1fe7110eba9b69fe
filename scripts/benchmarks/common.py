"""What the benchmarks share: options, the machine, clocks, tables, pictures, processes of their own.

torch is loaded only by what needs it: the memory of a preparation is measured without it.
"""

import argparse
import multiprocessing
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from recipe.errors import RecipeError
from recipe.run.launch import REPOSITORY_DIR

if TYPE_CHECKING:
    import torch
    from transformers import TrainerCallback

    from recipe.model.inputs import WindowDataset
    from recipe.model.whisper import Whisper
    from recipe.training.arguments import RecipeTrainingArguments
    from recipe.training.trainer import WhisperTrainer

OPTIONS: dict[str, dict[str, Any]] = {
    "data_dir": {"type": Path, "help": "folder of recordings with captions"},
    "model": {"help": "hub id or folder of a Whisper checkpoint"},
    "language": {"help": "code of the language spoken"},
    "workdir": {"type": Path, "default": Path(".benchmark"), "help": "where files go (.benchmark)"},
    "json": {"type": Path, "help": "file for all figures"},
}
"""Options that mean the same wherever they are."""

QUIET: dict[str, Any] = {
    "save_strategy": "no",
    "eval_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
}
"""Arguments of a trainer of which nothing but figures is wanted."""

T = TypeVar("T")


def build_parser(
    description: str | None, *, required: Sequence[str] = (), optional: Sequence[str] = ()
) -> argparse.ArgumentParser:
    """A parser with some of `OPTIONS`; each benchmark adds its own."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in (*required, *optional):
        parser.add_argument(f"--{name}", required=name in required, **OPTIONS[name])
    return parser


def run(measure: Callable[[argparse.Namespace], None], parser: argparse.ArgumentParser) -> None:
    """Measure as the command line says, below the command, the day and the machine."""
    arguments = parser.parse_args()
    module = ".".join(Path(sys.argv[0]).resolve().relative_to(REPOSITORY_DIR).with_suffix("").parts)
    print(f"`{shlex.join(['python', '-m', module.removesuffix('.__main__'), *sys.argv[1:]])}`  ")
    print(", ".join(f"{name} {value}" for name, value in describe_machine().items()), end="\n\n", flush=True)
    try:
        measure(arguments)
    except RecipeError as error:
        sys.exit(f"error: {error}")


def describe_machine() -> dict[str, Any]:
    """What figures are taken on, and when."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "device": name_device(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "datasets")},
    }


def name_device() -> str:
    """The GPU, where torch is loaded and finds one, else the processor."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def find_device() -> "torch.device":
    """The first GPU, or the processor."""
    import torch  # noqa: PLC0415 - see above

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_on_device(model: str) -> "Whisper":
    """A checkpoint to be measured with."""
    import transformers  # noqa: PLC0415 - see above

    from recipe.arguments import ModelArguments  # noqa: PLC0415
    from recipe.model.whisper import load_whisper  # noqa: PLC0415

    transformers.utils.logging.disable_progress_bar()
    whisper = load_whisper(ModelArguments(model))
    whisper.move_to(find_device())
    return whisper


def build_trainer(
    whisper: "Whisper",
    arguments: "RecipeTrainingArguments",
    windows: "WindowDataset",
    callbacks: "Sequence[TrainerCallback]" = (),
) -> "WhisperTrainer":
    """The recipe's trainer, with nothing held out and nothing printed."""
    from transformers import PrinterCallback  # noqa: PLC0415 - see above

    from recipe.evaluation.report import Evaluation  # noqa: PLC0415
    from recipe.training.trainer import WhisperTrainer  # noqa: PLC0415

    nothing = Evaluation([], 0.0)
    trainer = WhisperTrainer(
        whisper, arguments, windows, None, fingerprint={}, measure=lambda: nothing, callbacks=[*callbacks]
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def read_clock(device: "torch.device") -> float:
    """Seconds of compute: of a clock once the GPU has done its work, else CPU seconds of this process."""
    if device.type == "cuda":
        sys.modules["torch"].cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def measure_seconds(call: Callable[[], T]) -> tuple[T, dict[str, float]]:
    """What the call returns, and its `cpu_seconds` in this process and `wall_seconds`.

    Other work on the machine hardly shows in CPU seconds.
    """
    started, started_cpu = time.monotonic(), time.process_time()
    value = call()
    cpu_seconds = time.process_time() - started_cpu
    return value, {"cpu_seconds": cpu_seconds, "wall_seconds": time.monotonic() - started}


def peak_mib() -> float:
    """Most memory that this process held at once, in MiB."""
    return read_status("VmHWM")


def read_status(name: str) -> float:
    """What proc(5) says of this process's memory under the name, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


def call_in_fresh_process(function: Callable[..., T], *arguments: object) -> T:
    """What the function returns in a new interpreter, whose memory and time are its own."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=_let_fork) as pool:
        return pool.submit(function, *arguments).result()


def _let_fork() -> None:
    """Have this process's own children start as a script's do, not as it did itself."""
    multiprocessing.set_start_method("fork", force=True)


def training_command(config: Path, flags: Sequence[str], options: Mapping[str, object]) -> list[str]:
    """`accelerate launch` of `train.py`; for the arguments see `start_training`."""
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config), *flags]
    return [*command, "train.py", *to_flags(options)]


def to_flags(options: Mapping[str, object]) -> list[str]:
    """Options as a command line has them."""
    return [part for name, value in options.items() for part in (f"--{name}", str(value))]


def start_training(
    config: Path, flags: Sequence[str], options: Mapping[str, object], log: Path
) -> subprocess.Popen[bytes]:
    """`accelerate launch` of `train.py` as a child.

    Args:
        config: Accelerate's.
        flags: Of the launcher.
        options: Of `train.py`, by name.
        log: Receives what the child prints, after what it holds.
    """
    command = training_command(config, flags, options)
    with log.open("ab") as output:
        return subprocess.Popen(command, cwd=REPOSITORY_DIR, stdout=output, stderr=output)


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a Markdown table, each row as soon as it is there; the first column is text."""
    for row in (header, ["---", *["--:"] * (len(header) - 1)]):
        print(f"| {' | '.join(row)} |")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)
    print()


def make_axes(num_rows: int, num_columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    """A picture with axes of one x scale, to be saved to a file."""
    import matplotlib as mpl  # noqa: PLC0415 - of requirements-dev.txt; most benchmarks draw nothing

    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after its backend is chosen

    return plt.subplots(num_rows, num_columns, figsize=size, sharex=True, layout="constrained")
