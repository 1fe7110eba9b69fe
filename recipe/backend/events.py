"""Progress events: an outbox on disk, and the thread that delivers from it.

Progress is never worth a training run. Whoever has something to tell appends it to the outbox and goes
on; the sender delivers the oldest first, one event at a time, at least once, for as long as the run lasts;
an event that is refused lets later ones pass, and superseded progress may be dropped. A
backend that is slow, down or refusing costs neither time nor result.
"""

import json
import logging
import math
import random
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from recipe.backend.answers import RefusedError, UnavailableError
from recipe.backend.client import BackendClient
from recipe.backend.path_segment import check_segment
from recipe.backend.salvage import SequenceFile, is_damage, newest_attempt, parse_event, read_rows
from recipe.errors import AuthenticationError, BackendError, JobConflictError, MissingFileError
from recipe.run.files import acquire, set_aside
from recipe.run.redaction import Redactor
from recipe.run.stages import TERMINAL_STAGES, Stage

logger = logging.getLogger(__name__)

R = TypeVar("R")

MAX_BACKLOG = 1000
"""Superseded progress beyond this many waiting events is dropped, oldest first."""
MAX_FINAL_BACKLOG = 50
"""The same once the run is over, so that the terminal event gets its turn within the time left."""

POLL_SECONDS = 0.5
"""How often an empty outbox is looked at, since other processes append to it."""
MAX_PAUSE_SECONDS = 30.0
MAX_RETRY_AFTER_SECONDS = 120.0
MIN_FINAL_PAUSE_SECONDS = 0.25
MAX_REFUSED_PAUSE_SECONDS = 600.0
"""Longest time until an event that the backend refused is offered again."""

_REPEATING = frozenset({Stage.TRAINING_PROGRESS, Stage.DOWNLOAD_PROGRESS, Stage.STAGE_PROGRESS})
"""Events of which the next one says all that the last one said; any other is lost if it does not arrive."""

_BULKY_FIELDS = frozenset({"traceback", "system_stats"})
_WAITING, _DELIVERED, _DROPPED = range(3)


def _list_of(*stages: str) -> str:
    return ", ".join(f"'{stage}'" for stage in sorted(stages))


# The indices are partial, so they stay small however long the run; the views let the queries use them.
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS attempts (number INTEGER PRIMARY KEY);
INSERT OR IGNORE INTO attempts VALUES (1);
CREATE TABLE IF NOT EXISTS events (
    sequence INTEGER PRIMARY KEY, attempt INTEGER NOT NULL, status TEXT NOT NULL,
    key TEXT UNIQUE, body TEXT NOT NULL, state INTEGER NOT NULL DEFAULT {_WAITING});

CREATE VIEW IF NOT EXISTS waiting AS SELECT * FROM events WHERE state = {_WAITING};
CREATE INDEX IF NOT EXISTS waiting_events ON events (sequence) WHERE state = {_WAITING};

CREATE VIEW IF NOT EXISTS terminal AS
    SELECT * FROM events WHERE status IN ({_list_of(*TERMINAL_STAGES)});
CREATE INDEX IF NOT EXISTS terminal_events
    ON events (attempt) WHERE status IN ({_list_of(*TERMINAL_STAGES)});

CREATE VIEW IF NOT EXISTS superseded AS
    SELECT * FROM waiting WHERE status IN ({_list_of(*_REPEATING)});
