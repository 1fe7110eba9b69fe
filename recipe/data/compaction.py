"""A compacted dataset: the shards of all recordings joined into a few files, to be kept, copied, uploaded.

A folder of `part-00000.tar` and so on (about a gigabyte each; any program opens them), `index.arrow` (the
rows, which name part and place of their sounds), `recordings.parquet` (the reports) and `dataset.json` (what
the dataset was made for, sizes and hashes of the files; written last: a dataset counts once it is there).
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tarfile import BLOCKSIZE
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from recipe.data.index import has_rows, move_sounds, read_shard, write_rows
from recipe.data.recording import PreparationSettings
from recipe.data.recordings_table import map_table, shards_of, tabulate_recordings
from recipe.data.shards import FORMAT_VERSION, Shard, describe_settings, sounds_path
from recipe.errors import DataError
from recipe.run.files import (
    hash_file,
    hash_once,
    parse_state,
    read_state,
    remove_file,
    replacing,
    write_state,
)

COMPACTED_VERSION = 1
"""Of the folder; raised whenever its files change their names or meaning."""

PART_BYTES = 1_000_000_000

DESCRIPTION, ROWS, RECORDINGS = "dataset.json", "index.arrow", "recordings.parquet"
PROGRESS = "compaction.json"

COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class FileRecord:
    """Size and SHA-256 of a file."""

    num_bytes: int
    sha256: str


@dataclass(frozen=True)
class Description:
    """What a compacted dataset is.

    Attributes:
        format_version: `COMPACTED_VERSION` of the code that wrote it.
        preparation_version: `FORMAT_VERSION` of the code that made its examples.
        preparation: What its examples depend on beside the files: see `describe_settings`.
        fingerprint: Equal for equal examples in the same order.
        num_recordings: All that came in, those without windows included.
        num_windows: Rows, the faulty ones included.
        audio_ms: Audio that came in.
        row_warnings: Sentences on the rows of tables that are not trained.
        files: All other files of the folder, by name.
    """

    format_version: int
    preparation_version: int
    preparation: dict[str, Any]
    fingerprint: str
    num_recordings: int
    num_windows: int
    audio_ms: int
    row_warnings: list[str]
    files: dict[str, FileRecord]


@dataclass(frozen=True)
class _Progress:
    """The parts that are whole already, of which dataset."""

    fingerprint: str
    part_bytes: int
    parts: dict[str, FileRecord] = field(default_factory=dict)


@dataclass(frozen=True)
class _Place:
    """Where the sounds of a shard go: a part, and the bytes there from `offset` on."""

    shard: Shard
    part: str
    offset: int
    num_bytes: int


def compact_dataset(
    shards: Sequence[Shard],
    settings: PreparationSettings,
    folder: Path,
    *,
    row_warnings: Sequence[str] = (),
    part_bytes: int = PART_BYTES,
    removes_shards: bool = False,
) -> Description:
    """Join shards into a compacted dataset; killed and started again, it goes on with the next part.

    Args:
        shards: Of all recordings, in order, their reports with what is known beside the files.
        settings: Of which they were made.
        folder: Receives the dataset; made if missing.
        row_warnings: See `Description`.
        part_bytes: Size that a part exceeds by its last recording at most.
        removes_shards: Whether the shards go, once the dataset is whole.

    Raises:
        DataError: the folder holds another dataset, or a shard is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fingerprint = hashlib.sha256("\n".join(shard.content_hash for shard in shards).encode()).hexdigest()
    found = read_state(folder / DESCRIPTION, Description)
    if found and found.fingerprint != fingerprint:
        raise DataError(f"{folder} holds another compacted dataset; give an empty folder.")
    if not found:
        found = _compact(shards, settings, folder, _Progress(fingerprint, part_bytes), row_warnings)
    if removes_shards:
        for path in (shard.path for shard in shards):
            for file in (path.with_suffix(".json"), sounds_path(path), path):  # the first makes it count
                remove_file(file)
    return found


def _compact(
    shards: Sequence[Shard],
    settings: PreparationSettings,
    folder: Path,
    start: _Progress,
    row_warnings: Sequence[str],
) -> Description:
    progress = read_state(folder / PROGRESS, _Progress)
    if progress is None or (progress.fingerprint, progress.part_bytes) != (
        start.fingerprint,
        start.part_bytes,
    ):
        progress = start
    places: list[_Place] = []
    write_rows(folder / ROWS, _move_rows(shards, start.part_bytes, places))
    for name in dict.fromkeys(place.part for place in places):
        path = folder / name
        if not (path.is_file() and name in progress.parts and _record(path) == progress.parts[name]):
            progress.parts[name] = _write_part(path, [place for place in places if place.part == name])
            write_state(folder / PROGRESS, asdict(progress))
    with replacing(folder / RECORDINGS) as partial:
        parquet.write_table(tabulate_recordings(shards), partial)
    reports = [shard.report for shard in shards]
    description = Description(
        COMPACTED_VERSION,
        FORMAT_VERSION,
        describe_settings(settings),
        start.fingerprint,
        len(reports),
        sum(report.num_windows + report.num_faulty_windows for report in reports),
        sum(report.audio_ms for report in reports),
        [*row_warnings],
        {name: _record(folder / name) for name in (ROWS, RECORDINGS)} | progress.parts,
    )
    write_state(folder / DESCRIPTION, asdict(description))
    remove_file(folder / PROGRESS)
    return description


def _record(path: Path) -> FileRecord:
    return FileRecord(path.stat().st_size, hash_file(path))


