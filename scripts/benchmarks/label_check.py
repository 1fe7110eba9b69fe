"""How well the label check finds captions that are not those of their audio.

    python -m scripts.benchmarks.label_check --model openai/whisper-base --data_dir recordings --language fr \
        --other_dir recordings-in-english

The folder's captions are taken for true. Some are spoilt in six ways, by chance; precision and recall are
printed for windows and, where whole recordings are spoilt, for recordings. With --write FOLDER nothing
is measured: the folder gets the same audio with captions spoilt by (a) and (c), to train on.
"""

import argparse
import random
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from datasets import Dataset

from recipe.captions.reader import Cue, format_webvtt, read_captions
from recipe.data.index import load_examples
from recipe.data.manifest import AUDIO_EXTENSIONS
from recipe.data.preparation import build_shards
from recipe.data.shards import Shard
from recipe.data.sources import list_recordings
from recipe.data.split import split_examples
from recipe.data.windows import segments_of, text_of
from recipe.model.whisper import Whisper
from recipe.screening.label_check import find_suspects
from recipe.screening.label_scores import LabelScore, list_scores, score_labels
from scripts.benchmarks.common import build_parser, load_on_device, print_table, run
from scripts.evaluate_wer import describe_preparation

KINDS = {
    "a": "captions of two swapped",
    "b": "all cues 5 s late",
    "c": "text of another window",
    "d": "another language",
    "e": "one word in five wrong",
    "f": "times off by up to 0.4 s",
}
"""What is done to one recording in five, or (c) to one window in ten; (f) is harmless and should pass."""

SHIFT_MS = 5_000
JITTER_MS = 400
ERROR_FRACTION = 0.2
RECORDING_FRACTION = 0.2
WINDOW_FRACTION = 0.1

Captions = Mapping[str, Sequence[Cue]]
"""Cues in order, by recording."""


@dataclass(frozen=True)
class Span:
    """A part of a recording."""

    recording: str
    start_ms: int = 0
    end_ms: int = 10**9


class Spoiler:
    """Spoils captions by chance; the same seed spoils the same ones.

    Args:
        captions: True ones.
        other: Captions in another language.
        windows: Where the windows of the true captions are.
        seed: Of all choices.
    """

    def __init__(self, captions: Captions, other: Captions, windows: Sequence[Span], seed: int) -> None:
        self._captions = captions
        self._other = list(other.values())
        self._windows = windows
        self._random = random.Random(seed)  # noqa: S311 - not for secrets
        self._vocabulary = [word for cues in captions.values() for cue in cues for word in cue.text.split()]

    def spoil(self, kind: str) -> tuple[Captions, list[Span]]:
        """All captions, some of them spoilt, and where; nowhere for the harmless kind."""
        if kind == "c":
            return self._replace_windows()
        names = sorted(self._captions)
        chosen = self._random.sample(names, max(2, round(RECORDING_FRACTION * len(names))))
        if kind == "a":
            spoilt = {name: self._captions[chosen[i - 1]] for i, name in enumerate(chosen)}
        else:
            spoil = {"b": self._delay, "d": self._translate, "e": self._change_words, "f": self._jitter}[kind]
            spoilt = {name: spoil(self._captions[name]) for name in chosen}
        return {**self._captions, **spoilt}, [] if kind == "f" else [Span(name) for name in chosen]

    def _replace_windows(self) -> tuple[Captions, list[Span]]:
        chosen = self._random.sample(self._windows, round(WINDOW_FRACTION * len(self._windows)))
        captions = {name: list(cues) for name, cues in self._captions.items()}
        for window in chosen:
            source = self._random.choice([other for other in self._windows if other != window])
            shift_ms = window.start_ms - source.start_ms
            foreign = [
                move(cue, shift_ms)
                for cue in self._captions[source.recording]
                if source.start_ms <= cue.start_ms and cue.end_ms <= source.end_ms
            ]
            own = [
                cue
                for cue in captions[window.recording]
                if not window.start_ms <= cue.start_ms < window.end_ms
            ]
            fitting = [cue for cue in foreign if cue.end_ms <= window.end_ms]
            captions[window.recording] = sorted(own + fitting, key=lambda cue: cue.start_ms)
        return captions, chosen

    def _delay(self, cues: Sequence[Cue]) -> list[Cue]:
        return [move(cue, SHIFT_MS) for cue in cues]

    def _translate(self, cues: Sequence[Cue]) -> list[Cue]:
        foreign = self._random.choice(self._other)
        return [replace(cue, text=foreign[i % len(foreign)].text) for i, cue in enumerate(cues)]

    def _change_words(self, cues: Sequence[Cue]) -> list[Cue]:
        texts = [" ".join(" ".join(map(self._change_word, cue.text.split())).split()) for cue in cues]
        return [replace(cue, text=text) for cue, text in zip(cues, texts, strict=True) if text]

    def _change_word(self, word: str) -> str:
        """The word; one time in five another one, none, or two."""
        if self._random.random() >= ERROR_FRACTION:
            return word
        wrong = self._random.choice(self._vocabulary)
        return self._random.choice([wrong, "", f"{word} {wrong}"])

    def _jitter(self, cues: Sequence[Cue]) -> list[Cue]:
        moved = []
        for cue in cues:
            first, last = (self._random.randint(-JITTER_MS, JITTER_MS) for _ in range(2))
            start_ms = max(0, cue.start_ms + first)
            moved.append(replace(cue, start_ms=start_ms, end_ms=max(start_ms + 100, cue.end_ms + last)))
        return moved


