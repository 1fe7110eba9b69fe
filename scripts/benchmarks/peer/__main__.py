"""This recipe against jumon/whisper-finetuning: the same recordings, weights, rate, batch and updates.

    git clone https://github.com/jumon/whisper-finetuning && git -C whisper-finetuning checkout 7b06592
    python -m scripts.benchmarks.peer --peer_dir whisper-finetuning --peer_python PEER/bin/python \
        --model models/base --data_dir TRAINED --test_dir HELD_OUT --language fr --seeds 1 2 3

PEER is an environment with openai-whisper beside this project's requirements (requirements-export.txt).
Both programs train on one thread, linear decay from `--learning_rate`, `--batch_size` windows an update;
ours makes as many updates as its epochs give, the peer as many. Each model transcribes the held-out
recordings in windows and whole, through faster-whisper. `--workdir` keeps what is done: the same command
goes on from there.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from recipe.arguments import ModelArguments
from recipe.audio.decoding import AudioLimits, decode_audio, encode_flac
from recipe.data.sources import list_recordings
from recipe.errors import RecipeError
from recipe.evaluation.comparison import compare_errors
from recipe.evaluation.metrics import ErrorCounts
from recipe.export.openai_checkpoint import write_openai_checkpoint
from recipe.export.openai_names import rename_weights
from recipe.model.whisper import load_whisper
from recipe.run.files import export_json, write_json
from recipe.run.launch import REPOSITORY_DIR
from scripts.benchmarks.common import build_parser, print_table, run, to_flags, training_command

COMMIT = "7b06592"
TIMES = {"start_error_median_ms": "median", "start_error_p90_ms": "p90"}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = build_parser(__doc__, required=["model", "data_dir", "language"], optional=["workdir", "json"])
    parser.add_argument("--peer_dir", type=Path, required=True, help=f"its repository, at commit {COMMIT}")
    parser.add_argument("--peer_python", required=True, help="an interpreter with openai-whisper")
    parser.add_argument("--test_dir", type=Path, required=True, help="folder of held-out recordings")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of both (1 2 3)")
    parser.add_argument("--learning_rate", type=float, default=2e-5, help="peak, of both (2e-5)")
    parser.add_argument("--batch_size", type=int, default=2, help="windows an update, of both (2)")
    parser.add_argument("--epochs", type=float, default=1.0, help="of ours (1)")
    parser.add_argument("--options", nargs="*", default=[], help="more options of ours, as name=value")
    return parser


def measure(arguments: argparse.Namespace) -> None:
    """Train and measure what is not there yet, then tell."""
    for name in ("data_dir", "test_dir", "workdir", "peer_dir"):
        setattr(arguments, name, getattr(arguments, name).resolve())
    arguments.workdir.mkdir(parents=True, exist_ok=True)
    check_commit(arguments.peer_dir)
    weights = arguments.workdir / f"{Path(arguments.model).name}.pt"
    if not weights.exists():
        write_openai_checkpoint(load_whisper(ModelArguments(arguments.model)), weights)
    figures: dict[str, list[dict[str, Any]]] = {"base": [evaluate(arguments, arguments.model, "base")]}
    for seed in arguments.seeds:
        for name, train in (("ours", train_ours), ("peer", train_peer)):
            folder = arguments.workdir / f"{name}-{seed}"
            if not (folder / "cost.json").exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                write_json(folder / "cost.json", train(arguments, folder, seed, weights))
            cost = json.loads((folder / "cost.json").read_text())
            told = evaluate(arguments, str(folder / "model"), folder.name) | cost
            figures.setdefault(name, []).append(told)
            if arguments.json:
                export_json(arguments.json, figures)
    tell(figures)


def check_commit(folder: Path) -> None:
    """Refuse another version of the peer than the one that was read.

    Raises:
        RecipeError: if it is another, or none.
    """
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    if not found.startswith(COMMIT):
        raise RecipeError(f"--peer_dir: expected a checkout of commit {COMMIT}, found {found or 'none'}")


def train_ours(arguments: argparse.Namespace, folder: Path, seed: int, _weights: Path) -> dict[str, Any]:
    """Our model in `folder / "model"`; its cost."""
    options = {
        "data_dir": arguments.data_dir,
        "language": arguments.language,
        "model_name_or_path": arguments.model,
        "output_dir": folder / "run",
        "seed": seed,
        "num_train_epochs": arguments.epochs,
        "per_device_train_batch_size": arguments.batch_size,
        "learning_rate": arguments.learning_rate,
        "eval_fraction": 0,
        "save_strategy": "no",
        "eval_strategy": "no",
        "report_to": "none",
        **dict(option.split("=", 1) for option in arguments.options),
    }
    config = REPOSITORY_DIR / "accelerate_configs" / "cpu.yaml"
    command = training_command(config, ["--num_cpu_threads_per_process", "1"], options)
    cost = call(command, folder / "log", REPOSITORY_DIR)
    (folder / "run" / "model").rename(folder / "model")
    metadata = json.loads((folder / "model" / "training_metadata.json").read_text())
    return cost | {"num_updates": metadata["num_steps"]}


def train_peer(arguments: argparse.Namespace, folder: Path, seed: int, weights: Path) -> dict[str, Any]:
    """The peer's model in `folder / "model"`; its cost. It makes as many updates as ours of the same seed."""
    plain = arguments.workdir / "plain"
    if not plain.exists():
        write_plain_recordings(arguments.data_dir, plain)
    num_updates = json.loads((folder.with_name(f"ours-{seed}") / "cost.json").read_text())["num_updates"]
    peer = [arguments.peer_python, str(Path(__file__).with_name("run_peer.py"))]
    peer += [str(arguments.peer_dir), str(weights)]
    made = ["--audio-dir", str(plain / "audio"), "--transcript-dir", str(plain / "captions")]
    made += ["--language", arguments.language]
    made += ["--output", "train.json", "--dump-dir", str(folder / "dump")]
    prepared = call([*peer, "create_data.py", *made], folder / "log", folder)
    # It measures a development set at the beginning and the end: of one window, it costs next to nothing.
    first = (folder / "train.json").read_text().splitlines()[0]
    (folder / "dev.json").write_text(f"{first}\n")
    options = {
        "train-json": "train.json",
        "dev-json": "dev.json",
        "batch-size": arguments.batch_size,
        "accum-grad-steps": 1,
        "lr": arguments.learning_rate,
        "warmup-steps": 0,
        "train-steps": num_updates,
        "eval-steps": num_updates,
        "seed": seed,
        "model": weights.stem,
        "device": "cpu",
        "save-dir": "output",
    }
    trained = call([*peer, "run_finetuning.py", *to_flags(options)], folder / "log", folder)
    write_as_transformers(folder / "output" / "last_model.pt", arguments.model, folder / "model")
    num_windows = len((folder / "train.json").read_text().splitlines())
    return {
        "num_updates": num_updates,
        "num_windows": num_windows,
        **{name: prepared[name] + trained[name] for name in trained},
    }


