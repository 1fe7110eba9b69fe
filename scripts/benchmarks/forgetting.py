"""What training gained on the recordings it held out, and what it cost on other speech: a table.

    python -m scripts.benchmarks.forgetting --model openai/whisper-base --trained runs/fr/checkpoint-32 \
        --data_dir recordings --report runs/fr/report.json --other_dir recordings-en --other_language en

A row for each fraction of the way from the base model's weights to the trained ones: the loss that captions
have (teacher forced) and the normalised word error rate, on the windows that the run held out and on the
other folder's first recordings.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset
from safetensors.torch import load_model as load_weights

from recipe.arguments import ModelArguments
from recipe.data.manifest import Recording
from recipe.evaluation.loss import measure_loss
from recipe.evaluation.report import evaluate_model
from recipe.evaluation.transcription import Decoding
from recipe.model.whisper import Whisper
from recipe.run.files import write_json
from recipe.training.interpolation import Interpolation, copy_weights
from scripts.benchmarks.common import build_parser, load_on_device, measure_seconds, print_table, run
from scripts.evaluate_wer import choose_examples, read_recordings, read_speech


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = build_parser(__doc__, required=["model", "data_dir"], optional=["json"])
    parser.add_argument("--trained", required=True, type=Path, help="checkpoint or folder of the trained one")
    parser.add_argument("--report", required=True, type=Path, help="the run's report.json: what it held out")
    parser.add_argument("--other_dir", type=Path, help="folder of other speech with captions")
    parser.add_argument("--other_language", default="en", help="its language (en)")
    parser.add_argument("--other_recordings", type=int, default=3, help="how many of it (3)")
    parser.add_argument(
        "--alphas", type=float, nargs="+", default=[0, 0.3, 0.5, 0.7, 0.9, 1], help="fractions of the way"
    )
    return parser


def measure(arguments: argparse.Namespace) -> None:
    """Measure every model on every set of windows."""
    whisper, report = load_on_device(arguments.model), json.loads(arguments.report.read_text())
    sets = read_sets(arguments, whisper, report)
    base = copy_weights(whisper.model)
    load_weights(whisper.model, arguments.trained / "model.safetensors")
    interpolation = Interpolation(whisper.model, base)
    decoding = Decoding(report["batch_size"])
    measured: list[dict[str, Any]] = []

    def measure_rows() -> Iterator[list[str]]:
        for alpha in arguments.alphas:
            interpolation.take(alpha)
            cells = [f"{alpha:g}"]
            for name, (model, examples) in sets.items():
                loss = measure_loss(model, examples, decoding.batch_size)
                evaluation, seconds = measure_seconds(partial(evaluate_model, model, examples, decoding))
                errors = evaluation.scores.words_normalized
                measured.append(
                    {"alpha": alpha, "set": name, "loss": loss, **seconds, **evaluation.as_dict()}
                )
                cells += [
                    f"{loss:.4f}",
                    f"{errors.rate:.2%}",
                    f"{errors.num_errors} of {errors.num_reference}",
                ]
            yield cells

    columns = [f"{name}: {column}" for name in sets for column in ("loss", "WER", "errors")]
    print_table(["fraction", *columns], measure_rows())
    if arguments.json:
        write_json(arguments.json, measured)


def read_sets(
    arguments: argparse.Namespace, whisper: Whisper, report: dict[str, Any]
) -> dict[str, tuple[Whisper, Dataset]]:
    """The windows to measure on, by name, and the model with its task there."""
    asked = ModelArguments(arguments.model, task=report["task"] or "transcribe")
    recordings, _ = read_recordings(arguments.data_dir, asked, whisper, report)
    there = replace(whisper, task=report["task"])
    sets = {"held out": (there, choose_examples(load_speech(recordings, there), report))}
    if arguments.other_dir:
        asked = ModelArguments(arguments.model, language=arguments.other_language)
        recordings, _ = read_recordings(arguments.other_dir, asked, whisper, {})
        sets["other"] = (whisper, load_speech(recordings[: arguments.other_recordings], whisper))
    return sets


def load_speech(recordings: list[Recording], whisper: Whisper) -> Dataset:
    """The recordings' speech as examples in memory."""
    with tempfile.TemporaryDirectory() as folder:
        examples = read_speech(recordings, whisper, Path(folder))
        return Dataset.from_list(examples.to_list(), features=examples.features)  # before the folder goes


if __name__ == "__main__":
    run(measure, parser())
