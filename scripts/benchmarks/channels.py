"""What augmentation earns on other channels than those trained on: word error rates, a table.

    python -m scripts.benchmarks.channels --model models/tiny.en --data_dir corpus/en --language en

Every other recording of the folder is trained on, the rest is transcribed: as it is, and anew over each of
`CHANNELS`. Some trainings are on clean speech, some on coded copies. Below the table, what each augmentation
changes on clean and on all coded windows, paired by recording with the same training without it.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, Features, disable_progress_bars

from recipe.arguments import ModelArguments
from recipe.audio.codecs import AMR, MP3, MU_LAW, OPUS, Codec
from recipe.audio.decoding import decode_flac, encode_flac
from recipe.data.sounds import IN_MEMORY, read_flac
from recipe.evaluation.comparison import compare_errors
from recipe.evaluation.report import Evaluation, evaluate_model
from recipe.evaluation.transcription import Decoding
from recipe.model.augmentation import Augmentation
from recipe.model.channel import Channel
from recipe.model.inputs import ViewProbabilities, WindowDataset
from recipe.training.arguments import RecipeTrainingArguments
from scripts.benchmarks.common import (
    QUIET,
    build_parser,
    build_trainer,
    load_on_device,
    measure_seconds,
    print_table,
    run,
)
from scripts.evaluate_wer import read_recordings, read_speech

CLEAN = "clean"

CHANNELS = {
    "telephone": Channel(MU_LAW, band=(300.0, 3400.0)),
    "AMR 4.75": Channel(AMR, 4_750, band=(300.0, 3400.0)),
    "Opus 6": Channel(OPUS, 6_000),
    "MP3 16": Channel(MP3, 16_000),
    "G.723.1": Channel(Codec("g723_1", "wav", 8_000, delay_ms=8), 6_300, band=(300.0, 3400.0)),
    "room": Channel(reverberation_s=0.6, direct_db=-3.0),
}
"""Numbers are bit rates in kbit/s. No augmentation has G.723.1."""

COPIED = ("telephone", "AMR 4.75", "Opus 6", "MP3 16")
"""Channels of the coded copies that are trained on, one after another by window."""


@dataclass(frozen=True)
class Training:
    """One way to train.

    Attributes:
        is_coded: Whether coded copies are trained on.
        augmentation: What is altered while training.
    """

    is_coded: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)


TRAININGS: dict[str, Training | None] = {
    "not trained": None,
    "clean": Training(),
    "clean, channel 0.5": Training(augmentation=Augmentation(channel=0.5)),
    "clean, SpecAugment 0.5": Training(augmentation=Augmentation(spec_augment=0.5)),
    "coded": Training(is_coded=True),
    "coded, channel 0.5": Training(is_coded=True, augmentation=Augmentation(channel=0.5)),
}
"""Augmentations are judged against the line without them that is named first."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = build_parser(__doc__, required=["model", "data_dir"], optional=["language", "json"])
    parser.add_argument("--num_epochs", type=float, default=3.0, help="passes over the windows (3)")
    parser.add_argument("--learning_rate", type=float, default=2e-5, help="peak (2e-5)")
    parser.add_argument("--seed", type=int, default=1, help="of training and views (1)")
    parser.add_argument("--trainings", nargs="+", choices=TRAININGS, default=[*TRAININGS], help="lines (all)")
    parser.add_argument("--windows", type=int, help="transcribed of each recording, from its beginning (all)")
    parser.add_argument(
        "--channels", nargs="+", choices=CHANNELS, default=[*CHANNELS], help="transcribed beside clean (all)"
    )
    return parser


