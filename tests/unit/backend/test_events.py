import json
import logging
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import Mock

import httpx
import numpy as np
import pytest
from damages import DAMAGES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recipe.backend.client import BackendClient
from recipe.backend.events import MAX_FINAL_BACKLOG, EventSender, Outbox, shrink_event
from recipe.errors import JobError
from recipe.run.redaction import Redactor
from recipe.run.stages import Stage

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def outbox(tmp_path):
    return Outbox(tmp_path / "events.sqlite", "job-1", clock=lambda: NOON)


def sequences(events):
    return [event["sequence"] for event in events]


# The outbox


def test_an_event_carries_its_envelope_in_front_and_its_fields_behind(outbox):
    assert outbox.append(Stage.DATASET_READY, {"train_samples": 9, "sequence": 77, "status": "x"}) == 1
    (event,) = outbox.events()
    assert list(event)[:5] == ["status", "timestamp", "event_id", "sequence", "job_id"]
    assert event | {"event_id": ""} == {
        "status": "dataset_ready",
        "timestamp": "2026-03-03T12:00:00.000+00:00",
        "event_id": "",
        "sequence": 1,
        "job_id": "job-1",
        "train_samples": 9,
    }
    assert len(event["event_id"]) == 36


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None),
        (float("-inf"), None),
        (np.float32("inf"), None),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (True, True),
        (10**30, 10**30),
        ({"loss": [1.0, float("nan")]}, {"loss": [1.0, None]}),
        ({1: (2, 3)}, {"1": [2, 3]}),
        (Path("/runs/x"), "/runs/x"),
        (Stage.FAILED, "failed"),
        ("half a \ud83d smile", "half a ? smile"),
        (None, None),
    ],
    ids=repr,
)
def test_any_value_becomes_one_that_json_has(outbox, value, expected):
    outbox.append("training_progress", {"value": value})
    (event,) = outbox.events()
    assert event["value"] == expected
    assert type(event["value"]) is type(expected)
    json.dumps(event, allow_nan=False).encode()


def test_secrets_are_removed_from_every_text_before_it_reaches_the_disk(tmp_path):
    path = tmp_path / "events.sqlite"
    outbox = Outbox(path, "job", redactor=Redactor(["s3cret"]))
    outbox.append("failed", {"error": "s3cret", "deep": [{"x": ("as3cretb",)}]})
    assert b"s3cret" not in path.read_bytes()
    (event,) = outbox.events()
    assert event["deep"] == [{"x": ["a[redacted]b"]}]


def test_the_sequence_goes_on_after_a_resume(tmp_path, outbox):
    outbox.append("initializing")
    outbox.append("loading_model")
    again = Outbox(tmp_path / "events.sqlite", "job-1")
    assert again.append("resumed") == 3
    assert [event["status"] for event in again.events(after=1)] == ["loading_model", "resumed"]


def test_an_event_with_a_key_is_told_once_in_the_life_of_the_job(tmp_path, outbox):
    assert outbox.append("loading_model", key="loading_model") == 1
    assert Outbox(tmp_path / "events.sqlite", "job-1").append("loading_model", key="loading_model") is None
    assert sequences(outbox.events()) == [1]


@pytest.mark.parametrize("terminal", ["completed", "failed", "cancelled"])
def test_an_attempt_ends_once(outbox, terminal, caplog):
    outbox.append(terminal)
    assert outbox.append("failed") is None
    assert outbox.append("training_progress") is None
    assert "already ended" in caplog.text
    assert outbox.begin_attempt() == 2
    assert outbox.append("completed") == 2


def test_an_attempt_that_has_told_nothing_is_still_the_current_one(outbox):
    assert [outbox.begin_attempt(), outbox.begin_attempt()] == [1, 1]
    outbox.append("initializing")
    assert [outbox.begin_attempt(), outbox.begin_attempt()] == [2, 2]


def test_what_is_delivered_no_longer_waits_and_stays_readable(outbox):
    for status in ("initializing", "loading_model", "model_loaded"):
        outbox.append(status)
    outbox.mark_delivered(1)
    outbox.mark_dropped(2)
    assert sequences(outbox.pending()) == [3]
    assert [outbox.is_delivered(number) for number in (1, 2, 3, 4)] == [True, False, False, False]
    assert sequences(outbox.events()) == [1, 2, 3]


