"""Datasets that the `datasets` library reads: of the hub, or of a folder with parquet or Arrow files.

Rows are streamed, so that nothing is fetched but what is used; code that a dataset brings is never run.
Sounds that stand inside the rows are written once, under the hash of their content.
"""

import hashlib
import io
import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from datasets import Audio, Dataset, IterableDataset, load_dataset, load_from_disk
from datasets.exceptions import DatasetNotFoundError
from datasets.utils.file_utils import xopen
from pydantic import TypeAdapter

from recipe.arguments import SourceArguments
from recipe.captions.cues import shorten
from recipe.data.columns import NUM_SAMPLED, ColumnNames, RowError, find_columns, is_unchecked, read_side
from recipe.data.manifest import LocalFile
from recipe.data.rows import Table, read_row
from recipe.errors import DataError, explain_error
from recipe.run.disk import explain_disk
from recipe.run.files import read_state, this_writer, write_state

logger = logging.getLogger(__name__)

ROWS_FILE = "rows.json"
"""What a hub dataset's rows say, kept beside their sounds: other processes and a resume need no network."""

_SAVED = ("state.json", "dataset_dict.json")
"""Files by which a folder is one that `save_to_disk` wrote."""

Split: TypeAlias = "Dataset | IterableDataset"


@dataclass
class _Fetched:
    """What was fetched from the hub.

    Attributes:
        source: The options that say what to fetch.
        tables: A table for each split.
    """

    source: dict[str, Any]
    tables: list[Table]


def read_dataset(source: SourceArguments, folder: Path, max_bytes: int) -> list[Table]:
    """The rows of a dataset, a table for each split.

    Args:
        source: Which dataset, and what of it.
        folder: Receives the sounds that have no file here.
        max_bytes: Largest sound that is accepted.

    Raises:
        DataError: if it cannot be had, or its columns cannot be found.
        DiskError: if the disk is full.
    """
    assert source.dataset_name
    store = SoundStore(folder, source.dataset_name, max_bytes)
    if Path(source.dataset_name).exists():
        return _read_splits(source, store)
    kept = read_state(folder / ROWS_FILE, _Fetched)
    if kept and kept.source == _describe(source) and all(map(_is_there, kept.tables)):
        return kept.tables
    tables = _read_splits(source, store)
    keep_tables(source, tables, folder)
    return tables


def keep_tables(source: SourceArguments, tables: list[Table], folder: Path) -> None:
    """Write down what was fetched, for other processes and a resume."""
    fetched = _Fetched(_describe(source), tables)
    write_state(folder / ROWS_FILE, TypeAdapter(_Fetched).dump_python(fetched, mode="json"), this_writer())


def _describe(source: SourceArguments) -> dict[str, Any]:
    """The options that say what is fetched, and how it is read."""
    return {name: value for name, value in asdict(source).items() if "dataset" in name or "column" in name}


def _is_there(table: Table) -> bool:
    """Whether all sounds of its rows are on this disk."""
    return all(row.audio.path is not None and row.audio.path.exists() for row in table.rows)


def _read_splits(source: SourceArguments, store: "SoundStore") -> list[Table]:
    assert source.dataset_name
    with _errors_explained(source.dataset_name, store.folder):
        loaded, notes = _load(source.dataset_name, source.dataset_config)
    chosen = _choose_splits(source, loaded)
    notes += [f"the split {name} was left alone" for name in loaded if name not in chosen]
    tables = [Table(name) for name in chosen]
    tables[0].notes += notes
    for table in tables:
        with _errors_explained(source.dataset_name, store.folder):
            _fill(table, loaded[table.name], source, store)
    return tables


def _load(name: str, config: str | None) -> tuple[dict[str, Split], list[str]]:
    """The splits of a dataset by name, and a sentence for each file that cannot be read."""
    path = Path(name)
    if any((path / saved).exists() for saved in _SAVED):
        loaded, notes = load_from_disk(name), []
    else:
        damaged = [file for file in sorted(path.rglob("*.parquet")) if not _is_parquet(file)]
        notes = [f"{file.relative_to(path)}: it is damaged or no parquet file; left out" for file in damaged]
        loaded = _load_others(path, damaged) if damaged else load_dataset(name, config, streaming=True)
    return dict(loaded) if isinstance(loaded, Mapping) else {"train": loaded}, notes


