"""Loss and gradient norm of the same training under each engine, in one picture: they lie on each other.

    python -m scripts.benchmarks.engines --data_dir recordings --workdir runs/engines

One process, two processes (DDP), two machines on loopback, FSDP and, where it is installed, DeepSpeed ZeRO-2
train the same windows, in float32, with the configs of accelerate_configs/; without two GPUs nothing in them
is changed but the device. Without --model a tiny one with random weights is made. The picture goes to
--picture, the curves beside it as JSON.
"""

import argparse
import importlib.util
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import yaml

from recipe.errors import RecipeError
from recipe.model.tiny import build_tiny_whisper
from recipe.run.files import write_json
from recipe.run.folder import list_checkpoints
from recipe.run.launch import REPOSITORY_DIR, count_gpus
from scripts.benchmarks.common import build_parser, make_axes, print_table, run, start_training

ENGINES = {
    "one process": "single_gpu",
    "two processes (DDP)": "multi_gpu",
    "two machines": "multi_node",
    "FSDP": "fsdp",
    "DeepSpeed ZeRO-2": "deepspeed_zero2",
}
BATCH_SIZE = 8  # windows of an update, over all processes
PORT = 29_517

Curve = list[tuple[int, float, float]]
"""Update, loss and gradient norm."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = build_parser(__doc__, required=["data_dir"], optional=["model", "language", "workdir"])
    parser.add_argument("--num_updates", type=int, default=30)
    parser.add_argument("--picture", type=Path, default=Path("docs/engines.png"))
    parser.set_defaults(language="fr")
    return parser


def measure(arguments: argparse.Namespace) -> None:
    """Train under each engine, compare, draw."""
    workdir = arguments.workdir = arguments.workdir.resolve()
    workdir.mkdir(parents=True, exist_ok=True)
    arguments.model = arguments.model or build_tiny_whisper(workdir / "tiny")
    names = [name for name in ENGINES if name != "DeepSpeed ZeRO-2" or importlib.util.find_spec("deepspeed")]
    # At once: they do not notice one another.
    children = [child for name in names for child in start(name, arguments)]
    exit_codes = [child.wait() for child in children]
    if any(exit_codes):
        raise RecipeError(f"A training failed; see the logs in {workdir}.")
    curves = {name: read_curve(workdir / ENGINES[name]) for name in names}
    write_json(arguments.picture.with_suffix(".json"), curves)
    header = ["engine", "updates", "loss deviates by", "gradient norm deviates by"]
    print_table(header, compare(curves))
    draw(curves, arguments.picture)


def start(name: str, arguments: argparse.Namespace) -> Iterator[subprocess.Popen[bytes]]:
    """The launchers of one training, one for each machine."""
    config = ENGINES[name]
    num_processes = 1 if config == "single_gpu" else 2
    options = {
        "data_dir": arguments.data_dir.resolve(),
        "model_name_or_path": arguments.model,
        "language": arguments.language,
        "output_dir": arguments.workdir / config,
        "max_steps": arguments.num_updates,
        "per_device_train_batch_size": BATCH_SIZE // num_processes,
        "learning_rate": 1e-3,
        "eval_fraction": 0.0,
        "bf16": False,
        "dataloader_num_workers": 0,
    }
    port = PORT + list(ENGINES).index(name)
    flags = ["--num_processes", str(num_processes), "--main_process_port", str(port)]
    for rank in range(2 if config == "multi_node" else 1):
        machine = ["--machine_rank", str(rank)] if config == "multi_node" else []
        log = arguments.workdir / f"{config}.log"
        yield start_training(fit(config, arguments.workdir), [*flags, *machine], options, log)


def fit(config: str, workdir: Path) -> Path:
    """The config's file; where there are not two GPUs, a copy that differs in the device alone."""
    path = REPOSITORY_DIR / "accelerate_configs" / f"{config}.yaml"
    if count_gpus(os.environ) >= 2:
        return path
    on_cpu = workdir / path.name
    on_cpu.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"use_cpu": True}))
    return on_cpu


def read_curve(run_dir: Path) -> Curve:
    """The curve of all updates, from the last checkpoint."""
    path = list_checkpoints(run_dir)[0] / "trainer_state.json"
    history = json.loads(path.read_text())["log_history"]
    return [(entry["step"], entry["loss"], entry["grad_norm"]) for entry in history if "loss" in entry]


def compare(curves: dict[str, Curve]) -> Iterator[list[str]]:
    """The largest relative deviation of each engine from one process, over all updates."""
    reference = curves["one process"]
    for name, curve in curves.items():
        deviations = [
            max(abs(found[i] / expected[i] - 1) for found, expected in zip(curve, reference, strict=True))
            for i in (1, 2)
        ]
        yield [name, str(len(curve)), *(f"{deviation:.1e}" for deviation in deviations)]


def draw(curves: dict[str, Curve], path: Path) -> None:
    """Losses above, gradient norms below; each engine thinner than the one before, so that all show."""
    figure, axes = make_axes(2, 1, (7, 6))
    for index, (name, curve) in enumerate(curves.items()):
        steps, *columns = zip(*curve, strict=True)
        width = 2.0 * (len(curves) - index)
        for axis, values in zip(axes, columns, strict=True):
            axis.plot(steps, values, linewidth=width, label=name, color=f"C{index}")
    axes[0].set(ylabel="loss", title="The same training under each engine")
    axes[1].set(ylabel="gradient norm", xlabel="update")
    axes[1].xaxis.get_major_locator().set_params(integer=True)
    axes[0].legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    run(measure, parser())