def test_only_the_oldest_of_the_frequent_progress_is_dropped(outbox):
    for number in range(6):
        outbox.append("training_progress", {"step": number})
    outbox.append("epoch_completed")
    outbox.append("download_progress")
    outbox.append("stage_progress")
    outbox.append("base_evaluated")
    assert outbox.drop_superseded(3) == 5
    assert sequences(outbox.pending()) == [6, 7, 8, 9, 10]
    assert outbox.drop_superseded(3) == 0


def test_a_damaged_file_is_set_aside_and_does_not_stop_the_run(tmp_path):
    path = tmp_path / "events.sqlite"
    path.write_bytes(b"not a database, " * 100)
    (tmp_path / "events.sqlite-journal").write_bytes(b"old journal")
    outbox = Outbox(path, "job")
    first = outbox.append("initializing")
    assert outbox.append("loading_data") == first + 1
    assert (tmp_path / "events.sqlite.damaged").read_bytes().startswith(b"not a database")


@pytest.fixture
def unwritable(monkeypatch):
    """Has SQLite find every database read-only, as on a disk that is, though root writes everywhere."""
    connect = sqlite3.connect

    def connect_read_only(path, *arguments, **keywords):
        return connect(f"file:{path}?mode=ro", *arguments, uri=True, **keywords)

    def begin():
        monkeypatch.setattr(sqlite3, "connect", connect_read_only)
        return monkeypatch.undo

    return begin


def test_a_disk_that_cannot_be_written_costs_the_event_and_nothing_else(outbox, unwritable, caplog):
    end = unwritable()
    assert outbox.append("training_progress") is None
    assert "is lost" in caplog.text
    end()
    assert outbox.append("training_progress") == 1


def test_the_end_of_an_attempt_that_cannot_be_written_is_sent_once(outbox, unwritable, tmp_path):
    outbox.append("initializing")
    end = unwritable()
    assert outbox.append("failed", {"error": "full"}) == 2
    assert outbox.append("failed") is None
    backend = Backend()
    assert flush(outbox, backend)[0]
    assert [(event["sequence"], event["status"]) for event in backend.accepted] == [
        (1, "initializing"),
        (2, "failed"),
    ]
    assert outbox.pending() == []
    end()
    again = Outbox(tmp_path / "events.sqlite", "job-1")
    assert again.begin_attempt() == 2
    assert again.append("resumed") == 3, "the sequence goes on after what was only sent"


def test_the_end_on_a_disk_that_is_gone_comes_after_all_that_was_read_before(outbox, tmp_path, monkeypatch):
    watching = Outbox(tmp_path / "events.sqlite", "job-1")
    outbox.append("initializing")
    outbox.append("loading_model")
    assert len(watching.events()) == 2
    gone = sqlite3.OperationalError("disk I/O error")
    gone.sqlite_errorcode = sqlite3.SQLITE_IOERR
    monkeypatch.setattr(sqlite3, "connect", Mock(side_effect=gone))
    (tmp_path / "events.sqlite.sequence").unlink()
    assert watching.append("failed") == 3


def test_both_processes_of_an_attempt_give_its_end_one_id_and_another_attempt_another(tmp_path, unwritable):
    def tell(attempt_id):
        outbox = Outbox(tmp_path / "events.sqlite", "job-1", attempt_id=attempt_id)
        outbox.append("failed")
        return outbox.pending()[0]["event_id"]

    unwritable()
    assert tell("a") == tell("a") != tell("b")


def test_an_attempt_that_could_not_be_noted_begins_with_the_next_event(outbox, unwritable):
    outbox.append("failed")
    end = unwritable()
    assert outbox.begin_attempt() == 0
    end()
    assert outbox.append("initializing") == 2
    assert outbox.append("completed") == 3


# A damaged outbox


def break_page(path):
    """Zeros in the page that holds the newest rows."""
    content = bytearray(path.read_bytes())
    last = content.rindex(b'{"status": "loading_model"')
    start = last // 4096 * 4096
    content[start : start + 4096] = bytes(4096)
    path.write_bytes(content)


def run_sql(*statements):
    def act(path):
        with sqlite3.connect(path, isolation_level=None) as database:
            for statement in statements:
                database.execute(statement)
        database.close()

    return act


