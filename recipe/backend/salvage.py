"""A damaged outbox: what can still be read of it, and the number that its sequence goes on from.

The number of the newest event lies in a file of its own beside the outbox. It has a fixed width and is
written in place, which a full disk allows too.
"""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from recipe.run.files import clear_folder

_WIDTH = 20
_MAX_SEQUENCE = 2**53
"""What a browser counts exactly."""
_SELECT = "SELECT sequence, attempt, status, key, body, state FROM events ORDER BY sequence"

Row = tuple[int, int, str, str | None, str, int]
"""Sequence, attempt, status, key, body and state of one event."""

_DAMAGE = frozenset({sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
"""Codes of an outbox that is torn, no database, or one of another form."""


class DamagedEventError(sqlite3.DatabaseError):
    """The body of an event is not what was written."""


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an operation failed because of what is in the file, and not for want of a lock or of room."""
    if not isinstance(error, sqlite3.DatabaseError):
        return False
    code = getattr(error, "sqlite_errorcode", None)  # None: Python itself could not decode a text
    return code is None or code & 0xFF in _DAMAGE or not isinstance(error, sqlite3.OperationalError)


def parse_event(body: object) -> dict[str, Any]:
    """The event of a row's body.

    Raises:
        DamagedEventError: it is not one.
    """
    try:
        event = json.loads(body) if isinstance(body, str | bytes) else None
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict) or not {"sequence", "status", "event_id"} <= event.keys():
        raise DamagedEventError("an event is not what was written")
    return event


def read_rows(path: Path) -> list[Row]:
    """The rows that a damaged outbox still gives, in their order: from its beginning, and from its end."""
    rows: dict[int, Row] = {}
    for order in ("", " DESC"):
        with (
            suppress(sqlite3.Error, UnicodeDecodeError, OSError),
            closing(sqlite3.connect(path, timeout=5.0)) as database,
        ):
            database.text_factory = bytes
            for row in _sound_rows(database, _SELECT + order):
                rows[row[0]] = row
    return [rows[sequence] for sequence in sorted(rows)]


def _sound_rows(database: sqlite3.Connection, query: str) -> Iterator[Row]:
    for sequence, attempt, status, key, body, state in database.execute(query):
        with suppress(sqlite3.DatabaseError, ValueError, AttributeError):
            event = parse_event(body.decode())
            is_sound = event["sequence"] == sequence and event["status"] == status.decode()
            if is_sound and isinstance(attempt, int) and state in range(3):
                yield sequence, attempt, event["status"], key and key.decode(), body.decode(), state


class SequenceFile:
    """The number of the newest event, beside the outbox.

    Args:
        path: Of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> int:
        """The number; 0 if it is not known."""
        try:
            number = int(self.path.read_bytes()[:_WIDTH])
        except (OSError, ValueError):
            return 0
        return number if 0 < number < _MAX_SEQUENCE else 0

    def is_damaged(self) -> bool:
        """Whether there was a number, which is lost."""
        return self.path.exists() and not self.read()

    def write(self, number: int) -> None:
        """Note a number, unless a higher one is there; best effort, since the outbox knows it too."""
        if number <= self.read():
            return
        with suppress(OSError):
            clear_folder(self.path)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(b"%*d\n" % (_WIDTH, number))


def newest_attempt(rows: list[Row]) -> int:
    """The newest attempt that rows tell of; 1 if there are none."""
    return max((attempt for _, attempt, *_ in rows), default=1)