def write_plain_recordings(source: Path, folder: Path) -> None:
    """The recordings as FLAC at 16 kHz, and their captions, which the peer reads as they are."""
    for name in ("audio", "captions"):
        (folder / name).mkdir(parents=True)
    for recording in list_recordings(source):
        assert recording.audio.path
        assert recording.transcript.path
        samples = decode_audio(recording.audio.path, AudioLimits()).samples
        (folder / "audio" / f"{recording.name}.flac").write_bytes(encode_flac(samples))
        shutil.copy(recording.transcript.path, folder / "captions" / f"{recording.name}.vtt")


def write_as_transformers(checkpoint: Path, base: str, folder: Path) -> None:
    """A checkpoint of openai-whisper's as a folder of transformers': the base model with its weights."""
    whisper = load_whisper(ModelArguments(base))
    weights = torch.load(checkpoint, map_location="cpu", weights_only=True)["model_state_dict"]
    names = [name for name, _ in rename_weights(whisper.model)]
    ours = dict(zip(whisper.model.model.state_dict(), (weights[name].float() for name in names), strict=True))
    whisper.model.model.load_state_dict(ours)
    whisper.model.save_pretrained(folder)
    whisper.processor.save_pretrained(folder)


def call(command: Sequence[str], log: Path, folder: Path) -> dict[str, float]:
    """Run a program on one thread; its CPU seconds, those of its children included, and wall seconds.

    Raises:
        RecipeError: if it fails.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    started = time.monotonic()
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RecipeError(f"{Path(command[-1]).name or command[0]} failed; see {log}")
    return {"cpu_seconds": usage.ru_utime + usage.ru_stime, "wall_seconds": time.monotonic() - started}


def evaluate(arguments: argparse.Namespace, model: str, name: str) -> dict[str, Any]:
    """The figures of a model on the held-out recordings, in windows and whole; kept."""
    told: dict[str, Any] = {}
    for view, flags in (("windows", []), ("whole", ["--long_form"])):
        path = arguments.workdir / f"{name}-{view}.json"
        if not path.exists():
            command = [sys.executable, str(REPOSITORY_DIR / "scripts" / "evaluate_wer.py"), "--model", model]
            command += ["--data_dir", str(arguments.test_dir), "--language", arguments.language]
            call([*command, "--json", str(path), *flags], path.with_suffix(".log"), REPOSITORY_DIR)
        figures = json.loads(path.read_text())
        told[view] = figures["long_form"] if view == "whole" else figures
    return told


def tell(figures: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """The table of each run, and what may be said of the difference."""
    print_table(
        ["", "windows", "as written", "whole", *(f"starts, {name}" for name in TIMES.values()), "CPU s"],
        (
            [f"{name} {number}", *describe(run)]
            for name, runs in figures.items()
            for number, run in enumerate(runs, 1)
        ),
    )
    for view in ("windows", "whole"):
        peer, ours = ([*count_errors(figures[name], view)] for name in ("peer", "ours"))
        comparison = compare_errors([name for name, _ in peer], [e for _, e in peer], [e for _, e in ours])
        rates = (errors / comparison.num_words for errors in (comparison.after, comparison.before))
        told = "ours {:.1%}, peer {:.1%}".format(*rates)
        print(f"{view}: {told}; ours is {comparison.verdict} (p {comparison.p_value:.2f})")
    for name, label in TIMES.items():
        ours, peer = (mean(run["whole"][name] for run in figures[side]) for side in ("ours", "peer"))
        print(f"cue starts, {label}: ours {ours / 1000:.3f} s, peer {peer / 1000:.3f} s")


def describe(run: Mapping[str, Any]) -> list[str]:
    """The cells of a run."""
    windows, whole = run["windows"], run["whole"]
    rates = (windows["wer_normalized"], windows["wer"], whole["wer_normalized"])
    times = (whole[name] / 1000 for name in TIMES)
    cost = f"{run['cpu_seconds']:.0f}" if "cpu_seconds" in run else ""
    return [*(f"{rate:.1%}" for rate in rates), *(f"{time:.3f} s" for time in times), cost]


def count_errors(runs: Sequence[Mapping[str, Any]], view: str) -> Iterator[tuple[str, ErrorCounts]]:
    """Normalised word errors of each recording in each run: what the test draws."""
    for number, figures in enumerate(runs):
        for name, recording in sorted(figures[view]["recordings"].items()):
            parts = ("reference_words", "substitutions", "deletions", "insertions")
            num_words, *errors = (recording[f"{part}_normalized"] for part in parts)
            yield f"{number}/{name}", ErrorCounts(num_words - errors[0] - errors[1], *errors)


if __name__ == "__main__":
    run(measure, parser())