OUTBOX_DAMAGES = {
    **{name: act for name, act in DAMAGES.items() if name != "bit-flipped"},
    "no header": lambda path: path.write_bytes(b"x" * 100 + path.read_bytes()[100:]),
    "zeroed page": break_page,
    "body that is no JSON": run_sql("UPDATE events SET body = 'x' WHERE sequence = 2"),
    "body that is no event": run_sql("UPDATE events SET body = '[]' WHERE sequence = 2"),
    "body that is deep": run_sql(f"UPDATE events SET body = '{'[' * 100_000}' WHERE sequence = 2"),
    "body that is not UTF-8": run_sql("UPDATE events SET body = CAST(x'7bff' AS TEXT) WHERE sequence = 2"),
    "body that is null": run_sql(
        "PRAGMA writable_schema = 1",
        "UPDATE sqlite_master SET sql = replace(sql, 'body TEXT NOT NULL', 'body TEXT')",
        "PRAGMA writable_schema = RESET",
        "UPDATE events SET body = NULL WHERE sequence = 2",
    ),
    "table that is gone": run_sql("DROP TABLE attempts"),
    "table of another form": run_sql(
        "DROP VIEW superseded", "DROP TABLE events", "CREATE TABLE events (other TEXT)"
    ),
    "attempts that are gone": run_sql("DELETE FROM attempts"),
    "deleted": Path.unlink,
}


@pytest.mark.parametrize("damage", OUTBOX_DAMAGES.values(), ids=OUTBOX_DAMAGES)
@pytest.mark.parametrize("is_open", [False, True], ids=["between attempts", "at work"])
def test_whatever_becomes_of_the_file_the_job_goes_on_with_new_ids_and_a_rising_sequence(
    tmp_path, outbox, damage, is_open
):
    fill(outbox, "initializing", *["loading_model"] * 60)
    told = outbox.events()
    damage(tmp_path / "events.sqlite")
    if not is_open:
        outbox = Outbox(tmp_path / "events.sqlite", "job-1")
    for read in (outbox.events, outbox.pending):
        assert all(event in told for event in read())
    outbox.begin_attempt()
    assert outbox.append("resumed") == 62
    assert outbox.append("completed") == 63
    outbox.mark_delivered(63)
    assert outbox.is_delivered(63)
    events = outbox.events()
    assert sequences(events) == sorted(set(sequences(events)))
    new = [event for event in events if event not in told]
    assert [event["status"] for event in new] == ["resumed", "completed"]
    assert len({event["event_id"] for event in [*told, *new]}) == 63
    assert flush(outbox, Backend())[0]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_the_sequence_rises_though_the_outbox_and_its_number_are_lost(tmp_path, outbox, damage):
    fill(outbox, *["loading_model"] * 9)
    for name in ("events.sqlite", "events.sqlite.sequence"):
        damage(tmp_path / name)
    sequence = 9
    for _ in range(2):
        later = Outbox(tmp_path / "events.sqlite", "job-1").append("resumed")
        assert later > sequence
        sequence = later


def test_what_can_be_read_of_a_damaged_outbox_is_kept_with_its_state_and_keys(tmp_path, outbox):
    fill(outbox, "initializing", "loading_model", "model_loaded")
    outbox.append("dataset_ready", key="dataset_ready")
    outbox.mark_delivered(1)
    run_sql("UPDATE events SET body = 'x' WHERE sequence = 2")(tmp_path / "events.sqlite")
    again = Outbox(tmp_path / "events.sqlite", "job-1")
    assert sequences(again.events()) == [1, 3, 4]
    assert again.is_delivered(1)
    assert sequences(again.pending()) == [3, 4]
    assert again.append("dataset_ready", key="dataset_ready") is None
    assert (tmp_path / "events.sqlite.damaged").exists()


@pytest.mark.parametrize("name", [b"indexterminal_events", b"viewwaiting", b"tableattempts"])
def test_a_schema_whose_names_are_no_text_is_a_damaged_outbox(tmp_path, outbox, name):
    fill(outbox, "initializing", "loading_model")
    path = tmp_path / "events.sqlite"
    content = path.read_bytes()
    assert name in content
    path.write_bytes(content.replace(name, name[:-4] + b"\xc5" + name[-3:]))
    assert Outbox(path, "job-1").append("model_loaded") == 3
    assert (tmp_path / "events.sqlite.damaged").exists()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_bits_flip_no_operation_raises_and_the_sequence_rises(tmp_path, data):
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        path = Path(folder) / "events.sqlite"
        fill(Outbox(path, "job-1"), "initializing", "loading_model", "model_loaded")
        content = bytearray(path.read_bytes())
        for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=40)):
            content[place] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(content)
        outbox = Outbox(path, "job-1")
        outbox.begin_attempt()
        outbox.events()
        assert (outbox.append("completed") or 0) >= 4
        assert flush(outbox, Backend())[0]


