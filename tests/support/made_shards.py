"""Shards of windows without sound, each with words of its own, and datasets of them."""

from pathlib import Path

from datasets import Dataset
from datasets.arrow_writer import ArrowWriter

from recipe.data.dataset import PreparedDataset
from recipe.data.index import load_examples
from recipe.data.report import RecordingReport
from recipe.data.shards import FEATURES, Shard
from recipe.data.sounds import read_flac
from recipe.data.windows import WINDOW_MS

WORDS = 100


def write_shard(folder: Path, name: str, num_windows: int = 6, seed: str = "", **report: object) -> Shard:
    """A recording whose windows have `WORDS` words of their own each."""
    path = folder / f"{name}.arrow"
    with ArrowWriter(features=FEATURES, path=str(path)) as writer:
        for index in range(num_windows):
            text = " ".join(f"{seed or name}{index}x{word}" for word in range(WORDS))
            start_ms = index * WINDOW_MS
            writer.write(
                {
                    "recording": name,
                    "language": "fr",
                    "start_ms": start_ms,
                    "end_ms": start_ms + WINDOW_MS,
                    "audio": None,
                    "segments": [{"start_ms": 0, "end_ms": WINDOW_MS, "text": text}],
                    "prompt": [],
                    "num_tokens": WORDS,
                    "chars_per_second": 1.0,
                    "compression_ratio": 1.0,
                    "flags": [],
                    "severity": 0.0,
                    "fault": "",
                }
            )
        writer.finalize()
    fields = {"outcome": "speech", "num_windows": num_windows, "audio_hash": name}
    return Shard(path, RecordingReport(name, **(fields | report)), name)


def trained_on(*shards: Shard, test: tuple[Shard, ...] = ()) -> PreparedDataset:
    """A dataset that trains on some shards, and tests on others."""
    train = load_examples(shards)
    nothing = Dataset.from_dict({name: [] for name in FEATURES}, features=FEATURES)
    sides = [*[(shard, "train") for shard in shards], *[(shard, "test") for shard in test]]
    report = {"recordings": [{"audio_hash": s.report.audio_hash, "sides": [side]} for s, side in sides]}
    tested = load_examples(test) if test else nothing
    return PreparedDataset(train, nothing, tested, train, report, [], "f")


def describe(data: PreparedDataset) -> dict:
    """All of a dataset but where its sounds lie."""
    sides = {"train": data.train, "validation": data.validation, "test": data.test, "rows": data.rows}
    return {
        "report": {**data.report, "recordings": [*data.report["recordings"]]},
        "warnings": [(text, getattr(text, "importance", None)) for text in data.warnings],
        "findings": [getattr(text, "findings", None) for text in data.warnings],
        "fingerprint": data.fingerprint,
        **{
            side: [row | {"audio": read_flac(row["audio"])} for row in rows.to_list()]
            for side, rows in sides.items()
        },
    }
