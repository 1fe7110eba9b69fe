"""What falls to training, validation and test, for few and many recordings of mixed lengths; needs no model.

python -m scripts.benchmarks.three_sides

Recordings of made-up words, 2 to 60 minutes long (evenly over the logarithm), windows of 30 s, 2.5 words a
second. With groups, a speaker has up to three recordings, and the last recording is a copy of the first one.
Each folder is checked: every window on one side or counted as unused, at most a third of the speech held out,
no group on two sides unless a warning says so.
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets.arrow_writer import ArrowWriter

from recipe.arguments import DataArguments
from recipe.data.index import load_examples
from recipe.data.report import RecordingReport
from recipe.data.shards import FEATURES, Shard
from recipe.data.split import Split, split_examples
from recipe.data.windows import WINDOW_MS
from scripts.benchmarks.common import build_parser, print_table, run

WORDS_OF_WINDOW = 75
SIDES = ("train", "validation", "test")
NEVER_OVER = 1 / 3
"""Speech that validation and test together may take."""


@dataclass(frozen=True)
class Shares:
    """What became of a folder.

    Attributes:
        speech: Share of the speech on each side, in the order of `SIDES`.
        test_words: Words of the test.
        windows: Windows on each side.
        unused: Windows on no side, in guards among others.
        faults: A sentence for each rule that is broken.
    """

    speech: tuple[float, ...]
    test_words: int
    windows: tuple[int, ...]
    unused: int
    faults: list[str]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = build_parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 3, 5, 9, 12, 30], help="recordings")
    parser.add_argument("--num_folders", type=int, default=40, help="folders of each size (40)")
    fraction = DataArguments().eval_fraction
    parser.add_argument("--eval_fraction", type=float, default=fraction, help=f"as of train.py ({fraction})")
    return parser


def measure(arguments: argparse.Namespace) -> None:
    """Print a row for each size, with and without groups, and every fault below the table."""
    faults: list[str] = []

    def measure_rows() -> Iterator[list[str]]:
        for number in arguments.sizes:
            for has_groups in (False, True):
                found = []
                for seed in range(arguments.num_folders):
                    with tempfile.TemporaryDirectory() as folder:
                        shards = make_folder(Path(folder), number, seed, has_groups=has_groups)
                        reports = [shard.report for shard in shards]
                        split = split_examples(load_examples(shards), reports, arguments.eval_fraction)
                        found.append(judge(split, shards))
                    name = f"{number} recordings, {'groups' if has_groups else 'no groups'}, folder {seed}"
                    faults.extend(f"{name}: {fault}" for fault in found[-1].faults)
                yield [f"{number}{' with groups' if has_groups else ''}", *describe(found)]

    sides = [f"{side}, speech" for side in SIDES]
    columns = ["held out at most", "test words", "fewest", "windows", "unused", "faults"]
    print_table(["recordings", *sides, *columns], measure_rows())
    print("\n".join(faults))


def make_folder(folder: Path, number: int, seed: int, *, has_groups: bool) -> list[Shard]:
    """Recordings of mixed lengths."""
    generator = np.random.default_rng([number, seed])
    lengths = np.exp(generator.uniform(np.log(2), np.log(60), number)) * 60_000 / WINDOW_MS
    shards: list[Shard] = []
    for index, length in enumerate(lengths.round().astype(int).tolist()):
        is_copy = has_groups and number > 3 and index == number - 1
        words = np.random.default_rng([number, seed, 0 if is_copy else index])
        num_windows = shards[0].report.num_windows if is_copy else length
        report = RecordingReport(
            f"talk {seed} {index}",
            num_windows=num_windows,
            speech_ms=num_windows * WINDOW_MS,
            num_words=num_windows * WORDS_OF_WINDOW,
            language="fr",
            audio_hash=f"{0 if is_copy else index}",
            group=f"speaker {index // int(generator.integers(1, 4))}" if has_groups else "",
        )
        shards.append(write_shard(folder / f"{index}.arrow", report, words))
    return shards


def write_shard(path: Path, report: RecordingReport, generator: np.random.Generator) -> Shard:
    """Windows of words from a vocabulary of 3,000, without sound."""
    with ArrowWriter(features=FEATURES, path=str(path)) as writer:
        for number in range(report.num_windows):
            words = generator.integers(0, 3_000, WORDS_OF_WINDOW).tolist()
            segment = {"start_ms": 0, "end_ms": WINDOW_MS, "text": " ".join(f"w{word}" for word in words)}
            row = dict.fromkeys(FEATURES) | {
                "recording": report.name,
                "language": report.language,
                "start_ms": number * WINDOW_MS,
                "end_ms": (number + 1) * WINDOW_MS,
                "segments": [segment],
                "num_tokens": WORDS_OF_WINDOW,
                "flags": [],
                "fault": "",
            }
            writer.write(row)
        writer.finalize()
    return Shard(path, report)


def judge(split: Split, shards: list[Shard]) -> Shares:
    """What became of the windows, and which rules are broken."""
    windows = {side: getattr(split, side) for side in SIDES}
    places = [
        place
        for examples in windows.values()
        for place in zip(examples["recording"], examples["start_ms"], strict=True)
    ]
    numbers = {side: len(examples) for side, examples in windows.items()}
    total = sum(shard.report.num_windows for shard in shards)
    unused = sum(split.num_unused.values())
    faults = []
    if len(places) != len({*places}):
        faults.append("a window is on two sides")
    if len(places) + unused != total:
        faults.append(f"{total} windows, of which {len(places)} are on a side and {unused} unused")
    held_out = (numbers["validation"] + numbers["test"]) / total
    if held_out > NEVER_OVER:
        faults.append(f"{held_out:.0%} of the speech is held out")
    if not split.warnings:
        faults += find_parted_groups(
            {side: {*examples["recording"]} for side, examples in windows.items()}, shards
        )
    return Shares(
        tuple(numbers[side] / total for side in SIDES),
        numbers["test"] * WORDS_OF_WINDOW,
        tuple(numbers.values()),
        unused,
        faults,
    )


def find_parted_groups(names: Mapping[str, set[str]], shards: list[Shard]) -> list[str]:
    """A sentence for each speaker or copy on two sides."""
    sides: dict[str, set[str]] = {}
    for shard in shards:
        of_recording = {side for side in SIDES if shard.report.name in names[side]}
        for key in filter(None, (shard.report.group, f"sound {shard.report.audio_hash}")):
            sides.setdefault(key, set()).update(of_recording)
    return [f"{key} is on {' and '.join(sorted(found))}" for key, found in sides.items() if len(found) > 1]


def describe(found: list[Shares]) -> list[str]:
    """The cells of a row: medians over the folders, but for the extremes and the faults."""
    speech = np.median([shares.speech for shares in found], axis=0)
    words = [shares.test_words for shares in found]
    windows = np.median([shares.windows for shares in found], axis=0)
    return [
        *(f"{share:.0%}" for share in speech),
        f"{max(1 - shares.speech[0] - shares.unused / sum(shares.windows) for shares in found):.0%}",
        f"{np.median(words):,.0f}",
        f"{min(words):,}",
        " / ".join(f"{number:.0f}" for number in windows),
        f"{np.median([shares.unused for shares in found]):.0f}",
        str(sum(bool(shares.faults) for shares in found)),
    ]


if __name__ == "__main__":
    run(measure, parser())
