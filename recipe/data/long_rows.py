"""Rows that hold more than a window: a whole file of some minutes with all of its words.

Such a row is what a recording with a plain text beside it is: the base model finds when its sentences are
said.
"""

from collections.abc import Iterable

from recipe.audio.decoding import read_claimed_ms
from recipe.data.processes import SpareProcess
from recipe.data.rows import BYTES_PER_SECOND, Row
from recipe.data.windows import WINDOW_MS

HEADER_CPU_SECONDS = 10.0
"""What the header of a file may take of a processor: some milliseconds are usual."""


def find_long_rows(rows: Iterable[Row]) -> frozenset[tuple[str, int]]:
    """Table and number of each row that is a file of more than a window, from its beginning.

    Where no column tells the length, the file's header does. It is not looked at where the words would not
    fill half a window at the usual speed: for so little the look at a hundred thousand files takes too long.
    """
    whole = [row for row in rows if row.start_ms == 0]
    long = {(row.table, row.number) for row in whole if row.length_ms > WINDOW_MS}
    least_bytes = BYTES_PER_SECOND * WINDOW_MS / 2000
    untold = [row for row in whole if not row.length_ms and len(row.text.encode()) >= least_bytes]
    if untold:
        with SpareProcess(HEADER_CPU_SECONDS) as process:
            long |= {(row.table, row.number) for row in untold if _measure_ms(row, process) > WINDOW_MS}
    return frozenset(long)


def _measure_ms(row: Row, process: SpareProcess) -> int:
    assert row.audio.path
    return process.call(read_claimed_ms, row.audio.path) or 0
