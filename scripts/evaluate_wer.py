#!/usr/bin/env python
"""Word and character error rates of any Whisper model on any folder of audio and captions.

    python scripts/evaluate_wer.py --model openai/whisper-small --data_dir recordings --language fr

With --report RUN/report.json only the windows that this run held out are judged, in the same batches and
by the same engine, so that a released model gets the very figure that the report says.
"""

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the project is run from its checkout

import torch
from datasets import Dataset
from tqdm import tqdm
from transformers import WhisperForConditionalGeneration, WhisperProcessor
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from recipe.arguments import ModelArguments, caption_language
from recipe.data.manifest import Recording, list_folder, locate_files, pair_recordings
from recipe.data.recording import PreparationSettings
from recipe.data.shards import build_shards, load_examples
from recipe.errors import DataError, RecipeError
from recipe.evaluation.report import Evaluation, evaluate_model
from recipe.evaluation.transcription import Decoding, Listener
from recipe.model.whisper import is_multilingual, load_model, save_tokenizer, suppressed_symbols
from recipe.screening.languages import check_language, check_task, settle_languages


def main() -> None:
    """Evaluate, print a table and write the JSON."""
    arguments = parse_arguments()
    logging.basicConfig(level=logging.WARNING)
    try:
        evaluation, decoding = evaluate(arguments)
    except RecipeError as error:
        sys.exit(str(error))
    print_table(evaluation)
    if arguments.json:
        content = {"model": arguments.model, "task": decoding.task, **evaluation.as_dict()}
        Path(arguments.json).write_text(json.dumps(content, indent=1, ensure_ascii=False))


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="hub id or folder of a Whisper checkpoint")
    parser.add_argument("--data_dir", required=True, type=Path, help="folder of audio files with captions")
    parser.add_argument("--language", help="code or name; by default the captions' tags, or what is heard")
    parser.add_argument("--task", choices=["transcribe", "translate"], default="transcribe")
    parser.add_argument("--batch_size", type=int, default=8, help="windows at once (default 8)")
    parser.add_argument("--engine", choices=["transformers", "ctranslate2"], default="transformers")
    parser.add_argument("--report", type=Path, help="report.json of a run: judge only what it held out")
    parser.add_argument("--json", help="file for all figures")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def evaluate(arguments: argparse.Namespace) -> tuple[Evaluation, Decoding]:
    """Judge the model on the folder, by the code that training uses."""
    report = json.loads(arguments.report.read_text()) if arguments.report else {}
    model, processor = load_model(ModelArguments(model_name_or_path=arguments.model))
    model.to(arguments.device)
    asked = read_request(arguments, report)
    recordings, remarks = read_recordings(arguments.data_dir, asked, model, processor, report)
    for remark in check_task(asked, model) + remarks:
        print(remark, file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        settings = PreparationSettings(
            tokenizer_file=save_tokenizer(processor, Path(folder)),
            task=asked.task,
            suppressed_symbols=suppressed_symbols(model, processor),
        )
        examples = choose_examples(read_speech(recordings, settings, Path(folder)), report)
        decoding = Decoding(
            asked.task if is_multilingual(model) else None,
            report.get("batch_size", arguments.batch_size),
            report.get("engine", arguments.engine),
        )
        with tqdm(total=len(examples), desc="listen", unit="window") as bar:
            evaluation = evaluate_model(Listener(model, processor, decoding), examples, on_batch=bar.update)
        return evaluation, decoding


def read_request(arguments: argparse.Namespace, report: dict[str, Any]) -> ModelArguments:
    """The model, and the language and task that the command line asks for, or that the run had."""
    asked = ModelArguments(arguments.model, language=arguments.language, task=arguments.task)
    if report:
        languages = {window["language"] for window in report["windows"]}
        asked.language = asked.language or (languages.pop() if len(languages) == 1 else None)
        asked.task = report["task"] or asked.task
    return asked


def read_recordings(
    folder: Path,
    asked: ModelArguments,
    model: WhisperForConditionalGeneration,
    processor: WhisperProcessor,
    report: dict[str, Any],
) -> tuple[list[Recording], list[str]]:
    """The folder's recordings, each with its language, and remarks; with a report only those it held out."""
    entries = list_folder(folder)
    captions_in = caption_language(check_language(asked.language, processor), asked.task)
    recordings = pair_recordings(entries, locate_files(folder, entries), captions_in)
    if not report:
        return settle_languages(recordings, asked, model, processor)
    languages = {window["recording"]: window["language"] for window in report["windows"]}
    held_out = [recording for recording in recordings if recording.name in languages]
    return [replace(recording, language=languages[recording.name]) for recording in held_out], []


def read_speech(recordings: Sequence[Recording], settings: PreparationSettings, folder: Path) -> Dataset:
    """The recordings' speech as examples, in order of their names."""
    shards = build_shards(recordings, settings, folder / "shards")
    for shard in shards:
        if shard.report.reason:
            print(f"{shard.report.name}: not judged: {shard.report.reason}", file=sys.stderr)
    return load_examples([shard for shard in shards if shard.report.outcome == "speech"])


def choose_examples(examples: Dataset, report: dict[str, Any]) -> Dataset:
    """All examples, or those that a run held out.

    Raises:
        DataError: if there is none.
    """
    if report:
        held_out = {(w["recording"], w["start_ms"], w["end_ms"]) for w in report["windows"]}
        keys = zip(examples["recording"], examples["start_ms"], examples["end_ms"], strict=True)
        examples = examples.select([index for index, key in enumerate(keys) if key in held_out])
    if len(examples) == 0:
        raise DataError("No speech with captions was found to judge the model on.")
    return examples


def print_table(evaluation: Evaluation) -> None:
    """Print the figures that matter."""
    figures = evaluation.as_dict()
    print(f"{'':24}{'WER':>9}{'CER':>9}{'sub':>7}{'del':>7}{'ins':>7}")
    for name, suffix in (("as written", ""), ("normalised", "_normalized")):
        counts = "".join(
            f"{figures[kind + suffix]:7}" for kind in ("substitutions", "deletions", "insertions")
        )
        print(f"{name:24}{figures['wer' + suffix]:9.2%}{figures['cer' + suffix]:9.2%}{counts}")
    print(
        f"\n{figures['num_windows']} windows, {figures['audio_seconds']:.0f} s of audio, "
        f"{figures['audio_seconds_per_second']} x real time"
    )
    if len(figures["languages"]) > 1:
        for code, scores in figures["languages"].items():
            print(f"  {LANGUAGES[code].title():40} {scores['wer_normalized']:7.2%}")
    for name, scores in figures["recordings"].items():
        print(f"  {name:40} {scores['wer_normalized']:7.2%}")
    print("\nWorst windows (normalised word errors):")
    for window in figures["worst_windows"][:3]:
        print(f"  {window['recording']} at {window['start_ms'] / 1000:.1f} s: {window['num_errors']} errors")
        print(f"    said:  {window['reference']}\n    heard: {window['hypothesis']}")


if __name__ == "__main__":
    main()
