"""The index: the rows of all shards as one Arrow file, made once, that every process maps.

A process that mapped each shard by itself would meet Linux's limit of 65,530 mapped files, and would take
longer to open them than to train. The file's name is a hash of the shards, so one made of others is never
mistaken for it.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from datasets import Dataset

from recipe.data.shards import FEATURES, Shard, sounds_path
from recipe.run.files import replacing, this_writer

ROWS_PER_BATCH = 1_000
"""Rows that lie together in an index, column by column."""


def load_examples(shards: Sequence[Shard]) -> Dataset:
    """The examples of all shards as one memory-mapped dataset, without the faulty windows."""
    return without_faults(load_rows(shards))


def without_faults(rows: Dataset) -> Dataset:
    """The rows that may be trained."""
    faults = rows["fault"][:]
    return rows.select([index for index, fault in enumerate(faults) if not fault]) if any(faults) else rows


def load_rows(shards: Sequence[Shard], folder: Path | None = None) -> Dataset:
    """All rows of the shards, memory-mapped, the faulty windows included.

    Args:
        shards: In the order of their rows.
        folder: Of the index; beside the shards if not given.
    """
    if not shards:
        return Dataset.from_dict({name: [] for name in FEATURES}, features=FEATURES)
    path = rows_path(shards, folder)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_rows(path, (read_shard(shard.path) for shard in shards if has_rows(shard)))
    return Dataset.from_file(str(path))


def has_rows(shard: Shard) -> bool:
    """Whether a shard has windows, of any kind."""
    return bool(shard.report.num_windows + shard.report.num_faulty_windows)


def rows_path(shards: Sequence[Shard], folder: Path | None = None) -> Path:
    """Where the rows of these shards are, or will be."""
    places = [f"{shard.path.absolute()} {shard.content_hash}" for shard in shards]
    key = hashlib.sha256("\n".join(places).encode(errors="surrogateescape")).hexdigest()[:32]
    return (folder or shards[0].path.parent / "index") / f"{key}.arrow"


def read_shard(path: Path) -> pa.Table:
    """The rows of a shard, the files of its sounds by their addresses."""
    with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as reader:
        rows = reader.read_all()
    return move_sounds(rows, pa.array([str(sounds_path(path).absolute())] * len(rows), pa.string()))


def move_sounds(rows: pa.Table, files: pa.Array, offsets: pa.Array | None = None) -> pa.Table:
    """The rows, with their sounds in other files, and at other offsets if given."""
    column = rows.schema.get_field_index("audio")
    audio = rows.column(column).combine_chunks()
    fields = list(audio.type)
    places = {"file": files} | ({} if offsets is None else {"offset": offsets})
    arrays = [places.get(field.name, audio.field(field.name)) for field in fields]
    moved = pa.StructArray.from_arrays(arrays, fields=fields)
    return rows.set_column(column, rows.schema.field(column), moved)


def write_rows(path: Path, tables: Iterable[pa.Table]) -> None:
    """Write rows as one file that can be mapped, there in full or not at all; takes memory for a batch."""
    schema = FEATURES.arrow_schema
    with (
        replacing(path, this_writer()) as partial,
        pa.OSFile(str(partial), "wb") as file,
        pa.ipc.new_stream(file, schema) as writer,
    ):
        for table in _join(tables):
            writer.write_table(table.cast(schema), max_chunksize=ROWS_PER_BATCH)


def _join(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The tables, some together so that each has `ROWS_PER_BATCH` rows or more."""
    waiting, num_rows = list[pa.Table](), 0
    for table in tables:
        waiting.append(table)
        num_rows += len(table)
        if num_rows >= ROWS_PER_BATCH:
            yield pa.concat_tables(waiting).combine_chunks()
            waiting, num_rows = [], 0
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()
