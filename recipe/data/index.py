"""The index: one Arrow file of the rows of all shards, made once, that every process maps.

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
    rows = load_rows(shards)
    if not any(shard.report.num_faulty_windows for shard in shards):
        return rows
    return rows.select([index for index, fault in enumerate(rows["fault"]) if not fault])


def load_rows(shards: Sequence[Shard]) -> Dataset:
    """All rows of the shards, memory-mapped, the faulty windows included."""
    filled = [shard for shard in shards if shard.report.num_windows + shard.report.num_faulty_windows]
    if not filled:
        return Dataset.from_dict({name: [] for name in FEATURES}, features=FEATURES)
    path = _index_path(filled)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_index(path, (read_shard(shard.path) for shard in filled))
    return Dataset.from_file(str(path))


def _index_path(shards: Sequence[Shard]) -> Path:
    folders = {shard.path.parent for shard in shards}
    places = [f"{shard.path.absolute()} {shard.content_hash}" for shard in shards]
    key = hashlib.sha256("\n".join(places).encode(errors="surrogateescape")).hexdigest()[:32]
    return min(folders) / "index" / f"{key}.arrow"


def read_shard(path: Path) -> pa.Table:
    """The rows of a shard, the files of its sounds by their addresses."""
    with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as reader:
        rows = reader.read_all()
    return move_sounds(rows, str(sounds_path(path).absolute()))


def move_sounds(rows: pa.Table, file: str) -> pa.Table:
    """The rows, with all their sounds in the file at an address, at the same offsets."""
    column = rows.schema.get_field_index("audio")
    audio = rows.column(column).combine_chunks()
    fields = list(audio.type)
    arrays = [
        pa.array([file] * len(rows), pa.string()) if field.name == "file" else audio.field(field.name)
        for field in fields
    ]
    return rows.set_column(
        column, rows.schema.field(column), pa.StructArray.from_arrays(arrays, fields=fields)
    )


def write_index(path: Path, tables: Iterable[pa.Table]) -> None:
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
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= ROWS_PER_BATCH:
            yield pa.concat_tables(waiting).combine_chunks()
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()
