#!/usr/bin/env python
"""How well the label check finds captions that are not those of their audio.

    python scripts/measure_label_check.py --model openai/whisper-base --data_dir recordings --language fr \
        --other_dir recordings-in-english

The folder's captions are taken for true. Some are spoilt in six ways, by chance; precision and recall are
printed for windows and, where whole recordings are spoilt, for recordings. With --write FOLDER nothing
is judged: the folder gets the same audio with captions spoilt by (a) and (c), to train on.
"""

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the project is run from its checkout

import torch
from datasets import Dataset
from spoilt_captions import KINDS, Span, Spoiler, read_folder, write_folder

from recipe.arguments import ModelArguments
from recipe.data.manifest import list_recordings
from recipe.data.recording import PreparationSettings
from recipe.data.shards import build_shards, load_examples
from recipe.data.split import choose_held_out
from recipe.errors import RecipeError
from recipe.evaluation.transcription import Decoding, Listener, spoken_words
from recipe.model.whisper import is_multilingual, load_model, save_tokenizer, suppressed_symbols
from recipe.screening.label_check import WindowFit, find_doubts
from recipe.screening.label_scores import score_windows


class Judge:
    """The label check on any captions of the folder's audio; each window is scored once."""

    def __init__(self, arguments: argparse.Namespace, work_dir: Path) -> None:
        self.model, self.processor = load_model(ModelArguments(model_name_or_path=arguments.model))
        self.model.to(arguments.device)
        self.language, self.work_dir = arguments.language, work_dir
        self.settings = PreparationSettings(
            tokenizer_file=save_tokenizer(self.processor, work_dir),
            suppressed_symbols=suppressed_symbols(self.model, self.processor),
        )
        task = "transcribe" if is_multilingual(self.model) else None
        self.listener = Listener(self.model, self.processor, Decoding(task, arguments.batch_size))
        self._known: dict[tuple[str, int, int, str], WindowFit] = {}

    def read(self, folder: Path) -> Dataset:
        """The examples of a folder."""
        recordings = list_recordings(folder, self.language)
        return load_examples(build_shards(recordings, self.settings, self.work_dir / "shards"))

    def score(self, examples: Dataset) -> list[WindowFit]:
        """How well words and audio fit in each example with words."""
        keys = [
            (example["recording"], example["start_ms"], example["end_ms"], spoken_words(example))
            for example in examples.remove_columns("audio")
        ]
        new = [index for index, key in enumerate(keys) if key not in self._known]
        if new:
            fits = score_windows(self.listener, examples.select(new))
            self._known |= {keys[new[fit.index]]: fit for fit in fits}
        return [self._known[key] for key in keys if key in self._known]


@dataclass
class Counts:
    """What was found of what was spoilt."""

    num_hits: int = 0
    num_false: int = 0
    num_missed: int = 0

    def add(self, truth: set[str], found: set[str]) -> None:
        """Count one dataset."""
        self.num_hits += len(truth & found)
        self.num_false += len(found - truth)
        self.num_missed += len(truth - found)

    def describe(self) -> str:
        """Precision and recall with the counts behind them."""
        num_found, num_spoilt = self.num_hits + self.num_false, self.num_hits + self.num_missed
        precision = f"{self.num_hits / num_found:.2f}" if num_found else "-"
        recall = f"{self.num_hits / num_spoilt:.2f}" if num_spoilt else "-"
        return f"{precision:>5}{recall:>6}  ({self.num_hits} of {num_spoilt}, {self.num_false} false)"


