#!/usr/bin/env python
"""What training gained on the recordings it held out, and what it cost on other speech: a table.

    python scripts/measure_forgetting.py --base openai/whisper-base --trained runs/fr/checkpoint-32 \
        --data_dir recordings --report runs/fr/report.json --other_dir recordings-en --other_language en

A line for each share of the way from the base model's weights to the trained ones: the loss that captions
have (teacher forced) and the normalised word error rate, on the windows that the run held out and on the
other folder's first recordings.
"""

import argparse
import json
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the project is run from its checkout

import torch
from datasets import Dataset
from evaluate_wer import choose_examples, read_recordings, read_speech
from recipe.training.blending import Blender, average_weights, copy_weights, measure_loss
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from recipe.arguments import ModelArguments
from recipe.data.recording import PreparationSettings
from recipe.errors import RecipeError
from recipe.evaluation.report import evaluate_model
from recipe.evaluation.transcription import Decoding, Listener
from recipe.model.whisper import is_multilingual, load_model, save_tokenizer, suppressed_symbols


def main() -> None:
    """Print the table; each line as soon as it is known."""
    arguments = parse_arguments()
    logging.basicConfig(level=logging.WARNING)
    try:
        measure(arguments)
    except RecipeError as error:
        sys.exit(str(error))


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", required=True, help="hub id or folder of the model before training")
    parser.add_argument(
        "--trained",
        required=True,
        nargs="+",
        type=Path,
        help="checkpoint or folder of the trained one; of several the mean",
    )
    parser.add_argument("--data_dir", required=True, type=Path, help="the run's recordings")
    parser.add_argument("--report", required=True, type=Path, help="the run's report.json: what it held out")
    parser.add_argument("--other_dir", type=Path, help="folder of other speech with captions")
    parser.add_argument("--other_language", default="en", help="its language (default en)")
    parser.add_argument("--other_recordings", type=int, default=3, help="how many of it (default 3)")
    parser.add_argument(
        "--alphas", type=float, nargs="+", default=[0, 0.3, 0.5, 0.7, 0.9, 1], help="shares of the way"
    )
    parser.add_argument("--loss_only", action="store_true", help="transcribe nothing")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def measure(arguments: argparse.Namespace) -> None:
    """Measure every model on every set of windows."""
    model, processor = load_model(ModelArguments(model_name_or_path=arguments.base))
    blender = Blender(model, copy_weights(model), {"trained": average_weights(arguments.trained)})
    model.to(arguments.device)
    sets = read_sets(arguments, model, processor)
    print("| share |" + "".join(f" {name}: loss | WER | errors |" for name in sets))
    print("|---:|" + "---:|" * 3 * len(sets), flush=True)
    rows = []
    for alpha in arguments.alphas:
        blender.take("trained", alpha)
        cells = []
        for name, (decoding, examples) in sets.items():
            listener = Listener(model, processor, decoding)
            row = {"alpha": alpha, "set": name, "loss": measure_loss(listener, examples)}
            text = f" {row['loss']:.4f} |"
            if not arguments.loss_only:
                started = time.process_time()
                row |= evaluate_model(listener, examples).as_dict()
                row["cpu_seconds"] = time.process_time() - started
                errors = sum(
                    row[f"{kind}_normalized"] for kind in ("substitutions", "deletions", "insertions")
                )
                text += f" {row['wer_normalized']:.2%} | {errors} of {row['reference_words_normalized']} |"
            cells.append(text)
            rows.append(row)
        print(f"| {alpha:g} |" + "".join(cells), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False))


def read_sets(
    arguments: argparse.Namespace, model: WhisperForConditionalGeneration, processor: WhisperProcessor
) -> dict[str, tuple[Decoding, Dataset]]:
    """The windows to judge on, by name, and how the model is told to listen."""
    report = json.loads(arguments.report.read_text())
    asked = ModelArguments(arguments.base, task=report["task"] or "transcribe")
    held_out = choose_examples(read_folder(arguments.data_dir, asked, model, processor, report), report)
    sets = {"held out": (Decoding(report["task"], report["batch_size"]), held_out)}
    if arguments.other_dir:
        asked = ModelArguments(arguments.base, language=arguments.other_language)
        other = read_folder(
            arguments.other_dir, asked, model, processor, num_recordings=arguments.other_recordings
        )
        sets["other"] = (Decoding("transcribe" if is_multilingual(model) else None), other)
    return sets


def read_folder(
    folder: Path,
    asked: ModelArguments,
    model: WhisperForConditionalGeneration,
    processor: WhisperProcessor,
    report: dict[str, Any] | None = None,
    num_recordings: int | None = None,
) -> Dataset:
    """The speech of a folder's first recordings, or of those that a run held out, as examples."""
    recordings, _ = read_recordings(folder, asked, model, processor, report or {})
    with tempfile.TemporaryDirectory() as work_dir:
        settings = PreparationSettings(
            tokenizer_file=save_tokenizer(processor, Path(work_dir)),
            task=asked.task,
            suppressed_symbols=suppressed_symbols(model, processor),
        )
        examples = read_speech(recordings[:num_recordings], settings, Path(work_dir))
        return Dataset.from_list(examples.to_list(), features=examples.features)  # before the folder goes


if __name__ == "__main__":
    main()
