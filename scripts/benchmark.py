#!/usr/bin/env python
"""This recipe and the usual one side by side: speed, preparation, disk, memory, and error rate for compute.

    python scripts/benchmark.py --quick     speed, preparation, disk and memory, in minutes (tiny.en, English)
    python scripts/benchmark.py             also the error rate at equal compute, a curve (base, French)
    python scripts/benchmark.py --data_dir FOLDER --language de --model openai/whisper-small

The usual recipe (usual_recipe.py) trains one cue a window from features mapped ahead. Both get the same
recordings, weights, optimizer, learning rates, batch and machine, and run at the same time, a thread and
a process each, so that what else the machine does slows both. The data is the demo's unless a folder is
given; it is measured again with consecutive cues merged into cues of 20 to 29 s. Everything goes below
--workdir: results.json has every figure as soon as it is there, and --resume goes on from it.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the project is run from its checkout

from benchmark_data import write_long_cues
from benchmark_report import has_curves, plot_curves, print_report
from cpuinfo import get_cpu_info  # type: ignore[import-untyped]  # the package ships no types

from recipe.errors import RecipeError
from recipe.run.machine import gpu_stats

SCRIPTS = Path(__file__).resolve().parent
RECIPES = ("ours", "usual")
DEMO_MODELS = {"en": "tiny.en", "fr": "base"}
SETTINGS = (
    *("language", "batch_size", "learning_rate", "warmup_steps", "eval_fraction", "single_cue_fraction"),
    *("num_threads", "budgets"),
)
"""Arguments that every measurement depends on."""


def main() -> None:
    """Measure and show."""
    arguments = parse_arguments()
    path = arguments.workdir / "results.json"
    if not arguments.show:
        measure_all(arguments, path)
    results = json.loads(path.read_text())
    print_report(results)
    if has_curves(results):
        plot_curves(results, arguments.plot or arguments.workdir / "benchmark.png")


def measure_all(arguments: argparse.Namespace, path: Path) -> None:
    """Take all measurements that are asked for, stage by stage."""
    try:
        data_dirs, settings = prepare_inputs(arguments)
        bench = Bench(path, settings, data_dirs, resume=arguments.resume)
        for stage in plan(arguments):
            bench.measure(stage)
    except RecipeError as error:
        sys.exit(f"error: {error}")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="no curves; minutes instead of hours")
    parser.add_argument("--data_dir", type=Path, help="your own folder of audio and captions")
    parser.add_argument("--language", help="code of the language spoken (fr; with --quick en)")
    parser.add_argument("--model", help="hub id or folder of a checkpoint (default: from packages)")
    parser.add_argument("--workdir", type=Path, default=Path(".benchmark"), help="default .benchmark")
    parser.add_argument("--resume", action="store_true", help="keep what results.json has")
    parser.add_argument("--show", action="store_true", help="measure nothing, show what results.json has")
    parser.add_argument("--plot", type=Path, help="picture of the curves (WORKDIR/benchmark.png)")
    parser.add_argument("--seeds", type=int, help="repeats of each training (2; with --quick 3)")
    parser.add_argument("--budgets", type=float, nargs="+", help="compute seconds to judge the models after")
    parser.add_argument("--batch_size", type=int, default=2, help="windows of an update (2)")
    parser.add_argument("--learning_rate", type=float, default=1e-5, help="after the warm-up (1e-5)")
    parser.add_argument("--warmup_steps", type=int, default=4, help="updates of warm-up (4)")
    parser.add_argument("--eval_fraction", type=float, default=0.25, help="recordings held out (0.25)")
    parser.add_argument("--single_cue_fraction", type=float, default=0.1, help="of our windows (0.1)")
    parser.add_argument("--num_threads", type=int, default=1, help="threads of each process (1)")
    arguments = parser.parse_args()
    arguments.language = arguments.language or ("en" if arguments.quick else "fr")
    arguments.seeds = arguments.seeds or (3 if arguments.quick else 2)
    arguments.budgets = arguments.budgets or ([10.0] if arguments.quick else [60.0, 120.0, 240.0, 480.0])
    if arguments.data_dir is None and arguments.language not in DEMO_MODELS:
        parser.error("prompts from packages are in fr and en; give --data_dir for another language")
    return arguments


def prepare_inputs(arguments: argparse.Namespace) -> tuple[dict[str, Path], dict[str, Any]]:
    """The folder of each kind of data, and what every measurement depends on."""
    cache, language = arguments.workdir / "packages", arguments.language
    name = DEMO_MODELS.get(language, "base")
    data_dir = arguments.data_dir or arguments.workdir / "corpus" / language
    model = arguments.model or str(arguments.workdir / "models" / name)
    with ThreadPoolExecutor() as pool:
        builds = []
        if arguments.data_dir is None:
            builds.append(pool.submit(build_asset, "demo_corpus.py", data_dir, cache, "--language", language))
        if arguments.model is None:
            builds.append(pool.submit(build_asset, "demo_model.py", Path(model), cache, "--name", name))
        for build in builds:
            build.result()
    long_dir = write_long_cues(data_dir, arguments.workdir / "long_cues" / language)
    settings = {name: getattr(arguments, name) for name in SETTINGS}
    return {"short": data_dir, "long": long_dir}, settings | {"model": model}


def build_asset(script: str, folder: Path, cache: Path, *options: str) -> None:
    """Run one of the demo's scripts.

    Raises:
        RecipeError: if it fails.
    """
    command = [sys.executable, str(SCRIPTS / script), *options]
    command += ["--output_dir", str(folder), "--cache_dir", str(cache)]
    if subprocess.run(command, check=False).returncode:
        raise RecipeError(f"{script} failed; its reason is above.")


@dataclass(frozen=True)
class Task:
    """One measurement to take.

    Attributes:
        kind: "prepare", "train" or "evaluate".
        recipe: "ours", "usual", or "base" for the checkpoint that both start from.
        data: "short" or "long" cues.
        seed: Of a training; the repeat of a preparation.
        budget: Compute seconds after which weights are evaluated.
    """

    kind: str
    recipe: str
    data: str = "short"
    seed: int = 1
    budget: str = ""

    @property
    def name(self) -> str:
        """Its key in the results."""
        parts = (self.kind, self.data, self.recipe, str(self.seed), self.budget)
        return "/".join(part for part in parts if part)


def plan(arguments: argparse.Namespace) -> Iterator[list[Task]]:
    """The measurements in stages; those of a stage run side by side, the two recipes next to each other."""
    seeds = range(1, arguments.seeds + 1)
    yield [Task("prepare", recipe, "short", repeat) for repeat in (1, 2) for recipe in RECIPES]
    yield [Task("prepare", recipe, "long") for recipe in RECIPES]
    for seed in seeds:
        yield [Task("train", recipe, data, seed) for data in ("short", "long") for recipe in RECIPES]
        if not arguments.quick:
            yield [Task("evaluate", "base", data) for data in ("short", "long")]
            budgets = {data: choose_budgets(arguments.budgets, data) for data in ("short", "long")}
            yield [
                Task("evaluate", recipe, data, seed, f"{budget:g}")
                for data, wanted in (("short", budgets["short"][::-1]), ("long", budgets["long"][-1:]))
                for budget in wanted  # the last says most
                for recipe in RECIPES
            ]


def choose_budgets(budgets: Sequence[float], data: str) -> list[float]:
    """Compute seconds of a training: all budgets; half of them for the long cues, judged at the last."""
    return list(budgets if data == "short" else budgets[: (len(budgets) + 1) // 2])


@dataclass
class Bench:
    """Takes measurements in processes of their own and keeps their figures.

    Attributes:
        path: File of the results; what they need is written beside it.
        settings: What every measurement depends on.
        data_dirs: The recordings of each kind of data.
        resume: Whether figures on disk are kept.
    """

    path: Path
    settings: dict[str, Any]
    data_dirs: dict[str, Path]
    resume: bool
    results: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin anew, or go on from what is there.

        Raises:
            RecipeError: if that was measured with other settings.
        """
        self.results = {"settings": self.settings, "machine": describe_machine(), "figures": {}}
        if self.resume and self.path.exists():
            kept = json.loads(self.path.read_text())
            if kept["settings"] != self.settings:
                raise RecipeError(f"{self.path} was measured with other settings; leave --resume away.")
            self.results["figures"] = kept["figures"]

    def measure(self, tasks: Sequence[Task]) -> None:
        """Take those that have no figures yet, two at once; one where there is a GPU."""
        missing = [task for task in tasks if task.name not in self.results["figures"]]
        num_at_once = (
            1 if has_gpu() else max(1, min(2, (os.cpu_count() or 1) // self.settings["num_threads"]))
        )
        with ThreadPoolExecutor(num_at_once) as pool:
            for task, figures in zip(missing, pool.map(self._run, missing), strict=True):
                self.results["figures"][task.name] = figures
                self.path.write_text(json.dumps(self.results, indent=1))

    def _run(self, task: Task) -> dict[str, Any]:
        command = [
            sys.executable,
            str(SCRIPTS / "benchmark_measurements.py"),
            json.dumps(self._specify(task)),
        ]
        environment = os.environ | {"OMP_NUM_THREADS": str(self.settings["num_threads"])}
        environment.setdefault("CUDA_VISIBLE_DEVICES", "0")  # of several, one for each recipe
        child = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, env=environment)
        if child.returncode:
            raise RecipeError(f"The measurement {task.name} failed; --resume goes on from it.")
        print(f"measured {task.name}", file=sys.stderr, flush=True)
        figures: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
        return figures

    def _specify(self, task: Task) -> dict[str, Any]:
        """The fields of `Measurement`."""
        budgets = self.settings["budgets"]
        folder = self.path.parent / "prepared" / task.data
        repeat = task.seed if task.kind == "prepare" else 1
        weights_dir = self.path.parent / "weights" / task.data / task.recipe / str(task.seed)
        return self.settings | {
            "kind": task.kind,
            "recipe": task.recipe,
            "data_dir": str(self.data_dirs[task.data]),
            "prepared_dir": str(folder / f"{task.recipe}-{repeat}"),
            "windows_dir": str(folder / f"ours-{repeat}"),
            "seed": task.seed,
            "budgets": choose_budgets(budgets, task.data),
            "weights_dir": str(weights_dir),
            "weights": str(weights_dir / f"{task.budget}.safetensors") if task.budget else None,
        }


def has_gpu() -> bool:
    """Whether training runs on a GPU; torch is not loaded here."""
    return bool(gpu_stats())


def describe_machine() -> dict[str, Any]:
    """What the figures were taken on."""
    return {
        "processor": get_cpu_info().get("brand_raw", platform.processor()),
        "num_cores": os.cpu_count(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "datasets")},
    }


if __name__ == "__main__":
    main()