def _move_rows(shards: Iterable[Shard], part_bytes: int, places: list[_Place]) -> Iterator[pa.Table]:
    """The rows with their places in the parts, to which those of whole shards are added."""
    number, offset = 0, 0
    for shard in filter(has_rows, shards):
        rows = read_shard(shard.path)
        audio = rows["audio"].combine_chunks()
        starts, sizes = (audio.field(name).to_numpy() for name in ("offset", "num_bytes"))
        num_bytes = int(max(starts + -(-sizes // BLOCKSIZE) * BLOCKSIZE))
        if offset >= part_bytes:
            number, offset = number + 1, 0
        name = f"part-{number:05}.tar"
        places.append(_Place(shard, name, offset, num_bytes))
        yield move_sounds(
            rows, pa.array([name] * len(rows), pa.string()), pa.array(starts + offset, pa.int64())
        )
        offset += num_bytes


def _write_part(path: Path, places: Sequence[_Place]) -> FileRecord:
    """Write a tar of the members of several, whose content is checked on the way."""
    whole, num_bytes = hashlib.sha256(), 0
    with replacing(path) as partial, partial.open("wb") as part:
        for place in places:
            own, left = hashlib.sha256(), place.num_bytes
            with sounds_path(place.shard.path).open("rb") as sounds:
                while block := sounds.read(COPY_BYTES):
                    own.update(block)
                    kept = block[:left]
                    whole.update(kept)
                    part.write(kept)
                    left -= len(kept)
            if own.hexdigest() != place.shard.sounds_hash:
                raise DataError(
                    f"{sounds_path(place.shard.path)} has changed since it was made; prepare the recordings "
                    "again with the same command, then compact."
                )
            num_bytes += place.num_bytes
        end = bytes(2 * BLOCKSIZE)  # as every tar ends
        whole.update(end)
        part.write(end)
    return FileRecord(num_bytes + len(end), whole.hexdigest())


def read_description(folder: Path) -> Description:
    """What the dataset in a folder is.

    Raises:
        DataError: there is none, or one that this code cannot read.
    """
    path = folder / DESCRIPTION
    try:
        found = parse_state(path, dict[str, Any])
        version = found.get("format_version")
        if version != COMPACTED_VERSION:
            raise DataError(
                f"{path}: expected a compacted dataset of version {COMPACTED_VERSION}, found {version}; "
                "compact the shards anew with this version of scripts/prepare.py."
            )
        return parse_state(path, Description)
    except FileNotFoundError:
        raise DataError(
            f"{folder} holds no compacted dataset: there is no {DESCRIPTION}; make one with "
            "scripts/prepare.py --compacted_dir, or wait until that is done."
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error}); copy it anew, or compact again.") from error


def check_fits(description: Description, settings: PreparationSettings, where: str) -> None:
    """See that a model can be trained from a dataset.

    Args:
        description: Of the dataset.
        settings: How a run would prepare recordings for its model.
        where: The dataset's folder or address.

    Raises:
        DataError: if it was made for another model or task, or by another version of this code.
    """
    if description.preparation_version != FORMAT_VERSION:
        raise DataError(
            f"prepared_dir: {where} was prepared by version {description.preparation_version} of this code, "
            f"this is {FORMAT_VERSION}; prepare it anew."
        )
    wanted = describe_settings(settings)
    what = {
        "task": f"task {wanted['task']}",
        "tokenizer": "the tokenizer of this model",
        "suppressed_symbols": "the symbols that this model can write",
    }
    for name, description_of in what.items():
        if description.preparation[name] != wanted[name]:
            raise DataError(
                f"prepared_dir: {where} was not prepared for {description_of}; give the model and task it "
                "was prepared for, or prepare it anew."
            )


def check_files(description: Description, sizes: Mapping[str, int | None], where: str) -> None:
    """See that the files of a dataset are there; what the parts hold is checked when it is read.

    Args:
        description: Of the dataset.
        sizes: Bytes of each file; None where there is none.
        where: The dataset's folder or address.

    Raises:
        DataError: naming the first one that is missing or has another size.
    """
    for name, record in description.files.items():
        if sizes.get(name) != record.num_bytes:
            found = "none" if sizes.get(name) is None else f"{sizes[name]:,} bytes"
            raise DataError(
                f"prepared_dir: {name} of {where}: expected {record.num_bytes:,} bytes, found {found}; copy "
                "it anew, or compact again."
            )


def measure_files(description: Description, folder: Path) -> dict[str, int | None]:
    """Bytes of each file of a dataset in a folder."""
    paths = {name: folder / name for name in description.files}
    return {name: path.stat().st_size if path.is_file() else None for name, path in paths.items()}


def load_compacted(
    description: Description, folder: Path, address: str
) -> tuple[list[Shard], Iterator[pa.Table]]:
    """The recordings of a dataset, and their rows with the addresses of their sounds.

    Args:
        description: Of the dataset.
        folder: Where `index.arrow` and `recordings.parquet` are.
        address: Where the parts are: a folder or an address.

    Raises:
        DataError: one of the two files is not what was written.
    """
    for name in (ROWS, RECORDINGS):
        if hash_once(folder / name) != description.files[name].sha256:
            raise DataError(f"prepared_dir: {name} of {address} is damaged; copy it anew, or compact again.")
    return shards_of(parquet.read_table(folder / RECORDINGS), folder), _address_rows(folder / ROWS, address)


def _address_rows(path: Path, address: str) -> Iterator[pa.Table]:
    for batch in map_table(path).to_batches():
        rows = pa.Table.from_batches([batch])
        names = rows["audio"].combine_chunks().field("file").to_pylist()
        yield move_sounds(rows, pa.array([f"{address.rstrip('/')}/{name}" for name in names], pa.string()))