"""  # noqa: S608 - made of constants only


def _now() -> datetime:
    return datetime.now(UTC)


class Outbox:
    """The progress events of one job, in order, on disk; shared by threads and processes, kept across kills.

    No fault of the file is the run's: a damaged one is set aside, and what can be read of it goes on in a new
    one; the end of an attempt that cannot be written waits in memory. Events keep unique ids and a rising
    sequence through all of this.

    Every operation opens the database anew: nothing is shared with a forked process, nothing is left open
    by a killed one, and a write with its sync takes about 0.8 ms on a local disk, every few seconds.

    Args:
        path: The SQLite file; made if missing.
        job_id: The job that all events belong to.
        clock: The time of day, in UTC.
        redactor: Knows the secrets; they are taken out of all that an event tells.
        attempt_id: Known to all processes of one attempt; chosen here if not given.
    """

    def __init__(
        self,
        path: Path,
        job_id: str,
        *,
        clock: Callable[[], datetime] = _now,
        redactor: Redactor | None = None,
        attempt_id: str = "",
    ) -> None:
        self._path = path
        self.job_id = job_id
        self._clock = clock
        self._redactor = redactor or Redactor([])
        self._sequence_file = SequenceFile(path.with_name(f"{path.name}.sequence"))
        self._attempt_id = attempt_id or uuid.uuid4().hex
        self._newest = 0  # sequence number
        self._is_begin_due = False
        self._has_unwritten_end = False
        self._unwritten: list[dict[str, Any]] = []
        # By this process: the file need not say it, if it could not be written or its index is damaged.
        self._settled: set[int] = set()
        try:
            self._do(_current_attempt)
        except sqlite3.Error as error:
            logger.warning("The outbox %s cannot be written now: %s", path, error)

    def begin_attempt(self) -> int:
        """The number of the attempt that begins now: 1, then one more for every resume of the job.

        0 if the outbox cannot be written now; the next event that can is the first of the new attempt.
        """
        self._is_begin_due = True
        try:
            number = self._write(self._begin_if_due)
        except sqlite3.Error as error:
            logger.warning("The attempt could not be noted in the outbox: %s", error)
            return 0
        self._is_begin_due = False
        return number

    def append(
        self, status: str, fields: Mapping[str, object] | None = None, *, key: str | None = None
    ) -> int | None:
        """The event's sequence number, or None if it was not taken; never raises or waits for the network.

        Args:
            status: A member of `Stage`.
            fields: What the event tells; NaN and infinities become null.
            key: Makes the event unique in the job: a resumed run that appends it again is ignored.
        """
        try:
            event = self._build_event(str(status), fields or {})
        except (ValueError, TypeError, RuntimeError) as error:
            logger.warning("The event %s is lost, it cannot be told: %s", status, error)
            return None
        try:
            sequence = self._write(lambda database: self._append(database, event, key))
        except (sqlite3.Error, OSError) as error:
            is_end = status in TERMINAL_STAGES
            fate = "is only sent" if is_end else "is lost"
            logger.warning("The event %s %s, it could not be written: %s", status, fate, error)
            sequence = self._keep_in_memory(event) if is_end else None
        else:
            self._is_begin_due = False
        if sequence is not None:
            self._newest = max(self._newest, sequence)
            self._sequence_file.write(sequence)
        return sequence

    def events(self, after: int = 0) -> list[dict[str, Any]]:
        """All events with a higher sequence number than `after`, in order, delivered or not.

        None are known while the outbox cannot be read.
        """

        def read(database: sqlite3.Connection) -> list[dict[str, Any]]:
            query = "SELECT body FROM events WHERE sequence > ? ORDER BY sequence"
            return [parse_event(body) for (body,) in database.execute(query, [after])]

        try:
            found = self._do(read)
        except sqlite3.Error as error:
            logger.debug("The events cannot be read now: %s", error)
            found = []
        self._newest = max([self._newest, *(event["sequence"] for event in found)])
        return found + [event for event in self._unwritten if event["sequence"] > after]

    def has_told(self, status: Stage) -> bool:
        """Whether an event with this status was ever appended, by any attempt."""
        return any(event["status"] == status for event in self.events())

    def newest_sequence(self) -> int:
        """The highest sequence number that was given so far; 0 before the first."""
        with suppress(sqlite3.Error):
            self._do(self._next_sequence)
        return max(self._newest, self._sequence_file.read())

    def pending(self, limit: int = 100) -> list[dict[str, Any]]:
        """The oldest events that wait for delivery.

        Raises:
            sqlite3.Error: they cannot be read now.
        """

        def read(database: sqlite3.Connection) -> list[dict[str, Any]]:
            rows = database.execute("SELECT body FROM waiting ORDER BY sequence")
            events = (parse_event(body) for (body,) in rows)
            return list(islice((event for event in events if event["sequence"] not in self._settled), limit))

        try:
            found = self._do(read)
        except sqlite3.Error:
            if not self._unwritten:
                raise
            found = []
        return (found + self._unwritten)[:limit]

    def mark_delivered(self, sequence: int) -> None:
        """Note that the backend has this event."""
        self._mark(sequence, _DELIVERED)

    def mark_dropped(self, sequence: int) -> None:
        """Note that the backend will never take this event."""
        self._mark(sequence, _DROPPED)

    def is_delivered(self, sequence: int) -> bool:
        """Whether the backend is known to have this event."""
        query = "SELECT state FROM events WHERE sequence = ?"
        row = self._do(lambda database: database.execute(query, [sequence]).fetchone())
        return row is not None and row[0] == _DELIVERED

    def drop_superseded(self, num_kept: int) -> int:
        """The number of waiting events that are given up so that at most `num_kept` of their kind wait.

        Only frequent progress is: a later event says all that it said. The backend sees gaps in `sequence`.
        """
        query = (
            "UPDATE events SET state = ? WHERE sequence IN "
            "(SELECT sequence FROM superseded ORDER BY sequence DESC LIMIT -1 OFFSET ?)"
        )
        try:
            return self._write(lambda database: database.execute(query, [_DROPPED, num_kept]).rowcount)
        except sqlite3.Error as error:
            logger.debug("No event is dropped now: %s", error)
            return 0

    def _build_event(self, status: str, fields: Mapping[str, object]) -> dict[str, Any]:
        told = self._redactor.redact_values(fields)
        event_id = uuid.uuid4()
        if status == Stage.COMPLETED:
            # Told by whoever finds the result, in later attempts too: the backend has it once.
            result = json.dumps(told.get("final_result"), sort_keys=True)
            event_id = uuid.uuid5(uuid.NAMESPACE_OID, f"{self.job_id}/{result}")
        envelope: dict[str, Any] = {
            "status": status,
            "timestamp": self._clock().isoformat(timespec="milliseconds"),
            "event_id": str(event_id),
            "sequence": 0,
            "job_id": self.job_id,
        }
        return {**envelope, **told, **envelope}  # in front, and not to be overridden

    def _begin_if_due(self, database: sqlite3.Connection) -> int:
        number = _current_attempt(database)
        query = "SELECT max(sequence) FROM events WHERE attempt = ?"
        if self._is_begin_due and database.execute(query, [number]).fetchone()[0]:
            number += 1  # an attempt that has told nothing yet is not over
            database.execute("INSERT INTO attempts VALUES (?)", [number])
        return number

    def _append(self, database: sqlite3.Connection, event: dict[str, Any], key: str | None) -> int | None:
        if key is not None and database.execute("SELECT 1 FROM events WHERE key = ?", [key]).fetchone():
            return None
        attempt, status = self._begin_if_due(database), event["status"]
        ended = database.execute("SELECT status FROM terminal WHERE attempt = ?", [attempt]).fetchone()
        if ended:
            logger.warning("The event %s is ignored: the attempt has already ended as %s", status, ended[0])
            return None
        event["sequence"] = sequence = self._next_sequence(database)
        database.execute(
            "INSERT INTO events (sequence, attempt, status, key, body) VALUES (?, ?, ?, ?, ?)",
            [sequence, attempt, status, key, json.dumps(event, allow_nan=False)],
        )
        return sequence

    def _next_sequence(self, database: sqlite3.Connection) -> int:
        """One more than any that was given, also by an outbox that is lost or could not be written."""
        (last,) = database.execute("SELECT coalesce(max(sequence), 0) FROM events").fetchone()
        self._newest = max(int(last), self._newest, self._sequence_file.read())
        if not self._newest and self._sequence_file.is_damaged():
            # Seconds are more than any count of events comes to.
            self._newest = int(self._clock().timestamp())
        return self._newest + 1

    def _keep_in_memory(self, event: dict[str, Any]) -> int | None:
        """The sequence number of an attempt's end that waits for this process's sender; None but once.

        Another process that tells the same end of the attempt gives it the same id: the backend has it once.
        """
        if self._has_unwritten_end:
            return None
        self._has_unwritten_end = True
        event["sequence"] = sequence = self.newest_sequence() + 1
        if event["status"] != Stage.COMPLETED:  # which has the id of its result already
            end = f"{self.job_id}/{self._attempt_id}/{event['status']}"
            event["event_id"] = str(uuid.uuid5(uuid.NAMESPACE_OID, end))
        self._unwritten.append(event)
        return sequence

    def _mark(self, sequence: int, state: int) -> None:
        self._settled.add(sequence)
        kept = [event for event in self._unwritten if event["sequence"] != sequence]
        if len(kept) < len(self._unwritten):
            self._unwritten = kept
            return
        query = "UPDATE events SET state = ? WHERE sequence = ?"
        try:
            self._write(lambda database: database.execute(query, [state, sequence]).rowcount)
        except sqlite3.Error as error:
            logger.debug("Only this process knows what became of event %s: %s", sequence, error)

    def _write(self, operation: Callable[[sqlite3.Connection], R]) -> R:
        """The value of an operation that writes; all of it is on disk or nothing."""

        def write(database: sqlite3.Connection) -> R:
            database.execute("BEGIN IMMEDIATE")  # a deferred one could fail halfway, when two writers meet
            value = operation(database)
            database.execute("COMMIT")
            return value

        return self._do(write)

    def _do(self, operation: Callable[[sqlite3.Connection], R]) -> R:
        """The value of an operation; a damaged outbox is mended first.

        Raises:
            sqlite3.Error: the outbox cannot be had now: it is locked, or the disk is full.
        """
        seen = _identify(self._path)
        try:
            with self._connection() as database:
                return operation(database)
        except sqlite3.Error as error:
            if not is_damage(error) and not self._path.is_dir():
                raise
            self._mend(seen, error)
        with self._connection() as database:
            return operation(database)

    def _mend(self, seen: int | None, error: sqlite3.Error) -> None:
        """Set the damaged outbox aside, and go on with what can be read of it."""
        lock_path = self._path.with_name(f"{self._path.name}.lock")
        with suppress(OSError, JobConflictError), lock_path.open("a") as lock:
            acquire(lock, "the outbox is being mended", wait_seconds=10.0)
            if _identify(self._path) != seen:
                return  # another process was faster
            rows = [] if self._path.is_dir() else read_rows(self._path)
            if not rows and not self._sequence_file.path.exists():
                self._sequence_file.path.touch()  # there were events, though nobody knows how many
            # SQLite would play a left-over journal back into whatever bears its name. It goes first: once the
            # outbox is aside, another process may make the new one, whose journal that then is.
            journal = self._path.with_name(f"{self._path.name}-journal")
            if journal.exists():
                set_aside(journal, "it belongs to a damaged outbox")
            set_aside(self._path, f"{error}; {len(rows)} events could be read")
            with self._connection() as database:
                database.execute("BEGIN IMMEDIATE")
                database.execute("INSERT OR IGNORE INTO attempts VALUES (?)", [newest_attempt(rows)])
                database.executemany(
                    "INSERT OR IGNORE INTO events (sequence, attempt, status, key, body, state) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    rows,
                )
                database.execute("COMMIT")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """The database, with its tables.

        Raises:
            sqlite3.Error: it cannot be had, or is damaged.
        """
        try:
            with self._open() as database:
                yield database
        except UnicodeDecodeError as error:  # SQLite quotes a damaged schema, whose bytes need be no text
            raise sqlite3.DatabaseError("its schema is damaged") from error

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=5.0, isolation_level=None)) as database:
            # Not WAL: it needs memory shared between processes, which network volumes do not have.
            # TRUNCATE with NORMAL syncs journal and database at every commit: 0.75 ms against 0.95 (FULL)
            # and 0.2 (WAL) on ext4.
            database.execute("PRAGMA journal_mode = TRUNCATE")
            database.execute("PRAGMA synchronous = NORMAL")
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'superseded'").fetchone():
                database.executescript(_SCHEMA)
            yield database


def _identify(path: Path) -> int | None:
    """What tells a file from another one that took its place."""
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _current_attempt(database: sqlite3.Connection) -> int:
    return int(database.execute("SELECT coalesce(max(number), 1) FROM attempts").fetchone()[0])


class EventSender:
    """Delivers the outbox in a background thread; one sender per outbox.

    Only the backend's word that it wants no more of this job ends the delivery (401, 403, 404, 409, 410).
    While it cannot take any event (no connection, 3xx, 5xx) all wait, in order. An event that it refuses for
    itself (400, say) lets the others go first and is offered again, later and by the next attempt too.

    Args:
        outbox: Where the events wait; other processes may append to it meanwhile.
        client: The backend.
        clock: Monotonic seconds.
        sleep: Waits for some seconds; used once `stop` has been called.

    Raises:
        JobError: The outbox's job id cannot be part of an address.
    """

    def __init__(
        self,
        outbox: Outbox,
        client: BackendClient,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        check_segment(outbox.job_id, "job_id")
        self._outbox = outbox
        self._client = client
        self._clock = clock
        self._sleep = sleep
        self._stopping = threading.Event()
        self._deadline = math.inf
        self._num_failures = 0
        self._refused: set[int] = set()
        self._num_refusals = 0
        self._retry_refused_at = 0.0
        self._is_given_up = False
        self._thread = threading.Thread(target=self._run, name="event-sender", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def stop(self, flush_seconds: float) -> bool:
        """Whether no event waits any more, after up to `flush_seconds` spent on delivering the last ones.

        What still waits stays in the outbox, for the next attempt of the job.
        """
        self._deadline = self._clock() + flush_seconds
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(flush_seconds)
        try:
            return not self._outbox.pending(limit=1)
        except sqlite3.Error:
            return False

    def _run(self) -> None:
        while not self._is_given_up:
            # Asked before the look at the outbox: what was appended before `stop` is then still seen.
            is_stopping = self._stopping.is_set()
            if is_stopping and self._clock() >= self._deadline:
                return
            pause = self._deliver_next()
            if pause is None and is_stopping:
                return
            self._pause(POLL_SECONDS if pause is None else pause)

    def _pause(self, seconds: float) -> None:
        if not self._stopping.is_set():
            self._stopping.wait(seconds)
        elif seconds > 0:
            # The last event is worth several tries, whatever pause seemed right for a run of hours.
            remaining = self._deadline - self._clock()
            self._sleep(min(seconds, max(remaining / 2, MIN_FINAL_PAUSE_SECONDS)))

    def _deliver_next(self) -> float | None:
        """The seconds to wait before the next call, or None if no event waits."""
        try:
            event = self._find_next()
            if event is None:
                return self._turn_to_refused()
            self._outbox.drop_superseded(MAX_FINAL_BACKLOG if self._stopping.is_set() else MAX_BACKLOG)
            # The oldest may just have been dropped; sending it once more does no harm.
            self._deliver(event)
        except (AuthenticationError, MissingFileError) as error:
            self._give_up(error)
            return 0.0
        except (BackendError, sqlite3.Error) as error:
            return self._choose_pause(error)
        if self._num_failures:
            logger.info("Progress is delivered again, after %s failures", self._num_failures)
        self._num_failures = 0
        return 0.0

    def _find_next(self) -> Mapping[str, Any] | None:
        """The oldest event that waits, but for those that were refused a short time ago."""
        if self._clock() >= self._retry_refused_at:
            self._refused.clear()
        waiting = self._outbox.pending(limit=len(self._refused) + 1)
        return next((event for event in waiting if event["sequence"] not in self._refused), None)

    def _turn_to_refused(self) -> float | None:
        """The seconds until refused events are offered again, if the end cannot wait for their time."""
        if not self._refused or not self._stopping.is_set():
            return None
        self._refused.clear()
        return _backoff(self._num_refusals, MAX_PAUSE_SECONDS)

    def _deliver(self, event: Mapping[str, Any]) -> None:
        try:
            try:
                self._client.post_progress(self._outbox.job_id, event)
            except RefusedError as error:
                if error.status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                    raise
                self._client.post_progress(self._outbox.job_id, shrink_event(event))
        except RefusedError as error:
            if error.status == HTTPStatus.CONFLICT:
                self._give_up(error)
            elif not 400 <= error.status < 500:
                raise  # of the backend as a whole, such as a redirect to a page about maintenance
            elif event["status"] in _REPEATING:
                logger.warning("The event %s (%s) is given up: %s", event["sequence"], event["status"], error)
                self._outbox.mark_dropped(event["sequence"])
            else:
                self._let_wait(event, error)
        else:
            self._outbox.mark_delivered(event["sequence"])

    def _let_wait(self, event: Mapping[str, Any], error: BackendError) -> None:
        """Offer a refused event later: it must not be lost, nor hold up all that come after it."""
        if not self._refused:
            self._num_refusals += 1
            pause = _backoff(self._num_refusals, MAX_REFUSED_PAUSE_SECONDS)
            self._retry_refused_at = self._clock() + pause
        self._refused.add(event["sequence"])
        level = logging.WARNING if self._num_refusals == 1 else logging.DEBUG
        logger.log(level, "The event %s (%s) waits: %s", event["sequence"], event["status"], error)

    def _give_up(self, error: BackendError) -> None:
        logger.warning("No more progress is sent, the run goes on without: %s", error)
        self._is_given_up = True

    def _choose_pause(self, error: Exception) -> float:
        self._num_failures += 1
        level = logging.WARNING if self._num_failures == 1 else logging.DEBUG
        logger.log(level, "Progress waits for a later try: %s", error)
        if isinstance(error, UnavailableError) and error.retry_after_seconds is not None:
            return min(error.retry_after_seconds, MAX_RETRY_AFTER_SECONDS) + random.random()  # noqa: S311 - jitter
        return _backoff(self._num_failures, MAX_PAUSE_SECONDS)


def _backoff(num_failures: int, max_seconds: float) -> float:
    """A random pause, longer with every failure in a row."""
    ceiling = min(max_seconds, 2.0 ** min(num_failures - 1, 10))
    return random.uniform(0.0, ceiling)  # noqa: S311 - jitter


def shrink_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """The event with its bulk removed: no traceback and statistics, short texts, the end of long lists."""
    slim = {name: _shrink(value) for name, value in event.items() if name not in _BULKY_FIELDS}
    return slim | {"is_shortened": True}


def _shrink(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= 300 else value[:300] + "…"
    if isinstance(value, list):
        return [_shrink(item) for item in value[-20:]]
    if isinstance(value, dict):
        return {name: _shrink(item) for name, item in value.items()}
    return value