def read_caption_files(folder: Path) -> Captions:
    """The captions of a folder whose caption files are named as the audio."""
    return {path.stem: read_captions(path).cues for path in sorted(folder.glob("*.vtt"))}


def write_folder(folder: Path, audio_dir: Path, captions: Captions) -> Path:
    """`folder`, with links to the audio of `audio_dir` and these captions."""
    folder.mkdir(parents=True)
    for path in audio_dir.iterdir():
        if path.suffix in AUDIO_EXTENSIONS:
            (folder / path.name).symlink_to(path.resolve())
    for name, cues in captions.items():
        plain = [replace(cue, identifier="", payload=cue.text) for cue in cues]
        (folder / f"{name}.vtt").write_text(format_webvtt(plain), encoding="utf-8")
    return folder


def move(cue: Cue, shift_ms: int) -> Cue:
    """The cue at another time."""
    return replace(cue, start_ms=cue.start_ms + shift_ms, end_ms=cue.end_ms + shift_ms)


@dataclass
class LabelCheck:
    """The label check on any captions of the folder's audio; each window is scored once.

    Attributes:
        whisper: The base model, on its device.
        language: Code of the language spoken.
        batch_size: Windows at once.
        workdir: Receives the shards.
    """

    whisper: Whisper
    language: str
    batch_size: int
    workdir: Path
    _known: dict[tuple[str, int, int, str], LabelScore] = field(default_factory=dict)

    def build(self, folder: Path) -> list[Shard]:
        """The shards of a folder."""
        settings = describe_preparation(self.whisper, self.workdir)
        return build_shards(list_recordings(folder, self.language), settings, self.workdir / "shards")

    def read(self, folder: Path) -> Dataset:
        """The examples of a folder."""
        return load_examples(self.build(folder))

    def score(self, examples: Dataset) -> list[LabelScore]:
        """How well words and audio fit in each example with words."""
        keys = [
            (row["recording"], row["start_ms"], row["end_ms"], text_of(segments_of(row)))
            for row in examples.remove_columns("audio")
        ]
        new = [index for index, key in enumerate(keys) if key not in self._known]
        if new:
            fits = score_labels(self.whisper, examples.select(new), self.batch_size)
            scores = list_scores(examples.select(new), fits)
            self._known |= {keys[new[score.index]]: score for score in scores}
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

    def __str__(self) -> str:
        num_found, num_spoilt = self.num_hits + self.num_false, self.num_hits + self.num_missed
        precision = f"{self.num_hits / num_found:.2f}" if num_found else "-"
        recall = f"{self.num_hits / num_spoilt:.2f}" if num_spoilt else "-"
        return f"{precision} / {recall} ({self.num_hits} of {num_spoilt}, {self.num_false} false)"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = build_parser(__doc__, required=["data_dir", "model", "language"])
    parser.add_argument("--other_dir", type=Path, help="captions in another language, for (d)")
    parser.add_argument("--seeds", type=int, default=3, help="spoilt datasets of each kind (3)")
    parser.add_argument("--batch_size", type=int, default=1, help="windows at once (1)")
    parser.add_argument("--write", type=Path, help="folder for captions spoilt by (a) and (c), to train on")
    parser.add_argument("--eval_fraction", type=float, default=0.1, help="fraction of it left true (0.1)")
    return parser


