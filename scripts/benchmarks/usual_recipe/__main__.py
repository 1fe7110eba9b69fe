"""This recipe and the usual one side by side: speed, preparation, disk, memory, and error rate for compute.

    python -m scripts.benchmarks.usual_recipe --quick     speed, preparation, disk and memory, in minutes
    python -m scripts.benchmarks.usual_recipe             also the error rate at equal compute, a curve
    python -m scripts.benchmarks.usual_recipe --data_dir FOLDER --language de --model openai/whisper-small

The usual recipe (recipe.py) trains one cue a window from features mapped ahead. Both get the same recordings,
weights, optimizer, learning rates, batch and machine, and run at the same time, a thread and a process each,
so that what else the machine does slows both. Unless a folder is given, tiny.en is trained on the demo's
English prompts with --quick, else base on the French ones. The recordings are measured again with consecutive
cues merged into cues of 20 to 29 s. Everything goes below --workdir: results.json has every figure as soon as
it is there, and --resume goes on from it.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from recipe.errors import RecipeError
from recipe.run.files import write_json
from recipe.run.launch import count_gpus
from scripts.benchmarks.common import build_parser, call_in_fresh_process, describe_machine, run
from scripts.benchmarks.usual_recipe.cues import write_long_cues
from scripts.benchmarks.usual_recipe.measurements import Measurement, Settings, take
from scripts.benchmarks.usual_recipe.report import has_curves, plot_curves, print_report
from scripts.demo_kit.run_demo import build_assets

RECIPES = ("ours", "usual")
CUES = ("short", "long")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = build_parser(__doc__, optional=["data_dir", "language", "model", "workdir"])
    parser.add_argument("--quick", action="store_true", help="no curves; minutes instead of hours")
    parser.add_argument("--resume", action="store_true", help="keep what results.json has")
    parser.add_argument("--show", action="store_true", help="measure nothing, show what results.json has")
    parser.add_argument("--plot", type=Path, help="picture of the curves (WORKDIR/benchmark.png)")
    parser.add_argument("--seeds", type=int, help="repeats of each training (2; with --quick 3)")
    parser.add_argument("--budgets", type=float, nargs="+", help="compute seconds to judge the models after")
    parser.add_argument("--batch_size", type=int, default=2, help="windows of an update (2)")
    parser.add_argument("--learning_rate", type=float, default=1e-5, help="after the warm-up (1e-5)")
    parser.add_argument("--warmup_steps", type=int, default=4, help="updates of warm-up (4)")
    parser.add_argument("--eval_fraction", type=float, default=0.25, help="fraction held out (0.25)")
    parser.add_argument("--single_cue_fraction", type=float, default=0.1, help="of our windows (0.1)")
    parser.add_argument("--num_threads", type=int, default=1, help="threads of each process (1)")
    return parser


def measure(arguments: argparse.Namespace) -> None:
    """Measure and show."""
    path = arguments.workdir / "results.json"
    if not arguments.show:
        measure_all(arguments, path)
    results = json.loads(path.read_text())
    print_report(results)
    if has_curves(results):
        plot_curves(results, arguments.plot or arguments.workdir / "benchmark.png")


def measure_all(arguments: argparse.Namespace, path: Path) -> None:
    """Take all measurements that are asked for and have no figures yet, stage by stage.

    Raises:
        RecipeError: if those that were taken before had other settings.
    """
    arguments.language = arguments.language or ("en" if arguments.quick else "fr")
    arguments.seeds = arguments.seeds or (3 if arguments.quick else 2)
    arguments.budgets = arguments.budgets or ([10.0] if arguments.quick else [60.0, 120.0, 240.0, 480.0])
    workdir = arguments.workdir
    short, arguments.model = build_assets(arguments.language, workdir, arguments.data_dir, arguments.model)
    long = write_long_cues(short, workdir / "long_cues" / arguments.language)
    data_dirs = {"short": short, "long": long}
    settings = Settings(**{field.name: getattr(arguments, field.name) for field in fields(Settings)})
    results = {"settings": asdict(settings), "machine": describe_machine(), "figures": {}}
    if arguments.resume and path.exists():
        kept = json.loads(path.read_text())
        if kept["settings"] != results["settings"]:
            raise RecipeError(f"{path} was measured with other settings; leave --resume away.")
        results["figures"] = kept["figures"]
    # Read by the children: threads when they load torch; one of several GPUs, the same for both recipes.
    os.environ["OMP_NUM_THREADS"] = str(settings.num_threads)
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    for stage in plan(arguments, settings, data_dirs):
        take_stage(stage, results, path)


def plan(
    arguments: argparse.Namespace, settings: Settings, data_dirs: dict[str, Path]
) -> Iterator[list[Measurement]]:
    """The measurements in stages; those of a stage run side by side, the two recipes next to each other."""

    def list_kind(kind: str, cues: str, recipes: Sequence[str] = RECIPES, **which: Any) -> list[Measurement]:
        place = settings, arguments.workdir, data_dirs[cues]
        return [Measurement(*place, kind, recipe, cues, **which) for recipe in recipes]

    yield [one for repeat in (1, 2) for one in list_kind("prepare", "short", seed=repeat)]
    yield list_kind("prepare", "long")
    for seed in range(1, arguments.seeds + 1):
        trainings = {cues: list_kind("train", cues, seed=seed) for cues in CUES}
        yield [training for cues in CUES for training in trainings[cues]]
        if not arguments.quick:
            yield [one for cues in CUES for one in list_kind("evaluate", cues, ["base"])]
            budgets = {cues: trainings[cues][0].budgets for cues in CUES}
            judged = [
                *(("short", budget) for budget in budgets["short"][::-1]),
                ("long", budgets["long"][-1]),
            ]
            yield [  # the last says most
                one
                for cues, budget in judged
                for one in list_kind("evaluate", cues, seed=seed, budget=budget)
            ]


def take_stage(stage: Sequence[Measurement], results: dict[str, Any], path: Path) -> None:
    """Take the measurements that have no figures yet, two at once, or one where there is a GPU."""
    missing = [measurement for measurement in stage if measurement.name not in results["figures"]]
    num_threads = results["settings"]["num_threads"]
    num_at_once = 1 if count_gpus(os.environ) else max(1, min(2, (os.cpu_count() or 1) // num_threads))

    def take_one(measurement: Measurement) -> dict[str, Any]:
        print(f"measuring {measurement.name}", file=sys.stderr, flush=True)
        return call_in_fresh_process(take, measurement)

    with ThreadPoolExecutor(num_at_once) as pool:
        for measurement, figures in zip(missing, pool.map(take_one, missing), strict=True):
            results["figures"][measurement.name] = figures
            write_json(path, results)


if __name__ == "__main__":
    run(measure, parser())
