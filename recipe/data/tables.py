"""Tables in a folder of sounds: files that say, row by row, which sound holds which words.

They are AudioFolder's `metadata.csv` and `.jsonl`, Common Voice's TSV, LJSpeech's CSV without a header, JSON
manifests as NeMo has them, and whatever else has a column of sounds and one of words.
"""

from codecs import BOM_UTF8
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from recipe.captions.encodings import decode_text
from recipe.data.columns import (
    NUM_SAMPLED,
    ColumnNames,
    Columns,
    RowError,
    find_columns,
    is_unchecked,
    names_sound,
    read_side,
)
from recipe.data.manifest import Listing, LocalFile, Side
from recipe.data.rows import Table, read_row
from recipe.data.sound_files import SoundFiles
from recipe.data.table_text import Line, read_cells, read_json
from recipe.data.video_info import INFO_SUFFIX
from recipe.errors import CaptionError, DataError
from recipe.run.warning import DataWarning, Importance

TABLE_EXTENSIONS = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".json"})

MAX_TABLE_BYTES = 2**30
"""A million rows take a tenth of it."""

HEAD_BYTES = 2**20
"""Read of a table for its first rows."""

_COMMON_VOICE = frozenset({"train", "dev", "test"})


@dataclass
class FolderTables:
    """The tables of a folder.

    Attributes:
        tables: Those that were understood.
        problems: A sentence for each of the others, and for what was left alone by its name.
        names: All of their files.
    """

    tables: list[Table] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Place:
    """Where a table is, and with it where its sounds are looked for first."""

    folder: Path
    path: PurePosixPath
    sounds: SoundFiles

    def locate(self, value: object) -> LocalFile:
        """The sound that a cell names."""
        return self.sounds.find(value, self.path.parent)

    def has_sound(self, value: object) -> bool:
        """Whether a cell names a sound that is there."""
        return self.locate(value).path is not None


def read_tables(
    folder: Path, listing: Listing, asked: ColumnNames, max_rows: int | None = None
) -> FolderTables:
    """The tables that lie in a folder or below it.

    Args:
        folder: The folder.
        listing: What it holds.
        asked: The columns that the user named.
        max_rows: Rows to read of each; all if not given.
    """
    sounds = SoundFiles(folder, (e.filename for e in listing.entries if e.file_type == "audio"))
    found = FolderTables()
    texts = [e.filename for e in listing.entries if e.file_type == "transcript"]  # JSON may be captions, too
    names = [name for name in [*listing.ignored, *texts] if not name.lower().endswith(INFO_SUFFIX)]
    for path in _choose_tables(map(PurePosixPath, names), found):
        try:
            table = _read_table(_Place(folder, path, sounds), asked, max_rows)
        except DataError as error:
            found.problems.append(DataWarning(f"{path}: {error}.", Importance.LOST))
            found.names.add(str(path))
        else:
            found.tables += [table] if table else []
            found.names |= {str(path)} if table else set()
    return found


def _choose_tables(paths: Iterable[PurePosixPath], found: FolderTables) -> list[PurePosixPath]:
    """The files to read; those whose name says that they are not for training are named."""
    by_folder: defaultdict[PurePosixPath, list[PurePosixPath]] = defaultdict(list)
    for path in paths:
        if path.suffix.lower() in TABLE_EXTENSIONS:
            by_folder[path.parent].append(path)
    chosen: list[PurePosixPath] = []
    for tables in by_folder.values():
        names = _choose_names({path.stem for path in tables})
        chosen += [path for path in tables if path.stem in names]
        left_alone = [str(path) for path in tables if path.stem not in names and path.suffix != ".json"]
        found.problems += (
            [
                DataWarning(
                    f"Tables left alone by their names: {', '.join(left_alone)}.", Importance.INFORMATION
                )
            ]
            if left_alone
            else []
        )
        found.names |= {*left_alone}
    return sorted(chosen)


def _choose_names(names: set[str]) -> set[str]:
    """Of Common Voice its split, or without it what was validated; never what was rejected or not judged."""
    if names >= _COMMON_VOICE and "validated" in names:
        return {*_COMMON_VOICE}
    if "validated" in names:
        return {"validated"}
    return {name for name in names if not is_unchecked(name)}


def _read_table(place: _Place, asked: ColumnNames, max_rows: int | None) -> Table | None:
    """The rows of a table; None for a JSON file that is none.

    Raises:
        DataError: if it cannot be read, or its columns cannot be found.
    """
    path = place.path
    text, notes = _read_text(place.folder / path, is_head_enough=max_rows is not None)
    if path.suffix.lower() in {".csv", ".tsv"}:
        lines = read_cells(text, lambda cell: names_sound(cell) or place.has_sound(cell), max_rows)
    else:
        lines = read_json(text, max_rows)
    sample = [line.values or line.mended for line in lines]
    try:
        columns = find_columns([values for values in sample if values][:NUM_SAMPLED], asked, place.has_sound)
    except DataError:
        if path.suffix.lower() == ".json":  # a transcript, a program's settings, anything
            return None
        raise
    table = Table(path.as_posix(), num_rows=len(lines), notes=[*notes, columns.describe(path.as_posix())])
    if max_rows is not None:
        table.is_cut = len(lines) + 1 >= max_rows or (place.folder / path).stat().st_size > HEAD_BYTES
    for line in lines:
        try:
            row = read_row(_values_of(line, columns, table), columns, (table.name, line.number), place.locate)
        except RowError as error:
            table.leave_out(line.number, str(error))
        else:
            table.rows.append(row if row.side else replace(row, side=_side_of(path)))
    return table


def _values_of(line: Line, columns: Columns, table: Table) -> Mapping[str, Any]:
    """The values of a row; what is too much in it belongs to its words, if they are in the last column."""
    if not line.problem:
        return line.values
    if line.mended is None or [*line.mended][-1] != columns.text:
        raise RowError(line.problem)
    table.notes.append(f"{table.name}: row {line.number} was repaired: {line.problem}")
    return line.mended


def _read_beginning(path: Path) -> str | None:
    """The beginning of a large table: whole lines, or of a list what may end inside an item.

    None if it must be read to its end to be understood.
    """
    try:
        with path.open("rb") as file:
            data = file.read(HEAD_BYTES + 1)
        if len(data) <= HEAD_BYTES:
            return None
        if data.removeprefix(BOM_UTF8).lstrip().startswith(b"["):
            return data.decode("utf-8-sig", errors="ignore")  # the last letter may be cut
        return data[: data.rfind(b"\n") + 1].decode("utf-8-sig") or None
    except (OSError, UnicodeDecodeError):
        return None


def _read_text(path: Path, *, is_head_enough: bool = False) -> tuple[str, list[str]]:
    """The text of a table, and a note if its encoding had to be guessed.

    Raises:
        DataError: if it cannot be read.
    """
    head = _read_beginning(path) if is_head_enough else None
    if head is not None:
        return head, []
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise DataError(f"it is larger than {MAX_TABLE_BYTES:,} bytes; split it")
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"it cannot be read ({error.strerror})") from error
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        return _guess_text(path, data)


def _guess_text(path: Path, data: bytes) -> tuple[str, list[str]]:
    try:
        decoded = decode_text(data)
    except CaptionError as error:
        raise DataError(str(error)) from error
    return decoded.text, [f"{path.name}: it is not UTF-8; it was read as {decoded.encoding}"]


def _side_of(path: PurePosixPath) -> Side:
    """The side that the name of a table tells, or else that of its folder."""
    return read_side(path.stem) or read_side(path.parent.as_posix())
