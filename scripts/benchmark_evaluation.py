#!/usr/bin/env python
"""What it costs to measure a model's WER: the usual loop of `Seq2SeqTrainer` and the recipe's, side by side.

    scripts/benchmark_evaluation.py --model MODEL --data_dir FOLDER --language fr --repeats 3

The windows are those that a run on FOLDER holds out (--all: all of them). The ways take turns, in one process
on one thread, and the table shows their medians:

    plain             `evaluate()` with predict_with_generate, 225 tokens at most, timestamps decoded; that it
                      measures the loss too is a part of the loop
    plain, no times   the same without timestamps
    generate          `model.generate` alone on the same batches as the plain loop, timestamps decoded
    transformers      ours
    ctranslate2       ours with --evaluation_engine ctranslate2, conversion included

CPU seconds are those of the process, so other work on the machine hardly shows; wall is what a clock says.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the project is run from its checkout

import numpy as np
import torch
import transformers
from datasets import Dataset, concatenate_datasets
from transformers import (
    EvalPrediction,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    WhisperForConditionalGeneration,
    WhisperProcessor,
)

from recipe.arguments import DataArguments, ModelArguments
from recipe.audio.decoding import decode_flac
from recipe.audio.mel import log_mel
from recipe.audio.resampling import SAMPLES_PER_MS
from recipe.data.dataset import prepare_dataset
from recipe.data.manifest import list_recordings
from recipe.data.recording import PreparationSettings
from recipe.data.windows import Segment, end_of_words
from recipe.evaluation.metrics import score_texts
from recipe.evaluation.report import evaluate_model
from recipe.evaluation.transcription import Decoding, Listener, spoken_words
from recipe.model.inference import autocast, has_bfloat16
from recipe.model.whisper import is_multilingual, load_model, save_tokenizer, suppressed_symbols

MAX_LENGTH = 225
"""As the published fine-tuning recipes set `generation_max_length`; the model's own default is 448."""

Model = WhisperForConditionalGeneration
Way = Callable[[], float]


def main() -> None:
    """Measure each way in turn, print the table and write the JSON."""
    arguments = parse_arguments()
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    model, processor = load_model(ModelArguments(model_name_or_path=arguments.model))
    model.to(arguments.device)
    with tempfile.TemporaryDirectory() as folder:
        examples = read_examples(arguments, model, processor, Path(folder))
        ways = list_ways(arguments, model, processor, examples, Path(folder))
        rows: list[dict[str, Any]] = []
        for repeat in range(arguments.repeats):
            for name, way in ways.items():
                rows.append({"way": name, "repeat": repeat, **measure(way)})
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    show(rows, list(ways), len(examples))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="hub id or folder of a Whisper checkpoint")
    parser.add_argument("--data_dir", type=Path, required=True, help="recordings with captions")
    parser.add_argument("--language", required=True, help="code of the language spoken; en for .en models")
    parser.add_argument("--all", action="store_true", help="judge all windows, not only the held-out ones")
    parser.add_argument("--ways", nargs="+", help="the ways to measure; all by default")
    parser.add_argument("--batch_size", type=int, default=8, help="windows at once (8)")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each way (3)")
    parser.add_argument("--json", type=Path, help="file for all measurements")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def read_examples(
    arguments: argparse.Namespace, model: Model, processor: WhisperProcessor, folder: Path
) -> Dataset:
    """The windows to judge: those with words."""
    recordings = list_recordings(arguments.data_dir, arguments.language)
    settings = PreparationSettings(
        tokenizer_file=save_tokenizer(processor, folder),
        suppressed_symbols=suppressed_symbols(model, processor),
    )
    data = prepare_dataset(recordings, settings, DataArguments(), folder / "prepared", num_workers=1)
    examples = concatenate_datasets([data.train, data.held_out]) if arguments.all else data.held_out
    spoken = [index for index, row in enumerate(examples.remove_columns("audio")) if spoken_words(row)]
    return examples.select(spoken)


def list_ways(
    arguments: argparse.Namespace,
    model: Model,
    processor: WhisperProcessor,
    examples: Dataset,
    folder: Path,
) -> dict[str, Way]:
    """The ways by name; each gives the normalised WER."""
    language, size = arguments.language, arguments.batch_size
    code = language if is_multilingual(model) else None
    told: dict[str, Any] = {"language": language, "task": "transcribe"} if code else {}
    loop = partial(run_plain_loop, model, processor, examples, language, folder, size)
    ways: dict[str, Way] = {
        "plain": partial(loop, {**told, "return_timestamps": True}),
        "plain, no times": partial(loop, told),
        "generate": partial(run_generate, model, processor, examples, language, size, told),
    }
    for engine in ("transformers", "ctranslate2"):
        if engine == "transformers" or find_spec(engine):
            listener = Listener(model, processor, Decoding("transcribe" if code else None, size, engine))
            ways[engine] = partial(run_ours, listener, examples)
    return {name: way for name, way in ways.items() if name in (arguments.ways or ways)}