def main() -> None:
    """Print the table, or write the folder to train on."""
    arguments = parse_arguments()
    logging.basicConfig(level=logging.WARNING)
    try:
        with tempfile.TemporaryDirectory() as work_dir:
            judge = Judge(arguments, Path(work_dir))
            if arguments.write:
                write_training_folder(arguments, judge)
            else:
                measure(arguments, judge)
    except RecipeError as error:
        sys.exit(str(error))


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="hub id or folder of a Whisper checkpoint")
    parser.add_argument("--data_dir", required=True, type=Path, help="audio with true captions")
    parser.add_argument("--language", required=True, help="code of the language spoken")
    parser.add_argument("--other_dir", type=Path, help="captions in another language, for (d)")
    parser.add_argument("--seeds", type=int, default=3, help="spoilt datasets of each kind (default 3)")
    parser.add_argument("--batch_size", type=int, default=1, help="windows at once (default 1)")
    parser.add_argument("--write", type=Path, help="folder for captions spoilt by (a) and (c), to train on")
    parser.add_argument("--eval_fraction", type=float, default=0.1, help="share left true (0.1)")
    parser.add_argument("--json", type=Path, help="file for the fit of every window")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def measure(arguments: argparse.Namespace, judge: Judge) -> None:
    """Spoil, score, and print a line for each kind."""
    truth = read_folder(arguments.data_dir)
    other = read_folder(arguments.other_dir) if arguments.other_dir else {}
    clean = judge.read(arguments.data_dir)
    fits = judge.score(clean)
    print(f"clean: {len(find_doubts(fits))} of {len(fits)} windows in doubt", flush=True)
    print(f"{'':34}{'windows: precision, recall':36}recordings: precision, recall")
    details = []
    for kind, what in KINDS.items():
        windows, recordings = Counts(), Counts()
        for seed in range(arguments.seeds if kind != "d" or other else 0):
            spoiler = Spoiler(truth, other, windows_of(clean), seed)
            captions, spans = spoiler.spoil(kind)
            folder = write_folder(judge.work_dir / f"{kind}{seed}", arguments.data_dir, captions)
            fits = judge.score(judge.read(folder))
            doubted = {name_of(doubt.window) for doubt in find_doubts(fits)}
            bad = {name_of(fit) for fit in fits if is_spoilt(fit, spans)}
            windows.add(bad, doubted)
            recordings.add(most_of(fits, bad), most_of(fits, doubted))
            details += [
                {"kind": kind, "seed": seed, "is_spoilt": name_of(fit) in bad, **vars(fit)} for fit in fits
            ]
        print(f"({kind}) {what:30}{windows.describe():36}{recordings.describe()}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(details, indent=1, ensure_ascii=False))


def write_training_folder(arguments: argparse.Namespace, judge: Judge) -> None:
    """Spoil a fifth of the recordings to train on by (a), one window in ten of the others by (c)."""
    truth = read_folder(arguments.data_dir)
    held_out = choose_held_out({name: name for name in truth}, arguments.eval_fraction)
    windows = windows_of(judge.read(arguments.data_dir))
    captions, swapped = Spoiler({n: c for n, c in truth.items() if n not in held_out}, {}, windows, 0).spoil(
        "a"
    )
    safe = held_out | {span.recording for span in swapped}
    rest = Spoiler(captions, {}, [window for window in windows if window.recording not in safe], 0)
    captions, replaced = rest.spoil("c")
    write_folder(arguments.write, arguments.data_dir, {**truth, **captions})
    num_trained = sum(window.recording not in held_out for window in windows)
    num_swapped = sum(window.recording in safe - held_out for window in windows)
    print(f"{num_trained} windows to train on, {num_swapped} of swapped captions, {len(replaced)} replaced")


def windows_of(examples: Dataset) -> list[Span]:
    """Where the windows are."""
    columns = (examples["recording"], examples["start_ms"], examples["end_ms"])
    return [Span(*window) for window in zip(*columns, strict=True)]


def is_spoilt(fit: WindowFit, spans: Iterable[Span]) -> bool:
    """Whether most of a window is in a spoilt place."""
    return any(
        span.recording == fit.recording
        and min(fit.end_ms, span.end_ms) - max(fit.start_ms, span.start_ms) > (fit.end_ms - fit.start_ms) / 2
        for span in spans
    )


def name_of(fit: WindowFit) -> str:
    """A window's name among those of a dataset."""
    return f"{fit.recording} {fit.start_ms}"


def most_of(fits: Iterable[WindowFit], names: set[str]) -> set[str]:
    """The recordings of which more than half of the windows are among `names`."""
    votes: dict[str, list[bool]] = {}
    for fit in fits:
        votes.setdefault(fit.recording, []).append(name_of(fit) in names)
    return {recording for recording, vote in votes.items() if sum(vote) > len(vote) / 2}


if __name__ == "__main__":
    main()
