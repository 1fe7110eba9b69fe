"""What it costs to measure a model's WER: the usual loop of `Seq2SeqTrainer` and the recipe's, side by side.

    python -m scripts.benchmarks.evaluation --model MODEL --data_dir FOLDER --language fr --repeats 3

The windows are those that a run on FOLDER holds out (--all: all of them). The ways take turns, in one process
on one thread, and the table shows their medians:

    plain             `evaluate()` with predict_with_generate, 225 tokens at most, timestamps decoded; that it
                      measures the loss too is a part of the loop
    plain, no times   the same without timestamps
    generate          `model.generate` alone on the same batches as the plain loop, timestamps decoded
    transformers      ours
    ctranslate2       ours with --evaluation_engine ctranslate2, conversion included
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import transformers
from datasets import Dataset, concatenate_datasets
from transformers import EvalPrediction, Seq2SeqTrainer, Seq2SeqTrainingArguments

from recipe.arguments import DataArguments
from recipe.audio.decoding import decode_flac
from recipe.audio.mel import log_mel
from recipe.audio.resampling import SAMPLES_PER_MS
from recipe.data.dataset import check_dataset
from recipe.data.opening import prepare_dataset
from recipe.data.shards import texts_of
from recipe.data.sounds import read_flac
from recipe.data.sources import list_recordings
from recipe.data.windows import end_of_words, segments_of, text_of
from recipe.evaluation.metrics import score_texts
from recipe.evaluation.report import evaluate_model
from recipe.evaluation.transcription import Decoding
from recipe.model.inference import IGNORED, autocast, has_bfloat16
from recipe.model.whisper import Whisper
from recipe.run.files import write_json
from scripts.benchmarks.common import build_parser, load_on_device, measure_seconds, print_table, run
from scripts.evaluate_wer import describe_preparation

MAX_LENGTH = 225
"""As the published fine-tuning recipes set `generation_max_length`; the model's own default is 448."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = build_parser(__doc__, required=["data_dir", "model", "language"], optional=["json"])
    parser.add_argument("--all", action="store_true", help="all windows, not only the held-out ones")
    parser.add_argument("--batch_size", type=int, default=8, help="windows at once (8)")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each way (3)")
    return parser


def measure(arguments: argparse.Namespace) -> None:
    """Measure each way in turn, print the table and write the JSON."""
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    whisper = load_on_device(arguments.model)
    with tempfile.TemporaryDirectory() as folder:
        examples = read_examples(arguments, whisper, Path(folder))
        loops = Loops(whisper, examples, arguments.language, arguments.batch_size)
        rows: list[dict[str, Any]] = []
        for repeat in range(arguments.repeats):
            for name, way in loops.ways().items():
                wer, seconds = measure_seconds(way)
                rows.append({"way": name, "repeat": repeat, **seconds, "wer": wer})
    print(f"{len(examples)} windows\n")
    header = ["way", "CPU s", "wall s", "CPU: times faster", "wall: times faster", "WER"]
    print_table(header, describe_ways(rows))
    if arguments.json:
        write_json(arguments.json, rows)


def read_examples(arguments: argparse.Namespace, whisper: Whisper, folder: Path) -> Dataset:
    """The windows to transcribe: those with words."""
    recordings = list_recordings(arguments.data_dir, arguments.language)
    settings = describe_preparation(whisper, folder)
    data = prepare_dataset(recordings, settings, DataArguments(), folder / "prepared", num_workers=1)
    check_dataset(data, DataArguments())
    examples = concatenate_datasets([data.train, data.validation, data.test]) if arguments.all else data.test
    return examples.select([index for index, text in enumerate(texts_of(examples)) if text])