def test_processes_that_find_the_damage_together_mend_it_once(tmp_path):
    path = tmp_path / "events.sqlite"
    fill(Outbox(path, "job"), *["loading_model"] * 5)
    run_sql("UPDATE events SET body = 'x' WHERE sequence = 2")(path)
    threads = [threading.Thread(target=lambda: Outbox(path, "job").events()) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sequences(Outbox(path, "job").events()) == [1, 3, 4, 5]
    assert len(list(tmp_path.glob("*.damaged*"))) == 1


def append_many(path, name, num_events):
    outbox = Outbox(path, "job")
    for number in range(num_events):
        outbox.append("training_progress", {"writer": name, "number": number})


def test_many_processes_and_threads_share_one_sequence_without_gap_or_loss(tmp_path):
    path = tmp_path / "events.sqlite"
    Outbox(path, "job")
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=append_many, args=(path, f"process {n}", 40)) for n in range(2)]
    writers += [threading.Thread(target=append_many, args=(path, f"thread {n}", 40)) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    events = Outbox(path, "job").events()
    assert sequences(events) == list(range(1, 201))
    for name in {event["writer"] for event in events}:
        assert [event["number"] for event in events if event["writer"] == name] == list(range(40))


def test_events_survive_a_writer_that_is_killed_at_work(tmp_path):
    path = tmp_path / "events.sqlite"
    program = (
        "import sys; from pathlib import Path; from recipe.backend.events import Outbox\n"
        "outbox = Outbox(Path(sys.argv[1]), 'job')\n"
        "while True: print(outbox.append('training_progress'), flush=True)"
    )
    num_expected = 0
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
        )
        assert writer.stdout is not None
        for _ in range(20):
            num_expected = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.communicate(timeout=30)[0].splitlines(keepends=True)
        num_expected = max([num_expected, *(int(line) for line in rest if line.endswith("\n"))])
    events = Outbox(path, "job").events()
    assert sequences(events) == list(range(1, len(events) + 1))
    assert len(events) >= num_expected >= 60


# The sender


class Time:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = 0.0
        self.pauses = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds


class Backend:
    """A backend that answers by rule and keeps what it was sent."""

    def __init__(self, rule=lambda event, num_calls: 200):
        self.calls = []
        self.accepted = []
        self._rule = rule

    def __call__(self, request):
        event = json.loads(request.content)
        self.calls.append(event)
        answer = self._rule(event, len(self.calls))
        if isinstance(answer, Exception):
            raise answer
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        if status < 300:
            self.accepted.append(event)
        return httpx.Response(status, headers=headers)

    def client(self):
        return BackendClient("https://backend.example", transport=httpx.MockTransport(self))


def flush(outbox, backend, seconds=60.0):
    """Whether a sender that begins and stops at once has delivered everything; and its clock."""
    clock = Time()
    with backend.client() as client:
        sender = EventSender(outbox, client, clock=clock, sleep=clock.sleep)
        sender.start()
        return sender.stop(seconds), clock


def fill(outbox, *statuses):
    for status in statuses:
        outbox.append(status)


def test_events_arrive_once_and_in_order(outbox):
    fill(outbox, "initializing", "loading_model", "training_progress", "completed")
    backend = Backend()
    assert flush(outbox, backend)[0]
    assert backend.calls == outbox.events()
    assert outbox.pending() == []


def test_a_failing_backend_gets_the_same_event_again_before_any_later_one(outbox):
    fill(outbox, "initializing", "loading_model", "completed")
    failures = {1: 503, 2: httpx.ReadTimeout(""), 4: httpx.ConnectError(""), 5: 500}
    backend = Backend(lambda event, num_calls: failures.get(num_calls, 200))
    assert flush(outbox, backend)[0]
    assert sequences(backend.calls) == [1, 1, 1, 2, 2, 2, 3]
    assert len({event["event_id"] for event in backend.calls[:3]}) == 1


def test_the_terminal_event_is_tried_to_the_end_of_the_time_given_and_then_kept(outbox):
    fill(outbox, "completed")
    backend = Backend(lambda event, num_calls: 503)
    is_delivered, clock = flush(outbox, backend, seconds=30.0)
    assert not is_delivered
    assert 30.0 <= clock.now < 31.0
    assert len(backend.calls) > 5
    assert sequences(outbox.pending()) == [1]
    assert flush(outbox, Backend())[0]


