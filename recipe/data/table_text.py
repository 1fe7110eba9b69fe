"""The rows of a table as its text has them: cells between delimiters, or JSON, an object a line.

A row that cannot be read costs itself only: a quote that is left open does not take the rows below with it.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

from recipe.captions.webvtt import split_lines

MAX_ROW_LINES = 20
"""Lines of a quoted cell; a quote that stays open for longer is a slip."""

NUM_JUDGED = 20
"""Lines by which the delimiter is chosen."""

_DELIMITERS = ("\t", "|", ";", ",")
_UNQUOTED = frozenset("\t|")
"""Between these quotes are letters: Common Voice and LJSpeech write them so."""

_NO_SPACE = re.compile(r"\S")

_TEXTS = frozenset({"text", "sentence", "transcript", "transcription", "sentences", "segments"})


class Line(NamedTuple):
    """One row.

    Attributes:
        number: Line of the file at which it begins, from 1.
        values: By column; empty if it cannot be read.
        problem: Why it cannot, or "".
        mended: The values if all that is too much belongs to the last column; None if that cannot be.
    """

    number: int
    values: Mapping[str, Any]
    problem: str = ""
    mended: Mapping[str, Any] | None = None


class _Cells(NamedTuple):
    number: int
    cells: list[str]
    raw: str
    problem: str = ""


def read_cells(text: str, is_sound: Callable[[str], bool], max_rows: int | None = None) -> list[Line]:
    """The rows of a CSV or TSV file, at most `max_rows` of them.

    The first row is the header, unless one of its cells is a sound: then the columns are "column 1" and on.
    """
    lines = split_lines(text)
    delimiter = _choose_delimiter([line for line in lines if line.strip()][:NUM_JUDGED])
    rows = list(islice(_split_rows(lines, delimiter), max_rows))
    if not rows:
        return []
    has_header = not any(map(is_sound, rows[0].cells))
    num_columns = Counter(len(row.cells) for row in rows[:NUM_JUDGED]).most_common(1)[0][0]
    header = rows[0].cells if has_header else [""] * num_columns
    names = [name.strip() or f"column {number}" for number, name in enumerate(header, start=1)]
    return [_make_line(row, names, delimiter) for row in rows[has_header:]]


def _choose_delimiter(lines: Sequence[str]) -> str:
    """What parts most lines into as many cells as the first one, which it parts."""

    def num_alike(delimiter: str) -> int:
        counts = [len(_split_row(line, delimiter).cells) for line in lines]
        return sum(count == counts[0] for count in counts) if counts and counts[0] > 1 else 0

    return max(_DELIMITERS, key=num_alike)


def _split_rows(lines: Sequence[str], delimiter: str) -> Iterator[_Cells]:
    index, num_columns = 0, 0
    while index < len(lines):
        row, num_lines = _split_row(lines[index], delimiter, index + 1), 1
        if row.problem:
            row, num_lines = _join_lines(lines[index : index + MAX_ROW_LINES], delimiter, row, num_columns)
        if any(cell.strip() for cell in row.cells):
            num_columns = num_columns or len(row.cells)
            yield row
        index += num_lines


def _split_row(line: str, delimiter: str, number: int = 0) -> _Cells:
    """The cells of a row on one line; where its quotes are wrong, as if they were letters."""
    if delimiter in _UNQUOTED:
        return _Cells(number, [_unquote(cell) for cell in line.split(delimiter)], line)
    try:
        return _Cells(number, next(csv.reader([line], delimiter=delimiter, strict=True), []), line)
    except csv.Error:
        return _Cells(number, line.split(delimiter), line, "its quotes do not match")


def _unquote(cell: str) -> str:
    """The cell without quotes that a program put around it, inside of which it doubles them."""
    inner = cell[1:-1]
    if len(cell) > 1 and cell[0] == cell[-1] == '"' and '""' in inner and '"' not in inner.replace('""', ""):
        return inner.replace('""', '"')
    return cell


def _join_lines(lines: Sequence[str], delimiter: str, row: _Cells, num_columns: int) -> tuple[_Cells, int]:
    """The row over as many lines as close its quote, and their number; the row itself if none do."""
    for num_lines in range(2, len(lines) + 1):
        reader = csv.reader([f"{line}\n" for line in lines[:num_lines]], delimiter=delimiter, strict=True)
        try:
            cells = next(reader)
        except csv.Error:
            continue
        if reader.line_num == num_lines and len(cells) == (num_columns or len(cells)):
            return _Cells(row.number, cells, "\n".join(lines[:num_lines])), num_lines
    return row, 1


def _make_line(row: _Cells, names: Sequence[str], delimiter: str) -> Line:
    cells = row.cells
    while len(cells) > len(names) and not cells[-1].strip():
        cells = cells[:-1]
    if not row.problem and len(cells) <= len(names):
        return Line(row.number, dict(zip(names, cells, strict=False)))
    problem = row.problem or f"it has {len(cells)} cells, expected {len(names)}"
    parts = row.raw.split(delimiter, len(names) - 1)
    can_mend = len(parts) == len(names) and row.raw.count('"') % 2 == 0 and delimiter not in _UNQUOTED
    mended = dict(zip(names, parts, strict=True)) if can_mend else None
    return Line(row.number, {}, f"{problem}; put a text with {delimiter!r} or quotes in it in quotes", mended)


def read_json(text: str, max_rows: int | None = None) -> list[Line]:
    """The rows of a file with a JSON object a line, or with one list of them; none if it is neither.

    At most `max_rows` of them are read.
    """
    if text.lstrip().startswith("["):
        return [
            line
            for number, item in enumerate(
                islice(_read_list(text, is_whole=max_rows is None), max_rows), start=1
            )
            for line in _make_lines(number, item)
        ]
    lines = [(number, line) for number, line in enumerate(split_lines(text), start=1) if line.strip()]
    return [made for number, line in lines[:max_rows] for made in _parse_line(number, line)]


def _read_list(text: str, *, is_whole: bool) -> Iterator[Any]:
    """The items of a JSON list; of one that may end anywhere those that are whole."""
    if is_whole:
        with suppress(ValueError, RecursionError):
            yield from json.loads(text)
        return
    decoder, rest = json.JSONDecoder(), text.lstrip()
    position = 1
    with suppress(ValueError, RecursionError, StopIteration):
        while True:
            start = next(_NO_SPACE.finditer(rest, position)).start()
            item, end = decoder.raw_decode(rest, start)
            yield item
            position = rest.index(",", end) + 1


def _parse_line(number: int, line: str) -> Iterable[Line]:
    try:
        return _make_lines(number, json.loads(line))
    except (ValueError, RecursionError):
        return [Line(number, {}, "it is not JSON")]


def _make_lines(number: int, item: object) -> Iterable[Line]:
    """The row of an object; if it has a list of timed sentences, one for each of them."""
    if not isinstance(item, dict):
        return [Line(number, {}, "it is no JSON object")]
    timed = item.get("sentences") or item.get("segments")
    if not isinstance(timed, list) or not all(isinstance(part, dict) and "start" in part for part in timed):
        return [Line(number, item)]
    shared = {name: value for name, value in item.items() if name not in _TEXTS | {"duration"}}
    return [Line(number, {**shared, **part}) for part in timed]