@dataclass(frozen=True)
class Loops:
    """The ways to measure a WER, on the same windows.

    Attributes:
        whisper: The model, on its device.
        examples: The windows.
        language: Code of the language spoken.
        batch_size: Windows at once.
    """

    whisper: Whisper
    examples: Dataset
    language: str
    batch_size: int

    def ways(self) -> dict[str, Callable[[], float]]:
        """The ways by name; each gives the normalised WER."""
        engines = ("transformers", "ctranslate2")
        return {
            "plain": partial(self.run_plain_loop, return_timestamps=True),
            "plain, no times": self.run_plain_loop,
            "generate": self.run_generate,
            **{engine: partial(self.run_recipe, engine) for engine in engines},
        }

    def run_plain_loop(self, **options: Any) -> float:
        """WER as the published recipes measure it."""
        tokenizer, device = self.whisper.processor.tokenizer, self.whisper.model.device

        def collate(rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
            texts = [text_of(segments_of(row)) for row in rows]
            labels = tokenizer(texts, padding=True, return_tensors="pt")
            ids = labels.input_ids.masked_fill(labels.attention_mask == 0, IGNORED)
            return {"input_features": self.read_features(rows), "labels": ids}

        def compute(prediction: EvalPrediction) -> dict[str, float]:
            ids = np.where(prediction.predictions == IGNORED, tokenizer.pad_token_id, prediction.predictions)
            return {"wer": self.score(ids.tolist())}

        with tempfile.TemporaryDirectory() as folder:
            settings = Seq2SeqTrainingArguments(
                output_dir=folder,
                predict_with_generate=True,
                generation_max_length=MAX_LENGTH,
                per_device_eval_batch_size=self.batch_size,
                bf16=has_bfloat16(device),
                use_cpu=device.type == "cpu",
                remove_unused_columns=False,
                disable_tqdm=True,
                report_to="none",
            )
            trainer = Seq2SeqTrainer(
                model=self.whisper.model,
                args=settings,
                data_collator=collate,
                eval_dataset=self.examples,
                compute_metrics=compute,
            )
            return float(trainer.evaluate(**self.told, **options)["eval_wer"])

    def run_generate(self) -> float:
        """WER by `generate` alone, without the loop around it."""
        model = self.whisper.model.eval()
        ids: list[list[int]] = []
        for batch in self.examples.iter(batch_size=self.batch_size):
            rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
            features = self.read_features(rows).to(model.device)
            with torch.inference_mode(), autocast(model.device):
                written = model.generate(
                    features, max_new_tokens=MAX_LENGTH - 1, return_timestamps=True, **self.told
                )
            ids += written.tolist()
        return self.score(ids)

    def run_recipe(self, engine: str) -> float:
        """WER by the recipe's evaluation."""
        evaluation = evaluate_model(self.whisper, self.examples, Decoding(self.batch_size, engine))
        return evaluation.scores.words_normalized.rate

    @property
    def told(self) -> dict[str, Any]:
        """What `generate` is told: nothing, of an English-only model."""
        return {"language": self.language, "task": self.whisper.task} if self.whisper.task else {}

    def read_features(self, rows: Sequence[dict[str, Any]]) -> torch.Tensor:
        """Log-mel of some windows, up to where their words end, as the recipe's evaluation has it."""
        features = []
        for row in rows:
            end_ms = end_of_words(segments_of(row), row["end_ms"] - row["start_ms"])
            samples = decode_flac(read_flac(row["audio"]))[: end_ms * SAMPLES_PER_MS]
            features.append(log_mel(self.whisper.processor.feature_extractor, samples))
        return torch.from_numpy(np.stack(features))

    def score(self, ids: Sequence[Sequence[int]]) -> float:
        """Normalised WER of what was generated."""
        texts = self.whisper.processor.batch_decode(ids, skip_special_tokens=True)
        return score_texts(list(texts_of(self.examples)), texts, language=self.language).words_normalized.rate


def describe_ways(rows: Sequence[dict[str, Any]]) -> Iterator[list[str]]:
    """The medians of each way, and how many times faster than the first way it is."""
    first: list[float] = []
    for name in dict.fromkeys(row["way"] for row in rows):
        cpu, wall, wer = (
            median(row[kind] for row in rows if row["way"] == name)
            for kind in ("cpu_seconds", "wall_seconds", "wer")
        )
        first = first or [cpu, wall]
        yield [
            name,
            f"{cpu:.1f}",
            f"{wall:.1f}",
            f"{first[0] / cpu:.2f}",
            f"{first[1] / wall:.2f}",
            f"{wer:.2%}",
        ]


if __name__ == "__main__":
    run(measure, parser())
