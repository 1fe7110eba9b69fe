"""What each option of training earns alone: the same recordings, model and held-out speech, several seeds.

    python -m scripts.benchmarks.each_change --data_dir corpus/en --model models/tiny.en --language en \
        --held_out prompts-en-03 prompts-en-06 prompts-en-09 --seeds 1 2

Each run is the command that users run, on the recordings that are not held out; nothing named is the recipe's
own schedule for the size of the model and the amount of speech. Then the held-out recordings go whole through
faster-whisper. A change is compared with nothing named over the same seeds, by swapping recordings. CPU
seconds are of the whole training command, its start and preparation included, one thread.
WORKDIR/each_change/results.json has each run as soon as it is there; the same command goes on from it.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recipe.evaluation.comparison import bootstrap_interval, compare_errors
from recipe.evaluation.metrics import ErrorCounts
from recipe.run.files import write_json
from recipe.run.launch import REPOSITORY_DIR
from scripts.benchmarks.common import build_parser, print_table, run, to_flags, training_command

CONFIG = REPOSITORY_DIR / "accelerate_configs" / "cpu.yaml"
BASE, NOTHING = "base model", "nothing named"
CHANGES: dict[str, dict[str, object]] = {
    NOTHING: {},
    "one epoch": {"num_train_epochs": 1},
    "SpecAugment in half of the windows": {"spec_augment_fraction": 0.5},
    "other speeds in half": {"speed_fraction": 0.5},
    "noise in half": {"noise_fraction": 0.5},
    "channels in half": {"channel_fraction": 0.5},
    "label smoothing 0.1": {"label_smoothing_factor": 0.1},
    "single cues in 0.3": {"single_cue_fraction": 0.3},
    "decoder alone": {"freeze_encoder": True},
    "LoRA of rank 32, 1e-3": {"lora_rank": 32, "learning_rate": 1e-3},
    "updates of one window": {"per_device_train_batch_size": 1},
    "updates of four windows": {"per_device_train_batch_size": 4},
    "AdamW's second moment over 50 updates": {"adam_beta2": 0.98},
}
"""Options of `train.py`, by what is shown."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = build_parser(__doc__, required=["data_dir", "model", "language"], optional=["workdir"])
    parser.add_argument("--held_out", nargs="+", required=True, help="names of recordings, not trained")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2], help="of each change (1 2)")
    names = ", ".join(CHANGES)
    parser.add_argument("--changes", nargs="+", default=list(CHANGES), help=f"some of: {names}")
    parser.add_argument("--bf16", action="store_true", help="multiply in bfloat16, on a processor that does")
    return parser


def measure(arguments: argparse.Namespace) -> None:
    """Measure what is not there yet, and print the table."""
    unknown = {*arguments.changes} - {*CHANGES}
    if unknown:
        sys.exit(f"error: changes: expected some of {', '.join(CHANGES)}, found {', '.join(sorted(unknown))}")
    folder = (arguments.workdir / "each_change").resolve()
    train, test = link_recordings(arguments.data_dir.resolve(), arguments.held_out, folder)
    path = folder / "results.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    runs = [(BASE, 0), *((change, seed) for seed in arguments.seeds for change in arguments.changes)]
    for change, seed in runs:
        name = f"{change}, seed {seed}"
        if name in results:
            continue
        print(name, file=sys.stderr, flush=True)
        model, cpu_seconds = arguments.model, 0.0
        if change != BASE:
            cpu_seconds = train_model(arguments, train, folder / "run", change, seed)
            model = folder / "run" / "model"
        results[name] = {"cpu_seconds": cpu_seconds, **transcribe(arguments, test, Path(model), folder)}
        write_json(path, results)
    print_table(
        ["", "CPU s", "WER", "95 %", "against nothing named", "p", "cue starts: median", "p90"],
        describe(results, arguments),
    )


def link_recordings(data_dir: Path, held_out: Sequence[str], folder: Path) -> tuple[Path, Path]:
    """Folders of links to the recordings that are trained, and to those that are held out."""
    sides = folder / "train", folder / "test"
    for side in sides:
        shutil.rmtree(side, ignore_errors=True)
        side.mkdir(parents=True)
    for file in sorted(data_dir.iterdir()):
        (sides[file.stem in held_out] / file.name).symlink_to(file)
    if not any(sides[1].iterdir()):
        sys.exit(f"error: held_out: {data_dir} has none of {', '.join(held_out)}")
    return sides