def measure(arguments: argparse.Namespace) -> None:
    """Print the table, or write the folder to train on."""
    whisper = load_on_device(arguments.model)
    with tempfile.TemporaryDirectory() as workdir:
        check = LabelCheck(whisper, arguments.language, arguments.batch_size, Path(workdir))
        if arguments.write:
            write_training_folder(arguments, check)
            return
        header = ["spoilt", "windows: precision / recall", "recordings: precision / recall"]
        print_table(header, measure_kinds(arguments, check))


def measure_kinds(arguments: argparse.Namespace, check: LabelCheck) -> Iterator[list[str]]:
    """The cells of each kind."""
    truth = read_caption_files(arguments.data_dir)
    other = read_caption_files(arguments.other_dir) if arguments.other_dir else {}
    clean = check.read(arguments.data_dir)
    scores = check.score(clean)
    yield ["nothing", f"{len(find_suspects(scores))} of {len(scores)} suspect", ""]
    for kind, what in KINDS.items():
        windows, recordings = Counts(), Counts()
        for seed in range(arguments.seeds if kind != "d" or other else 0):
            captions, spans = Spoiler(truth, other, windows_of(clean), seed).spoil(kind)
            folder = write_folder(check.workdir / f"{kind}{seed}", arguments.data_dir, captions)
            scores = check.score(check.read(folder))
            found = {name_of(suspect.window) for suspect in find_suspects(scores)}
            bad = {name_of(score) for score in scores if is_spoilt(score, spans)}
            windows.add(bad, found)
            recordings.add(most_of(scores, bad), most_of(scores, found))
        yield [f"({kind}) {what}", str(windows), str(recordings)]


def write_training_folder(arguments: argparse.Namespace, check: LabelCheck) -> None:
    """Spoil a fifth of the recordings to train on by (a), one window in ten of the others by (c)."""
    truth = read_caption_files(arguments.data_dir)
    shards = check.build(arguments.data_dir)
    reports = [shard.report for shard in shards]
    held_out = split_examples(load_examples(shards), reports, arguments.eval_fraction).held_out_names
    windows = windows_of(check.read(arguments.data_dir))
    trained = {name: cues for name, cues in truth.items() if name not in held_out}
    captions, swapped = Spoiler(trained, {}, windows, 0).spoil("a")
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


def is_spoilt(score: LabelScore, spans: Iterable[Span]) -> bool:
    """Whether most of a window is in a spoilt place."""
    half_ms = (score.end_ms - score.start_ms) / 2
    return any(
        span.recording == score.recording
        and min(score.end_ms, span.end_ms) - max(score.start_ms, span.start_ms) > half_ms
        for span in spans
    )


def name_of(score: LabelScore) -> str:
    """A window's name among those of a dataset."""
    return f"{score.recording} {score.start_ms}"


def most_of(scores: Iterable[LabelScore], names: set[str]) -> set[str]:
    """The recordings of which more than half of the windows are among `names`."""
    votes: dict[str, list[bool]] = {}
    for score in scores:
        votes.setdefault(score.recording, []).append(name_of(score) in names)
    return {recording for recording, vote in votes.items() if sum(vote) > len(vote) / 2}


if __name__ == "__main__":
    run(measure, parser())