def measure(arguments: argparse.Namespace) -> None:
    """Train in each way, transcribe over each channel, and print what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        trained_on, held_out = read_sides(arguments, Path(folder))
        tests = {CLEAN: held_out}
        tests |= {name: send(held_out, [CHANNELS[name]]) for name in arguments.channels}
        found: dict[str, dict[str, Evaluation]] = {}
        print(f"{len(trained_on)} windows are trained on, {len(held_out)} are transcribed.\n")
        print_table(
            ["trained on: WER, loss", "CPU s", *tests],
            measure_rows(arguments, trained_on, tests, found),
        )
    print_table(["", "clean", "all but clean"], judge(found))
    if arguments.json:
        figures = {name: {test: e.as_dict() for test, e in row.items()} for name, row in found.items()}
        arguments.json.write_text(json.dumps(figures, indent=1))


def read_sides(arguments: argparse.Namespace, folder: Path) -> tuple[Dataset, Dataset]:
    """Windows to train on and windows to transcribe: every other recording each."""
    whisper = load_on_device(arguments.model)
    asked = ModelArguments(arguments.model, language=arguments.language)
    recordings, _ = read_recordings(arguments.data_dir, asked, whisper, {})
    held_out = read_speech(recordings[::2], whisper, folder / "held_out")
    names = held_out["recording"]
    first = [
        index
        for index, name in enumerate(names)
        if index - names.index(name) < (arguments.windows or index + 1)
    ]
    return read_speech(recordings[1::2], whisper, folder / "trained"), held_out.select(first)


def send(examples: Dataset, channels: Sequence[Channel]) -> Dataset:
    """The windows as they arrive over the channels, one after another by window."""

    def send_one(example: dict[str, Any], index: int) -> dict[str, Any]:
        samples = decode_flac(read_flac(example["audio"]))
        received = channels[index % len(channels)].send(samples, np.random.default_rng([0, index]))
        sound = encode_flac(np.round(received * 32767).astype(np.int16))
        return {"audio": {"bytes": sound}}

    features = Features({**examples.features, "audio": IN_MEMORY})
    return examples.map(send_one, with_indices=True, keep_in_memory=True, features=features)


def measure_rows(
    arguments: argparse.Namespace,
    trained_on: Dataset,
    tests: Mapping[str, Dataset],
    found: dict[str, dict[str, Evaluation]],
) -> Iterator[list[str]]:
    """A line for the base model and each training; its evaluations are left in `found`."""
    copies = send(trained_on, [CHANNELS[name] for name in COPIED])
    for name in arguments.trainings:
        whisper, seconds = load_on_device(arguments.model), 0.0
        way = TRAININGS[name]
        if way is not None:
            windows = WindowDataset(
                copies if way.is_coded else trained_on,
                whisper,
                ViewProbabilities(timestamps=0.8, prompts=0.5, single_cues=0.1),
                seed=arguments.seed,
                augmentation=way.augmentation,
            )
            with tempfile.TemporaryDirectory() as folder:
                settings = RecipeTrainingArguments(
                    folder,
                    num_train_epochs=arguments.num_epochs,
                    per_device_train_batch_size=2,
                    learning_rate=arguments.learning_rate,
                    seed=arguments.seed,
                    **QUIET,
                )
                trainer = build_trainer(whisper, settings, windows)
                seconds = measure_seconds(trainer.train)[1]["cpu_seconds"]
        decode = partial(evaluate_model, whisper, decoding=Decoding(8, "ctranslate2"), with_loss=True)
        found[name] = {test: decode(examples) for test, examples in tests.items()}
        cells = [f"{e.scores.words_normalized.rate:.1%}, {e.loss:.3f}" for e in found[name].values()]
        yield [name, f"{seconds:.0f}", *cells]


def judge(found: Mapping[str, Mapping[str, Evaluation]]) -> Iterator[list[str]]:
    """What each augmentation changes against the same training without it, in points of WER."""
    for name, after in found.items():
        before = found.get(name.partition(",")[0])
        if "," not in name or before is None:
            continue
        cells = []
        for tests in ([CLEAN], [test for test in after if test != CLEAN]):
            comparison = compare_errors(
                [recording for test in tests for recording in before[test].recordings],
                [errors for test in tests for errors in before[test].word_errors],
                [errors for test in tests for errors in after[test].word_errors],
            )
            difference = (comparison.after - comparison.before) / comparison.num_words
            low, high = comparison.difference_interval
            interval = f"{100 * low:+.1f} to {100 * high:+.1f}"
            cells.append(f"{100 * difference:+.1f} ({interval}), {comparison.verdict}")
        yield [name, *cells]


if __name__ == "__main__":
    torch.set_num_threads(1)
    disable_progress_bars()
    run(measure, parser())