def test_a_long_retry_after_is_tried_before_the_time_is_over(outbox):
    fill(outbox, "completed")
    backend = Backend(lambda event, num_calls: (429, {"Retry-After": "3600"}) if num_calls < 3 else 200)
    is_delivered, clock = flush(outbox, backend, seconds=40.0)
    assert is_delivered
    # Half of the time left, twice; the first pause may have been cut short by the stop itself.
    assert clock.pauses in ([20.0, 10.0], [20.0])


def test_a_short_retry_after_is_honoured(outbox):
    fill(outbox, "completed")
    backend = Backend(lambda event, num_calls: (503, {"Retry-After": "4"}) if num_calls == 1 else 200)
    is_delivered, clock = flush(outbox, backend, seconds=60.0)
    assert is_delivered
    # The first pause may have been cut short by the stop itself.
    assert all(4.0 <= pause <= 5.0 for pause in clock.pauses)


@pytest.mark.parametrize("status", [401, 403, 404, 409, 410])
def test_a_refusing_backend_is_left_alone_after_one_warning(outbox, status, caplog):
    fill(outbox, "initializing", "completed")
    backend = Backend(lambda event, num_calls: status)
    with caplog.at_level(logging.INFO, logger="recipe.backend.events"):
        assert not flush(outbox, backend)[0]
    assert len(backend.calls) == 1
    assert len(caplog.records) == 1
    assert sequences(outbox.pending()) == [1, 2]


NOT_GONE = [301, 302, 304, 308, 400, 405, 413, 422, 451, 501, 505]
ONCE_ONLY = ["failed", "cancelled", "interrupted", "epoch_completed", "evaluation_completed"]


@pytest.mark.parametrize(
    ("status", "stage"),
    [*((status, "completed") for status in NOT_GONE), *((400, stage) for stage in ONCE_ONLY)],
)
def test_an_odd_answer_loses_no_event_that_comes_once(outbox, status, stage):
    """The same attempt delivers it, if the backend comes to its senses in time; else the next one does."""
    outbox.append(stage)
    backend = Backend(lambda event, num_calls: status if num_calls <= 4 else 200)
    assert flush(outbox, backend)[0]
    assert [event["status"] for event in backend.accepted] == [stage]

    assert outbox.append("resumed") or outbox.begin_attempt()
    outbox.append("completed")
    waiting = outbox.pending()
    is_delivered, clock = flush(outbox, Backend(lambda event, num_calls: status), seconds=30.0)
    assert not is_delivered
    assert 30.0 <= clock.now < 31.0, "it is tried to the end of the time given"
    assert outbox.pending() == waiting
    again = Backend()
    assert flush(outbox, again)[0]
    assert again.accepted == waiting


@pytest.mark.parametrize("status", [302, 501])
def test_a_backend_that_takes_nothing_gets_all_events_in_order_later(outbox, status):
    fill(outbox, "initializing", "loading_model", "training_progress", "completed")
    backend = Backend(lambda event, num_calls: status if num_calls < 4 else 200)
    assert flush(outbox, backend)[0]
    assert sequences(backend.calls) == [1, 1, 1, 1, 2, 3, 4]


@pytest.mark.parametrize("status", [400, 422])
def test_an_event_that_is_refused_for_itself_does_not_hold_up_the_rest(outbox, status, caplog):
    fill(outbox, "initializing", "loading_model", "training_progress", "completed")
    backend = Backend(lambda event, num_calls: status if event["sequence"] in {2, 3} else 200)
    assert not flush(outbox, backend)[0]
    assert sequences(backend.accepted) == [1, 4]
    assert sequences(outbox.pending()) == [2], "progress that the next event repeats is given up"
    assert sequences(backend.calls).count(2) > 2
    assert caplog.text.count("loading_model") == 1


def test_refused_events_are_offered_again_while_the_run_lasts_and_rarely(outbox):
    fill(outbox, "initializing")
    backend = Backend(lambda event, num_calls: 422 if event["status"] == "initializing" else 200)
    clock = Time()
    with backend.client() as client:
        sender = EventSender(outbox, client, clock=clock)
        for number in range(40):  # an hour, with an event every 90 seconds; the thread is not started
            clock.now = 90.0 * number
            outbox.append("epoch_completed")
            while sender._deliver_next() is not None:
                pass
    offered = sequences(backend.calls).count(1)
    assert 4 <= offered <= 30
    assert sequences(backend.accepted) == list(range(2, 42))
    assert sequences(outbox.pending()) == [1]