def _is_parquet(path: Path) -> bool:
    try:
        pq.read_metadata(path)
    except (pa.ArrowException, OSError):
        return False
    return True


def _load_others(folder: Path, damaged: Sequence[Path]) -> Mapping[str, Split]:
    """The parquet files of a folder without the damaged ones, by the split that their paths name.

    Raises:
        DataError: if there are none.
    """
    files: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(folder.rglob("*.parquet")):
        if path not in damaged:
            files[read_side(path.relative_to(folder).as_posix()) or "train"].append(str(path))
    if not files:
        raise DataError(f"{folder}: none of its {len(damaged)} parquet files can be read; write them again.")
    loaded: Mapping[str, Split] = load_dataset("parquet", data_files=dict(files), streaming=True)
    return loaded


def _choose_splits(source: SourceArguments, found: Mapping[str, Split]) -> list[str]:
    """Names of the splits to read: those asked for, else all whose names do not speak against it."""
    asked = source.dataset_split.split("+") if source.dataset_split else []
    names = asked or [name for name in found if not is_unchecked(name)]
    unknown = [name for name in names if name not in found]
    if unknown or not names:
        raise DataError(
            f"{source.dataset_name}: expected splits among {', '.join(found)}, found "
            f"{', '.join(unknown) or 'none that may be trained on'}; set dataset_split, several joined by +, "
            "and dataset_max_rows for a part of them."
        )
    return names


def _fill(table: Table, split: Split, source: SourceArguments, store: "SoundStore") -> None:
    """Read the rows of a split into its table.

    Raises:
        DataError: if its columns cannot be found.
    """
    sounds = [name for name, feature in (split.features or {}).items() if isinstance(feature, Audio)]
    for name in sounds:
        split = split.cast_column(name, Audio(decode=False))
    asked = ColumnNames.of(source)
    if len(sounds) == 1 and asked.audio is None:
        asked = replace(asked, audio=sounds[0])
    records = enumerate(islice(_iterate(split, table), source.dataset_max_rows), start=1)
    first = list(islice(records, NUM_SAMPLED))
    try:
        columns = find_columns([record for _, record in first], asked, _is_sound)
    except DataError as error:
        raise DataError(f"{table.name}: {error}.") from error
    table.notes.append(columns.describe(table.name))
    side = read_side(table.name)
    for number, record in chain(first, records):
        table.num_rows = number
        try:
            row = read_row(record, columns, (table.name, number), store.keep)
        except RowError as error:
            table.leave_out(number, str(error))
        else:
            table.rows.append(replace(row, side=row.side or side))


def _iterate(split: Split, table: Table) -> Iterator[Mapping[str, Any]]:
    """The rows of a split, file by file; a damaged file costs the rest of its rows and has a note."""
    if isinstance(split, Dataset):
        yield from split
        return
    for index in range(split.num_shards):
        try:
            yield from split.shard(num_shards=split.num_shards, index=index, contiguous=True)
        except pa.ArrowException as error:
            problem = explain_error(error, "it cannot be read to its end")
            table.notes.append(
                f"{table.name}: file {index + 1} of {split.num_shards} was left out: {problem}"
            )


