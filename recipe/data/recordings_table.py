"""The reports of all recordings as one table: a row for each, read one at a time, in any number."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar, overload

import pyarrow as pa

from recipe.data.report import RecordingReport
from recipe.data.shards import Shard
from recipe.run.files import replacing, this_writer

S = TypeVar("S")
T = TypeVar("T")

SCHEMA = pa.schema(
    {
        "name": pa.string(),
        "outcome": pa.string(),
        "language": pa.string(),
        "audio_ms": pa.int64(),
        "num_windows": pa.int32(),
        "num_faulty_windows": pa.int32(),
        "shard": pa.string(),
        "content_hash": pa.string(),
        "sounds_hash": pa.string(),
        "report": pa.string(),
    }
)
"""A recording: what people sort by, the key of its shard and its hashes, and the whole report as JSON."""


class Mapped(Sequence[T]):
    """A sequence whose items are made of another's when they are asked for, and not kept."""

    def __init__(self, source: Sequence[S], function: Callable[[S], T]) -> None:
        self._source, self._function = source, function

    def __len__(self) -> int:
        return len(self._source)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...

    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            return Mapped(self._source[index], self._function)
        return self._function(self._source[index])

    def __iter__(self) -> Iterator[T]:
        return map(self._function, self._source)


def tabulate_recordings(shards: Sequence[Shard]) -> pa.Table:
    """The table of recordings, in the order of the shards."""
    return pa.Table.from_pylist(
        [
            {
                **{name: getattr(shard.report, name) for name in SCHEMA.names[:6]},
                "shard": shard.path.stem,
                "content_hash": shard.content_hash,
                "sounds_hash": shard.sounds_hash,
                "report": json.dumps(asdict(shard.report)),
            }
            for shard in shards
        ],
        SCHEMA,
    )


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table as one Arrow file that can be mapped."""
    with (
        replacing(path, this_writer()) as partial,
        pa.OSFile(str(partial), "wb") as file,
        pa.ipc.new_stream(file, table.schema) as writer,
    ):
        writer.write_table(table)


def map_table(path: Path) -> pa.Table:
    """The table in an Arrow file, mapped: pages are read when they are asked for."""
    return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()


def reports_of(table: pa.Table) -> Sequence[dict[str, Any]]:
    """The reports in a table of recordings, each read when it is asked for; ready for JSON."""
    return Mapped(table["report"], lambda text: dict(json.loads(text.as_py())))


def shards_of(table: pa.Table, folder: Path) -> list[Shard]:
    """The shards of which a table of recordings was made, their rows in a folder."""
    columns = (table[name].to_pylist() for name in ("shard", "content_hash", "sounds_hash"))
    return [
        Shard(folder / f"{key}.arrow", RecordingReport(**report), content_hash, sounds_hash)
        for key, content_hash, sounds_hash, report in zip(*columns, reports_of(table), strict=True)
    ]
