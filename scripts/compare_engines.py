#!/usr/bin/env python
"""Loss and gradient norm of the same training under each engine, in one picture: they lie on each other.

    python scripts/compare_engines.py --data_dir recordings --output_dir runs/engines

One process, two processes (DDP), two machines on loopback, FSDP and, where it is installed, DeepSpeed ZeRO-2
train the same windows, in float32, with the configs of accelerate_configs/; without two GPUs nothing in them
is changed but the device. Without --model a tiny one with random weights is made. The table goes to the
terminal, the picture to --picture, the curves beside it as JSON.
"""

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the project is run from its checkout

import matplotlib as mpl
import yaml

from recipe.model.tiny import build_tiny_whisper
from recipe.run.launch import REPOSITORY_DIR, count_gpus

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


def main() -> None:
    """Train under each engine, compare, draw."""
    arguments = parse_arguments()
    output_dir = arguments.output_dir.resolve()
    output_dir.mkdir(parents=True, exist_ok=True)
    model = arguments.model or build_tiny_whisper(output_dir / "tiny")
    names = [name for name in ENGINES if name != "DeepSpeed ZeRO-2" or importlib.util.find_spec("deepspeed")]
    processes = [
        process for name in names for process in start(name, output_dir, model.resolve(), arguments)
    ]  # at once: they do not notice one another
    exit_codes = [process.wait() for process in processes]
    if any(exit_codes):
        sys.exit(f"A training failed; see the logs in {output_dir}.")
    curves = {name: read_curve(output_dir / ENGINES[name]) for name in names}
    arguments.picture.with_suffix(".json").write_text(json.dumps(curves))
    print_table(curves)
    draw(curves, arguments.picture)


def parse_arguments() -> argparse.Namespace:
    """What is trained, how long, and where it goes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data_dir", type=Path, required=True, help="audio with captions")
    parser.add_argument("--output_dir", type=Path, required=True, help="receives the runs")
    parser.add_argument("--model", type=Path, help="folder of a Whisper checkpoint")
    parser.add_argument("--language", default="fr")
    parser.add_argument("--num_updates", type=int, default=30)
    parser.add_argument("--picture", type=Path, default=Path("docs/engines.png"))
    return parser.parse_args()


def start(
    name: str, output_dir: Path, model: Path, arguments: argparse.Namespace
) -> list[subprocess.Popen[bytes]]:
    """The launchers of one training, one for each machine."""
    config = ENGINES[name]
    num_processes = 1 if config == "single_gpu" else 2
    options = {
        "data_dir": arguments.data_dir.resolve(),
        "model_name_or_path": model,
        "language": arguments.language,
        "output_dir": output_dir / config,
        "max_steps": arguments.num_updates,
        "per_device_train_batch_size": BATCH_SIZE // num_processes,
        "learning_rate": 1e-3,
        "eval_fraction": 0.0,
        "bf16": False,
        "dataloader_num_workers": 0,
    }
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--config_file",
        str(fit(config, output_dir)),
    ]
    command += [
        "--num_processes",
        str(num_processes),
        "--main_process_port",
        str(PORT + list(ENGINES).index(name)),
    ]
    training = ["train.py", *(part for key, value in options.items() for part in (f"--{key}", str(value)))]
    machines = [["--machine_rank", str(rank)] for rank in range(2)] if config == "multi_node" else [[]]
    with (output_dir / f"{config}.log").open("wb") as log:
        return [
            subprocess.Popen([*command, *machine, *training], cwd=REPOSITORY_DIR, stdout=log, stderr=log)
            for machine in machines
        ]


def fit(config: str, output_dir: Path) -> Path:
    """The config's file; where there are not two GPUs, a copy that differs in the device alone."""
    path = REPOSITORY_DIR / "accelerate_configs" / f"{config}.yaml"
    if count_gpus(os.environ) >= 2:
        return path
    on_cpu = output_dir / path.name
    on_cpu.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"use_cpu": True}))
    return on_cpu


def read_curve(run_dir: Path) -> Curve:
    """(update, loss, gradient norm) of each update, from the last checkpoint."""
    number = re.compile(r"\d+$")
    last = max(run_dir.glob("checkpoint-*"), key=lambda path: int(number.findall(path.name)[0]))
    history: list[dict[str, Any]] = json.loads((last / "trainer_state.json").read_text())["log_history"]
    return [(entry["step"], entry["loss"], entry["grad_norm"]) for entry in history if "loss" in entry]


def print_table(curves: dict[str, Curve]) -> None:
    """The largest relative deviation from one process, over all updates."""
    print("| engine | updates | loss deviates by | gradient norm deviates by |\n|---|---|---|---|")
    reference = curves["one process"]
    for name, curve in curves.items():
        loss, norm = (
            max(
                abs(found[column] / expected[column] - 1)
                for found, expected in zip(curve, reference, strict=True)
            )
            for column in (1, 2)
        )
        print(f"| {name} | {len(curve)} | {loss:.1e} | {norm:.1e} |")


def draw(curves: dict[str, Curve], path: Path) -> None:
    """Losses above, gradient norms below; each engine thinner than the one before, so that all show."""
    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after its backend is chosen

    figure, axes = plt.subplots(2, 1, figsize=(7, 6), sharex=True, layout="constrained")
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
    main()