def run_plain_loop(
    model: Model,
    processor: WhisperProcessor,
    examples: Dataset,
    language: str,
    folder: Path,
    batch_size: int,
    options: dict[str, Any],
) -> float:
    """WER as the published recipes measure it."""
    tokenizer = processor.tokenizer
    references = [spoken_words(example) for example in examples.remove_columns("audio")]

    def collate(rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        labels = tokenizer([spoken_words(row) for row in rows], padding=True, return_tensors="pt")
        ids = labels.input_ids.masked_fill(labels.attention_mask == 0, -100)
        return {"input_features": read_features(processor, rows), "labels": ids}

    def compute(prediction: EvalPrediction) -> dict[str, float]:
        ids = np.where(prediction.predictions == -100, tokenizer.pad_token_id, prediction.predictions)
        return {"wer": score_tokens(processor, ids.tolist(), references, language)}

    settings = Seq2SeqTrainingArguments(
        output_dir=str(folder / "plain"),
        predict_with_generate=True,
        generation_max_length=MAX_LENGTH,
        per_device_eval_batch_size=batch_size,
        bf16=has_bfloat16(model.device),
        use_cpu=model.device.type == "cpu",
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
    )
    trainer = Seq2SeqTrainer(
        model=model, args=settings, data_collator=collate, eval_dataset=examples, compute_metrics=compute
    )
    return float(trainer.evaluate(**options)["eval_wer"])


def run_generate(
    model: Model,
    processor: WhisperProcessor,
    examples: Dataset,
    language: str,
    batch_size: int,
    told: dict[str, Any],
) -> float:
    """WER by `generate` alone, without the loop around it."""
    model.eval()
    ids: list[list[int]] = []
    for batch in examples.iter(batch_size=batch_size):
        rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
        features = read_features(processor, rows).to(model.device)
        with torch.inference_mode(), autocast(model.device):
            ids += model.generate(
                features, max_new_tokens=MAX_LENGTH - 1, return_timestamps=True, **told
            ).tolist()
    references = [spoken_words(example) for example in examples.remove_columns("audio")]
    return score_tokens(processor, ids, references, language)


def run_ours(listener: Listener, examples: Dataset) -> float:
    """WER by the recipe's evaluation."""
    return evaluate_model(listener, examples).scores.words_normalized.rate


def read_features(processor: WhisperProcessor, rows: Sequence[dict[str, Any]]) -> torch.Tensor:
    """Log-mel of some windows, up to where their words end: what ours hears."""
    features = []
    for row in rows:
        segments = [Segment(**segment) for segment in row["segments"]]
        end_ms = end_of_words(segments, row["end_ms"] - row["start_ms"])
        samples = decode_flac(row["audio"]["bytes"])[: end_ms * SAMPLES_PER_MS]
        features.append(log_mel(processor.feature_extractor, samples))
    return torch.from_numpy(np.stack(features))


def score_tokens(
    processor: WhisperProcessor, ids: Sequence[Sequence[int]], references: Sequence[str], language: str
) -> float:
    """Normalised WER of what was generated."""
    texts = processor.batch_decode(ids, skip_special_tokens=True)
    return score_texts(references, texts, language=language).words_normalized.rate


def measure(way: Way) -> dict[str, float]:
    """CPU seconds of this process, wall seconds and WER of one evaluation."""
    started, started_cpu = time.monotonic(), time.process_time()
    wer = way()
    return {
        "cpu_seconds": time.process_time() - started_cpu,
        "wall_seconds": time.monotonic() - started,
        "wer": wer,
    }


def show(rows: Sequence[dict[str, Any]], names: Sequence[str], num_windows: int) -> None:
    """Print medians, and how many times faster than the first way each is."""
    print(f"{num_windows} windows")
    print(f"{'way':18}{'CPU s':>9}{'wall s':>9}{'CPU ratio':>11}{'wall ratio':>12}{'WER':>9}")
    kinds = ("cpu_seconds", "wall_seconds", "wer")
    medians = {
        name: {kind: statistics.median(row[kind] for row in rows if row["way"] == name) for kind in kinds}
        for name in names
    }
    first = medians[names[0]]
    for name, figures in medians.items():
        cpu, wall, wer = (figures[kind] for kind in kinds)
        ratios = f"{first['cpu_seconds'] / cpu:10.2f}x{first['wall_seconds'] / wall:11.2f}x"
        print(f"{name:18}{cpu:9.1f}{wall:9.1f}{ratios}{wer:9.2%}")


if __name__ == "__main__":
    main()