def _is_sound(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(value.get(part) is not None for part in ("bytes", "path", "array"))
    return isinstance(value, bytes)


class SoundStore:
    """Sounds of a dataset's rows as files.

    Args:
        folder: Receives the sounds that have no file here.
        dataset_name: The dataset's folder or name; no file outside of it is read.
        max_bytes: Largest sound.
    """

    def __init__(self, folder: Path, dataset_name: str, max_bytes: int) -> None:
        self.folder = folder
        self._dataset_name = dataset_name
        self._max_bytes = max_bytes
        folder.mkdir(parents=True, exist_ok=True)

    def keep(self, value: object) -> LocalFile:
        """The file of a row's sound, or why there is none."""
        if isinstance(value, bytes):
            return self._write(value, "")
        if not isinstance(value, Mapping):
            return LocalFile(None, f"expected a sound, found {shorten(repr(value), 40)}")
        path = value.get("path") if isinstance(value.get("path"), str) else None
        if isinstance(value.get("bytes"), bytes):
            return self._write(value["bytes"], path or "")
        if value.get("array") is not None:
            return self._write(_encode(value["array"], value.get("sampling_rate")), ".flac")
        return self._find(path) if path else LocalFile(None, "it is empty, expected a sound")

    def _find(self, path: str) -> LocalFile:
        """The file that a row names: below the dataset's folder, or in its repository on the hub."""
        shown = repr(path[-80:])
        root = Path(self._dataset_name).absolute()
        if root.is_dir():
            file = root / path
            if ".." in file.parts or not file.is_relative_to(root) or "\0" in path:
                return LocalFile(None, f"{shown} leads out of the dataset's folder")
            return LocalFile(file) if file.is_file() else LocalFile(None, f"there is no file {shown}")
        if not path.rpartition("::")[2].startswith(f"hf://datasets/{self._dataset_name}@"):
            return LocalFile(None, f"{shown} is no file of the dataset")
        try:
            with xopen(path, "rb") as remote:
                data = remote.read(self._max_bytes + 1)
        except FileNotFoundError:
            return LocalFile(None, f"there is no file {shown}")
        return self._write(data, path)

    def _write(self, data: bytes, name: str) -> LocalFile:
        if len(data) > self._max_bytes:
            return LocalFile(None, f"it has more than {self._max_bytes:,} bytes")
        if not data:
            return LocalFile(None, "it is empty (0 bytes)")
        extension = re.search(r"\.[A-Za-z0-9]{1,8}\Z", name)
        path = self.folder / (
            hashlib.sha256(data).hexdigest()[:32] + (extension[0].lower() if extension else "")
        )
        if not path.exists() or path.stat().st_size != len(data):
            partial = path.with_name(f"{path.name}.{this_writer()}.part")
            partial.write_bytes(data)
            partial.replace(path)
        return LocalFile(path)


def _encode(array: Any, rate: object) -> bytes:
    """FLAC of a sound that stands in a row as numbers; nothing if it is none."""
    samples = np.asarray(array, dtype=np.float32)
    if samples.ndim != 1 or not isinstance(rate, int):
        return b""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="FLAC")
    return buffer.getvalue()


@contextmanager
def _errors_explained(name: str, folder: Path) -> Iterator[None]:
    """Everything that goes wrong inside becomes a DataError that names the dataset, or the disk's error."""
    try:
        yield
    except Exception as error:
        raise explain_disk(folder, error) or DataError(f"{name}: {_explain(name, error)}") from error


def _explain(name: str, error: Exception) -> str:
    if isinstance(error, DataError):
        return str(error).removeprefix(f"{name}: ")
    if isinstance(error, DatasetNotFoundError):
        return (
            "the hub has no such dataset, or not for you, and there is no such folder; check the name, or "
            "accept the dataset's terms on the hub and set HF_TOKEN."
        )
    if isinstance(error, ValueError):  # such as a configuration that has to be named
        return f"the dataset cannot be read: {shorten(str(error), 300)}"
    if isinstance(error, RuntimeError) and "script" in str(error):
        return (
            "the dataset cannot be read without running code of its own, which is never done; take one in "
            "parquet files."
        )
    if isinstance(error, OSError):
        what = "cannot be read" if Path(name).exists() else "cannot be had, for the hub cannot be reached"
        return f"the dataset {what} ({type(error).__name__}); try again, or give a folder."
    logger.error("The dataset %s cannot be read", name, exc_info=error)
    return f"{explain_error(error, 'the dataset cannot be read')}."
