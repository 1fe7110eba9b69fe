"""Replay: windows of other speech among those that are trained, so that the base model keeps what it knew.

To mix in what was learnt before is the oldest remedy for forgetting (rehearsal, Robins 1995).
The speech comes with its captions (`--replay_dir`) or the base model's own words (`--replay_audio_dir`).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from datasets import Dataset, concatenate_datasets

from recipe.data.dataset import PreparedDataset
from recipe.data.index import load_examples
from recipe.data.manifest import HELD_OUT, Recording
from recipe.data.other_folders import OtherFolder, name_folders
from recipe.data.other_sets import OtherSet, find_apart, join_reasons, take_evenly
from recipe.data.shards import Shard, texts_of
from recipe.data.windows import WINDOW_MS
from recipe.errors import DataError
from recipe.evaluation.long_form import open_recogniser
from recipe.model.preparation import limit_audio
from recipe.model.whisper import Whisper, identify_weights
from recipe.run.warning import DataWarning, Importance
from recipe.screening.own_transcripts import TranscriptSettings, caption_recordings
from recipe.training.attempt import Attempt
from recipe.training.other_folders import prepare_folder

SPARE = 1.5
"""So many times the audio that is wanted is transcribed: some of it gives no window."""


@dataclass(frozen=True)
class Replay:
    """Windows of other speech that are trained too.

    Attributes:
        windows: None of them are of speech that is held out.
        fingerprint: Equal for equal windows; "" for none.
        num_by_folder: How many are of each folder.
    """

    windows: Dataset
    fingerprint: str
    num_by_folder: dict[str, int]


def prepare_replay(
    attempt: Attempt, whisper: Whisper, dataset: PreparedDataset, other_sets: Sequence[OtherSet]
) -> Replay | None:
    """The windows to replay, `replay_fraction` of all that are trained; None if nothing is replayed.

    Raises:
        DataError: if a folder has nothing to replay, or all of it is held out.
        JobError: if a folder is given twice, or its language is not known.
    """
    data = attempt.arguments.data
    captioned, bare = (name_folders(getattr(data, name), name) for name in ("replay_dir", "replay_audio_dir"))
    folders = [(folder, "replay_dir") for folder in captioned] + [(f, "replay_audio_dir") for f in bare]
    if not folders:
        return None
    num_wanted = count_wanted(len(dataset.train), data.replay_fraction)
    share = -(-num_wanted // len(folders))
    parts = {
        folder.name: select_windows(
            folder.name, option, _prepare(attempt, whisper, folder, option, share), dataset, other_sets, share
        )
        for folder, option in folders
    }
    windows = concatenate_datasets([*parts.values()])
    content = [f"{row['recording']} {row['start_ms']}" for row in windows.remove_columns("audio")]
    fingerprint = hashlib.sha256("\n".join(content).encode()).hexdigest()[:16]
    replay = Replay(windows, fingerprint, {name: len(part) for name, part in parts.items()})
    sentence = f"Beside the recordings {describe_replay(replay)} are trained."
    if len(windows) < num_wanted:
        sentence += f" For replay_fraction {data.replay_fraction:g} {num_wanted:,} are wanted."
    attempt.warn(DataWarning(sentence, Importance.INFORMATION, []))
    return replay


def count_wanted(num_windows: int, fraction: float) -> int:
    """How many windows are a fraction of all, where there are `num_windows` others."""
    return round(num_windows * fraction / (1 - fraction))


def describe_replay(replay: Replay) -> str:
    """What is replayed, as people say it."""
    folders = " and ".join(f"{number:,} windows of {name}" for name, number in replay.num_by_folder.items())
    return f"{folders} (replay)"


def add_replay(dataset: PreparedDataset, replay: Replay | None) -> PreparedDataset:
    """The dataset with the windows of a replay among those to train on."""
    if replay is None:
        return dataset
    return replace(
        dataset,
        train=concatenate_datasets([dataset.train, replay.windows]),
        fingerprint=f"{dataset.fingerprint}-{replay.fingerprint}",
    )


def _prepare(
    attempt: Attempt, whisper: Whisper, folder: OtherFolder, option: str, num_windows: int
) -> list[Shard]:
    if option == "replay_dir":
        return prepare_folder(attempt, whisper, folder, option)
    arguments = attempt.arguments
    settings = TranscriptSettings(
        attempt.folder.aligned,
        limit_audio(arguments.data),
        partial(open_recogniser, whisper, arguments.training.device),
        identify_weights(arguments.model),
        SPARE * num_windows * WINDOW_MS / 1000,
    )

    def transcribe(recordings: list[Recording]) -> list[Recording]:
        whisper.move_to(arguments.training.device)
        with attempt.bar(f"transcribe {folder.name}", len(recordings), "recording") as bar:
            return caption_recordings(recordings, settings, bar.update)

    return prepare_folder(attempt, whisper, folder, option, transcribe)


def select_windows(
    name: str,
    option: str,
    shards: Sequence[Shard],
    dataset: PreparedDataset,
    other_sets: Sequence[OtherSet],
    number: int,
) -> Dataset:
    """So many windows of a folder, taken evenly from those that have words and are nowhere held out.

    Args:
        name: Of the folder.
        option: That named it.
        shards: Of its recordings.
        dataset: Of which a part is held out.
        other_sets: All held out.
        number: Most windows.

    Raises:
        DataError: if there are none.
    """
    spoken = [shard for shard in shards if shard.report.outcome == "speech"]
    examples = load_examples(spoken)
    sounds = {
        recording["audio_hash"]
        for recording in dataset.report["recordings"]
        if HELD_OUT & {*recording["sides"]}
    }
    sounds = {*sounds, *(sound for other in other_sets for sound in other.audio_hashes)} - {""}
    held_out = [dataset.validation, dataset.test]
    held_out += [half for other in other_sets for half in (other.validation, other.test)]
    kept = find_apart(spoken, examples, sounds, held_out)
    if not kept:
        is_held_out = any(texts_of(examples))
        reason = "all of it is held out too" if is_held_out else join_reasons(shards) or "it has no words"
        raise DataError(
            f"{option}: nothing of {name} can be trained: {reason}. Mend the folder, or leave it out."
        )
    return take_evenly(examples.select(kept), number)
