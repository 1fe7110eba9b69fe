#!/usr/bin/env python
"""Any Whisper folder as faster-whisper, whisper.cpp and openai-whisper read it, proved by those runtimes.

    python scripts/export.py runs/fr/model --to ct2,ggml,pt --data_dir recordings --report runs/fr/report.json

The exports lie in MODEL-exports unless --output_dir says otherwise. With --data_dir each is loaded by its
runtime, transcribes up to ten minutes of the folder's speech and is compared with MODEL; --report takes only
what a run held out. pip install faster-whisper, pywhispercpp, openai-whisper: whose runtime is there is used.
"""

import argparse
import json
import logging
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the project is run from its checkout

from recipe.arguments import ModelArguments, split_formats
from recipe.errors import RecipeError
from recipe.export.exports import Export, export_model
from recipe.export.proof import Window, choose_windows
from recipe.model.checkpoint_files import find_checkpoint_folder
from recipe.model.whisper import load_whisper
from recipe.run.files import export_json
from scripts.evaluate_wer import choose_examples, read_recordings, read_speech


def main() -> None:
    """Export, prove, print a table and write the JSON."""
    arguments = parse_arguments()
    logging.basicConfig(level=logging.WARNING)
    try:
        formats = split_formats(arguments.to)
        source = find_checkpoint_folder(arguments.model, arguments.revision)
        windows, task = read_windows(arguments, source)
        folder = arguments.output_dir or Path(f"{arguments.model.rstrip('/').rpartition('/')[2]}-exports")
        if arguments.output_dir is None and Path(arguments.model).is_dir():
            folder = Path(arguments.model).resolve().with_name(folder.name)
        exports = export_model(source, formats, folder, windows, task, print_export)
    except (RecipeError, OSError) as error:
        sys.exit(str(error))
    print(f"\n{folder}")
    if arguments.json:
        export_json(arguments.json, {export.name: export.as_dict() for export in exports})
    sys.exit(any(not export.num_bytes for export in exports))


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="folder or hub id of a Whisper checkpoint")
    parser.add_argument("--to", default="ct2,ggml,pt", help="ct2, ggml, pt, joined by commas (default: all)")
    parser.add_argument("--revision", default="main", help="of a hub id")
    parser.add_argument("--output_dir", type=Path, help="folder for the exports")
    parser.add_argument("--data_dir", type=Path, help="folder of audio files with captions, to prove them on")
    parser.add_argument("--language", help="code or name; by default the captions' tags, or what is detected")
    parser.add_argument("--task", choices=["transcribe", "translate"], default="transcribe")
    parser.add_argument("--report", type=Path, help="report.json of a run: only what it held out")
    parser.add_argument("--json", type=Path, help="file for all figures")
    return parser.parse_args()


def read_windows(arguments: argparse.Namespace, source: Path) -> tuple[list[Window], str]:
    """The speech to prove the exports on, none without a folder of it, and the task."""
    report = json.loads(arguments.report.read_text()) if arguments.report else {}
    task = report.get("task") or arguments.task
    if arguments.data_dir is None:
        return [], task
    asked = ModelArguments(str(source), language=arguments.language, task=task)
    whisper = load_whisper(asked)
    recordings, warnings = read_recordings(arguments.data_dir, asked, whisper, report)
    for warning in warnings:
        print(warning, file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        examples = choose_examples(read_speech(recordings, whisper, Path(folder)), report)
        return choose_windows(examples), task


def print_export(export: Export) -> None:
    """Print what became of an export."""
    print(f"{export.name}: {export.num_bytes / 1e6:,.0f} MB")
    if proof := export.proof:
        print(
            f"  {proof.num_other_words} of {proof.num_words} words and {proof.num_other_times} of "
            f"{proof.num_times} times differ from the released model's on {proof.speech_seconds:.0f} s; "
            f"WER {proof.wer_normalized:.2%} ({proof.wer_normalized_released:.2%}); loads in "
            f"{proof.load_seconds:.1f} s, {proof.speech_per_second:.1f} x real time"
        )
        if proof.num_loops:
            print(f"  {proof.num_loops} windows more are left out: one of both ran into a loop")
    if export.problem:
        print(f"  {export.problem}")


if __name__ == "__main__":
    main()