def train_model(
    arguments: argparse.Namespace, data_dir: Path, output_dir: Path, change: str, seed: int
) -> float:
    """Train with a change; the CPU seconds of the command."""
    shutil.rmtree(output_dir, ignore_errors=True)
    options: dict[str, object] = {
        "data_dir": data_dir,
        "model_name_or_path": arguments.model,
        "language": arguments.language,
        "output_dir": output_dir,
        "seed": seed,
        "eval_fraction": 0,
        "interpolate": False,
        "bf16": arguments.bf16,
        "dataloader_num_workers": 0,
        "report_to": "none",
        **CHANGES[change],
    }
    started = cpu_seconds_of_children()
    call(training_command(CONFIG, ["--quiet"], options), output_dir.with_suffix(".log"))
    return cpu_seconds_of_children() - started


def transcribe(arguments: argparse.Namespace, data_dir: Path, model: Path, folder: Path) -> dict[str, Any]:
    """The figures of a model on whole recordings."""
    file = folder / "figures.json"
    options = {"model": model, "data_dir": data_dir, "language": arguments.language, "json": file}
    command = [sys.executable, "scripts/evaluate_wer.py", *to_flags(options), "--long_form", "on"]
    call(command, folder / "evaluation.log")
    figures: dict[str, Any] = json.loads(file.read_text())["long_form"]
    return figures


def call(command: Sequence[str], log: Path) -> None:
    """Run a command on one thread; what it prints goes to the log."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("wb") as output:
        ended = subprocess.run(
            command, cwd=REPOSITORY_DIR, env=environment, stdout=output, stderr=output, check=False
        )
    if ended.returncode:
        sys.exit(f"error: it ended with {ended.returncode}; {log}:\n{log.read_text()[-2000:]}")


def cpu_seconds_of_children() -> float:
    """What the commands that have ended took of a processor."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def describe(results: Mapping[str, Any], arguments: argparse.Namespace) -> Iterator[list[str]]:
    """The cells of each row, over all seeds."""
    nothing = [results.get(f"{NOTHING}, seed {seed}") for seed in arguments.seeds]
    for change in [BASE, *arguments.changes]:
        of_change = [
            results[f"{change}, seed {seed}"] for seed in ([0] if change == BASE else arguments.seeds)
        ]
        names = [name for one in of_change for name in one["recordings"]]
        errors = list_errors(of_change)
        words = sum(one.num_reference for one in errors)
        low, high = bootstrap_interval(names, errors)
        starts = [
            np.mean([one[key] for one in of_change])
            for key in ("start_error_median_ms", "start_error_p90_ms")
        ]
        against = ["", ""]
        if change not in {BASE, NOTHING} and all(nothing):
            compared = compare_errors(names, list_errors(nothing), errors)
            difference = (compared.after - compared.before) / words
            against = [f"{100 * difference:+.1f}", f"{compared.p_value:.2f}"]
        yield [
            change,
            f"{np.mean([one['cpu_seconds'] for one in of_change]):.0f}",
            f"{sum(one.num_errors for one in errors) / words:.1%}",
            f"{100 * low:.1f} to {100 * high:.1f}",
            *against,
            *(f"{start / 1000:.3f} s" for start in starts),
        ]


def list_errors(figures: Sequence[Mapping[str, Any] | None]) -> list[ErrorCounts]:
    """Normalised word errors of each recording, one set of figures after the other."""
    return [
        count_errors(counts) for one in figures if one is not None for counts in one["recordings"].values()
    ]


def count_errors(counts: Mapping[str, int]) -> ErrorCounts:
    """The normalised word errors that a report names."""
    substitutions, deletions = counts["substitutions_normalized"], counts["deletions_normalized"]
    num_hits = counts["reference_words_normalized"] - substitutions - deletions
    return ErrorCounts(num_hits, substitutions, deletions, counts["insertions_normalized"])


if __name__ == "__main__":
    run(measure, parser())
