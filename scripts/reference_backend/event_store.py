"""Progress events on disk: each one once, in order."""

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from scripts.reference_backend.progress_event import ProgressEvent, parse_event

MAX_JOBS_LISTED = 200

# An event of the old worker has no sequence: its place is that of its arrival. Its event_id is NULL, and
# SQL takes NULLs as distinct, so it is always stored.
SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    job_id TEXT NOT NULL,
    arrival INTEGER NOT NULL,
    place INTEGER NOT NULL,
    event_id TEXT,
    status TEXT NOT NULL,
    received_ms INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (job_id, arrival),
    UNIQUE (job_id, event_id)
);
CREATE INDEX IF NOT EXISTS events_in_place ON events (job_id, place, arrival);
"""

INSERT = """
INSERT INTO events
SELECT :job_id, next_arrival, COALESCE(:sequence, next_arrival), :event_id, :status, :received_ms, :body
FROM (SELECT COALESCE(MAX(arrival), 0) + 1 AS next_arrival FROM events WHERE job_id = :job_id)
WHERE true
ON CONFLICT (job_id, event_id) DO NOTHING
"""

SELECT_AFTER = "SELECT status, body FROM events WHERE job_id = ? AND arrival > ? ORDER BY place, arrival"

SELECT_JOBS = """
SELECT job_id, MAX(arrival) AS num_events, MAX(received_ms) AS received_ms,
    (SELECT body FROM events WHERE job_id = job.job_id ORDER BY place, arrival LIMIT 1) AS first,
    (SELECT body FROM events WHERE job_id = job.job_id AND status = 'initializing'
     ORDER BY place DESC, arrival DESC LIMIT 1) AS opening,
    (SELECT body FROM events WHERE job_id = job.job_id
     AND status IN ('epoch_started', 'epoch_completed', 'training_progress', 'stage_progress')
     ORDER BY place DESC, arrival DESC LIMIT 1) AS progress,
    (SELECT body FROM events WHERE job_id = job.job_id ORDER BY place DESC, arrival DESC LIMIT 1) AS latest,
    (SELECT status FROM events WHERE job_id = job.job_id ORDER BY place DESC, arrival DESC LIMIT 1) AS status
FROM events AS job GROUP BY job_id ORDER BY MAX(received_ms) DESC LIMIT ?
"""


class EventStore:
    """The progress events of all jobs, in one SQLite file that several threads may use.

    Args:
        path: The file; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._connect() as connection:
            connection.executescript(SCHEMA)

    def add(self, job_id: str, event: ProgressEvent) -> bool:
        """Store the event; False where the job has its `event_id` already, and nothing is stored."""
        row = {
            "job_id": job_id,
            "sequence": event.sequence,
            "event_id": event.event_id,
            "status": event.status,
            "received_ms": time.time_ns() // 1_000_000,
            "body": json.dumps(event.model_dump(exclude_unset=True)),
        }
        with self._connect() as connection:
            return connection.execute(INSERT, row).rowcount == 1

    def read(self, job_id: str, num_known: int = 0) -> list[dict[str, Any]]:
        """A job's events as sent, in sequence, without the first `num_known` that arrived."""
        with self._connect() as connection:
            rows = connection.execute(SELECT_AFTER, (job_id, num_known)).fetchall()
        return [load_body(row["body"], row["status"]) for row in rows]

    def list_jobs(self) -> list[dict[str, Any]]:
        """What a list of jobs shows of each, the one with the latest event first."""
        with self._connect() as connection:
            return [summarize(row) for row in connection.execute(SELECT_JOBS, (MAX_JOBS_LISTED,))]

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        # One connection a call: opening costs less than the disk's flush, and threads share nothing.
        with closing(sqlite3.connect(self._path, timeout=10.0)) as connection, connection:
            connection.row_factory = sqlite3.Row
            connection.text_factory = lambda data: data.decode(errors="replace")
            yield connection


def summarize(row: sqlite3.Row) -> dict[str, Any]:
    """A job's summary: its newest status and its age, and what earlier events say of model and progress."""
    latest = load_body(row["latest"], row["status"])
    return {
        "job_id": row["job_id"],
        "num_events": row["num_events"],
        "status": latest["status"],
        "timestamp": latest["timestamp"],
        "stage": latest.get("stage"),
        "first_timestamp": load_body(row["first"])["timestamp"],
        "silent_seconds": max(0.0, time.time() - row["received_ms"] / 1000),
        "base_model": load_body(row["opening"] or "{}").get("base_model"),
        "progress_percent": percent_of(load_body(row["progress"] or "{}")),
    }


def percent_of(progress: Mapping[str, Any]) -> float | None:
    """How far training or another stage is; None if the event does not tell."""
    match progress:
        case {"num_done": int(num_done), "num_total": int(num_total)} if num_total > 0:
            return 100 * num_done / num_total
    return progress.get("progress_percent")


def load_body(body: str, status: str = "") -> dict[str, Any]:
    """The event as it was sent; its status alone where what is stored cannot be given back."""
    try:
        return parse_event(body.encode()).model_dump(exclude_unset=True)
    except ValueError as error:
        return {"status": status, "timestamp": "1970-01-01T00:00:00+00:00", "error": f"Damaged: {error}"}
