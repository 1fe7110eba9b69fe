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
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from recipe.backend.answers import RefusedError, UnavailableError
from recipe.backend.client import BackendClient
from recipe.backend.path_segment import check_segment
from recipe.errors import AuthenticationError, BackendError, MissingFileError
from recipe.run.redaction import Redactor
from recipe.run.stages import TERMINAL_STAGES, Stage

logger = logging.getLogger(__name__)

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

_REPEATING = frozenset({Stage.TRAINING_PROGRESS, Stage.DOWNLOAD_PROGRESS})
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

    Every operation opens the database anew: nothing is shared with a forked process, nothing is left open
    by a killed one, and a write with its sync takes about 0.8 ms on a local disk, every few seconds.

    Args:
        path: The SQLite file; made if missing.
        job_id: The job that all events belong to.
        clock: The time of day, in UTC.
        redactor: Knows the secrets; they are taken out of all that an event tells.
    """

    def __init__(
        self,
        path: Path,
        job_id: str,
        *,
        clock: Callable[[], datetime] = _now,
        redactor: Redactor | None = None,
    ) -> None:
        self._path = path
        self.job_id = job_id
        self._clock = clock
        self._redactor = redactor or Redactor([])
        try:
            self._create()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise  # no such folder, no permission: the run cannot work there at all
            damaged = path.with_name(path.name + ".damaged")
            logger.warning("%s is damaged (%s): set aside as %s", path, error, damaged.name)
            path.replace(damaged)
            # SQLite would play a left-over journal back into whatever bears its name.
            path.with_name(path.name + "-journal").unlink(missing_ok=True)
            self._create()

    def begin_attempt(self) -> int:
        """The number of the attempt that begins now: 1, then one more for every resume of the job."""
        with self._transaction() as database:
            number = _current_attempt(database)
            if database.execute("SELECT max(sequence) FROM events WHERE attempt = ?", [number]).fetchone()[0]:
                number += 1  # an attempt that has told nothing yet is not over
                database.execute("INSERT INTO attempts VALUES (?)", [number])
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
            with self._transaction() as database:
                return self._append(database, str(status), fields or {}, key)
        except (sqlite3.Error, OSError, ValueError, TypeError, RuntimeError) as error:
            logger.warning("The event %s is lost, it could not be written: %s", status, error)
            return None

    def events(self, after: int = 0) -> list[dict[str, Any]]:
        """All events with a higher sequence number than `after`, in order, delivered or not."""
        with self._connection() as database:
            rows = database.execute(
                "SELECT body FROM events WHERE sequence > ? ORDER BY sequence", [after]
            ).fetchall()
        return [json.loads(body) for (body,) in rows]

    def pending(self, limit: int = 100) -> list[dict[str, Any]]:
        """The oldest events that wait for delivery."""
        with self._connection() as database:
            rows = database.execute("SELECT body FROM waiting ORDER BY sequence LIMIT ?", [limit]).fetchall()
        return [json.loads(body) for (body,) in rows]

    def mark_delivered(self, sequence: int) -> None:
        """Note that the backend has this event."""
        self._mark(sequence, _DELIVERED)

    def mark_dropped(self, sequence: int) -> None:
        """Note that the backend will never take this event."""
        self._mark(sequence, _DROPPED)

    def is_delivered(self, sequence: int) -> bool:
        """Whether the backend is known to have this event."""
        with self._connection() as database:
            row = database.execute("SELECT state FROM events WHERE sequence = ?", [sequence]).fetchone()
        return row is not None and row[0] == _DELIVERED

    def drop_superseded(self, num_kept: int) -> int:
        """The number of waiting events that are given up so that at most `num_kept` of their kind wait.

        Only frequent progress is: a later event says all that it said. The backend sees gaps in `sequence`.
        """
        with self._transaction() as database:
            return database.execute(
                "UPDATE events SET state = ? WHERE sequence IN "
                "(SELECT sequence FROM superseded ORDER BY sequence DESC LIMIT -1 OFFSET ?)",
                [_DROPPED, num_kept],
            ).rowcount

    def _append(
        self, database: sqlite3.Connection, status: str, fields: Mapping[str, object], key: str | None
    ) -> int | None:
        if key is not None and database.execute("SELECT 1 FROM events WHERE key = ?", [key]).fetchone():
            return None
        attempt = _current_attempt(database)
        ended = database.execute("SELECT status FROM terminal WHERE attempt = ?", [attempt]).fetchone()
        if ended:
            logger.warning("The event %s is ignored: the attempt has already ended as %s", status, ended[0])
            return None
        (last,) = database.execute("SELECT coalesce(max(sequence), 0) FROM events").fetchone()
        envelope = {
            "status": status,
            "timestamp": self._clock().isoformat(timespec="milliseconds"),
            "event_id": str(uuid.uuid4()),
            "sequence": last + 1,
            "job_id": self.job_id,
        }
        told = self._redactor.redact_values(fields)
        event = envelope | told | envelope  # in front, and not to be overridden
        database.execute(
            "INSERT INTO events (sequence, attempt, status, key, body) VALUES (?, ?, ?, ?, ?)",
            [last + 1, attempt, status, key, json.dumps(event, allow_nan=False)],
        )
        return int(last) + 1

    def _mark(self, sequence: int, state: int) -> None:
        with self._transaction() as database:
            database.execute("UPDATE events SET state = ? WHERE sequence = ?", [state, sequence])

    def _create(self) -> None:
        with self._connection() as database:
            database.executescript(_SCHEMA)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=5.0, isolation_level=None)) as database:
            # Not WAL: it needs memory shared between processes, which network volumes do not have.
            # TRUNCATE with NORMAL syncs journal and database at every commit: 0.75 ms against 0.95 (FULL)
            # and 0.2 (WAL) on ext4.
            database.execute("PRAGMA journal_mode = TRUNCATE")
            database.execute("PRAGMA synchronous = NORMAL")
            yield database

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._connection() as database:
            database.execute("BEGIN IMMEDIATE")  # a deferred one could fail halfway, when two writers meet
            yield database
            database.execute("COMMIT")


def _current_attempt(database: sqlite3.Connection) -> int:
    return int(database.execute("SELECT max(number) FROM attempts").fetchone()[0])


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