def test_an_event_that_is_too_large_is_sent_without_its_bulk(outbox):
    outbox.append(
        "failed", {"error": "e" * 5000, "traceback": "t" * 5000, "system_stats": {"cpu_percent": 1.0}}
    )
    backend = Backend(lambda event, num_calls: 413 if len(json.dumps(event)) > 1000 else 200)
    assert flush(outbox, backend)[0]
    (event,) = backend.accepted
    assert event["error"].startswith("eee")
    assert not {"traceback", "system_stats"} & set(event)
    assert event["event_id"] == outbox.events()[0]["event_id"]


def test_progress_that_is_too_large_even_so_is_given_up(outbox, caplog):
    fill(outbox, "training_progress", "completed")
    backend = Backend(lambda event, num_calls: 413 if event["sequence"] == 1 else 200)
    assert flush(outbox, backend)[0]
    assert sequences(backend.calls) == [1, 1, 2]
    assert "given up" in caplog.text


def test_a_shortened_event_keeps_its_shape():
    event = {"status": "completed", "final_result": {"artifacts": {"checkpoints": list(range(50))}}, "x": 1.5}
    shortened = shrink_event(event)
    assert shortened["final_result"]["artifacts"]["checkpoints"] == list(range(30, 50))
    assert shortened | {"final_result": None, "is_shortened": None} == {
        "status": "completed",
        "final_result": None,
        "x": 1.5,
        "is_shortened": None,
    }


def test_after_a_long_outage_the_terminal_event_does_not_queue_behind_old_progress(outbox):
    outbox.append("initializing")
    for _ in range(MAX_FINAL_BACKLOG * 3):
        outbox.append("training_progress")
    outbox.append("completed")
    backend = Backend(lambda event, num_calls: 503 if num_calls < 3 else 200)
    assert flush(outbox, backend)[0]
    statuses = [event["status"] for event in backend.accepted]
    assert (statuses[0], statuses[-1]) == ("initializing", "completed")
    assert MAX_FINAL_BACKLOG <= statuses.count("training_progress") <= MAX_FINAL_BACKLOG + 2
    assert sequences(backend.accepted) == sorted(set(sequences(backend.accepted)))


def test_events_that_another_process_appends_are_delivered_while_the_run_lasts(outbox):
    backend = Backend()
    with backend.client() as client:
        sender = EventSender(outbox, client)
        sender.start()
        append_many(outbox._path, "trainer", 3)
        deadline = time.monotonic() + 10
        while len(backend.accepted) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert sequences(backend.accepted) == [1, 2, 3]
        assert sender.stop(5.0)


def test_a_backend_that_hangs_delays_neither_append_nor_the_end_beyond_the_time_given(outbox):
    released = threading.Event()

    def hang(request):
        released.wait(30)
        return httpx.Response(200)

    with BackendClient("https://backend.example", transport=httpx.MockTransport(hang)) as client:
        sender = EventSender(outbox, client)
        outbox.append("initializing")
        sender.start()
        started = time.monotonic()
        append_many(outbox._path, "trainer", 20)
        assert time.monotonic() - started < 5.0
        assert not sender.stop(0.2)
        assert time.monotonic() - started < 6.0
        released.set()
        sender._thread.join(10)


def test_a_locked_outbox_pauses_the_sender_and_does_not_end_it(outbox, tmp_path):
    fill(outbox, "completed")
    blocker = sqlite3.connect(tmp_path / "events.sqlite", isolation_level=None, check_same_thread=False)
    blocker.execute("BEGIN EXCLUSIVE")
    threading.Timer(5.5, lambda: blocker.execute("COMMIT")).start()
    backend = Backend()
    with backend.client() as client:
        sender = EventSender(outbox, client)
        sender.start()
        assert sender.stop(20.0)
    blocker.close()
    assert sequences(backend.accepted) == [1]


def test_a_job_id_that_is_no_segment_is_refused_at_once(tmp_path):
    with Backend().client() as client, pytest.raises(JobError, match="job_id"):
        EventSender(Outbox(tmp_path / "events.sqlite", "../admin"), client)
